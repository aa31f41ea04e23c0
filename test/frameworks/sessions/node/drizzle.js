// A working day of an application with Drizzle.
'use strict';
const { drizzle } = require('drizzle-orm/node-postgres');
const t = require('drizzle-orm/pg-core');
const { and, asc, avg, count, countDistinct, desc, eq, exists, gt, ilike, inArray, isNotNull, not, or, relations, sql, sum } = require('drizzle-orm');
const { Pool } = require('pg');
const { step, login, whole } = require('./steps');

const state = t.pgEnum('order_state', ['new', 'paid', 'shipped', 'cancelled']);
const customers = t.pgTable('customers', {
  id: t.serial('id').primaryKey(), name: t.text('name').notNull(), email: t.varchar('email', { length: 120 }).notNull(), ssn: t.text('ssn'),
  cardNumber: t.varchar('card_number', { length: 19 }), creditLimit: t.numeric('credit_limit'), labels: t.text('labels').array(), profile: t.jsonb('profile'),
  active: t.boolean('active').notNull().default(true), createdAt: t.timestamp('created_at', { withTimezone: true }),
});
const orders = t.pgTable('orders', {
  id: t.bigserial('id', { mode: 'number' }).primaryKey(), customerId: t.integer('customer_id').notNull(), state: state('state'), placedAt: t.timestamp('placed_at', { withTimezone: true }), note: t.text('note'),
});
const products = t.pgTable('products', { id: t.serial('id').primaryKey(), sku: t.text('sku').notNull(), title: t.text('title'), price: t.numeric('price') });
const items = t.pgTable('order_items', { orderId: t.bigint('order_id', { mode: 'number' }), line: t.integer('line'), productId: t.integer('product_id'), amount: t.integer('amount') }, (x) => [t.primaryKey({ columns: [x.orderId, x.line] })]);
const schema = {
  customers, orders, products, items,
  customersRelations: relations(customers, ({ many }) => ({ orders: many(orders) })),
  ordersRelations: relations(orders, ({ one, many }) => ({ customer: one(customers, { fields: [orders.customerId], references: [customers.id] }), items: many(items) })),
  itemsRelations: relations(items, ({ one }) => ({ order: one(orders, { fields: [items.orderId], references: [orders.id] }), product: one(products, { fields: [items.productId], references: [products.id] }) })),
};
const pool = new Pool({ ...login, max: 2 });
const db = drizzle(pool, { schema });

(async () => {
  await step('select', () => db.select().from(customers).orderBy(asc(customers.id)));
  await step('select columns', () => db.select({ id: customers.id, mail: customers.email }).from(customers).where(and(gt(customers.id, 3), or(eq(customers.active, true), not(ilike(customers.name, '%1'))))).orderBy(customers.id).limit(5).offset(1));
  await step('where on a tagged column', () => db.select().from(customers).where(eq(customers.email, 'user2@canary.example')));
  await step('joins', () => db.select().from(orders).innerJoin(customers, eq(orders.customerId, customers.id)).where(inArray(orders.id, [1, 2, 3])).orderBy(orders.id));
  await step('left join, partial select', () => db.select({ mail: customers.email, note: orders.note }).from(customers).leftJoin(orders, and(eq(orders.customerId, customers.id), eq(orders.state, 'paid'))).orderBy(customers.id, orders.id).limit(6));
  await step('aggregates', () => db.select({ state: orders.state, n: count(), c: countDistinct(orders.customerId) }).from(orders).groupBy(orders.state).having(({ n }) => gt(n, 1)).orderBy(orders.state));
  await step('sum, avg', () => db.select({ s: sum(products.price), a: avg(products.price) }).from(products));
  await step('sub-query', () => { const busy = db.select({ id: orders.customerId, n: count().as('n') }).from(orders).groupBy(orders.customerId).as('busy'); return db.select({ mail: customers.email, n: busy.n }).from(customers).innerJoin(busy, eq(busy.id, customers.id)).orderBy(customers.id).limit(4); });
  await step('with', () => { const paid = db.$with('paid').as(db.select().from(orders).where(eq(orders.state, 'paid'))); return db.with(paid).select({ id: paid.id, mail: customers.email }).from(paid).innerJoin(customers, eq(customers.id, paid.customerId)).orderBy(paid.id).limit(4); });
  await step('exists', () => db.select({ id: customers.id }).from(customers).where(exists(db.select().from(orders).where(and(eq(orders.customerId, customers.id), eq(orders.state, 'new'))))).orderBy(customers.id));
  await step('distinct on', () => db.selectDistinctOn([orders.customerId], { c: orders.customerId, id: orders.id }).from(orders).orderBy(orders.customerId, desc(orders.id)).limit(5));
  await step('raw expression', () => db.select({ low: sql`lower(${customers.name})`, n: sql`count(*) over ()` }).from(customers).orderBy(customers.id).limit(3));
  await step('prepared', async () => { const p = db.select({ mail: customers.email }).from(customers).where(eq(customers.id, sql.placeholder('id'))).prepare('byid'); return [await p.execute({ id: 1 }), await p.execute({ id: 2 })]; });
  await step('for update', () => db.transaction((tx) => tx.select({ id: customers.id, mail: customers.email }).from(customers).where(eq(customers.id, 1)).for('update')));
  await step('relational: findMany of untagged tables', () => db.query.orders.findMany({ with: { items: { with: { product: { columns: { sku: true } } }, orderBy: (i) => [asc(i.line)] } }, orderBy: (o) => [asc(o.id)], limit: 3 }));
  await step('relational: findFirst', () => db.query.customers.findFirst({ where: (c, { eq: is }) => is(c.id, 4) }));
  await step('relational: with the tagged parent (JSON)', () => db.query.orders.findMany({ columns: { id: true }, with: { customer: { columns: { name: true, email: true, ssn: true } } }, orderBy: (o) => [asc(o.id)], limit: 3 }));
  await step('relational: children of a tagged table', () => db.query.customers.findMany({ columns: { id: true, email: true }, with: { orders: { columns: { id: true, note: true } } }, where: isNotNull(customers.email), orderBy: (c) => [asc(c.id)], limit: 3 }));
  await step('insert', () => db.insert(products).values([{ sku: 'D1', title: 'd', price: '1' }, { sku: 'D2', title: 'd', price: '2' }]).returning({ sku: products.sku }));
  await step('insert a customer', () => db.insert(customers).values({ name: 'D', email: 'user73@canary.example', createdAt: new Date(0) }).returning({ name: customers.name, email: customers.email }));
  await step('upsert', () => db.insert(products).values({ sku: 'D1', title: 'e', price: '1' }).onConflictDoUpdate({ target: products.sku, set: { title: sql`excluded.title` } }).returning({ title: products.title }));
  await step('update', () => db.update(orders).set({ note: 'd' }).where(eq(orders.id, 3)).returning({ id: orders.id, note: orders.note }));
  await step('masks written back', () => db.update(customers).set({ name: 'x', ssn: '*****' }).where(eq(customers.id, 3)), { refused: whole });
  await step('delete', () => db.delete(products).where(eq(products.sku, 'D2')).returning({ sku: products.sku }));
  await step('transaction, rolled back, nested', async () => { await db.transaction(async (tx) => { await tx.update(orders).set({ note: 'outer' }).where(eq(orders.id, 4)); await tx.transaction(async (inner) => { await inner.update(orders).set({ note: 'inner' }).where(eq(orders.id, 4)); inner.rollback(); }).catch(() => {}); }); return db.select({ note: orders.note }).from(orders).where(eq(orders.id, 4)); });
  await step('execute', async () => (await db.execute(sql`SELECT id, email FROM customers WHERE id < ${3} ORDER BY id`)).rows);
  await step('$count', () => db.$count(orders, eq(orders.state, 'paid')));
  await pool.end();
})();
