package analysis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// from renders sources as "table.column how".
func from(sources []analysis.Source) string {
	var list []string
	for _, s := range sources {
		column := s.Column
		if s.Number == 0 {
			column = "*"
		}
		list = append(list, fmt.Sprintf("%s.%s %s", s.Table, column, s.How))
	}
	return strings.Join(list, ", ")
}

func TestEachOutputNamesItsSources(t *testing.T) {
	const ssn, name = "customers.ssn", "customers.name"
	for query, want := range map[string]string{
		`SELECT ssn FROM customers`:                         ssn + " direct",
		`SELECT x FROM (SELECT name AS x FROM customers) y`: name + " direct",
		`SELECT 1`:                                                                                                   "",
		`SELECT count(ssn) FROM customers`:                                                                           "",
		`SELECT upper(ssn) FROM customers`:                                                                           ssn + " derived",
		`SELECT name || ssn FROM customers`:                                                                          name + " derived, " + ssn + " derived",
		`SELECT ssn = 'x' FROM customers`:                                                                            ssn + " implicit",
		`SELECT ssn IN ('x') OR name LIKE 'a' FROM customers`:                                                        name + " implicit, " + ssn + " implicit",
		`SELECT CASE WHEN ssn = 'x' THEN name END FROM customers`:                                                    name + " direct, " + ssn + " implicit",
		`SELECT CASE ssn WHEN 'x' THEN ssn END FROM customers`:                                                       ssn + " direct",
		`SELECT nullif(name, ssn) FROM customers`:                                                                    name + " direct, " + ssn + " implicit",
		`SELECT coalesce(name, ssn) FROM customers`:                                                                  name + " direct, " + ssn + " direct",
		`SELECT string_agg(name, ',' ORDER BY ssn) FROM customers`:                                                   name + " derived, " + ssn + " implicit",
		`SELECT mode() WITHIN GROUP (ORDER BY ssn) FROM customers`:                                                   ssn + " derived",
		`SELECT row_number() OVER (PARTITION BY name ORDER BY ssn) FROM customers`:                                   name + " implicit, " + ssn + " implicit",
		`SELECT (SELECT max(ssn) FROM customers)`:                                                                    ssn + " derived",
		`SELECT name FROM customers UNION ALL SELECT note FROM orders`:                                               name + " direct, orders.note direct",
		`SELECT a.id FROM customers a JOIN orders b USING (id)`:                                                      "customers.id direct",
		`SELECT id FROM customers a JOIN orders b USING (id)`:                                                        "customers.id direct, orders.id direct",
		`WITH RECURSIVE r AS (SELECT name, ssn FROM customers UNION ALL SELECT ssn, name FROM r) SELECT name FROM r`: name + " direct, " + ssn + " direct",
		`SELECT no_such(1)`:                                                                                          ". opaque",
		`UPDATE customers SET name = 'x' RETURNING ssn`:                                                              ssn + " direct",
		`EXPLAIN ANALYZE SELECT ssn FROM customers`:                                                                  "",
	} {
		s := last(t, query, nil)
		got := ""
		if len(s.Outputs) > 0 {
			got = from(s.Outputs[0].Sources)
		}
		if strings.Replace(want, ". opaque", ".* opaque", 1) != got {
			t.Errorf("%s\n got %s\nwant %s", query, got, want)
		}
	}
}

func TestReadsSayWhatForAColumnIsRead(t *testing.T) {
	for query, want := range map[string][3]string{
		`SELECT name FROM customers WHERE ssn = 'x' ORDER BY id`:    {"customers.name direct", "customers.id direct, customers.ssn direct", ""},
		`INSERT INTO orders SELECT id, ssn FROM customers`:          {"", "", "customers.id direct, customers.ssn direct"},
		`UPDATE orders SET note = upper(note) WHERE id > 1`:         {"", "orders.id direct", "orders.note derived"},
		`SELECT 1 FROM customers WHERE ssn IS NULL`:                 {"", "customers.ssn direct", ""},
		`COPY orders TO STDOUT`:                                     {"orders.id direct, orders.note direct", "", ""},
		`CREATE TABLE x AS SELECT ssn FROM customers`:               {"customers.ssn direct", "", ""},
		`PREPARE p AS SELECT 1 FROM orders WHERE id = 1; EXECUTE p`: {"", "orders.id direct", ""},
	} {
		s := last(t, query, nil)
		if got := [3]string{from(s.Reads.Output), from(s.Reads.Predicate), from(s.Reads.Write)}; got != want {
			t.Errorf("%s\n got %q\nwant %q", query, got, want)
		}
	}
}

// wide is a catalog with more columns than sources are told apart.
func wide() *catalog.Snapshot {
	r := catalog.Relation{OID: 1, Schema: "public", Name: "wide", Kind: 'r'}
	for i := range 300 {
		r.Columns = append(r.Columns, catalog.Column{Name: fmt.Sprintf("c%d", i), Num: int16(i + 1), TypeOID: 25})
	}
	r.Columns[299].Tags = []string{"pii/ssn"}
	return catalog.New(1, catalog.Content{SearchPath: []string{"public"}, Schemas: []string{"public"}, Relations: []catalog.Relation{r}})
}

func TestTooManySourcesAreAnUnknownOriginWithAllTheirTags(t *testing.T) {
	result, err := analysis.Analyze(`SELECT w::text, c0 FROM wide w`, nil, wide(), analysis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	outputs := result.Statements[0].Outputs
	if got := from(outputs[0].Sources); got != ".* opaque" || !slices.Equal(outputs[0].Tags, []string{"pii/ssn"}) {
		t.Errorf("the whole row comes from %s and carries %v", got, outputs[0].Tags)
	}
	if got := from(outputs[1].Sources); got != "wide.c0 direct" || len(outputs[1].Tags) > 0 {
		t.Errorf("one column comes from %s and carries %v", got, outputs[1].Tags)
	}
}

func TestTheTagsOfAnOutputAreThoseOfItsSources(t *testing.T) {
	cat := corpus(t)
	for _, file := range []string{"exfil", "benign"} {
		for _, r := range rows(t, file+".tsv") {
			result, err := analysis.Analyze(r.sql, nil, cat, analysis.Options{})
			if err != nil {
				continue
			}
			for _, s := range result.Statements {
				for i, o := range s.Outputs {
					var tags []string
					for _, source := range o.Sources {
						tags = catalog.Union(tags, source.Tags)
					}
					if !slices.Equal(tags, o.Tags) && len(tags)+len(o.Tags) > 0 {
						t.Errorf("%s output %d carries %v, its sources %v: %s", r.id, i, o.Tags, tags, from(o.Sources))
					}
				}
			}
		}
	}
}
