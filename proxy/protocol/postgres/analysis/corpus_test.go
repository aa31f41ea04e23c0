package analysis_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

var update = flag.Bool("update", false, "rewrite golden files and generated lists")

func TestMain(m *testing.M) { postgrestest.Main(m) }

var (
	snapshotOnce sync.Once
	snapshot     *catalog.Snapshot
)

// corpus returns the catalog of the corpora's schema, with what a real server has
// besides: the system's relations, types and functions.
func corpus(t testing.TB) *catalog.Snapshot {
	t.Helper()
	snapshotOnce.Do(func() {
		schema, err := os.ReadFile(filepath.Join("testdata", "schema.sql"))
		if err != nil {
			t.Fatal(err)
		}
		server := postgrestest.Shared(t)
		conn, err := pgconn.Connect(context.Background(), server.DSN(server.NewDatabase(t, string(schema))))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		snapshot, err = catalog.Load(context.Background(), conn, []catalog.Classification{
			{Columns: []string{"public.customers.ssn"}, Tags: []string{"pii/ssn"}},
			{Columns: []string{"public.customers.card_number"}, Tags: []string{"pci/pan"}},
			{Columns: []string{"public.customers.email"}, Tags: []string{"pii/email"}},
			{Columns: []string{"public.api_keys.secret"}, Tags: []string{"secret/api-key"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if snapshot == nil {
		t.Fatal("the corpus's catalog could not be loaded")
	}
	return snapshot
}

type row struct{ id, category, sql, expected, why string }

func rows(t testing.TB, file string) []row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var all []row
	for _, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n")[1:] {
		f := strings.Split(line, "\t")
		all = append(all, row{f[0], f[1], f[2], f[3], f[4]})
	}
	return all
}

// facts renders what was understood of a text, as the golden files show it.
func facts(text string, st *analysis.State, cat *catalog.Snapshot) string {
	result, err := analysis.Analyze(text, st, cat, analysis.Options{})
	if err != nil {
		var refusal *analysis.Refusal
		if !errors.As(err, &refusal) {
			return fmt.Sprintf("  failed: %s\n", err)
		}
		return fmt.Sprintf("  refused %s: %s\n", refusal.Code, err)
	}
	var b strings.Builder
	for _, s := range result.Statements {
		line(&b, "", s.Statement)
		for _, inner := range s.Inner {
			line(&b, "with ", inner)
		}
		if s.Touches {
			b.WriteString("  touches\n")
		}
		if len(s.Derived) > 0 {
			fmt.Fprintf(&b, "  derived %s\n", strings.Join(s.Derived, " "))
		}
		outputs(&b, s.Outputs)
		effects(&b, s.Effects)
	}
	return b.String()
}

func line(b *strings.Builder, prefix string, s access.Statement) {
	kind := s.Kind
	if kind == "" {
		kind = "NOT UNDERSTOOD"
	}
	fmt.Fprintf(b, "  %s%s", prefix, kind)
	for _, f := range s.Features {
		fmt.Fprintf(b, " +%s", f.Name)
	}
	for _, r := range s.Resources {
		fmt.Fprintf(b, " %s:%s.%s", r.Access, r.Schema, r.Name)
	}
	if len(s.Tags) > 0 {
		fmt.Fprintf(b, " tags(%s)", strings.Join(s.Tags, " "))
	}
	if len(s.Predicates) > 0 {
		fmt.Fprintf(b, " compares(%s: %s)", strings.Join(s.Predicates, " "), strings.Join(s.PredicateTags, " "))
	}
	b.WriteString("\n")
}

func outputs(b *strings.Builder, outputs []analysis.Output) {
	for _, o := range outputs {
		if len(o.Tags) == 0 {
			continue
		}
		how := "plain"
		if o.Derived {
			how = "derived"
		}
		fmt.Fprintf(b, "  output %s %s %s from %s\n", o.Name, how, strings.Join(o.Tags, " "), from(o.Sources))
	}
}

func effects(b *strings.Builder, effects []analysis.Effect) {
	for _, e := range effects {
		fmt.Fprintf(b, "  effect %s %s\n", effectNames[e.Kind], e.Name)
	}
}

var effectNames = map[analysis.EffectKind]string{
	analysis.SetPath: "SetPath", analysis.SetSetting: "SetSetting", analysis.PrepareName: "PrepareName",
	analysis.DeallocateName: "DeallocateName", analysis.DeallocateAll: "DeallocateAll", analysis.DeclareCursor: "DeclareCursor",
	analysis.CloseCursor: "CloseCursor", analysis.CloseAll: "CloseAll", analysis.DiscardAll: "DiscardAll",
	analysis.DiscardTemp: "DiscardTemp", analysis.CreateTemp: "CreateTemp", analysis.DropName: "DropName", analysis.DDL: "DDL",
	analysis.Begin: "Begin", analysis.Commit: "Commit", analysis.Rollback: "Rollback", analysis.Savepoint: "Savepoint",
	analysis.RollbackTo: "RollbackTo", analysis.Release: "Release", analysis.Listen: "Listen", analysis.Unlisten: "Unlisten",
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range gotLines {
		if i >= len(wantLines) || gotLines[i] != wantLines[i] {
			t.Fatalf("%s:%d differs (-update rewrites it)\n got %s\nwant %s", path, i+1, gotLines[i], strings.Join(wantLines[min(i, len(wantLines)-1):min(i+1, len(wantLines))], ""))
		}
	}
	t.Fatalf("%s has more lines than were found", path)
}

func TestTheFactsOfTheCorporaAreAsRecorded(t *testing.T) {
	for _, file := range []string{"exfil", "benign"} {
		var b strings.Builder
		for _, r := range rows(t, file+".tsv") {
			fmt.Fprintf(&b, "%s %s: %s\n%s", r.id, r.expected, strings.Map(printable, r.sql), facts(r.sql, nil, corpus(t)))
		}
		golden(t, file+".golden", b.String())
	}
}

func printable(r rune) rune {
	if r < ' ' {
		return '·'
	}
	return r
}
