//! The catalogue of dimensions: all that a tenant's quota can limit. The server's checks, the plans of its
//! configuration, the provider's schema and its documentation are made from it.
//!
//! A new dimension is an entry here, its limit in the shipped plans, and the call that takes one where it
//! is made (`quotas::take` in the server).

use crate::isolation::System;
use crate::quotas::LIMIT_MAX;
use crate::quotas::amount::Unit;

/// One thing that is limited.
#[derive(Debug, PartialEq, Eq)]
pub struct Dimension {
    /// The word on the wire and in Terraform.
    pub name: &'static str,
    /// What is counted.
    pub description: &'static str,
    /// What one is, and how people write many.
    pub unit: Unit,
    /// The smallest limit that can hold, in base units.
    pub min: i64,
    /// The largest, in base units.
    pub max: i64,
    /// Where the limit holds, and how use is known.
    pub holds: Holds,
}

/// Where a limit holds, and how use is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// In the statement that makes one: `used` and `reserved` stand beside the limit.
    Taken,
    /// In the transaction that makes one: those that there are, are counted.
    Counted,
    /// In the server, before a request is looked at.
    Requests,
    /// In the count of a month's events, by what the tenant is to have when they are too many.
    Metered,
    /// In a system, which counts for itself.
    In(System),
}

impl Holds {
    /// Who refuses what is too much: `server`, or the system's word.
    #[must_use]
    pub const fn enforced_by(self) -> &'static str {
        match self {
            Self::In(system) => system.as_str(),
            Self::Taken | Self::Counted | Self::Requests | Self::Metered => "server",
        }
    }
}

const fn taken(name: &'static str, description: &'static str) -> Dimension {
    Dimension { name, description, unit: Unit::Ones, min: 0, max: 1_000_000, holds: Holds::Taken }
}

const fn metered(name: &'static str, description: &'static str) -> Dimension {
    Dimension { name, description, unit: Unit::Ones, min: 0, max: LIMIT_MAX, holds: Holds::Metered }
}

const fn in_system(
    system: System,
    name: &'static str,
    description: &'static str,
    unit: Unit,
    min: i64,
    max: i64,
) -> Dimension {
    Dimension { name, description, unit, min, max, holds: Holds::In(system) }
}

/// Every dimension, in the order in which people are shown them.
pub const DIMENSIONS: &[Dimension] = &[
    taken("connectors", "connectors, those being installed included"),
    taken("secrets", "secret values of connectors that are in force"),
    Dimension {
        holds: Holds::Counted,
        ..taken("api_tokens", "API tokens of the tenant that are neither revoked nor expired")
    },
    Dimension {
        name: "api_requests_per_minute",
        description: "requests that the tenant's own API tokens make in a minute",
        unit: Unit::Ones,
        min: 1,
        max: 10_000_000,
        holds: Holds::Requests,
    },
    metered("pipeline_runs_per_month", "pipeline runs in a calendar month (UTC)"),
    metered("deploys_per_month", "deployments in a calendar month (UTC)"),
    in_system(System::Kubernetes, "pods", "pods in the tenant's namespace", Unit::Ones, 0, 1_000_000),
    in_system(
        System::Kubernetes,
        "cpu",
        "processors that the tenant's pods may ask for together",
        Unit::Processors,
        0,
        1_000_000_000,
    ),
    in_system(
        System::Kubernetes,
        "memory",
        "memory that the tenant's pods may ask for together",
        Unit::Bytes,
        0,
        LIMIT_MAX,
    ),
    in_system(
        System::Kubernetes,
        "storage",
        "storage that the tenant's volume claims may ask for together",
        Unit::Bytes,
        0,
        LIMIT_MAX,
    ),
    in_system(
        System::Nats,
        "nats_connections",
        "connections to the tenant's NATS account",
        Unit::Ones,
        1,
        1_000_000,
    ),
    in_system(
        System::Nats,
        "nats_stream_bytes",
        "what the tenant's NATS streams may hold together",
        Unit::Bytes,
        0,
        LIMIT_MAX,
    ),
    in_system(
        System::Nats,
        "nats_payload_bytes",
        "the largest message in the tenant's NATS account",
        Unit::Bytes,
        8 << 10, // what the platform itself tells the tenant has to fit
        64 << 20,
    ),
    in_system(
        System::OpenBao,
        "openbao_requests_per_second",
        "requests to the tenant's OpenBao namespace in a second, from each address",
        Unit::Ones,
        20, // the platform, which counts too, asks eight things at once to see whether all is as it should be
        1_000_000,
    ),
];

/// The dimension of a name.
#[must_use]
pub fn dimension(name: &str) -> Option<&'static Dimension> {
    DIMENSIONS.iter().find(|dimension| dimension.name == name)
}

impl Dimension {
    /// A limit as people write it (`20`, `"500m"`, `"2Gi"`), in base units.
    ///
    /// # Errors
    /// What is wrong with it and what to write; never quotes the text.
    pub fn parse(&self, text: &str) -> Result<i64, String> {
        let amount = self.unit.parse(text)?;
        self.check(amount)?;
        Ok(amount)
    }

    /// Whether an amount in base units can be a limit.
    ///
    /// # Errors
    /// What it may be.
    pub fn check(&self, amount: i64) -> Result<(), String> {
        if (self.min..=self.max).contains(&amount) {
            return Ok(());
        }
        Err(format!("`{}` is from {} to {}", self.name, self.write(self.min), self.write(self.max)))
    }

    /// An amount in base units as people write it, in one way only.
    #[must_use]
    pub fn write(&self, amount: i64) -> String {
        self.unit.write(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dimension_has_a_name_of_its_own_and_bounds() {
        for (n, dimension) in DIMENSIONS.iter().enumerate() {
            assert!(DIMENSIONS[n + 1..].iter().all(|other| other.name != dimension.name));
            assert!(dimension.min <= dimension.max && dimension.max <= LIMIT_MAX, "{}", dimension.name);
        }
    }

    #[test]
    fn a_limit_out_of_bounds_is_told_what_it_may_be() {
        let payload = dimension("nats_payload_bytes").unwrap();
        assert_eq!(payload.parse("1Mi"), Ok(1 << 20));
        assert_eq!(payload.parse("1").unwrap_err(), "`nats_payload_bytes` is from 8Ki to 64Mi");
        assert_eq!(payload.parse("65Mi").unwrap_err(), "`nats_payload_bytes` is from 8Ki to 64Mi");
    }
}
