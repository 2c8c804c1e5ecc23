-- What is counted, counted exactly.

-- How many secret values of a connector are in force, and how many more the operation that is changing it may
-- put in force: what the connector holds of the quota `secrets`, as used and as reserved.
ALTER TABLE connector
  ADD COLUMN secrets          bigint NOT NULL DEFAULT 0 CHECK (secrets >= 0),
  ADD COLUMN secrets_reserved bigint NOT NULL DEFAULT 0 CHECK (secrets_reserved >= 0);
-- How many values an older secret has is written down nowhere here: one at least. Its next change counts them.
UPDATE connector SET secrets = 1 WHERE secret_version > 0;
INSERT INTO quota (tenant_id, dimension, plan_max, used)
SELECT tenant_id, 'secrets', 0, sum(secrets) FROM connector GROUP BY tenant_id
ON CONFLICT (tenant_id, dimension) DO UPDATE SET used = excluded.used;

-- A tenant's tokens are counted where its quota is read: how many there are, and nothing else of them.
CREATE POLICY tenant ON api_token TO integraci_tenant
  USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
  WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT (tenant_id, expires_at, revoked_at) ON api_token TO integraci_tenant;
CREATE INDEX api_token_tenant ON api_token (tenant_id) WHERE revoked_at IS NULL;
