// A working day of an application with Sequelize.
'use strict';
const { DataTypes, Op, Sequelize, QueryTypes } = require('sequelize');
const { step, login, whole } = require('./steps');

const db = new Sequelize(login.database, login.user, login.password, { host: login.host, port: login.port, dialect: 'postgres', logging: false, define: { timestamps: false } });
const Customer = db.define('Customer', {
  name: DataTypes.TEXT, email: DataTypes.STRING(120), ssn: DataTypes.TEXT, card_number: DataTypes.STRING(19), credit_limit: DataTypes.DECIMAL, labels: DataTypes.ARRAY(DataTypes.TEXT),
  profile: DataTypes.JSONB, active: DataTypes.BOOLEAN, created_at: DataTypes.DATE,
}, { tableName: 'customers' });
const Order = db.define('Order', { state: DataTypes.ENUM('new', 'paid', 'shipped', 'cancelled'), placed_at: DataTypes.DATE, note: DataTypes.TEXT }, { tableName: 'orders' });
const Product = db.define('Product', { sku: { type: DataTypes.TEXT, unique: true }, title: DataTypes.TEXT, price: DataTypes.DECIMAL }, { tableName: 'products' });
Customer.hasMany(Order, { foreignKey: 'customer_id', as: 'orders' });
Order.belongsTo(Customer, { foreignKey: 'customer_id', as: 'customer' });
const order = [['id', 'ASC']];

(async () => {
  await step('authenticate', () => db.authenticate());
  await step('findAll', () => Customer.findAll({ order }));
  await step('findByPk, findOne', async () => [await Customer.findByPk(1), await Customer.findOne({ where: { email: 'user2@canary.example' } })]);
  await step('operators', () => Customer.findAll({ attributes: ['id', 'email'], where: { id: { [Op.between]: [2, 30] }, [Op.or]: [{ name: { [Op.iLike]: '%1' } }, { labels: { [Op.contains]: ['l2'] } }], active: { [Op.ne]: false } }, order }));
  await step('JSON operators', () => Customer.findAll({ attributes: ['id'], where: { 'profile.language': 'de', profile: { address: { city: 'City 3' } } }, order }));
  await step('include', () => Customer.findAll({ include: [{ model: Order, as: 'orders', where: { state: 'paid' }, required: false }], where: { id: { [Op.lt]: 4 } }, order: [['id', 'ASC'], ['orders', 'id', 'ASC']] }));
  await step('include, limited', () => Customer.findAll({ include: [{ model: Order, as: 'orders' }], limit: 2, offset: 1, order: [['id', 'ASC'], ['orders', 'id', 'ASC']] }));
  await step('include the parent, separate', async () => [await Order.findAll({ include: 'customer', limit: 3, order }), await Customer.findAll({ include: [{ model: Order, as: 'orders', separate: true, order }], limit: 2, order })]);
  await step('findAndCountAll, count, group', async () => [await Order.findAndCountAll({ limit: 3, order }), await Order.count({ group: 'state' }).then((r) => r.sort((a, b) => (a.state < b.state ? -1 : 1)))]);
  await step('functions', () => Customer.findAll({ attributes: ['id', [db.fn('upper', db.col('email')), 'up'], [db.literal('(SELECT count(*) FROM orders o WHERE o.customer_id = "Customer".id)'), 'n']], limit: 3, order }));
  await step('sum, max', async () => [await Product.sum('price'), await Order.max('id')]);
  await step('create', () => Customer.create({ name: 'S', email: 'user75@canary.example', ssn: '900-45-6075', labels: [], profile: {}, active: true, created_at: new Date(0) }).then((r) => [r.name, r.active]));
  await step('bulkCreate, upserting', () => Product.bulkCreate([{ sku: 'S1', title: 's', price: 1 }, { sku: 'SKU-2', title: 'changed', price: 2 }], { updateOnDuplicate: ['title'], conflictAttributes: ['sku'] }).then((r) => r.map((x) => x.title)));
  await step('findOrCreate', () => Product.findOrCreate({ where: { sku: 'S2' }, defaults: { title: 'made', price: 1 } }).then(([r, made]) => [r.sku, made]), { refused: 'Sequelize makes a PL/pgSQL function for it, and the policy allows no DDL' });
  await step('upsert', () => Product.upsert({ sku: 'S1', title: 'up', price: 3 }).then(([r]) => r.title));
  await step('save writes only what changed', async () => { const one = await Customer.findByPk(4); one.name = 'Changed'; await one.save(); return Customer.findByPk(4); });
  await step('update, increment, destroy', async () => [await Order.update({ note: 'u' }, { where: { id: 4 } }), (await Product.increment('price', { where: { sku: 'S1' } }))[0][1], await Product.destroy({ where: { sku: 'S1' } })]);
  await step('masks written back', () => Customer.update({ name: 'x', ssn: '*****' }, { where: { id: 3 } }), { refused: whole });
  await step('transaction with a lock', () => db.transaction(async (transaction) => Customer.findByPk(1, { transaction, lock: transaction.LOCK.UPDATE })));
  await step('transaction, rolled back', async () => { await db.transaction(async (transaction) => { await Order.update({ note: 'never' }, { where: { id: 2 }, transaction }); throw new Error('no'); }).catch(() => {}); return (await Order.findByPk(2)).note; });
  await step('query with replacements and bind', async () => [await db.query('SELECT id, email FROM customers WHERE id = :id', { replacements: { id: 3 }, type: QueryTypes.SELECT }), await db.query('SELECT id, email FROM customers WHERE id = $id', { bind: { id: 3 }, type: QueryTypes.SELECT })]);
  await step('showAllTables, describeTable, showIndex', async () => [(await db.getQueryInterface().showAllTables()).sort(), await db.getQueryInterface().describeTable('customers'), (await db.getQueryInterface().showIndex('orders')).map((i) => i.name).sort()]);
  await step('foreign keys', async () => await db.getQueryInterface().getForeignKeyReferencesForTable('orders'));
  await step('an error', () => db.query('SELECT title::int FROM products'));
  await db.close();
})();
