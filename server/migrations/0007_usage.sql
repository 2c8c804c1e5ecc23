-- Metering: events that tenants' pipelines send, each counted once, and what they add up to.

-- The events that were counted, so that none is counted twice. Forgotten when one that old is not taken
-- any more; the tenant's row is not referred to, for that would be looked up for every event, and a tenant
-- may have so many that they cannot be removed with it in one statement: `tenant_delete` removes them before.
CREATE TABLE usage_event (
  tenant_id uuid NOT NULL,
  source    text NOT NULL,
  id        text NOT NULL,
  dimension text NOT NULL,
  at        timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, source, id)
);
CREATE INDEX usage_event_old ON usage_event (at);

-- How many events happened in an hour, and in a month, in UTC: written in the transaction that writes the
-- events. `told` is the highest share of the month's limit, in percent, that the tenant was told of.
CREATE TABLE usage_hour (
  tenant_id uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  dimension text NOT NULL,
  hour      timestamptz NOT NULL,
  quantity  bigint NOT NULL CHECK (quantity >= 0),
  PRIMARY KEY (tenant_id, dimension, hour)
);
CREATE TABLE usage_month (
  tenant_id uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  dimension text NOT NULL,
  month     timestamptz NOT NULL,
  quantity  bigint NOT NULL CHECK (quantity >= 0),
  told      smallint NOT NULL DEFAULT 0 CHECK (told IN (0, 80, 100)),
  PRIMARY KEY (tenant_id, dimension, month)
);

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['usage_event', 'usage_hour', 'usage_month'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY platform ON %I TO integraci_platform USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY owner ON %I TO integraci_owner USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY tenant ON %I TO integraci_tenant'
      ' USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))'
      ' WITH CHECK (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', name);
  END LOOP;
END $$;
GRANT SELECT, INSERT ON usage_event TO integraci_tenant;
GRANT SELECT, INSERT, UPDATE ON usage_hour, usage_month TO integraci_tenant;
GRANT SELECT, DELETE ON usage_event TO integraci_platform;
GRANT SELECT ON usage_hour, usage_month TO integraci_platform;
