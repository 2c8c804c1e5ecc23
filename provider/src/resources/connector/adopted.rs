//! What an import puts into a state of which it cannot know how it is configured.
//!
//! Terraform tells a provider nothing of the configuration while it imports and reads, and afterwards
//! takes for the plan of an attribute either what is configured or what is in the state, and the latter
//! only where that is not null. So an import must put something there, or there would be an update to
//! plan that changes nothing but the state. What it puts is true: that the version of the secret is not
//! known, and the times that are in force without any configured. It stands until a change of the
//! connector puts down what is configured; a `timeouts.delete` counts from then on.

use tfplugin::schema::ObjectSchema;
use tfplugin::value::{Fields, ValueError};
use tfplugin::{AttributeSet, Dynamic, ObjectReader, ObjectWriter, Timeouts, Value};

/// The version of a secret that came with an import.
pub(super) const IMPORTED: &str = "imported";

const TIMEOUTS: &str = "timeouts";
const OPERATIONS: [&str; 3] = ["create", "update", "delete"];
/// `Resource::TIMEOUT`, as users write it.
const TIMEOUT: &str = "20m";

/// The attribute `timeouts`.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Times(Dynamic);

impl AttributeSet for Times {
    fn schema() -> ObjectSchema {
        let mut object = ObjectSchema::new("");
        object.add(Timeouts::computed_attribute(TIMEOUTS, &OPERATIONS));
        object
    }

    fn decode(object: &mut ObjectReader) -> Result<Self, ValueError> {
        Ok(Self(object.take_dynamic(TIMEOUTS)))
    }

    fn encode(self, object: &mut ObjectWriter) {
        object.put_dynamic(TIMEOUTS, self.0);
    }
}

impl Times {
    /// What is in force without any configured.
    pub(super) fn imported() -> Self {
        let times: Fields =
            OPERATIONS.map(|operation| (operation, Dynamic::from(TIMEOUT))).into_iter().collect();
        Self(Dynamic::Object(times))
    }

    /// What is planned where this is in the state.
    pub(super) fn adopting(&self, configured: &Self) -> Adopted<Self> {
        adopting(self, configured, *self == Self::imported(), configured.0.is_null())
    }
}

/// What is planned for a configured version where `prior` is in the state.
pub(super) fn version(prior: &Value<String>, configured: &Value<String>) -> Adopted<Value<String>> {
    adopting(prior, configured, prior.as_deref() == Some(IMPORTED), configured.is_null())
}

/// What is planned for something that an import may have put down.
#[derive(Debug, PartialEq)]
pub(super) struct Adopted<T> {
    /// What is planned if something else changes anyway.
    pub(super) planned: T,
    /// Whether it is a change by itself.
    pub(super) is_change: bool,
}

fn adopting<T: Clone + PartialEq>(prior: &T, configured: &T, imported: bool, left_out: bool) -> Adopted<T> {
    let planned = if imported && left_out { prior } else { configured };
    Adopted { planned: planned.clone(), is_change: !imported && planned != prior }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(prior: Option<&str>, configured: Option<&str>) -> (Option<String>, bool) {
        let value = |text: Option<&str>| Value::from(text.map(ToOwned::to_owned));
        let Adopted { planned, is_change } = version(&value(prior), &value(configured));
        (planned.into_option(), is_change)
    }

    #[test]
    fn what_an_import_put_down_gives_way_to_what_is_configured_without_being_a_change() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(planned(Some(IMPORTED), Some("a")), (text("a"), false));
        assert_eq!(planned(Some(IMPORTED), None), (text(IMPORTED), false));
        assert_eq!(planned(Some("a"), Some("a")), (text("a"), false));
        assert_eq!(planned(Some("a"), Some("b")), (text("b"), true));
        assert_eq!(planned(Some("a"), None), (None, true));
        assert_eq!(planned(None, Some("a")), (text("a"), true));
        assert_eq!(planned(None, None), (None, false));
    }

    #[test]
    fn the_times_of_an_import_are_those_in_force() {
        let in_force = <super::super::Connector as tfplugin::Resource>::TIMEOUT;
        assert_eq!(crate::api::duration_parse(TIMEOUT), Some(in_force));
    }

    #[test]
    fn times_likewise() {
        let configured =
            Times(Dynamic::Object([("update", Dynamic::from("5m"))].into_iter().collect::<Fields>()));
        assert!(!Times::imported().adopting(&configured).is_change);
        assert!(Times::imported().adopting(&Times::default()).planned == Times::imported());
        assert!(Times::default().adopting(&configured).is_change);
    }
}
