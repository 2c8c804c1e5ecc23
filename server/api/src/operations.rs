//! Operations: long work that a request started.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{FieldProblem, OperationId, ProblemCode, TenantId};

/// The longest a request may hold the line, in seconds: under the minute at which proxies give up.
pub const WAIT_MAX_S: u32 = 30;

/// What an operation does. Words are never renamed: they are in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OperationKind {
    /// Makes a tenant's places, or leaves nothing.
    TenantCreate,
    /// Brings a tenant's places to what they should be: after it was suspended or resumed, or when one
    /// was found to differ; only goes forward.
    TenantUpdate,
    /// Removes a tenant and its places; only goes forward.
    TenantDelete,
    /// Stores a connector's secret, verifies and puts it in force, or leaves nothing.
    ConnectorCreate,
    /// Verifies a change and puts it in force, or leaves what was.
    ConnectorUpdate,
    /// Destroys a connector's secret and removes it; only goes forward, once the secret is revoked where
    /// that is asked for.
    ConnectorDelete,
    /// Verifies a new secret and puts it in force beside the old one, or leaves what was.
    ConnectorRotate,
    /// Destroys the secret that a rotation took out of force; only goes forward.
    ConnectorRetire,
    /// Brings a tenant's customer and subscription at Stripe to what its plan says; only goes forward, and
    /// waits for Stripe for as long as that is away.
    BillingUpdate,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::TenantCreate,
        Self::TenantUpdate,
        Self::TenantDelete,
        Self::ConnectorCreate,
        Self::ConnectorUpdate,
        Self::ConnectorDelete,
        Self::ConnectorRotate,
        Self::ConnectorRetire,
        Self::BillingUpdate,
    ];

    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantCreate => "tenant_create",
            Self::TenantUpdate => "tenant_update",
            Self::TenantDelete => "tenant_delete",
            Self::ConnectorCreate => "connector_create",
            Self::ConnectorUpdate => "connector_update",
            Self::ConnectorDelete => "connector_delete",
            Self::ConnectorRotate => "connector_rotate",
            Self::ConnectorRetire => "connector_retire",
            Self::BillingUpdate => "billing_update",
        }
    }
}

/// Where an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OperationState {
    /// Under way, or waiting for a replica to take it up.
    Running,
    /// It failed and what it did is being undone.
    Undoing,
    /// Done.
    Succeeded,
    /// Failed, and nothing of it is left; `error` says why.
    Failed,
    /// An undo, or a step that can only go forward, keeps failing; an operator must look.
    Stuck,
}

impl OperationState {
    /// Whether nothing more will happen by itself.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Stuck)
    }

    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Undoing => "undoing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stuck => "stuck",
        }
    }
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Its intent is written; its effect may or may not have happened.
    Started,
    /// Its effect is in place.
    Done,
    /// Its undo's intent is written.
    Undoing,
    /// Its effect is gone again.
    Undone,
    /// It was refused, or its retries ran out.
    Failed,
}

impl StepState {
    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Started => "started",
            Self::Done => "done",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::Failed => "failed",
        }
    }
}

/// An operation as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Operation {
    /// Stable identifier.
    pub id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// The tenant it is about.
    pub tenant_id: TenantId,
    /// The id of the object it makes, changes or removes.
    pub target_id: String,
    /// Where it is.
    pub state: OperationState,
    /// Its steps, in the order in which they are declared.
    pub steps: Vec<OperationStep>,
    /// Why it failed or is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
    /// Counts changes; give it as `seen` to wait for the next one.
    pub revision: i64,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it settled.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<OffsetDateTime>,
}

/// One step of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationStep {
    /// The step's name, such as `openbao_namespace`.
    pub name: String,
    /// Where it is.
    pub state: StepState,
    /// How often it was begun.
    pub attempts: i32,
    /// Why it last failed, in words for people; absent when it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why an operation failed: the same words as a problem's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationError {
    /// The stable word that programs compare.
    pub code: ProblemCode,
    /// What went wrong and what to do.
    pub detail: String,
    /// The step that failed.
    pub step: String,
    /// The fields of the request at fault, where it was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// How long to hold the line.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct OperationWait {
    /// Answer when the operation changes or settles, or after this many seconds (at most 30).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_s: Option<u32>,
    /// The `revision` last seen: a newer one is answered at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<i64>,
}
