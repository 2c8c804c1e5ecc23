//! Values as msgpack.

use super::{Dynamic, Type, ValueError};

pub(super) fn decode(_bytes: &[u8], _ty: &Type) -> Result<Dynamic, ValueError> {
    Err(super::Problem::Malformed.into())
}

pub(super) fn decode_untyped(_bytes: &[u8]) -> Result<Dynamic, ValueError> {
    Err(super::Problem::Malformed.into())
}

pub(super) fn encode(_value: &Dynamic, _ty: &Type) -> Result<Vec<u8>, ValueError> {
    Err(super::Problem::Malformed.into())
}
