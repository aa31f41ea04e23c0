-- A small shop. Its sensitive values (see canaries.go) occur nowhere else, so that the demo can look for them in all that
-- comes out.
CREATE TABLE customers (
    id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name  text NOT NULL,
    email text NOT NULL,
    phone text NOT NULL,
    ssn   text NOT NULL,
    born  date NOT NULL
);
INSERT INTO customers (name, email, phone, ssn, born) VALUES
    ('Ada Lovelace',      'ada.lovelace@example.org',    '+44 20 7946 0101', '078-05-1120', '1815-12-10'),
    ('Grace Hopper',      'grace.hopper@example.com',    '+1 202 555 0117',  '219-09-9999', '1906-12-09'),
    ('Katherine Johnson', 'katherine.johnson@example.net', '+1 304 555 0142', '457-55-5462', '1918-08-26');

CREATE TABLE orders (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    item        text NOT NULL,
    total       numeric(10, 2) NOT NULL,
    placed      date NOT NULL
);
INSERT INTO orders (customer_id, item, total, placed)
SELECT 1 + n % 3, (ARRAY['lamp', 'desk', 'chair', 'clock'])[1 + n % 4], 10 + (n * 37) % 490 + 0.50, DATE '2026-01-01' + n % 300
FROM generate_series(0, 2499) AS n;

CREATE TABLE payouts (
    id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    week   date NOT NULL,
    amount numeric(10, 2) NOT NULL
);
INSERT INTO payouts (week, amount) VALUES ('2026-11-02', 1200.00), ('2026-11-09', 980.50), ('2026-11-16', 1431.25);

-- The role that only the proxy logs in as. PostgreSQL itself would let it run programs on the server: in this demo it is
-- the policy that says no.
CREATE ROLE shop_reader LOGIN;
GRANT SELECT ON customers, orders, payouts TO shop_reader;
GRANT pg_execute_server_program TO shop_reader;
ANALYZE;
