// Command lineage makes SQL statements by chance, over a schema with tagged columns, and holds what the analysis says of each against
// what PostgreSQL does: the same statement runs on databases that differ in the values of one tag alone. An output that differs must
// be one that lineage calls tagged; so must one that the plan computes from a tagged column.
//
//	go run ./test/lineage [-n 100000] [-first 0] [-seed 1] [-show 5]
//
// It starts a PostgreSQL server of its own. Its status is 1 if lineage has missed anything.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

type options struct {
	seed, first, n uint64
	show           int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.Uint64Var(&o.n, "n", 100_000, "how many statements")
	flag.Uint64Var(&o.first, "first", 0, "the number of the first; the same seed and number make the same statement")
	flag.Uint64Var(&o.seed, "seed", 1, "of the statements")
	flag.IntVar(&o.show, "show", 5, "how many findings of each kind are printed, the shortest first")
	flag.Parse()
	r, err := lineage(ctx, o, os.Stdout)
	if err == nil && r.missed() > 0 {
		err = fmt.Errorf("%d times something was missed", r.missed())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lineage:", err)
		stop()
		os.Exit(1)
	}
}

// report sums up.
type report struct {
	made, accepted, pure, blocked                int
	columns, judged, tagged, differs, same, over int
	overStatements                               int
	byKind                                       map[string][]finding
	byBlocker, byConstruct                       map[string]int
}

func (r *report) missed() int {
	sum := 0
	for kind, list := range r.byKind {
		if strings.HasPrefix(kind, "missed") {
			sum += len(list)
		}
	}
	return sum
}

// lineage makes and judges statements and prints the table.
func lineage(ctx context.Context, o options, w io.Writer) (*report, error) {
	d, err := openDatabases(ctx)
	if err != nil {
		return nil, err
	}
	r := &report{byKind: map[string][]finding{}, byBlocker: map[string]int{}, byConstruct: map[string]int{}}
	began := time.Now()
	for i := o.first; i < o.first+o.n && err == nil && ctx.Err() == nil; i++ {
		if r.made%100 == 0 {
			if err = d.clean(ctx); err != nil {
				break
			}
		}
		st := newMaker(o.seed, i).statement(i)
		var out outcome
		if out, err = d.judge(ctx, st); err == nil {
			r.add(st, out)
		}
		if r.made%5000 == 0 {
			fmt.Fprintf(os.Stderr, "lineage: %d statements, %d accepted, %d missed, %s\n", r.made, r.accepted, r.missed(), time.Since(began).Round(time.Second))
		}
	}
	if closing := d.close(); err == nil {
		err = closing
	}
	r.write(w, o.show)
	return r, err
}

func (r *report) add(st statement, out outcome) {
	r.made++
	if !out.accepted {
		return
	}
	r.accepted++
	for construct := range st.used {
		r.byConstruct[construct]++
	}
	for _, feature := range out.blocked {
		r.byBlocker[feature]++
	}
	if len(out.blocked) > 0 {
		r.blocked++
	}
	if out.pure {
		r.pure++
	}
	if out.over > 0 {
		r.overStatements++
	}
	r.columns, r.judged, r.tagged, r.differs = r.columns+out.columns, r.judged+out.judged, r.tagged+out.tagged, r.differs+out.differs
	r.same, r.over = r.same+out.same, r.over+out.over
	for _, f := range out.findings {
		r.byKind[f.kind] = append(r.byKind[f.kind], f)
	}
}

func (r *report) write(w io.Writer, show int) {
	for _, kind := range sorted(r.byKind) {
		list := r.byKind[kind]
		slices.SortStableFunc(list, func(a, b finding) int { return cmp.Compare(len(a.sql), len(b.sql)) })
		fmt.Fprintf(w, "%s: %d\n", kind, len(list))
		for _, f := range list[:min(show, len(list))] {
			fmt.Fprintf(w, "  statement %d: %s\n    %s\n", f.number, f.text, f.sql)
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name string, n, of int) {
		fmt.Fprintf(table, "%s\t%d\t%.2f %%\n", name, n, 100*float64(n)/float64(max(of, 1)))
	}
	line("statements", r.made, r.made)
	line("accepted by the server", r.accepted, r.made)
	line("without a predicate on a tagged column", r.pure, r.accepted)
	line("with a feature that needs a rule", r.blocked, r.accepted)
	for _, feature := range sorted(r.byBlocker) {
		line("  "+feature, r.byBlocker[feature], r.accepted)
	}
	line("not understood", len(r.byKind[notUnderstood]), r.accepted)
	line("columns", r.columns, r.columns)
	line("columns with a value", r.judged, r.columns)
	line("tagged by lineage", r.tagged, r.columns)
	line("that differ", r.differs, r.columns)
	line("tagged and the same with all other values", r.same, r.judged)
	line("  and not computed from a tagged column (over-masked)", r.over, r.judged)
	line("statements with such a column", r.overStatements, r.accepted)
	line("missed", r.missed(), r.accepted)
	_ = table.Flush()
	fmt.Fprintln(w, "constructs, in accepted statements:")
	var parts []string
	for _, construct := range sorted(r.byConstruct) {
		parts = append(parts, fmt.Sprintf("%s %d", construct, r.byConstruct[construct]))
	}
	fmt.Fprintln(w, " ", strings.Join(parts, ", "))
}

func sorted[T any](m map[string]T) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
