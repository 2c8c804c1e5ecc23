//! What far sides send to connectors' addresses: counted by the hour, and nothing of it kept.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The longest span that is told at once, in days.
pub const SPAN_MAX_DAYS: i64 = 7;
/// The word for events whose kind the far side does not say in a word of its own, or whose word is
/// none: lower-case letters, digits, `.`, `_`, `:` and `-`, at most 64.
pub const OTHER: &str = "other";

/// The events of a connector between two times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InboundEvents {
    /// From the hour of this time.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// Until before this time.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// By hour, and within it by kind. An hour without events is left out.
    pub items: Vec<InboundCount>,
}

/// How many events of a kind came in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InboundCount {
    /// When the hour begins.
    #[serde(with = "time::serde::rfc3339")]
    pub hour: OffsetDateTime,
    /// The far side's own word for what happened, in lower case; `other` where it has none.
    pub kind: String,
    /// How many; a delivery that came again is not counted again.
    pub events: i64,
}
