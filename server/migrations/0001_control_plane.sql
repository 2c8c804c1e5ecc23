-- The control plane's tables. Run as `integraci_owner`, which owns them and logs in nowhere.
--
-- Two login roles work here. `integraci_tenant` sees the rows of the tenant that the transaction
-- names in `app.tenant_id`, and no others, whatever its WHERE clause says; `integraci_platform` has
-- policies of its own for the platform's own work. Every table is under row-level security with
-- FORCE, so that not even its owner reads past the policies. After COMMIT the setting is '' and not
-- NULL, hence nullif; the subselect lets the planner evaluate it once a statement.

CREATE TABLE tenant (
  id                uuid PRIMARY KEY,
  slug              text NOT NULL UNIQUE,
  name              text NOT NULL,
  plan              text NOT NULL,
  owner_email       text NOT NULL,
  labels            jsonb NOT NULL DEFAULT '{}',
  delete_protection boolean NOT NULL,
  suspended         boolean NOT NULL DEFAULT false,
  status            text NOT NULL CHECK (status IN ('creating', 'active', 'deleting')),
  revision          bigint NOT NULL DEFAULT 1,
  quota_revision    bigint NOT NULL DEFAULT 0,
  quota_updated_at  timestamptz,
  first_used_at     timestamptz,
  created_at        timestamptz NOT NULL,
  updated_at        timestamptz NOT NULL
);

-- A slug that was ever in use is never given out again: names in far systems and in people's
-- records would come to mean somebody else. In use: something was made in the tenant, or changed of
-- it (tenant.first_used_at). One that was only half made, or made and taken back, is free again.
CREATE TABLE slug_retired (
  slug       text PRIMARY KEY,
  tenant_id  uuid NOT NULL,
  retired_at timestamptz NOT NULL
);

-- One row a tenant and dimension. `used` is taken and given back in the statement that inserts or
-- deletes what is counted; the effective limit is own_max where it is set, else the plan's.
CREATE TABLE quota (
  tenant_id uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  dimension text NOT NULL,
  plan_max  bigint NOT NULL CHECK (plan_max >= 0),
  own_max   bigint CHECK (own_max >= 0),
  used      bigint NOT NULL DEFAULT 0 CHECK (used >= 0),
  PRIMARY KEY (tenant_id, dimension)
);

-- A connector. Its secret is in OpenBao; here are an opaque reference and the version in force.
-- `operation_id` is the operation that is changing it: at most one at a time.
CREATE TABLE connector (
  id               uuid PRIMARY KEY,
  tenant_id        uuid NOT NULL REFERENCES tenant (id),
  name             text NOT NULL,
  kind             text NOT NULL,
  config           jsonb NOT NULL,
  secret_ref       text NOT NULL,
  secret_version   bigint NOT NULL DEFAULT 0,
  secret_set_at    timestamptz,
  status           text NOT NULL CHECK (status IN ('installing', 'active', 'updating', 'deleting')),
  last_verified_at timestamptz,
  operation_id     uuid,
  revision         bigint NOT NULL DEFAULT 1,
  created_at       timestamptz NOT NULL,
  updated_at       timestamptz NOT NULL,
  UNIQUE (tenant_id, id),
  UNIQUE (tenant_id, name)
);

-- Long work: one saga each. `input` never holds a secret. A row is worked on by the replica that
-- holds its lease; every write of the runner is fenced by `epoch`, which each new holder raises.
CREATE TABLE operation (
  id          uuid PRIMARY KEY,
  tenant_id   uuid NOT NULL,
  kind        text NOT NULL,
  target_id   text NOT NULL,
  state       text NOT NULL CHECK (state IN ('running', 'undoing', 'succeeded', 'failed', 'stuck')),
  input       jsonb NOT NULL,
  error       jsonb,
  revision    bigint NOT NULL DEFAULT 1,
  epoch       bigint NOT NULL DEFAULT 0,
  lease_owner text,
  lease_until timestamptz NOT NULL,
  created_at  timestamptz NOT NULL,
  finished_at timestamptz,
  UNIQUE (tenant_id, id)
);
CREATE INDEX operation_claimable ON operation (lease_until) WHERE state IN ('running', 'undoing');

CREATE TABLE operation_step (
  operation_id uuid NOT NULL,
  tenant_id    uuid NOT NULL,
  n            integer NOT NULL,
  name         text NOT NULL,
  state        text NOT NULL CHECK (state IN ('waiting', 'started', 'done', 'undoing', 'undone', 'failed')),
  attempts     integer NOT NULL DEFAULT 0,
  not_before   timestamptz,
  error        text,
  PRIMARY KEY (operation_id, n),
  FOREIGN KEY (tenant_id, operation_id) REFERENCES operation (tenant_id, id) ON DELETE CASCADE
);

-- Tokens are kept as SHA-256 of the value: 256 random bits need no stretching.
CREATE TABLE api_token (
  id           uuid PRIMARY KEY,
  tenant_id    uuid REFERENCES tenant (id) ON DELETE CASCADE,
  name         text NOT NULL,
  hash         bytea NOT NULL UNIQUE,
  scopes       text[] NOT NULL,
  created_at   timestamptz NOT NULL,
  expires_at   timestamptz,
  last_used_at timestamptz,
  revoked_at   timestamptz
);

-- The answer to a POST, written in the transaction of its effect. `fingerprint` covers the request
-- without its secrets. tenant_id is null for what the platform itself was asked.
CREATE TABLE idempotency_key (
  token_id    uuid NOT NULL,
  key         text NOT NULL,
  tenant_id   uuid,
  fingerprint bytea NOT NULL,
  body        jsonb NOT NULL,
  created_at  timestamptz NOT NULL,
  PRIMARY KEY (token_id, key)
);
CREATE INDEX idempotency_key_age ON idempotency_key (created_at);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['tenant', 'slug_retired', 'quota', 'connector', 'operation', 'operation_step',
                              'api_token', 'idempotency_key', '_sqlx_migrations'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
  END LOOP;
  FOREACH name IN ARRAY ARRAY['tenant', 'slug_retired', 'quota', 'connector', 'operation', 'operation_step',
                              'api_token', 'idempotency_key'] LOOP
    EXECUTE format('CREATE POLICY platform ON %I TO integraci_platform USING (true) WITH CHECK (true)', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO integraci_platform', name);
  END LOOP;
  FOREACH name IN ARRAY ARRAY['quota', 'connector', 'operation', 'operation_step', 'idempotency_key'] LOOP
    EXECUTE format('CREATE POLICY tenant ON %I TO integraci_tenant'
      ' USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))'
      ' WITH CHECK (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', name);
  END LOOP;
END $$;

CREATE POLICY tenant ON tenant TO integraci_tenant
  USING (id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
  WITH CHECK (id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
-- Foreign keys are checked, and cascades run, as the owner, who is under FORCE as well.
CREATE POLICY owner ON tenant TO integraci_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON operation TO integraci_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON quota TO integraci_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON operation_step TO integraci_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON api_token TO integraci_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON connector TO integraci_owner USING (true) WITH CHECK (true);
CREATE POLICY owner ON _sqlx_migrations TO integraci_owner USING (true) WITH CHECK (true);
-- The server says at start whether the schema is the one it was built for.
CREATE POLICY platform ON _sqlx_migrations FOR SELECT TO integraci_platform USING (true);
GRANT SELECT ON _sqlx_migrations TO integraci_platform;

GRANT SELECT, UPDATE ON tenant TO integraci_tenant;
GRANT SELECT, UPDATE ON quota TO integraci_tenant;
GRANT SELECT, INSERT, UPDATE ON connector, operation, operation_step TO integraci_tenant;
GRANT SELECT, INSERT ON idempotency_key TO integraci_tenant;
