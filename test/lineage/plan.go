package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// planNode is a node of EXPLAIN (VERBOSE, FORMAT JSON).
type planNode struct {
	Type     string     `json:"Node Type"`
	Output   []string   `json:"Output"`
	Relation string     `json:"Relation Name"`
	Alias    string     `json:"Alias"`
	Plans    []planNode `json:"Plans"`
}

// plan asks the server how it computes each output: a tagged column of a table in the expression must be among lineage's. It does
// not look through sub-plans, which stand in expressions by their numbers; execution does.
// It returns the tags of each output's expression.
func (d *databases) plan(ctx context.Context, st statement, said [][]string, find func(string, string, ...any)) ([][]string, error) {
	got, err := run(ctx, d.base, "EXPLAIN (VERBOSE, FORMAT JSON, COSTS off) "+st.sql)
	if err != nil || got.err != nil || len(got.rows) != 1 {
		return nil, err
	}
	var plans []struct{ Plan planNode }
	if err := json.Unmarshal(got.rows[0][0], &plans); err != nil || len(plans) != 1 {
		return nil, err
	}
	top := &plans[0].Plan
	if len(top.Output) != len(said) {
		return nil, nil // resjunk columns of a sort, or none
	}
	aliases := map[string]string{}
	top.collect(aliases)
	planned := make([][]string, len(said))
	for i, expression := range top.Output {
		var used []string
		for _, m := range columnInPlan.FindAllStringSubmatch(harmlessUse.ReplaceAllString(expression, ""), -1) {
			used = catalog.Union(used, d.tagsOf(aliases[m[1]], m[2]))
		}
		planned[i] = used
		if strings.Contains(expression, "->") || strings.Contains(expression, "])[") {
			continue // a part of JSON or of an array: lineage knows which, the expression shows all that the whole is made of
		}
		if extra := minus(used, said[i]); len(extra) > 0 {
			find(missedByPlan, "column %d is computed as %s, which reads %v; lineage says %v", i+1, expression, extra, said[i])
		}
	}
	return planned, nil
}

// collect maps the aliases of scans of tables to their tables.
func (n *planNode) collect(aliases map[string]string) {
	if n.Relation != "" && n.Alias != "" {
		aliases[n.Alias] = n.Relation
	}
	for i := range n.Plans {
		n.Plans[i].collect(aliases)
	}
}

func (d *databases) tagsOf(relation, column string) []string {
	r := d.cat.Lookup("public", relation)
	if r == nil {
		return nil
	}
	if i := slices.IndexFunc(r.Columns, func(c catalog.Column) bool { return c.Name == column }); i >= 0 {
		return r.Columns[i].Tags
	}
	return nil
}
