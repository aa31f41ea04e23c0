package analysis_test

import "testing"

func TestWhatRunsBesidesAStatement(t *testing.T) {
	const audit = `CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF TG_OP = 'DELETE' THEN INSERT INTO log (what) VALUES (OLD.note); RETURN OLD; END IF;
		NEW.note := upper(NEW.note); INSERT INTO log (what, who) VALUES (NEW.note, NEW.id); RETURN NEW; END $$; `
	for _, test := range []struct{ name, sql, statement, want string }{
		{"a trigger that reads nothing protected", audit + `CREATE TRIGGER t BEFORE INSERT OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION audit()`, `INSERT INTO orders (id, note) VALUES (1, 'x') RETURNING note`, `Insert note[]`},
		{"a trigger of a protected table", audit + `CREATE TRIGGER t BEFORE INSERT OR DELETE ON customers FOR EACH ROW EXECUTE FUNCTION audit()`, `INSERT INTO customers (id, note) VALUES (1, 'x') RETURNING note, ssn`, `Insert note[] ssn[ssn] touches`},
		{"a trigger that reads what is protected", `CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 FROM customers WHERE id = NEW.id; RETURN NEW; END $$;
			CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tf()`, `INSERT INTO orders (id) VALUES (1) RETURNING id`, `Insert id[] touches`},
		{"a trigger that copies: its owner's design", `CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log (what) VALUES (OLD.ssn); RETURN NEW; END $$;
			CREATE TRIGGER t AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION tf()`, `UPDATE customers SET name = 'x' WHERE id = 1`, `Update touches`},
		{"a trigger that nobody can read", `CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT 1'; RETURN NEW; END $$;
			CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tf()`, `INSERT INTO orders (id) VALUES (1) RETURNING id`, `Insert id[] touches`},
		{"a trigger that writes its own table", `CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE orders SET note = 'x' WHERE id = NEW.id; RETURN NULL; END $$;
			CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tf()`, `INSERT INTO orders (id) VALUES (1)`, `Insert touches`},
		{"a default", `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers LIMIT 1'; ALTER TABLE orders ALTER note SET DEFAULT f()`, `INSERT INTO orders (id) VALUES (1)`, `Insert touches`},
		{"a constraint that computes", `CREATE FUNCTION f(a text) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT a > 'x' $$; ALTER TABLE orders ADD CHECK (f(note))`, `INSERT INTO orders (id) VALUES (1)`, `Insert`},
		{"INSTEAD OF", `CREATE VIEW v AS SELECT id, note FROM orders; CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SELECT ssn INTO NEW.note FROM customers WHERE id = NEW.id; RETURN NEW; END $$;
			CREATE TRIGGER t INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION tf()`, `INSERT INTO v (id) VALUES (1) RETURNING note`, `Insert note[ssn] touches`},
		{"INSTEAD OF, harmless", `CREATE VIEW v AS SELECT id, ssn, note FROM customers; CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE customers SET note = NEW.note WHERE id = NEW.id; RETURN NEW; END $$;
			CREATE TRIGGER t INSTEAD OF UPDATE ON v FOR EACH ROW EXECUTE FUNCTION tf()`, `UPDATE v SET note = 'x' WHERE id = 1 RETURNING note, ssn`, `Update note[] ssn[ssn] touches`},
		{"a rule", `CREATE RULE r AS ON INSERT TO orders DO INSTEAD UPDATE hidden.orders SET note = 'x' WHERE id = NEW.id`, `INSERT INTO orders (id) VALUES (1)`, `Insert Update:hidden.orders touches`},
		{"a rule that does nothing", `CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING`, `DELETE FROM orders WHERE id = 1`, `Delete`},
		{"a rule of another event", `CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTIFY x`, `INSERT INTO orders (id) VALUES (1)`, `Insert`},
		{"a rule that returns rows", `CREATE RULE r AS ON INSERT TO orders DO ALSO SELECT ssn FROM customers`, `INSERT INTO orders (id) VALUES (1)`, `Insert +UnknownFunction touches`},
		{"an operator that computes", `CREATE FUNCTION f(a text, b text) RETURNS bool LANGUAGE sql AS 'SELECT a = b'; CREATE OPERATOR === (FUNCTION = f, LEFTARG = text, RIGHTARG = text)`, `SELECT note === 'x', id FROM orders WHERE id = 1`, `Select ?column?[] id[]`},
		{"an operator that reads", `CREATE FUNCTION f(a text, b text) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers LIMIT 1'; CREATE OPERATOR === (FUNCTION = f, LEFTARG = text, RIGHTARG = text)`, `SELECT note === 'x' FROM orders WHERE id = 1`, `Select +UnknownFunction ?column?[email ssn] touches`},
		{"an operator that keeps what it is given", `CREATE FUNCTION f(a text, b text) RETURNS text LANGUAGE sql AS 'INSERT INTO log (what) VALUES (a) RETURNING b'; CREATE OPERATOR === (FUNCTION = f, LEFTARG = text, RIGHTARG = text)`, `SELECT note === 'x' FROM orders WHERE id = 1`, `Select +Laundering Insert:public.log ?column?[]`},
		{"a cast that reads", `CREATE TYPE pair AS (a text, b text); CREATE FUNCTION f(a int) RETURNS pair LANGUAGE sql AS 'SELECT ssn, name FROM customers WHERE id = a'; CREATE CAST (int AS pair) WITH FUNCTION f(int)`, `SELECT id::pair FROM orders WHERE id = 1`, `Select +UnknownFunction id[] touches`},
		{"a cast that computes", `CREATE TYPE pair AS (a text, b text); CREATE FUNCTION f(a int) RETURNS pair LANGUAGE sql AS $$ SELECT a::text, 'x'::text $$; CREATE CAST (int AS pair) WITH FUNCTION f(int)`, `SELECT id::pair FROM orders WHERE id = 1`, `Select id[]`},
		{"a domain that looks", `CREATE FUNCTION f(a text) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM customers WHERE name = a)'; CREATE DOMAIN known AS text CHECK (f(VALUE))`, `SELECT note::known FROM orders WHERE id = 1`, `Select note[] touches`},
		{"a routine that fires a trigger", audit + `CREATE TRIGGER t BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION audit(); CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'INSERT INTO customers (id) VALUES (1)'`, `SELECT f()`, `Select Insert:public.customers f[] touches`},
		{"a routine called by a write", `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ INSERT INTO log (what) VALUES ('x') RETURNING what $$`, `UPDATE orders SET note = f() WHERE id = 1`, `Update Insert:public.log`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := summary(t, withRoutines(t, test.sql), test.statement, nil); got != test.want {
				t.Errorf("%s\n%s\n got %s\nwant %s", test.sql, test.statement, got, test.want)
			}
		})
	}
}
