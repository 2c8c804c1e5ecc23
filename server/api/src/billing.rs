//! The bill: how a tenant stands with the payment provider, and what of its use was told there.

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

use crate::{OperationId, TenantId};

/// How a tenant stands with Stripe. Where the platform does not use it, or the plan costs nothing, only
/// the tenant and `payment_overdue` are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Billing {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Stripe's id of the customer, `cus_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Stripe's id of the subscription, `sub_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Stripe's word for how the subscription is, such as `active` or `past_due`, when it was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The recurring price that the subscription was brought to, `price_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// Whether the tenant is closed because its bill was not paid.
    pub payment_overdue: bool,
    /// The operation that brings customer and subscription to what the tenant's plan says, while there is
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// When Stripe was last asked for the subscription.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<OffsetDateTime>,
}

/// What was used on one day (UTC), and what Stripe has of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Statement {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The day, such as `2026-01-31`.
    #[serde(with = "day")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub day: Date,
    /// A line for each metered dimension.
    pub lines: Vec<StatementLine>,
    /// Counts the times that making it again changed it.
    pub revision: i64,
    /// Whether it stays as it is: nothing that happened on that day is taken any more.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// When it was last made.
    #[serde(with = "time::serde::rfc3339")]
    pub made_at: OffsetDateTime,
}

/// One dimension of a statement, in the dimension's base unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatementLine {
    /// The dimension.
    pub dimension: String,
    /// What the platform counted.
    pub ours: i64,
    /// As much of it as is Stripe's business: what was counted since the subscription began. Absent
    /// where the tenant's plan sells none of this dimension by Stripe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billable: Option<i64>,
    /// What Stripe counted. Absent as well when Stripe could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripe: Option<i64>,
    /// `stripe` less `billable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<i64>,
    /// What waits to be told to Stripe.
    pub waiting: i64,
    /// What Stripe was never told, because it takes nothing that old.
    pub expired: i64,
}

/// A day as `YYYY-MM-DD`.
pub mod day {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use time::Date;
    use time::format_description::well_known::Iso8601;

    /// # Errors
    /// The serialiser's.
    pub fn serialize<S: Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(day)
    }

    /// # Errors
    /// It is not a day.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| serde::de::Error::custom("expected a day such as 2026-01-31"))
    }

    /// The day of a text such as `2026-01-31`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Date> {
        Date::parse(text, &Iso8601::DATE).ok().filter(|day| day.to_string() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_as_it_is_written_and_in_no_other_way() {
        let day = day::parse("2026-02-28").unwrap();
        assert_eq!(day.to_string(), "2026-02-28");
        for text in ["2026-02-29", "2026-2-28", "20260228", "2026-02-28T00:00:00Z", "2026-W09-6", ""] {
            assert_eq!(self::day::parse(text), None, "{text}");
        }
    }
}
