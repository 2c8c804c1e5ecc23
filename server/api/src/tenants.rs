//! Tenants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::isolation::TenantIsolation;
use crate::{FieldProblem, OperationId, Slug, TenantId};

/// The longest display name, in characters.
pub const NAME_MAX_CHARS: usize = 120;
/// The most labels on a tenant: they are for people and bills, not a database.
pub const LABELS_MAX: usize = 32;
/// The longest label key and value, in characters.
pub const LABEL_MAX_CHARS: usize = 63;

/// Where a tenant is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TenantStatus {
    /// Its places in the systems are being made.
    Creating,
    /// In use.
    Active,
    /// Its places are being removed.
    Deleting,
}

impl TenantStatus {
    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Deleting => "deleting",
        }
    }
}

/// A tenant as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tenant {
    /// Stable identifier.
    pub id: TenantId,
    /// DNS label that every system's name is derived from; never changes, never given out again.
    pub slug: Slug,
    /// Name for people.
    pub name: String,
    /// The plan, which sets the default limits.
    pub plan: String,
    /// Who answers for the tenant.
    pub owner_email: String,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// While true, a deletion is refused.
    pub delete_protection: bool,
    /// A suspended tenant keeps everything and may change nothing.
    pub suspended: bool,
    /// Whether its bill is not paid, which closes it as suspending does. Nobody sets it: it follows from
    /// what the payment provider tells.
    #[serde(default)]
    pub payment_overdue: bool,
    /// Where it is in its life.
    pub status: TenantStatus,
    /// What the tenant is called in each system.
    pub names: TenantNames,
    /// How its place in each system is.
    pub isolation: TenantIsolation,
    /// The operation that is bringing its places to what they should be, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// Counts changes; the ETag is this number in quotes.
    pub revision: i64,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl Tenant {
    /// Whether it is closed: it keeps everything and may change nothing.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.suspended || self.payment_overdue
    }
}

/// The names derived from a slug, one a system. They never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TenantNames {
    /// OpenBao namespace, below the platform's own.
    pub openbao_namespace: String,
    /// Keycloak realm.
    pub keycloak_realm: String,
    /// NATS account name.
    pub nats_account: String,
    /// NATS subject prefix, without the trailing `.>`.
    pub nats_subject_prefix: String,
    /// Kubernetes namespace.
    pub kubernetes_namespace: String,
}

impl TenantNames {
    /// The names of a slug.
    #[must_use]
    pub fn of(slug: &Slug) -> Self {
        Self {
            openbao_namespace: format!("tenant-{slug}"),
            keycloak_realm: format!("tenant-{slug}"),
            nats_account: format!("tenant-{slug}"),
            nats_subject_prefix: format!("tenant.{slug}"),
            kubernetes_namespace: format!("tenant-{slug}"),
        }
    }
}

/// Asks for a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TenantCreate {
    /// See [`Slug`]. Text here, so that a malformed one is told at its pointer with the others.
    pub slug: String,
    /// Name for people, 1 to 120 characters.
    pub name: String,
    /// One of the server's plans.
    pub plan: String,
    /// Who answers for the tenant.
    pub owner_email: String,
    /// Free labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// While true, a deletion is refused; true when absent.
    #[serde(default = "yes")]
    pub delete_protection: bool,
}

/// Changes a tenant; what is absent stays. `labels` replaces all labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TenantUpdate {
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// One of the server's plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Who answers for the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_email: Option<String>,
    /// Free labels, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// While true, a deletion is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_protection: Option<bool>,
    /// Suspends or resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
}

/// Narrows a list of tenants.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct TenantFilter {
    /// Only the tenant with this slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// Only tenants of this plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Only suspended ones, or only others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// Only tenants with this label, as `key=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

const fn yes() -> bool {
    true
}

impl TenantCreate {
    /// Every fault of the request that needs no look at the store. The plan is the server's to know.
    ///
    /// # Errors
    /// All faults, each with its pointer.
    pub fn check(&self) -> Result<Slug, Vec<FieldProblem>> {
        let mut faults = Vec::new();
        let slug = self
            .slug
            .parse::<Slug>()
            .map_err(|error| faults.push(FieldProblem::new("/slug", error.to_string())));
        check_name(&self.name, &mut faults);
        check_email(&self.owner_email, &mut faults);
        check_labels(&self.labels, &mut faults);
        match slug {
            Ok(slug) if faults.is_empty() => Ok(slug),
            _ => Err(faults),
        }
    }
}

impl TenantUpdate {
    /// Every fault of the request that needs no look at the store.
    ///
    /// # Errors
    /// All faults, each with its pointer.
    pub fn check(&self) -> Result<(), Vec<FieldProblem>> {
        let mut faults = Vec::new();
        if let Some(name) = &self.name {
            check_name(name, &mut faults);
        }
        if let Some(email) = &self.owner_email {
            check_email(email, &mut faults);
        }
        if let Some(labels) = &self.labels {
            check_labels(labels, &mut faults);
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// Whether a text can be a display name.
///
/// # Errors
/// What is wrong and what to do.
pub fn name_check(name: &str) -> Result<(), String> {
    let chars = name.chars().count();
    if name.trim() != name || chars == 0 || chars > NAME_MAX_CHARS || name.chars().any(char::is_control) {
        return Err(format!(
            "a name has 1 to {NAME_MAX_CHARS} characters, no control characters, and no space at either end"
        ));
    }
    Ok(())
}

/// Whether a text can be an address to write to: one `@`, something on both sides, no spaces.
/// Whether it is somebody's is only known by writing to it.
///
/// # Errors
/// What is wrong and what to do.
pub fn email_check(email: &str) -> Result<(), String> {
    let sides = email.split_once('@');
    let fits = email.len() <= 254
        && !email.chars().any(|c| c.is_whitespace() || c.is_control())
        && sides.is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.contains('@') && domain.split('.').all(|label| !label.is_empty())
        });
    if fits { Ok(()) } else { Err("expected an email address such as it@acme.example".to_owned()) }
}

/// Whether a key and a value can be a label.
///
/// # Errors
/// What is wrong and what to do.
pub fn label_check(key: &str, value: &str) -> Result<(), String> {
    let key_fits = !key.is_empty()
        && key.len() <= LABEL_MAX_CHARS
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/'));
    if !key_fits {
        return Err("a label's key has 1 to 63 letters, digits, `_`, `-`, `.` or `/`".to_owned());
    }
    if value.chars().count() > LABEL_MAX_CHARS || value.chars().any(char::is_control) {
        return Err("a label's value has at most 63 characters and no control characters".to_owned());
    }
    Ok(())
}

fn check_name(name: &str, faults: &mut Vec<FieldProblem>) {
    faults.extend(name_check(name).err().map(|detail| FieldProblem::new("/name", detail)));
}

fn check_email(email: &str, faults: &mut Vec<FieldProblem>) {
    faults.extend(email_check(email).err().map(|detail| FieldProblem::new("/owner_email", detail)));
}

fn check_labels(labels: &BTreeMap<String, String>, faults: &mut Vec<FieldProblem>) {
    if labels.len() > LABELS_MAX {
        faults.push(FieldProblem::new("/labels", format!("a tenant has at most {LABELS_MAX} labels")));
    }
    for (key, value) in labels {
        if let Err(detail) = label_check(key, value) {
            faults.push(FieldProblem::new(format!("/labels/{}", pointer_escape(key)), detail));
        }
    }
}

/// Escapes one reference token of a JSON pointer (RFC 6901, section 3).
#[must_use]
pub fn pointer_escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> TenantCreate {
        TenantCreate {
            slug: "acme".into(),
            name: "Acme Ltd".into(),
            plan: "team".into(),
            owner_email: "it@acme.example".into(),
            labels: BTreeMap::new(),
            delete_protection: true,
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let mut all_wrong = wanted();
        all_wrong.slug = "Acme".into();
        all_wrong.name = String::new();
        all_wrong.owner_email = "nobody".into();
        all_wrong.labels.insert("a b/c".into(), "x".into());
        let pointers: Vec<_> =
            all_wrong.check().unwrap_err().into_iter().map(|fault| fault.pointer).collect();
        assert_eq!(pointers, ["/slug", "/name", "/owner_email", "/labels/a b~1c"]);
        assert!(wanted().check().is_ok());
    }

    #[test]
    fn delete_protection_is_on_unless_said_otherwise() {
        let json = r#"{"slug":"acme","name":"Acme","plan":"team","owner_email":"it@acme.example"}"#;
        assert!(serde_json::from_str::<TenantCreate>(json).unwrap().delete_protection);
    }
}
