// Package explain says what would happen to a statement, without running it: what it is taken for, what is decided and
// by which rule, and what becomes of every column of its result.
//
// It asks the same analysis and the same policy as a proxy does, and the database for its catalog and for the names and
// types of the columns; no statement is executed. It must not know flags, files, terminals or how bundles are made.
package explain

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/rewrite"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// patience bounds everything that is asked of the database.
const patience = 30 * time.Second

// Run explains a text of one or more statements for the subject of a source. An error means that nothing can be said of
// it: the database did not answer, or the policy could not be evaluated. A text that cannot be understood is denied, which is no error.
func Run(ctx context.Context, source *local.Source, sql string) (*Report, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	db := &database{source: source}
	defer db.close()
	catalog, err := db.catalog(ctx)
	if err != nil {
		return nil, err
	}
	report := &Report{SQL: sql, DataSource: source.Name, Subject: source.Identity.Subject()}
	plain, result, err := read(ctx, source, catalog, sql)
	if err != nil {
		return report, report.notUnderstood(err)
	}
	if result.Empty {
		return nil, errors.New("there is no statement to explain")
	}
	op := operation(source, result.Statements)
	decision, err := source.Decider.Decide(ctx, source.Identity, op)
	if err != nil {
		return nil, err
	}
	report.decided(op, decision)
	for i := range result.Statements {
		st := &result.Statements[i]
		next := statement(st)
		if i < len(result.Parts) {
			next.Runs = strings.TrimSpace(result.Parts[i])
		}
		if decision.Effect != access.Deny {
			p := planner{catalog: catalog, masks: decision.Masks}
			var note string
			if next.Columns, note = p.columns(ctx, db, &plain.Statements[i]); note == "" {
				note = p.runs(ctx, db, st, next.Runs)
			}
			if note != "" {
				next.Note = note
			}
		}
		report.Statements = append(report.Statements, next)
	}
	return report, nil
}

// read returns the facts of a text, as its client wrote it and as it would run: where policy masks at the source, those are two
// texts.
func read(ctx context.Context, source *local.Source, catalog *catalog.Snapshot, sql string) (plain, runs *analysis.Result, err error) {
	options := analysis.Options{Trusted: source.Settings.Trusted}
	if plain, err = analysis.Analyze(sql, &analysis.State{}, catalog, options); err != nil {
		return nil, nil, err
	}
	masker, ok := source.Decider.(session.Masker)
	if !ok || !catalog.AnyTagged() {
		return plain, plain, nil
	}
	masks, _, err := masker.Masks(ctx, catalog.AllTags())
	if err != nil {
		return nil, nil, err
	}
	runs, err = rewrite.New(catalog, masks).Apply(sql, &analysis.State{}, plain, options)
	return plain, runs, err
}

// operation is what a proxy would ask policy about.
func operation(source *local.Source, statements []analysis.Statement) *access.Operation {
	op := &access.Operation{Protocol: source.Settings.Protocol, DataSource: source.Name, Phase: access.PhaseRun}
	for i := range statements {
		op.Statements = append(op.Statements, statements[i].Facts()...)
	}
	return op
}

// notUnderstood makes the report a denial in the analyzer's words. An error that is not the analyzer's is returned.
func (r *Report) notUnderstood(err error) error {
	var refusal *analysis.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	r.Effect, r.What, r.Detail, r.Hint = access.Deny.String(), refusal.Message, refusal.Detail, refusal.Hint
	r.Position = refusal.Position
	return nil
}

// decided puts the decision into the report; a refusal in the words that a client would read.
func (r *Report) decided(op *access.Operation, d access.Decision) {
	r.Effect, r.Policy, r.Rule, r.Observed, r.Flags = d.Effect.String(), d.Policy, d.Rule, d.Observed, d.Flags
	if d.Limits.Any() {
		r.Limits = limits(d.Limits)
	}
	if d.Probes.Any() {
		r.Probes = probes(d.Probes)
	}
	if d.Effect == access.Allow {
		r.Detail = d.Reason
		return
	}
	denial := session.DenialFor(op, d)
	r.What, r.Detail, r.Hint = denial.What, denial.Detail, denial.Hint
	if d.Effect == access.RequireApproval {
		r.Approval = approval(d.Approval)
	}
}
