package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/tidewaiter/tidewaiter/test/corpus"
	"github.com/tidewaiter/tidewaiter/test/redteam/mutate"
)

// attack is a run in progress.
type attack struct {
	judge   *corpus.Judge
	options options
	out     io.Writer
	ends    time.Time

	categories []string
	tallies    map[string]*tally
}

// tally is a line of the table.
type tally struct {
	rows, mutations, dropped int
	verdicts                 map[string]int
}

// The table's columns after the counts; falsePositive is an over-block of a benign row, wrongKind everything else that is not as
// expected without being a leak.
const (
	leak          = "leaks"
	overBlock     = "over-blocks"
	falsePositive = "false positives"
	wrongKind     = "wrong kind"
	broken        = "broken"
)

var columns = []string{leak, overBlock, falsePositive, wrongKind, broken}

// slow is how long a variant may take before its row gets only a few.
const (
	slow      = 2 * time.Second
	fewIfSlow = 3
)

// row tries a row as it is and then its variants, until enough were accepted by PostgreSQL.
func (a *attack) row(ctx context.Context, row corpus.Row) error {
	t := a.tally(row.Category)
	t.rows++
	plain := corpus.Variant{Name: "as it is", SQL: row.SQL, Prepared: row.NeedsParameters(), Binary: false}
	wanted, accepted := a.options.mutations, 0
	for _, v := range append([]corpus.Variant{plain}, mutate.Variants(row, a.options.seed, 4*wanted)...) {
		if accepted >= wanted || time.Now().After(a.ends) {
			break
		}
		began := time.Now()
		result, isStatement, err := a.judge.Try(ctx, row, v)
		if err != nil {
			return fmt.Errorf("row %s (%s): %w", row.ID, v.Name, err)
		}
		if time.Since(began) > slow {
			wanted = min(wanted, accepted+1, fewIfSlow)
		}
		switch {
		case !isStatement:
			t.dropped++
			continue
		case v.Name != plain.Name:
			accepted++
			t.mutations++
		}
		a.note(t, v, result)
	}
	return nil
}

func (a *attack) tally(category string) *tally {
	if a.tallies == nil {
		a.tallies = map[string]*tally{}
	}
	if a.tallies[category] == nil {
		a.tallies[category] = &tally{verdicts: map[string]int{}}
		a.categories = append(a.categories, category)
	}
	return a.tallies[category]
}

func (a *attack) note(t *tally, v corpus.Variant, result corpus.Result) {
	if result.Verdict == corpus.AsExpected {
		return
	}
	column := columnOf(result)
	t.verdicts[column]++
	if column == leak || column == broken || a.options.details {
		fmt.Fprintf(a.out, "%s\t%s (%s)\t%s\n  before: %q\n  sql:    %q\n  after:  %q\n  %s\n", result.Verdict, result.Row.ID, result.Row.Expected,
			result.Mode, v.Before, v.SQL, v.After, result.Detail)
	}
}

func columnOf(result corpus.Result) string {
	switch result.Verdict {
	case corpus.Leak:
		return leak
	case corpus.Broken:
		return broken
	case corpus.OverBlocked:
		if result.Row.Expected == corpus.Allow {
			return falsePositive
		}
		return overBlock
	default:
		return wrongKind
	}
}

// count sums a verdict's column over all categories.
func (a *attack) count(verdict corpus.Verdict) int {
	sum := 0
	for _, t := range a.tallies {
		sum += t.verdicts[columnOf(corpus.Result{Verdict: verdict})]
	}
	return sum
}

func (a *attack) writeTable() error {
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "category\trows\tmutations\tno statement")
	for _, column := range columns {
		fmt.Fprintf(table, "\t%s", column)
	}
	fmt.Fprintln(table, "\t")
	all := tally{verdicts: map[string]int{}}
	for _, category := range slices.Concat(a.categories, []string{"all"}) {
		t := &all
		if category != "all" {
			t = a.tallies[category]
			all.rows, all.mutations, all.dropped = all.rows+t.rows, all.mutations+t.mutations, all.dropped+t.dropped
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d", category, t.rows, t.mutations, t.dropped)
		for _, column := range columns {
			if category != "all" {
				all.verdicts[column] += t.verdicts[column]
			}
			fmt.Fprintf(table, "\t%d", t.verdicts[column])
		}
		fmt.Fprintln(table, "\t")
	}
	return table.Flush()
}
