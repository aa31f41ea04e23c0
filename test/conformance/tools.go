package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ended turns a finished command into a result: its status, and what it said for people.
func ended(output []byte, err error) result {
	if err != nil {
		return result{Status: fail, Output: string(output) + "\n" + err.Error()}
	}
	return result{Status: pass}
}

// answered is ended with an answer that must be the same in both legs.
func answered(cmd *exec.Cmd) result {
	output, err := cmd.CombinedOutput()
	one := ended(output, err)
	one.Answer = string(output)
	return one
}

// pipelineScript has pgbench send several statements before it waits.
const pipelineScript = `\startpipeline
SELECT abalance FROM pgbench_accounts WHERE aid = 1;
UPDATE pgbench_accounts SET abalance = abalance WHERE aid = 2;
SELECT abalance FROM pgbench_accounts WHERE aid = 3;
\endpipeline
`

// runPgbench runs pgbench's scripts in each of its protocol modes, also with a connection per transaction and in pipelines, and
// checks that no money was made or lost.
func runPgbench(ctx context.Context, l *leg) (results, error) {
	transactions := "500"
	if l.short {
		transactions = "50"
	}
	pipeline := filepath.Join(l.dir, "pipeline.sql")
	if err := os.WriteFile(pipeline, []byte(pipelineScript), 0o600); err != nil {
		return nil, err
	}
	found := results{}
	run := func(name string, arguments ...string) {
		found[name] = ended(tool(ctx, "pgbench", arguments...).CombinedOutput())
	}
	run("initialize by COPY", "--initialize", "--scale=1", "--quiet")
	run("initialize on the server, with foreign keys", "--initialize", "--init-steps=dtGvpf")
	for _, mode := range []string{"simple", "extended", "prepared"} {
		for _, script := range []string{"tpcb-like", "simple-update", "select-only"} {
			run(mode+", "+script, "--no-vacuum", "--protocol="+mode, "--builtin="+script, "--client=4", "--jobs=2",
				"--transactions="+transactions)
		}
		run(mode+", a connection per transaction", "--no-vacuum", "--protocol="+mode, "--connect", "--select-only", "--client=2",
			"--transactions=20")
		if mode != "simple" { // which has no pipelines
			run(mode+", pipelines", "--no-vacuum", "--protocol="+mode, "--file="+pipeline, "--client=4", "--transactions="+transactions)
		}
	}
	found["the balances agree"] = answered(psql(ctx, `SELECT
		(SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches) AS tellers,
		(SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history) AS accounts,
		(SELECT count(*) FROM pgbench_history) AS transactions`))
	return found, nil
}

// psql runs one command of psql's or of SQL, with its output as a person sees it.
func psql(ctx context.Context, command string) *exec.Cmd {
	return tool(ctx, "psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--command="+command)
}

// describes are psql's ways of describing what is in a database. They send the largest catalog queries that any tool does.
var describes = strings.Fields(`\d \d+ \dS \da \dA \dAc \dAf \dAo \dAp \db+ \dc \dC \dconfig \dd \dD \dD+ \ddp \dE \dE+ \des+ \det+ \deu+ \dew+ \df
	\df+ \dfa \dfn \dft \dF \dF+ \dFd+ \dFp+ \dFt+ \dg \dg+ \di \di+ \dl \dL+ \dm \dm+ \dn \dn+ \do \dO \dp \dP \dP+ \drds \dRp+ \dRs \ds
	\ds+ \dt \dt+ \dT \dT+ \dTS \du \du+ \dv \dv+ \dx \dx+ \dX \dy \l \z \sf \sv`)

// describeOne are objects of seed.sql, each with what makes its description special.
var describeOne = []string{
	`\d seed.everything`, `\d+ seed.everything`, `\d seed.child`, `\d+ seed.parted`, `\d+ seed.parted_1`, `\d seed.only_view`,
	`\d+ seed.only_view`, `\d+ seed.only_matview`, `\d seed.counter`, `\d seed.pair`, `\d+ seed.kin`, `\d seed.everything_pkey`,
	`\sf seed.add_one`, `\sv seed.only_view`, `\df+ seed.*`, `\dt+ seed.*`, `\dT+ seed.*`, `\di+ seed.*`, `\ds+ seed.*`, `\dp seed.*`,
	`\dt *.*`, `\dn+ seed`, `\d "seed"."Odd ""name"""`,
}

// printed are other things that psql does, among them those with protocol features of their own.
var printed = []string{
	`SELECT * FROM seed.everything ORDER BY id`, `TABLE seed.parted`, `\copy seed.everything TO STDOUT (FORMAT csv, HEADER)`,
	`COPY (SELECT * FROM seed.everything ORDER BY id) TO STDOUT (FORMAT binary)`, `SELECT 1; SELECT 2; SELECT 3`,
	`SELECT 1/0`, `SELECT nonsense FROM nowhere`, `DO $$ BEGIN RAISE NOTICE 'noticed'; END $$`, `EXPLAIN (COSTS OFF) SELECT * FROM seed.parted`,
	`\lo_list`, `SHOW server_version`, `SELECT generate_series(1, 5000)`, `SELECT repeat('x', 3000000)`,
}

func runPsql(ctx context.Context, _ *leg) (results, error) {
	found := results{}
	for _, command := range append(append(append([]string{}, describes...), describeOne...), printed...) {
		one := answered(psql(ctx, command))
		if one.Status == fail { // an error is an answer as well, and must be the same one
			one.Status, one.Output = pass, ""
		}
		found[command] = one
	}
	cursor := tool(ctx, "psql", "--no-psqlrc", "--set=FETCH_COUNT=7", "--command=SELECT g FROM generate_series(1, 100) g")
	found["FETCH_COUNT"] = answered(cursor)
	script := tool(ctx, "psql", "--no-psqlrc", "--echo-all")
	script.Stdin = strings.NewReader("BEGIN;\nCREATE TEMP TABLE t (a int, b text);\nCOPY t FROM STDIN;\n1\tone\n2\t\\N\n\\.\n" +
		"TABLE t \\gdesc\nTABLE t;\nSELECT 'x' \\gset\n\\echo :\"?column?\"\nSELECT 1/0;\nSELECT 1;\nROLLBACK;\n")
	found["a script with COPY FROM STDIN and a failed transaction"] = answered(script)
	return found, nil
}

// restrictKey makes the one random line of a plain dump constant.
const restrictKey = "--restrict-key=conformance"

const customFormat = "--format=custom"

// dump is a pg_dump command; a version that puts random keys into plain dumps is told which.
func dump(ctx context.Context, arguments ...string) (*exec.Cmd, error) {
	if slices.Contains(arguments, customFormat) {
		return tool(ctx, "pg_dump", arguments...), nil
	}
	help, err := tool(ctx, "pg_dump", "--help").Output()
	if err != nil {
		return nil, err
	}
	if bytes.Contains(help, []byte("--restrict-key")) {
		arguments = append(arguments, restrictKey)
	}
	return tool(ctx, "pg_dump", arguments...), nil
}

func runDump(ctx context.Context, _ *leg) (results, error) {
	found := results{}
	for name, arguments := range map[string][]string{
		"plain": nil, "plain with INSERTs": {"--rows-per-insert=3"}, "schema only": {"--schema-only", "--create"},
		"data only": {"--data-only", "--column-inserts"},
	} {
		cmd, err := dump(ctx, arguments...)
		if err != nil {
			return nil, err
		}
		found[name] = answered(cmd)
	}
	cmd, err := dump(ctx, customFormat)
	if err != nil {
		return nil, err
	}
	custom := answered(cmd)
	if custom.Status == pass {
		custom.Answer = fmt.Sprintf("%q", withoutTime([]byte(custom.Answer)))
	}
	found["custom"] = custom
	return found, nil
}

// withoutTime blanks the time of creation in the header of a custom-format dump: "PGDMP", the version in three bytes, the sizes of
// an integer and of an offset, the format, the compression (an integer before version 1.15 of the format, then a byte), and seven
// integers of time, each with a sign byte (PostgreSQL source, pg_backup_archiver.c, WriteHead).
func withoutTime(archive []byte) []byte {
	const fixed, compressionByte = 11, 15
	if len(archive) < fixed || !bytes.HasPrefix(archive, []byte("PGDMP")) {
		return archive
	}
	integer := 1 + int(archive[8])
	start := fixed + integer
	if archive[6] >= compressionByte {
		start = fixed + 1
	}
	end := min(start+7*integer, len(archive))
	return append(append([]byte{}, archive[:start]...), archive[end:]...)
}

// archiveName is the dump that both legs restore.
const archiveName = "seed.dump"

// prepareRestore dumps the seeded database directly.
func prepareRestore(ctx context.Context, w *workspace, dir string) error {
	if err := w.newDatabase(ctx, []string{"seed.sql"}); err != nil {
		return err
	}
	cmd, err := w.directCommand(ctx, filepath.Join(w.server.BinDir, "pg_dump"), customFormat, "--file="+filepath.Join(dir, archiveName))
	if err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, "PGUSER="+role)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_dump: %w\n%s", err, output)
	}
	return nil
}

// anyRandomKey is the line of a dump that cannot be the same twice where pg_dump has no option for it.
var anyRandomKey = regexp.MustCompile(`(?m)^\\(un)?restrict .*$`)

// runRestore restores into the empty database, and dumps what it got.
func runRestore(ctx context.Context, l *leg) (results, error) {
	archive := filepath.Join(l.dir, archiveName)
	found := results{"restore": answered(tool(ctx, "pg_restore", "--exit-on-error", "--dbname="+os.Getenv("PGDATABASE"), archive))}
	cmd, err := dump(ctx)
	if err != nil {
		return nil, err
	}
	restored := answered(cmd)
	original := answered(tool(ctx, "pg_restore", "--file=-", archive))
	found["a dump of the restored database"] = restored
	roundTrip := result{Status: pass}
	if mine, theirs := statements(original.Answer), statements(restored.Answer); mine != theirs {
		roundTrip = result{Status: fail, Output: firstDifference(mine, theirs)}
	}
	found["the round trip gives the dump it came from"] = roundTrip
	return found, nil
}

// statements is a dump without its random key.
func statements(dump string) string { return anyRandomKey.ReplaceAllString(dump, "") }
