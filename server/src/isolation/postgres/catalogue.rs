//! What the catalogue says of the tables: which there are, and whether the policies are as they were
//! made.
//!
//! Nothing here names a table but `tenant`, so a new one is looked at as soon as it is there. The
//! catalogue, and not a list, is also what says what the tenants' role may do with it.

use sqlx::PgConnection;

/// A table with rows of tenants.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Table {
    /// Its name, quoted where it needs to be.
    pub(super) name: String,
    /// The column that says whose a row is.
    pub(super) owner: String,
    /// Whether the tenants' role may read from it.
    pub(super) may_read: bool,
    /// Whether it may add to it.
    pub(super) may_insert: bool,
    /// Whether it may change it.
    pub(super) may_update: bool,
    /// Whether the platform's role may delete from it.
    pub(super) platform_may_delete: bool,
}

const TABLES: &str = "
    SELECT quote_ident(relname) AS name, CASE relname WHEN 'tenant' THEN 'id' ELSE 'tenant_id' END AS owner,
           has_table_privilege('integraci_tenant', oid, 'SELECT') AS may_read,
           has_table_privilege('integraci_tenant', oid, 'INSERT') AS may_insert,
           has_table_privilege('integraci_tenant', oid, 'UPDATE') AS may_update,
           has_table_privilege('integraci_platform', oid, 'DELETE') AS platform_may_delete
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
      AND (relname = 'tenant' OR EXISTS (SELECT 1 FROM pg_attribute
                                         WHERE attrelid = pg_class.oid AND attname = 'tenant_id' AND NOT attisdropped))
    ORDER BY relname";

/// Every table with rows of tenants, by name.
pub(super) async fn tables(on: &mut PgConnection) -> Result<Vec<Table>, sqlx::Error> {
    sqlx::query_as(TABLES).fetch_all(on).await
}

/// In what a catalogue can differ from what the migrations make: a query that says whether it does, and
/// the words for it.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace
           AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity))",
        "a table is not under forced row-level security",
    ),
    (
        "SELECT EXISTS (SELECT 1 FROM pg_policy
           WHERE polqual IS NULL OR (polcmd <> 'r' AND polwithcheck IS NULL))",
        "a policy does not check what is read or what is written",
    ),
    // What a tenant may see is what names it: the one condition of the migrations, as Postgres tells it.
    (
        "SELECT EXISTS (
           SELECT 1 FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
           CROSS JOIN LATERAL (SELECT format(
             '(%s = ( SELECT (NULLIF(current_setting(''app.tenant_id''::text, true), ''''::text))::uuid AS \"nullif\"))',
             CASE c.relname WHEN 'tenant' THEN 'id' ELSE 'tenant_id' END) AS text) own
           WHERE (p.polroles && ARRAY['integraci_tenant'::regrole::oid, 0::oid])
             AND (pg_get_expr(p.polqual, p.polrelid) IS DISTINCT FROM own.text
               OR pg_get_expr(p.polwithcheck, p.polrelid) IS DISTINCT FROM own.text))",
        "a policy lets a tenant past its own rows",
    ),
    (
        "SELECT EXISTS (SELECT 1 FROM pg_class c
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
             AND has_table_privilege('integraci_tenant', c.oid, 'SELECT')
             AND NOT EXISTS (SELECT 1 FROM pg_policy p
                             WHERE p.polrelid = c.oid AND p.polroles @> ARRAY['integraci_tenant'::regrole::oid]))",
        "a table that tenants use has no policy for them",
    ),
    (
        "SELECT EXISTS (SELECT 1 FROM pg_roles
           WHERE rolname IN ('integraci_tenant', 'integraci_platform', 'integraci_owner')
             AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication))
         OR EXISTS (SELECT 1 FROM pg_auth_members WHERE member IN ('integraci_tenant'::regrole, 'integraci_platform'::regrole))",
        "a role may do more than its policies allow",
    ),
    // A view sees what its owner sees, a security-definer function does what its owner may, and
    // truncation asks no policy.
    (
        "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm', 'f'))
         OR EXISTS (SELECT 1 FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef)
         OR EXISTS (SELECT 1 FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
              AND has_table_privilege('integraci_tenant', c.oid, 'TRUNCATE'))",
        "a view, a function or a privilege leads round the policies",
    ),
];

/// In what the catalogue differs from what the migrations make; empty when in nothing.
pub(super) async fn differences(on: &mut PgConnection) -> Result<Vec<&'static str>, sqlx::Error> {
    let mut found = Vec::new();
    for (query, words) in DIFFERENCES {
        let differs: bool = sqlx::query_scalar(*query).fetch_one(&mut *on).await?;
        if differs {
            found.push(*words);
        }
    }
    Ok(found)
}
