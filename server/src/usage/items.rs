//! The items of a batch, each looked at alone.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;

use integraci_api::usage::{BATCH_MAX, Event, EventsTaken, NAME_MAX_CHARS, RejectedCode, RejectedEvent};
use integraci_api::{FieldProblem, TenantId};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::rows::Counted;
use crate::json::{self, Fault};

/// A batch whose items were not looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    #[serde(deserialize_with = "some_more_than_fit")]
    events: Vec<Box<RawValue>>,
    /// Whether there is one event, and it is no list's.
    #[serde(skip)]
    is_single: bool,
}

/// What the items of a batch are.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Those that are events, none of them twice.
    pub(super) events: Vec<Event>,
    /// Where each of these stands in the batch, and after it those that are the same.
    places: Vec<Vec<Place>>,
    rejected: Vec<RejectedEvent>,
}

/// Where an item stands, and the pointer to it.
#[derive(Debug)]
struct Place {
    index: usize,
    pointer: String,
}

impl Batch {
    /// The batch, or the one event, that a message is.
    ///
    /// # Errors
    /// It is no JSON object, or one that is neither.
    pub(super) fn of_message(message: &[u8]) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Look {
            events: Option<IgnoredAny>,
        }
        if json::parse::<Look>(message)?.events.is_some() {
            return json::parse(message);
        }
        Ok(Self { events: vec![json::parse(message)?], is_single: true })
    }

    /// # Errors
    /// There are none, or too many, at `/events`.
    pub(super) fn check_size(&self) -> Result<(), FieldProblem> {
        if (1..=BATCH_MAX).contains(&self.events.len()) {
            return Ok(());
        }
        Err(FieldProblem::new("/events", format!("a batch has 1 to {BATCH_MAX} events")))
    }
}

impl Checked {
    /// Looks at each item of a batch for the events of a tenant that happened within some time.
    pub(super) fn of(batch: &Batch, tenant: TenantId, within: RangeInclusive<OffsetDateTime>) -> Self {
        let mut checked = Self::default();
        let mut known = HashMap::<(String, String), usize>::new();
        for (index, item) in batch.events.iter().enumerate() {
            let pointer = if batch.is_single { String::new() } else { format!("/events/{index}") };
            let place = Place { index, pointer };
            match event(item, tenant, &within) {
                Err((code, fault)) => checked.reject(place, code, &fault),
                Ok(event) => {
                    let next = checked.events.len();
                    let n = *known.entry((event.source.clone(), event.id.clone())).or_insert(next);
                    if n == next {
                        checked.events.push(event);
                        checked.places.push(Vec::new());
                    }
                    checked.places[n].push(place);
                }
            }
        }
        checked
    }

    /// Rejects the events that a month had no room for, and those that are the same.
    pub(super) fn refuse(&mut self, counted: &Counted) {
        let detail = format!(
            "the month's limit of {} is used up, and what is beyond it is refused",
            counted.dimension
        );
        let fault = FieldProblem::new("", detail);
        // Places in a list that Postgres counts from 1.
        for n in counted.refused.iter().filter_map(|n| usize::try_from(n - 1).ok()) {
            for place in std::mem::take(&mut self.places[n]) {
                self.reject(place, RejectedCode::QuotaExceeded, &fault);
            }
        }
    }

    fn reject(&mut self, place: Place, code: RejectedCode, fault: &FieldProblem) {
        self.rejected.push(RejectedEvent {
            index: place.index,
            pointer: place.pointer + &fault.pointer,
            code,
            detail: fault.detail.clone(),
        });
    }

    /// What became of all of them, so many having been counted.
    pub(super) fn taken(mut self, accepted: usize) -> EventsTaken {
        self.rejected.sort_by_key(|rejected| rejected.index);
        let good: usize = self.places.iter().map(Vec::len).sum();
        EventsTaken { accepted, duplicates: good - accepted, rejected: self.rejected }
    }
}

/// As many items as a batch may have, and one that says that there are more: a body of half a million of the
/// shortest would take a hundred times its size.
fn some_more_than_fit<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<Box<RawValue>>, D::Error> {
    struct Items;
    impl<'de> Visitor<'de> for Items {
        type Value = Vec<Box<RawValue>>;

        fn expecting(&self, words: &mut fmt::Formatter<'_>) -> fmt::Result {
            words.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while items.len() <= BATCH_MAX {
                let Some(item) = list.next_element()? else { return Ok(items) };
                items.push(item);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(items)
        }
    }
    list.deserialize_seq(Items)
}

/// The event that an item is, if it may be counted.
fn event(
    item: &RawValue,
    tenant: TenantId,
    within: &RangeInclusive<OffsetDateTime>,
) -> Result<Event, (RejectedCode, FieldProblem)> {
    let event: Event = json::parse(item.get().as_bytes()).map_err(|fault| {
        let fault = match fault {
            Fault::Field(fault) => fault,
            Fault::Malformed(_) => FieldProblem::new("", "a text in it is not Unicode"),
        };
        (RejectedCode::Invalid, fault)
    })?;
    let fault = |pointer: &str, code, detail: String| Err((code, FieldProblem::new(pointer, detail)));
    for (pointer, name) in [("/source", &event.source), ("/id", &event.id)] {
        // A control character is none for people to read, and one of them Postgres does not take.
        let is_name = (1..=NAME_MAX_CHARS).contains(&name.chars().count());
        if !is_name || name.chars().any(char::is_control) {
            let detail =
                format!("expected 1 to {NAME_MAX_CHARS} characters, none of them a control character");
            return fault(pointer, RejectedCode::Invalid, detail);
        }
    }
    if event.tenant_id.is_some_and(|of| of != tenant) {
        let detail =
            "the event is another tenant's; send it to that tenant, with a token of its own".to_owned();
        return fault("/tenant_id", RejectedCode::OtherTenant, detail);
    }
    if event.at > *within.end() {
        let detail = "the event has not happened yet by the server's clock; look at the sender's".to_owned();
        return fault("/at", RejectedCode::InFuture, detail);
    }
    if event.at < *within.start() {
        let detail = "the event is too old: what is late by so much is not counted any more".to_owned();
        return fault("/at", RejectedCode::TooOld, detail);
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_items_are_kept_than_show_that_there_are_too_many() {
        for (count, kept) in
            [(0, 0), (1, 1), (BATCH_MAX, BATCH_MAX), (BATCH_MAX + 1, BATCH_MAX + 1), (500_000, BATCH_MAX + 1)]
        {
            let body = format!(r#"{{"events":[{}]}}"#, vec!["0"; count].join(","));
            let batch = Batch::of_message(body.as_bytes()).unwrap();
            assert_eq!(batch.events.len(), kept, "of {count}");
            assert_eq!(batch.check_size().is_ok(), (1..=BATCH_MAX).contains(&count), "{count}");
        }
        let torn = format!(r#"{{"events":[{}"#, "0,".repeat(BATCH_MAX + 2));
        assert!(matches!(Batch::of_message(torn.as_bytes()), Err(Fault::Malformed(_))));
    }
}
