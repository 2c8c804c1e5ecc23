-- The bill: what a payment provider (Stripe) is told of tenants and their use, and what it tells us.

-- `payment_overdue`: the bill was not paid. It stands beside `suspended`, which is the platform's own wish
-- and stays as it was set. Whatever keeps a tenant out reads `closed`.
ALTER TABLE tenant
  ADD COLUMN payment_overdue boolean NOT NULL DEFAULT false,
  ADD COLUMN closed          boolean NOT NULL GENERATED ALWAYS AS (suspended OR payment_overdue) STORED;

-- A tenant's customer and subscription. `operation_id` is the operation that is bringing both to what the
-- tenant is to have: at most one at a time. `revision` counts the changes to that, `settled_revision` is
-- the one that Stripe was last brought to. `prices` are the subscription's, the recurring one first.
-- `asked_at` is when Stripe was first asked for the customer that it has not yet answered with.
-- `bills_from`: use before this hour is not the subscription's. `look_after` is when the subscription is
-- to be looked at next.
CREATE TABLE billing_account (
  tenant_id        uuid PRIMARY KEY REFERENCES tenant (id) ON DELETE CASCADE,
  customer         text UNIQUE,
  subscription     text,
  prices           text[] NOT NULL DEFAULT '{}',
  status           text,
  asked_at         timestamptz,
  bills_from       timestamptz,
  operation_id     uuid,
  revision         bigint NOT NULL DEFAULT 1,
  settled_revision bigint NOT NULL DEFAULT 0,
  looked_at        timestamptz,
  look_after       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX billing_account_look ON billing_account (look_after) WHERE subscription IS NOT NULL;

-- How much of an hour's use was handed over, and in how many parts.
ALTER TABLE usage_hour
  ADD COLUMN billed bigint NOT NULL DEFAULT 0 CHECK (billed >= 0),
  ADD COLUMN bills  integer NOT NULL DEFAULT 0;
CREATE INDEX usage_hour_unbilled ON usage_hour (hour) WHERE quantity > billed;

-- What Stripe is to be told, each until it has it or takes it no more. What it is told has the name
-- `tenant-dimension-hour-n`, which does not change. `doubt_since`: since when there is a try of which no
-- answer was heard.
CREATE TABLE meter_outbox (
  tenant_id   uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  dimension   text NOT NULL,
  hour        timestamptz NOT NULL,
  n           integer NOT NULL,
  event_name  text NOT NULL,
  quantity    bigint NOT NULL CHECK (quantity > 0),
  state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'expired')),
  tries       integer NOT NULL DEFAULT 0,
  try_after   timestamptz NOT NULL,
  doubt_since timestamptz,
  PRIMARY KEY (tenant_id, dimension, hour, n)
);
CREATE INDEX meter_outbox_due ON meter_outbox (tenant_id, try_after) WHERE state = 'waiting';

-- The events that Stripe sent, so that none is taken twice.
CREATE TABLE stripe_event (
  id          text PRIMARY KEY,
  received_at timestamptz NOT NULL
);
CREATE INDEX stripe_event_age ON stripe_event (received_at);

-- What was used on a day, and what Stripe has of it. Not made yet while `made_at` is null. `make_after` is
-- when it is to be made next; null: it is final.
CREATE TABLE statement (
  tenant_id  uuid NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,
  day        date NOT NULL,
  lines      jsonb NOT NULL DEFAULT '[]',
  revision   bigint NOT NULL DEFAULT 0,
  made_at    timestamptz,
  make_after timestamptz,
  PRIMARY KEY (tenant_id, day)
);
CREATE INDEX statement_due ON statement (make_after) WHERE make_after IS NOT NULL;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['billing_account', 'meter_outbox', 'stripe_event', 'statement'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY platform ON %I TO integraci_platform USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY owner ON %I TO integraci_owner USING (true) WITH CHECK (true)', name);
  END LOOP;
  FOREACH name IN ARRAY ARRAY['billing_account', 'meter_outbox', 'statement'] LOOP
    EXECUTE format('CREATE POLICY tenant ON %I TO integraci_tenant'
      ' USING (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))'
      ' WITH CHECK (tenant_id = (SELECT nullif(current_setting(''app.tenant_id'', true), '''')::uuid))', name);
  END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON billing_account TO integraci_platform;
GRANT SELECT, INSERT, UPDATE ON meter_outbox, statement TO integraci_platform;
GRANT SELECT, INSERT, DELETE ON stripe_event TO integraci_platform;
GRANT SELECT, UPDATE (billed, bills) ON usage_hour TO integraci_platform;
-- A change of the tenant's plan or name enqueues the operation that tells Stripe.
GRANT SELECT, INSERT (tenant_id), UPDATE (revision, operation_id) ON billing_account TO integraci_tenant;
GRANT SELECT ON statement TO integraci_tenant;
