//! What go-cty 1.20, the library of both cores, wrote for the same values.

use super::{assert_same, hex, ty};
use crate::value::{Dynamic, Refinements, Type, Typed};

/// What it is, its type, its msgpack in hexadecimal, and its JSON if it has one.
#[rustfmt::skip]
const VECTORS: &[(&str, &str, &str, Option<&str>)] = &[
    ("number 0", r#""number""#, "00", Some(r#"0"#)),
    ("number -0", r#""number""#, "00", Some(r#"-0"#)),
    ("number 1", r#""number""#, "01", Some(r#"1"#)),
    ("number 127", r#""number""#, "7f", Some(r#"127"#)),
    ("number 128", r#""number""#, "cc80", Some(r#"128"#)),
    ("number -32", r#""number""#, "e0", Some(r#"-32"#)),
    ("number -33", r#""number""#, "d0df", Some(r#"-33"#)),
    ("number 65536", r#""number""#, "ce00010000", Some(r#"65536"#)),
    ("number -2147483649", r#""number""#, "d3ffffffff7fffffff", Some(r#"-2147483649"#)),
    ("number 9223372036854775807", r#""number""#, "cf7fffffffffffffff", Some(r#"9223372036854775807"#)),
    ("number -9223372036854775808", r#""number""#, "d38000000000000000", Some(r#"-9223372036854775808"#)),
    ("number 9223372036854775808", r#""number""#, "b339323233333732303336383534373735383038", Some(r#"9223372036854775808"#)),
    ("number 18446744073709551615", r#""number""#, "b43138343436373434303733373039353531363135", Some(r#"18446744073709551615"#)),
    ("number 0.5", r#""number""#, "cb3fe0000000000000", Some(r#"0.5"#)),
    ("number -1.25", r#""number""#, "cbbff4000000000000", Some(r#"-1.25"#)),
    ("number 0.1", r#""number""#, "a3302e31", Some(r#"0.1"#)),
    ("number 3.14159265358979323846", r#""number""#, "b6332e3134313539323635333538393739333233383436", Some(r#"3.14159265358979323846"#)),
    ("number 1e3", r#""number""#, "cd03e8", Some(r#"1000"#)),
    ("number 1e22", r#""number""#, "b73130303030303030303030303030303030303030303030", Some(r#"10000000000000000000000"#)),
    ("number 1e23", r#""number""#, "b8313030303030303030303030303030303030303030303030", Some(r#"100000000000000000000000"#)),
    ("number 1e-7", r#""number""#, "a9302e30303030303031", Some(r#"0.0000001"#)),
    ("number 123456789012345678901234567890.5", r#""number""#, "d9203132333435363738393031323334353637383930313233343536373839302e35", Some(r#"123456789012345678901234567890.5"#)),
    ("number 0.30000000000000004", r#""number""#, "b3302e3330303030303030303030303030303034", Some(r#"0.30000000000000004"#)),
    ("number 9007199254740993", r#""number""#, "cf0020000000000001", Some(r#"9007199254740993"#)),
    ("string", r#""string""#, "bd68c3a96c6c6f2022775c6f726c6422203c263e0a01e280a820f09d849e", Some(r#""héllo \"w\\orld\" \u003c\u0026\u003e\n\u0001\u2028 𝄞""#)),
    ("empty string", r#""string""#, "a0", Some(r#""""#)),
    ("long string", r#""string""#, "d92830313233343536373839303132333435363738393031323334353637383930313233343536373839", Some(r#""0123456789012345678901234567890123456789""#)),
    ("null", r#""string""#, "c0", Some(r#"null"#)),
    ("list", r#"["list","string"]"#, "93a162c0a161", Some(r#"["b",null,"a"]"#)),
    ("empty list", r#"["list","string"]"#, "90", Some(r#"[]"#)),
    ("set", r#"["set","number"]"#, "93010203", Some(r#"[1,2,3]"#)),
    ("map", r#"["map","bool"]"#, "83a161c2a17ac3a2c3a9c0", Some(r#"{"a":false,"z":true,"é":null}"#)),
    ("object", r#"["object",{"id":"string","n":"number","tags":["map","string"]}]"#, "83a26964d40000a16ea3302e31a474616773c0", None),
    ("tuple", r#"["tuple",["string","number","bool"]]"#, "93a16101c3", Some(r#"["a",1,true]"#)),
    ("empty tuple and object", r#"["tuple",[["tuple",[]],["object",{}]]]"#, "929080", Some(r#"[[],{}]"#)),
    ("dynamic string", r#""dynamic""#, "92c40822737472696e6722a161", Some(r#"{"value":"a","type":"string"}"#)),
    ("dynamic null", r#""dynamic""#, "c0", Some(r#"null"#)),
    ("dynamic typed null", r#""dynamic""#, "92c40822737472696e6722c0", Some(r#"{"value":null,"type":"string"}"#)),
    ("dynamic unknown", r#""dynamic""#, "d40000", None),
    ("dynamic typed unknown", r#""dynamic""#, "92c40822737472696e6722d40000", None),
    ("dynamic typed refined unknown", r#""dynamic""#, "92c40822737472696e6722c7030c8101c2", None),
    ("dynamic empty list", r#""dynamic""#, "92c4115b226c697374222c22737472696e67225d90", Some(r#"{"value":[],"type":["list","string"]}"#)),
    ("dynamic set", r#""dynamic""#, "92c4105b22736574222c22737472696e67225d92a161a162", Some(r#"{"value":["a","b"],"type":["set","string"]}"#)),
    ("dynamic object", r#""dynamic""#, "92c4425b226f626a656374222c7b2261223a2264796e616d6963222c2262223a5b226c697374222c226e756d626572225d2c2263223a5b226f626a656374222c7b7d5d7d5d83a161c0a1629101a16380", Some(r#"{"value":{"a":null,"b":[1],"c":{}},"type":["object",{"a":"dynamic","b":["list","number"],"c":["object",{}]}]}"#)),
    ("dynamic tuple of untyped null", r#""dynamic""#, "92c41e5b227475706c65222c5b2264796e616d6963222c226e756d626572225d5d92c0c0", Some(r#"{"value":[null,null],"type":["tuple",["dynamic","number"]]}"#)),
    ("object with dynamic", r#"["object",{"d":"dynamic"}]"#, "81a16492c4105b226d6170222c226e756d626572225d81a16ba3302e31", Some(r#"{"d":{"value":{"k":0.1},"type":["map","number"]}}"#)),
    ("map of dynamic", r#"["map","dynamic"]"#, "82a16b92c408226e756d6265722202a16c92c408226e756d6265722201", Some(r#"{"k":{"value":2,"type":"number"},"l":{"value":1,"type":"number"}}"#)),
    ("optional attribute", r#"["object",{"a":"string"},["a"]]"#, "81a161a178", Some(r#"{"a":"x"}"#)),
    ("unknown", r#""string""#, "d40000", None),
    ("not null", r#""bool""#, "c7030c8101c2", None),
    ("prefix", r#""string""#, "c7090c8201c202a474656e5f", None),
    ("prefix, may be null", r#""string""#, "c7070c8102a474656e5f", None),
    ("number range", r#""number""#, "c70e0c8301c2039201c30492a3322e31c2", None),
    ("length range", r#"["list","string"]"#, "c7090c8301c2050206cd012c", None),
    ("unknown set", r#"["set","string"]"#, "d40000", None),
    ("object not null", r#"["object",{}]"#, "c7030c8101c2", None),
];

#[test]
fn msgpack_is_written_as_core_writes_it() {
    for (name, json_type, bytes, _) in VECTORS {
        let ty = ty(json_type);
        let value = Dynamic::from_msgpack(&hex(bytes), &ty).expect(name);
        assert_eq!(value.to_msgpack(&ty).unwrap(), hex(bytes), "{name}");
    }
}

#[test]
fn json_is_the_same_value() {
    for (name, json_type, bytes, json) in VECTORS {
        let ty = ty(json_type);
        let value = Dynamic::from_msgpack(&hex(bytes), &ty).expect(name);
        let Some(json) = json else {
            value.to_json(&ty).unwrap_err();
            continue;
        };
        assert_same(&Dynamic::from_json(json.as_bytes(), &ty).expect(name), &value, &ty);
        let own = value.to_json(&ty).unwrap();
        assert_same(&Dynamic::from_json(own.as_bytes(), &ty).expect(name), &value, &ty);
    }
}

#[test]
fn the_text_of_a_number_is_kept_in_both() {
    for text in ["0.10", "3.14159265358979323846", "1e22", "1E-7", "12345678901234567890123.50"] {
        let number = Dynamic::from_json(text.as_bytes(), &Type::Number).unwrap();
        let number =
            Dynamic::from_msgpack(&number.to_msgpack(&Type::Number).unwrap(), &Type::Number).unwrap();
        assert_eq!(number.to_json(&Type::Number).unwrap(), text);
    }
}

/// What a computation in core leaves: a float that is exactly 0.1's nearest, and not 0.1.
#[test]
fn a_float_stays_the_same_float() {
    let bytes = hex("cb 3fb999999999999a");
    let number = Dynamic::from_msgpack(&bytes, &Type::Number).unwrap();
    assert_eq!(number.to_msgpack(&Type::Number).unwrap(), bytes);
    assert!(number != Dynamic::Number("0.1".parse().unwrap()));
}

#[test]
fn a_set_may_hold_unknown_elements() {
    let ty = ty(r#"["set","string"]"#);
    let one_of_two = Dynamic::from_msgpack(&hex("92 a161 d40000"), &ty).unwrap();
    assert_same(&Dynamic::from_msgpack(&hex("92 d40000 a161"), &ty).unwrap(), &one_of_two, &ty);
    let Dynamic::Set(both) = Dynamic::from_msgpack(&hex("92 d40000 d40000"), &ty).unwrap() else {
        panic!("a set")
    };
    assert_eq!(both.len(), 2);
}

/// All are unknown values, to a reader that does not know the code.
#[test]
fn any_extension_is_unknown() {
    for bytes in [
        "d4 00 00",
        "d5 07 0000",
        "d6 ff 00000000",
        "c7 00 00",
        "c7 03 63 010203",
        "c8 0001 0c 00",
        "c7 02 0c ffff",
    ] {
        assert!(Dynamic::from_msgpack(&hex(bytes), &Type::String).unwrap() == Dynamic::UNKNOWN, "{bytes}");
    }
}

#[test]
fn refinements_are_kept_where_they_fit() {
    let read = |bytes: &str, ty| match Dynamic::from_msgpack(&hex(bytes), &ty) {
        Ok(Dynamic::Unknown(refinements)) => refinements,
        other => panic!("{other:?}"),
    };
    let prefix = "c7090c8201c202a474656e5f";
    assert_eq!(read(prefix, Type::String).as_prefix(), Some("ten_"));
    assert!(read(prefix, Type::String) == Refinements::NONE.prefix("ten_"));
    assert!(read(prefix, Type::Bool) == Refinements::NONE.not_null());
    assert!(read(prefix, Type::Dynamic).is_none());

    let range = read("c70e0c8301c2039201c30492a3322e31c2", Type::Number);
    let (Some(min), Some(max)) = range.number_range() else { panic!("both ends") };
    assert_eq!((min.limit.to_string(), min.inclusive), ("1".to_owned(), true));
    assert_eq!((max.limit.to_string(), max.inclusive), ("2.1".to_owned(), false));
    assert_eq!(read("c7090c8301c2050206cd012c", Type::list(Type::Bool)).length_range(), (Some(2), Some(300)));

    // A key from the future, with a value of some kind, is passed over.
    assert!(read("c7070c8201c2639201c3", Type::String) == Refinements::NONE.not_null());
    // Cores refuse a body beyond a kilobyte: what is left is said.
    let long = Dynamic::Unknown(Refinements::NONE.prefix("x".repeat(2000)));
    assert_eq!(long.to_msgpack(&Type::String).unwrap(), hex("c7030c8101c2"));
}

#[test]
fn a_place_of_any_type_keeps_the_type() {
    let empty = Dynamic::typed(Type::list(Type::String), Dynamic::List(vec![]));
    let Dynamic::Typed(typed) = &empty else { panic!("an empty list does not show its type") };
    assert_eq!(Typed::ty(typed), &Type::list(Type::String));
    assert!(empty != Dynamic::typed(Type::list(Type::Bool), Dynamic::List(vec![])));
    assert!(Dynamic::typed(Type::String, "a".into()) == "a".into());
    assert!(Dynamic::typed(Type::String, Dynamic::Null).is_null());

    let mixed = Dynamic::List(vec!["a".into(), 1.into()]);
    assert_eq!(
        mixed.to_msgpack(&Type::Dynamic).unwrap_err().to_string(),
        "the elements are of different types"
    );
    assert!(mixed.to_msgpack(&Type::list(Type::Dynamic)).is_ok());
}

#[test]
fn types_as_core_writes_them() {
    for json in [r#"["object",{"a":["set","number"],"b":["tuple",["dynamic",["object",{}]]]}]"#, r#""bool""#]
    {
        assert_eq!(ty(json).to_json(), json);
    }
    assert_eq!(
        ty(r#" ["object", {"b":"bool","a":"bool"}, ["a"] ] "#).to_json(),
        r#"["object",{"a":"bool","b":"bool"}]"#
    );
    for json in [
        r#""int""#,
        "[]",
        r#"["list"]"#,
        r#"["list","bool","bool"]"#,
        r#"["object",{"a":"bool","a":"bool"}]"#,
        r#"["object",[]]"#,
        r#"["object",{},[1]]"#,
        "null",
        "3",
    ] {
        assert!(Type::from_json(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn small_enough() {
    assert_eq!(size_of::<Dynamic>(), 32);
    assert_eq!(size_of::<Type>(), 24);
}
