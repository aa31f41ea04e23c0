package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// maxSuspects bounds how many names of one text are looked for.
const maxSuspects = 16

// absent is what a closer look at a statement's unknown names has found (ADR 0009).
// Its zero value says that no name is absent.
type absent struct {
	catalog *catalog.Snapshot
	result  *analysis.Result
	id      uint64
	names   []analysis.Absence // certainly not there, in the server's order
	without []access.Statement // the facts of the rest
	later   bool               // the server would say so only when the statement runs
}

// suspects returns the names in a text that nothing is known of and that can be
// looked for: not behind statements that may bring them into being.
func suspects(result *analysis.Result, st *analysis.State) []analysis.Absence {
	var names []analysis.Absence
	unsettled := st.Unsettled || st.Stale
	for i := range result.Statements {
		for _, x := range result.Statements[i].Absent {
			if !unsettled || x.Kind == analysis.AbsentPrepared || x.Kind == analysis.AbsentCursor { // those are in no catalog
				names = append(names, x)
			}
		}
		unsettled = unsettled || makesNames(&result.Statements[i])
	}
	return names[:min(len(names), maxSuspects)]
}

func makesNames(st *analysis.Statement) bool {
	return slices.ContainsFunc(st.Effects, func(e analysis.Effect) bool {
		return e.Kind == analysis.DDL || e.Kind == analysis.SetPath || e.Kind == analysis.CreateTemp
	})
}

// lookFor brings the catalog up to date, reads the statement again if that has
// changed something, and finds out which of its unknown names are certainly not
// there. It asks the catalog alone: nothing of the client's goes to the server.
func (e *Engine) lookFor(ctx context.Context, s *session.Session, a *core.Ask, masked masks, result *analysis.Result) (absent, error) {
	names := suspects(result, &a.Session)
	now, homes, err := e.catalog.fresh(ctx, s, wanted(names))
	if err != nil {
		return absent{}, err
	}
	m := absent{catalog: now}
	if m.result, m.id, err = e.understand(a, now, masked, nil); err != nil {
		return absent{}, err
	}
	known := suspects(m.result, &a.Session)
	for i := range known {
		x := &known[i]
		looked := slices.ContainsFunc(names, func(n analysis.Absence) bool { return n == *x })
		if looked && gone(x, homes, now, a.Session.PathChanged) {
			m.names = append(m.names, *x)
		}
	}
	if len(m.names) == 0 {
		return m, nil
	}
	rest, _, err := e.understand(a, now, masked, m.names)
	if err != nil {
		return absent{}, err
	}
	m.without = operation(access.PhaseRun, rest.Statements).Statements
	m.later = a.Kind == core.AskParse && !slices.ContainsFunc(m.names, func(x analysis.Absence) bool {
		return x.Kind != analysis.AbsentPrepared && x.Kind != analysis.AbsentCursor
	})
	return m, nil
}

func wanted(names []analysis.Absence) []catalog.Name {
	var list []catalog.Name
	for i := range names {
		if kind := names[i].Kind; kind == analysis.AbsentRelation || kind == analysis.AbsentFunction {
			list = append(list, catalog.Name{Function: kind == analysis.AbsentFunction, Name: names[i].Name})
		}
	}
	return list
}

// gone reports whether a name certainly does not resolve in the session, given the
// schemas in which something has it. Temporary schemas count: the one of this
// session is not told apart from the others.
func gone(x *analysis.Absence, homes map[catalog.Name][]string, cat *catalog.Snapshot, pathChanged bool) bool {
	switch x.Kind {
	case analysis.AbsentFunction:
		return len(homes[catalog.Name{Function: true, Name: x.Name}]) == 0
	case analysis.AbsentRelation:
		for _, schema := range homes[catalog.Name{Name: x.Name}] {
			elsewhere := x.Schema != "" && x.Schema != schema ||
				x.Schema == "" && !pathChanged && !slices.Contains(cat.SearchPath, schema) && !isTemporary(schema)
			if !elsewhere {
				return false
			}
		}
	}
	return true
}

func isTemporary(schema string) bool { return len(schema) > 7 && schema[:7] == "pg_temp" }

// explain tells the session what a refusal of op may say. A Parse of a statement
// about a name that is looked up only when it runs is decided by the rest: parsing
// runs nothing, and running it is decided again, by what the name stands for then.
func (m *absent) explain(op *access.Operation) {
	switch {
	case len(m.names) == 0:
	case m.later:
		op.Statements, op.ID = m.without, 0
	default:
		op.Absent, op.Without = m.names[0].Message, m.without
	}
}

// word turns a denial into the answer to the core: in the server's words where a
// name was the reason.
func (m *absent) word(d *access.Denial, cat *catalog.Snapshot) core.Answer {
	if d.Code != access.CodeAbsent || len(m.names) == 0 {
		return core.Answer{Denial: d, Catalog: cat}
	}
	x := m.names[0]
	e := &wire.Error{Severity: "ERROR", Code: x.Code, Message: x.Message, Hint: x.Hint}
	if x.Position > 0 {
		e.Extra = []wire.ErrorField{{Type: 'P', Value: fmt.Sprint(x.Position)}}
	}
	return core.Answer{Error: e, Catalog: cat, Absent: true}
}
