package verify

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/recording/audit"
)

func TestManyNotesOfAKindAreOneLineAndNothingElseIs(t *testing.T) {
	r := &Report{}
	for i := range 10 {
		r.Findings = append(r.Findings,
			audit.Finding{Code: audit.Recovered, Severity: audit.Note, Pod: "shop/a", Session: fmt.Sprint("s-", i), What: "sealed by another"},
			audit.Finding{Code: audit.ObjectChanged, Severity: audit.Tampered, Pod: "shop/a", Session: fmt.Sprint("s-", i), What: "changed"})
	}
	r.Findings = append(r.Findings, audit.Finding{Code: audit.Recovered, Severity: audit.Note, Pod: "shop/b", Session: "other", What: "sealed by another"})
	r.Sort()
	var b strings.Builder
	if err := r.Write(&b, false); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	if n := strings.Count(out, "sealed by another"); n != 2 || !strings.Contains(out, "10 places in all, the first: session s-0") {
		t.Errorf("%d lines of notes:\n%s", n, out)
	}
	if n := strings.Count(out, "  changed"); n != 10 {
		t.Errorf("%d of 10 are shown:\n%s", n, out)
	}
}
