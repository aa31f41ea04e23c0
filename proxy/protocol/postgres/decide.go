package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// reading is a question as it was understood.
type reading struct {
	op      *access.Operation
	masks   masks
	catalog *catalog.Snapshot
	result  *analysis.Result
	missed  absent
}

// decide answers a question of the core: it reads the statement, asks the
// session, and says what the core may do. Whatever fails refuses.
//
// Where people have to approve first, it returns a Hold instead, which it has to be
// given again once they have: the statement is then read and decided anew.
func (e *Engine) decide(ctx context.Context, s *session.Session, a *core.Ask, held *session.Hold) (core.Answer, *session.Hold) {
	defer e.flights.deciding(s)()
	r, ans := e.read(ctx, s, a, held != nil)
	if r.op == nil {
		if held != nil {
			ans = refuseHeld(held, ans)
		}
		return ans, nil
	}
	var x *session.Exchange
	var err error
	if held == nil {
		x, held, err = s.Ask(ctx, r.op)
	} else {
		x, held, err = held.Again(ctx, r.op)
	}
	if held != nil {
		describe(a, &r)
		if x = held.Granted(); x == nil {
			if r.op.Held.EstimatedRows = r.op.Statements[0].EstimatedRows; r.op.Held.EstimatedRows == nil {
				r.op.Held.EstimatedRows = e.estimate(ctx, s, a, &r, string(r.op.Held.Shape))
			}
			return core.Answer{}, held
		}
	}
	if err != nil {
		return r.missed.word(access.AsDenial(err), r.catalog), nil
	}
	if !e.plan(r.catalog, r.masks).Agrees(x.Decision().Masks) {
		return changed(x), nil
	}
	return e.follow(ctx, s, a, core.Answer{Exchange: x, Result: r.result, Catalog: r.catalog}), nil
}

// read understands a question. Without an operation, the answer is final: a refusal, or
// that there is nothing to decide. Of one that is read anew, the catalog is as it is now.
func (e *Engine) read(ctx context.Context, s *session.Session, a *core.Ask, anew bool) (reading, core.Answer) {
	cat, err := e.catalog.get(ctx, s, a.Stale)
	if err == nil && anew {
		cat, err = e.catalog.within(ctx, s, 0)
	}
	if err != nil {
		return reading{}, core.Answer{Denial: access.AsDenial(err)}
	}
	m := e.masksOf(ctx, s, cat)
	result, id, err := e.understand(a, cat, m, nil)
	if ago, copies := copies(a, result, cat); copies {
		before := cat
		if cat, err = e.catalog.within(ctx, s, ago); err != nil {
			return reading{}, core.Answer{Denial: access.AsDenial(err)}
		}
		if cat != before {
			m = e.masksOf(ctx, s, cat)
			result, id, err = e.understand(a, cat, m, nil)
		}
	}
	if a.Backslash && err == nil {
		err = noBackslash(a)
	}
	phase := access.PhaseRun
	if a.Kind == core.AskParse {
		phase = access.PhasePrepare
	}
	if err != nil {
		return reading{}, e.unreadable(ctx, s, a, phase, err)
	}
	var missed absent
	if suspects(result, &a.Session) != nil {
		if missed, err = e.lookFor(ctx, s, a, m, result); err != nil {
			return reading{}, e.unseen(ctx, s, a, phase, err)
		}
		cat, result, id = missed.catalog, missed.result, missed.id
	}
	if result.Empty && a.Kind != core.AskCall {
		return reading{}, core.Answer{Exchange: s.Control(), Result: result, Catalog: cat}
	}
	op := operation(phase, result.Statements)
	keep(op, a, result)
	if op.ID = id; id == 0 {
		op.ID = e.facts.number(op.Statements)
	}
	missed.explain(op)
	ask(op, result.Statements, a.Bound)
	r := reading{op: op, masks: m, catalog: cat, result: result, missed: missed}
	if phase == access.PhaseRun && s.WantsSize() {
		e.size(ctx, s, a, &r)
	}
	return r, core.Answer{}
}

// unseen refuses what a closer look at names has ended: by the reason that the text
// itself gives, or because the look failed.
func (e *Engine) unseen(ctx context.Context, s *session.Session, a *core.Ask, phase access.Phase, err error) core.Answer {
	var ref *analysis.Refusal
	if errors.As(err, &ref) {
		return e.unreadable(ctx, s, a, phase, err)
	}
	return core.Answer{Denial: access.AsDenial(err)}
}

// noBackslash refuses a text that the server, with standard_conforming_strings
// off, may read otherwise than the analyzer has: one with a backslash in it.
// Without any, both settings read the same.
func noBackslash(a *core.Ask) error {
	texts := []string{a.Text}
	for i := range a.May {
		text, _ := a.Candidate(i)
		texts = append(texts, text)
	}
	for _, text := range texts {
		if strings.ContainsRune(text, '\\') {
			return &analysis.Refusal{
				Code: "42601", Message: "tidewaiter: a backslash cannot be read safely after standard_conforming_strings was changed",
				Hint: "SET standard_conforming_strings = on at the start of a session, or pass the value as a parameter.",
			}
		}
	}
	return nil
}

// understand returns the facts of what a asks for.
func (e *Engine) understand(a *core.Ask, cat *catalog.Snapshot, m masks, without []analysis.Absence) (*analysis.Result, uint64, error) {
	switch a.Kind {
	case core.AskCall:
		return functionCall(a.Function, cat), 0, nil
	case core.AskExecute:
		return e.candidates(a, cat, m, without)
	}
	return e.facts.analyze(a.Text, &a.Session, cat, e.plan(cat, m), e.analysisOptions(without))
}

// candidates returns the facts of every statement that a portal may run: mostly
// one. A text is read again, since the catalog may have changed since Parse.
func (e *Engine) candidates(a *core.Ask, cat *catalog.Snapshot, m masks, without []analysis.Absence) (*analysis.Result, uint64, error) {
	if len(a.May) == 1 {
		if text, _ := a.Candidate(0); text != "" {
			return e.candidate(a, 0, cat, m, without)
		}
	}
	all := &analysis.Result{}
	for i := range a.May {
		if text, facts := a.Candidate(i); text == "" {
			if err := e.plan(cat, m).Current(facts); err != nil {
				return nil, 0, err
			}
			for i := range facts {
				all.Statements = append(all.Statements, *facts[i].Under(cat))
			}
			continue
		}
		r, _, err := e.candidate(a, i, cat, m, without)
		if err != nil {
			return nil, 0, err
		}
		all.Statements = append(all.Statements, r.Statements...)
	}
	all.Empty = len(all.Statements) == 0
	return all, 0, nil
}

// candidate returns the facts of the i-th. The server has the text that was sent at
// Parse, which must be the one to run now.
func (e *Engine) candidate(a *core.Ask, i int, cat *catalog.Snapshot, m masks, without []analysis.Absence) (*analysis.Result, uint64, error) {
	text, _ := a.Candidate(i)
	r, id, err := e.facts.analyze(text, &a.Session, cat, e.plan(cat, m), e.analysisOptions(without))
	if err == nil && !a.Sent(i, r.Runs) {
		return nil, 0, prepareAgain
	}
	return r, id, err
}

func (e *Engine) analysisOptions(without []analysis.Absence) analysis.Options {
	return analysis.Options{Without: without, Trusted: *e.trusted.Load(), Limits: analysis.Limits{MaxText: e.opt.Core.MaxText}}
}

// functionCall is the protocol's FunctionCall message as a statement.
func functionCall(oid uint32, cat *catalog.Snapshot) *analysis.Result {
	st := analysis.Statement{Touches: cat.AnyTagged(), Derived: cat.AllTags(), ReturnsRows: true}
	st.Kind = "Select"
	st.Features = []access.Feature{{
		Name: "FunctionCall", Construct: fmt.Sprintf("the protocol's FunctionCall of function %d", oid),
		Effect: "It would run a function by its number, past everything that reads statements.",
	}}
	return &analysis.Result{Statements: []analysis.Statement{st}}
}

// unreadable records and words the refusal of a text that was not understood. It
// goes through the session like any other, so that it is recorded, and is refused
// whatever policy says.
func (e *Engine) unreadable(ctx context.Context, s *session.Session, a *core.Ask, phase access.Phase, err error) core.Answer {
	op := &access.Operation{Protocol: e.Name(), Phase: phase, Statements: []access.Statement{{}}}
	unread(op, a)
	x, denied := s.Begin(ctx, op)
	var ref *analysis.Refusal
	if !errors.As(err, &ref) {
		ref = &analysis.Refusal{Code: "42601", Message: "tidewaiter: the statement could not be understood"}
	}
	we := &wire.Error{Severity: "ERROR", Code: ref.Code, Message: ref.Message, Detail: ref.Detail, Hint: ref.Hint}
	if ref.Position > 0 {
		we.Extra = []wire.ErrorField{{Type: 'P', Value: fmt.Sprint(ref.Position)}}
	}
	if denied == nil {
		denied = x.End(access.Ended{Outcome: access.OutcomeDenied, Code: ref.Code, Message: "tidewaiter: the statement could not be understood"}) // the client's message quotes it
	}
	if d := access.AsDenial(denied); denied != nil && d.Code == access.CodeUnavailable {
		return core.Answer{Denial: d}
	}
	return core.Answer{Error: we}
}

// operation words statements for the session.
func operation(phase access.Phase, stmts []analysis.Statement) *access.Operation {
	op := &access.Operation{Protocol: "postgres", Phase: phase}
	for i := range stmts {
		op.Statements = append(op.Statements, stmts[i].Facts()...)
	}
	return op
}
