-- Quotas by plan, in every dimension.

-- `reserved` is what a saga is still making: it becomes `used` when that is done, and is given back when it
-- fails. What is taken is checked against both.
ALTER TABLE quota ADD COLUMN reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0);
UPDATE quota SET used = used - making.n, reserved = making.n
FROM (SELECT tenant_id, count(*) AS n FROM connector WHERE status = 'installing' GROUP BY tenant_id) making
WHERE quota.tenant_id = making.tenant_id AND quota.dimension = 'connectors';

-- What becomes of events past a month's limit: as the plan has it, unless the tenant has its own.
ALTER TABLE tenant
  ADD COLUMN plan_on_exceed text NOT NULL DEFAULT 'allow' CHECK (plan_on_exceed IN ('allow', 'refuse')),
  ADD COLUMN own_on_exceed  text CHECK (own_on_exceed IN ('allow', 'refuse'));
