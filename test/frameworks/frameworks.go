package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// framework is somebody else's program and the working day that it has here.
type framework struct {
	name  string
	what  string // versions are those of the machine: see the needs
	needs []func(context.Context, *stage) error
	setup setup
	// session plays the day and returns its steps. An error means that it did not come to its end.
	session func(ctx context.Context, s *stage, l login) ([]step, error)
}

// setup fills a database, by the framework's own means where it has them.
type setup struct {
	name string // part of a database's name
	fill func(ctx context.Context, s *stage, l login) error
}

// shop is the schema of sessions/shop.sql, for everybody who does not bring migrations.
var shop = setup{name: "shop", fill: func(ctx context.Context, s *stage, l login) error {
	return ended(s.command(ctx, l, ".", s.psql(), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", "--file=shop.sql"))
}}

// frameworks is the list of everything that is played, in this order.
func frameworks() []framework {
	return []framework{
		{
			name: "django", what: "Django's ORM and commands, psycopg2", needs: python("django", "psycopg2"),
			setup:   setup{name: "django", fill: programFill("python", debianPython, "django_setup.py")},
			session: program("python", debianPython, "django_session.py"),
		},
		{
			name: "sqlalchemy", what: "SQLAlchemy, core and ORM, psycopg2", needs: python("sqlalchemy", "psycopg2"),
			setup:   setup{name: "sqlalchemy", fill: programFill("python", debianPython, "sqlalchemy_setup.py")},
			session: program("python", debianPython, "sqlalchemy_session.py"),
		},
		{name: "psycopg2", what: "psycopg2 by hand", needs: python("psycopg2"), setup: shop, session: program("python", debianPython, "psycopg2_session.py")},
		{name: "psycopg3", what: "psycopg 3 by hand", needs: python("psycopg"), setup: shop, session: program("python", debianPython, "psycopg3_session.py")},
		{name: "asyncpg", what: "asyncpg: all in binary", needs: python("asyncpg"), setup: shop, session: program("python", debianPython, "asyncpg_session.py")},
		{name: "prisma", what: "Prisma 7 with its driver adapter", needs: node(), setup: shop, session: nodeProgram("prisma.js")},
		{name: "drizzle", what: "Drizzle ORM, node-postgres", needs: node(), setup: shop, session: nodeProgram("drizzle.js")},
		{name: "typeorm", what: "TypeORM, node-postgres", needs: node(), setup: shop, session: nodeProgram("typeorm.js")},
		{name: "sequelize", what: "Sequelize, node-postgres", needs: node(), setup: shop, session: nodeProgram("sequelize.js")},
		{name: "knex", what: "Knex, node-postgres", needs: node(), setup: shop, session: nodeProgram("knex.js")},
		{name: "node-postgres", what: "node-postgres by hand, with cursors", needs: node(), setup: shop, session: nodeProgram("pg.js")},
		{name: "jdbc", what: "pgJDBC: metadata, batches, updatable results", needs: java(), setup: shop, session: javaProgram},
		{name: "psql", what: `psql: \d and its family, \copy, \gdesc, completion`, setup: shop, session: psqlSession},
		{name: "pg_dump", what: "pg_dump: schema, tables, formats", setup: shop, session: dumpSession},
		{name: "grafana", what: "Grafana's data source, as SQL", setup: shop, session: statements("grafana.sql")},
		{name: "rails", what: "Active Record's queries, as SQL", setup: shop, session: statements("rails.sql")},
		{name: "hasura", what: "Hasura's, as SQL", setup: shop, session: statements("hasura.sql")},
		{name: "postgrest", what: "PostgREST's, as SQL", setup: shop, session: statements("postgrest.sql")},
		{name: "metabase", what: "Metabase's, as SQL", setup: shop, session: statements("metabase.sql")},
	}
}

// patience bounds a session: a machine may be busy.
const patience = 5 * time.Minute

// program is a session that a program plays: it writes a line of JSON for each step.
func program(folder string, line ...string) func(context.Context, *stage, login) ([]step, error) {
	return func(ctx context.Context, s *stage, l login) ([]step, error) {
		return stepsOf(ctx, s.command, l, folder, line)
	}
}

func stepsOf(ctx context.Context, command func(context.Context, login, string, ...string) *exec.Cmd, l login, folder string, line []string) ([]step, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := command(ctx, l, folder, line...)
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, runErr := cmd.Output()
	steps, err := parseSteps(out)
	if runErr != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(line, " "), runErr, stderr.Bytes())
	}
	return steps, err
}

// parseSteps reads a session's lines.
func parseSteps(out []byte) ([]step, error) {
	var steps []step
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var one step
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil || one.Name == "" {
			return steps, fmt.Errorf("the session wrote %q, which is no step", excerpt(lines.Text()))
		}
		steps = append(steps, one)
	}
	return steps, lines.Err()
}

// programFill is a setup that a program does.
func programFill(folder string, line ...string) func(context.Context, *stage, login) error {
	return func(ctx context.Context, s *stage, l login) error { return ended(s.command(ctx, l, folder, line...)) }
}

// ended runs a command and says what it said if it failed.
func ended(cmd *exec.Cmd) error {
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, output)
	}
	return nil
}
