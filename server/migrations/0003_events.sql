-- What is to be told to a tenant of what became of it: written in the transaction of the change, and
-- removed once the stream in the tenant's NATS account has it. Only tenants that have such an account
-- have rows here. Of a tenant's events each is told after those of lower `position`.
CREATE TABLE event_outbox (
  id        uuid PRIMARY KEY,
  tenant_id uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  position  bigint GENERATED ALWAYS AS IDENTITY,
  kind      text NOT NULL,
  object_id text NOT NULL,
  facts     jsonb NOT NULL,
  at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX event_outbox_order ON event_outbox (tenant_id, position);

-- When the tenant's events may be told next: until then a replica is at it, or NATS is left alone after
-- `events_tries` failures.
ALTER TABLE tenant_system
  ADD COLUMN events_after timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN events_tries integer NOT NULL DEFAULT 0;

ALTER TABLE event_outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON event_outbox TO integraci_platform USING (true) WITH CHECK (true);
CREATE POLICY owner ON event_outbox TO integraci_owner USING (true) WITH CHECK (true);
CREATE POLICY tenant ON event_outbox TO integraci_tenant
  USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))
  WITH CHECK (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
GRANT SELECT, INSERT, DELETE ON event_outbox TO integraci_platform;
GRANT INSERT ON event_outbox TO integraci_tenant;
