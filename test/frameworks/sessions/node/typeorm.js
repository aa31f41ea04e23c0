// A working day of an application with TypeORM.
'use strict';
require('reflect-metadata');
const { DataSource, EntitySchema, In, IsNull, LessThan, Like, MoreThan, Not } = require('typeorm');
const { step, login, whole } = require('./steps');

const Customer = new EntitySchema({
  name: 'Customer', tableName: 'customers',
  columns: {
    id: { type: Number, primary: true, generated: true }, name: { type: String }, email: { type: String, length: 120 }, ssn: { type: String, nullable: true },
    card_number: { type: String, nullable: true }, credit_limit: { type: 'numeric', nullable: true }, labels: { type: 'text', array: true }, profile: { type: 'jsonb' },
    active: { type: Boolean }, created_at: { type: 'timestamptz' },
  },
  relations: { orders: { type: 'one-to-many', target: 'Order', inverseSide: 'customer' } },
});
const Order = new EntitySchema({
  name: 'Order', tableName: 'orders',
  columns: { id: { type: 'bigint', primary: true, generated: true }, state: { type: 'enum', enum: ['new', 'paid', 'shipped', 'cancelled'], enumName: 'order_state' }, placed_at: { type: 'timestamptz' }, note: { type: String, nullable: true } },
  relations: { customer: { type: 'many-to-one', target: 'Customer', joinColumn: { name: 'customer_id' }, inverseSide: 'orders' } },
});
const Product = new EntitySchema({
  name: 'Product', tableName: 'products',
  columns: { id: { type: Number, primary: true, generated: true }, sku: { type: String, unique: true }, title: { type: String }, price: { type: 'numeric' } },
});

(async () => {
  const db = new DataSource({ type: 'postgres', host: login.host, port: login.port, username: login.user, password: login.password, database: login.database, entities: [Customer, Order, Product], installExtensions: false });
  await step('initialize', async () => { await db.initialize(); return true; });
  const c = db.getRepository('Customer'), o = db.getRepository('Order'), p = db.getRepository('Product');
  const order = { id: 'ASC' };
  await step('find', () => c.find({ order }));
  await step('findOneBy', () => c.findOneBy({ email: 'user2@canary.example' }));
  await step('findBy operators', () => c.find({ select: { id: true, email: true }, where: [{ id: In([1, 2]) }, { id: LessThan(9), name: Like('%3') }, { id: MoreThan(38), ssn: Not(IsNull()) }], order }));
  await step('findAndCount', () => o.findAndCount({ order, skip: 10, take: 5 }));
  await step('relations', () => c.find({ where: { id: LessThan(4) }, relations: { orders: true }, order: { id: 'ASC', orders: { id: 'ASC' } } }));
  await step('relations, paged', () => c.find({ relations: { orders: true }, order: { id: 'ASC', orders: { id: 'ASC' } }, take: 3, skip: 1 }));
  await step('relations by queries', () => o.find({ where: { id: LessThan(4) }, relations: { customer: true }, relationLoadStrategy: 'query', order }));
  await step('count, exists, sum', async () => [await o.countBy({ state: 'paid' }), await o.existsBy({ state: 'new' }), await p.sum('price'), await p.maximum('id')]);
  await step('query builder', () => c.createQueryBuilder('c').leftJoinAndSelect('c.orders', 'o', 'o.state = :s', { s: 'paid' }).where('c.id IN (:...ids)', { ids: [1, 2, 3] }).orderBy('c.id').addOrderBy('o.id').getMany());
  await step('query builder, raw', () => o.createQueryBuilder('o').select('o.state', 'state').addSelect('count(*)', 'n').innerJoin('o.customer', 'c').groupBy('o.state').orderBy('o.state').getRawMany());
  await step('sub-query', () => c.createQueryBuilder('c').where((q) => 'c.id IN ' + q.subQuery().select('o.customer_id').from('Order', 'o').where("o.state = 'new'").getQuery()).orderBy('c.id').getMany());
  await step('pessimistic lock', () => db.transaction((m) => m.findOne('Customer', { where: { id: 1 }, lock: { mode: 'pessimistic_write' } })));
  await step('stream', async () => { const found = []; for await (const row of await c.createQueryBuilder('c').orderBy('c.id').limit(5).stream()) found.push(row); return found; });
  await step('insert', () => p.insert([{ sku: 'T1', title: 't', price: 1 }, { sku: 'T2', title: 't', price: 2 }]).then((r) => r.identifiers.length));
  await step('save of a new one', () => c.save({ name: 'T', email: 'user74@canary.example', labels: [], profile: {}, active: true, created_at: new Date(0) }).then(({ name, active }) => [name, active]));
  await step('save writes only what changed', async () => { const one = await c.findOneBy({ id: 5 }); one.name = 'Changed'; await c.save(one); return c.findOneBy({ id: 5 }); });
  await step('upsert', () => p.upsert([{ sku: 'T1', title: 'u', price: 1 }], ['sku']).then(() => p.findOneBy({ sku: 'T1' }).then((x) => x.title)));
  await step('update, increment', async () => [(await p.update({ sku: 'T1' }, { title: 'v' })).affected, (await p.increment({ sku: 'T1' }, 'price', 3)).affected, (await p.findOneBy({ sku: 'T1' })).price]);
  await step('masks written back', () => c.update({ id: 3 }, { name: 'x', ssn: '*****' }), { refused: whole });
  await step('remove, delete', async () => [await p.remove(await p.findOneBy({ sku: 'T1' })).then((x) => x.sku), (await p.delete({ sku: 'T2' })).affected]);
  await step('transaction, rolled back', async () => { await db.transaction('SERIALIZABLE', async (m) => { await m.update('Order', { id: 2 }, { note: 'never' }); throw new Error('no'); }).catch(() => {}); return (await o.findOneBy({ id: 2 })).note; });
  await step('query', () => db.query('SELECT id, email FROM customers WHERE id < $1 ORDER BY id', [3]));
  await step('an error', () => db.query('SELECT title::int FROM products'));
  await step('schema:log (reads the whole schema)', async () => { const log = await db.driver.createSchemaBuilder().log(); return log.upQueries.map((q) => q.query).sort(); });
  await step('getTable', async () => { const runner = db.createQueryRunner(); const table = await runner.getTable('customers'); await runner.release(); return table.columns.map((x) => [x.name, x.type, x.isNullable]); });
  await db.destroy();
})();
