package analysis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

func TestConstantsAndParametersThatGoIntoTaggedColumnsAreTold(t *testing.T) {
	for text, want := range map[string]string{
		`UPDATE customers SET ssn = 'a', name = 'b'`:                                     "public.customers.ssn=a",
		`UPDATE customers SET ssn = $2::text, name = $1`:                                 "public.customers.ssn=$2",
		`UPDATE customers SET ssn = upper('a')`:                                          "",
		`INSERT INTO customers (name, ssn) VALUES ('b', 'a'), ('d', $1)`:                 "public.customers.ssn=a public.customers.ssn=$1",
		`INSERT INTO customers (ssn) SELECT x FROM (SELECT 'a' AS x UNION SELECT 'b') q`: "public.customers.ssn=a public.customers.ssn=b",
		`PREPARE p AS UPDATE customers SET ssn = $1; EXECUTE p('a')`:                     "public.customers.ssn=a",
		`SELECT id FROM customers WHERE ssn = 'a'`:                                       "",
		`UPDATE orders SET note = 'a'`:                                                   "",
	} {
		var got []string
		for _, as := range last(t, text, nil).Assigned {
			value := as.Constant
			if as.Param != 0 {
				value = fmt.Sprintf("$%d", as.Param)
			}
			got = append(got, as.Where()+"="+value)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestLookingThroughQueriesForConstantsIsBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("WITH q0 AS (SELECT 'a' AS x)")
	for i := 1; i < 14; i++ {
		name := fmt.Sprintf("q%d", i-1)
		fmt.Fprintf(&text, ", q%d AS (SELECT coalesce(%s) AS x FROM %s AS a)", i, strings.TrimSuffix(strings.Repeat("a.x, ", 30), ", "), name)
	}
	text.WriteString(" UPDATE customers SET ssn = z.x FROM q13 AS z")
	start := time.Now()
	_ = last(t, text.String(), nil)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestWhereTaggedValuesGoIsTold(t *testing.T) {
	for text, want := range map[string]int{
		`INSERT INTO orders (note) SELECT ssn FROM customers`:                          1,
		`INSERT INTO customers (ssn) SELECT ssn FROM customers`:                        0,
		`UPDATE orders SET note = 'x'`:                                                 0,
		`CREATE TABLE t AS SELECT ssn FROM customers`:                                  1,
		`CREATE TEMP TABLE t AS SELECT ssn FROM customers`:                             0,
		`INSERT INTO pg_temp.other SELECT ssn FROM customers`:                          1,
		`EXPLAIN ANALYZE UPDATE orders SET note = (SELECT ssn FROM customers LIMIT 1)`: 1,
	} {
		s := last(t, text, nil)
		if len(s.Writes) != want {
			t.Errorf("%s: %+v", text, s.Writes)
		}
		if launders := strings.Contains(features(s), analysis.Laundering); want > 0 && !launders {
			t.Errorf("%s: tags follow what policy was not asked about: %s", text, features(s))
		}
	}
}
