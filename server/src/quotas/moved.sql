held AS (
  SELECT q.tenant_id, q.dimension, m.used, m.reserved
  FROM quota q JOIN moves m USING (tenant_id, dimension) ORDER BY q.dimension FOR UPDATE OF q),
moved AS (
  UPDATE quota q SET used = q.used + h.used, reserved = q.reserved + h.reserved FROM held h
  WHERE q.tenant_id = h.tenant_id AND q.dimension = h.dimension AND (h.used <> 0 OR h.reserved <> 0))
