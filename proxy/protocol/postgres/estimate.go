package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/login"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

const (
	// estimateTimeout bounds an estimate: people would rather be asked without.
	estimateTimeout = time.Second
	// estimateHolds is how long one is good for the like of its statement.
	estimateHolds = 5 * time.Minute
	maxEstimates  = 1024
	// maxEstimating bounds the connections that estimate at a time.
	maxEstimating = 2
	// maxExplained bounds the text of a statement that is estimated, in bytes.
	maxExplained = 64 << 10
)

// estimates asks the planner how many rows statements would return, for people who are
// asked to approve them. It is safe for concurrent use; the zero value is ready.
type estimates struct {
	mu    sync.Mutex
	now   int // connections
	known map[string]estimated
}

// estimated is what the planner said of a statement, at some time; nil: nothing.
type estimated struct {
	rows *int64
	at   time.Time
}

// estimate returns how many rows the planner expects of a statement, or nil where that
// cannot be known: names could mean something else on another connection, it may call
// functions of the database's own, which a planner may run before anybody has approved, or the server does not say
// in time. Nothing of the plan but the number is read.
func (e *Engine) estimate(ctx context.Context, s *session.Session, a *core.Ask, r *reading, shape string) *int64 {
	query, ok := countable(a, r)
	if !ok {
		return nil
	}
	// By the very text and catalog: a LIMIT of 1 must not speak for one of a million.
	shape = fmt.Sprintf("%x %d", sha256.Sum256([]byte(shape+"\x00"+query)), r.catalog.Epoch)
	if rows, known := e.estimates.of(shape); known {
		return rows
	}
	if !e.estimates.begin() {
		return nil
	}
	defer e.estimates.end()
	ctx, cancel := context.WithTimeout(ctx, estimateTimeout)
	defer cancel()
	rows, err := planned(ctx, s, query)
	if err != nil {
		rows = nil // the server's words may quote a value
	}
	e.estimates.keep(shape, rows)
	return rows
}

// size puts the planner's number into what policy sees, of a bulk read. The decision is
// then one by that number, and not kept for the like of the statement.
func (e *Engine) size(ctx context.Context, s *session.Session, a *core.Ask, r *reading) {
	if len(r.op.Statements) != 1 || len(r.result.Statements) != 1 {
		return
	}
	st := &r.op.Statements[0]
	bulk := st.Kind == analysis.KindCopyOut
	for _, f := range st.Features {
		bulk = bulk || f.Name == analysis.BulkSelect
	}
	if !bulk {
		return
	}
	like, readable := analysis.WithoutConstants(r.result.Statements[0].Text)
	if !readable {
		return
	}
	own := *st // what is known of a text is shared
	own.EstimatedRows = e.estimate(ctx, s, a, r, like)
	r.op.Statements, r.op.ID = []access.Statement{own}, 0
}

// countable is the query to count, if it can be counted on another connection.
func countable(a *core.Ask, r *reading) (string, bool) {
	if len(r.result.Statements) != 1 || a.Kind == core.AskCall {
		return "", false
	}
	st, state := &r.result.Statements[0], &a.Session
	if st.Kind != analysis.KindSelect && st.Kind != analysis.KindCopyOut || len(st.Text) > maxExplained || len(st.Inner) > 0 ||
		state.PathChanged || state.Stale || state.Unsettled || len(state.Temp) > 0 {
		return "", false
	}
	for _, f := range st.Features {
		if f.Name != analysis.BulkSelect {
			return "", false
		}
	}
	for _, t := range st.Resources { // a view may call functions that the statement does not show
		if own := r.catalog.Lookup(t.Schema, t.Name); own == nil || own.Kind != 'r' && own.Kind != 'p' {
			return "", false
		}
	}
	for _, f := range st.Functions {
		if !strings.HasPrefix(f, "pg_catalog.") {
			return "", false
		}
	}
	return analysis.Explainable(st.Text)
}

// planned asks the planner on a connection of its own, which is read only and given up
// after that. With a generic plan, so that parameters need no values.
func planned(ctx context.Context, s *session.Session, query string) (*int64, error) {
	up, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	settings := map[string]string{"application_name": "tidewaiter estimate", "statement_timeout": "1000", "plan_cache_mode": "force_generic_plan", "default_transaction_read_only": "on"}
	for name, value := range pinned {
		settings[name] = value
	}
	conn, err := login.Connect(ctx, up, settings)
	if err != nil {
		up.Conn.Close()
		return nil, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // it is given up either way
	}()
	// Each by the extended protocol, which takes one statement: a text can hold no second.
	if _, err := one(ctx, conn, "PREPARE estimated AS "+query); err != nil {
		return nil, err
	}
	arguments, err := one(ctx, conn, "SELECT coalesce('(' || nullif(pg_catalog.array_to_string(pg_catalog.array_fill('NULL'::text, ARRAY[pg_catalog.cardinality(parameter_types)]), ', '), '') || ')', '') "+
		"FROM pg_catalog.pg_prepared_statements WHERE name = 'estimated'")
	if err != nil {
		return nil, err
	}
	plan, err := one(ctx, conn, "EXPLAIN (FORMAT JSON) EXECUTE estimated"+string(arguments))
	if err != nil {
		return nil, err
	}
	return topRows(plan)
}

// one returns the first value of what a statement returns.
func one(ctx context.Context, conn *pgconn.PgConn, sql string) ([]byte, error) {
	result := conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	if result.Err != nil || len(result.Rows) == 0 || len(result.Rows[0]) == 0 {
		return nil, result.Err
	}
	return result.Rows[0][0], nil
}

// topRows is the number of rows of a plan's topmost node (EXPLAIN, FORMAT JSON).
func topRows(plan []byte) (*int64, error) {
	var out []struct {
		Plan struct {
			Rows *float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal(plan, &out); err != nil {
		return nil, err
	}
	if len(out) != 1 || out[0].Plan.Rows == nil || *out[0].Plan.Rows < 0 {
		return nil, errors.New("a plan without rows")
	}
	rows := int64(min(*out[0].Plan.Rows, math.MaxInt64/2))
	return &rows, nil
}

// of is what is known of a statement.
func (e *estimates) of(shape string) (rows *int64, known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k, known := e.known[shape]
	return k.rows, known && shape != "" && time.Since(k.at) < estimateHolds
}

func (e *estimates) keep(shape string, rows *int64) {
	if shape == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known == nil || len(e.known) >= maxEstimates { // begun anew: they are good for minutes only
		e.known = map[string]estimated{}
	}
	e.known[shape] = estimated{rows, time.Now()}
}

// begin reports whether there is room for one more, and end gives it back.
func (e *estimates) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.now >= maxEstimating {
		return false
	}
	e.now++
	return true
}

func (e *estimates) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now--
}
