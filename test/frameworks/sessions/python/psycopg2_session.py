"""psycopg2 as programs without a framework use it."""
import io

import psycopg2
import psycopg2.extras
import psycopg2.sql as q
from psycopg2 import errors
from steps import step

connection = psycopg2.connect("", application_name="by hand", options="-c statement_timeout=60000")


def rows(sql, parameters=None, **how):
    with connection.cursor(**how) as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def one(name, sql, parameters=None, cursor_factory=None, **more):
    step(name, lambda: rows(sql, parameters, cursor_factory=cursor_factory), recover=connection.rollback, **more)
    connection.commit()


def copied(sql, given=None):
    buffer = io.StringIO(given or "")
    with connection.cursor() as cursor:
        cursor.copy_expert(sql, buffer)
        return [buffer.getvalue(), cursor.rowcount]


def named():
    with connection.cursor("walk", scrollable=True, withhold=True) as cursor:
        cursor.itersize = 6
        cursor.execute("SELECT id, email FROM customers ORDER BY id")
        first = [cursor.fetchone(), cursor.fetchmany(3)]
        cursor.scroll(10)
        return first + [cursor.fetchmany(2), list(cursor)[:20]]


def values():
    with connection.cursor() as cursor:
        made = psycopg2.extras.execute_values(cursor, "INSERT INTO products (sku, title, price) VALUES %s RETURNING sku", [("V%d" % i, "v", i) for i in range(30)], fetch=True)
        psycopg2.extras.execute_batch(cursor, "UPDATE products SET title = %s WHERE sku = %s", [("w%d" % i, "V%d" % i) for i in range(30)], page_size=10)
        cursor.execute("SELECT title FROM products WHERE sku = 'V29'")
        return [made, cursor.fetchall()]


def composed():
    table, columns = q.Identifier("public", "customers"), q.SQL(", ").join(map(q.Identifier, ["id", "email", "ssn"]))
    return rows(q.SQL("SELECT {} FROM {} WHERE id = {} ORDER BY {}").format(columns, table, q.Placeholder(), q.Identifier("id")), [1])


def described():
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM customers LIMIT 0")
        return [[d.name, d.type_code, d.internal_size, d.precision, d.scale] for d in cursor.description]


def callable_function():
    with connection.cursor() as cursor:
        cursor.callproc("upper", ["quiet"])
        return cursor.fetchall()


def duplicate():
    try:
        rows("INSERT INTO customers (name, email) VALUES ('x', 'user1@canary.example')")
    except errors.UniqueViolation as error:
        connection.rollback()
        return [error.pgcode, "user1" in str(error)]


one("plain", "SELECT id, name, email, ssn, card_number, credit_limit FROM customers WHERE id = ANY(%s) ORDER BY id", ([1, 2, 3],))
one("star", "SELECT * FROM customers ORDER BY id")
one("dictionary cursor", "SELECT id, email FROM customers WHERE id < %(id)s ORDER BY id", {"id": 3}, psycopg2.extras.RealDictCursor)
one("named tuple cursor", "SELECT id, email FROM customers WHERE id < %s ORDER BY id", (3,), psycopg2.extras.NamedTupleCursor)
one("types", "SELECT 1::int2, 2::int8, 1.5::float8, 2.5::numeric, 'x'::bytea, true, now() > '2020-01-01', date '2024-01-01', time '10:00', interval '1 day', '{1,2}'::int[], '{\"a\": 1}'::jsonb, null")
one("ranges, networks, uuid", "SELECT int4range(1, 3)::text, '10.0.0.0/8'::cidr::text, gen_random_uuid() IS NOT NULL, token FROM orders WHERE id = 1")
one("parameters of many types", "SELECT %s, %s, %s, %s, %s::text[]", (1, "it's", b"bytes", None, ["a", "b"]))
one("composite", "SELECT (c).name, (c).email FROM (SELECT c FROM customers c ORDER BY id LIMIT 2) s")
one("whole row", "SELECT p FROM products p ORDER BY id LIMIT 2")
one("generated column", "SELECT search, ts_rank(search, to_tsquery('simple', 'red')) > 0 FROM products ORDER BY id LIMIT 3")
one("full text", "SELECT sku, ts_headline('simple', title, plainto_tsquery('simple', 'red')) FROM products WHERE search @@ plainto_tsquery('simple', 'red') ORDER BY id")
one("a failing statement", "SELECT 1/0")
one("a failing cast in an untagged statement", "SELECT title::int FROM products")
one("grouping sets", "SELECT country, active, count(*) FROM customers GROUP BY ROLLUP (country, active) ORDER BY 1, 2")
one("a function of SQL", "SELECT id, order_total(id) FROM orders ORDER BY id LIMIT 3")
step("COPY TO, untagged", lambda: copied("COPY products (id, sku, title) TO STDOUT WITH CSV HEADER"), connection.rollback)
step("COPY TO, tagged", lambda: copied("COPY (SELECT id, name, email, ssn FROM customers ORDER BY id) TO STDOUT WITH CSV HEADER"), connection.rollback)
step("COPY FROM", lambda: copied("COPY audit (what) FROM STDIN", "one\ntwo\n"), connection.rollback)
step("named cursor", named, connection.rollback)
step("execute_values, execute_batch", values, connection.rollback)
step("composed SQL", composed, connection.rollback)
step("description", described, connection.rollback)
step("callproc", callable_function, connection.rollback)
step("a duplicate of a tagged value", duplicate, connection.rollback, masked=["23505", False])
connection.commit()
step("transaction status, isolation", lambda: [connection.status, connection.get_transaction_status(), connection.set_session(isolation_level="SERIALIZABLE", readonly=True), rows("SELECT count(*) FROM orders"), connection.rollback()])
step("autocommit", lambda: [connection.set_session(isolation_level="DEFAULT", readonly=False, autocommit=True), rows("SHOW transaction_isolation")])
step("parameters of the server", lambda: [connection.encoding, connection.get_parameter_status("DateStyle"), connection.get_parameter_status("standard_conforming_strings"), connection.get_parameter_status("TimeZone")])
step("several statements at once", lambda: rows("SELECT 1; SELECT email FROM customers WHERE id = 1"))
step("merge", lambda: rows("MERGE INTO products p USING (VALUES ('SKU-1', 'merged')) v (sku, title) ON v.sku = p.sku WHEN MATCHED THEN UPDATE SET title = v.title"))
step("reset, discard", lambda: [connection.reset(), rows("DISCARD ALL"), rows("SELECT 1")])
step("close", lambda: connection.close())
