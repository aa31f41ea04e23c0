// Command redteam attacks a proxy with a corpus of statements in every dress that test/redteam/mutate has for them, and judges the
// bytes that the client's socket received: values of the schema, raw and encoded, and what became of statements that must pass.
//
//	go run ./test/redteam [-corpus FOLDER] [-mutations 24] [-seed 1] [-only X105,X107] [-at-source]
//	go run ./test/redteam -direct postgres://… -proxy postgres://…
//
// It starts a PostgreSQL server and the product's local data path in front of it, or takes the two that are named. The first leak
// makes its status 1. See docs/redteam.md. It must not import a package of the product.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
	"github.com/tidewaiter/tidewaiter/test/corpus"
)

// options are the flags.
type options struct {
	corpus, only  string
	direct, proxy string
	mutations     int
	every         int
	seed          uint64
	limit         time.Duration
	details       bool
	source        bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.corpus, "corpus", "", "a folder of *.tsv with the columns id, category, sql, expected, why; empty for the repository's")
	flag.StringVar(&o.only, "only", "", "rows or categories, with commas between; empty for all")
	flag.StringVar(&o.direct, "direct", "", "with -proxy: the URL of a PostgreSQL with the corpus's schema, without a proxy")
	flag.StringVar(&o.proxy, "proxy", "", "with -direct: the URL of the proxy in front of it, under the corpus's policy")
	flag.IntVar(&o.mutations, "mutations", 24, "of each row, where PostgreSQL accepts as many")
	flag.IntVar(&o.every, "every", 1, "take only every n-th row")
	flag.Uint64Var(&o.seed, "seed", 1, "the same seed makes the same statements")
	flag.DurationVar(&o.limit, "limit", time.Hour, "end after this time, with what was seen until then; it is said when rows were left out")
	flag.BoolVar(&o.details, "details", false, "print each run that is not as expected, not only leaks")
	flag.BoolVar(&o.source, "at-source", false, "mask in mode Source; then what is to be blocked may run, since it sees masks")
	flag.Parse()
	leaks, err := redteam(ctx, o, os.Stdout)
	if err == nil && leaks > 0 {
		err = fmt.Errorf("%d leaks", leaks)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "redteam:", err)
		stop()
		os.Exit(1)
	}
}

// redteam runs everything and prints the table. The number is that of the leaks.
func redteam(ctx context.Context, o options, out io.Writer) (leaks int, err error) {
	if (o.direct == "") != (o.proxy == "") {
		return 0, errors.New("-direct and -proxy go together: what the proxy answers is compared with what the server answers")
	}
	rows, err := loadRows(o)
	if err != nil {
		return 0, err
	}
	judge, err := newJudge(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, judge.Close()) }()
	attack := attack{judge: judge, options: o, out: out, ends: time.Now().Add(o.limit)}
	for i, row := range rows {
		if time.Now().After(attack.ends) {
			fmt.Fprintf(out, "the time is over: %d of %d rows were left out, %s first\n", len(rows)-i, len(rows), row.ID)
			break
		}
		if err := attack.row(ctx, row); err != nil {
			return attack.count(corpus.Leak), err
		}
	}
	return attack.count(corpus.Leak), attack.writeTable()
}

func newJudge(ctx context.Context, o options) (*corpus.Judge, error) {
	if o.proxy != "" {
		return corpus.NewRemoteJudge(ctx, o.direct, o.proxy)
	}
	dir, err := os.MkdirTemp("", "tidewaiter-redteam-")
	if err != nil {
		return nil, err
	}
	binary, err := localproxy.Build(ctx, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	start := corpus.LocalProxy(binary)
	if o.source {
		start = corpus.LocalProxyAtSource(binary)
	}
	judge, err := corpus.NewJudge(ctx, start)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	judge.OnClose(func() error { return os.RemoveAll(dir) })
	return judge, nil
}

// loadRows are the rows that the flags choose.
func loadRows(o options) ([]corpus.Row, error) {
	all, err := allRows(o.corpus)
	if err != nil {
		return nil, err
	}
	only := strings.FieldsFunc(o.only, func(r rune) bool { return r == ',' || r == ' ' })
	var rows []corpus.Row
	for i, row := range all {
		if len(only) == 0 && i%max(o.every, 1) == 0 || slices.Contains(only, row.ID) || slices.Contains(only, row.Category) {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no row is chosen: -only %q names none of %d rows", o.only, len(all))
	}
	return rows, nil
}

func allRows(folder string) ([]corpus.Row, error) {
	var all []corpus.Row
	if folder == "" {
		for _, name := range []string{"exfil.tsv", "benign.tsv"} {
			rows, err := corpus.Load(name)
			if err != nil {
				return nil, err
			}
			all = append(all, rows...)
		}
		return all, nil
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.tsv"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("-corpus %s: the folder has no *.tsv", folder)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		rows, err := corpus.Parse(file, string(content))
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}
