package postgres_test

import (
	"context"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres"
	"github.com/tidewaiter/tidewaiter/proxy/protocoltest"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/upstream"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// pgClient runs statements in the simple or, with extended set, in the extended
// protocol.
type pgClient struct {
	conn     *pgconn.PgConn
	extended bool
}

func (c pgClient) Do(statement string) (answer, refused string, err error) {
	ctx := context.Background()
	var rows [][][]byte
	if c.extended {
		r := c.conn.ExecParams(ctx, statement, nil, nil, nil, nil).Read()
		rows, err = r.Rows, r.Err
	} else {
		var all []*pgconn.Result
		all, err = c.conn.Exec(ctx, statement).ReadAll()
		if len(all) > 0 {
			rows = all[0].Rows
		}
	}
	var pg *pgconn.PgError
	if asPgError(err, &pg) && pg.Severity == "ERROR" {
		return "", pg.Message, nil
	}
	if err != nil || len(rows) == 0 {
		return "", "", err
	}
	return string(rows[0][0]), "", nil
}

func (c pgClient) Close() error { return c.conn.Close(context.Background()) }

func TestTheEnginePassesTheProtocolSuite(t *testing.T) {
	srv := postgrestest.Shared(t)
	db := srv.NewDatabase(t, shopSQL)
	up, err := upstream.New(upstream.Options{Host: srv.Host, Port: uint16(srv.Port), Database: db, Mode: upstream.Disable})
	if err != nil {
		t.Fatal(err)
	}
	up.Use(session.Credential{User: srv.Superuser, Password: srv.Password})
	for name, extended := range map[string]bool{"simple": false, "extended": true} {
		t.Run(name, func(t *testing.T) {
			protocoltest.Run(t, protocoltest.Subject{
				Protocol: func(*testing.T) session.Protocol {
					return postgres.New(postgres.Options{DataSource: "data/test", Database: db})
				},
				Dialer: up,
				Connect: func(t *testing.T, address string) protocoltest.Client {
					host, port, _ := net.SplitHostPort(address)
					conn, err := pgconn.Connect(context.Background(), "host="+host+" port="+port+" user=agent dbname="+db+" sslmode=disable")
					if err != nil {
						t.Fatal(err)
					}
					return pgClient{conn, extended}
				},
				Opening:  startupMessage(3<<16, "user", "agent", "database", db),
				Harmless: "select 'apples'", Marked: "select 'marzipan'", Marker: "marzipan",
			})
		})
	}
}
