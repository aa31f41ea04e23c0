package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
)

// psql is the program of the server's version.
func (s *stage) psql() string { return filepath.Join(s.server.BinDir, "psql") }

// tool is one call of a command line tool: what it writes is the step's answer.
type tool struct {
	name    string
	line    []string
	stdin   string
	masked  string // as step.Masked; "" for none
	refused string // as step.Refused
}

// runTools calls tools one after the other.
func (s *stage) runTools(ctx context.Context, l login, tools []tool) ([]step, error) {
	var steps []step
	for _, t := range tools {
		cmd := s.command(ctx, l, "sql", t.line...)
		cmd.Stdin = strings.NewReader(t.stdin)
		one, err := answerOf(t, cmd)
		if err != nil {
			return steps, err
		}
		steps = append(steps, one)
	}
	return steps, ctx.Err()
}

// answerOf runs a tool. What it writes when it fails is its error.
func answerOf(t tool, cmd *exec.Cmd) (step, error) {
	output, runErr := cmd.CombinedOutput()
	one := step{Name: t.name, Refused: t.refused}
	if runErr != nil {
		one.Error = "exit: " + string(output) + runErr.Error()
		return one, nil //nolint:nilerr // the step's error, not the test's
	}
	var err error
	if one.Answer, err = json.Marshal(string(output)); err == nil && t.masked != "" {
		one.Masked, err = json.Marshal(t.masked)
	}
	return one, err
}

// describes are psql's ways of describing what is in a database: the largest catalog queries that any tool sends.
var describes = strings.Fields(`\d \d+ \dS \da \dA \dAc \dAf \dAo \dAp \db+ \dc \dC \dd \dD \dD+ \ddp \dE \des+ \det+ \dew+ \df
	\df+ \dfa \dfn \dft \dF \dF+ \dFd+ \dFp+ \dFt+ \dg \dg+ \di \di+ \dl \dL+ \dm \dm+ \dn \dn+ \do \dO \dp \dP \dP+ \drds \dRp+ \dRs \ds
	\ds+ \dt \dt+ \dT \dT+ \dTS \du \du+ \dv \dv+ \dx \dx+ \dX \dy \l \z`)

// describeOne are descriptions of the shop's own objects.
var describeOne = []string{
	`\d customers`, `\d+ customers`, `\d orders`, `\d+ order_items`, `\d+ measurements`, `\d measurements_2024`, `\d+ customer_orders`,
	`\d+ daily`, `\d customers_id_seq`, `\d customers_pkey`, `\d api_keys`, `\sf order_total`, `\sf+ stamp`, `\sv customer_orders`,
	`\df+ order_total`, `\dT+ order_state`, `\dD+ quantity`, `\dt public.*`, `\dp customers`, `\dt *.*`, `\dn+ public`, `\d c*`, `\dti+ *order*`,
}

// tables are results as a person sees them. They are unaligned: a mask changes how wide a column is.
var tables = []string{
	`SELECT * FROM customers ORDER BY id LIMIT 5`, `TABLE api_keys`, `SELECT * FROM products ORDER BY id`, `SELECT * FROM customer_orders ORDER BY id`,
	`SELECT o.id, c.email, c.card_number, order_total(o.id) FROM orders o JOIN customers c ON c.id = o.customer_id ORDER BY o.id LIMIT 9`,
	`TABLE daily`, `SELECT count(*), count(ssn) FROM customers`, `SELECT state, count(*) FROM orders GROUP BY state ORDER BY state`,
	`SELECT 1; SELECT 2`, `SELECT 1/0`, `SELECT nonsense FROM nowhere`, `SELECT repeat('x', 300000)`, `SHOW server_version`,
	`EXPLAIN (COSTS OFF) SELECT * FROM customers WHERE id = 1`, `SELECT * FROM customers WHERE false`,
	`\copy products TO STDOUT (FORMAT csv, HEADER)`, `\copy customers TO STDOUT (FORMAT csv, HEADER)`,
	`\copy (SELECT id, email, ssn, credit_limit FROM customers ORDER BY id) TO STDOUT`, `COPY orders (id, state, note) TO STDOUT`,
	`COPY (SELECT * FROM products ORDER BY id) TO STDOUT (FORMAT binary)`, `\lo_list`, `\encoding`,
}

// completions are what psql asks when the user presses Tab (src/bin/psql/tab-complete.c): it has no way to do so without a terminal.
var completions = []string{
	`SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p') AND (c.relname) LIKE 'cust%' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog') UNION ALL SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'cust%' AND n.nspname NOT LIKE E'pg\\_%' LIMIT 1000`,
	`SELECT a.attname FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c WHERE c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attname) LIKE 'e%' AND (c.relname) = 'customers' AND pg_catalog.pg_table_is_visible(c.oid) LIMIT 1000`,
	`SELECT pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'f', 'v', 'm', 'S', 'p') AND substring(pg_catalog.quote_ident(c.relname),1,2)='or' AND pg_catalog.pg_table_is_visible(c.oid) UNION SELECT pg_catalog.quote_ident(n.nspname) || '.' FROM pg_catalog.pg_namespace n WHERE substring(pg_catalog.quote_ident(n.nspname) || '.',1,2)='or' AND (SELECT pg_catalog.count(*) FROM pg_catalog.pg_namespace WHERE substring(pg_catalog.quote_ident(nspname) || '.',1,2) = substring('or',1,pg_catalog.length(pg_catalog.quote_ident(nspname))+1)) > 1 LIMIT 1000`,
	`SELECT pg_catalog.lower(name) FROM pg_catalog.pg_settings WHERE pg_catalog.lower(name) LIKE pg_catalog.lower('work%') LIMIT 1000`,
	`SELECT rolname FROM pg_catalog.pg_roles WHERE rolname LIKE 's%' LIMIT 1000`,
	`SELECT pg_catalog.format_type(t.oid, NULL) FROM pg_catalog.pg_type t WHERE (t.typrelid = 0 OR (SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid)) AND t.typname !~ '^_' AND pg_catalog.pg_type_is_visible(t.oid) AND pg_catalog.format_type(t.oid, NULL) LIKE 'o%' LIMIT 1000`,
	`SELECT p.proname FROM pg_catalog.pg_proc p WHERE p.prokind IN ('f', 'w') AND p.proname LIKE 'ord%' AND pg_catalog.pg_function_is_visible(p.oid) LIMIT 1000`,
	`SELECT conname FROM pg_catalog.pg_constraint c WHERE conrelid = 'customers'::pg_catalog.regclass AND conname LIKE '%' LIMIT 1000`,
	`SELECT pg_catalog.quote_literal(enumlabel) FROM pg_catalog.pg_enum e, pg_catalog.pg_type t WHERE t.oid = e.enumtypid AND pg_catalog.quote_literal(enumlabel) LIKE '%' AND t.typname = 'order_state' AND pg_catalog.pg_type_is_visible(t.oid)`,
}

// psqlScript is one psql session with what needs one: COPY FROM STDIN, variables, transactions, pipelines of results.
const psqlScript = `\pset format unaligned
BEGIN;
COPY audit (happened, what) FROM STDIN;
2024-02-02	copied
2024-02-03	\N
\.
SELECT what FROM audit ORDER BY id DESC LIMIT 3;
SAVEPOINT one;
SELECT 1/0;
ROLLBACK TO one;
SELECT id, email, ssn FROM customers WHERE id = 1 \gdesc
SELECT id, email, ssn FROM customers WHERE id = 1 \gx
SELECT name AS whom, email AS mail FROM customers WHERE id = 2 \gset
\echo :whom :mail
SELECT format('SELECT %s AS n', g) FROM generate_series(1, 3) g \gexec
SELECT country, state, count(*) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY 1, 2 ORDER BY 1, 2 \crosstabview
PREPARE byid (int) AS SELECT name, email FROM customers WHERE id = $1;
EXECUTE byid(3);
DEALLOCATE byid;
DECLARE c CURSOR FOR SELECT id, card_number FROM customers ORDER BY id;
FETCH 3 FROM c;
MOVE 2 IN c;
FETCH 2 FROM c;
CLOSE c;
INSERT INTO products (sku, title, price) VALUES ('P', 'psql', 1) RETURNING title, price;
UPDATE orders SET note = 'x' WHERE id = 3 RETURNING id, note;
DELETE FROM order_items WHERE order_id = 4;
ROLLBACK;
\set FETCH_COUNT 7
SELECT id, email FROM customers ORDER BY id;
`

func psqlSession(ctx context.Context, s *stage, l login) ([]step, error) {
	var tools []tool
	add := func(command string, more ...string) {
		line := append([]string{s.psql(), "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--command=" + command}, more...)
		tools = append(tools, tool{name: command, line: line})
	}
	for _, command := range append(append([]string{}, describes...), describeOne...) {
		add(command)
	}
	tools = append(tools, tool{
		name: `\deu+`, line: []string{s.psql(), "--no-psqlrc", `--command=\deu+`}, refused: "it shows the passwords of user mappings",
	})
	for _, command := range append(append([]string{}, tables...), completions...) {
		add(command, "--no-align")
	}
	tools = append(tools,
		tool{name: "-l", line: []string{s.psql(), "--no-psqlrc", "--list", "--dbname=" + l.database}},
		tool{name: "a script", line: []string{s.psql(), "--no-psqlrc", "--echo-all"}, stdin: psqlScript},
		tool{name: "--csv", line: []string{s.psql(), "--no-psqlrc", "--csv", "--command=SELECT id, name, email, ssn FROM customers ORDER BY id"}},
		tool{name: "-E", line: []string{s.psql(), "--no-psqlrc", "--echo-hidden", `--command=\d customers`}},
	)
	return s.runTools(ctx, l, tools)
}

// restrictKey makes the one random line of a plain dump constant.
const restrictKey = "--restrict-key=frameworks"

func dumpSession(ctx context.Context, s *stage, l login) ([]step, error) {
	dump := filepath.Join(s.server.BinDir, "pg_dump")
	key := []string{}
	if help, err := exec.CommandContext(ctx, dump, "--help").Output(); err != nil {
		return nil, err
	} else if strings.Contains(string(help), "--restrict-key") {
		key = append(key, restrictKey)
	}
	calls := [][]string{
		{"-t", "products"},
		{"-t", "orders", "-t", "order_items"},
		{"-t", "products", "--inserts"},
		{"-t", "products", "--column-inserts", "--rows-per-insert=5"},
		{"-t", "measurements*"},
		{"-t", "audit", "--clean", "--if-exists"},
		{"-t", "orders", "--data-only", "--disable-triggers"},
		{"-t", "products_id_seq"},
		{"--schema-only"},
		{"--schema-only", "-t", "customers"},
		{"--schema-only", "--no-owner", "--no-privileges"},
		{"--exclude-table=*customer*", "--exclude-table=api_keys", "--no-owner"},
		{"--exclude-table-data=customers", "--exclude-table-data=api_keys"},
		{"-t", "customers"},
		{"-t", "customers", "--inserts"},
		{"-t", "api_keys", "--data-only"},
		{"--section=pre-data"},
		{"--section=post-data"},
		{"-t", "products", "--serializable-deferrable"},
	}
	var tools []tool
	for _, call := range calls {
		line := append(append([]string{dump}, key...), call...)
		tools = append(tools, tool{name: strings.Join(call, " "), line: line})
	}
	return s.runTools(ctx, l, tools)
}
