// Package against runs a recorded session again, on a copy of its database, and says what comes out otherwise.
//
// It must not know where a recording is kept, nor print anything.
package against

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// Options of a run.
type Options struct {
	// Writes says that statements may run that change something. Left out they are skipped, and the session is read-only.
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

// Run runs the statements of a recording one after the other, and compares each. The connection is made read-only, unless
// Options.Writes. It ends with the first error, which is of the recording or of the connection.
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
	}
}

// prepare sets what holds for the whole session.
func prepare(ctx context.Context, conn *pgconn.PgConn, o Options) error {
	sql := fmt.Sprintf("SET statement_timeout = %d", o.Timeout.Milliseconds())
	if !o.Writes {
		sql += "; SET default_transaction_read_only = on"
	}
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
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
	got, err := r.exec(ctx, conn)
	var refused *pgconn.PgError
	if err != nil && !errors.As(err, &refused) {
		return Result{}, fmt.Errorf("statement %q: %w", r.decided.Text, err)
	}
	what, remark := r.compare(ended, got, refused)
	if what != "" {
		return Result{Verdict: Differs, What: what}, nil
	}
	return Result{Verdict: Same, What: remark}, nil
}

// exec runs the statement as it was run: with its parameters, or as it stands.
func (r *run) exec(ctx context.Context, conn *pgconn.PgConn) ([]*pgconn.Result, error) {
	if len(r.decided.Parameters) == 0 {
		return conn.Exec(ctx, r.decided.Text).ReadAll()
	}
	values, formats := make([][]byte, 0, len(r.decided.Parameters)), make([]int16, 0, len(r.decided.Parameters))
	for i := range r.decided.Parameters {
		value, format := wire(&r.decided.Parameters[i])
		values, formats = append(values, value), append(formats, format)
	}
	result := conn.ExecParams(ctx, r.decided.Text, values, nil, formats, nil).Read()
	return []*pgconn.Result{result}, result.Err
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

// readOnly are the kinds of statements that change nothing.
var readOnly = []string{"Select", "Transaction", "Session", "Explain", "CopyOut"}

func reads(kinds []string) bool {
	for _, k := range kinds {
		if !slices.Contains(readOnly, k) {
			return false
		}
	}
	return len(kinds) > 0
}
