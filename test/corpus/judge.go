package corpus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// StartProxy starts a proxy in front of a database of a server, under the manifests of [Policy], and says where a client finds
// it and how to stop it. It is called again whenever a row has changed the database, which is then a new one of the same name.
type StartProxy func(ctx context.Context, server *postgrestest.Server, database string) (Target, func() error, error)

// Verdict is what became of a row.
type Verdict string

// The verdicts, from good to worst.
const (
	AsExpected   Verdict = "as expected"
	OverBlocked  Verdict = "over-blocked"  // denied though it should run: safe, but in the way
	Different    Verdict = "different"     // it ran or failed in another way than without the proxy
	Dependent    Verdict = "dependent"     // no canary was found, but what was received depends on the secrets
	UnderBlocked Verdict = "under-blocked" // it ran, or reached the server, though it should be denied
	Broken       Verdict = "broken"        // the connection did not survive
	Leak         Verdict = "LEAK"          // a canary was received
)

// Result is one run of a row.
type Result struct {
	Row     Row
	Mode    string
	Verdict Verdict
	Detail  string // for people: what was found, or the error
}

// database is one of the judge's databases. Direct and through are apart so that each starts from the same state.
type database struct {
	name, template string
	start          StartProxy // nil for the direct one
	target         Target
	stop           func() error
}

// Judge runs rows and judges them. It is not safe for concurrent use.
type Judge struct {
	server   *postgrestest.Server
	admin    *pgconn.PgConn
	log      *serverLog
	canaries *canaries
	markers  int

	direct  *database // schema.sql, no proxy
	through *database // schema.sql, behind a proxy
	other   *database // the same with other secrets, behind a proxy; nil for a remote judge

	onClose []func() error
}

// OnClose has something done when the judge is closed.
func (j *Judge) OnClose(do func() error) { j.onClose = append(j.onClose, do) }

// NewJudge starts a server with the corpora's schema, and the proxies in front of it. The caller must Close the judge.
func NewJudge(ctx context.Context, start StartProxy) (*Judge, error) {
	log := newServerLog()
	server, err := postgrestest.Start(ctx, postgrestest.Options{Log: log, Parameters: map[string]string{
		"log_min_duration_statement": "0",  // logs every Parse, Bind and Execute
		"statement_timeout":          "5s", // a row of category dos would run for days
		"lock_timeout":               "2s",
		"shared_preload_libraries":   "pg_stat_statements",
	}})
	if err != nil {
		return nil, err
	}
	judge := &Judge{
		server: server, log: log, canaries: newCanaries(),
		direct:  &database{name: "corpus_direct", template: "template_corpus"},
		through: &database{name: "corpus", template: "template_corpus", start: start},
		other:   &database{name: "corpus_other", template: "template_other", start: start},
	}
	if err := judge.prepare(ctx); err != nil {
		return nil, errors.Join(err, judge.Close())
	}
	return judge, nil
}

func (j *Judge) prepare(ctx context.Context) error {
	steps := []struct{ database, template, file string }{
		{"template_corpus", "", "schema.sql"},
		{"template_corpus", "", "extras.sql"},
		{"template_other", "template_corpus", "othersecrets.sql"},
	}
	made := map[string]bool{}
	for _, step := range steps {
		if !made[step.database] {
			made[step.database] = true
			if err := j.server.CreateDatabase(ctx, step.database, step.template); err != nil {
				return err
			}
		}
		sql, err := sqlFile(step.file)
		if err != nil {
			return err
		}
		if err := j.runScript(ctx, step.database, sql); err != nil {
			return fmt.Errorf("%s: %w", step.file, err)
		}
	}
	var err error
	if j.admin, err = pgconn.Connect(ctx, j.server.DSN("")); err != nil {
		return err
	}
	for _, db := range []*database{j.direct, j.through, j.other} {
		if err := j.reset(ctx, db); err != nil {
			return err
		}
	}
	return nil
}

// runScript runs one statement at a time, so that VACUUM may be among them. In our scripts a statement ends with its line.
func (j *Judge) runScript(ctx context.Context, database, sql string) error {
	for statement := range strings.SplitSeq(sql, ";\n") {
		if err := j.server.Exec(ctx, database, statement); err != nil {
			return err
		}
	}
	return nil
}

// reset makes a database new, with a proxy of its own in front if it has one, and takes back what a row may have set for all.
func (j *Judge) reset(ctx context.Context, db *database) error {
	if j.server == nil {
		return nil // somebody else's
	}
	if db.stop != nil {
		if err := db.stop(); err != nil {
			return fmt.Errorf("stopping the proxy of %s: %w", db.name, err)
		}
		db.stop = nil
	}
	for _, sql := range []string{
		"DROP DATABASE IF EXISTS " + db.name + " WITH (FORCE)", "CREATE DATABASE " + db.name + " TEMPLATE " + db.template,
		"ALTER SYSTEM RESET ALL", "ALTER ROLE ALL RESET ALL", "ALTER ROLE " + j.server.Superuser + " RESET ALL",
	} {
		if _, err := j.admin.Exec(ctx, sql).ReadAll(); err != nil {
			return err
		}
	}
	db.target = Target{Address: j.server.Address(), Database: db.name, User: j.server.Superuser, Password: j.server.Password}
	if db.start == nil {
		return nil
	}
	var err error
	db.target, db.stop, err = db.start(ctx, j.server, db.name)
	return err
}

// Close stops the proxies and the server.
func (j *Judge) Close() error {
	var errs []error
	for _, do := range j.onClose {
		errs = append(errs, do())
	}
	for _, db := range []*database{j.direct, j.through, j.other} {
		if db != nil && db.stop != nil {
			errs = append(errs, db.stop())
		}
	}
	if j.admin != nil {
		errs = append(errs, j.admin.Close(context.Background()))
	}
	if j.server != nil {
		errs = append(errs, j.server.Stop())
	}
	return errors.Join(errs...)
}

// Run runs a row in each of its modes.
func (j *Judge) Run(ctx context.Context, row Row) ([]Result, error) {
	var results []Result
	for _, how := range modesOf(row) {
		result, err := j.runOnce(ctx, row, how)
		if err != nil {
			return results, fmt.Errorf("row %s (%s): %w", row.ID, how, err)
		}
		results = append(results, result)
	}
	return results, nil
}

func (j *Judge) runOnce(ctx context.Context, row Row, how mode) (Result, error) {
	var direct outcome
	var err error
	if row.Expected != Block && row.Expected != Approve { // those are not for a bare server
		if direct, _, err = j.runIn(ctx, j.direct, row, how); err != nil {
			return Result{}, err
		}
	}
	through, reached, err := j.runIn(ctx, j.through, row, how)
	if err != nil {
		return Result{}, err
	}
	result := Result{Row: row, Mode: string(how)}
	result.Verdict, result.Detail = j.verdict(row, direct, through, reached)
	if result.Verdict == AsExpected && row.Expected == Mask {
		dependent, err := j.dependsOnSecrets(ctx, row, how, through)
		if err != nil {
			return Result{}, err
		}
		if dependent {
			result.Verdict, result.Detail = Dependent, "other secrets give other bytes"
		}
	}
	return result, nil
}

// dependsOnSecrets says whether a row's answer changes with the secrets, in an encoding or by a way that nobody thought of. An
// answer that changes by itself, such as the server's statistics, proves nothing.
func (j *Judge) dependsOnSecrets(ctx context.Context, row Row, how mode, through outcome) (bool, error) {
	other, _, err := j.runIn(ctx, j.other, row, how)
	if err != nil || bytes.Equal(through.received, other.received) {
		return false, err
	}
	again, _, err := j.runIn(ctx, j.through, row, how)
	return bytes.Equal(through.received, again.received), err
}

// runIn runs a row in a database, says whether its text reached the server, and leaves the database as new.
func (j *Judge) runIn(ctx context.Context, db *database, row Row, how mode) (outcome, bool, error) {
	before, err := j.lastTransaction(ctx)
	if err != nil {
		return outcome{}, false, err
	}
	out, err := run(ctx, db.target, row, how)
	if err != nil {
		return out, false, err
	}
	log, err := j.takeLog(ctx)
	if err != nil {
		return out, false, err
	}
	after, err := j.lastTransaction(ctx)
	if err != nil {
		return out, false, err
	}
	if before != after || out.broken != nil {
		err = j.reset(ctx, db)
	}
	return out, strings.Contains(log, row.SQL), err
}

// lastTransaction moves exactly when a transaction has written something: only those get a number.
func (j *Judge) lastTransaction(ctx context.Context) (string, error) {
	results, err := j.admin.Exec(ctx, "SELECT pg_snapshot_xmax(pg_current_snapshot())").ReadAll()
	if err != nil {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}

func (j *Judge) takeLog(ctx context.Context) (string, error) {
	if j.server == nil {
		return "", nil // nobody shows it to us
	}
	j.markers++
	marker := fmt.Sprintf("-- marker %d.", j.markers)
	if _, err := j.admin.Exec(ctx, "SELECT 1 "+marker).ReadAll(); err != nil {
		return "", err
	}
	return j.log.take(ctx, marker)
}

// verdict judges one run; direct is empty for rows that must not run.
func (j *Judge) verdict(row Row, direct, through outcome, reached bool) (Verdict, string) {
	if found := j.canaries.found(through.received, through.frames, row.SQL); len(found) > 0 {
		return Leak, strings.Join(found, "; ")
	}
	if through.broken != nil {
		return Broken, through.broken.Error()
	}
	if row.Expected == Block || row.Expected == Approve {
		return verdictOnDenied(row, through, reached)
	}
	switch {
	case through.sqlstate() == direct.sqlstate() && (row.Expected != Allow || through.sameAnswer(direct)):
		return AsExpected, ""
	case through.blocked():
		return OverBlocked, through.failure.Message
	default:
		return Different, describe(through) + ", without the proxy: " + describe(direct)
	}
}

func verdictOnDenied(row Row, through outcome, reached bool) (Verdict, string) {
	switch {
	case through.sqlstate() == "42501" && reached:
		return UnderBlocked, "denied, but its text reached the server"
	case through.blocked(), row.lenient():
		return AsExpected, ""
	default:
		return UnderBlocked, describe(through)
	}
}

func describe(out outcome) string {
	if out.failure != nil {
		return "ERROR " + out.failure.Code + ": " + out.failure.Message
	}
	var kinds []byte
	for _, f := range out.answer() {
		kinds = append(kinds, f.kind)
	}
	return fmt.Sprintf("ran (%s)", slices.Compact(kinds))
}
