// A working day of an application with Prisma. Its queries are made by its own compiler (WebAssembly) and sent by its driver adapter.
'use strict';
const { PrismaClient, Prisma } = require('@prisma/client');
const { PrismaPg } = require('@prisma/adapter-pg');
const { step, login, whole } = require('./steps');

const db = new PrismaClient({ adapter: new PrismaPg({ ...login, max: 3 }) });
const by = { orderBy: { id: 'asc' } };

async function reading() {
  await step('findUnique', () => db.customer.findUnique({ where: { id: 1 } }));
  await step('findUnique by a tagged column', () => db.customer.findUnique({ where: { email: 'user2@canary.example' } }));
  await step('findUnique, several in one tick', () => Promise.all([1, 2, 3].map((id) => db.customer.findUnique({ where: { id } }))));
  await step('findUniqueOrThrow that finds nothing', () => db.customer.findUniqueOrThrow({ where: { id: -1 } }));
  await step('findFirst', () => db.customer.findFirst({ where: { active: true }, orderBy: { createdAt: 'desc' } }));
  await step('findMany', () => db.customer.findMany(by));
  await step('select', () => db.customer.findMany({ select: { id: true, email: true, cardNumber: true }, take: 5, ...by }));
  await step('omit', () => db.customer.findMany({ omit: { ssn: true, creditLimit: true }, take: 3, ...by }));
  await step('filters', () => db.customer.findMany({ select: { id: true }, where: { AND: [{ id: { gte: 3, lt: 30 } }, { NOT: { id: { in: [4, 5] } } }], OR: [{ name: { contains: '1' } }, { name: { startsWith: 'CUSTOMER 2', mode: 'insensitive' } }] }, ...by }));
  await step('filters on tagged columns', () => db.customer.findMany({ select: { id: true, email: true }, where: { email: { in: ['user3@canary.example', 'user4@canary.example'] }, ssn: { not: null } }, ...by }));
  await step('filters on relations', () => db.customer.findMany({ select: { id: true }, where: { orders: { some: { state: 'paid', items: { every: { amount: { gt: 0 } } } }, none: { state: 'cancelled' } } }, ...by }));
  await step('filters on lists', () => db.customer.findMany({ select: { id: true, labels: true }, where: { labels: { has: 'l1', hasEvery: ['all'] } }, take: 4, ...by }));
  await step('filters on JSON', () => db.customer.findMany({ select: { id: true, profile: true }, where: { profile: { path: ['address', 'city'], equals: 'City 3' } }, ...by }));
  await step('include', () => db.customer.findMany({ include: { orders: { include: { items: { include: { product: true }, orderBy: { line: 'asc' } } }, ...by } }, take: 3, ...by }));
  await step('include the parent', () => db.order.findMany({ include: { customer: true }, take: 5, ...by }));
  await step('nested select with conditions', () => db.customer.findMany({ select: { email: true, orders: { select: { id: true, note: true }, where: { state: { in: ['paid', 'shipped'] } }, take: 2, orderBy: { placedAt: 'desc' } } }, take: 4, ...by }));
  await step('relation counts', () => db.customer.findMany({ select: { id: true, email: true, _count: { select: { orders: true, keys: true } } }, take: 5, ...by }));
  await step('order by a relation', () => db.order.findMany({ select: { id: true }, orderBy: [{ customer: { name: 'asc' } }, { id: 'desc' }], take: 6 }));
  await step('order by a count', () => db.customer.findMany({ select: { id: true }, orderBy: [{ orders: { _count: 'desc' } }, { id: 'asc' }], take: 5 }));
  await step('pagination by offset', () => db.order.findMany({ skip: 20, take: 10, ...by }));
  await step('pagination by cursor', () => db.order.findMany({ cursor: { id: 50n }, skip: 1, take: 5, ...by }));
  await step('backwards', () => db.order.findMany({ take: -4, ...by }));
  await step('distinct', () => db.order.findMany({ distinct: ['state'], select: { state: true }, orderBy: { state: 'asc' } }));
  await step('composite key', () => db.item.findUnique({ where: { orderId_line: { orderId: 3n, line: 2 } } }));
  await step('uuid, enum, bigint, dates', () => db.order.findMany({ where: { state: 'shipped', placedAt: { gte: new Date('2024-03-05T00:00:00Z') } }, take: 3, ...by }));
  await step('a table with secrets', () => db.apiKey.findMany({ include: { customer: { select: { ssn: true } } }, ...by }));
  await step('fluent', () => db.order.findUnique({ where: { id: 4n } }).customer());
}

async function aggregating() {
  await step('count', () => db.order.count({ where: { state: 'paid' } }));
  await step('count of columns', () => db.customer.count({ select: { _all: true, ssn: true } }));
  await step('aggregate', () => db.product.aggregate({ _sum: { price: true }, _avg: { price: true }, _min: { sku: true }, _max: { price: true }, _count: true }));
  await step('aggregate of a tagged number', () => db.customer.aggregate({ _sum: { creditLimit: true }, _count: { ssn: true } }), { masked: { _sum: { creditLimit: '0' }, _count: { ssn: 40 } } });
  await step('groupBy', () => db.order.groupBy({ by: ['state'], _count: true, _max: { placedAt: true }, orderBy: { state: 'asc' } }));
  await step('groupBy, having', () => db.item.groupBy({ by: ['productId'], _sum: { amount: true }, having: { amount: { _sum: { gt: 60 } } }, orderBy: { productId: 'asc' } }));
}

async function writing() {
  const now = new Date('2025-01-01T00:00:00Z');
  await step('create', () => db.customer.create({ data: { name: 'New', email: 'user77@canary.example', ssn: '900-45-6077', labels: ['a'], profile: { a: 1 }, createdAt: now } }));
  await step('create, nested', () => db.customer.create({ data: { name: 'Nested', email: 'user78@canary.example', createdAt: now, orders: { create: [{ placedAt: now, items: { create: [{ line: 1, amount: 2, price: 3.5, product: { connect: { sku: 'SKU-2' } } }] } }] } }, include: { orders: { include: { items: true } } } }));
  await step('createMany', () => db.product.createMany({ data: Array.from({ length: 30 }, (_, i) => ({ sku: `C${i}`, title: 'c', price: i })) }));
  await step('createMany, skipDuplicates', () => db.product.createMany({ data: [{ sku: 'C1', title: 'c', price: 1 }, { sku: 'D1', title: 'd', price: 1 }], skipDuplicates: true }));
  await step('createManyAndReturn', () => db.product.createManyAndReturn({ data: [{ sku: 'E1', title: 'e', price: 1 }, { sku: 'E2', title: 'e', price: 2 }], select: { sku: true, price: true } }));
  await step('a duplicate of an untagged value', () => db.product.create({ data: { sku: 'SKU-1', title: 'x', price: 1 } }));
  await step('a duplicate of a tagged value', () => db.customer.create({ data: { name: 'x', email: 'user1@canary.example' } }).catch((error) => error.code), { masked: 'P2002' });
  await step('update', () => db.customer.update({ where: { id: 5 }, data: { name: 'Changed', profile: { language: 'pt' }, labels: { push: 'pushed' } } }));
  await step('update with arithmetic', () => db.product.update({ where: { id: 1 }, data: { price: { increment: 2 } } }));
  await step('update that finds nothing', () => db.product.update({ where: { id: -1 }, data: { title: 'x' } }));
  await step('update, nested', () => db.order.update({ where: { id: 3n }, data: { note: 'n', items: { update: { where: { orderId_line: { orderId: 3n, line: 1 } }, data: { amount: 9 } }, delete: { orderId_line: { orderId: 3n, line: 2 } } } }, include: { items: { orderBy: { line: 'asc' } } } }));
  await step('updateMany', () => db.order.updateMany({ where: { customer: { name: { endsWith: '7' } } }, data: { note: 'many' } }));
  await step('updateManyAndReturn', () => db.customer.updateManyAndReturn({ where: { id: { in: [11, 12] } }, data: { active: false }, select: { id: true, email: true } }));
  await step('update a tagged column', () => db.customer.update({ where: { id: 6 }, data: { ssn: '900-45-6999' }, select: { name: true, ssn: true } }));
  await step('masks written back', async () => { const seen = await db.customer.findUnique({ where: { id: 7 } }); return db.customer.update({ where: { id: 7 }, data: { ssn: seen.ssn, email: seen.email } }); }, { refused: whole });
  await step('upsert, native', () => db.product.upsert({ where: { sku: 'SKU-3' }, create: { sku: 'SKU-3', title: 'x', price: 1 }, update: { title: 'upserted' } }));
  await step('upsert that makes', () => db.product.upsert({ where: { sku: 'U' }, create: { sku: 'U', title: 'made', price: 1 }, update: { title: 'x' } }));
  await step('upsert by a tagged column', () => db.customer.upsert({ where: { email: 'user8@canary.example' }, create: { name: 'x', email: 'user8@canary.example' }, update: { name: 'Upserted' } }));
  await step('connectOrCreate', () => db.item.create({ data: { line: 9, amount: 1, price: 1, order: { connect: { id: 5n } }, product: { connectOrCreate: { where: { sku: 'CC' }, create: { sku: 'CC', title: 'cc', price: 1 } } } }, include: { product: { select: { sku: true } } } }));
  await step('delete', () => db.customer.delete({ where: { id: 39 } }));
  await step('deleteMany', () => db.order.deleteMany({ where: { state: 'cancelled', id: { gt: 100n } } }));
}

async function transactions() {
  await step('transaction of a list', () => db.$transaction([db.product.count(), db.order.update({ where: { id: 1n }, data: { note: 'batch' } }), db.customer.findFirst({ select: { email: true }, ...by })]));
  await step('interactive transaction', () => db.$transaction(async (tx) => { await tx.order.update({ where: { id: 2n }, data: { note: 'tx' } }); return tx.order.findUnique({ where: { id: 2n }, include: { customer: { select: { email: true } } } }); }, { isolationLevel: Prisma.TransactionIsolationLevel.Serializable }));
  await step('interactive transaction, rolled back', () => db.$transaction(async (tx) => { await tx.order.update({ where: { id: 1n }, data: { note: 'never' } }); throw new Error('no'); }));
  await step('after the rollback', () => db.order.findUnique({ where: { id: 1n }, select: { note: true } }));
  await step('$queryRaw', () => db.$queryRaw`SELECT c.id, c.email, c.ssn, o.state::text FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id < ${4} ORDER BY o.id`);
  await step('$queryRaw of types', () => db.$queryRaw`SELECT 1::int2 AS a, 2::int8 AS b, 1.5::float8 AS c, 2.5::numeric AS d, true AS e, '2024-01-01'::date AS f, '10:00'::time AS g, '{1,2}'::int[] AS h, '{"a": 1}'::jsonb AS i, 'x'::bytea AS j, gen_random_uuid() IS NOT NULL AS k, null AS l`);
  await step('$queryRaw with joined parameters', () => db.$queryRaw(Prisma.sql`SELECT id, email FROM customers WHERE id IN (${Prisma.join([1, 2, 3])}) ORDER BY id`));
  await step('$queryRawUnsafe', () => db.$queryRawUnsafe('SELECT count(*)::int AS n FROM orders WHERE state = $1::order_state', 'paid'));
  await step('$executeRaw', () => db.$executeRaw`UPDATE orders SET note = ${'raw'} WHERE id < ${5}`);
  await step('a failing $queryRaw', () => db.$queryRaw`SELECT title::int FROM products`);
  await step('SELECT 1', () => db.$queryRaw`SELECT 1`);
}

(async () => {
  await reading();
  await aggregating();
  await writing();
  await transactions();
  await db.$disconnect();
})();
