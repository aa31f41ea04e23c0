package analysis_test

import (
	"errors"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

func TestASyntaxErrorHintsAtNewerSyntaxOnlyWhereTheServerMayKnowIt(t *testing.T) {
	for major, hint := range map[int]bool{0: true, 14: false, 15: false, 16: false, 17: true, 18: true} {
		_, err := analysis.Analyze(`SELECT !@#`, nil, catalog.New(1, catalog.Content{ServerMajor: major}), analysis.Options{})
		var r *analysis.Refusal
		if !errors.As(err, &r) || r.Code != "42601" || r.Message != "syntax error at end of input" || r.Position != 11 {
			t.Fatalf("PostgreSQL %d: %+v", major, r)
		}
		if (r.Hint != "") != hint {
			t.Errorf("PostgreSQL %d: the hint is %q", major, r.Hint)
		}
	}
}
