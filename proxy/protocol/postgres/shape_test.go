package postgres_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// bankSQL has tagged values of several types. Every one of them holds "canary", "1815" or "987".
const bankSQL = `
CREATE TYPE address AS (street text, city text);
CREATE TABLE people (gone text, id int PRIMARY KEY, name text, email text, ssn text, worth numeric, born date, seen timestamptz, home address, tags text[], extra jsonb);
ALTER TABLE people DROP COLUMN gone;
INSERT INTO people VALUES
  (1, 'Ada "the first"', 'ada.canary@example.org', 'canary-078', 98765.43, '1815-12-10', '1815-12-10 10:00+00', ('Main, St', 'London'), '{a,"b c"}', '{"k": [1, {"x": null}]}'),
  (2, 'Grace', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE purchases (id int PRIMARY KEY, person int, total numeric(10,2), card text);
INSERT INTO purchases VALUES (10, 1, 9.50, 'canary-4111'), (11, 1, 12.00, NULL);
CREATE VIEW contacts AS SELECT id, ssn AS tax, name FROM people;`

var bankTags = map[string]string{
	"public.people.ssn": "pii/ssn", "public.people.email": "pii/email", "public.people.worth": "pii/worth",
	"public.people.born": "pii/born", "public.people.seen": "pii/born", "public.purchases.card": "pci/pan",
}

func allowWithMasks(op *access.Operation) (access.Decision, error) {
	d, err := allowUnderstood(op)
	d.Masks = map[string]access.Mask{
		"pii/email": {Strategy: "Partial", KeepDomain: true}, "pii/born": {Strategy: "DateTrunc", TruncateTo: "Year"},
	}
	if strings.Contains(op.Statements[0].Kind, "Copy") {
		d.Masks["pii/born"] = access.Mask{}
	}
	return d, err
}

func TestWhatIsTaggedIsMaskedInsideOfStructuredValues(t *testing.T) {
	p := start(t, config{tags: bankTags, sql: bankSQL, decider: decide(allowWithMasks)})
	const (
		ada   = `{"id":1,"name":"Ada \"the first\"","email":"***@example.org","ssn":"*****","worth":0,"born":"1815-01-01","seen":"1815-01-01T00:00:00+00:00","home":{"street":"Main, St","city":"London"},"tags":["a","b c"],"extra":{"k": [1, {"x": null}]}}`
		grace = `{"id":2,"name":"Grace","email":null,"ssn":null,"worth":null,"born":null,"seen":null,"home":null,"tags":null,"extra":null}`
	)
	for _, c := range []struct{ sql, want string }{
		{"select row_to_json(p) from people p order by id", ada + "\n" + grace},
		{"select row_to_json(p.*) from people p where id = 2", grace},
		{"select p from people p where id = 1", `(1,"Ada ""the first""",***@example.org,*****,0,1815-01-01,"1815-01-01 00:00:00+00","(""Main, St"",London)","{a,""b c""}","{""k"": [1, {""x"": null}]}")`},
		{
			"select json_build_object('p', p.name, 'bought', (select json_agg(json_build_object('total', total, 'card', card) order by id) from purchases where person = p.id)) from people p order by id",
			`{"p" : "Ada \"the first\"", "bought" : [{"total" : 9.50, "card" : "*****"}, {"total" : 12.00, "card" : null}]}` + "\n" + `{"p" : "Grace", "bought" : null}`,
		},
		{"select coalesce(jsonb_agg(j), '[]') from (select jsonb_build_object('ssn', ssn, 'id', id) as j from people where id = 1) x", `[{"id": 1, "ssn": "*****"}]`},
		{"select to_jsonb(p) - 'ssn' - '{worth,born,seen,home,tags,extra}'::text[] from people p where id = 1", `{"id": 1, "name": "Ada \"the first\"", "email": "***@example.org"}`},
		{"select to_jsonb(p)->>'name', to_jsonb(p)->'ssn', to_jsonb(p)->>'worth' from people p where id = 1", `Ada "the first"|"*****"|*****`},
		{"select array_agg(email order by id), array[ssn, name] from people where id = 1 group by ssn, name", `{***@example.org}|{*****,*****}`},
		{"select row(people.id, ssn, row(name, card)), (row(total, ssn)).f2 from people join purchases on person = people.id where purchases.id = 10", `(1,*****,"(""Ada """"the first"""""",*****)")|*****`},
		{"select array_agg(q) from (select id, card from purchases order by id) q", `{"(10,*****)","(11,)"}`},
		{"select row_to_json(c), c from contacts c where id = 1", `{"id":1,"tax":"*****","name":"Ada \"the first\""}|(1,*****,"Ada ""the first""")`},
		{"select row_to_json(q) from (select id, ssn from people where id = 1) q(ssn, id)", `{"ssn":1,"id":"*****"}`},
		{"select row_to_json(c) from contacts as c(tax, id) where tax = 1", `{"id":"*****","tax":"*****","name":"Ada \"the first\""}`},
		{
			"select json_build_object('n', count(*), 's', count(ssn), 'd', count(distinct ssn), 'm', max(ssn), 'sum', sum(worth), 'none', ssn is null) from people group by ssn order by ssn",
			`{"n" : 1, "s" : 1, "d" : 1, "m" : "*****", "sum" : 0, "none" : false}` + "\n" + `{"n" : 1, "s" : 0, "d" : 0, "m" : null, "sum" : null, "none" : true}`,
		},
		{"select json_object_agg(name, ssn) from people", `{ "Ada \"the first\"" : "*****", "Grace" : null }`},
		{"select json_object_agg(ssn, name) from people where id = 1", `"*****"`},
		{"select json_strip_nulls(row_to_json(c)) from contacts c order by id", `{"id":1,"tax":"*****","name":"Ada \"the first\""}` + "\n" + `{"id":2,"name":"Grace"}`},
		{"select jsonb_build_object('a', ssn) || '{\"b\": [1]}' from people where id = 1", `{"a": "*****", "b": [1]}`},
		{"with w as (select p from people p where id = 2) select to_json(p), p from w", grace + "|(2,Grace,,,,,,,,)"},
		{"select json_build_array(id, ssn, now() is null) from people where id = 1", `[1, "*****", false]`},
		{"copy (select row_to_json(c) from contacts c where id = 1) to stdout", `{"id":1,"tax":"*****","name":"Ada \\"the first\\""}`},
		{"copy (select c, array[tax] from contacts c where id = 1) to stdout (format csv)", `"(1,*****,""Ada """"the first"""""")",{*****}`},
	} {
		got := p.psql(t, c.sql)
		if got != c.want {
			t.Errorf("%s\n got: %s\nwant: %s", c.sql, got, c.want)
		}
	}
}

// structuredQueries are made of people and purchases. All of them show "Ada".
var structuredQueries = []string{
	"select row_to_json(p) from people p where id = 1",
	"select to_jsonb(p) from people p where id = 1",
	"select jsonb_agg(p) from people p",
	"select p from people p where id = 1",
	"select array_agg(p) from people p",
	"select row(p.name, p.ssn, to_jsonb(p), p.worth, row(p.email, p.born), array[p.ssn]) from people p where id = 1",
	"select array_agg(row(name, tax, row_to_json(c))) from contacts c",
	"select array[json_build_object('n', name, 's', ssn), json_build_object('e', email)] from people where id = 1",
	"select q from (select name, json_agg(json_build_object('s', ssn, 'c', card)) j from people join purchases on person = people.id group by 1) q",
	"insert into purchases select 20 + id, 1, 1, 'canary' from purchases where id = 10 returning json_build_object('c', card, 'a', 'Ada'), purchases",
	"select jsonb_build_object('a', name, 'deep', jsonb_build_object('l', jsonb_build_array(ssn, jsonb_build_object('e', email, 's', seen)))) from people where id = 1",
}

func TestStructuredValuesAreMaskedInEveryFormat(t *testing.T) {
	p := start(t, config{tags: bankTags, sql: bankSQL, decider: decide(allowWithMasks)})
	conn := p.connect(t)
	ctx := context.Background()
	for _, sql := range structuredQueries {
		for name, run := range map[string]func() ([][][]byte, error){
			"simple": func() ([][][]byte, error) {
				results, err := conn.Exec(ctx, sql).ReadAll()
				if err != nil {
					return nil, err
				}
				return results[0].Rows, nil
			},
			"text": func() ([][][]byte, error) {
				r := conn.ExecParams(ctx, sql, nil, nil, nil, []int16{0}).Read()
				return r.Rows, r.Err
			},
			"binary": func() ([][][]byte, error) {
				r := conn.ExecParams(ctx, sql, nil, nil, nil, []int16{1}).Read()
				return r.Rows, r.Err
			},
		} {
			if strings.HasPrefix(sql, "insert") {
				if _, err := conn.Exec(ctx, "delete from purchases where id > 20").ReadAll(); err != nil {
					t.Fatal(err)
				}
			}
			rows, err := run()
			if err != nil {
				t.Errorf("%s, %s: %v", name, sql, err)
				continue
			}
			judge(t, name+", "+sql, bytes.Join(values(rows), []byte("\n")))
		}
		if strings.HasPrefix(sql, "insert") {
			continue
		}
		for _, format := range []string{"text", "csv", "binary"} {
			var out bytes.Buffer
			if _, err := conn.CopyTo(ctx, &out, "copy ("+sql+") to stdout (format "+format+")"); err != nil {
				t.Errorf("copy %s, %s: %v", format, sql, err)
			}
			if bytes.Contains(out.Bytes(), []byte("canary")) {
				t.Errorf("copy %s, %s: %q", format, sql, out.Bytes())
			}
			if format != "binary" && !bytes.Contains(out.Bytes(), []byte("Ada")) {
				t.Errorf("copy %s, %s: %q", format, sql, out.Bytes())
			}
		}
	}
}

func values(rows [][][]byte) [][]byte {
	var all [][]byte
	for _, row := range rows {
		all = append(all, row...)
	}
	return all
}

// judge looks for what must not be in an output, in text and binary form, and for what must.
func judge(t *testing.T, what string, out []byte) {
	t.Helper()
	for _, secret := range []string{"canary", "987", "-12-10", "12-10", "\x00\x09\x26\x94"} { // the last is 9876 in a binary numeric's digits
		if bytes.Contains(out, []byte(secret)) {
			t.Errorf("%s: shows %q in %q", what, secret, out)
		}
	}
	if !bytes.Contains(out, []byte("Ada")) {
		t.Errorf("%s: nothing is shown: %q", what, out)
	}
}

// The server takes every masked value back as what it was.
func TestTheServerReadsWhatWasMaskedInside(t *testing.T) {
	p := start(t, config{tags: bankTags, sql: bankSQL, decider: decide(allowWithMasks)})
	conn := p.connect(t)
	ctx := context.Background()
	for _, sql := range structuredQueries {
		for _, format := range []int16{0, 1} {
			if strings.HasPrefix(sql, "insert") {
				if _, err := conn.Exec(ctx, "delete from purchases where id > 20").ReadAll(); err != nil {
					t.Fatal(err)
				}
			}
			read := conn.ExecParams(ctx, sql, nil, nil, nil, []int16{format}).Read()
			if read.Err != nil {
				t.Errorf("%s: %v", sql, read.Err)
				continue
			}
			oid := read.FieldDescriptions[0].DataTypeOID
			if oid == 2249 || oid == 2287 { // a record has no input
				continue
			}
			back := conn.ExecParams(ctx, "select $1", [][]byte{read.Rows[0][0]}, []uint32{oid}, []int16{format}, nil).Read()
			if back.Err != nil {
				t.Errorf("format %d of %s: the server does not read %q: %v", format, sql, read.Rows[0][0], back.Err)
			}
		}
	}
}
