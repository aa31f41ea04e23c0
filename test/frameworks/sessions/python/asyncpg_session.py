"""asyncpg: prepared statements and binary results throughout, and its own look into the catalog for types it does not know."""
import asyncio
import os

import asyncpg
from steps import plain, tell


async def step(name, work, **more):
    try:
        tell(name, plain(await work), **more)
    except Exception as error:  # every error is an answer
        tell(name, error="%s %s: %s" % (type(error).__name__, getattr(error, "sqlstate", ""), error), **more)


async def cursor(c):
    async with c.transaction():
        walk = await c.cursor("SELECT id, email FROM customers ORDER BY id")
        return [tuple(r) for r in await walk.fetch(3)], [tuple(r) for r in await walk.fetch(2)], [tuple(r) async for r in c.cursor("SELECT id, ssn FROM customers ORDER BY id", prefetch=4)]


async def prepared(c):
    statement = await c.prepare("SELECT id, email, state FROM customers JOIN orders USING (id) WHERE id = $1")
    return [str(statement.get_parameters()), [[a.name, a.type.name] for a in statement.get_attributes()], [[tuple(r) for r in await statement.fetch(i)] for i in (1, 2, 3)]]


async def copied(c):
    await c.copy_records_to_table("audit", records=[(None, "x%d" % i) for i in range(3)] and [("x%d" % i,) for i in range(3)], columns=["what"])
    parts = []

    async def take(data):
        parts.append(data)

    status = await c.copy_from_query("SELECT id, email FROM customers WHERE id < $1 ORDER BY id", 4, output=take, format="csv")
    return status, b"".join(parts).decode()


async def nested(c):
    async with c.transaction(isolation="serializable"):
        await c.execute("UPDATE orders SET note = 'outer' WHERE id = 6")
        try:
            async with c.transaction():
                await c.execute("INSERT INTO products (sku, title, price) VALUES ('SKU-1', 'x', 1)")
        except asyncpg.UniqueViolationError:
            pass
        return await c.fetchval("SELECT note FROM orders WHERE id = 6")


async def pooled():
    async with asyncpg.create_pool(min_size=1, max_size=3, ssl=False, **LOGIN) as pool:
        return await asyncio.gather(*[pool.fetchval("SELECT email FROM customers WHERE id = $1", i) for i in range(1, 6)])


async def inserted(c):
    await c.executemany("INSERT INTO products (sku, title, price) VALUES ($1, $2, $3)", [("Q%d" % i, "q", i) for i in range(9)])
    return await c.fetchval("SELECT count(*) FROM products WHERE sku LIKE 'Q%'")


LOGIN = dict(host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]), user=os.environ["PGUSER"], password=os.environ["PGPASSWORD"] or None, database=os.environ["PGDATABASE"])


async def main():
    c = await asyncpg.connect(ssl=False, **LOGIN)
    await step("fetch", c.fetch("SELECT id, name, email, ssn, card_number, credit_limit, labels, created_at FROM customers WHERE id < $1 ORDER BY id", 6))
    await step("enum, domain, arrays (introspection)", c.fetch("SELECT state, ARRAY[state], amount FROM orders JOIN order_items ON order_id = id WHERE id < $1 ORDER BY id, line", 3))
    await step("fetchrow, fetchval", c.fetchrow("SELECT * FROM customers WHERE email = $1", "user2@canary.example"))
    await step("composite", c.fetchval("SELECT p FROM (SELECT id, sku FROM products ORDER BY id LIMIT 1) p"))
    await step("prepared", prepared(c))
    await step("cursor", cursor(c))
    await step("executemany", inserted(c))
    await step("COPY", copied(c))
    await step("nested transactions", nested(c))
    await step("json", c.fetchval("SELECT profile FROM customers WHERE id = 1"))
    await step("set_type_codec", c.set_type_codec("jsonb", encoder=str, decoder=lambda x: "decoded", schema="pg_catalog"))
    await step("json with a codec", c.fetchval("SELECT profile FROM customers WHERE id = 1"))
    await step("an error", c.fetch("SELECT title::int FROM products"))
    await step("reset", c.reset())
    await step("pool", pooled())
    await c.close()


asyncio.run(main())
