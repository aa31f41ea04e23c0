-- The same database with other secrets of the same shape, in the same physical order: what a client is sent must not depend on
-- which of the two it asks.
UPDATE customers SET
  ssn = lpad((200 + id % 5)::text, 3, '0') || '-46-' || lpad((7300 - id)::text, 4, '0'),
  card_number = '42222222' || lpad((900 - id)::text, 8, '0'),
  email = 'resu' || (300 - id) || '@secret.example';
UPDATE api_keys SET secret = 'sk_secret_' || md5((1000 - id)::text);
SELECT lo_unlink(16444);
SELECT lo_from_bytea(16444, convert_to(string_agg(ssn, ','), 'UTF8')) FROM customers;
VACUUM FULL customers;
VACUUM FULL api_keys;
ANALYZE;
