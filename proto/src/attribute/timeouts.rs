//! The `timeouts` attribute: how long each operation on a resource may take.

use std::time::Duration;

use super::{AttributeType, Value};
use crate::schema::{AttributeSchema, Nesting, ObjectSchema, Shape};
use crate::value::Dynamic;

/// What a user has set under `timeouts`. Kept as it came, for it goes back into state.
///
/// A field of this type, marked `#[attribute(timeouts(create, delete))]`, offers a nested attribute
/// with those durations: `timeouts = { create = "30m" }`. [`Cx::deadline`](crate::Cx::deadline)
/// obeys them without further ado.
#[derive(Debug, Clone, Default)]
pub struct Timeouts(Dynamic);

impl Timeouts {
    /// The attribute, for these operations. Called by the derive.
    #[doc(hidden)]
    pub fn attribute(name: &str, operations: &[&str]) -> AttributeSchema {
        let mut object = ObjectSchema::new("");
        for operation in operations {
            let described = format!("How long {operation} may take, such as `90s`, `30m` or `1h30m`.");
            let attribute = AttributeSchema::new::<Value<String>>(operation).optional().described(&described);
            object.add(attribute.validate::<Value<String>>(|text: &String| duration(text).map(drop)));
        }
        AttributeSchema::with_shape(name, Shape::Nested(Nesting::Single, object.into()))
            .optional()
            .described("How long each operation may take.")
            .with_timeouts()
    }

    /// The attribute with what stands in for it computed: for a resource that is imported with the times
    /// that are in force, so that those may stand beside whatever is configured. An [`AttributeSet`]
    /// written by hand adds it, and plans what becomes of it.
    ///
    /// [`AttributeSet`]: crate::AttributeSet
    pub fn computed_attribute(name: &str, operations: &[&str]) -> AttributeSchema {
        let mut attribute = Self::attribute(name, operations).computed();
        if let Shape::Nested(nesting, object) = attribute.shape {
            let mut object = ObjectSchema::clone(&object);
            object.attributes = object.attributes.into_iter().map(AttributeSchema::computed).collect();
            attribute.shape = Shape::Nested(nesting, object.into());
        }
        attribute
    }

    #[doc(hidden)]
    pub fn from_value(value: Dynamic) -> Self {
        Self(value)
    }

    #[doc(hidden)]
    pub fn into_value(self) -> Dynamic {
        self.0
    }

    /// What is set for an operation: `create`, `read`, `update`, `delete`, …
    pub fn get(&self, operation: &str) -> Option<Duration> {
        timeout_of(&self.0, operation)
    }
}

/// The duration set for an operation in the value of a `timeouts` attribute.
pub(crate) fn timeout_of(timeouts: &Dynamic, operation: &str) -> Option<Duration> {
    let Dynamic::Object(fields) = timeouts.untyped() else {
        return None;
    };
    let text = String::from_known(fields.get(operation)?.clone()).ok()?;
    duration(&text).ok()
}

/// Reads a duration as Go writes them: whole numbers with a unit, one after another.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const HINT: &str = "this is not a duration; write it as `90s`, `30m` or `1h30m`";
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(HINT.into());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(HINT)?;
        let (number, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let number: u64 = number.parse().map_err(|_| HINT)?;
        let part = match unit {
            "ms" => Some(Duration::from_millis(number)),
            "s" => Some(Duration::from_secs(number)),
            "m" => number.checked_mul(60).map(Duration::from_secs),
            "h" => number.checked_mul(3600).map(Duration::from_secs),
            _ => None,
        };
        total = part.and_then(|part| total.checked_add(part)).ok_or(HINT)?;
        rest = after;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_computed_may_be_left_out_or_set_one_by_one() {
        let attribute = Timeouts::computed_attribute("timeouts", &["create", "delete"]);
        assert!(attribute.timeouts && attribute.optional && attribute.computed);
        let Shape::Nested(Nesting::Single, object) = &attribute.shape else { panic!("an object") };
        assert_eq!(object.attributes.len(), 2);
        assert!(
            object.attributes.iter().all(|own| own.optional && own.computed && !own.validators.is_empty())
        );
        assert!(!Timeouts::attribute("timeouts", &["create"]).computed);
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in
            ["", "30", "m", "3 m", "-3m", "1.5h", "3x", "99999999999999999999s", "18446744073709551615h"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
