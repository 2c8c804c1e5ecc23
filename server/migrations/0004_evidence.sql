-- Evidence: what a tenant's isolation was found to be, and what was lent out of its places.

-- While somebody makes an attestation of the tenant: one at a time.
ALTER TABLE tenant ADD COLUMN attesting_until timestamptz;

-- An attestation. `payload` is what was signed, byte for byte. Nobody may change or remove one; they go
-- with the tenant.
CREATE TABLE attestation (
  id        uuid PRIMARY KEY,
  tenant_id uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  issued_at timestamptz NOT NULL,
  passed    boolean NOT NULL,
  payload   text NOT NULL,
  kid       text NOT NULL,
  signature bytea NOT NULL
);
CREATE INDEX attestation_newest ON attestation (tenant_id, id DESC);

-- A credential that was given to somebody for the tenant's place in a system; its secrets are kept
-- nowhere. The row is there before the system is asked, so that whatever was half made is found and
-- revoked. `handle` is what the system calls it. `sweep_after` is when it is to be revoked, if that could
-- not be done before.
CREATE TABLE credential (
  id              uuid PRIMARY KEY,
  tenant_id       uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  system          text NOT NULL CHECK (system IN ('openbao', 'keycloak', 'nats', 'kubernetes')),
  cell            text NOT NULL,
  state           text NOT NULL CHECK (state IN ('issuing', 'active', 'revoked')),
  handle          text,
  fields          jsonb NOT NULL DEFAULT '{}',
  created_at      timestamptz NOT NULL,
  expires_at      timestamptz NOT NULL,
  renewable_until timestamptz NOT NULL,
  sweep_after     timestamptz
);
CREATE INDEX credential_live ON credential (expires_at) WHERE state <> 'revoked';
CREATE INDEX credential_tenant ON credential (tenant_id);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['attestation', 'credential'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY platform ON %I TO integraci_platform USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY owner ON %I TO integraci_owner USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY tenant ON %I TO integraci_tenant'
      ' USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))'
      ' WITH CHECK (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', name);
  END LOOP;
END $$;
GRANT SELECT, INSERT ON attestation TO integraci_tenant;
GRANT SELECT ON attestation TO integraci_platform;
GRANT SELECT, INSERT, UPDATE ON credential TO integraci_tenant;
GRANT SELECT, UPDATE, DELETE ON credential TO integraci_platform;
