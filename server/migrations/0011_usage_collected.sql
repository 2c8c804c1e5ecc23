-- When what a tenant publishes of its usage in its NATS account may be read next: until then a replica is at
-- it, or the account is left alone after `usage_tries` failures.
ALTER TABLE tenant_system
  ADD COLUMN usage_after timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN usage_tries integer NOT NULL DEFAULT 0;
