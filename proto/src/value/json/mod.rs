//! Values as JSON: how state is stored, and so what a state upgrade reads.
//!
//! A reader of our own, because a number must keep its text: serde_json keeps it only by a feature
//! that changes every other crate that is built with it, and its errors quote what they read.

mod reader;
mod types;
mod writer;

use super::decode::Decoder;
pub(super) use super::decode::Extra;
use super::{Dynamic, Type, ValueError, encode};
use reader::Reader;
pub(super) use types::decode_type;
pub(super) use writer::write_string;

pub(super) fn decode(bytes: &[u8], ty: &Type, extra: Extra) -> Result<Dynamic, ValueError> {
    Decoder::new(Reader::new(bytes)?, extra).only(Some(ty))
}

pub(super) fn decode_untyped(bytes: &[u8]) -> Result<Dynamic, ValueError> {
    Decoder::new(Reader::new(bytes)?, Extra::Refused).only(None)
}

pub(super) fn encode(value: &Dynamic, ty: &Type) -> Result<String, ValueError> {
    let mut out = String::new();
    encode::value(&mut out, value, ty)?;
    Ok(out)
}
