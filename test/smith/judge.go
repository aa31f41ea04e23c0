package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
	"github.com/tidewaiter/tidewaiter/test/tap"
)

// classifications are those of testdata/policy.yaml.
var classifications = []catalog.Classification{
	{Columns: []string{"public.customers.ssn", "public.people.passport", "public.parted.phone", "Mixed*.*.Zuname"}, Tags: []string{"pii/ssn"}},
	{Columns: []string{"public.customers.card_number"}, Tags: []string{"pci/pan"}},
	{Columns: []string{"public.customers.email"}, Tags: []string{"pii/email"}},
	{Columns: []string{"public.api_keys.secret"}, Tags: []string{"secret/api-key"}},
	{Columns: []string{"public.secrets.s_*"}, Tags: []string{"secret/any"}},
}

// trusted are the functions of testdata/policy.yaml.
var trusted = []string{"public.greeted(text)"}

// statementPatience is how long a statement may run, on either way.
const statementPatience = time.Second

// judge asks the bare server and the analyser about each statement whose answer came through the proxy.
type judge struct {
	report  *report
	answers chan tap.Answer
	done    sync.WaitGroup
	direct  *pgconn.PgConn
	catalog *catalog.Snapshot
	dsn     string
}

// newJudge takes answers until finish is called.
func newJudge(ctx context.Context, server *postgrestest.Server, r *report) (*judge, error) {
	dsn := fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=%s sslmode=disable", server.Port, role, server.Password, database)
	j := &judge{report: r, answers: make(chan tap.Answer, 256), dsn: dsn}
	owner, err := pgconn.Connect(ctx, server.DSN(database))
	if err != nil {
		return nil, err
	}
	j.catalog, err = catalog.Load(ctx, owner, classifications, trusted...)
	if err := errors.Join(err, owner.Close(ctx)); err != nil {
		return nil, err
	}
	if err := j.connect(ctx); err != nil {
		return nil, err
	}
	j.done.Go(func() {
		for answer := range j.answers {
			j.judge(context.WithoutCancel(ctx), answer)
		}
	})
	return j, nil
}

func (j *judge) connect(ctx context.Context) (err error) {
	j.direct, err = pgconn.Connect(ctx, j.dsn)
	return err
}

// take is for the relay. It waits while the judge is far behind.
func (j *judge) take(answer tap.Answer) { j.answers <- answer }

// finish judges what was taken. Nothing may be taken any more.
func (j *judge) finish() {
	close(j.answers)
	j.done.Wait()
	j.answers = nil
}

func (j *judge) close() error {
	if j.answers != nil {
		j.finish()
	}
	return j.direct.Close(context.Background())
}

// judge finds out about one statement and notes it.
func (j *judge) judge(ctx context.Context, answer tap.Answer) {
	v := verdict{answer: answer, outcome: outcomeOf(answer)}
	if v.outcome == own {
		j.report.add(v)
		return
	}
	switch v.outcome {
	case answered:
		v.accepted = true
	case denied:
		v.accepted, v.failure = j.accepts(ctx, answer.Query)
	}
	if v.accepted {
		j.understand(&v)
	}
	j.report.add(v)
}

// accepts reports whether the bare server runs a statement to its end, in a transaction that is rolled back.
func (j *judge) accepts(ctx context.Context, query string) (bool, string) {
	if j.direct.IsClosed() {
		if err := j.connect(ctx); err != nil {
			return false, err.Error()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	begin := fmt.Sprintf("BEGIN; SET LOCAL statement_timeout = %d", statementPatience.Milliseconds())
	if err := j.exec(ctx, begin); err != nil {
		return false, err.Error()
	}
	failure := j.exec(ctx, query)
	// Advisory locks outlive a rollback.
	if err := j.exec(ctx, "ROLLBACK; SELECT pg_advisory_unlock_all()"); err != nil {
		_ = j.direct.Close(ctx) // the next statement connects anew
	}
	if failure != nil {
		return false, failure.Error()
	}
	return true, ""
}

// exec runs a text and drops its rows as they come.
func (j *judge) exec(ctx context.Context, query string) error {
	result := j.direct.Exec(ctx, query)
	for result.NextResult() {
		reader := result.ResultReader()
		for reader.NextRow() {
		}
	}
	return result.Close()
}

// understand adds what the analyser says.
func (j *judge) understand(v *verdict) {
	result, err := analysis.Analyze(v.answer.Query, nil, j.catalog, analysis.Options{Trusted: []string{"public.greeted"}})
	if err != nil {
		v.unknown = append(v.unknown, "refused: "+err.Error())
		return
	}
	for i := range result.Statements {
		s := &result.Statements[i]
		v.masked = v.masked || len(s.Derived) > 0
		for _, fact := range s.Facts() {
			if fact.Kind == "" {
				v.unknown = append(v.unknown, "a statement that is not understood")
			}
			for _, f := range fact.Features {
				v.features = append(v.features, f.Name)
				if f.Name == analysis.UnknownFunction {
					v.unknown = append(v.unknown, f.Construct)
				}
			}
		}
	}
	slices.Sort(v.features)
	v.features = slices.Compact(v.features)
}

// outcomeOf classifies what came through the proxy.
func outcomeOf(a tap.Answer) outcome {
	switch {
	case isOwn(a.Query):
		return own
	case a.Code == "":
		return answered
	case strings.HasPrefix(a.Message, "tidewaiter:") && a.Code == "XX000":
		return crashed
	case strings.HasPrefix(a.Message, "tidewaiter:"):
		return denied
	case a.Code == "57014":
		return unfinished
	}
	return failed
}

// questions are the beginnings of the texts by which sqlsmith learns the schema, before it makes any statement.
var questions = []string{
	"select version()", "select case typnamespace when", "select table_name, table_schema, is_insertable_into", "select attname, atttypid from pg_attribute",
	"select conname from pg_class", "select oprname, oprleft", "select (select nspname from pg_namespace where oid = pronamespace)", "select unnest(proargtypes) from pg_proc",
}

// isOwn reports whether a text is one of those with which sqlsmith steers its session and learns the schema, not a statement that it
// made.
func isOwn(query string) bool {
	text := strings.ToLower(strings.Join(strings.Fields(query), " "))
	for _, question := range questions {
		if strings.HasPrefix(text, question) {
			return true
		}
	}
	word, _, _ := strings.Cut(text, " ")
	switch strings.TrimRight(word, ";") {
	case "begin", "rollback", "set", "abort", "commit", "end":
		return true
	}
	return false
}
