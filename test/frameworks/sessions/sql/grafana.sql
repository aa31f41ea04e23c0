Grafana's PostgreSQL data source does not run here: this is what it sends, in its own shape (its query builder and metadata queries,
its macros expanded as pkg/tsdb does, alerting, template variables). Times are the range of the dashboard.

-- step: health check
SELECT 1
-- step: version
SELECT current_setting('server_version_num')::int/100 as version
-- step: TimescaleDB
SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'
-- step: schemas
SELECT schema_name AS "name" FROM information_schema.schemata WHERE schema_name NOT IN ('information_schema', 'pg_catalog', 'pg_toast', 'timescaledb_information') ORDER BY schema_name
-- step: tables of the search path
SELECT CASE WHEN quote_ident(table_schema) IN (
    SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
    FROM generate_series(array_lower(string_to_array(current_setting('search_path'), ','), 1), array_upper(string_to_array(current_setting('search_path'), ','), 1)) AS i,
      string_to_array(current_setting('search_path'), ',') s)
  THEN quote_ident(table_name) ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table"
FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog') ORDER BY 1
-- step: columns of a table
SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns
WHERE CASE WHEN array_length(parse_ident('public.customers'), 1) = 2
  THEN quote_ident(table_schema) = (parse_ident('public.customers'))[1] AND quote_ident(table_name) = (parse_ident('public.customers'))[2]
  ELSE quote_ident(table_name) = 'public.customers' END
-- step: columns, old editor
SELECT quote_ident(column_name) FROM information_schema.columns WHERE quote_ident(table_name) = 'measurements' AND data_type IN ('timestamp without time zone', 'timestamp with time zone', 'bigint', 'integer', 'double precision', 'real') ORDER BY 1
-- step: first table with a time column
SELECT quote_ident(table_name) as table_name, (SELECT quote_ident(column_name) as column_name FROM information_schema.columns c WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name AND udt_name IN ('float4', 'float8') ORDER BY 1 LIMIT 1) AS value_column, (SELECT quote_ident(column_name) FROM information_schema.columns c WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name AND udt_name IN ('timestamptz', 'timestamp') ORDER BY 1 LIMIT 1) AS time_column FROM information_schema.tables t WHERE EXISTS (SELECT 1 FROM information_schema.columns c WHERE c.table_schema = t.table_schema AND c.table_name = t.table_name AND udt_name IN ('float4', 'float8')) ORDER BY 1 LIMIT 1
-- step: aggregates of a type
SELECT DISTINCT p.proname FROM pg_aggregate a INNER JOIN pg_proc p ON p.oid = a.aggfnoid INNER JOIN pg_type t ON t.oid = p.prorettype WHERE t.typname = 'float8' ORDER BY 1
-- step: time series, $__timeGroupAlias, $__timeFilter
SELECT floor(extract(epoch from at)/3600)*3600 AS "time", host AS metric, avg(cpu) AS cpu FROM measurements WHERE at BETWEEN '2024-06-01T00:00:00Z' AND '2024-06-03T00:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2
-- step: time series, $__timeGroup with a fill, $__unixEpochFilter
SELECT floor((extract(epoch from at))/600)*600 AS time, sum(requests) AS requests FROM measurements WHERE extract(epoch from at) >= 1717200000 AND extract(epoch from at) <= 1717286400 GROUP BY time ORDER BY time
-- step: $__timeEpoch, $__timeFrom, $__timeTo
SELECT extract(epoch from at) as "time", cpu FROM measurements WHERE at >= '2024-06-01T00:00:00Z' AND at < '2024-06-01T06:00:00Z' AND host IN ('host0', 'host1') ORDER BY at
-- step: window functions of the query builder
SELECT at AS "time", host AS metric, requests - lag(requests) OVER (PARTITION BY host ORDER BY at) AS requests, (CASE WHEN requests >= lag(requests) OVER (PARTITION BY host ORDER BY at) THEN requests - lag(requests) OVER (PARTITION BY host ORDER BY at) WHEN lag(requests) OVER (PARTITION BY host ORDER BY at) IS NULL THEN NULL ELSE requests END) / extract(epoch from at - lag(at) OVER (PARTITION BY host ORDER BY at)) AS rate FROM measurements WHERE at BETWEEN '2024-06-01T00:00:00Z' AND '2024-06-01T04:00:00Z' ORDER BY 1, 2
-- step: percentiles
SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY cpu) AS p95, percentile_disc(0.5) WITHIN GROUP (ORDER BY requests) AS median FROM measurements WHERE at BETWEEN '2024-06-01T00:00:00Z' AND '2024-06-03T00:00:00Z'
-- step: time series of a tagged table, counts alone
SELECT date_trunc('week', created_at) AS "time", country AS metric, count(*) AS "customers" FROM customers WHERE created_at BETWEEN '2024-01-01T00:00:00Z' AND '2024-03-01T00:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2
-- step: a table panel of customers
SELECT id, name, email, ssn, country, created_at FROM customers WHERE created_at BETWEEN '2024-01-01T00:00:00Z' AND '2024-01-10T00:00:00Z' ORDER BY id LIMIT 50
-- step: a stat panel
SELECT count(DISTINCT customer_id) AS value FROM orders WHERE placed_at >= '2024-03-01T00:00:00Z'
-- step: a template variable
SELECT DISTINCT host FROM measurements ORDER BY host
-- step: a template variable with text and value
SELECT name AS __text, id AS __value FROM customers ORDER BY id LIMIT 5
-- step: a template variable of a tagged column
SELECT email AS __text, id AS __value FROM customers ORDER BY id LIMIT 5
-- step: annotations
SELECT extract(epoch from placed_at) AS time, extract(epoch from placed_at + interval '1 hour') AS timeend, note AS text, state::text AS tags FROM orders WHERE placed_at BETWEEN '2024-03-01T00:00:00Z' AND '2024-03-08T00:00:00Z' ORDER BY placed_at
-- step: an alert rule
SELECT at AS time, avg(cpu) OVER (ORDER BY at ROWS BETWEEN 5 PRECEDING AND CURRENT ROW) AS value FROM measurements WHERE at BETWEEN '2024-06-01T00:00:00Z' AND '2024-06-01T05:00:00Z' ORDER BY at
-- step: an alert rule on a count of customers
SELECT count(*) AS value FROM customers WHERE NOT active
-- step: gaps filled with generate_series
SELECT g AS time, coalesce(avg(m.cpu), 0) FROM generate_series('2024-06-01T00:00:00Z'::timestamptz, '2024-06-01T03:00:00Z'::timestamptz, '30m') g LEFT JOIN measurements m ON m.at >= g AND m.at < g + interval '30m' GROUP BY 1 ORDER BY 1
-- step: a join with customers, by country
SELECT c.country AS metric, sum(i.amount * i.price) AS revenue FROM orders o JOIN order_items i ON i.order_id = o.id JOIN customers c ON c.id = o.customer_id WHERE o.placed_at BETWEEN '2024-03-01T00:00:00Z' AND '2024-04-01T00:00:00Z' GROUP BY 1 ORDER BY 2 DESC, 1
