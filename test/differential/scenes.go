package differential

import "fmt"

// portals leaves results suspended over several Syncs, in a transaction, and comes back to them in any order: by row limits, by SQL's
// FETCH, after Close, and in binary and text at once.
func (g *generator) portals() {
	g.send("BEGIN", query("BEGIN"))
	for _, portal := range []string{"p1", "p2"} {
		g.send(fmt.Sprintf("Parse, Bind %q, Execute 2 rows, Sync", portal), parse("s"+portal, "SELECT id, note, raw FROM diff_rows ORDER BY id"),
			describe('S', "s"+portal), bind(portal, "s"+portal, nil, g.formats()...), describe('P', portal), execute(portal, 2), syncMessage).tail = true
	}
	for range 1 + g.r.IntN(8) {
		portal := []string{"p1", "p2", "p2", "none"}[g.r.IntN(4)]
		switch g.r.IntN(6) {
		case 0:
			g.send("Close "+portal+", Sync", closeObject('P', portal), syncMessage)
		case 1:
			sql := "FETCH 2 FROM " + portal
			g.send("Query "+quoted(sql), query(sql))
		case 2:
			g.send("SAVEPOINT, Execute "+portal+", ROLLBACK TO", query("SAVEPOINT x"), execute(portal, g.rows()), syncMessage, query("ROLLBACK TO x"))
		default:
			rows := g.rows()
			g.send(fmt.Sprintf("Execute %s %d rows, Sync, Sync", portal, rows), execute(portal, rows), syncMessage, syncMessage)
		}
	}
	g.send([]string{"COMMIT", "ROLLBACK"}[g.r.IntN(2)], query([]string{"COMMIT", "ROLLBACK"}[g.r.IntN(2)])).tail = true
}

// pipeline sends many groups, each with its Sync, without reading, and lets some of them fail: what fails must take down its own
// group and no other.
func (g *generator) pipeline() {
	for range 2 + g.r.IntN(12) {
		one := g.statement()
		messages := [][]byte{parse("", one.sql)}
		text := "Parse " + quoted(one.sql)
		if g.r.IntN(3) > 0 {
			messages, text = append(messages, describe('S', "")), text+", Describe"
		}
		if g.r.IntN(5) > 0 {
			messages = append(messages, bind("", "", one.parameters, g.formats()...), describe('P', ""), execute("", g.rows()))
			text += ", Bind, Describe, Execute"
		}
		if g.r.IntN(4) == 0 {
			messages, text = append(messages, flush), text+", Flush"
		}
		if g.r.IntN(3) == 0 {
			messages, text = append(messages, closeObject('P', ""), closeObject('S', "")), text+", Close, Close"
		}
		if g.r.IntN(6) > 0 {
			messages, text = append(messages, syncMessage), text+", Sync"
		}
		g.send(text, messages...)
	}
}

// typed declares its parameters' types and binds them in binary, well or not.
func (g *generator) typed() {
	const int4, text = 23, 25
	value := [][]byte{{0, 0, 0, 9}, {0, 9}, nil}[g.r.IntN(3)]
	g.send(fmt.Sprintf("Parse with types, Bind % x, Execute, Sync", value),
		parseTyped("", "SELECT id, note FROM diff_rows WHERE id < $1 AND note <> $2 ORDER BY id", int4, text), describe('S', ""),
		bindBinary("", "", [][]byte{value, []byte("note 3")}, g.formats()...), execute("", g.rows()), syncMessage)
}

// calls are FunctionCall messages: int4pl, with a wrong number of arguments, and a function that does not exist.
func (g *generator) calls() {
	const int4pl, nothing = 177, 4_000_000_000
	function, arguments := uint32(int4pl), []string{"2", "3"}
	switch g.r.IntN(4) {
	case 0:
		arguments = arguments[:1]
	case 1:
		function = nothing
	case 2:
		arguments[1] = "three"
	}
	g.send(fmt.Sprintf("FunctionCall %d%q", function, arguments), syncMessage, functionCall(function, arguments))
}

// copies are simple queries with several COPYs, whose data come late, twice or without having been asked for.
func (g *generator) copies() {
	good, bad := copyData("21\ttwentyone\n"), copyData("twentyone\t21\n")
	endings := [][]byte{copyDone, copyDone, copyFail("no more")}
	sql := []string{
		"COPY scratch FROM STDIN; COPY scratch FROM STDIN", "COPY scratch FROM STDIN; COPY scratch TO STDOUT; SELECT 7",
		"SELECT 1; COPY diff_rows TO STDOUT; COPY scratch FROM STDIN; SELECT 1/0", "BEGIN; COPY scratch FROM STDIN; COMMIT; SELECT 8",
	}[g.r.IntN(4)]
	g.send("Query "+quoted(sql), query(sql))
	for range 2 {
		data := good
		if g.r.IntN(4) == 0 {
			data = bad
		}
		g.send("data, end", data, good, endings[g.r.IntN(3)]).tail = true
	}
	if g.r.IntN(2) == 0 {
		g.send("late data", good, copyDone, copyData("nobody asked for this\n")).tail = true
	}
}
