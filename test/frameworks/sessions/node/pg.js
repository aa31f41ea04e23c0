// node-postgres as programs without a framework use it.
'use strict';
const pg = require('pg');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');
const { step, login, whole } = require('./steps');

(async () => {
  const client = new pg.Client({ ...login, application_name: 'by hand', statement_timeout: 60000 });
  await client.connect();
  const rows = async (...query) => { const r = await client.query(...query); return Array.isArray(r) ? r.map((one) => one.rows) : [r.fields.map((f) => [f.name, f.dataTypeID, f.format]), r.rows, r.command, r.rowCount]; };
  const tagged = 'SELECT id, name, email, ssn, card_number, credit_limit, labels, profile, created_at FROM customers WHERE id < $1 ORDER BY id';

  await step('text', () => rows('SELECT * FROM customers ORDER BY id LIMIT 5'));
  await step('parameters', () => rows(tagged, [4]));
  await step('named', async () => [await rows({ name: 'n', text: tagged, values: [3] }), await rows({ name: 'n', text: tagged, values: [4] })]);
  await step('binary results', () => rows({ text: tagged, values: [4], binary: true }));
  await step('rows as arrays', () => rows({ text: tagged, values: [3], rowMode: 'array' }));
  await step('array, JSON, date and buffer parameters', () => rows('SELECT $1::int[], $2::jsonb, $3::timestamptz, $4::bytea, $5::text', [[1, 2], { a: [1] }, new Date(0), Buffer.from('x'), null]));
  await step('= ANY', () => rows('SELECT id, email FROM customers WHERE id = ANY($1) ORDER BY id', [[1, 2]]));
  await step('by a tagged value', () => rows('SELECT id, ssn FROM customers WHERE email = $1', ['user3@canary.example']));
  await step('several statements', () => rows('SELECT 1 AS a; SELECT email FROM customers WHERE id = 1'));
  await step('insert returning', () => rows('INSERT INTO customers (name, email) VALUES ($1, $2) RETURNING name, email, active', ['N', 'user79@canary.example']));
  await step('masks written back', () => rows('UPDATE customers SET name = $1, ssn = $2 WHERE id = 3', ['x', '*****']), { refused: whole });
  await step('transaction', async () => { await client.query('BEGIN'); await client.query('SAVEPOINT a'); await client.query("UPDATE orders SET note = 'a' WHERE id = 1"); await client.query('ROLLBACK TO a'); await client.query('COMMIT'); return rows('SELECT note FROM orders WHERE id = 1'); });
  await step('an error, and after it', async () => { await client.query('BEGIN'); const one = await client.query('SELECT 1/0').catch((e) => e.code); const two = await client.query('SELECT 1').catch((e) => e.code); await client.query('ROLLBACK'); return [one, two, await rows('SELECT 1')]; });
  await step('cursor', async () => { const cursor = client.query(new Cursor('SELECT id, email FROM customers ORDER BY id')); const found = [await cursor.read(3), await cursor.read(4)]; await cursor.close(); return found; });
  await step('query stream', async () => { const found = []; for await (const row of client.query(new QueryStream('SELECT id, card_number FROM customers ORDER BY id', [], { batchSize: 7 }))) found.push(row); return found; });
  await step('queries at once', () => Promise.all([1, 2, 3, 4].map((id) => rows('SELECT email FROM customers WHERE id = $1', [id]))));
  await step('an error of the statement', () => rows('SELECT nonsense FROM customers'));
  await step('unnest for bulk', () => rows('INSERT INTO products (sku, title, price) SELECT * FROM unnest($1::text[], $2::text[], $3::numeric[]) RETURNING sku', [['a', 'b'], ['x', 'y'], [1, 2]]));
  await step('upsert', () => rows("INSERT INTO products (sku, title, price) VALUES ('a', 'z', 1) ON CONFLICT (sku) DO UPDATE SET title = EXCLUDED.title RETURNING title, (xmax = 0) AS made"));
  await step('json_agg of untagged rows', () => rows('SELECT o.id, json_agg(i ORDER BY i.line) AS items FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.id < 3 GROUP BY o.id ORDER BY o.id'));
  await step('json_agg with tagged columns', () => rows("SELECT json_agg(json_build_object('id', c.id, 'email', c.email) ORDER BY c.id) AS list FROM customers c WHERE c.id < 4"));
  await step('to_jsonb of a customer', () => rows('SELECT to_jsonb(c) - \'created_at\' AS c FROM customers c WHERE id < 3 ORDER BY id'));
  await client.end();

  const pool = new pg.Pool({ ...login, max: 4 });
  await step('pool', () => Promise.all([1, 2, 3, 4, 5, 6].map(async (id) => (await pool.query('SELECT email FROM customers WHERE id = $1', [id])).rows)));
  await pool.end();
})();
