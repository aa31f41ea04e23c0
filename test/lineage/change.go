package main

import "strings"

// statement makes a query, or now and then a change.
func (m *maker) statement(number uint64) statement {
	st := statement{number: number, used: m.used}
	if m.one(8) == 0 {
		st.sql, st.target = m.change()
		return st
	}
	depth := 1 + m.one(2)
	q := m.query(depth, nil, nil)
	st.sql = q.sql
	if m.one(10) == 0 { // stars and names over it
		m.use("star over a query")
		st.sql = "SELECT q.*, q FROM (" + q.sql + ") q"
	} else if m.one(12) == 0 {
		m.use("star")
		rel := pick(m, relations)
		st.sql = pick(m, []string{"SELECT * FROM " + rel.name, "TABLE " + rel.name, "SELECT t.*, t.id FROM " + rel.name + " t", "SELECT * FROM " + rel.name + " NATURAL JOIN orders"})
	}
	return st
}

// change makes an INSERT, UPDATE, DELETE or MERGE with what it returns.
func (m *maker) change() (sql, target string) {
	m.pure = true
	people := item{alias: "people", columns: relations[0].columns, row: true, base: true}
	orders := item{alias: "orders", columns: relations[1].columns, row: true, base: true}
	value := func(k kind, s *scope) string { // now and then a tagged one: laundering, or into a column of that tag
		if m.one(3) == 0 {
			return m.expression(k, 1, s)
		}
		return m.expressionFor(k, 1, s, true)
	}
	returning := func(s *scope) string {
		var list []string
		for range 1 + m.one(3) {
			k := pick(m, kinds)
			list = append(list, m.expression(k, 2, s))
		}
		return " RETURNING " + strings.Join(list, ", ")
	}
	both := &scope{items: []item{people, orders}}
	switch m.one(6) {
	case 0:
		m.use("INSERT … SELECT")
		return "INSERT INTO orders (id, item, qty) SELECT 100 + people.id, " + value(text, &scope{items: []item{people}}) + ", " +
			value(integer, &scope{items: []item{people}}) + " FROM people" + returning(&scope{items: []item{orders}}), "orders"
	case 1:
		m.use("ON CONFLICT")
		return "INSERT INTO people (id, name, secret) SELECT id, item, 'new' FROM orders WHERE id < 3 ON CONFLICT (id) DO UPDATE SET note = " +
			value(text, &scope{items: []item{people}}) + ", secret = excluded.secret" + returning(&scope{items: []item{people}}), "people"
	case 2:
		m.use("UPDATE … FROM")
		return "UPDATE orders SET item = " + value(text, both) + ", qty = " + value(integer, both) +
			" FROM people WHERE people.id = orders.person_id" + returning(both), "orders"
	case 3:
		m.use("UPDATE (…) =")
		return "UPDATE people SET (name, note) = (SELECT " + value(text, &scope{items: []item{orders}}) + ", max(" + value(text, both) +
			") FROM orders WHERE orders.person_id = people.id GROUP BY 1 LIMIT 1)" + returning(&scope{items: []item{people}}), "people"
	case 4:
		m.use("DELETE … USING")
		return "DELETE FROM orders USING people WHERE people.id = orders.person_id AND orders.qty > 1" + returning(both), "orders"
	}
	m.use("MERGE")
	return "MERGE INTO orders USING people ON orders.id = people.id WHEN MATCHED AND orders.qty > 1 THEN UPDATE SET item = " + value(text, both) +
		" WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, item) VALUES (200 + people.id, " + value(text, &scope{items: []item{people}}) + ")", "orders"
}
