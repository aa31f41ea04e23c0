-- The shop that every session works with, except for those whose framework makes its tables itself. Tagged columns: customers.email
-- and .ssn (Redact), .card_number (Partial, the last four), .credit_limit (Redact, a number), api_keys.secret (Redact).
CREATE TYPE order_state AS ENUM ('new', 'paid', 'shipped', 'cancelled');
CREATE DOMAIN quantity AS integer CHECK (VALUE > 0);

CREATE TABLE customers (
  id serial PRIMARY KEY,
  name text NOT NULL,
  email varchar(120) NOT NULL UNIQUE,
  ssn text,
  card_number varchar(19),
  credit_limit numeric(12, 2),
  country char(2) NOT NULL DEFAULT 'NL',
  labels text[] NOT NULL DEFAULT '{}',
  profile jsonb NOT NULL DEFAULT '{}',
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT '2024-01-01 00:00:00+00'
);
COMMENT ON TABLE customers IS 'who buys';
COMMENT ON COLUMN customers.name IS 'as on the letter box';
CREATE INDEX customers_name ON customers (lower(name));

CREATE TABLE products (
  id serial PRIMARY KEY,
  sku text NOT NULL UNIQUE,
  title text NOT NULL,
  price numeric(10, 2) NOT NULL CHECK (price >= 0),
  attributes jsonb NOT NULL DEFAULT '{}',
  search tsvector GENERATED ALWAYS AS (to_tsvector('simple', title)) STORED
);
CREATE INDEX products_search ON products USING gin (search);

CREATE TABLE orders (
  id bigserial PRIMARY KEY,
  customer_id integer NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
  state order_state NOT NULL DEFAULT 'new',
  placed_at timestamptz NOT NULL,
  note text,
  token uuid
);
CREATE INDEX orders_customer ON orders (customer_id, placed_at DESC);

CREATE TABLE order_items (
  order_id bigint NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
  line integer NOT NULL,
  product_id integer NOT NULL REFERENCES products (id),
  amount quantity NOT NULL,
  price numeric(10, 2) NOT NULL,
  PRIMARY KEY (order_id, line)
);

CREATE TABLE api_keys (id serial PRIMARY KEY, customer_id integer REFERENCES customers (id), secret text NOT NULL, scope text);

CREATE TABLE measurements (at timestamptz NOT NULL, host text NOT NULL, cpu double precision, requests bigint) PARTITION BY RANGE (at);
CREATE TABLE measurements_2024 PARTITION OF measurements FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE measurements_2025 PARTITION OF measurements FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');

CREATE TABLE audit (id serial PRIMARY KEY, happened timestamptz NOT NULL DEFAULT '2024-01-01', what text);

CREATE VIEW customer_orders AS
  SELECT c.id, c.name, c.email, count(o.id) AS orders FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id;
CREATE MATERIALIZED VIEW daily AS SELECT date_trunc('day', placed_at) AS day, count(*) AS orders FROM orders GROUP BY 1;
CREATE FUNCTION order_total(of_order bigint) RETURNS numeric LANGUAGE sql STABLE AS
  $$ SELECT coalesce(sum(amount * price), 0) FROM order_items WHERE order_id = of_order $$;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := coalesce(NEW.note, 'none'); RETURN NEW; END $$;
CREATE TRIGGER orders_stamp BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION stamp();

INSERT INTO customers (name, email, ssn, card_number, credit_limit, country, labels, profile, active, created_at)
  SELECT 'Customer ' || i, 'user' || i || '@canary.example', (900 + i % 7) || '-45-' || (6000 + i), '41111111' || lpad(i::text, 8, '0'),
    7770000 + i + 0.25, (ARRAY['NL', 'DE', 'FR', 'PT'])[1 + i % 4], ARRAY['l' || i % 3, 'all'],
    jsonb_build_object('language', (ARRAY['nl', 'de'])[1 + i % 2], 'visits', i, 'address', jsonb_build_object('city', 'City ' || i % 5)),
    i % 5 <> 0, timestamptz '2024-01-01 00:00:00+00' + i * interval '1 day'
  FROM generate_series(1, 40) i;
INSERT INTO products (sku, title, price, attributes)
  SELECT 'SKU-' || i, (ARRAY['red', 'green', 'blue'])[1 + i % 3] || ' thing ' || i, i * 1.5, jsonb_build_object('weight', i, 'colors', ARRAY['a', 'b'])
  FROM generate_series(1, 12) i;
INSERT INTO orders (customer_id, state, placed_at, note, token)
  SELECT 1 + i % 40, (ARRAY['new', 'paid', 'shipped', 'cancelled'])[1 + i % 4]::order_state, timestamptz '2024-03-01 10:00:00+00' + i * interval '5 hours',
    CASE WHEN i % 3 = 0 THEN 'note ' || i END, md5(i::text)::uuid
  FROM generate_series(1, 120) i;
INSERT INTO order_items SELECT o, l, 1 + (o + l) % 12, 1 + l, 2.5 * l FROM generate_series(1, 120) o, generate_series(1, 3) l;
INSERT INTO api_keys (customer_id, secret, scope) SELECT i, 'sk_canary_' || md5(i::text), 'read' FROM generate_series(1, 10) i;
INSERT INTO measurements
  SELECT timestamptz '2024-06-01 00:00:00+00' + i * interval '10 minutes', 'host' || i % 3, (i * 37 % 100)::double precision / 2, i * 11 FROM generate_series(1, 300) i;
INSERT INTO audit (what) SELECT 'event ' || i FROM generate_series(1, 5) i;
REFRESH MATERIALIZED VIEW daily;
