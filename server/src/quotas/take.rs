//! Taking: how what is counted gets its place in a quota, and gives it back.
//!
//! **[`Holds::Taken`]**: a row that is counted says itself how much it holds, as used and as reserved. The one
//! statement that changes this moves the quota by as much, so nothing depends on who runs it, or how often: a
//! step that comes a second time finds the row as it left it, and moves nothing.
//!
//! - A statement that makes a row hold more begins `WITH wanted (tenant_id, dimension, n) AS (…),`, goes on with
//!   `room.sql`, and does its own work `FROM room WHERE for_all`. What it takes is reserved: a saga is still making
//!   it. This is the only place where `used + reserved` grows, and it grows under the lock of the quota's rows,
//!   of all dimensions or of none. Where nothing was done, [`exceeded`] says why.
//! - Every other statement ends with `moves (tenant_id, dimension, used, reserved) AS (…),`, made from the row before
//!   and after, and `moved.sql`: what was reserved is used, or given back.
//!
//! Rows of one quota are locked in the order of their dimensions, after the tenant and the counted row; a
//! transaction that moves them more than once names all of them the first time, with moves of 0. While it holds
//! them it may write an event down ([`emit`]), whose foreign keys lock the tenant's connectors FOR KEY SHARE: so
//! nobody locks a connector harder than FOR NO KEY UPDATE before a quota's rows, but who removes it or gives it
//! another name. One that is being removed is told nothing, and of two that do meet after all the database undoes
//! one, which is tried again.
//!
//! **[`Holds::Counted`]**: what ends by itself with time (API tokens) is counted when another is made, by whoever has
//! locked the quota's row with [`counted_limit`].
//!
//! [`emit`]: crate::events::emit
//! [`Holds::Taken`]: integraci_api::quotas::Holds::Taken
//! [`Holds::Counted`]: integraci_api::quotas::Holds::Counted

use integraci_api::{Problem, ProblemCode, TenantId};

use crate::error::Error;
use crate::store::{StoreError, Tx};

/// How a dimension stands when something was not given.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Full {
    pub(crate) dimension: String,
    pub(crate) limit: i64,
    pub(crate) used: i64,
    pub(crate) reserved: i64,
    /// How many more were wanted.
    pub(crate) wanted: i64,
}

impl Full {
    fn words(&self) -> String {
        let Self { dimension, limit, used, reserved, wanted } = self;
        let mut words = format!("the tenant may have {limit} {dimension} and {} are in use", used + reserved);
        if *reserved > 0 {
            words += &format!(", {reserved} of them for what is still being made");
        }
        if *wanted > 1 {
            words += &format!(", where {wanted} more are wanted");
        }
        words
    }
}

/// What to say where there was no room for so many of these dimensions.
///
/// # Errors
/// The store's.
pub(crate) async fn exceeded(
    tx: &mut impl Tx,
    tenant: TenantId,
    wanted: &[(&str, i64)],
) -> Result<Error, StoreError> {
    let (names, numbers): (Vec<&str>, Vec<i64>) = wanted.iter().copied().unzip();
    let full: Vec<Full> = sqlx::query_as(
        "SELECT dimension, coalesce(own_max, plan_max, 0) AS limit, coalesce(used, 0) AS used,
                coalesce(reserved, 0) AS reserved, w.n AS wanted
         FROM unnest($2::text[], $3::bigint[]) AS w (dimension, n)
         LEFT JOIN (SELECT * FROM quota WHERE tenant_id = $1) q USING (dimension)
         WHERE w.n > 0 AND coalesce(used + reserved, 0) + w.n > coalesce(own_max, plan_max, 0)
         ORDER BY dimension",
    )
    .bind(tenant.uuid())
    .bind(&names)
    .bind(&numbers)
    .fetch_all(tx.conn())
    .await
    .map_err(StoreError::on("read a quota"))?;
    Ok(refusal(&full))
}

/// The refusal of what these dimensions have no room for.
pub(crate) fn refusal(full: &[Full]) -> Error {
    let facts: Vec<_> = full.iter().map(Full::words).collect();
    let names: Vec<_> = full.iter().map(|it| format!("`{}`", it.dimension)).collect();
    // A token stays on the list; what counts is that it is in force.
    let only_tokens = full.iter().all(|it| it.dimension == "api_tokens");
    let remedy = if only_tokens { "revoke one" } else { "remove one" };
    let detail = format!(
        "{}; {}, raise the tenant's quota {}, or move it to a larger plan",
        facts.join(", and "),
        remedy,
        names.join(" and ")
    );
    Problem::new(ProblemCode::QuotaExceeded, detail).into()
}

/// The limit of a dimension whose things are counted. Nobody else makes one of them until the transaction
/// ends. 0 where the tenant has no such limit.
///
/// # Errors
/// The store's.
pub(crate) async fn counted_limit(
    tx: &mut impl Tx,
    tenant: TenantId,
    dimension: &str,
) -> Result<i64, StoreError> {
    let limit: Option<i64> = sqlx::query_scalar(
        "SELECT coalesce(own_max, plan_max) FROM quota WHERE tenant_id = $1 AND dimension = $2 FOR UPDATE",
    )
    .bind(tenant.uuid())
    .bind(dimension)
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::on("lock a quota"))?;
    Ok(limit.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_there_is_and_what_to_do() {
        let full = |used, reserved, wanted| Full {
            dimension: "secrets".to_owned(),
            limit: 6,
            used,
            reserved,
            wanted,
        };
        let text = |full: &[Full]| match refusal(full) {
            Error::Refused(problem) => problem.detail,
            other => other.to_string(),
        };
        assert_eq!(
            text(&[full(6, 0, 1)]),
            "the tenant may have 6 secrets and 6 are in use; remove one, raise the tenant's quota `secrets`, or move \
             it to a larger plan"
        );
        let tokens = text(&[Full { dimension: "api_tokens".to_owned(), ..full(6, 0, 1) }]);
        assert!(tokens.contains("6 are in use; revoke one, raise"), "{tokens}");
        let busy = text(&[full(4, 1, 2)]);
        assert!(
            busy.contains("5 are in use, 1 of them for what is still being made, where 2 more are wanted;"),
            "{busy}"
        );
    }
}
