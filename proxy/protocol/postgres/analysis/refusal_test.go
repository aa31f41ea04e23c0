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

func TestSubscriptionsMayBeReadWithoutTheirConnectionStrings(t *testing.T) {
	cat := catalog.New(1, catalog.Content{SearchPath: []string{"pg_catalog", "public"}, Relations: []catalog.Relation{
		{OID: 6100, Schema: "pg_catalog", Name: "pg_subscription", Kind: 'r', Columns: []catalog.Column{
			{Name: "oid", Num: 1, TypeOID: 26},
			{Name: "subdbid", Num: 2, TypeOID: 26},
			{Name: "subname", Num: 3, TypeOID: 19},
			{Name: "subowner", Num: 4, TypeOID: 26},
			{Name: "subconninfo", Num: 5, TypeOID: 25},
		}},
	}})
	for query, refused := range map[string]bool{
		`SELECT count(*) FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`: false,
		`SELECT subname, pg_get_userbyid(s.subowner) FROM pg_catalog.pg_subscription s ORDER BY 1`:                              false,
		`SELECT subconninfo FROM pg_subscription`:                                              true,
		`SELECT * FROM pg_subscription`:                                                        true,
		`SELECT s.* FROM pg_subscription s`:                                                    true,
		`TABLE pg_subscription`:                                                                true,
		`SELECT s FROM pg_subscription s`:                                                      true,
		`SELECT to_json(pg_subscription) FROM pg_subscription`:                                 true,
		`SELECT s.to_json FROM pg_subscription s`:                                              true,
		`SELECT (s).subconninfo FROM (SELECT x FROM pg_subscription x) s`:                      true,
		`SELECT subconninfo(s) FROM pg_subscription s`:                                         true,
		`SELECT e FROM pg_subscription s(a, b, c, d, e)`:                                       true,
		`SELECT 1 FROM pg_subscription NATURAL JOIN (SELECT 'x' AS "subconninfo") x`:           true,
		`SELECT 1 FROM pg_subscription JOIN (VALUES ('x')) x(subconninfo) USING (subconninfo)`: true,
		`SELECT j FROM (pg_subscription s JOIN pg_class c ON true) j`:                          true,
		`SELECT subname FROM pg_subscription WHERE "subconninfo" LIKE '%password%'`:            true,
		`SELECT U&"subc\006fnninfo" FROM pg_subscription`:                                      true,
		`SELECT (SELECT s.subconninfo) FROM pg_subscription s`:                                 true,
		`UPDATE pg_subscription SET subenabled = false`:                                        true,
		`COPY pg_subscription (subname) TO STDOUT`:                                             true,
		`COPY pg_subscription TO STDOUT`:                                                       true,
	} {
		result, err := analysis.Analyze(query, nil, cat, analysis.Options{})
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if got := strings.Contains(features(result.Statements[0]), analysis.SecretCatalog); got != refused {
			t.Errorf("%s: refused %v, want %v", query, got, refused)
		}
	}
}
