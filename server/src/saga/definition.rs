//! What a capability writes: a saga and its steps.
//!
//! Knows neither the log nor the runner. Every step may run twice and may be cut off anywhere, so
//! all three of its verbs are safe to repeat and work on names derived from the operation's input.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use integraci_api::operations::OperationKind;
use integraci_api::{OperationId, TenantId};
use time::OffsetDateTime;

use super::error::StepError;
use super::log::Fence;

/// Long enough for a slow system to answer, short enough that a hung one is noticed.
const DEADLINE: Duration = Duration::from_secs(30);

/// Which way a saga may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Every step, or none: what fails is undone.
    OrNothing,
    /// Never back: what fails is tried for long, and then waits for an operator.
    ForwardOnly,
}

/// One kind of saga.
pub struct Definition {
    /// The kind of operation that it carries out.
    pub kind: OperationKind,
    /// Which way it may go.
    pub direction: Direction,
    /// Its steps. One that needs another comes after it; others run side by side.
    pub steps: Vec<Box<dyn Step>>,
}

/// Whether a step's effect is in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// It is, and whole.
    Present,
    /// It is not, or only in part.
    Absent,
    /// It cannot be told; asked again later.
    Unknown,
}

/// One step. All verbs may run twice, at any time, and be cut off in the middle.
#[async_trait]
pub trait Step: Send + Sync {
    /// Its name in the log and in the API. Never renamed.
    fn name(&self) -> &'static str;

    /// The steps whose effect must be in place before this one begins.
    fn needs(&self) -> &[&'static str] {
        &[]
    }

    /// Whether there is no way back once this step is done: what fails after it is tried for long and
    /// then waits for an operator, as in a definition that only goes forward. A pivot needs, directly
    /// or through others, every step declared before it.
    fn is_pivot(&self) -> bool {
        false
    }

    /// The longest that one call of any verb may take; it is cut off then, and its outcome unknown.
    fn deadline(&self) -> Duration {
        DEADLINE
    }

    /// Looks whether the effect is in place. Asked when the outcome of an earlier `apply` is unknown.
    async fn probe(&self, cx: &StepCx) -> Result<Probe, StepError>;

    /// Brings the effect about. Finding it in place already is success.
    async fn apply(&self, cx: &StepCx) -> Result<(), StepError>;

    /// Takes the effect away. Finding nothing is success. Steps of a definition that only goes
    /// forward are never undone and leave this as it is; called all the same, it fails loudly.
    async fn undo(&self, _cx: &StepCx) -> Result<(), StepError> {
        Err(StepError::broken("This step cannot be undone."))
    }
}

/// What a step works with.
#[derive(Debug, Clone)]
pub struct StepCx {
    /// The operation it is part of.
    pub operation: OperationId,
    /// The tenant it is about.
    pub tenant: TenantId,
    /// The id of the object that the operation makes, changes or removes.
    pub target: String,
    /// What the capability wrote down when it enqueued the operation. Never holds a secret.
    pub input: serde_json::Value,
    /// Held first by every step that writes Postgres, in the same transaction.
    pub fence: Fence,
    /// The time at which the call began.
    pub now: OffsetDateTime,
}

impl StepCx {
    /// The input as the capability's own type.
    ///
    /// # Errors
    /// It is not of that shape: another build wrote it.
    pub fn input<T: serde::de::DeserializeOwned>(&self) -> Result<T, StepError> {
        serde_json::from_value(self.input.clone())
            .map_err(|_| StepError::broken("The operation's input cannot be read by this build."))
    }
}

/// What is wrong with a definition. A fault of the build, found at start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Two definitions of one kind with the same steps.
    #[error("{} is defined twice with the same steps", .0.as_str())]
    Twice(OperationKind),
    /// No steps, or two of one name.
    #[error("{}: its steps are none, or two of one name", .0.as_str())]
    Steps(OperationKind),
    /// A step needs one that is not declared before it.
    #[error("{}: {step} needs a step that is not declared before it", kind.as_str())]
    Needs {
        /// The definition.
        kind: OperationKind,
        /// The step.
        step: &'static str,
    },
    /// There is more than one pivot, or one that does not need all steps before it, or is not needed
    /// by all after it: something could be under way, or fail, on both sides of it at once.
    #[error("{}: its pivot does not part what is before it from what is after it", .0.as_str())]
    Pivot(OperationKind),
}

/// Every saga of this build. One kind may have several definitions, with other steps.
#[derive(Default)]
pub struct Definitions {
    /// By what is claimed: the kind with its steps, in words parted by spaces.
    by_words: BTreeMap<String, Definition>,
}

impl Definitions {
    /// Takes the definitions, checked.
    ///
    /// # Errors
    /// One is not sound; the error names it.
    pub fn new(definitions: Vec<Definition>) -> Result<Self, DefinitionError> {
        let mut by_words = BTreeMap::new();
        for definition in definitions {
            let kind = definition.kind;
            definition.check()?;
            if by_words.insert(words(kind, definition.step_names()), definition).is_some() {
                return Err(DefinitionError::Twice(kind));
            }
        }
        Ok(Self { by_words })
    }

    /// The definition of a kind with these steps, if this build has one.
    #[must_use]
    pub fn get<'a>(
        &self,
        kind: OperationKind,
        steps: impl IntoIterator<Item = &'a str>,
    ) -> Option<&Definition> {
        self.by_words.get(&words(kind, steps))
    }

    /// What this build can carry out: each kind with its steps, in words parted by spaces.
    pub(super) fn known(&self) -> Vec<String> {
        self.by_words.keys().cloned().collect()
    }
}

/// A kind with its steps, as [`super::lease::claim`] compares them.
fn words<'a>(kind: OperationKind, steps: impl IntoIterator<Item = &'a str>) -> String {
    steps.into_iter().fold(kind.as_str().to_owned(), |words, step| words + " " + step)
}

impl Definition {
    /// The names of its steps in order, as [`super::log::NewOperation`] wants them.
    #[must_use]
    pub fn step_names(&self) -> Vec<&'static str> {
        self.steps.iter().map(|step| step.name()).collect()
    }

    fn check(&self) -> Result<(), DefinitionError> {
        let names = self.step_names();
        // For each step, all that it needs, directly or through others.
        let mut needs: Vec<Vec<bool>> = Vec::with_capacity(names.len());
        for (n, step) in self.steps.iter().enumerate() {
            if names[..n].contains(&step.name()) {
                return Err(DefinitionError::Steps(self.kind));
            }
            let mut all = vec![false; names.len()];
            for needed in step.needs() {
                let Some(m) = names[..n].iter().position(|name| name == needed) else {
                    return Err(DefinitionError::Needs { kind: self.kind, step: step.name() });
                };
                all[m] = true;
                all.iter_mut().zip(&needs[m]).for_each(|(all, of_needed)| *all |= of_needed);
            }
            needs.push(all);
        }
        let pivots: Vec<usize> = (0..names.len()).filter(|n| self.steps[*n].is_pivot()).collect();
        let parts = |pivot: usize| {
            (0..pivot).all(|n| needs[pivot][n]) && (pivot + 1..names.len()).all(|n| needs[n][pivot])
        };
        match pivots[..] {
            _ if names.is_empty() => Err(DefinitionError::Steps(self.kind)),
            [] => Ok(()),
            [pivot] if parts(pivot) => Ok(()),
            _ => Err(DefinitionError::Pivot(self.kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named {
        name: &'static str,
        needs: &'static [&'static str],
        pivot: bool,
    }

    #[async_trait]
    impl Step for Named {
        fn name(&self) -> &'static str {
            self.name
        }
        fn needs(&self) -> &[&'static str] {
            self.needs
        }
        fn is_pivot(&self) -> bool {
            self.pivot
        }
        async fn probe(&self, _: &StepCx) -> Result<Probe, StepError> {
            Ok(Probe::Unknown)
        }
        async fn apply(&self, _: &StepCx) -> Result<(), StepError> {
            Ok(())
        }
    }

    const KIND: OperationKind = OperationKind::TenantCreate;

    /// Each step's name, what it needs, and whether it is a pivot.
    fn checked(steps: &[(&'static str, &'static [&'static str], bool)]) -> Result<(), DefinitionError> {
        let step = |(name, needs, pivot): &(&'static str, &'static [&'static str], bool)| {
            Box::new(Named { name, needs, pivot: *pivot }) as Box<dyn Step>
        };
        let steps = steps.iter().map(step).collect();
        Definitions::new(vec![Definition { kind: KIND, direction: Direction::OrNothing, steps }]).map(drop)
    }

    #[test]
    fn steps_are_named_once_and_need_earlier_ones() {
        assert_eq!(checked(&[("a", &[], false), ("b", &["a"], false)]), Ok(()));
        assert_eq!(checked(&[]), Err(DefinitionError::Steps(KIND)));
        assert_eq!(checked(&[("a", &[], false), ("a", &[], false)]), Err(DefinitionError::Steps(KIND)));
        let backwards = checked(&[("a", &["b"], false), ("b", &[], false)]);
        assert_eq!(backwards, Err(DefinitionError::Needs { kind: KIND, step: "a" }));
    }

    #[test]
    fn a_pivot_parts_what_is_before_it_from_what_is_after_it() {
        let (a, b, c) = (("a", &[][..], false), ("b", &["a"][..], false), ("c", &["b"][..], true));
        assert_eq!(checked(&[a, b, c, ("d", &["c"], false)]), Ok(()));
        let wrong = Err(DefinitionError::Pivot(KIND));
        assert_eq!(checked(&[a, b, c, ("d", &["b"], false)]), wrong, "d may fail beside the pivot");
        assert_eq!(checked(&[a, b, ("c", &["a"], true)]), wrong, "b may fail beside the pivot");
        assert_eq!(checked(&[a, b, c, ("d", &["c"], true)]), wrong, "two");
    }
}
