// A working day of an application with Knex.
'use strict';
const knex = require('knex');
const { step, login, whole } = require('./steps');

const db = knex({ client: 'pg', connection: login, pool: { min: 0, max: 3 } });

(async () => {
  await step('select', () => db('customers').orderBy('id'));
  await step('where', () => db('customers').select('id', 'email').where({ active: true }).andWhere('id', '<', 9).whereNot('id', 2).orWhereIn('id', [20, 21]).orderBy('id'));
  await step('where on a tagged column', () => db('customers').where('email', 'user2@canary.example').first());
  await step('whereRaw, whereJsonPath, whereLike', () => db('customers').select('id').whereRaw('lower(name) = ?', ['customer 3']).orWhereJsonPath('profile', '$.visits', '>', 38).orWhereILike('name', '%er 4').orderBy('id'));
  await step('join', () => db('orders as o').join('customers as c', 'c.id', 'o.customer_id').leftJoin('order_items as i', { 'i.order_id': 'o.id' }).select('o.id', 'c.email', 'c.card_number', 'i.line').orderBy(['o.id', 'i.line']).limit(6));
  await step('group, having, aggregate', () => db('orders').select('state').count('* as n').max('placed_at as last').groupBy('state').havingRaw('count(*) > ?', [1]).orderBy('state'));
  await step('with, recursive', () => db.withRecursive('n', ['i'], (q) => q.select(db.raw('1')).unionAll((r) => r.select(db.raw('i + 1')).from('n').where('i', '<', 4))).select('*').from('n'));
  await step('with of tagged columns', () => db.with('c', db('customers').select('id', 'ssn')).select('c.ssn', 'o.id').from('c').join('orders as o', 'o.customer_id', 'c.id').orderBy('o.id').limit(3));
  await step('union', () => db('customers').select('name').where('id', '<', 3).union([db('products').select('title').where('id', '<', 3)]).orderBy('name'));
  await step('sub-query, exists', () => db('customers').select('id', 'email').whereExists(db('orders').whereRaw('orders.customer_id = customers.id').where('state', 'new')).orderBy('id').limit(4));
  await step('rank, row_number', () => db('orders').select('id').rowNumber('r', (q) => q.partitionBy('customer_id').orderBy('placed_at')).orderBy('id').limit(5));
  await step('pluck, first, distinct', async () => [await db('customers').orderBy('id').limit(3).pluck('email'), await db('customers').orderBy('id').first('ssn'), await db('customers').distinct('country').orderBy('country')]);
  await step('insert', () => db('products').insert([{ sku: 'K1', title: 'k', price: 1 }, { sku: 'K2', title: 'k', price: 2 }]).returning(['sku', 'price']));
  await step('onConflict', async () => [await db('products').insert({ sku: 'K1', title: 'm', price: 1 }).onConflict('sku').merge(['title']).returning('title'), await db('products').insert({ sku: 'K1', title: 'n', price: 1 }).onConflict('sku').ignore().returning('title')]);
  await step('batchInsert', () => db.batchInsert('products', Array.from({ length: 25 }, (_, i) => ({ sku: `KB${i}`, title: 'k', price: i })), 10).returning('sku'));
  await step('update, increment', async () => [await db('orders').where('id', 3).update({ note: 'k' }, ['id', 'note']), await db('products').where('sku', 'K1').increment('price', 2)]);
  await step('masks written back', () => db('customers').where('id', 3).update({ name: 'x', email: '*****' }), { refused: whole });
  await step('delete', () => db('products').where('sku', 'K2').del(['sku']));
  await step('transaction, nested', async () => { await db.transaction(async (tx) => { await tx('orders').where('id', 4).update({ note: 'outer' }); await tx.transaction(async (inner) => { await inner('orders').where('id', 4).update({ note: 'inner' }); throw new Error('no'); }).catch(() => {}); }); return db('orders').where('id', 4).first('note'); });
  await step('forUpdate, skipLocked', () => db.transaction((tx) => tx('customers').where('id', 1).select('id', 'email').forUpdate().skipLocked()));
  await step('stream', async () => { const found = []; for await (const row of db('customers').select('id', 'email').orderBy('id').stream()) found.push(row); return found; });
  await step('raw', async () => (await db.raw('SELECT id, email FROM customers WHERE id = ? OR name = :name'.replace(':name', '?'), [1, 'Customer 2'])).rows);
  await step('schema: hasTable, hasColumn, columnInfo', async () => [await db.schema.hasTable('customers'), await db.schema.hasColumn('customers', 'ssn'), await db('customers').columnInfo()]);
  await step('migrate:list', async () => await db.schema.hasTable('knex_migrations'));
  await step('an error', () => db.raw('SELECT title::int FROM products'));
  await db.destroy();
})();
