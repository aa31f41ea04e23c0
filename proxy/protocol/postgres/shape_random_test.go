package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// tagged texts of this schema, and what is derived from them, hold "canary" in some case, and nothing else does.
const randomSQL = `
CREATE TABLE people (id int PRIMARY KEY, name text, secret text, token text);
INSERT INTO people VALUES (1, 'Ada', 'canary-a', 'canary "b" \'), (2, 'Grace', 'canary-c', NULL);
CREATE TABLE visits (id int PRIMARY KEY, person int, place text, hidden text);
INSERT INTO visits VALUES (10, 1, 'Rome', 'canary-d'), (11, 1, 'Oslo', 'canary-e'), (12, 2, 'Lima', NULL);
CREATE VIEW faces AS SELECT id, secret AS face, name FROM people;`

// writer writes random expressions that make JSON of people p and visits.
type writer struct{ *rand.Rand }

func (w writer) pick(choices ...string) string { return choices[w.IntN(len(choices))] }

func (w writer) leaf(alias string) string {
	if alias == "v" {
		return w.pick("v.id", "v.place", "v.hidden", "upper(v.hidden)", "'constant'", "v.hidden || v.place")
	}
	return w.pick("p.id", "p.name", "p.secret", "p.token", "upper(p.secret)", "p.name || p.token", "42", "NULL", "p.secret IS NULL", "coalesce(p.token, 'x canary')")
}

// json is an expression of type jsonb.
func (w writer) json(alias string, depth int) string {
	if depth == 0 {
		return "to_jsonb(" + w.pick(alias, alias+".*", w.leaf(alias)+"::text") + ")"
	}
	part := func() string { return w.value(alias, depth-1) }
	key := w.pick("'a'", "'b'", `'c "d"'`, `'\'`, "'é'")
	switch w.IntN(12) {
	case 0, 1:
		return "jsonb_build_object(" + key + ", " + part() + ", 'z', " + part() + ")"
	case 2:
		return "json_build_object(" + key + ", " + part() + ", 'y', " + part() + ")::jsonb"
	case 3:
		return "jsonb_build_array(" + part() + ", " + part() + ")"
	case 4:
		return "to_jsonb(ROW(" + part() + ", " + part() + "))"
	case 5:
		return "to_jsonb(ARRAY[" + w.json(alias, depth-1) + "])"
	case 6:
		return "(jsonb_build_object('k', " + part() + ") || jsonb_build_object('l', " + part() + "))"
	case 7:
		return "(jsonb_build_object('k', " + part() + ", 'l', " + part() + ") -> " + w.pick("'k'", "'l'") + ")"
	case 8:
		return "(to_jsonb(" + alias + ") - " + w.pick("'name'", "'secret'", "'{id,token}'::text[]") + ")"
	case 9:
		return "coalesce(" + w.json(alias, depth-1) + ", '{}')"
	case 10:
		if alias == "v" {
			return "jsonb_strip_nulls(" + w.json(alias, depth-1) + ")"
		}
		return "(SELECT jsonb_agg(" + w.value("v", depth-1) + " ORDER BY v.id) FROM visits v WHERE v.person = p.id)"
	default:
		if alias == "v" {
			return "to_jsonb(v)"
		}
		return "(SELECT to_jsonb(s) FROM (SELECT " + w.value("p", depth-1) + " AS one, f.* FROM faces f WHERE f.id = p.id) s)"
	}
}

func (w writer) value(alias string, depth int) string {
	if w.IntN(3) == 0 {
		return w.leaf(alias)
	}
	return w.json(alias, depth)
}

// maskedText is what becomes of a JSON string that holds a tagged value.
var maskedText = regexp.MustCompile(`(?i)"(?:[^"\\]|\\.)*canary(?:[^"\\]|\\.)*"`)

// The server itself is the judge: what comes through the proxy is what comes from the server, with every tagged text replaced.
func TestRandomJSONIsMaskedWhereItIsTaggedAndNowhereElse(t *testing.T) {
	const statements = 300
	p := start(t, config{sql: randomSQL, tags: map[string]string{
		"public.people.secret": "pii/secret", "public.people.token": "pii/token", "public.visits.hidden": "pii/hidden",
	}})
	ctx := context.Background()
	direct, err := pgconn.Connect(ctx, p.server.DSN(p.db))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(ctx)
	through := p.connect(t)
	w := writer{rand.New(rand.NewPCG(1, 2))}
	coarse, valid := 0, 0
	for range statements {
		sql := fmt.Sprintf("SELECT %s FROM people p ORDER BY p.id", w.json("p", 1+w.IntN(4)))
		plain := direct.ExecParams(ctx, sql, nil, nil, nil, []int16{0}).Read()
		if plain.Err != nil {
			continue // "could not determine polymorphic type" and the like
		}
		format := int16(w.IntN(2))
		got := through.ExecParams(ctx, sql, nil, nil, nil, []int16{format}).Read()
		if got.Err != nil {
			t.Errorf("%s: %v", sql, got.Err)
			continue
		}
		valid++
		exact := true
		for i := range plain.Rows {
			value := strings.TrimPrefix(string(got.Rows[i][0]), "\x01")
			if strings.Contains(strings.ToLower(value), "canary") {
				t.Errorf("%s\nshows %s", sql, value)
			}
			exact = exact && value == maskedText.ReplaceAllString(string(plain.Rows[i][0]), `"*****"`)
		}
		if !exact {
			coarse++
			t.Logf("%s\n is %s\ngot %s", sql, plain.Rows[0][0], got.Rows[0][0])
		}
	}
	if valid < statements/2 || coarse*20 > valid {
		t.Errorf("%d of %d statements are masked more than needed", coarse, valid)
	}
	t.Logf("%d statements, %d of them masked more than needed", valid, coarse)
}
