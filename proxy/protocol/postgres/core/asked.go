package core

import "github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"

// asked returns the facts of what the portal called name may be a portal of, with
// its parameters in the questions: a FETCH of it asks what its Execute would.
func (n *names) asked(name string) []*analysis.Statement {
	var all []*analysis.Statement
	for p := n.portals[name]; p != nil; p = p.under {
		for _, st := range facts(p.of) {
			bound := *st
			bound.Questions = nil
			for _, q := range st.Questions {
				bound.Questions = append(bound.Questions, q.Bound(p.bound))
			}
			all = append(all, &bound)
		}
	}
	return all
}

// tells reports whether an error of this SQLSTATE can depend on the rows that a
// statement met, so that whoever asks cleverly learns something by it. Syntax, names,
// privileges, the state of the transaction and of the server do not.
func tells(code string) bool {
	if code == "57014" { // canceled, by statement_timeout too
		return true
	}
	switch code[:min(2, len(code))] {
	case "21", "22", "23", "2F", "38", "39", "44", "54", "P0", "XX":
		return true
	}
	return false
}
