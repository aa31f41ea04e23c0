package differential

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// statement is SQL text for the pool, with values for its parameters.
type statement struct {
	sql        string
	parameters []string
}

// single are statements that the extended protocol takes as well. Some fail to parse, some at once, some in the middle of their
// rows.
var single = []statement{
	{sql: "SELECT 1"},
	{sql: ""},
	{sql: "SELECT id, note, amount, at, raw FROM diff_rows ORDER BY id"},
	{sql: "SELECT id, note FROM diff_rows WHERE id < $1::int ORDER BY id", parameters: []string{"9"}},
	{sql: "SELECT $1::text || $2::text AS both", parameters: []string{"left", "right"}},
	{sql: "INSERT INTO scratch VALUES ($1::int, $2::text) RETURNING id, note", parameters: []string{"5", "five"}},
	{sql: "INSERT INTO scratch VALUES (1, 'one')"},
	{sql: "UPDATE scratch SET note = note || 'x' RETURNING *"},
	{sql: "DELETE FROM scratch WHERE id > $1::int", parameters: []string{"3"}},
	{sql: "TABLE scratch"},
	{sql: "SELECT 1/0"},
	{sql: "SELECT 1/(30 - id) FROM diff_rows ORDER BY id"},
	{sql: "SELEC"},
	{sql: "SELECT nonsense FROM diff_rows"},
	{sql: "SELECT * FROM nonsense"},
	{sql: "SELECT nonsense(1)"},
	{sql: "INSERT INTO diff_rows (id) VALUES (1)"},
	{sql: "INSERT INTO diff_rows (id, nonsense) VALUES (1, 2)"},
	{sql: "SELECT 'x'::int"},
	{sql: "SELECT id, count(*) FROM diff_rows"},
	{sql: "DECLARE h CURSOR WITH HOLD FOR SELECT id FROM diff_rows ORDER BY id"},
	{sql: "FETCH 2 FROM h"},
	{sql: "CLOSE h"},
	{sql: "CLOSE ALL"},
	{sql: "DEALLOCATE ALL"},
	{sql: "DISCARD PLANS"},
	{sql: "SET LOCAL application_name = 'for a while'"},
	{sql: "SET nonsense = 1"},
	{sql: "CREATE TEMP TABLE IF NOT EXISTS scratch (id int)"},
	{sql: "CREATE TEMP TABLE more AS SELECT 1 AS id"},
	{sql: "DROP TABLE more"},
	{sql: "TABLE more"},
	{sql: "SELECT $1::int", parameters: []string{"not a number"}},
	{sql: "SELECT repeat('x', 70000) FROM diff_rows"},
	{sql: "VALUES (1, 'a'), (2, NULL)"},
	{sql: "SELECT FROM diff_rows"},
	{sql: "SELECT NULL::text, ''::text, '{1,2}'::int[]"},
	{sql: "BEGIN"},
	{sql: "COMMIT"},
	{sql: "ROLLBACK"},
	{sql: "SAVEPOINT s"},
	{sql: "ROLLBACK TO s"},
	{sql: "RELEASE s"},
	{sql: "SET application_name = 'changed'"},
	{sql: "SET application_name = 'differential'"},
	{sql: "SHOW application_name"},
	{sql: "DO $$ BEGIN RAISE NOTICE 'noticed'; END $$"},
	{sql: "PREPARE q AS SELECT id FROM diff_rows LIMIT 2"},
	{sql: "EXECUTE q"},
	{sql: "DEALLOCATE q"},
	{sql: "EXPLAIN (COSTS OFF) SELECT * FROM diff_rows"},
	{sql: "SELECT pg_sleep(0.001)"},
	{sql: "COPY diff_rows TO STDOUT"},
	{sql: "COPY diff_rows TO STDOUT (FORMAT csv, HEADER)"},
	{sql: "COPY diff_rows TO STDOUT (FORMAT binary)"},
	{sql: "COPY (SELECT 1/(30 - id) FROM diff_rows ORDER BY id) TO STDOUT"},
	{sql: "LISTEN news"},
	{sql: "UNLISTEN news"},
}

// named are statements about what another one made, if it did.
var named = []string{
	"DECLARE c CURSOR FOR SELECT id, note FROM diff_rows ORDER BY id", "FETCH 3 FROM c", "MOVE 2 IN c", "CLOSE c", "FETCH 2 FROM p1",
	"PREPARE q AS SELECT id FROM diff_rows LIMIT 2", "EXECUTE q", "DEALLOCATE q",
}

// several are simple queries of more than one statement.
var several = []string{
	"SELECT 1; SELECT 2", "SELECT 1; SELECT 1/0; SELECT 3", "BEGIN; INSERT INTO scratch VALUES (7, 'seven'); COMMIT", ";", " ; ; ", "SELECT 1;;",
	"COPY diff_rows TO STDOUT; SELECT 4", "BEGIN; SELECT 1/0; COMMIT; SELECT 5", "-- nothing", "SELECT 1; SELEC", "SAVEPOINT a; SELECT 1",
	"SELECT 1; BEGIN; SELECT 2; ROLLBACK; SELECT 3", "COMMIT; SELECT 1; ROLLBACK", "SELECT 1; SELECT nonsense; SELECT 2", "SELECT 1; EXPLAIN SELEC",
	"PREPARE z AS SELECT 1; EXECUTE z; DEALLOCATE z", "BEGIN; DECLARE d CURSOR FOR SELECT id FROM diff_rows; FETCH 2 FROM d; CLOSE d; COMMIT",
	"INSERT INTO scratch VALUES (8, 'eight'); SELECT 1/0", "SET application_name = 'twice'; SET application_name = 'differential'",
}

// copyIn are COPY statements with data that fit them, and data that do not.
var copyIn = []struct{ sql, good, bad string }{
	{"COPY scratch FROM STDIN", "11\televen\n", "eleven\t11\n"},
	{"COPY scratch FROM STDIN (FORMAT csv)", "12,\"twelve,\"\n", "12\n"},
	{"COPY scratch (id) FROM STDIN (FORMAT text)", "13\n", "x\n"},
	{
		"COPY scratch FROM STDIN (FORMAT binary)",
		"PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00\x0e\xff\xff\xff\xff\xff\xff",
		"not a header at all",
	},
}

// generator makes conversations from random choices.
type generator struct {
	r     *rand.Rand
	steps []step
	marks int
}

// converse makes the conversation of a seed.
func converse(seed uint64) []step {
	g := &generator{r: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // must be repeatable, not secret
	g.send("a temporary table", query("CREATE TEMP TABLE scratch (id int, note text)"))
	for range 1 + g.r.IntN(6) {
		g.mark()
		switch g.r.IntN(12) {
		case 11:
			g.calls()
		case 10:
			g.copies()
		case 9:
			g.typed()
		case 8:
			g.pipeline()
		case 7:
			g.portals()
		case 6:
			g.cursors()
		case 0:
			g.flushed()
		case 1:
			g.extendedCopyIn()
		case 2:
			g.simpleCopyIn(true)
		default:
			for range 1 + g.r.IntN(8) {
				g.burst()
			}
		}
	}
	g.mark()
	return g.steps
}

func (g *generator) send(text string, messages ...[]byte) *step {
	var data []byte
	for _, m := range messages {
		data = append(data, m...)
	}
	g.steps = append(g.steps, step{text: text, data: data, segment: segmentSize(g.r)})
	return &g.steps[len(g.steps)-1]
}

// mark brings the session into a known state, outside of a transaction, and waits for it: what comes between two marks is sent
// without waiting.
func (g *generator) mark() {
	g.marks++
	text := fmt.Sprintf("mark %d.", g.marks)
	g.send("Sync, ROLLBACK, wait for "+text, syncMessage, query("ROLLBACK"), query("SELECT '"+text+"'")).mark = text
}

// burst is a simple query, a COPY, or a group of extended messages that ends with Sync, or not yet.
func (g *generator) burst() {
	switch g.r.IntN(9) {
	case 8:
		sql := named[g.r.IntN(len(named))]
		g.send("Query "+quoted(sql), query(sql))
	case 0:
		sql := several[g.r.IntN(len(several))]
		g.send("Query "+quoted(sql), query(sql))
	case 1, 2:
		one := g.statement()
		g.send("Query "+quoted(one.sql), query(one.sql))
	case 3:
		g.simpleCopyIn(false)
	case 4:
		g.wholeExtended()
	default:
		for range 1 + g.r.IntN(7) {
			g.extendedMessage()
		}
		if g.r.IntN(4) > 0 {
			g.send("Sync", syncMessage)
		}
	}
}

func (g *generator) statement() statement { return single[g.r.IntN(len(single))] }

func (g *generator) name(letter string) string {
	return []string{"", "", letter + "1", letter + "2"}[g.r.IntN(4)]
}

func (g *generator) formats() []int {
	return [][]int{nil, {0}, {1}, {1}, {0, 1}}[g.r.IntN(5)]
}

func (g *generator) rows() int { return []int{0, 0, 1, 7, 50}[g.r.IntN(5)] }

// wholeExtended is what drivers send for one statement, in one go.
func (g *generator) wholeExtended() {
	one, name, portal := g.statement(), g.name("s"), g.name("p")
	messages := [][]byte{closeObject('S', name), parse(name, one.sql), describe('S', name), bind(portal, name, one.parameters, g.formats()...)}
	if g.r.IntN(2) == 0 {
		messages = append(messages, describe('P', portal))
	}
	for range 1 + g.r.IntN(3) {
		messages = append(messages, execute(portal, g.rows()))
	}
	text := fmt.Sprintf("Close, Parse %q %s, Describe, Bind %q, Execute…", name, quoted(one.sql), portal)
	if g.r.IntN(3) > 0 {
		messages, text = append(messages, syncMessage), text+", Sync"
	}
	g.send(text, messages...)
}

// extendedMessage is any message of the extended protocol, whether or not what it names exists.
func (g *generator) extendedMessage() {
	one, name, portal := g.statement(), g.name("s"), g.name("p")
	switch g.r.IntN(9) {
	case 0, 1:
		g.send(fmt.Sprintf("Parse %q %s", name, quoted(one.sql)), parse(name, one.sql))
	case 2:
		g.send(fmt.Sprintf("Bind %q to %q", portal, name), bind(portal, name, one.parameters, g.formats()...))
	case 3:
		g.send(fmt.Sprintf("Describe statement %q", name), describe('S', name))
	case 4:
		g.send(fmt.Sprintf("Describe portal %q", portal), describe('P', portal))
	case 5, 6:
		rows := g.rows()
		g.send(fmt.Sprintf("Execute %q, %d rows", portal, rows), execute(portal, rows))
	case 7:
		if g.r.IntN(2) == 0 {
			g.send(fmt.Sprintf("Close statement %q", name), closeObject('S', name))
		} else {
			g.send(fmt.Sprintf("Close portal %q", portal), closeObject('P', portal))
		}
	default:
		g.send("Flush", flush)
	}
}

// flushed waits for answers after a Flush, as a driver does that describes before it binds. A proxy that holds answers until Sync
// does not get on here.
func (g *generator) flushed() {
	one := g.statement()
	g.send("Parse "+quoted(one.sql)+", Describe, Flush, wait", parse("", one.sql), describe('S', ""), flush).await = "TnE"
	g.send("Bind, Execute 1 row, Flush, wait", bind("", "", one.parameters, g.formats()...), execute("", 1), flush).await = "sCEI"
	g.send("Execute, Sync, wait", execute("", 0), syncMessage).await = "Z"
}

// cursors reaches SQL cursors and prepared statements by the extended protocol, and a portal by SQL, all of which exist.
func (g *generator) cursors() {
	g.send("BEGIN, DECLARE c, PREPARE q", query("BEGIN"), query("DECLARE c SCROLL CURSOR FOR SELECT id, note FROM diff_rows ORDER BY id"),
		query("PREPARE q AS SELECT id FROM diff_rows LIMIT 2"))
	g.send("Bind portal p1, Execute 2 rows", parse("", "SELECT id FROM diff_rows ORDER BY id"), bind("p1", "", nil), execute("p1", 2), syncMessage).tail = true
	for range 1 + g.r.IntN(4) {
		sql := []string{"FETCH 3 FROM c", "MOVE 2 IN c", "FETCH BACKWARD 1 FROM c", "FETCH 2 FROM p1", "EXECUTE q"}[g.r.IntN(5)]
		g.send("Parse, Bind, Describe, Execute "+quoted(sql), parse("", sql), bind("", "", nil), describe('P', ""),
			execute("", g.rows()), syncMessage).tail = true
	}
	g.send("CLOSE c, DEALLOCATE q, COMMIT", query("CLOSE c; DEALLOCATE q"), query("COMMIT")).tail = true
}

// copyTail is data, good or bad, and one of the ways to end a COPY; what a client may send meanwhile is thrown in.
func (g *generator) copyTail(good, bad string, extended bool) (string, [][]byte) {
	var messages [][]byte
	var texts []string
	add := func(text string, m []byte) { texts, messages = append(texts, text), append(messages, m) }
	if g.r.IntN(6) > 0 {
		add("good data", copyData(good))
	}
	if g.r.IntN(4) == 0 {
		add("bad data", copyData(bad))
		add("more data", copyData(good))
	}
	if extended && g.r.IntN(4) == 0 {
		add("Flush", flush)
	}
	if extended && g.r.IntN(4) == 0 {
		add("Sync", syncMessage)
	}
	if g.r.IntN(5) == 0 {
		add("CopyFail", copyFail("changed my mind"))
	} else {
		add("CopyDone", copyDone)
	}
	return strings.Join(texts, ", "), messages
}

// simpleCopyIn copies in by a simple query; waiting is for the server to ask for the data.
func (g *generator) simpleCopyIn(wait bool) {
	one := copyIn[g.r.IntN(len(copyIn))]
	sql := one.sql
	if g.r.IntN(3) == 0 {
		sql = "SELECT 1; " + sql + "; SELECT 2"
	}
	text, tail := g.copyTail(one.good, one.bad, false)
	start := g.send("Query "+quoted(sql), query(sql))
	if wait {
		start.await = "GE"
	}
	g.send(text, tail...).tail = true
}

// extendedCopyIn copies in by the extended protocol. It needs a known state before, and leaves no unnamed COPY statement behind that
// a later Execute would start without data to follow.
func (g *generator) extendedCopyIn() {
	one := copyIn[g.r.IntN(len(copyIn))]
	text, tail := g.copyTail(one.good, one.bad, true)
	g.send("Parse, Bind, Execute "+quoted(one.sql), parse("", one.sql), bind("", "", nil), execute("", 0))
	g.send(text+", Sync", append(tail, syncMessage)...).tail = true
	g.send("Parse, Bind, Sync", parse("", "SELECT 6"), bind("", "", nil), syncMessage).tail = true
}

func quoted(sql string) string { return fmt.Sprintf("%.60q", sql) }
