-- The database of the quickstart in the README: two tables of a small shop, and the role that the proxy logs in as.
CREATE TABLE customers (
    id    integer PRIMARY KEY,
    name  text NOT NULL,
    email text NOT NULL,
    ssn   text NOT NULL
);
INSERT INTO customers VALUES
    (1, 'Ada',       'ada@example.org',       '078-05-1120'),
    (2, 'Grace',     'grace@example.com',     '219-09-9999'),
    (3, 'Katherine', 'katherine@example.net', '457-55-5462');

CREATE TABLE orders (
    id          integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    total       numeric(10, 2) NOT NULL
);
INSERT INTO orders SELECT n, 1 + n % 3, 10 + n % 90 FROM generate_series(1, 500) AS n;

CREATE ROLE shop_reader LOGIN PASSWORD 'only-the-proxy-knows';
GRANT SELECT ON customers, orders TO shop_reader;
