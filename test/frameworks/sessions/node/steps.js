// How a session tells its steps: one line of JSON for each, with the answer or the error.
'use strict';

function plain(value) {
  if (value === undefined || value === null) return null;
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object') {
    if (value.constructor && /Decimal/.test(value.constructor.name)) return value.toString();
    if (typeof value.toJSON === 'function') return plain(value.toJSON());
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
  }
  return value;
}

function tell(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

// step runs a step. masked is the answer to expect through the proxy where it does not follow from the direct one; refused says why the
// proxy must refuse it.
async function step(name, work, more = {}) {
  try {
    const answer = plain(await work());
    tell({ step: name, answer, ...more });
  } catch (error) {
    // Every error is an answer: the proxy must give the same.
    const cause = error.cause?.originalCode ?? error.parent?.code ?? error.driverError?.code ?? error.cause?.code ?? error.code ?? '';
    const message = error.message.trim().split('\n').pop();
    tell({ step: name, error: `${error.constructor.name} ${cause}: ${message}`, ...more });
  }
}

const login = {
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT),
  user: process.env.PGUSER,
  password: process.env.PGPASSWORD || undefined,
  database: process.env.PGDATABASE,
  ssl: false,
};

const whole = 'a masked placeholder must not be written back';

module.exports = { step, login, whole };
