//! A provider's types behind trait objects: from typed code to untyped values and back.
//!
//! Everything generic over a provider's types is here and thin; what the protocol asks for is done
//! once, outside, on untyped values.

mod others;
mod resource;

use std::marker::PhantomData;

pub(in crate::service) use others::{
    AnyAction, AnyDataSource, AnyEphemeral, AnyFunction, AnyList, AnyProvider, Wanted,
};
pub(in crate::service) use resource::{AnyResource, Applied, PlanMade, Planning, State};

use crate::attribute::{decode_set, is_premature};
use crate::value::Dynamic;
use crate::{AttributeSet, Diagnostics};

/// The type whose code stands behind a trait object.
pub(in crate::service) struct Of<T>(PhantomData<fn(T)>);

impl<T> Of<T> {
    pub(in crate::service) fn new() -> Self {
        Self(PhantomData)
    }
}

/// Hands a configuration to a `validate`. One that cannot be read yet, because something is
/// unknown in it that must be known, comes again when it is known.
fn typed_config<T: AttributeSet>(
    config: Dynamic,
    validate: fn(&T, &mut Diagnostics),
    diags: &mut Diagnostics,
) {
    match decode_set::<T>(config) {
        Ok(config) => validate(&config, diags),
        Err(error) if is_premature(&error) => {}
        Err(error) => diags.push(error.into()),
    }
}
