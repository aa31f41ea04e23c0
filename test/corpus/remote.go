package corpus

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5/pgconn"
)

// NewRemoteJudge judges a proxy that runs already, in front of a server that has the corpora's schema, by two connection strings.
// Nobody resets that server: rows that write do so for good where they are let through. It sees neither the server's log nor the
// same database with other secrets; what it has to go by is what the client received.
func NewRemoteJudge(ctx context.Context, direct, proxy string) (*Judge, error) {
	judge := &Judge{
		canaries: newCanaries(),
		direct:   &database{name: "direct", target: Target{URL: direct}},
		through:  &database{name: "proxy", target: Target{URL: proxy}},
	}
	var err error
	if judge.admin, err = pgconn.Connect(ctx, direct); err != nil {
		return nil, err
	}
	results, err := judge.admin.Exec(ctx, "SELECT count(*) FROM public.customers WHERE ssn ~ '^10[0-6]-45-6'").ReadAll()
	if err == nil && string(results[0].Rows[0][0]) == "0" {
		err = errors.New("public.customers holds none of the values that are looked for")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the server of -direct has not the schema of test/corpus/testdata/schema.sql: %w", err), judge.Close())
	}
	return judge, nil
}

// connectDirect is a new connection to the bare server.
func (j *Judge) connectDirect(ctx context.Context) (*pgconn.PgConn, error) {
	config, err := j.direct.target.config()
	if err != nil {
		return nil, err
	}
	return pgconn.ConnectConfig(ctx, config)
}

// URLs are connection strings of the judge's own server and of the proxy in front of it, as [NewRemoteJudge] takes them.
func (j *Judge) URLs() (direct, proxy string) { return j.direct.target.url(), j.through.target.url() }

func (target Target) url() string {
	if target.URL != "" {
		return target.URL
	}
	u := url.URL{Scheme: "postgres", Host: target.Address, Path: target.Database, User: url.UserPassword(target.User, target.Password)}
	u.RawQuery = "sslmode=disable"
	return u.String()
}
