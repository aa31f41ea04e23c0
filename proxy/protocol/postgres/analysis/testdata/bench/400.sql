SELECT c.id, c.name, c.email, o.id AS order_id, o.total, o.status, sum(l.quantity::numeric * l.price) AS computed
FROM customers c
JOIN orders o ON o.customer_id = c.id
LEFT JOIN order_lines l ON l.order_id = o.id
WHERE c.region = $1 AND o.status IN ('open', 'paid', 'shipped') AND o.created_at >= now() - interval '30 days'
GROUP BY c.id, c.name, c.email, o.id, o.total, o.status
HAVING sum(l.price) > 100
ORDER BY o.created_at DESC NULLS LAST LIMIT 50
----
WITH recent AS (
  SELECT customer_id, count(*) AS orders, sum(total) AS spent, max(created_at) AS last_at
  FROM orders WHERE created_at > $1 AND status <> 'cancelled' GROUP BY customer_id
)
SELECT c.id, upper(c.name) AS name, coalesce(r.spent, 0) AS spent, r.orders, r.last_at
FROM customers c LEFT JOIN recent r ON r.customer_id = c.id
WHERE c.status = 'active' AND c.name ILIKE $2 AND (r.spent IS NULL OR r.spent < 1000)
ORDER BY r.spent DESC, c.name
----
SELECT p.category, p.name, p.price, (SELECT count(*) FROM order_lines l WHERE l.product_id = p.id) AS sold,
  rank() OVER (PARTITION BY p.category ORDER BY p.price DESC) AS position,
  avg(p.price) OVER (PARTITION BY p.category) AS usual
FROM products p
WHERE p.status = 'listed' AND EXISTS (SELECT 1 FROM order_lines l JOIN orders o ON o.id = l.order_id WHERE l.product_id = p.id AND o.status = 'paid')
ORDER BY p.category, position
----
INSERT INTO orders (id, customer_id, total, status, created_at)
SELECT $1, c.id, sum(l.price), 'open', now()
FROM customers c JOIN orders o ON o.customer_id = c.id JOIN order_lines l ON l.order_id = o.id
WHERE c.id = $2 AND o.status = 'draft' AND l.created_at BETWEEN $3 AND $4
GROUP BY c.id
ON CONFLICT (id) DO UPDATE SET total = excluded.total, status = excluded.status, shipped_at = NULL
RETURNING id, customer_id, total, status
----
UPDATE order_lines l SET price = p.price * CASE WHEN o.total > 1000 THEN 0.9 WHEN o.total > 500 THEN 0.95 ELSE 1.0 END,
  created_at = greatest(l.created_at, now() - interval '1 hour')
FROM products p, orders o
WHERE p.id = l.product_id AND o.id = l.order_id AND o.status = 'open' AND l.id = ANY($1)
  AND p.category NOT IN (SELECT category FROM products WHERE status = 'frozen')
RETURNING l.id, l.order_id, l.price, p.name
----
SELECT "public"."orders"."id", "public"."orders"."customer_id", "public"."orders"."total", "public"."orders"."status", "public"."orders"."created_at", "public"."customers"."id", "public"."customers"."name", "public"."customers"."email" FROM "public"."orders" INNER JOIN "public"."customers" ON ("public"."orders"."customer_id" = "public"."customers"."id") WHERE ("public"."orders"."status" = $1 AND "public"."orders"."total" > $2) LIMIT $3
----
SELECT jsonb_build_object('id', c.id, 'name', c.name, 'city', a.city, 'orders', (
    SELECT jsonb_agg(jsonb_build_object('id', o.id, 'total', o.total) ORDER BY o.created_at)
    FROM orders o WHERE o.customer_id = c.id AND o.status = ANY($2)
  )) AS document
FROM customers c
LEFT JOIN LATERAL (SELECT city, country FROM addresses WHERE customer_id = c.id ORDER BY created_at DESC LIMIT 1) a ON true
WHERE c.id = $1 OR c.notes LIKE '%' || $3 || '%'
