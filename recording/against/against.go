// Package against runs a recorded session again, on a copy of its database, and says what comes out otherwise.
//
// It must not know where a recording is kept, nor print anything.
package against

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// Options of a run.
type Options struct {
	// Writes says that statements may run that change something. Left out they are skipped, and the others run in transactions that are read-only.
	Writes bool
	// Timeout of a statement; 0 means 30 s.
	Timeout time.Duration
}

// Verdict is how a statement's second run compares with its first.
type Verdict string

// The verdicts.
const (
	Same    Verdict = "same"
	Differs Verdict = "differs"
	Skipped Verdict = "skipped" // it was not run
)

// Result is what came of one statement.
type Result struct {
	Statement int64   `json:"statement"`
	Text      string  `json:"text"`
	Verdict   Verdict `json:"verdict"`
	// What differs, why it was not run, or a remark.
	What string `json:"what,omitempty"`
}

// maxRows bounds what is kept of a statement to compare: with more rows, only their number is.
const maxRows = 100_000

// run is what was recorded of one operation.
type run struct {
	decided *access.Decided
	columns []access.Column
	rows    [][]access.Value
	cut     bool // not all rows are kept
}

// Copy is a connection to the copy.
type Copy struct{ conn *pgconn.PgConn }

// Open connects to a copy by a connection string, as libpq reads it. Errors do not repeat it: it may hold a password.
func Open(ctx context.Context, dsn string) (*Copy, error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the DSN cannot be read: write it as host=… dbname=… user=… or postgres://…") // err may quote it
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &Copy{conn}, nil
}

// Close ends the connection. What ran has been done.
func (c *Copy) Close(ctx context.Context) error { return c.conn.Close(ctx) }

// Run runs the statements of a recording one after the other, and compares each. Unless Options.Writes, each runs alone, in a
// read-only transaction that is rolled back. It ends with the first error, which is of the recording or of the connection.
func (c *Copy) Run(ctx context.Context, events iter.Seq2[recording.Record, error], o Options) iter.Seq2[Result, error] {
	conn := c.conn
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	return func(yield func(Result, error) bool) {
		if err := prepare(ctx, conn, o); err != nil {
			yield(Result{}, err)
			return
		}
		open := map[int64]*run{}
		for rec, err := range events {
			if err != nil {
				yield(Result{}, err)
				return
			}
			r, ended := gather(open, &rec.Event)
			if r == nil {
				continue
			}
			result, err := again(ctx, conn, r, ended, o)
			result.Statement, result.Text = rec.Event.Statement, r.decided.Text
			if !yield(result, err) || err != nil {
				return
			}
		}
		for _, n := range slices.Sorted(maps.Keys(open)) {
			if !yield(Result{Statement: n, Text: open[n].decided.Text, Verdict: Skipped, What: "its end is not recorded"}, nil) {
				return
			}
		}
	}
}

// prepare sets what holds for the whole session. It is for honest statements: what holds against others is begin.
func prepare(ctx context.Context, conn *pgconn.PgConn, o Options) error {
	if _, err := conn.Exec(ctx, fmt.Sprintf("SET statement_timeout = %d", o.Timeout.Milliseconds())).ReadAll(); err != nil {
		return fmt.Errorf("preparing the session: %w", err)
	}
	return nil
}

// gather keeps what belongs to an operation, and returns it when it has ended.
func gather(open map[int64]*run, e *access.Event) (*run, *access.Ended) {
	switch {
	case e.Decided != nil:
		if e.Decided.Phase != access.PhasePrepare {
			open[e.Statement] = &run{decided: e.Decided}
		}
	case e.Rows != nil:
		if r := open[e.Statement]; r != nil {
			r.add(e.Rows)
		}
	case e.Ended != nil:
		r := open[e.Statement]
		delete(open, e.Statement)
		return r, e.Ended
	}
	return nil, nil
}

func (r *run) add(rows *access.Rows) {
	if len(rows.Columns) > 0 {
		r.columns = rows.Columns
	}
	if len(r.rows)+len(rows.Values) > maxRows {
		r.cut, r.rows = true, nil
	}
	if !r.cut {
		r.rows = append(r.rows, rows.Values...)
	}
}

// again runs an operation, if it can be, and compares.
func again(ctx context.Context, conn *pgconn.PgConn, r *run, ended *access.Ended, o Options) (Result, error) {
	if why := r.unrunnable(ended, o); why != "" {
		return Result{Verdict: Skipped, What: why}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout+5*time.Second) // the server's own bound comes first
	defer cancel()
	got, refused, err := r.guarded(ctx, conn, o)
	switch {
	case err != nil:
		return Result{}, err
	case refused == severalStatements && ended.Outcome == access.OutcomeDone:
		return Result{Verdict: Skipped, What: "it is several statements in one"}, nil
	}
	what, remark := r.compare(ended, got, refused)
	if what != "" {
		return Result{Verdict: Differs, What: what}, nil
	}
	return Result{Verdict: Same, What: remark}, nil
}

// severalStatements is what a server says of more than one statement in a Parse message (syntax_error).
const severalStatements = "42601"

// guarded runs the statement, unless Options.Writes in a read-only transaction that is rolled back: what a recording says of its
// statements is not believed, for it may be forged, and settings of the session could be lifted by a statement before.
func (r *run) guarded(ctx context.Context, conn *pgconn.PgConn, o Options) (got *answer, refused string, err error) {
	if !o.Writes {
		if _, err := conn.Exec(ctx, "BEGIN READ ONLY").ReadAll(); err != nil {
			return nil, "", err
		}
	}
	got, err = r.exec(ctx, conn)
	var of *pgconn.PgError
	if errors.As(err, &of) { // its message may quote values that the recording masks
		refused, err = of.Code, nil
	}
	if err == nil && !o.Writes {
		_, err = conn.Exec(ctx, "ROLLBACK").ReadAll()
	}
	return got, refused, err
}

// answer is what came of a statement.
type answer struct {
	tag     string
	columns int
	rows    [][][]byte // nil where there were too many
}

// maxBytes bounds what is kept of an answer.
const maxBytes = 64 << 20

// exec runs the statement by the extended protocol, which takes one alone.
func (r *run) exec(ctx context.Context, conn *pgconn.PgConn) (*answer, error) {
	var values [][]byte
	var formats []int16
	for i := range r.decided.Parameters {
		value, format := wire(&r.decided.Parameters[i])
		values, formats = append(values, value), append(formats, format)
	}
	reader := conn.ExecParams(ctx, r.decided.Text, values, nil, formats, nil)
	out, size, over := &answer{columns: len(reader.FieldDescriptions())}, 0, false
	for reader.NextRow() {
		var row [][]byte
		for _, v := range reader.Values() {
			size += len(v)
			row = append(row, slices.Clone(v))
		}
		if over = over || size > maxBytes || len(out.rows) >= maxRows; over {
			out.rows = nil
		} else {
			out.rows = append(out.rows, row)
		}
	}
	tag, err := reader.Close()
	out.columns, out.tag = len(reader.FieldDescriptions()), tag.String()
	return out, err
}

// wire is a parameter as it was bound.
func wire(v *access.Value) (value []byte, format int16) {
	switch {
	case v.Null:
		return nil, 0
	case len(v.Binary) > 0:
		return v.Binary, 1
	default:
		return append([]byte{}, v.Text...), 0
	}
}

// readOnly are the kinds of statements that only read, and harmless what they may do on top. All else, such as running a program, reading a
// file, or calling a function of which nobody knows what it does, acts beyond what a read-only transaction holds back.
var (
	readOnly = []string{"Select", "Explain"}
	harmless = []string{"BulkSelect", "Inference"}
)

// begins are the words that a statement begins with which only reads. It holds whatever a recording says: COPY, which can run programs and
// write files in a read-only transaction, begins otherwise.
var begins = regexp.MustCompile(`(?i)^[\s(]*(select|with|values|table|explain|show)\b`)

func (r *run) reads() bool {
	return len(r.decided.Kinds) > 0 && within(r.decided.Kinds, readOnly) && begins.MatchString(r.decided.Text)
}

func within(names, of []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(of, name) })
}
