package main

import "fmt"

// expressionFor is expression, over untagged columns alone where that is asked.
func (m *maker) expressionFor(k kind, depth int, s *scope, untainted bool) string {
	if !untainted {
		return m.expression(k, depth, s)
	}
	if e := m.columnOf(k, s, true); e != "" && m.one(5) != 0 {
		return e
	}
	return m.constant(k)
}

func (m *maker) constant(k kind) string {
	switch k {
	case text:
		return pick(m, []string{"'name1'", "'a-b'", "'x'"}) + "::text"
	case integer:
		return fmt.Sprint(m.one(9))
	case number:
		return fmt.Sprintf("%d.5", m.one(9))
	case date:
		return "date '2020-06-03'"
	case boolean:
		return "true"
	case object:
		return `'{"k": "x", "n": 1}'::jsonb`
	}
	return "ARRAY['p', 'q']::text[]"
}

// expression makes a value of the kind.
func (m *maker) expression(k kind, depth int, s *scope) string {
	if depth <= 0 || m.one(3) == 0 {
		if e := m.columnOf(k, s, false); e != "" && m.one(8) != 0 {
			return e
		}
		if depth <= 0 {
			return m.constant(k)
		}
	}
	e := func(k kind) string { return m.expression(k, depth-1, s) }
	if m.one(12) == 0 {
		m.use("CASE")
		return "CASE WHEN " + m.test(depth-1, s) + " THEN " + e(k) + " ELSE " + e(k) + " END"
	}
	if m.one(14) == 0 {
		m.use("scalar sub-select")
		inner := &scope{outer: s}
		from := m.from(0, inner)
		return "(SELECT " + m.aggregate(k, inner) + " FROM " + from + ")"
	}
	if m.one(10) == 0 && k != object {
		return pick(m, []string{"coalesce", "greatest", "least"}) + "(" + join(e(k), e(k)) + ")"
	}
	switch k {
	case text:
		return m.textExpression(e, s)
	case integer:
		return m.integerExpression(e)
	case number:
		return pick(m, []string{"round(" + e(number) + ", 1)", "(" + e(number) + " * 2)", "(" + e(integer) + ")::numeric", "abs(" + e(number) + ")"})
	case date:
		return pick(m, []string{"(" + e(date) + " + 1)", "(" + e(date) + " - " + "interval '1 day')::date", "date_trunc('year', " + e(date) + ")::date"})
	case boolean:
		return "(" + m.test(depth-1, s) + ")"
	case object:
		return m.jsonExpression(e, s)
	}
	return pick(m, []string{"ARRAY[" + join(e(text), e(text)) + "]", "string_to_array(" + e(text) + ", 'e')", "array_append(" + join(e(texts), e(text)) + ")"})
}

func (m *maker) textExpression(e func(kind) string, s *scope) string {
	switch m.one(17) {
	case 0:
		return "upper(" + e(text) + ")"
	case 1:
		return "(" + e(text) + " || " + e(text) + ")"
	case 2:
		return "substr(" + e(text) + ", 1, 3)"
	case 3:
		return "(" + e(integer) + ")::text"
	case 4:
		return "(" + e(date) + ")::text"
	case 5:
		return "concat(" + join(e(text), e(integer)) + ")"
	case 6:
		return "nullif(" + join(e(text), "'x'") + ")"
	case 7:
		return "(" + e(object) + " ->> 'k')"
	case 8:
		return "array_to_string(" + e(texts) + ", ',')"
	case 9:
		return "format('%s-%s', " + join(e(text), e(number)) + ")"
	case 10:
		return "md5(" + e(text) + ")"
	case 11:
		return "(" + e(texts) + ")[1]"
	case 12:
		return "(" + e(object) + ")::text"
	case 13:
		return "replace(" + join(e(text), "'e'", e(text)) + ")"
	case 14:
		if row := m.rowOf(s); row != "" {
			m.use("whole row")
			return row + "::text"
		}
	case 15:
		for _, it := range s.current() {
			if it.base {
				m.use("functional notation")
				if col := pick(m, it.columns); col.kind == text {
					return col.name + "(" + it.alias + ")"
				}
				return "(" + it.alias + ").id::text"
			}
		}
	}
	return "trim(" + e(text) + ")"
}

func (s *scope) current() []item {
	if s == nil {
		return nil
	}
	return s.items
}

// rowOf is a whole row in sight.
func (m *maker) rowOf(s *scope) string {
	for _, it := range s.current() {
		if it.row && m.one(2) == 0 {
			return "(" + it.alias + ")"
		}
	}
	return ""
}

func (m *maker) integerExpression(e func(kind) string) string {
	switch m.one(7) {
	case 0:
		return "length(" + e(text) + ")"
	case 1:
		return "(" + e(integer) + " % 1000 + 1)"
	case 2:
		return "ascii(" + e(text) + ")"
	case 3:
		return "extract(year FROM " + e(date) + ")::int"
	case 4:
		return "cardinality(" + e(texts) + ")"
	case 5:
		return "(" + e(date) + " - date '2000-01-01')"
	}
	return "(" + e(boolean) + ")::int"
}

func (m *maker) jsonExpression(e func(kind) string, s *scope) string {
	switch m.one(8) {
	case 0:
		return "to_jsonb(" + e(text) + ")"
	case 1, 2:
		m.use("jsonb_build_object")
		return "jsonb_build_object('k', " + e(text) + ", 'n', " + e(integer) + ")"
	case 3:
		return "jsonb_build_array(" + join(e(text), e(number)) + ")"
	case 4:
		return "(" + e(object) + " -> 'k')"
	case 5:
		if row := m.rowOf(s); row != "" {
			m.use("to_jsonb(row)")
			return "to_jsonb" + row
		}
	case 6:
		return "jsonb_strip_nulls(" + e(object) + ")"
	}
	return "jsonb_build_object('a', " + e(object) + ")"
}

// test is a boolean expression whose value goes to the output.
func (m *maker) test(depth int, s *scope) string {
	k := pick(m, []kind{integer, text, number, date})
	switch m.one(5) {
	case 0:
		return "(" + m.expression(text, depth, s) + " LIKE '%a%')"
	case 1:
		return "(" + m.expression(k, depth, s) + " IS NULL)"
	}
	return "(" + m.expression(k, depth, s) + pick(m, []string{" = ", " < ", " >= "}) + m.expression(k, depth, s) + ")"
}

// aggregate makes an aggregate of the kind.
func (m *maker) aggregate(k kind, s *scope) string {
	m.use("aggregate")
	e := func(k kind) string { return m.expression(k, 1, s) }
	filter := ""
	if m.one(6) == 0 {
		m.use("FILTER")
		filter = " FILTER (WHERE " + m.comparison(s) + ")"
	}
	order := m.expressionFor(integer, 0, s, m.pure)
	switch k {
	case text:
		return pick(m, []string{"max(" + e(text) + ")", "min(" + e(text) + ")", "string_agg(" + e(text) + ", ',' ORDER BY " + order + ")"}) + filter
	case integer:
		return pick(m, []string{"count(*)", "count(" + e(text) + ")", "sum(" + e(integer) + ")", "max(" + e(integer) + ")"}) + filter + "::int"
	case number:
		return pick(m, []string{"avg(" + e(number) + ")", "sum(" + e(number) + ")", "max(" + e(number) + ")"}) + filter
	case date:
		return pick(m, []string{"max(" + e(date) + ")", "min(" + e(date) + ")"}) + filter
	case boolean:
		return pick(m, []string{"bool_or(" + m.test(1, s) + ")", "every(" + m.test(1, s) + ")"}) + filter
	case object:
		return pick(m, []string{"jsonb_agg(" + e(text) + " ORDER BY " + order + ")", "jsonb_agg(" + e(object) + " ORDER BY " + order + ")"}) + filter
	}
	return "array_agg(" + e(text) + " ORDER BY " + order + ")" + filter
}

// window makes a window function of the kind.
func (m *maker) window(k kind, s *scope) string {
	m.use("window")
	partition := ""
	if m.one(2) == 0 {
		partition = "PARTITION BY " + m.expressionFor(text, 0, s, m.pure) + " "
	}
	over := " OVER (" + partition + "ORDER BY " + m.expressionFor(integer, 0, s, m.pure) + ")"
	e := m.expression(k, 1, s)
	switch k {
	case integer:
		return pick(m, []string{"(row_number()" + over + ")::int", "(rank()" + over + ")::int", "(count(*) OVER ())::int", "lag(" + e + ")" + over, "(sum(" + e + ")" + over + ")::int"})
	case object, boolean:
		return "first_value(" + e + ")" + over
	}
	return pick(m, []string{"lag(" + e + ")" + over, "first_value(" + e + ")" + over, "max(" + e + ")" + over})
}
