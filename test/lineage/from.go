package main

import (
	"fmt"
	"strings"
)

// from makes a FROM clause and puts its items into the scope.
func (m *maker) from(depth int, s *scope) string {
	sql, it := m.item(depth, s, false)
	s.items = append(s.items, it)
	for range m.one(3) {
		lateral := m.one(3) == 0
		right, it := m.item(depth, s, lateral)
		s.items = append(s.items, it)
		switch m.one(6) {
		case 0:
			sql += ", " + right
		case 1:
			m.use("CROSS JOIN")
			sql += " CROSS JOIN " + right
		case 2, 3:
			join := pick(m, []string{"JOIN", "LEFT JOIN", "JOIN"})
			m.use(join)
			sql += " " + join + " " + right + " ON " + m.condition(min(depth, 1), &scope{items: s.items})
		default:
			sql = m.joinUsing(s, sql, right, it)
		}
	}
	return sql
}

// joinUsing joins by a column that both sides have, if they do.
func (m *maker) joinUsing(s *scope, sql, right string, it item) string {
	left := map[string]int{}
	for _, other := range s.items[:len(s.items)-1] {
		for _, col := range other.columns {
			if !(m.pure && col.tainted) {
				left[col.name]++
			}
		}
	}
	for _, col := range it.columns {
		if left[col.name] == 1 && col.kind == integer && !(m.pure && col.tainted) && len(s.items) == 2 {
			m.use("USING")
			return sql + " " + pick(m, []string{"JOIN ", "LEFT JOIN ", "FULL JOIN "}) + right + " USING (" + col.name + ")"
		}
	}
	return sql + " LEFT JOIN " + right + " ON true"
}

// item makes one FROM item. Lateral ones see the scope.
func (m *maker) item(depth int, s *scope, lateral bool) (string, item) {
	alias := m.name("t")
	switch n := m.one(10); {
	case n < 2 && len(m.ctes) > 0:
		cte := pick(m, m.ctes)
		return cte.alias + " AS " + alias, item{alias: alias, columns: cte.columns, row: true}
	case n < 4 && depth > 0:
		return m.subselect(depth, s, alias, lateral)
	case n == 4 && lateral:
		if sql, it := m.function(s, alias); sql != "" {
			return sql, it
		}
	case n == 5:
		q := m.values(nil, []kind{integer, text})
		m.use("VALUES in FROM")
		return "(" + q.sql + ") AS " + alias + "(id, v)", item{alias: alias, columns: []column{{"id", integer, false}, {"v", text, false}}, row: true}
	case n == 6:
		m.use("generate_series")
		return "generate_series(1, 2) AS " + alias + "(id)", item{alias: alias, columns: []column{{"id", integer, false}}}
	}
	rel := pick(m, relations)
	it := item{alias: alias, columns: rel.columns, row: true, base: true}
	if m.one(6) == 0 { // an alias list over the first columns
		m.use("alias list")
		k := 1 + m.one(len(rel.columns))
		it.columns = append(m.renamed(rel.columns[:k]), rel.columns[k:]...)
		if rel.name == "people" { // whose columns are not all in the list of the maker, but in their order
			return rel.name + " AS " + alias + "(" + names(it.columns[:k]) + ")", item{alias: alias, columns: it.columns[:min(k, 9)], row: true}
		}
		return rel.name + " AS " + alias + "(" + names(it.columns[:k]) + ")", item{alias: alias, columns: it.columns, row: true}
	}
	only := ""
	if m.one(12) == 0 && !rel.view {
		only = "ONLY "
	}
	return only + rel.name + " AS " + alias, it
}

func (m *maker) subselect(depth int, s *scope, alias string, lateral bool) (string, item) {
	word, outer := "", (*scope)(nil)
	if lateral {
		m.use("LATERAL")
		word, outer = "LATERAL ", &scope{items: s.items}
	}
	q := m.query(depth-1, outer, nil)
	it := item{alias: alias, columns: q.columns, row: true}
	if m.one(3) == 0 {
		it.columns = m.renamed(q.columns)
		return word + "(" + q.sql + ") AS " + alias + "(" + names(it.columns) + ")", it
	}
	return word + "(" + q.sql + ") AS " + alias, it
}

// function makes a function in FROM over the items before it.
func (m *maker) function(s *scope, alias string) (string, item) {
	switch m.one(4) {
	case 0:
		if e := m.columnOf(texts, s, m.pure); e != "" {
			m.use("unnest")
			return fmt.Sprintf("unnest(%s) WITH ORDINALITY AS %s(u, o)", e, alias),
				item{alias: alias, columns: []column{{"u", text, s.tainted(e)}, {"o", integer, false}}}
		}
	case 1:
		if e := m.columnOf(object, s, m.pure); e != "" {
			m.use("jsonb_each_text")
			return fmt.Sprintf("jsonb_each_text(%s) AS %s(k, v)", e, alias),
				item{alias: alias, columns: []column{{"k", text, s.tainted(e)}, {"v", text, s.tainted(e)}}}
		}
	case 2:
		if e := m.columnOf(text, s, m.pure); e != "" {
			m.use("string_to_table")
			return fmt.Sprintf("string_to_table(%s, 'a') AS %s(p)", e, alias), item{alias: alias, columns: []column{{"p", text, s.tainted(e)}}}
		}
	default:
		if e := m.columnOf(object, s, m.pure); e != "" {
			m.use("jsonb_to_record")
			return fmt.Sprintf("jsonb_to_record(%s) AS %s(k text, c int)", e, alias),
				item{alias: alias, columns: []column{{"k", text, s.tainted(e)}, {"c", integer, s.tainted(e)}}}
		}
	}
	return "", item{}
}

func (m *maker) columnOf(k kind, s *scope, untainted bool) string {
	found := s.all(k, untainted)
	if len(found) == 0 {
		return ""
	}
	return pick(m, found)
}

// condition makes a boolean expression for WHERE and ON, over untagged columns alone if the maker is pure.
func (m *maker) condition(depth int, s *scope) string {
	if m.one(4) == 0 {
		return "(" + m.condition(depth, s) + pick(m, []string{" AND ", " OR "}) + m.condition(depth, s) + ")"
	}
	switch n := m.one(8); {
	case n == 0 && depth > 0:
		m.use("EXISTS")
		inner := &scope{outer: s}
		from := m.from(0, inner)
		return "EXISTS (SELECT 1 FROM " + from + " WHERE " + m.comparison(inner) + ")"
	case n == 1 && depth > 0:
		m.use("IN (SELECT)")
		inner := &scope{outer: s}
		from := m.from(0, inner)
		return m.expressionFor(integer, 1, s, m.pure) + " IN (SELECT " + m.expressionFor(integer, 1, inner, m.pure) + " FROM " + from + ")"
	case n == 2:
		return m.expressionFor(text, 1, s, m.pure) + pick(m, []string{" IS NOT NULL", " LIKE '%e%'", " IN ('name1', 'name2', 'item1')"})
	}
	return m.comparison(s)
}

func (m *maker) comparison(s *scope) string {
	k := pick(m, []kind{integer, text, number, date})
	left, right := m.expressionFor(k, 1, s, m.pure), m.expressionFor(k, 1, s, m.pure)
	return "(" + left + pick(m, []string{" = ", " <> ", " < ", " >= "}) + right + ")"
}

func join(parts ...string) string { return strings.Join(parts, ", ") }
