package corpus

import (
	"os"
	"testing"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
)

// Every benign row must pass one day; this share must pass now.
const benignPercent = 90

// localProxy builds the product of this tree.
func localProxy(t *testing.T) StartProxy {
	t.Helper()
	return LocalProxy(mustBuild(t))
}

func mustBuild(t *testing.T) string {
	t.Helper()
	binary, err := localproxy.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

func TestNothingLeaksAndWhatMustPassPasses(t *testing.T) {
	judge := newJudge(t, localProxy(t))
	exfil, benign := runAll(t, judge, mustLoad(t, "exfil.tsv")), runAll(t, judge, mustLoad(t, "benign.tsv"))
	all := Report{Results: append(exfil.Results, benign.Results...)}
	if err := all.WriteTable(os.Stdout); err != nil {
		t.Error(err)
	}
	if err := all.WriteDetails(os.Stdout); err != nil {
		t.Error(err)
	}
	for _, verdict := range []Verdict{Leak, Broken} {
		if count := all.Count(verdict); count > 0 {
			t.Errorf("%d runs are %q; want none", count, verdict)
		}
	}
	if percent := benign.AsExpected(); percent < benignPercent {
		t.Errorf("%.1f %% of the benign rows are as expected; want %d %% or more", percent, benignPercent)
	}
}
