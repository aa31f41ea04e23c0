package analysis

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// people has tagged columns beside untagged ones.
func people() *catalog.Snapshot {
	email, ssn := []string{"pii/email"}, []string{"pii/ssn"}
	return catalog.New(1, catalog.Content{SearchPath: []string{"pg_catalog", "public"}, Relations: []catalog.Relation{
		{OID: 1, Schema: "public", Name: "customers", Kind: 'r', Columns: []catalog.Column{
			{Name: "id", Num: 1, TypeOID: 23},
			{Name: "name", Num: 2, TypeOID: 25},
			{Name: "email", Num: 3, TypeOID: 25, Tags: email},
			{Name: "ssn", Num: 4, TypeOID: 25, Tags: ssn},
		}},
		{OID: 2, Schema: "public", Name: "orders", Kind: 'r', Columns: []catalog.Column{
			{Name: "id", Num: 1, TypeOID: 23}, {Name: "customer", Num: 2, TypeOID: 23}, {Name: "note", Num: 3, TypeOID: 25},
		}},
	}})
}

// keeps is the text that a recording has of one, with ~ for what is hidden, and the parameters that it shows.
func keeps(t *testing.T, cat *catalog.Snapshot, text string) string {
	t.Helper()
	r, err := Analyze(text, nil, cat, Options{})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	out := strings.ReplaceAll(strings.ReplaceAll(r.Recorded.Text, Hidden, "~"), hiddenName, `"~"`)
	for i, shown := range r.Recorded.Parameters {
		if shown {
			out += fmt.Sprintf(" +%d", i+1)
		} else {
			out += fmt.Sprintf(" -%d", i+1)
		}
	}
	if hides := strings.ContainsAny(out, "~") || strings.Contains(out, " -1") || strings.Contains(out, " -2"); hides != r.Recorded.Hides {
		t.Errorf("%s: Hides is %v", text, r.Recorded.Hides)
	}
	return out
}

func TestARecordingKeepsTheConstantsThatMeetUntaggedColumnsAlone(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT name FROM customers WHERE id = 5 AND email = 'a@b.c'":                 "SELECT name FROM customers WHERE id = 5 AND email = ~",
		"SELECT name FROM customers WHERE email = 'a@b.c' OR name LIKE 'A%' LIMIT 10": "SELECT name FROM customers WHERE email = ~ OR name LIKE 'A%' LIMIT 10",
		"SELECT ssn FROM customers WHERE id IN (1, 2) AND ssn IN ('1', '2')":          "SELECT ssn FROM customers WHERE id IN (1, 2) AND ssn IN (~, ~)",
		"SELECT ssn FROM customers WHERE id BETWEEN 1 AND -9":                         "SELECT ssn FROM customers WHERE id BETWEEN 1 AND -9",
		"SELECT ssn FROM customers WHERE id=-2 AND ssn=-3":                            "SELECT ssn FROM customers WHERE id=-2 AND ssn=-~",
		"SELECT ssn || '1' FROM customers":                                            "SELECT ssn || ~ FROM customers",
		"SELECT '123', ssn FROM customers":                                            "SELECT ~, ssn FROM customers",
		"INSERT INTO customers (id, name, ssn) VALUES (1, 'Ann', '123')":              "INSERT INTO customers (id, name, ssn) VALUES (1, 'Ann', ~)",
		"INSERT INTO customers VALUES (1, 'Ann', 'e', '123'), (-2, 'Bo', 'f', '4')":   "INSERT INTO customers VALUES (1, 'Ann', ~, ~), (-2, 'Bo', ~, ~)",
		"UPDATE customers SET name = 'Ann', email = 'a@b.c' WHERE id = 7":             "UPDATE customers SET name = 'Ann', email = ~ WHERE id = 7",
		"DELETE FROM customers WHERE lower(email) = 'a@b.c' AND id > 3":               "DELETE FROM customers WHERE lower(email) = ~ AND id > 3",
		// what equals a constant and is compared with a tagged column
		"SELECT 1 FROM customers c, orders o WHERE c.email = o.note AND o.note = 'a@b.c' AND o.id = 3":                                                  "SELECT ~ FROM customers c, orders o WHERE c.email = o.note AND o.note = ~ AND o.id = 3",
		"SELECT 1 FROM customers c, (SELECT 'a@b.c' AS e) v WHERE v.e = 'a@b.c' AND c.email = v.e":                                                      "SELECT ~ FROM customers c, (SELECT ~ AS e) v WHERE v.e = ~ AND c.email = v.e",
		"WITH v(e) AS (VALUES ('a@b.c')) SELECT count(*) FROM customers, v WHERE email = e":                                                             "WITH v(e) AS (VALUES (~)) SELECT count(*) FROM customers, v WHERE email = e",
		"SELECT count(*) FROM customers JOIN orders o ON email = note WHERE note = 'a@b.c'":                                                             "SELECT count(*) FROM customers JOIN orders o ON email = note WHERE note = ~",
		"INSERT INTO customers (email) SELECT note FROM orders WHERE note = 'a@b.c' AND id = 4":                                                         "INSERT INTO customers (email) SELECT note FROM orders WHERE note = ~ AND id = 4",
		"SELECT count(*) FROM customers WHERE CASE WHEN id = 1 THEN 'a@b.c' END = email":                                                                "SELECT count(*) FROM customers WHERE CASE WHEN id = ~ THEN ~ END = email",
		"SELECT email FROM customers INTERSECT SELECT 'a@b.c'":                                                                                          "SELECT email FROM customers INTERSECT SELECT ~",
		"SELECT count(*) FROM customers c NATURAL JOIN (SELECT note AS email FROM orders) o WHERE o.email = 'a@b.c'":                                    "SELECT count(*) FROM customers c NATURAL JOIN (SELECT note AS email FROM orders) o WHERE o.email = ~",
		"SELECT count(*) FROM customers WHERE email IN (SELECT note FROM orders WHERE note = 'a@b.c')":                                                  "SELECT count(*) FROM customers WHERE email IN (SELECT note FROM orders WHERE note = ~)",
		"SELECT id FROM customers WHERE name = 'a@b.c' AND name = email":                                                                                "SELECT id FROM customers WHERE name = ~ AND name = email",
		"SELECT id FROM customers WHERE name = 'a@b.c' AND (name, 1) = (email, 1)":                                                                      "SELECT id FROM customers WHERE name = ~ AND (name, ~) = (email, ~)",
		"SELECT CASE WHEN name = email THEN 1 END FROM customers WHERE name = 'a@b.c'":                                                                  "SELECT CASE WHEN name = email THEN ~ END FROM customers WHERE name = ~",
		"SELECT name = email FROM customers WHERE name = 'a@b.c'":                                                                                       "SELECT name = email FROM customers WHERE name = ~",
		"SELECT email FROM customers EXCEPT SELECT name FROM customers WHERE name = 'a@b.c'":                                                            "SELECT email FROM customers EXCEPT SELECT name FROM customers WHERE name = ~",
		"SELECT name FROM customers WHERE name = 'a@b.c' INTERSECT SELECT email FROM customers":                                                         "SELECT name FROM customers WHERE name = ~ INTERSECT SELECT email FROM customers",
		"SELECT name FROM customers WHERE name = 'a@b.c' UNION SELECT email FROM customers":                                                             "SELECT name FROM customers WHERE name = ~ UNION SELECT email FROM customers",
		"SELECT id FROM customers WHERE email = ANY(ARRAY(SELECT note FROM orders WHERE note = 'a@b.c'))":                                               "SELECT id FROM customers WHERE email = ANY(ARRAY(SELECT note FROM orders WHERE note = ~))",
		"SELECT id FROM customers c WHERE EXISTS (SELECT FROM orders WHERE note = 'a@b.c' AND note = c.email)":                                          "SELECT id FROM customers c WHERE EXISTS (SELECT FROM orders WHERE note = ~ AND note = c.email)",
		"UPDATE customers SET email = name WHERE name = 'a@b.c' AND id = 1":                                                                             "UPDATE customers SET email = name WHERE name = ~ AND id = 1",
		"UPDATE customers SET name = 'a@b.c' WHERE email = name":                                                                                        "UPDATE customers SET name = ~ WHERE email = name",
		"WITH n AS (UPDATE customers SET name = 'a@b.c' RETURNING name) SELECT count(*) FROM n, customers WHERE name = email":                           "WITH n AS (UPDATE customers SET name = ~ RETURNING name) SELECT count(*) FROM n, customers WHERE name = email",
		"SELECT count(*) FROM customers, LATERAL (SELECT note FROM orders WHERE note = 'a@b.c') o WHERE email LIKE o.note || '%'":                       "SELECT count(*) FROM customers, LATERAL (SELECT note FROM orders WHERE note = ~) o WHERE email LIKE o.note || ~",
		"WITH RECURSIVE r(n) AS (SELECT note FROM orders WHERE note = 'a@b.c' UNION SELECT n FROM r) SELECT count(*) FROM r, customers WHERE n = email": "WITH RECURSIVE r(n) AS (SELECT note FROM orders WHERE note = ~ UNION SELECT n FROM r) SELECT count(*) FROM r, customers WHERE n = email",
		"MERGE INTO customers c USING orders o ON c.email = o.note AND o.note = 'a@b.c' AND o.id = 2 WHEN MATCHED THEN UPDATE SET name = 'x'":           "MERGE INTO customers c USING orders o ON c.email = o.note AND o.note = ~ AND o.id = 2 WHEN MATCHED THEN UPDATE SET name = 'x'",
		"SELECT id FROM customers WHERE NULLIF(name, 'a@b.c') = email":                                                                                  "SELECT id FROM customers WHERE NULLIF(name, ~) = email",
		"SELECT rank() OVER (PARTITION BY name = email) FROM customers WHERE name = 'a@b.c'":                                                            "SELECT rank() OVER (PARTITION BY name = email) FROM customers WHERE name = ~",
		"SELECT id FROM customers GROUP BY id, name = email HAVING min(name) = 'a@b.c'":                                                                 "SELECT id FROM customers GROUP BY id, name = email HAVING min(name) = ~",
		"COPY (SELECT name = email FROM customers WHERE name = 'a@b.c' AND id = 1) TO STDOUT (DELIMITER ';')":                                           "COPY (SELECT name = email FROM customers WHERE name = ~ AND id = 1) TO STDOUT (DELIMITER ~)",
		"SELECT id, x FROM (SELECT id, name = email AS x, name FROM customers) t WHERE name = 'a@b.c' AND id = 2":                                       "SELECT id, x FROM (SELECT id, name = email AS x, name FROM customers) t WHERE name = ~ AND id = 2",
		"INSERT INTO orders (id, note) SELECT id, name FROM customers WHERE name = 'a@b.c' AND email = name":                                            "INSERT INTO orders (id, note) SELECT id, name FROM customers WHERE name = ~ AND email = name",
		// parameters
		"SELECT name FROM customers WHERE id = $1 AND email = $2":                                                    "SELECT name FROM customers WHERE id = $1 AND email = $2 +1 -2",
		"SELECT name FROM customers WHERE name = $1 OR email = $1":                                                   "SELECT name FROM customers WHERE name = $1 OR email = $1 -1",
		"INSERT INTO customers (name, ssn) VALUES ($2, $1) RETURNING id":                                             "INSERT INTO customers (name, ssn) VALUES ($2, $1) RETURNING id -1 +2",
		"SELECT name FROM customers WHERE id = $2 LIMIT $1":                                                          "SELECT name FROM customers WHERE id = $2 LIMIT $1 +1 +2",
		"SELECT $1::text, email FROM customers WHERE email = ANY($2)":                                                "SELECT $1::text, email FROM customers WHERE email = ANY($2) -1 -2",
		"SELECT note FROM orders WHERE note = $1 AND id = 3":                                                         "SELECT note FROM orders WHERE note = $1 AND id = 3 +1",
		"INSERT INTO orders VALUES (1, 2, 'it''s'), (.5, 1e-5, $a$ x $a$)":                                           "INSERT INTO orders VALUES (1, 2, 'it''s'), (.5, 1e-5, $a$ x $a$)",
		"SELECT note FROM orders -- a@b.c\nWHERE /* 1 */ id = 3 -- a@b.c":                                            "SELECT note FROM orders WHERE id = 3",
		"SELECT note FROM orders; SELECT 1 FROM customers WHERE ssn = '4'":                                           "SELECT note FROM orders; SELECT ~ FROM customers WHERE ssn = ~",
		"SELECT 1; SELECT 2 FROM customers; SELECT 3":                                                                "SELECT 1; SELECT ~ FROM customers; SELECT 3",
		"EXPLAIN SELECT id FROM customers WHERE id = 3 AND ssn = '4'":                                                "EXPLAIN SELECT id FROM customers WHERE id = 3 AND ssn = ~",
		"PREPARE p AS SELECT id FROM customers WHERE id = 3 AND ssn = '4'":                                           "PREPARE p AS SELECT id FROM customers WHERE id = 3 AND ssn = ~",
		"SELECT id FROM customers WHERE ssn = 1.5e-3 OR ssn = .5 OR id = .5":                                         "SELECT id FROM customers WHERE ssn = ~ OR ssn = ~ OR id = .5",
		"SELECT id FROM customers WHERE ssn = E'\\'1' OR ssn = U&'2' OR ssn = X'3' OR ssn = $$4$$ OR ssn = '5'\n'6'": "SELECT id FROM customers WHERE ssn = ~ OR ssn = ~ OR ssn = ~ OR ssn = ~ OR ssn = ~",
		// names that are values
		`SELECT id FROM customers WHERE email = "a@b.c"`:       `SELECT id FROM customers WHERE email = "~"`,
		`SELECT id FROM customers WHERE email = ann@b.c`:       `SELECT id FROM customers WHERE email = "~"@"~"."~"`,
		`SELECT id FROM customers WHERE customers.emial = 'x'`: `SELECT id FROM customers WHERE customers."~" = ~`,
		`SELECT id AS "a b" FROM customers WHERE email = name`: `SELECT id AS "a b" FROM customers WHERE email = name`,
		`EXECUTE p('a@b.c')`:                                                                        `EXECUTE p(~)`,
		`SET statement_timeout = '5s'`:                                                              `SET statement_timeout = '5s'`,
		`SET app.secret = 'a@b.c'`:                                                                  `SET app.secret = ~`,
		`SELECT set_config('app.secret', 'a@b.c', false)`:                                           `SELECT set_config(~, ~, false)`,
		`DO $$ BEGIN PERFORM 'a@b.c'; END $$`:                                                       `DO ~`,
		`COPY customers FROM STDIN (DELIMITER 'x')`:                                                 `COPY customers FROM STDIN (DELIMITER ~)`,
		`ALTER ROLE a PASSWORD 'secret' VALID UNTIL '2030'`:                                         `ALTER ROLE a PASSWORD ~ VALID UNTIL ~`,
		`CREATE USER a ENCRYPTED PASSWORD 'secret'`:                                                 `CREATE USER a ENCRYPTED PASSWORD ~`,
		`SELECT * FROM dblink('password=secret', 'select 1') AS t(a text)`:                          `SELECT * FROM dblink(~, ~) AS t(a text)`,
		`CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'a', password 'secret')`:                  `CREATE USER MAPPING FOR a SERVER s OPTIONS (user ~, password ~)`,
		`CREATE SUBSCRIPTION s CONNECTION 'password=secret' PUBLICATION p`:                          `CREATE SUBSCRIPTION s CONNECTION ~ PUBLICATION p`,
		`NOTIFY c, 'a@b.c'`:                                                                         `NOTIFY c, ~`,
		`SELECT pg_notify('c', 'a@b.c')`:                                                            `SELECT pg_notify(~, ~)`,
		`CREATE TABLE x (a varchar(20) DEFAULT 'a@b.c')`:                                            `CREATE TABLE x (a varchar(~) DEFAULT ~)`,
		`COMMENT ON TABLE customers IS 'a@b.c'`:                                                     `COMMENT ON TABLE customers IS ~`,
		`SELECT extract(year FROM now()), interval '1' day, trim(both 'x' from ssn) FROM customers`: `SELECT extract(year FROM now()), interval ~ day, trim(both ~ from ssn) FROM customers`,
	} {
		if got := keeps(t, people(), text); got != want {
			t.Errorf("%s\n keeps %s\n  want %s", text, got, want)
		}
	}
}

func TestOfATextThatIsNotUnderstoodNoValueIsKept(t *testing.T) {
	for _, text := range []string{
		"SELECT 'it's 078-05'", "SELECT * FROM t WHERE a = '078", "SELECT $a$078", "SELEC 078 FROM x078", `SELECT "078`, "SELECT 1 -- 078\n )",
		"SELECT 'a\\'078-' )", "INSERT INTO t VALUES (078x, e'078')) é078", "/* 078", "COPY t FROM STDIN; 078\tx078\n\\.", "SELECT {078} \\078 ? U&\"078\" )",
		"EXEC sp_login '078', @pw=N'x078'", "select ` + \"`078`\" + `", "$078a078", "SELECT .078e+078 x078 )",
	} {
		got := Unread(text)
		if strings.Contains(got.Text, "078") || !got.Hides {
			t.Errorf("%s\n keeps %s", text, got.Text)
		}
	}
	want := `SELECT ` + hiddenName + ` FROM ` + hiddenName + ` WHERE ` + hiddenName + ` = ` + Hidden + ` )`
	if got := Unread("SELECT a FROM b WHERE c = 'x' )"); got.Text != want {
		t.Errorf("the structure should stay: %s", got.Text)
	}
}

// What is recorded of a text is itself a text of which nothing more is left out, and that is of the same kind.
func TestWhatIsRecordedIsAStatementOfTheSameKind(t *testing.T) {
	cat, same, all := fuzzed(), 0, 0
	for _, file := range []string{"exfil.tsv", "benign.tsv"} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n")[1:] {
			sql := strings.Split(line, "\t")[2]
			first, err := Analyze(sql, nil, cat, Options{})
			if err != nil {
				continue
			}
			all++
			kept := first.Recorded.Text
			for i := range first.Statements {
				for _, as := range first.Statements[i].Assigned {
					if len(as.Constant) > 3 && strings.Contains(kept, as.Constant) {
						t.Errorf("%s\n goes into %s and is kept: %s", as.Constant, as.Where(), kept)
					}
				}
			}
			again, err := Analyze(kept, nil, cat, Options{})
			if err != nil { // such as varchar('‹masked›')
				continue
			}
			same++
			if again.Recorded.Text != kept {
				t.Errorf("%s\n keeps %s\n of which %s is kept", sql, kept, again.Recorded.Text)
			}
			for i := range again.Statements {
				if i < len(first.Statements) && again.Statements[i].Kind != first.Statements[i].Kind && first.Statements[i].Kind != KindCopyOut && first.Statements[i].Kind != "" {
					t.Errorf("%s\n keeps %s: %s, %s", sql, kept, first.Statements[i].Kind, again.Statements[i].Kind)
				}
			}
		}
	}
	if same < all*9/10 {
		t.Errorf("of %d recorded texts, %d can be read", all, same)
	}
}
