use proptest::prelude::*;

use super::arbitrary::{Unknowns, any_type, typed_value};
use super::assert_same;
use crate::value::{Dynamic, DynamicSet, Type};

proptest! {
    #[test]
    fn msgpack_comes_back((ty, value) in typed_value(Unknowns::Some)) {
        let encoded = value.to_msgpack(&ty).unwrap();
        assert_same(&Dynamic::from_msgpack(&encoded, &ty).unwrap(), &value, &ty);
    }

    #[test]
    fn json_comes_back((ty, value) in typed_value(Unknowns::None)) {
        let encoded = value.to_json(&ty).unwrap();
        assert_same(&Dynamic::from_json(encoded.as_bytes(), &ty).unwrap(), &value, &ty);
        // It is JSON to others too.
        serde_json::from_str::<serde::de::IgnoredAny>(&encoded).unwrap();
    }

    #[test]
    fn one_encoding_leads_to_the_other((ty, value) in typed_value(Unknowns::None)) {
        let json = Dynamic::from_msgpack(&value.to_msgpack(&ty).unwrap(), &ty).unwrap().to_json(&ty).unwrap();
        let msgpack = Dynamic::from_json(json.as_bytes(), &ty).unwrap().to_msgpack(&ty).unwrap();
        prop_assert_eq!(msgpack, value.to_msgpack(&ty).unwrap());
    }

    #[test]
    fn types_come_back(ty in any_type()) {
        prop_assert_eq!(Type::from_json(ty.to_json().as_bytes()).unwrap(), ty);
    }

    #[test]
    fn a_cut_or_lengthened_value_is_refused((ty, value) in typed_value(Unknowns::Some), cut in any::<prop::sample::Index>()) {
        let mut encoded = value.to_msgpack(&ty).unwrap();
        Dynamic::from_msgpack(&encoded[..cut.index(encoded.len())], &ty).unwrap_err();
        encoded.push(0xc0);
        Dynamic::from_msgpack(&encoded, &ty).unwrap_err();
    }

    #[test]
    fn another_type_is_an_error_and_no_panic((ty, value) in typed_value(Unknowns::Some), other in any_type()) {
        if let Ok(encoded) = value.to_msgpack(&other) {
            Dynamic::from_msgpack(&encoded, &other).unwrap();
        }
        let _ = Dynamic::from_msgpack(&value.to_msgpack(&ty).unwrap(), &other);
    }

    #[test]
    fn sets_have_no_order(mut elements in prop::collection::vec(typed_value(Unknowns::None).prop_map(|(_, value)| value), 0..6), seed in any::<u64>()) {
        let set = DynamicSet::from(elements.clone());
        let len = elements.len().max(1);
        elements.rotate_left(usize::try_from(seed).unwrap_or(0) % len);
        elements.extend(elements.first().cloned());
        let other: DynamicSet = elements.into_iter().rev().collect();
        prop_assert!(set == other);
    }

    #[test]
    fn what_an_older_schema_stored_is_read((ty, value) in typed_value(Unknowns::None)) {
        let wider = Type::object([("kept", ty.clone()), ("gone", ty.clone())]);
        let narrower = Type::object([("kept", ty.clone()), ("later", Type::String)]);
        let stored = Dynamic::Object([("kept", value.clone()), ("gone", value.clone())].into_iter().collect());
        let stored = stored.to_json(&wider).unwrap();
        let read = Dynamic::from_stored_json(stored.as_bytes(), &narrower).unwrap();
        let Dynamic::Object(fields) = read else { panic!("an object is an object") };
        assert_same(fields.get("kept").unwrap(), &value, &ty);
        prop_assert!(fields.get("later").unwrap().is_null());
        Dynamic::from_json(stored.as_bytes(), &narrower).unwrap_err();
    }
}
