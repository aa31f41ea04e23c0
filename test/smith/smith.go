package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
	"github.com/tidewaiter/tidewaiter/test/tap"
)

//go:embed testdata
var testdata embed.FS

// database is what the statements run in, role is whom proxy and comparison log in as: no superuser, because a random statement of
// one may stop the server.
const database, role = "smith", "agent"

// perSeed is how many statements sqlsmith makes before it starts anew, with the next
// seed. Every other seed makes statements of
// the schema alone, the others of the system catalog too, which has many more relations.
const perSeed = 5_000

// errMissing says that there is no sqlsmith.
var errMissing = errors.New("sqlsmith is not installed; install it: apt-get install -y sqlsmith")

// forge is everything that runs.
type forge struct {
	server *postgrestest.Server
	proxy  *localproxy.Proxy
	relay  *tap.Relay
	judge  *judge
	report *report
	close  []func() error

	user, password string // that sqlsmith logs in with
}

// smith runs sqlsmith as long as the options say and prints the report.
func smith(ctx context.Context, o options, out io.Writer) (_ *report, err error) {
	program, err := exec.LookPath("sqlsmith")
	if err != nil {
		return nil, errMissing
	}
	f := &forge{report: newReport()}
	defer func() { err = errors.Join(err, f.stop()) }()
	if o.statements != "" {
		file, err := os.Create(o.statements)
		if err != nil {
			return nil, err
		}
		f.report.log = file
		f.close = append(f.close, file.Close)
	}
	if err := f.start(ctx, o.direct); err != nil {
		return nil, err
	}
	started := time.Now()
	err = f.run(ctx, program, o, out)
	if closed := f.relay.Close(); closed != nil || err != nil && ctx.Err() == nil { // no more answers come
		return nil, errors.Join(err, closed)
	}
	f.judge.finish()
	f.report.duration, f.report.bytes = time.Since(started), f.relay.Bytes()
	return f.report, f.report.write(out)
}

// start brings up server, proxy and relay, in this order.
func (f *forge) start(ctx context.Context, direct bool) (err error) {
	dir, err := os.MkdirTemp("", "tidewaiter-smith-")
	if err != nil {
		return err
	}
	f.close = append(f.close, func() error { return os.RemoveAll(dir) })
	binary, err := localproxy.Build(ctx, dir)
	if err != nil {
		return err
	}
	if f.server, err = postgrestest.Start(ctx, postgrestest.Options{Parameters: map[string]string{"lock_timeout": "2s"}}); err != nil {
		return err
	}
	f.close = append(f.close, f.server.Stop)
	schema, policy, err := files(f.server)
	if err != nil {
		return err
	}
	if err := f.server.CreateDatabase(ctx, database, ""); err != nil {
		return err
	}
	if err := f.server.Exec(ctx, database, schema); err != nil {
		return fmt.Errorf("testdata/schema.sql: %w", err)
	}
	if f.judge, err = newJudge(ctx, f.server, f.report); err != nil {
		return err
	}
	f.close = append(f.close, f.judge.close)
	f.relay = &tap.Relay{
		Needles:  tap.NewNeedles("Zq7XkWv", "736451902", "736,451,902", "73645190-2", "5717-03-"),
		OnAnswer: f.judge.take, OnFinding: f.report.finding,
	}
	if direct {
		f.user, f.password = role, f.server.Password
		return f.relay.Listen(f.server.Address())
	}
	if f.proxy, err = localproxy.Start(ctx, binary, policy+"---\n"+localproxy.Secret("smith-db", f.server, role)); err != nil {
		return err
	}
	f.close = append(f.close, f.proxy.Stop)
	f.user = f.proxy.User
	return f.relay.Listen(f.proxy.Address)
}

// files are the schema, with the role's password, and the policy, with the server's port.
func files(server *postgrestest.Server) (schema, policy string, err error) {
	sql, err := testdata.ReadFile("testdata/schema.sql")
	if err != nil {
		return "", "", err
	}
	yaml, err := testdata.ReadFile("testdata/policy.yaml")
	if err != nil {
		return "", "", err
	}
	const asWritten = "port: 5432,"
	if !strings.Contains(string(yaml), asWritten) {
		return "", "", fmt.Errorf("testdata/policy.yaml has no %q to put the server's port into", asWritten)
	}
	schema = string(sql) + fmt.Sprintf("ALTER ROLE %s PASSWORD '%s';\n", role, server.Password)
	return schema, strings.Replace(string(yaml), asWritten, fmt.Sprintf("port: %d,", server.Port), 1), nil
}

// run starts sqlsmith again and again, each time with the next seed, until the time is over.
func (f *forge) run(ctx context.Context, program string, o options, out io.Writer) error {
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		f.report.waitForFirst(ctx) // sqlsmith begins with some thousand questions about the catalog
		select {
		case <-time.After(o.duration):
		case <-ctx.Done():
		}
		for limit := time.Now().Add(firstPatience); f.report.statements() < o.atLeast && time.Now().Before(limit) && ctx.Err() == nil; {
			time.Sleep(100 * time.Millisecond)
		}
		cancel()
	}()
	target := fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=%s password='%s' sslmode=disable gssencmode=disable", f.relay.Port(), f.user, database, f.password)
	for seed := o.seed; limited.Err() == nil; seed++ {
		arguments := []string{"--target=" + target, fmt.Sprintf("--seed=%d", seed), fmt.Sprintf("--max-queries=%d", perSeed)}
		if seed%2 == 0 {
			arguments = append(arguments, "--exclude-catalog")
		}
		before := f.report.statements()
		output, err := exec.CommandContext(limited, program, arguments...).CombinedOutput()
		if limited.Err() != nil {
			break
		}
		if f.report.statements() == before {
			return fmt.Errorf("sqlsmith made no statement (seed %d): %w\n%s", seed, err, output)
		}
		if err != nil {
			fmt.Fprintf(out, "sqlsmith with seed %d ended with %v: %.300s\n", seed, err, output)
		}
		fmt.Fprintf(out, "seed %d done at %s: %s\n", seed, time.Now().Format(time.TimeOnly), f.report.summary())
	}
	return ctx.Err()
}

// stop ends everything, the last started first.
func (f *forge) stop() error {
	var err error
	for i := len(f.close) - 1; i >= 0; i-- {
		err = errors.Join(err, f.close[i]())
	}
	return err
}
