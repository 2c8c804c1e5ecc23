//! The codecs against each other, against what go-cty writes, and against hostile input.

mod arbitrary;
mod corpus;
mod hostile;
mod number;
mod round_trip;
mod vectors;

use super::{Dynamic, Type};

fn ty(json: &str) -> Type {
    Type::from_json(json.as_bytes()).unwrap()
}

/// Reads hexadecimal, blanks between bytes or not.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// `Debug` shows shapes only, so that a failed comparison would say nothing.
#[track_caller]
fn assert_same(left: &Dynamic, right: &Dynamic, ty: &Type) {
    let show = |value: &Dynamic| value.to_json(ty).or_else(|_| Ok(format!("{:x?}", value.to_msgpack(ty)?)));
    assert!(
        left == right,
        "{ty:?}: {:?} is not {:?}",
        show(left) as Result<_, super::ValueError>,
        show(right)
    );
}
