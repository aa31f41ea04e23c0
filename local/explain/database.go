package explain

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/login"
)

// database is what explain asks of the data source. Each of its two connections is made when first needed.
type database struct {
	source   *local.Source
	describe *pgconn.PgConn
}

// catalog loads the catalog, over a connection that is good for nothing else afterwards.
func (d *database) catalog(ctx context.Context) (*catalog.Snapshot, error) {
	conn, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	var classifications []catalog.Classification
	for _, c := range d.source.Settings.Classifications {
		classifications = append(classifications, catalog.Classification{Columns: c.Columns, Tags: c.Tags})
	}
	snapshot, err := catalog.LoadWith(ctx, conn, catalog.Options{
		Classifications: classifications, Trusted: d.source.Settings.Trusted, Views: analysis.ViewTags,
	})
	if err != nil {
		return nil, fmt.Errorf("DataSource %s: its catalog could not be read: %w", d.source.Name, plain(err))
	}
	return snapshot, nil
}

// field is a column of a result as the server describes it.
type field struct {
	name      string
	kind      string // its type, as SQL writes it
	relation  uint32
	attribute int16
}

// fields asks the server to describe a statement: it parses it and runs nothing.
func (d *database) fields(ctx context.Context, sql string) ([]field, error) {
	if d.describe == nil {
		conn, err := d.connect(ctx)
		if err != nil {
			return nil, err
		}
		d.describe = conn
	}
	description, err := d.describe.Prepare(ctx, "", sql, nil)
	if err != nil {
		return nil, plain(err)
	}
	var out []field
	var oids, modifiers []string
	for _, f := range description.Fields {
		out = append(out, field{name: f.Name, relation: f.TableOID, attribute: int16(f.TableAttributeNumber)})
		oids = append(oids, fmt.Sprint(f.DataTypeOID))
		modifiers = append(modifiers, fmt.Sprint(f.TypeModifier))
	}
	if len(out) == 0 {
		return nil, nil
	}
	types := d.describe.ExecParams(ctx, `SELECT pg_catalog.format_type(t, m)
		FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.int4[])) WITH ORDINALITY AS x(t, m, o) ORDER BY o`,
		[][]byte{array(oids), array(modifiers)}, nil, nil, nil).Read()
	if types.Err != nil || len(types.Rows) != len(out) {
		return nil, fmt.Errorf("the types' names could not be read: %w", plain(types.Err))
	}
	for i, row := range types.Rows {
		out[i].kind = string(row[0])
	}
	return out, nil
}

func array(items []string) []byte {
	out := []byte{'{'}
	for i, s := range items {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, s...)
	}
	return append(out, '}')
}

// connect logs in with the data source's credential. Transactions are read-only, whatever may happen.
func (d *database) connect(ctx context.Context) (*pgconn.PgConn, error) {
	up, err := d.source.Dialer.Dial(ctx, d.source.Identity)
	if err != nil {
		return nil, d.unreachable(err)
	}
	conn, err := login.Connect(ctx, up, map[string]string{
		"application_name": "tidewaiter explain", "default_transaction_read_only": "on",
		"client_encoding": "UTF8", "standard_conforming_strings": "on", "backslash_quote": "safe_encoding",
	})
	if err != nil {
		_ = up.Conn.Close() // it is given up either way
		return nil, d.refused(err)
	}
	return conn, nil
}

func (d *database) unreachable(err error) error {
	return fmt.Errorf("DataSource %s: the database cannot be reached (%w), and without its catalog nothing can be said of columns: "+
		"start it, or correct spec.postgres.host and port", d.source.Name, err)
}

func (d *database) refused(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "28P01" || pg.Code == "28000") {
		return fmt.Errorf("DataSource %s: the database refuses the credential (SQLSTATE %s): correct username and password in the Secret of spec.credentials", d.source.Name, pg.Code)
	}
	return fmt.Errorf("DataSource %s: no session with the database (%w): check spec.postgres, its database and tls", d.source.Name, plain(err))
}

// plain is the innermost error: pgconn's own texts name the user, which is half of a credential.
func plain(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fmt.Errorf("%s (SQLSTATE %s)", pg.Message, pg.Code)
	}
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

func (d *database) close() {
	if d.describe != nil {
		closeConn(d.describe)
	}
}

func closeConn(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = conn.Close(ctx) // it is given up either way
}
