"""psycopg 3: parameters on the server, binary results, statements that are prepared after five executions, pipelines."""
import psycopg
from psycopg.rows import dict_row, namedtuple_row
from psycopg.types.json import Jsonb
from steps import step

connection = psycopg.connect("", autocommit=True)


def rows(sql, parameters=None, **how):
    with connection.cursor(binary=how.pop("binary", False), **how) as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def prepared():
    return [rows("SELECT id, email, ssn, credit_limit FROM customers WHERE id = %s", [i]) for i in range(1, 9)]


def copied():
    with connection.cursor() as cursor:
        with cursor.copy("COPY audit (what) FROM STDIN") as copy:
            for i in range(5):
                copy.write_row(["row %d" % i])
        with cursor.copy("COPY (SELECT id, email FROM customers ORDER BY id LIMIT 4) TO STDOUT") as copy:
            return [bytes(part).decode() for part in copy]


def copied_in_binary():
    with connection.cursor() as cursor:
        with cursor.copy("COPY audit (happened, what) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["timestamptz", "text"])
            copy.write_row([__import__("datetime").datetime(2024, 1, 1, tzinfo=__import__("datetime").timezone.utc), "binary"])
        with cursor.copy("COPY (SELECT id, email, credit_limit FROM customers WHERE id < 3 ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "varchar", "numeric"])
            return list(copy.rows())


def many():
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO products (sku, title, price) VALUES (%s, %s, %s) RETURNING sku", [("T%d" % i, "t", i) for i in range(12)], returning=True)
        found = [cursor.fetchone()]
        while cursor.nextset():
            found.append(cursor.fetchone())
        return found


def pipeline():
    with connection.pipeline(), connection.cursor() as a, connection.cursor() as b:
        a.execute("SELECT email FROM customers WHERE id = %s", [1])
        b.execute("SELECT sku FROM products WHERE id = %s", [1])
        return [a.fetchall(), b.fetchall()]


def server_cursor():
    with connection.transaction(), connection.cursor("walk") as cursor:
        cursor.execute("SELECT id, card_number FROM customers WHERE id < %s ORDER BY id", [12])
        return [cursor.fetchmany(4), cursor.fetchall()]


def savepoints():
    with connection.transaction():
        connection.execute("UPDATE orders SET note = 'outer' WHERE id = 5")
        try:
            with connection.transaction():
                connection.execute("INSERT INTO products (sku, title, price) VALUES ('SKU-1', 'x', 1)")
        except psycopg.errors.UniqueViolation:
            pass
        return rows("SELECT note FROM orders WHERE id = 5")


TAGGED = "SELECT id, name, email, ssn, card_number, credit_limit, labels, profile FROM customers WHERE id < %s ORDER BY id"
step("parameters", lambda: rows(TAGGED, [5]))
step("binary results", lambda: rows(TAGGED, [5], binary=True))
step("dictionaries", lambda: rows(TAGGED, [3], row_factory=dict_row))
step("named tuples", lambda: rows(TAGGED, [3], row_factory=namedtuple_row))
step("prepared after five", prepared)
step("prepared at once", lambda: connection.execute("SELECT count(*) FROM orders WHERE state = %s", ["paid"], prepare=True).fetchall())
step("types in binary", lambda: rows("SELECT 1::int2, 2::int8, 1.5::float8, 2.5::numeric, 'x'::bytea, true, date '2024-01-01', '{1,2}'::int[], %s::jsonb, null, int4range(1, 3)::text", [Jsonb({"a": 1})], binary=True))
step("arrays as parameters", lambda: rows("SELECT id FROM customers WHERE id = ANY(%s) AND labels && %s ORDER BY id", [[1, 2, 3], ["all"]]))
step("insert returning", lambda: rows("INSERT INTO customers (name, email, ssn) VALUES (%s, %s, %s) RETURNING name, email, ssn", ["P", "user72@canary.example", "900-45-6072"]))
step("masks written back as parameters", lambda: rows("UPDATE customers SET name = %s, email = %s, ssn = %s WHERE id = 9", ["Back", *rows("SELECT email, ssn FROM customers WHERE id = 9")[0]]), refused="a masked placeholder must not be written back")
step("executemany", many)
step("COPY", copied)
step("COPY in binary", copied_in_binary)
step("pipeline", pipeline)
step("server-side cursor", server_cursor)
step("savepoints", savepoints)
step("stream", lambda: list(connection.cursor().stream("SELECT id, email FROM customers ORDER BY id")))
step("an error", lambda: rows("SELECT title::int FROM products"))
step("type information", lambda: [psycopg.types.TypeInfo.fetch(connection, "order_state").name, psycopg.types.enum.EnumInfo.fetch(connection, "order_state").labels, [list(psycopg.types.composite.CompositeInfo.fetch(connection, "order_items").field_names)]])
step("scroll, description", lambda: [[c.name, c.type_code, c.type_display] for c in connection.execute("SELECT * FROM customers LIMIT 0").description])
step("close", lambda: connection.close())
