//! Usage: events that a tenant's pipelines send, counted by the hour and by the month.
//!
//! An event is known by its source and the id that it has there, so that sending it again counts nothing.
//! A batch is taken item by item: what is wrong with one keeps none of the others from being counted.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::TenantId;

/// The most events in a batch.
pub const BATCH_MAX: usize = 1_000;
/// The longest source and the longest id, in characters.
pub const NAME_MAX_CHARS: usize = 200;
/// How far an event may be ahead of the server's clock: as much as clocks that nobody looks after differ.
pub const AHEAD_MAX: Duration = Duration::minutes(5);
/// How many days of hours are told at once.
pub const HOURS_MAX_DAYS: i64 = 31;
/// How many months are told at once.
pub const MONTHS_MAX: i32 = 36;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EventType {
    /// A pipeline ran.
    PipelineRun,
    /// Something was deployed.
    Deploy,
}

impl EventType {
    /// Every type.
    pub const ALL: &[Self] = &[Self::PipelineRun, Self::Deploy];

    /// The dimension that it counts in.
    #[must_use]
    pub const fn dimension(self) -> &'static str {
        match self {
            Self::PipelineRun => "pipeline_runs_per_month",
            Self::Deploy => "deploys_per_month",
        }
    }
}

/// How it ended, for whoever reads events on their way. They count alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Outcome {
    /// As it should.
    Succeeded,
    /// Not as it should.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// What sends it, such as `gitlab.example/acme`: 1 to 200 characters, none of them a control character.
    pub source: String,
    /// Its name at the source, such as the run's number: the same. Sent again under the same two, it is not
    /// counted again.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// When it happened (RFC 3339): it counts in this hour and month, in UTC, whenever it arrives.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Whose it is; one of another tenant is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// Events to be counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventBatch {
    /// 1 to 1,000 of them.
    pub events: Vec<Event>,
}

/// What became of a batch: every event of it is in one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventsTaken {
    /// How many were counted.
    pub accepted: usize,
    /// How many were counted before, or are in the batch twice.
    pub duplicates: usize,
    /// Those that were not counted, in the order of the batch.
    pub rejected: Vec<RejectedEvent>,
}

/// An event that was not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RejectedEvent {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// JSON pointer (RFC 6901) into the body, to what is wrong.
    pub pointer: String,
    /// The word that programs compare.
    pub code: RejectedCode,
    /// What is wrong with it and what to do. Never quotes the value.
    pub detail: String,
}

/// Why an event was not counted. Words are never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RejectedCode {
    /// It is not an event: a field is missing, unknown, or not what it must be.
    Invalid,
    /// It is another tenant's.
    OtherTenant,
    /// It has not happened yet.
    InFuture,
    /// It is older than the server counts.
    TooOld,
    /// The month's limit is used up, and the tenant's events are refused then.
    QuotaExceeded,
}

/// How usage is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Granularity {
    /// By the hour.
    #[default]
    Hour,
    /// By the month.
    Month,
}

/// What was counted of a dimension between two times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    /// The tenant.
    pub tenant_id: TenantId,
    /// What is counted: `pipeline_runs_per_month` or `deploys_per_month`.
    pub dimension: String,
    /// What each count is of.
    pub granularity: Granularity,
    /// From the hour or month of this time.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// Until before this time.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// By time. An hour or month without events is left out.
    pub items: Vec<UsageCount>,
}

/// How much was counted in an hour or a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageCount {
    /// When the hour or month begins, in UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub start: OffsetDateTime,
    /// How many events happened in it.
    pub quantity: i64,
}
