package analysis

import (
	"errors"
	"strings"
	"testing"
)

func TestAScriptIsCutWhereTheServerCutsIt(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{`BEGIN a := 1; END`, `a = SELECT 1`},
		{`BEGIN a :=-1; END`, `a = SELECT -1`},
		{`BEGIN a.b[1] = 2; END`, `a = SELECT 1; a = SELECT 2`},
		{`BEGIN SELECT x, y INTO STRICT a, b.c FROM t; END`, `a b = SELECT x, y                    FROM t`},
		{`BEGIN INSERT INTO t SELECT 1 RETURNING x INTO a; END`, `a = INSERT INTO t SELECT 1 RETURNING x`},
		{`BEGIN return := 1; RETURN return; END`, `return = SELECT 1;  = SELECT return`},
		{`BEGIN IF CASE a WHEN 1 THEN true END THEN NULL; END IF; END`, `error`}, // the server ends the condition at the first THEN
		{`BEGIN RETURN ';' || $$;$$ || E'\';' /* ; */; -- ;
			END`, ` = SELECT ';' || $$;$$ || E'\';' /* ; */`},
		{`BEGIN FOR i IN 1..a LOOP END LOOP; END`, `i = SELECT 1; i = SELECT a`},
		{`BEGIN FOR i IN SELECT t.x FROM t LOOP END LOOP; END`, `i = SELECT t.x FROM t`},
		{`BEGIN nobody := 1; END`, `error`},
		{`BEGIN SELECT 1 INTO nobody; END`, `error`},
		{`BEGIN SELECT (SELECT 1 INTO a); END`, `error`},
		{`BEGIN SELECT 1 INTO a INTO b; END`, `error`},
		{`BEGIN EXECUTE a; END`, `dynamic`},
		{`BEGIN RETURN QUERY EXECUTE a; END`, `dynamic`},
		{`BEGIN FOR i IN EXECUTE a LOOP END LOOP; END`, `dynamic`},
		{`BEGIN OPEN a FOR SELECT 1; END`, `error`},
		{`BEGIN FETCH a INTO b; END`, `error`},
		{`BEGIN CLOSE a; END`, `error`},
		{`BEGIN COMMIT; END`, `error`},
		{`BEGIN SET x = 1; END`, `error`},
		{`BEGIN NOTIFY x; END`, `error`},
		{`BEGIN LOCK TABLE t; END`, `error`},
		{`BEGIN`, `error`},
		{`BEGIN a := 1 END`, `error`},
		{`BEGIN END; BEGIN END;`, `error`},
		{`BEGIN a := (1; END`, `error`},
		{``, `error`},
		{strings.Repeat(`BEGIN `, 1000) + strings.Repeat(`END; `, 1000), `error`},
	} {
		if got := cut(test.body); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.body, got, test.want)
		}
	}
}

func cut(body string) string {
	s, err := readScript(body, []string{"a", "b", "return"})
	switch {
	case errors.Is(err, errDynamic):
		return "dynamic"
	case err != nil:
		return "error"
	}
	var parts []string
	for _, step := range s.steps {
		parts = append(parts, strings.Join(step.targets, " ")+" = "+strings.TrimSpace(step.text))
	}
	return strings.Join(parts, "; ")
}

func FuzzScript(f *testing.F) {
	for _, body := range []string{
		`DECLARE a int := 1; c CURSOR (k int) FOR SELECT k; BEGIN FOR r IN c(1) LOOP a[1:2] := 3; END LOOP l; EXCEPTION WHEN others THEN RAISE; END x`,
		`#variable_conflict error
		<<x>> BEGIN CASE WHEN a THEN NULL; ELSE EXIT x WHEN b; END CASE; RAISE NOTICE '%', a USING hint = b; END`,
		`DECLARE x ALIAS FOR $1; BEGIN FOREACH b SLICE 1 IN ARRAY a LOOP CALL p(a, b); END LOOP; WHILE a LOOP RETURN NEXT; END LOOP; GET DIAGNOSTICS a = ROW_COUNT; END`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s, err := readScript(body, []string{"a", "b"})
		if err != nil {
			return
		}
		for _, step := range s.steps {
			if step.text == "" {
				t.Errorf("a step without text in %q", body)
			}
		}
	})
}
