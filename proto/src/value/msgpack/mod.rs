//! Values as msgpack: what core sends, and what a provider answers in.

mod reader;
mod refinements;
mod writer;

use super::decode::{Decoder, Extra};
use super::{Dynamic, Type, ValueError, encode};
pub(super) use reader::Reader;

pub(super) fn decode(bytes: &[u8], ty: &Type) -> Result<Dynamic, ValueError> {
    Decoder::new(Reader::new(bytes), Extra::Refused).only(Some(ty))
}

pub(super) fn decode_untyped(bytes: &[u8]) -> Result<Dynamic, ValueError> {
    Decoder::new(Reader::new(bytes), Extra::Refused).only(None)
}

pub(super) fn encode(value: &Dynamic, ty: &Type) -> Result<Vec<u8>, ValueError> {
    let mut out = Vec::new();
    encode::value(&mut out, value, ty)?;
    Ok(out)
}
