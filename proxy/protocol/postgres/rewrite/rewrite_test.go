package rewrite_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/rewrite"
)

const oidText, oidInteger, oidBox = 25, 23, 603

// small is a catalog that needs no server.
func small() *catalog.Snapshot {
	ssn := []string{"pii/ssn"}
	return catalog.New(1, catalog.Content{
		SearchPath: []string{"pg_catalog", "public"},
		Schemas:    []string{"pg_catalog", "public", "app"},
		Types: []catalog.Type{
			{OID: oidText, Schema: "pg_catalog", Name: "text", Kind: 'b'}, {OID: oidInteger, Schema: "pg_catalog", Name: "int4", Kind: 'b'},
		},
		Relations: []catalog.Relation{
			{OID: 100, Schema: "public", Name: "c", Kind: 'r', Columns: []catalog.Column{
				{Name: "id", Num: 1, TypeOID: oidInteger}, {Num: 2, Dropped: true}, {Name: "ssn", Num: 3, TypeOID: oidText, Tags: ssn},
			}},
			{OID: 101, Schema: "public", Name: "orders", Kind: 'r', Columns: []catalog.Column{
				{Name: "id", Num: 1, TypeOID: oidInteger}, {Name: "note", Num: 2, TypeOID: oidText},
			}},
			{OID: 102, Schema: "app", Name: "C d", Kind: 'v', Columns: []catalog.Column{{Name: `s"n`, Num: 1, TypeOID: oidText, Tags: ssn}}},
			{OID: 103, Schema: "app", Name: "c", Kind: 'r', Columns: []catalog.Column{{Name: "ssn", Num: 1, TypeOID: oidText}}},
			{OID: 104, Schema: "app", Name: "odd", Kind: 'r', Columns: []catalog.Column{{Name: "x", Num: 1, TypeOID: 99999, Tags: ssn}}},
		},
	})
}

var atSource = map[string]access.Mask{"pii/ssn": {Strategy: "Redact", Mode: "Source"}}

// apply reads a text as a session would.
func apply(text string, st *analysis.State) (*analysis.Result, error) {
	plain, err := analysis.Analyze(text, st, small(), analysis.Options{})
	if err != nil {
		return nil, err
	}
	return rewrite.New(small(), atSource).Apply(text, st, plain, analysis.Options{})
}

// What stands in the place of public.c and app."C d" in the goldens below.
const (
	maskedC    = `SELECT "id", CASE WHEN "ssn" IS NULL THEN NULL ELSE '*****'::"pg_catalog"."text" END AS "ssn" FROM "public"."c"`
	maskedOnly = `SELECT "id", CASE WHEN "ssn" IS NULL THEN NULL ELSE '*****'::"pg_catalog"."text" END AS "ssn" FROM ONLY "public"."c"`
	maskedView = `SELECT CASE WHEN "s""n" IS NULL THEN NULL ELSE '*****'::"pg_catalog"."text" END AS "s""n" FROM "app"."C d"`
)

func TestEveryReferenceBecomesASubSelectAndNothingElseChanges(t *testing.T) {
	for text, want := range map[string]string{
		`SELECT ssn FROM c`:                                                                   `SELECT ssn FROM (§) AS "c"`,
		`select/**/ssn from"c"where/*c*/id=1--c`:                                              `select/**/ssn from(§) AS "c"where/*c*/id=1--c`,
		`SELECT x.ssn FROM public . /* c */ c AS x, orders`:                                   `SELECT x.ssn FROM (§) AS x, orders`,
		`SELECT * FROM c x(a, b) WHERE b LIKE 'c'`:                                            `SELECT * FROM (§) x(a, b) WHERE b LIKE 'c'`,
		`SELECT * FROM c * JOIN c AS d USING (id)`:                                            `SELECT * FROM (§) AS "c" JOIN (§) AS d USING (id)`,
		`SELECT * FROM ONLY c`:                                                                `SELECT * FROM (§only) AS "c"`,
		`SELECT * FROM ONLY ( public.c ) x`:                                                   `SELECT * FROM (§only) x`,
		`TABLE c`:                                                                             `SELECT * FROM (§) AS "c"`,
		`TABLE ONLY (c) UNION ALL TABLE orders ORDER BY 1`:                                    `SELECT * FROM (§only) AS "c" UNION ALL TABLE orders ORDER BY 1`,
		`SELECT * FROM U&"\0063"`:                                                             `SELECT * FROM (§) AS "c"`,
		`SELECT * FROM public.U&"!0063" UESCAPE '!' z`:                                        `SELECT * FROM (§) z`,
		`SELECT "s""n" FROM U&"\0061pp".U&"C\0020d"`:                                          `SELECT "s""n" FROM (§view) AS "C d"`,
		`SELECT "s""n" FROM app."C d"`:                                                        `SELECT "s""n" FROM (§view) AS "C d"`,
		`SELECT public.c.ssn, "public" . c.* FROM public.c`:                                   `SELECT c.ssn, c.* FROM (§) AS "c"`,
		`SELECT public.c.id FROM c`:                                                           `SELECT c.id FROM (§) AS "c"`,
		`SELECT ssn FROM app.c`:                                                               ``,
		`WITH c AS (SELECT * FROM c) SELECT ssn FROM c`:                                       `WITH c AS (SELECT * FROM (§) AS "c") SELECT ssn FROM c`,
		`WITH RECURSIVE c AS (SELECT 1 UNION SELECT * FROM c) TABLE c`:                        ``,
		`SELECT (SELECT max(ssn) FROM c) FROM orders`:                                         `SELECT (SELECT max(ssn) FROM (§) AS "c") FROM orders`,
		`SELECT 'é', ssn FROM c`:                                                              `SELECT 'é', ssn FROM (§) AS "c"`,
		`SELECT 1; SELECT ssn FROM c; SELECT 2`:                                               `SELECT 1; SELECT ssn FROM (§) AS "c"; SELECT 2`,
		`COPY c TO STDOUT`:                                                                    `COPY  (SELECT "id", "ssn" FROM (§only) AS "c") TO STDOUT`,
		`COPY public.c (ssn, id) TO STDOUT (FORMAT csv)`:                                      `COPY  (SELECT "ssn", "id" FROM (§only) AS "c") TO STDOUT (FORMAT csv)`,
		`COPY (SELECT ssn FROM c) TO STDOUT`:                                                  `COPY (SELECT ssn FROM (§) AS "c") TO STDOUT`,
		`COPY c FROM STDIN`:                                                                   ``,
		`EXPLAIN ANALYZE SELECT 1 FROM c WHERE ssn > 'x'`:                                     `EXPLAIN ANALYZE SELECT 1 FROM (§) AS "c" WHERE ssn > 'x'`,
		`PREPARE p AS SELECT ssn FROM c WHERE id = $1`:                                        `PREPARE p AS SELECT ssn FROM (§) AS "c" WHERE id = $1`,
		`DECLARE k CURSOR FOR TABLE c`:                                                        `DECLARE k CURSOR FOR SELECT * FROM (§) AS "c"`,
		`CREATE TEMP TABLE k AS SELECT ssn FROM c`:                                            `CREATE TEMP TABLE k AS SELECT ssn FROM (§) AS "c"`,
		`INSERT INTO orders SELECT * FROM c`:                                                  `INSERT INTO orders SELECT * FROM (§) AS "c"`,
		`INSERT INTO c VALUES (1, 'x') RETURNING id`:                                          ``,
		`INSERT INTO c SELECT 1 ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn`:            ``,
		`UPDATE c SET ssn = 'x' WHERE id = 1 RETURNING id`:                                    ``,
		`UPDATE c SET ssn = d.ssn FROM c d WHERE d.id = c.id`:                                 `UPDATE c SET ssn = d.ssn FROM (§) d WHERE d.id = c.id`,
		`UPDATE c SET id = 2 WHERE id IN (SELECT id FROM c WHERE ssn = 'x')`:                  `UPDATE c SET id = 2 WHERE id IN (SELECT id FROM (§) AS "c" WHERE ssn = 'x')`,
		`UPDATE c SET ssn = new.ssn FROM (VALUES (1, 'x')) new (id, ssn) WHERE c.id = new.id`: ``,
		`DELETE FROM c USING c d WHERE c.id = d.id AND d.ssn = 'x'`:                           `DELETE FROM c USING (§) d WHERE c.id = d.id AND d.ssn = 'x'`,
		`MERGE INTO orders o USING c ON o.id = c.id WHEN MATCHED THEN DELETE`:                 `MERGE INTO orders o USING (§) AS "c" ON o.id = c.id WHEN MATCHED THEN DELETE`,
		`SELECT * FROM c FOR UPDATE OF c`:                                                     `SELECT * FROM (§) AS "c" FOR UPDATE OF c`,
		`TRUNCATE c; DROP TABLE c`:                                                            ``,
		`LOCK TABLE c IN ACCESS SHARE MODE`:                                                   ``,
	} {
		want = strings.NewReplacer("§only", maskedOnly, "§view", maskedView, "§", maskedC).Replace(want)
		r, err := apply(text, nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if r.Runs != want {
			t.Errorf("%s\n got %s\nwant %s", text, r.Runs, want)
		}
	}
}

func TestWhatCannotBeRewrittenExactlyIsRefusedAndSaysWhy(t *testing.T) {
	for text, want := range map[string]string{
		`SELECT * FROM c TABLESAMPLE SYSTEM (10)`:                                              `TABLESAMPLE cannot read public.c`,
		`SELECT ctid FROM c`:                                                                   `system column ctid`,
		`SELECT x.tableoid FROM c x`:                                                           `system column tableoid`,
		`SELECT x FROM app.odd`:                                                                `column x of app.odd: its type (OID 99999) is not known`,
		`COPY app."C d" TO STDOUT`:                                                             `COPY can read tables only`,
		`COPY BINARY c TO STDOUT`:                                                              `cannot be rewritten exactly`,
		`UPDATE c SET id = length(ssn)`:                                                        `UPDATE of public.c would read column ssn`,
		`UPDATE c SET id = 1 WHERE ssn = 'x'`:                                                  `UPDATE of public.c would read column ssn`,
		`UPDATE c k SET id = 1 WHERE k.ssn = 'x'`:                                              `UPDATE of public.c would read column ssn`,
		`UPDATE c SET id = 1 WHERE c::text LIKE '%1%'`:                                         `UPDATE of public.c would read the whole row`,
		`UPDATE c SET id = 1 WHERE (c).ssn = 'x'`:                                              `UPDATE of public.c would read the whole row`,
		`UPDATE c SET id = 1 WHERE ssn(c) = 'x'`:                                               `UPDATE of public.c would read the whole row`,
		`UPDATE c SET id = 1 WHERE EXISTS (SELECT 1 FROM orders WHERE ssn = note)`:             `UPDATE of public.c would read column ssn`,
		`UPDATE c SET id = 1 RETURNING *`:                                                      `UPDATE of public.c would read all its columns`,
		`UPDATE c SET id = 1 RETURNING (SELECT c.ssn FROM c d)`:                                `UPDATE of public.c would read column ssn`,
		`DELETE FROM c WHERE U&"\0073sn" = 'x'`:                                                `DELETE of public.c would read column ssn`,
		`DELETE FROM c RETURNING c.*`:                                                          `DELETE of public.c would read all its columns`,
		`INSERT INTO c VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2 WHERE c.ssn = 'x'`:     `INSERT of public.c would read column ssn`,
		`INSERT INTO c VALUES (1) RETURNING ssn`:                                               `INSERT of public.c would read column ssn`,
		`MERGE INTO c USING orders o ON c.ssn = o.note WHEN MATCHED THEN DELETE`:               `MERGE of public.c would read column ssn`,
		`WITH d AS (DELETE FROM c RETURNING ssn) SELECT * FROM d`:                              `DELETE of public.c would read column ssn`,
		`UPDATE c SET id = length(c.row_to_json::text)`:                                        `UPDATE of public.c would read the whole row`,
		`UPDATE c SET id = 1 RETURNING old.ssn`:                                                `UPDATE of public.c would read column ssn`,
		`UPDATE c SET id = 1 RETURNING new`:                                                    `UPDATE of public.c would read the whole row`,
		`UPDATE c SET id = 1 WHERE EXISTS (SELECT 1 FROM c, (SELECT c.ssn) s)`:                 `UPDATE of public.c would read column ssn`,
		`UPDATE c SET id = 1 WHERE EXISTS (WITH s AS (SELECT ssn) SELECT 1 FROM c, s)`:         `UPDATE of public.c would read column ssn`,
		`UPDATE c SET id = 1 WHERE EXISTS (SELECT 1 FROM (SELECT 1) c, c d WHERE c.ssn = 'x')`: `UPDATE of public.c would read column ssn`,
		`CREATE UNIQUE INDEX ON c ((ssn = '1'))`:                                               `this statement cannot use public.c`,
		`ALTER TABLE c ADD CHECK (ssn > '1')`:                                                  `this statement cannot use public.c`,
		`ALTER TABLE c RENAME ssn TO s`:                                                        `this statement cannot use public.c`,
		`CREATE TABLE d (LIKE c)`:                                                              `this statement cannot use public.c`,
		`EXPLAIN UPDATE c SET id = 1 WHERE ssn = 'x'`:                                          `UPDATE of public.c would read column ssn`,
		`ALTER TABLE orders ADD x int; SELECT ssn FROM c`:                                      `it is not certain that this is public.c`,
	} {
		_, err := apply(text, nil)
		var refusal *analysis.Refusal
		if !errors.As(err, &refusal) || !strings.Contains(refusal.Message, want) || refusal.Code != "0A000" {
			t.Errorf("%s: got %v; want %q", text, err, want)
		}
	}
}

func TestATextThatWouldGrowWithoutBoundIsRefused(t *testing.T) {
	if _, err := apply("SELECT 1 FROM c"+strings.Repeat(", c", 1000), nil); err == nil || !strings.Contains(err.Error(), "too often") {
		t.Errorf("got %v", err)
	}
}

func TestANameThatMayBeAnotherRelationIsRefused(t *testing.T) {
	for name, st := range map[string]*analysis.State{
		"another search_path": {PathChanged: true}, "DDL in the transaction": {Stale: true}, "a temporary table": {Temp: map[string]bool{"c": true}},
	} {
		if _, err := apply("SELECT id FROM c", st); err == nil {
			t.Errorf("%s: it was not refused", name)
		}
	}
}

func TestFactsAreThoseOfAStatementThatSeesMasksAlone(t *testing.T) {
	r, err := apply("SELECT count(*) FROM c WHERE ssn LIKE '1%' GROUP BY ssn", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Statements[0]
	if len(s.PredicateTags) > 0 || len(s.Derived) > 0 || !s.Touches || len(s.Masked) != 1 || s.Masked[0].Relation != 100 {
		t.Errorf("got %+v", s)
	}
	if len(s.Resources) != 1 || len(s.Resources[0].Tags) != 1 {
		t.Errorf("policy must see what the relation holds: %+v", s.Resources)
	}
	if s.Text != "SELECT count(*) FROM c WHERE ssn LIKE '1%' GROUP BY ssn" || !s.Rewritten || !strings.Contains(r.Parts[0], maskedC) {
		t.Errorf("text %q runs %q", s.Text, r.Parts)
	}
}

func TestWhatWasPreparedUnderOtherMasksDoesNotRun(t *testing.T) {
	prepared := func(masks map[string]access.Mask) []*analysis.Statement {
		const text = "PREPARE p AS SELECT ssn FROM c"
		plain, err := analysis.Analyze(text, nil, small(), analysis.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := rewrite.New(small(), masks).Apply(text, nil, plain, analysis.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return []*analysis.Statement{r.Statements[0].Effects[0].Statement}
	}
	run := func(of []*analysis.Statement) error {
		_, err := apply("EXECUTE p", &analysis.State{Prepared: func(string) []*analysis.Statement { return of }})
		return err
	}
	if err := run(prepared(atSource)); err != nil {
		t.Errorf("the same masks: %v", err)
	}
	if err := run(prepared(map[string]access.Mask{"pii/ssn": {Strategy: "Null", Mode: "Source"}})); err == nil {
		t.Error("other masks: it runs")
	}
	if err := run(prepared(nil)); err == nil {
		t.Error("masked in the result: it runs")
	}
	if err := run(append(prepared(atSource), prepared(nil)...)); err == nil {
		t.Error("one of two statements is not masked: it runs")
	}
	if _, err := apply("PREPARE p AS SELECT ssn FROM c; EXECUTE p", nil); err != nil {
		t.Errorf("in one text: %v", err)
	}
	for _, text := range []string{"EXPLAIN EXECUTE p", "CREATE TEMP TABLE k AS EXECUTE p"} {
		of := prepared(atSource)
		if _, err := apply(text, &analysis.State{Prepared: func(string) []*analysis.Statement { return of }}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAPlanAgreesWithTheMasksItWasMadeOfAlone(t *testing.T) {
	p := rewrite.New(small(), atSource)
	result := map[string]access.Mask{"pii/ssn": {Strategy: "Redact"}}
	if !p.Agrees(atSource) || p.Agrees(result) || p.Agrees(map[string]access.Mask{"pii/ssn": {Strategy: "Null", Mode: "Source"}}) {
		t.Error("a plan must agree with its own masks alone")
	}
	none := rewrite.New(small(), result)
	if none != nil || !none.Agrees(result) || none.Agrees(atSource) || none.Agrees(map[string]access.Mask{"pii/ssn": {Mode: "later"}}) {
		t.Error("no plan must agree with masks in results alone")
	}
}
