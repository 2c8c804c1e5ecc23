use super::{hex, ty};
use crate::value::{Dynamic, MAX_DEPTH, Problem, Type};

fn refused(bytes: &[u8], json_type: &str) -> String {
    Dynamic::from_msgpack(bytes, &ty(json_type)).unwrap_err().to_string()
}

#[test]
fn a_declared_length_is_not_believed() {
    for bytes in ["ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff00"] {
        for json_type in [r#"["list","string"]"#, r#"["map","string"]"#, r#""string""#, r#""dynamic""#] {
            refused(&hex(bytes), json_type);
        }
        Dynamic::from_msgpack_untyped(&hex(bytes)).unwrap_err();
    }
    // Each level claims all that follows it.
    let lying: Vec<u8> =
        (0..100_000u32).rev().flat_map(|left| [&[0xdd][..], &(left / 4).to_be_bytes()].concat()).collect();
    Dynamic::from_msgpack_untyped(&lying).unwrap_err();
}

#[test]
fn depth_is_bounded() {
    let nested_type = |depth: usize| format!("{}\"bool\"{}", r#"["list","#.repeat(depth), "]".repeat(depth));
    Type::from_json(nested_type(MAX_DEPTH - 1).as_bytes()).unwrap();
    let too_deep = Type::from_json(nested_type(1_000_000).as_bytes()).unwrap_err();
    assert_eq!(*too_deep.problem(), Problem::TooDeep);

    let deep = |depth| [vec![0x91; depth], vec![0xc0]].concat();
    let deepest = Dynamic::from_msgpack_untyped(&deep(MAX_DEPTH - 1)).unwrap();
    Dynamic::from_msgpack(&deepest.to_msgpack(&Type::Dynamic).unwrap(), &Type::Dynamic).unwrap();
    let too_deep = Dynamic::from_msgpack_untyped(&deep(1_000_000)).unwrap_err();
    assert_eq!(*too_deep.problem(), Problem::TooDeep);
    let json = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
    Dynamic::from_json_untyped(json(MAX_DEPTH - 1).as_bytes()).unwrap();
    Dynamic::from_json_untyped(json(1_000_000).as_bytes()).unwrap_err();

    // "Dynamic" inside "dynamic", each with its own type.
    let chain = [hex("92c40922").as_slice(), b"dynamic\""].concat().repeat(100_000);
    assert_eq!(*Dynamic::from_msgpack(&chain, &Type::Dynamic).unwrap_err().problem(), Problem::TooDeep);
    let chain = r#"{"type":"dynamic","value":"#.repeat(100_000);
    Dynamic::from_json(chain.as_bytes(), &Type::Dynamic).unwrap_err();
}

#[test]
fn count_is_bounded() {
    let nulls = [&[0xdd][..], &3_000_000u32.to_be_bytes(), &vec![0xc0; 3_000_000]].concat();
    assert_eq!(refused(&nulls, r#"["set","bool"]"#), "the value is too large");
}

#[test]
fn refinements_are_not_nested() {
    // Each body's only value is itself a refined unknown.
    let mut body = hex("8101c2");
    while body.len() < 900 {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        body = [&hex("8101c8")[..], &len, &[12], &body].concat();
    }
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    let bytes = [&[0xc8][..], &len, &[12], &body].concat();
    assert!(Dynamic::from_msgpack(&bytes, &Type::String).unwrap() == Dynamic::UNKNOWN);
}

#[test]
fn text_must_be_unicode() {
    assert_eq!(refused(&hex("a2 c3 28"), r#""string""#), "the text is not valid Unicode");
    assert_eq!(refused(&hex("81 a1 ff a1 61"), r#"["map","string"]"#), "the text is not valid Unicode");
    for json in
        [&b"\"\xff\""[..], br#""\ud800""#, br#""\ud800x""#, br#""\ud800\u0041""#, br#""\udc00\ud800""#]
    {
        let error = Dynamic::from_json(json, &Type::String).unwrap_err();
        assert_eq!(*error.problem(), Problem::NotUnicode);
    }
}

#[test]
fn not_quite_json_is_refused() {
    for json in [
        "",
        " ",
        "nul",
        "truee",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "\"a",
        "\"\n\"",
        r#""\x""#,
        r#""\u12""#,
        r#""\u+123""#,
        "01",
        "1.",
        "+1",
        "1 1",
        "[1]]",
        "'a'",
        "\u{feff}1",
        "[1}",
        "// 1",
    ] {
        assert!(Dynamic::from_json_untyped(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn names_are_exact() {
    let object = r#"["object",{"a":"string","b":"string"}]"#;
    Dynamic::from_msgpack(&hex("82 a162 c0 a161 c0"), &ty(object)).unwrap();
    assert_eq!(refused(&hex("81 a161 c0"), object), "b: the attribute is missing");
    assert_eq!(refused(&hex("82 a161 c0 a161 c0"), object), "the same name appears twice");
    let extra = "the object has an attribute that its type does not have";
    assert_eq!(refused(&hex("83 a161 c0 a162 c0 a163 c0"), object), extra);
    assert_eq!(refused(&hex("81 01 c0"), r#"["map","string"]"#), "a string as a key is required");
    assert_eq!(refused(&hex("91 c0"), r#"["tuple",["string","bool"]]"#), "2 elements are required");
    assert_eq!(refused(&hex("c0 c0"), r#""string""#), "bytes follow the end of the value");
}

#[test]
fn errors_say_where_and_never_what() {
    let nested = r#"["object",{"hooks":["list",["map",["object",{"key_wo":"number"}]]]}]"#;
    let json = br#"{"hooks":[{},{"first":{"key_wo":"hunter2"}}]}"#;
    let error = Dynamic::from_json(json, &ty(nested)).unwrap_err();
    assert_eq!(error.to_string(), r#"hooks[1]["first"].key_wo: this is not a decimal number"#);
    assert!(!format!("{error:?}").contains("hunter2"));
    assert!(!format!("{:?}", Dynamic::from("hunter2")).contains("hunter2"));
}
