package analysis_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

func TestASyntaxErrorHintsAtNewerSyntaxOnlyWhereTheServerMayKnowIt(t *testing.T) {
	for major, hint := range map[int]bool{0: true, 14: false, 15: false, 16: false, 17: true, 18: true} {
		_, err := analysis.Analyze(`SELECT !@#`, nil, catalog.New(1, catalog.Content{Server: major}), analysis.Options{})
		var r *analysis.Refusal
		if !errors.As(err, &r) || r.Code != "42601" || r.Message != "syntax error at end of input" || r.Position != 11 {
			t.Fatalf("PostgreSQL %d: %+v", major, r)
		}
		if (r.Hint != "") != hint {
			t.Errorf("PostgreSQL %d: the hint is %q", major, r.Hint)
		}
	}
}

func TestAStatementMayUseEveryParameterThatTheProtocolHas(t *testing.T) {
	var text strings.Builder
	for i := range math.MaxUint16 {
		fmt.Fprintf(&text, ", ($%d::text)", i+1)
	}
	result, err := analysis.Analyze("VALUES"+text.String()[1:], nil, small(), analysis.Options{})
	if err != nil || len(result.Statements) != 1 || result.Statements[0].Kind != analysis.KindSelect {
		t.Errorf("%+v, %v", result, err)
	}
}
