//! Values as JSON.

use super::{Dynamic, Type, ValueError};

/// What becomes of an attribute that the type does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    Refused,
    Dropped,
}

pub(super) fn decode(_bytes: &[u8], _ty: &Type, _extra: Extra) -> Result<Dynamic, ValueError> {
    Err(super::Problem::Malformed.into())
}

pub(super) fn decode_untyped(_bytes: &[u8]) -> Result<Dynamic, ValueError> {
    Err(super::Problem::Malformed.into())
}

pub(super) fn encode(_value: &Dynamic, _ty: &Type) -> Result<String, ValueError> {
    Err(super::Problem::Malformed.into())
}

pub(super) fn decode_type(_bytes: &[u8]) -> Result<Type, ValueError> {
    Err(super::Problem::NotAType.into())
}

pub(super) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}
