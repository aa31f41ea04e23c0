package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

//go:embed schema.sql
var schemaSQL string

//go:embed fill.sql
var fillSQL string

// tags are those of the schema, in the order of fill.sql's salts.
var tags = []string{"t/text", "t/number", "t/date", "t/json"}

var classifications = []catalog.Classification{
	{Columns: []string{"public.people.secret", "public.people.labels", "public.keys.token", "public.events.who", "public.assets.serial", "public.plans.raw"}, Tags: tags[:1]},
	{Columns: []string{"public.people.pay", "public.people.rate"}, Tags: tags[1:2]},
	{Columns: []string{"public.people.born"}, Tags: tags[2:3]},
	{Columns: []string{"public.people.doc"}, Tags: tags[3:]},
}

// databases are one with some tagged values, two in which all of these are others, and for each tag one that differs from the first in
// the values of this tag alone. Nothing is ever analyzed in them, so that plans, and with them the order of rows, are the same in all.
type databases struct {
	server  *postgrestest.Server
	base    *pgconn.PgConn
	mixed   []*pgconn.PgConn
	varied  []*pgconn.PgConn // as tags
	cat     *catalog.Snapshot
	secrets [][]byte // text values of the first tag in base
}

func openDatabases(ctx context.Context) (_ *databases, err error) {
	server, err := postgrestest.Start(ctx, postgrestest.Options{})
	if err != nil {
		return nil, err
	}
	d := &databases{server: server}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	// Statistics that come to one database before they come to another would make other plans, and another order of rows.
	for _, sql := range []string{"ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"} {
		if err := server.Exec(ctx, "postgres", sql); err != nil {
			return nil, err
		}
	}
	for i, salts := range []string{"aaaa", "bbbb", "cccc", "baaa", "abaa", "aaba", "aaab"} {
		conn, err := d.open(ctx, fmt.Sprintf("lineage_%d", i), fmt.Sprintf(fillSQL, salts[0:1], salts[1:2], salts[2:3], salts[3:4]))
		if err != nil {
			return nil, err
		}
		switch {
		case i == 0:
			d.base = conn
		case i <= 2:
			d.mixed = append(d.mixed, conn)
		default:
			d.varied = append(d.varied, conn)
		}
	}
	const secrets = `SELECT secret FROM people UNION SELECT token FROM keys UNION SELECT who FROM events UNION SELECT serial FROM assets
		UNION SELECT raw FROM plans UNION SELECT unnest(labels) FROM people`
	got, err := run(ctx, d.base, secrets)
	if err != nil {
		return nil, err
	}
	for _, row := range got.rows {
		d.secrets = append(d.secrets, row[0])
	}
	loader, err := pgconn.Connect(ctx, server.DSN("lineage_0"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, loader.Close(ctx)) }()
	d.cat, err = catalog.Load(ctx, loader, classifications)
	return d, err
}

func (d *databases) open(ctx context.Context, name, fill string) (*pgconn.PgConn, error) {
	if err := d.server.CreateDatabase(ctx, name, ""); err != nil {
		return nil, err
	}
	if err := d.server.Exec(ctx, name, schemaSQL+fill); err != nil {
		return nil, err
	}
	conn, err := pgconn.Connect(ctx, d.server.DSN(name))
	if err != nil {
		return nil, err
	}
	const settings = `SET statement_timeout = '2s'; SET jit = off; SET max_parallel_workers_per_gather = 0; SET timezone = 'UTC'`
	return conn, conn.Exec(ctx, settings).Close()
}

// clean removes what changes that were undone have left: not every database runs every change, and tables of other sizes make other
// plans.
func (d *databases) clean(ctx context.Context) error {
	for _, conn := range append(append(d.varied, d.mixed...), d.base) {
		if err := conn.Exec(ctx, "VACUUM people, orders").Close(); err != nil {
			return err
		}
	}
	return nil
}

func (d *databases) close() error {
	for _, conn := range append(append(d.varied, d.mixed...), d.base) {
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}
	if err := d.server.Stop(); err != nil {
		return fmt.Errorf("stopping PostgreSQL: %w", err)
	}
	return nil
}

// answer is what a database says to a statement.
type answer struct {
	fields []pgconn.FieldDescription
	rows   [][][]byte // in text
	tag    string
	err    *pgconn.PgError
}

// ask runs a statement in a transaction that is undone. The error is one of the connection, not of the statement. Behind a
// change its table is read as well, so that what was written can be compared.
func ask(ctx context.Context, conn *pgconn.PgConn, sql, then string) (got, written answer, err error) {
	if then == "" { // it changes nothing
		got, err = run(ctx, conn, sql)
		return got, written, err
	}
	if err := conn.Exec(ctx, "BEGIN").Close(); err != nil {
		return got, written, err
	}
	if got, err = run(ctx, conn, sql); err != nil {
		return got, written, err
	}
	if got.err == nil {
		if written, err = run(ctx, conn, then); err != nil {
			return got, written, err
		}
	}
	return got, written, conn.Exec(ctx, "ROLLBACK").Close()
}

func run(ctx context.Context, conn *pgconn.PgConn, sql string) (answer, error) {
	result := conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	var refused *pgconn.PgError
	if errors.As(result.Err, &refused) {
		return answer{err: refused}, nil
	}
	return answer{fields: result.FieldDescriptions, rows: result.Rows, tag: result.CommandTag.String()}, result.Err
}
