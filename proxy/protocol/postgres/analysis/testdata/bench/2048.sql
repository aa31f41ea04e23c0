SELECT c.id, c.ssn, c.name, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id IN (1, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345, 12345) AND (o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR o.status = 'some text' OR c.name IS NULL)
----
WITH recent AS (
  SELECT o.customer_id, count(*) AS orders, sum(o.total) AS spent, max(o.created_at) AS last_at, min(o.created_at) AS first_at
  FROM orders o WHERE o.created_at > $1 AND o.status <> 'cancelled' AND o.total > 0 GROUP BY o.customer_id
), lines AS (
  SELECT o.customer_id, p.category, sum(l.price * l.quantity::numeric) AS worth, count(DISTINCT p.id) AS products,
    string_agg(DISTINCT p.name, ', ' ORDER BY p.name) AS names
  FROM order_lines l
  JOIN orders o ON o.id = l.order_id
  JOIN products p ON p.id = l.product_id
  WHERE p.status = 'listed' AND o.status IN ('open', 'paid', 'shipped')
  GROUP BY o.customer_id, p.category
), ranked AS (
  SELECT customer_id, category, worth, names, row_number() OVER (PARTITION BY customer_id ORDER BY worth DESC) AS place,
    worth / nullif(sum(worth) OVER (PARTITION BY customer_id), 0) AS share
  FROM lines WHERE worth > 10
)
SELECT c.id, c.name, c.email, c.region, coalesce(r.spent, 0) AS spent, r.orders, r.last_at, x.category AS favourite, x.share, x.names,
  a.city, a.country, CASE WHEN r.spent > 10000 THEN 'gold' WHEN r.spent > 1000 THEN 'silver' ELSE 'plain' END AS class,
  (SELECT count(*) FROM addresses b WHERE b.customer_id = c.id AND b.country <> a.country) AS elsewhere,
  EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.shipped_at IS NULL AND o.created_at < now() - interval '14 days') AS late
FROM customers c
LEFT JOIN recent r ON r.customer_id = c.id
LEFT JOIN ranked x ON x.customer_id = c.id AND x.place = 1
LEFT JOIN LATERAL (SELECT city, country FROM addresses WHERE customer_id = c.id ORDER BY created_at DESC LIMIT 1) a ON true
WHERE c.status = 'active' AND (c.name ILIKE $2 OR c.notes ILIKE $2) AND c.region = ANY($3)
  AND NOT EXISTS (SELECT 1 FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.customer_id = c.id AND l.price < 0)
  AND c.created_at BETWEEN $4 AND $5
ORDER BY r.spent DESC NULLS LAST, c.name, c.id LIMIT 100 OFFSET $6
----
SELECT "orders"."id" AS "t0_id", "orders"."customer_id" AS "t1_customer_id", "orders"."total" AS "t2_total", "orders"."status" AS "t3_status", "orders"."created_at" AS "t4_created_at", "orders"."shipped_at" AS "t5_shipped_at", "customers"."id" AS "t6_id", "customers"."name" AS "t7_name", "customers"."email" AS "t8_email", "customers"."phone" AS "t9_phone", "customers"."region" AS "t10_region", "customers"."status" AS "t11_status", "customers"."created_at" AS "t12_created_at", "order_lines"."id" AS "t13_id", "order_lines"."order_id" AS "t14_order_id", "order_lines"."product_id" AS "t15_product_id", "order_lines"."quantity" AS "t16_quantity", "order_lines"."price" AS "t17_price", "order_lines"."created_at" AS "t18_created_at", "products"."id" AS "t19_id", "products"."name" AS "t20_name", "products"."category" AS "t21_category", "products"."price" AS "t22_price", "products"."status" AS "t23_status", "products"."created_at" AS "t24_created_at", "addresses"."id" AS "t25_id", "addresses"."customer_id" AS "t26_customer_id", "addresses"."street" AS "t27_street", "addresses"."city" AS "t28_city", "addresses"."country" AS "t29_country", "addresses"."created_at" AS "t30_created_at" FROM "orders" INNER JOIN "customers" ON ("orders"."customer_id" = "customers"."id") LEFT OUTER JOIN "order_lines" ON ("order_lines"."order_id" = "orders"."id") LEFT OUTER JOIN "products" ON ("order_lines"."product_id" = "products"."id") LEFT OUTER JOIN "addresses" ON ("addresses"."customer_id" = "customers"."id") WHERE ("orders"."status" IN ($1, $2, $3) AND NOT ("customers"."status" = $4) AND "orders"."created_at" >= $5 AND ("products"."category" IS NULL OR "products"."category" = $6) AND "customers"."id" IN (SELECT U0."customer_id" FROM "addresses" U0 WHERE (U0."country" = $7 AND U0."customer_id" = ("customers"."id")))) ORDER BY "orders"."created_at" DESC, "orders"."id" ASC LIMIT 21
----
SELECT s.source, s.day, s.number, s.total, s.usual, s.most, s.middle, s.distinct_ids, lag(s.total) OVER w AS before, s.total - lag(s.total) OVER w AS more FROM (
SELECT 'orders' AS source, date_trunc('day', t.created_at) AS day, count(*) AS number, sum(t.total) AS total, avg(t.total) AS usual, max(t.total) FILTER (WHERE t.total < 1000) AS most,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY t.total) AS middle, count(DISTINCT t.id) AS distinct_ids
FROM orders t WHERE t.created_at >= $1 AND t.created_at < $2 AND t.total IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 0
UNION ALL
SELECT 'products' AS source, date_trunc('day', t.created_at) AS day, count(*) AS number, sum(t.price) AS total, avg(t.price) AS usual, max(t.price) FILTER (WHERE t.price < 1000) AS most,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY t.price) AS middle, count(DISTINCT t.id) AS distinct_ids
FROM products t WHERE t.created_at >= $1 AND t.created_at < $2 AND t.price IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1
UNION ALL
SELECT 'order_lines' AS source, date_trunc('day', t.created_at) AS day, count(*) AS number, sum(t.price) AS total, avg(t.price) AS usual, max(t.price) FILTER (WHERE t.price < 1000) AS most,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY t.price) AS middle, count(DISTINCT t.id) AS distinct_ids
FROM order_lines t WHERE t.created_at >= $1 AND t.created_at < $2 AND t.price IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 2
UNION ALL
SELECT 'customers' AS source, date_trunc('day', t.created_at) AS day, count(*) AS number, sum(t.balance) AS total, avg(t.balance) AS usual, max(t.balance) FILTER (WHERE t.balance < 1000) AS most,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY t.balance) AS middle, count(DISTINCT t.id) AS distinct_ids
FROM customers t WHERE t.created_at >= $1 AND t.created_at < $2 AND t.balance IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 3
) s WHERE s.day IS NOT NULL AND s.number > 0 WINDOW w AS (PARTITION BY s.source ORDER BY s.day) ORDER BY s.source, s.day
----
INSERT INTO orders (id, customer_id, total, status, created_at) VALUES ($1, $2, $3, $4, now() - interval '0 days'), ($6, $7, $8, $9, now() - interval '1 days'), ($11, $12, $13, $14, now() - interval '2 days'), ($16, $17, $18, $19, now() - interval '3 days'), ($21, $22, $23, $24, now() - interval '4 days'), ($26, $27, $28, $29, now() - interval '5 days'), ($31, $32, $33, $34, now() - interval '6 days'), ($36, $37, $38, $39, now() - interval '7 days'), ($41, $42, $43, $44, now() - interval '8 days'), ($46, $47, $48, $49, now() - interval '9 days'), ($51, $52, $53, $54, now() - interval '10 days'), ($56, $57, $58, $59, now() - interval '11 days'), ($61, $62, $63, $64, now() - interval '12 days'), ($66, $67, $68, $69, now() - interval '13 days'), ($71, $72, $73, $74, now() - interval '14 days'), ($76, $77, $78, $79, now() - interval '15 days'), ($81, $82, $83, $84, now() - interval '16 days'), ($86, $87, $88, $89, now() - interval '17 days'), ($91, $92, $93, $94, now() - interval '18 days'), ($96, $97, $98, $99, now() - interval '19 days'), ($101, $102, $103, $104, now() - interval '20 days'), ($106, $107, $108, $109, now() - interval '21 days'), ($111, $112, $113, $114, now() - interval '22 days'), ($116, $117, $118, $119, now() - interval '23 days'), ($121, $122, $123, $124, now() - interval '24 days'), ($126, $127, $128, $129, now() - interval '25 days'), ($131, $132, $133, $134, now() - interval '26 days'), ($136, $137, $138, $139, now() - interval '27 days'), ($141, $142, $143, $144, now() - interval '28 days'), ($146, $147, $148, $149, now() - interval '29 days'), ($151, $152, $153, $154, now() - interval '30 days'), ($156, $157, $158, $159, now() - interval '31 days'), ($161, $162, $163, $164, now() - interval '32 days'), ($166, $167, $168, $169, now() - interval '33 days') ON CONFLICT (id) DO UPDATE SET total = excluded.total, status = excluded.status RETURNING id, status, total
