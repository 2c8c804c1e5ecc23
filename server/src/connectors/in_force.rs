//! What of a connector is in force: what those who use it go by, and what an operation puts in its
//! place whole.

use integraci_api::connectors::{VerificationStatus, VerifyMode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use sqlx::types::Json;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::verify::{Verified, VerifyError};
use crate::store::StoreError;

/// What an operation puts in force, or finds in force. Holds no secret: a version of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct InForce {
    pub(super) name: String,
    pub(super) config: Map<String, Value>,
    pub(super) verify: VerifyMode,
    pub(super) rotate_every_days: Option<u32>,
    pub(super) secret: SecretInForce,
    /// The version of a secret that a rotation took out of force and that is still kept.
    pub(super) retiring: Option<i64>,
}

/// The secret of a connector; version 0 is that it has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SecretInForce {
    pub(super) version: i64,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) set_at: Option<OffsetDateTime>,
    /// The far side made it, so nobody but the platform has it.
    pub(super) minted: bool,
    /// How many values it has. An operation that began before they were counted does not say: as many as before,
    /// and one at least.
    #[serde(default)]
    pub(super) values: Option<i64>,
}

/// What asking the far side came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Finding {
    pub(super) status: VerificationStatus,
    pub(super) reason: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) expires_at: Option<OffsetDateTime>,
    /// Absent when it was not asked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) checked_at: Option<OffsetDateTime>,
}

impl Finding {
    pub(super) fn of(asked: &Result<Verified, VerifyError>, now: OffsetDateTime) -> Self {
        let (status, expires_at) = match asked {
            Ok(verified) => (VerificationStatus::Verified, verified.expires_at),
            Err(VerifyError::Refused { .. }) => (VerificationStatus::Refused, None),
            Err(VerifyError::Busy { .. } | VerifyError::Unreachable { .. }) => {
                (VerificationStatus::Unreachable, None)
            }
        };
        let reason = asked.as_ref().err().map(|error| {
            let faults = error.faults();
            faults
                .iter()
                .map(|fault| format!("{}: {}", fault.pointer, fault.detail))
                .collect::<Vec<_>>()
                .join("; ")
        });
        Self { status, reason, expires_at, checked_at: Some(now) }
    }

    /// When it was that the far side took everything.
    pub(super) fn verified_at(&self) -> Option<OffsetDateTime> {
        self.checked_at.filter(|_| self.status == VerificationStatus::Verified)
    }
}

/// When the far side is to make the next secret: once the days are over, or when a third of the life of
/// the one in force is left, whichever comes first.
pub(super) fn rotate_after(
    every_days: Option<u32>,
    set_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
) -> Option<OffsetDateTime> {
    let due = set_at.checked_add(Duration::days(every_days?.into()))?;
    Some(expires_at.map_or(due, |expires_at| due.min(set_at + (expires_at - set_at) * 2 / 3)))
}

/// The connector that an operation holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) connector: Uuid,
    pub(super) operation: Uuid,
    pub(super) now: OffsetDateTime,
}

impl Held {
    /// Whether the connector is still this operation's. One that has let it go may be run again by who
    /// does not know, and must then leave alone what others have made of it since.
    pub(super) async fn is_held(self, on: &mut PgConnection) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM connector WHERE id = $1 AND operation_id = $2)")
            .bind(self.connector)
            .bind(self.operation)
            .fetch_one(on)
            .await
            .map_err(StoreError::on("look whose a connector is"))
    }

    /// Writes down what the far side said of what is to be put in force, over what is known of it.
    pub(super) async fn found(self, on: &mut PgConnection, finding: &Finding) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE connector SET pending = coalesce(pending, '{}') || jsonb_strip_nulls($3::jsonb)
             WHERE id = $1 AND operation_id = $2",
        )
        .bind(self.connector)
        .bind(self.operation)
        .bind(Json(finding))
        .execute(on)
        .await
        .map_err(StoreError::on("write down what a far side said"))?;
        Ok(())
    }

    /// Puts this in force, with what the far side said of it; does not let the connector go. What it held of
    /// the quota `secrets` it holds until then, used or reserved: the old secret is still there, and may be
    /// what is put back. (Of `connectors` nothing moves: it is locked first, as it is moved next.)
    pub(super) async fn put(self, on: &mut PgConnection, wanted: &InForce) -> Result<(), StoreError> {
        let known: Option<(Option<Json<Finding>>, i64, Option<OffsetDateTime>)> = sqlx::query_as(
            "SELECT pending, secret_version, secret_expires_at FROM connector WHERE id = $1 AND operation_id = $2",
        )
        .bind(self.connector)
        .bind(self.operation)
        .fetch_optional(&mut *on)
        .await
        .map_err(StoreError::on("read what a far side said"))?;
        let Some((pending, old_version, old_expiry)) = known else { return Ok(()) };
        let mut finding = pending.map(|finding| finding.0).unwrap_or_default();
        let secret = wanted.secret;
        if secret.version == old_version {
            // A far side that was not asked, or did not say, has not taken it back.
            finding.expires_at = finding.expires_at.or(old_expiry);
        }
        let due = secret.set_at.and_then(|at| rotate_after(wanted.rotate_every_days, at, finding.expires_at));
        sqlx::query(concat!(
            "WITH before AS (
               SELECT id, tenant_id, secrets, secrets_reserved,
                 coalesce($17, CASE WHEN $7 = 0 THEN 0 ELSE greatest(1, secrets) END) AS next_secrets
               FROM connector WHERE id = $1 AND operation_id = $2 FOR NO KEY UPDATE),
             after AS (
               UPDATE connector c SET name = $3, config = $4, verify = $5, rotate_every_days = $6,
               secret_version = $7, secret_set_at = $8, secret_minted = $9, secret_drifted = false,
               secret_expires_at = $10, verification_status = $11, verification_reason = $12,
               last_checked_at = coalesce($13, last_checked_at), last_verified_at = coalesce($14, last_verified_at),
               check_after = NULL, check_failures = 0, rotate_after = $15, updated_at = $16, secrets = next_secrets,
               secrets_reserved = greatest(0, before.secrets + before.secrets_reserved - next_secrets)
               FROM before WHERE c.id = before.id RETURNING c.id, c.secrets, c.secrets_reserved),
             moves (tenant_id, dimension, used, reserved) AS (
               SELECT tenant_id, 'connectors', 0, 0 FROM before
               UNION ALL SELECT before.tenant_id, 'secrets', after.secrets - before.secrets,
                 after.secrets_reserved - before.secrets_reserved
               FROM before JOIN after USING (id)), ",
            include_str!("../quotas/moved.sql"),
            "SELECT 1",
        ))
        .bind(self.connector)
        .bind(self.operation)
        .bind(&wanted.name)
        .bind(Json(&wanted.config))
        .bind(wanted.verify.as_str())
        .bind(wanted.rotate_every_days.and_then(|days| i32::try_from(days).ok()))
        .bind(secret.version)
        .bind(secret.set_at)
        .bind(secret.minted)
        .bind(finding.expires_at)
        .bind(finding.status.as_str())
        .bind(&finding.reason)
        .bind(finding.checked_at)
        .bind(finding.verified_at())
        .bind(due)
        .bind(self.now)
        .bind(secret.values)
        .execute(on)
        .await
        .map_err(StoreError::on("put a connector in force"))?;
        Ok(())
    }

    /// Forgets what was found: it is of something that is not put in force.
    pub(super) async fn forget_found(self, on: &mut PgConnection) -> Result<(), StoreError> {
        sqlx::query("UPDATE connector SET pending = NULL WHERE id = $1 AND operation_id = $2")
            .bind(self.connector)
            .bind(self.operation)
            .execute(on)
            .await
            .map_err(StoreError::on("forget what a far side said"))?;
        Ok(())
    }

    /// Ends the operation's hold on the connector, which is in use from now on: what was reserved for it is
    /// used, or given back. Says its name and kind if the operation still held it.
    pub(super) async fn let_go(self, on: &mut PgConnection) -> Result<Option<(String, String)>, StoreError> {
        sqlx::query_as(concat!(
            "WITH before AS (
               SELECT id, tenant_id, (status = 'installing')::int AS making, secrets_reserved FROM connector
               WHERE id = $1 AND operation_id = $2
               FOR NO KEY UPDATE),
             after AS (
               UPDATE connector c SET status = 'active', operation_id = NULL, pending = NULL, revision = revision + 1,
                 updated_at = $3, secrets_reserved = 0
               FROM before WHERE c.id = before.id RETURNING c.id, name, kind),
             moves (tenant_id, dimension, used, reserved) AS (
               SELECT tenant_id, 'connectors', making, -making FROM before
               UNION ALL SELECT tenant_id, 'secrets', 0, -secrets_reserved FROM before), ",
            include_str!("../quotas/moved.sql"),
            "SELECT name, kind FROM after",
        ))
        .bind(self.connector)
        .bind(self.operation)
        .bind(self.now)
        .fetch_optional(on)
        .await
        .map_err(StoreError::on("let a connector go"))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_secret_is_rotated_by_its_days_or_before_it_expires() {
        let set_at = datetime!(2026-11-01 00:00 UTC);
        assert_eq!(rotate_after(None, set_at, None), None);
        assert_eq!(rotate_after(Some(30), set_at, None), Some(datetime!(2026-12-01 00:00 UTC)));
        let soon = Some(datetime!(2026-11-04 00:00 UTC));
        assert_eq!(rotate_after(Some(30), set_at, soon), Some(datetime!(2026-11-03 00:00 UTC)));
        let late = Some(datetime!(2027-11-04 00:00 UTC));
        assert_eq!(rotate_after(Some(30), set_at, late), Some(datetime!(2026-12-01 00:00 UTC)));
    }

    #[test]
    fn a_finding_says_why_and_where() {
        let now = datetime!(2026-11-01 00:00 UTC);
        let refused = Finding::of(&Err(VerifyError::refused("/secrets/token", "it is expired")), now);
        assert_eq!(refused.status, VerificationStatus::Refused);
        assert_eq!(refused.reason.as_deref(), Some("/secrets/token: it is expired"));
        assert_eq!(refused.verified_at(), None);
        let verified = Finding::of(&Ok(Verified::default()), now);
        assert_eq!((verified.reason.clone(), verified.verified_at()), (None, Some(now)));
    }
}
