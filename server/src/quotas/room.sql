asked AS (
  SELECT q.tenant_id, q.dimension, w.n, q.used + q.reserved + w.n <= coalesce(q.own_max, q.plan_max) AS fits
  FROM quota q JOIN wanted w USING (tenant_id, dimension)
  WHERE w.n > 0 ORDER BY q.dimension FOR UPDATE OF q),
room AS (
  SELECT count(*) FILTER (WHERE fits) = (SELECT count(*) FROM wanted WHERE n > 0) AS for_all FROM asked),
taken AS (
  UPDATE quota q SET reserved = q.reserved + a.n FROM asked a, room
  WHERE room.for_all AND q.tenant_id = a.tenant_id AND q.dimension = a.dimension)
