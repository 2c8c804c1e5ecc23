//! What holds for any input of the value decoders: the fuzz targets try it on new inputs, and
//! `cargo test` on the committed ones.
//!
//! The first byte of an input chooses the type, the rest is the encoded value. No input may panic,
//! exhaust the stack or allocate beyond the decoders' bounds (the fuzzer watches memory), and what
//! is accepted must mean the same after it is written and read again, in either encoding.

use crate::value::{Dynamic, Type, ValueError};

/// Wide enough to reach every branch. New ones go at the end, or the corpus changes its meaning.
const TYPES: &[&str] = &[
    r#""dynamic""#,
    r#""string""#,
    r#""number""#,
    r#""bool""#,
    r#"["list","string"]"#,
    r#"["set","number"]"#,
    r#"["map","bool"]"#,
    r#"["tuple",["string","number","bool"]]"#,
    r#"["object",{"id":"string","labels":["map","string"],"size":"number"}]"#,
    r#"["list","dynamic"]"#,
    r#"["map",["set",["object",{"a":"dynamic","b":["list","number"]}]]]"#,
    r#"["set",["tuple",["dynamic","string"]]]"#,
    r#"["object",{}]"#,
    r#"["list",["list",["list",["list","string"]]]]"#,
];

fn parts(input: &[u8]) -> Option<(Type, &[u8])> {
    let (&choice, bytes) = input.split_first()?;
    let json = TYPES[usize::from(choice) % TYPES.len()];
    Some((Type::from_json(json.as_bytes()).expect("the types of the table are types"), bytes))
}

/// Tries an input of the msgpack decoder.
pub(crate) fn msgpack(input: &[u8]) {
    let Some((ty, bytes)) = parts(input) else { return };
    accepted(Dynamic::from_msgpack(bytes, &ty), &ty);
    accepted(Dynamic::from_msgpack_untyped(bytes), &Type::Dynamic);
}

/// Tries an input of the JSON decoders, values and types.
pub(crate) fn json(input: &[u8]) {
    let Some((ty, bytes)) = parts(input) else { return };
    accepted(Dynamic::from_json(bytes, &ty), &ty);
    accepted(Dynamic::from_stored_json(bytes, &ty), &ty);
    accepted(Dynamic::from_json_untyped(bytes), &Type::Dynamic);
    if let Ok(ty) = Type::from_json(bytes) {
        assert!(Type::from_json(ty.to_json().as_bytes()) == Ok(ty));
    }
}

fn accepted(decoded: Result<Dynamic, ValueError>, ty: &Type) {
    let Ok(value) = decoded else { return };
    let encoded = value.to_msgpack(ty).expect("what was read as a type can be written as it");
    let again = Dynamic::from_msgpack(&encoded, ty).expect("what was written can be read");
    assert!(again == value);
    assert!(again.to_msgpack(ty).as_ref() == Ok(&encoded));

    if value.is_wholly_known() {
        let encoded = value.to_json(ty).expect("what is known can be written as JSON");
        let again = Dynamic::from_json(encoded.as_bytes(), ty).expect("what was written can be read");
        assert!(again == value);
        assert!(again.to_json(ty).as_ref() == Ok(&encoded));
    } else {
        assert!(value.to_json(ty).is_err());
    }
}
