-- Counts events of the tenant $1: what is not known yet, as far as it fits. $2 to $5 are the events, a list a
-- column, and $6 is now. Whoever runs this holds the tenant's row.
WITH sent AS (
  SELECT *, date_trunc('hour', at, 'UTC') AS hour, date_trunc('month', at, 'UTC') AS month
  FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[]) WITH ORDINALITY AS e (source, id, dimension, at, n)
), fresh AS (
  SELECT sent.*, row_number() OVER (PARTITION BY dimension, month ORDER BY n) AS nth
  FROM sent
  LEFT JOIN LATERAL (
    -- One, so that each is looked up by its key. Without, all events of the tenant may be read for a batch.
    SELECT true AS is_there FROM usage_event e
    WHERE e.tenant_id = $1 AND e.source = sent.source AND e.id = sent.id LIMIT 1
  ) known ON true
  WHERE is_there IS NULL
), counter AS MATERIALIZED (
  SELECT f.dimension, f.month, coalesce(q.own_max, q.plan_max) AS max, coalesce(m.quantity, 0) AS before,
         coalesce(m.told, 0::smallint) AS told, coalesce(t.own_on_exceed, t.plan_on_exceed) = 'refuse' AS refuses
  FROM (SELECT DISTINCT dimension, month FROM fresh) f
  JOIN tenant t ON t.id = $1
  LEFT JOIN quota q ON q.tenant_id = $1 AND q.dimension = f.dimension
  LEFT JOIN usage_month m ON m.tenant_id = $1 AND m.dimension = f.dimension AND m.month = f.month
), judged AS MATERIALIZED (
  SELECT fresh.*, max, before, told, max IS NULL OR NOT refuses OR before + nth <= max AS fits
  FROM fresh JOIN counter USING (dimension, month)
), events AS (
  INSERT INTO usage_event (tenant_id, source, id, dimension, at) SELECT $1, source, id, dimension, at FROM judged WHERE fits
), hours AS (
  INSERT INTO usage_hour AS h (tenant_id, dimension, hour, quantity)
  SELECT $1, dimension, hour, count(*) FROM judged WHERE fits GROUP BY dimension, hour
  ON CONFLICT (tenant_id, dimension, hour) DO UPDATE SET quantity = h.quantity + excluded.quantity
), used AS (
  UPDATE tenant SET first_used_at = $6 WHERE id = $1 AND first_used_at IS NULL AND EXISTS (SELECT FROM judged WHERE fits)
)
SELECT dimension, month, max, before, told, count(*) FILTER (WHERE fits) AS quantity,
       coalesce(array_agg(n) FILTER (WHERE NOT fits), '{}') AS refused
FROM judged GROUP BY dimension, month, max, before, told
