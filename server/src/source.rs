//! Where time, ids and randomness come from. Passed in, so that tests decide them.

use rand::RngExt;
use time::OffsetDateTime;
use uuid::Uuid;

/// The clock, the ids and the random bytes of this process.
#[derive(Clone, Copy)]
pub struct Source {
    now: fn() -> OffsetDateTime,
    uuid: fn() -> Uuid,
    bytes: fn() -> [u8; 32],
}

impl Source {
    /// The machine's own.
    #[must_use]
    pub fn real() -> Self {
        Self { now: OffsetDateTime::now_utc, uuid: Uuid::now_v7, bytes: || rand::rng().random() }
    }

    /// The same by another clock.
    #[must_use]
    pub const fn by_clock(self, now: fn() -> OffsetDateTime) -> Self {
        Self { now, ..self }
    }

    /// The time, to the microsecond: what Postgres keeps, so that a value reads back as it was written.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        let now = (self.now)();
        now.replace_nanosecond(now.nanosecond() / 1000 * 1000).unwrap_or(now)
    }

    /// A new UUIDv7.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        (self.uuid)()
    }

    /// 256 random bits.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        (self.bytes)()
    }
}
