-- Connectors that are verified again and again, rotated, and told things by their far sides.

-- `pending` is what the operation under way found of what it is to put in force. `verification_*` are
-- of what is in force. `check_after` is when the far side is asked next; null: it was not asked yet.
-- `secret_minted` says that the far side made the secret, so that nobody else has it. `retiring_version` is
-- the secret that a rotation took out of force, kept until `retire_at`, and `retire_config` the configuration
-- that it was good with.
ALTER TABLE connector
  ADD COLUMN verify              text NOT NULL DEFAULT 'required' CHECK (verify IN ('required', 'optional', 'off')),
  ADD COLUMN verification_status text NOT NULL DEFAULT 'unverified'
    CHECK (verification_status IN ('unverified', 'verified', 'refused', 'unreachable')),
  ADD COLUMN verification_reason text,
  ADD COLUMN last_checked_at     timestamptz,
  ADD COLUMN check_after         timestamptz,
  ADD COLUMN check_failures      integer NOT NULL DEFAULT 0,
  ADD COLUMN pending             jsonb,
  ADD COLUMN secret_expires_at   timestamptz,
  ADD COLUMN secret_drifted      boolean NOT NULL DEFAULT false,
  ADD COLUMN secret_minted       boolean NOT NULL DEFAULT false,
  ADD COLUMN rotate_every_days   integer CHECK (rotate_every_days BETWEEN 1 AND 365),
  ADD COLUMN rotate_after        timestamptz,
  ADD COLUMN retiring_version    bigint,
  ADD COLUMN retire_at           timestamptz,
  ADD COLUMN retire_revokes      boolean NOT NULL DEFAULT false,
  ADD COLUMN retire_config       jsonb;
UPDATE connector SET verification_status = 'verified', last_checked_at = last_verified_at
  WHERE last_verified_at IS NOT NULL;
CREATE INDEX connector_check ON connector (check_after NULLS FIRST) WHERE status = 'active';
CREATE INDEX connector_rotate ON connector (rotate_after) WHERE rotate_after IS NOT NULL;
CREATE INDEX connector_retire ON connector (retire_at) WHERE retire_at IS NOT NULL;

-- What a far side sent to a connector's address, counted by the hour. `kind` is the far side's own word
-- for what happened, as far as we know it.
CREATE TABLE inbound_count (
  tenant_id    uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  connector_id uuid NOT NULL REFERENCES connector (id) ON DELETE CASCADE,
  hour         timestamptz NOT NULL,
  kind         text NOT NULL,
  events       bigint NOT NULL,
  PRIMARY KEY (connector_id, hour, kind)
);
CREATE INDEX inbound_count_tenant ON inbound_count (tenant_id);

-- The deliveries that were taken, by a digest of what the far side calls them and, where that is not
-- signed, one of the signature, so that none is taken twice. Forgotten when no far side sends one that old any more.
CREATE TABLE inbound_delivery (
  tenant_id    uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  connector_id uuid NOT NULL REFERENCES connector (id) ON DELETE CASCADE,
  delivery     bytea NOT NULL,
  received_at  timestamptz NOT NULL,
  PRIMARY KEY (connector_id, delivery)
);
CREATE INDEX inbound_delivery_old ON inbound_delivery (received_at);
CREATE INDEX inbound_delivery_tenant ON inbound_delivery (tenant_id);

-- Events that a webhook is still to be told of, each until its receiver has answered or enough was tried.
CREATE TABLE webhook_outbox (
  event_id     uuid NOT NULL,
  connector_id uuid NOT NULL REFERENCES connector (id) ON DELETE CASCADE,
  tenant_id    uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  kind         text NOT NULL,
  object_id    text NOT NULL,
  facts        jsonb NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  tries        integer NOT NULL DEFAULT 0,
  try_after    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (event_id, connector_id)
);
CREATE INDEX webhook_outbox_due ON webhook_outbox (try_after);
CREATE INDEX webhook_outbox_connector ON webhook_outbox (connector_id);
CREATE INDEX webhook_outbox_tenant ON webhook_outbox (tenant_id);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['inbound_count', 'inbound_delivery', 'webhook_outbox'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY platform ON %I TO integraci_platform USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY owner ON %I TO integraci_owner USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY tenant ON %I TO integraci_tenant'
      ' USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))'
      ' WITH CHECK (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', name);
  END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON inbound_count TO integraci_tenant;
GRANT SELECT, INSERT ON inbound_delivery TO integraci_tenant;
GRANT SELECT, DELETE ON inbound_count TO integraci_platform;
GRANT SELECT, DELETE ON inbound_delivery TO integraci_platform;
GRANT INSERT ON webhook_outbox TO integraci_tenant;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_outbox TO integraci_platform;
