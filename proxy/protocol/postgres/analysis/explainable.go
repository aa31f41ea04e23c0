package analysis

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// Explainable returns the query whose rows a statement returns, as a text that EXPLAIN and PREPARE take: of a SELECT or VALUES
// itself, of COPY … TO its query, or all of its table. It is false for everything else, and for a text of more statements.
func Explainable(text string) (query string, ok bool) {
	if check(text, Limits{}) != nil {
		return "", false
	}
	tree, err := pg.Parse(text)
	if err != nil || len(tree.GetStmts()) != 1 {
		return "", false
	}
	switch v := tree.GetStmts()[0].GetStmt().GetNode().(type) {
	case *pg.Node_SelectStmt:
		if v.SelectStmt.GetIntoClause() != nil {
			return "", false
		}
		return text, true
	case *pg.Node_CopyStmt:
		if v.CopyStmt.GetIsFrom() || v.CopyStmt.GetIsProgram() {
			return "", false
		}
		if inner := v.CopyStmt.GetQuery(); inner.GetSelectStmt() != nil {
			query, err = pg.Deparse(&pg.ParseResult{Stmts: []*pg.RawStmt{{Stmt: inner}}})
			return query, err == nil
		}
		if r := v.CopyStmt.GetRelation(); r != nil {
			return "SELECT * FROM " + quoted(r.GetSchemaname(), r.GetRelname()), true
		}
	}
	return "", false
}

func quoted(schema, name string) string {
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	if schema == "" {
		return quote(name)
	}
	return quote(schema) + "." + quote(name)
}
