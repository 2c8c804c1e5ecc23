//! Limits as they stand in a configuration: texts in the units that people write (`2Gi`, `500m`, `8`), kept as
//! they are written and compared by what they come to.

use std::collections::BTreeMap;

use integraci_api::quotas::{Dimension, dimension, unknown_dimension};
use tfplugin::Value;

/// Limits by dimension. One that is null is the plan's.
pub(crate) type Limits = BTreeMap<String, Value<String>>;

/// Whether there is such a dimension, and this can be its limit.
///
/// # Errors
/// The dimension, what is wrong, and what to write.
pub(super) fn check(name: &str, limit: &Value<String>) -> Result<(), String> {
    let Some(dimension) = dimension(name) else { return Err(format!("`{name}`: {}", unknown_dimension())) };
    let Some(text) = limit.as_deref() else { return Ok(()) };
    match dimension.unit.parse(text) {
        Err(expected) => Err(format!("`{name}` {}: {expected}", fault(dimension, text))),
        Ok(amount) if dimension.check(amount).is_err() => {
            let fault = if amount > dimension.max { "is too large" } else { "is too small" };
            let (min, max) = (dimension.write(dimension.min), dimension.write(dimension.max));
            Err(format!("`{name}` {fault}: expected an amount from {min} to {max}"))
        }
        Ok(_) => Ok(()),
    }
}

/// What is wrong with a text that is no amount.
fn fault(dimension: &Dimension, text: &str) -> &'static str {
    if text.starts_with('-') {
        return "is negative";
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || decimals.is_empty() || decimals.contains('.') {
        return "is not a number";
    }
    if dimension.unit.parse(&format!("1{unit}")).is_err() {
        return "has a unit that it does not come in";
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return "begins with a zero";
    }
    // The number is well formed and its unit is known: it is too fine, or else too large.
    if dimension.unit.parse(&format!("{whole}{unit}")).is_ok() { "is not whole" } else { "is too large" }
}

/// What the limits come to, in base units, without those that are null; nothing if one of them is not known
/// yet, or not to this version.
pub(super) fn amounts(limits: &Value<Limits>) -> Option<BTreeMap<String, i64>> {
    let set = limits.as_known()?.iter().filter(|(_, limit)| !limit.is_null());
    set.map(|(name, limit)| Some((name.clone(), amount(name, limit)?))).collect()
}

fn amount(name: &str, limit: &Value<String>) -> Option<i64> {
    dimension(name)?.parse(limit.as_deref()?).ok()
}

/// Limits of the server, each as it was written `before` where it comes to the same. One that was set to null
/// and has none there stays null.
pub(super) fn observed(numbers: &BTreeMap<String, i64>, before: &Value<Limits>) -> Limits {
    let before = before.as_known();
    let nulls = before.into_iter().flatten().filter(|(_, limit)| limit.is_null());
    let nulls = nulls.map(|(name, _)| (name.clone(), Value::Null));
    let there = numbers.iter().map(|(name, number)| {
        let written = before.and_then(|before| before.get(name));
        let same = written.filter(|written| amount(name, written) == Some(*number));
        (name.clone(), same.cloned().unwrap_or_else(|| canonical(name, *number).into()))
    });
    nulls.chain(there).collect()
}

/// Limits as they are written where nobody has written them.
pub(crate) fn written(numbers: &BTreeMap<String, i64>) -> Limits {
    numbers.iter().map(|(name, number)| (name.clone(), canonical(name, *number).into())).collect()
}

fn canonical(name: &str, number: i64) -> String {
    dimension(name).map_or_else(|| number.to_string(), |dimension| dimension.write(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(limits: &[(&str, &str)]) -> Value<Limits> {
        let texts = limits.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned().into()));
        Value::Known(texts.collect())
    }

    #[test]
    fn what_is_wrong_with_a_limit_is_told() {
        let check = |name: &str, text: &str| check(name, &text.to_owned().into());
        for (name, good) in [
            ("connectors", "0"),
            ("connectors", "20"),
            ("cpu", "500m"),
            ("cpu", "0.5"),
            ("cpu", "8"),
            ("memory", "2048Mi"),
            ("nats_payload_bytes", "1Mi"),
        ] {
            assert_eq!(check(name, good), Ok(()), "{name} {good}");
        }
        for (name, bad, fault) in [
            ("connectors", "-1", "is negative: expected a whole number"),
            ("connectors", "1.5", "is not whole: expected a whole number"),
            ("connectors", "1000001", "is too large: expected an amount from 0 to 1000000"),
            ("connectors", "20Gi", "has a unit that it does not come in: expected a whole number"),
            ("connectors", "", "is not a number"),
            ("connectors", "many", "is not a number"),
            ("connectors", "020", "begins with a zero"),
            ("connectors", "99999999999999999999", "is too large"),
            ("cpu", "-500m", "is negative: expected processors"),
            ("cpu", "0.0005", "is not whole"),
            ("cpu", "2Gi", "has a unit that it does not come in: expected processors"),
            ("cpu", "1.2.3", "is not a number"),
            ("memory", "2GB", "has a unit that it does not come in: expected bytes such as `2Gi`"),
            ("memory", "500m", "has a unit"),
            ("memory", "99999999Pi", "is too large"),
            ("nats_payload_bytes", "65Mi", "is too large: expected an amount from 8Ki to 64Mi"),
            ("nats_payload_bytes", "1", "is too small: expected an amount from 8Ki to 64Mi"),
        ] {
            let told = check(name, bad).unwrap_err();
            assert!(told.starts_with(&format!("`{name}` {fault}")), "{name} {bad}: {told}");
        }
        assert!(
            check("conectors", "1").unwrap_err().starts_with("`conectors`: unknown dimension; there are:")
        );
    }

    #[test]
    fn limits_are_the_same_by_what_they_come_to() {
        assert_eq!(amounts(&limits(&[("memory", "2Gi")])), amounts(&limits(&[("memory", "2048Mi")])));
        assert_ne!(amounts(&limits(&[("memory", "2Gi")])), amounts(&limits(&[("memory", "2G")])));
        let null = Value::Known(Limits::from([("memory".to_owned(), Value::Null)]));
        assert_eq!(amounts(&null), amounts(&limits(&[])));
        let unknown = Value::Known(Limits::from([("memory".to_owned(), Value::Unknown)]));
        assert_eq!(amounts(&unknown), None);
        assert_eq!(amounts(&Value::Unknown), None);
    }

    #[test]
    fn what_is_found_the_same_stays_as_it_is_written() {
        let before = limits(&[("memory", "2048Mi"), ("cpu", "0.5")]);
        let found = BTreeMap::from([("memory".to_owned(), 2 << 30), ("cpu".to_owned(), 1500)]);
        let seen = observed(&found, &before);
        assert_eq!(Value::Known(seen), limits(&[("memory", "2048Mi"), ("cpu", "1500m")]));
        assert_eq!(
            Value::Known(observed(&found, &Value::Null)),
            limits(&[("memory", "2Gi"), ("cpu", "1500m")])
        );
    }

    #[test]
    fn a_limit_set_to_null_stays_null() {
        let before = Value::Known(Limits::from([("connectors".to_owned(), Value::Null)]));
        assert_eq!(Value::Known(observed(&BTreeMap::new(), &before)), before);
        let there = BTreeMap::from([("connectors".to_owned(), 7)]);
        assert_eq!(observed(&there, &before)["connectors"], Value::Known("7".to_owned()));
    }
}
