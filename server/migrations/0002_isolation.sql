-- A tenant's place in each system beside this database.

-- `operation_id` is the operation that is making or mending the tenant's places: at most one at a time.
-- `spec_revision` counts the changes to what the places are to be; an operation that ends finds by it
-- whether there is more to do. A canary is a tenant of the platform's own, which the attestations of
-- others try to reach; nobody sees it.
ALTER TABLE tenant
  ADD COLUMN operation_id  uuid,
  ADD COLUMN spec_revision bigint NOT NULL DEFAULT 1,
  ADD COLUMN canary        boolean NOT NULL DEFAULT false;

-- One row a tenant and system that is on. `cell` is the instance of the system that the tenant lives in.
-- `facts` are what the API shows of the place, `drift` in what it was found to differ; neither is secret.
CREATE TABLE tenant_system (
  tenant_id  uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  system     text NOT NULL CHECK (system IN ('openbao', 'keycloak', 'nats', 'kubernetes')),
  cell       text NOT NULL,
  state      text NOT NULL CHECK (state IN ('pending', 'ready', 'suspended', 'drifted', 'unknown')),
  facts      jsonb NOT NULL DEFAULT '{}',
  drift      jsonb NOT NULL DEFAULT '[]',
  checked_at timestamptz,
  -- Which of the tenant's changes the place was last brought to.
  spec_revision bigint NOT NULL DEFAULT 0,
  -- When the reconciler is to look next; null: it has not looked yet.
  check_after timestamptz,
  PRIMARY KEY (tenant_id, system)
);
CREATE INDEX tenant_system_cell ON tenant_system (system, cell);
CREATE INDEX tenant_system_due ON tenant_system (check_after);

ALTER TABLE tenant_system ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_system FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON tenant_system TO integraci_platform USING (true) WITH CHECK (true);
CREATE POLICY owner ON tenant_system TO integraci_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON tenant_system TO integraci_tenant
  USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
  WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_system TO integraci_platform;
GRANT SELECT, UPDATE ON tenant_system TO integraci_tenant;

-- Tenants that were made before have a place in OpenBao.
INSERT INTO tenant_system (tenant_id, system, cell, state, spec_revision)
SELECT id, 'openbao', 'main', CASE status WHEN 'active' THEN 'ready' ELSE 'pending' END, 1 FROM tenant;
