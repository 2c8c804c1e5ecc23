//! What is promised of an unknown value, as the body of a msgpack extension: a map by small integers.

use super::Reader;
use crate::value::decode::{Decoder, Event, Extra, Source};
use crate::value::encode::Sink;
use crate::value::unknown::Promises;
use crate::value::{Dynamic, Number, NumberBound, Problem, Refinements};

/// The extension's code. Extension 0 is an unknown value of which nothing is promised.
pub(super) const CODE: i8 = 12;

/// Cores refuse a longer body.
const MAX_BODY_BYTES: usize = 1024;

/// What is written again may be a few bytes longer than it came ("1e9" becomes an integer), so
/// somewhat less than [`MAX_BODY_BYTES`] is read.
const MAX_READ_BYTES: usize = MAX_BODY_BYTES - 24;

const NULLNESS: i64 = 1;
const STRING_PREFIX: i64 = 2;
const NUMBER_MIN: i64 = 3;
const NUMBER_MAX: i64 = 4;
const LENGTH_MIN: i64 = 5;
const LENGTH_MAX: i64 = 6;

/// Reads a body. What is not understood is dropped: an unknown value of which less is promised is
/// still right, and a hint must not fail a plan.
pub(super) fn decode(body: &[u8]) -> Refinements {
    if body.len() > MAX_READ_BYTES {
        return Refinements::NONE;
    }
    promises(body).map_or(Refinements::NONE, Refinements::from_promises)
}

fn promises(body: &[u8]) -> Option<Promises> {
    let mut decoder = Decoder::new(Reader::of_refinement(body), Extra::Refused);
    let Event::Map(mut entries) = decoder.source.event().ok()? else { return None };
    let mut promises = Promises::default();
    while decoder.source.element(&mut entries).ok()? {
        let Event::Number(key) = decoder.source.event().ok()? else { return None };
        let value = decoder.untyped().ok()?;
        match (key.to_i64()?, value) {
            (NULLNESS, Dynamic::Bool(false)) => promises.not_null = true,
            (STRING_PREFIX, Dynamic::String(prefix)) if !prefix.is_empty() => promises.prefix = Some(prefix),
            (NUMBER_MIN, bound) => promises.number_min = number_bound(bound),
            (NUMBER_MAX, bound) => promises.number_max = number_bound(bound),
            (LENGTH_MIN, length) => promises.length_min = length_bound(&length).filter(|&length| length > 0),
            (LENGTH_MAX, length) => promises.length_max = length_bound(&length),
            _ => {}
        }
    }
    Some(promises)
}

fn number_bound(bound: Dynamic) -> Option<NumberBound> {
    let Dynamic::Tuple(parts) = bound else { return None };
    let [limit, Dynamic::Bool(inclusive)] = parts.as_slice() else { return None };
    let limit = match limit {
        Dynamic::Number(limit) => limit.clone(),
        Dynamic::String(text) => text.parse().ok()?,
        _ => return None,
    };
    Some(NumberBound { limit, inclusive: *inclusive })
}

/// Core counts in Go's `int`.
fn length_bound(length: &Dynamic) -> Option<u64> {
    let Dynamic::Number(length) = length else { return None };
    length.to_i64().and_then(|length| u64::try_from(length).ok())
}

/// Writes a body; `None` if there is nothing in it that may be sent.
pub(super) fn encode(refinements: &Refinements) -> Result<Option<Vec<u8>>, Problem> {
    let Some(promises) = refinements.promises() else { return Ok(None) };
    let body = body(promises)?;
    if body.len() <= MAX_BODY_BYTES {
        return Ok(Some(body));
    }
    if !promises.not_null {
        return Ok(None);
    }
    self::body(&Promises { not_null: true, ..Promises::default() }).map(Some)
}

fn body(promises: &Promises) -> Result<Vec<u8>, Problem> {
    let Promises { not_null, prefix, number_min, number_max, length_min, length_max } = promises;
    let bounds = [(NUMBER_MIN, number_min), (NUMBER_MAX, number_max)];
    let lengths = [(LENGTH_MIN, length_min), (LENGTH_MAX, length_max)];
    let count = usize::from(*not_null)
        + usize::from(prefix.is_some())
        + bounds.iter().filter(|(_, bound)| bound.is_some()).count()
        + lengths.iter().filter(|(_, length)| length.is_some()).count();

    let mut out = Vec::new();
    out.map(count)?;
    if *not_null {
        out.number(&NULLNESS.into())?;
        out.bool(false);
    }
    if let Some(prefix) = prefix {
        out.number(&STRING_PREFIX.into())?;
        out.text(prefix)?;
    }
    for (key, bound) in bounds {
        let Some(NumberBound { limit, inclusive }) = bound else { continue };
        out.number(&key.into())?;
        out.array(2)?;
        out.number(limit)?;
        out.bool(*inclusive);
    }
    for (key, length) in lengths {
        let Some(length) = length else { continue };
        out.number(&key.into())?;
        out.number(&Number::from(*length))?;
    }
    Ok(out)
}
