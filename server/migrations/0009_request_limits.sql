-- How many requests were given out, by window and by whose they are: a token's id, or a tenant's. `lease` is
-- what the last replica to ask was given. The platform's own bookkeeping: tenants have no part in it, and a
-- row lives for minutes. It may be lost, so it costs no write-ahead log: after a crash of the database a window
-- begins anew.
CREATE UNLOGGED TABLE request_window (
  subject uuid NOT NULL,
  starts  timestamptz NOT NULL,
  granted bigint NOT NULL CHECK (granted >= 0),
  lease   bigint NOT NULL CHECK (lease >= 0),
  PRIMARY KEY (subject, starts)
);

ALTER TABLE request_window ENABLE ROW LEVEL SECURITY;
ALTER TABLE request_window FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON request_window TO integraci_platform USING (true) WITH CHECK (true);
CREATE POLICY owner ON request_window TO integraci_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON request_window TO integraci_platform;
