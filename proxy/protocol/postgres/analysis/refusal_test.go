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

func TestACommentIsWhiteSpaceEverywhere(t *testing.T) {
	for _, text := range []string{
		"SELECT id FROM customers WHERE ssn NOT /* x */ IN ('a')",
		"SELECT id FROM customers WHERE ssn NOT -- x /*\n LIKE 'a'",
		"SELECT id FROM customers ORDER BY ssn NULLS /* /* x */ */ FIRST",
		"SELECT U&\"!0073sn\" /* x */ UESCAPE '!' FROM customers WHERE id = 1",
		"SELECT ssn FROM customers, ROWS FROM (generate_series(1, 2)) WITH /* x */ ORDINALITY",
	} {
		if s := last(t, text, nil); !s.Touches {
			t.Errorf("a protected column was not seen: %s", text)
		}
	}
	for _, text := range []string{"SELECT 'a' /*\n*/ 'b'", "SELECT 1 /* x */ FROM FROM"} {
		if _, err := analysis.Analyze(text, nil, small(), analysis.Options{}); err == nil {
			t.Errorf("PostgreSQL refuses this, the analysis does not: %s", text)
		}
	}
}
