use std::cmp::Ordering;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use proptest::prelude::*;

use super::arbitrary;
use crate::value::Number;

fn number(text: &str) -> Number {
    text.parse().unwrap()
}

fn hash(number: &Number) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(number)
}

#[test]
fn equal_however_written() {
    for (a, b) in [
        ("1", "1.0"),
        ("1000", "1e3"),
        ("1000", "1E+3"),
        ("0.001", "1e-3"),
        ("0", "-0.000e7"),
        ("-12.50", "-1.25e1"),
        ("120", "1.2e2"),
        ("100000000000000000000", "1e20"),
    ] {
        assert_eq!(number(a), number(b), "{a} {b}");
        assert_eq!(hash(&number(a)), hash(&number(b)), "{a} {b}");
    }
}

#[test]
fn ordered_by_value() {
    let ascending =
        ["-1e9", "-10", "-9.99", "-0.1", "-1e-9", "0", "1e-9", "0.1", "0.11", "1", "1.5", "9", "10", "1e9"];
    for (at, a) in ascending.iter().enumerate() {
        for (other_at, b) in ascending.iter().enumerate() {
            assert_eq!(number(a).cmp(&number(b)), at.cmp(&other_at), "{a} {b}");
        }
    }
}

#[test]
fn the_text_is_kept() {
    for text in ["0.10", "1e3", "-0", "1.0", "007".trim_start_matches('0'), "18446744073709551616", "1E-7"] {
        assert_eq!(number(text).to_string(), text);
    }
}

#[test]
fn only_exact_conversions() {
    assert_eq!(number("1e3").to_i64(), Some(1000));
    assert_eq!(number("12.00").to_i64(), Some(12));
    assert_eq!(number("-9223372036854775808").to_i64(), Some(i64::MIN));
    assert_eq!(number("-9223372036854775808.0").to_i64(), Some(i64::MIN));
    assert_eq!(number("9223372036854775808").to_i64(), None);
    assert_eq!(number("0.5").to_i64(), None);
    assert_eq!(number("18446744073709551615").to_u64(), Some(u64::MAX));
    assert_eq!(number("18446744073709551616").to_u64(), None);
    assert_eq!(number("-1").to_u64(), None);
    assert_eq!(number("-0").to_u64(), Some(0));
    assert_eq!(number("0.5").to_f64(), Some(0.5));
    assert_eq!(number("9007199254740993").to_f64(), None);
    assert_eq!(number("0.1").to_f64(), None);
    assert_eq!(number("1e22").to_f64(), Some(1e22));
    assert_eq!(number("1e23").to_f64(), None);
    assert_eq!(number("1e400").to_f64(), None);
    assert_eq!(number("1e-400").to_f64(), None);
    assert_eq!(
        Number::from_f64(0.1).unwrap().to_string(),
        "0.1000000000000000055511151231257827021181583404541015625"
    );
    assert_eq!(Number::from_f64(-1.5).unwrap().to_string(), "-1.5");
    assert!(
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].iter().all(|&float| Number::from_f64(float).is_none())
    );
}

#[test]
fn exponents_cost_nothing() {
    let huge = number("1e1000000");
    assert_eq!(huge.to_string(), "1e1000000");
    assert_eq!((huge.to_i64(), huge.to_u64(), huge.to_f64()), (None, None, None));
    assert_eq!(number("1e-1000000000").cmp(&number("1e1000000000")), Ordering::Less);
    for beyond in ["1e1000000001", "1e-1000000001", "1e99999999999999999999"] {
        assert!(beyond.parse::<Number>().is_err());
    }
}

#[test]
fn nothing_but_json_numbers() {
    for text in [
        "", "-", "+1", "01", "-01", ".5", "5.", "1e", "1e+", "1e1.0", "0x1", "Inf", "NaN", "1_000", " 1",
        "1 ", "--1", "1.2.3", "١",
    ] {
        assert!(text.parse::<Number>().is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn floats_come_back(float in any::<f64>().prop_filter("finite", |float| float.is_finite())) {
        prop_assert_eq!(Number::from_f64(float).unwrap().to_f64(), Some(float));
    }

    #[test]
    fn integers_agree_with_i128(a in any::<i128>(), b in any::<i128>()) {
        let [x, y] = [a, b].map(|integer| number(&integer.to_string()));
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        prop_assert_eq!(x.to_i64(), i64::try_from(a).ok());
        prop_assert_eq!(x.to_u64(), u64::try_from(a).ok());
    }

    #[test]
    fn equality_order_and_hash_agree(a in arbitrary::number(), b in arbitrary::number()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a == b, a.cmp(&b) == Ordering::Equal);
        if a == b {
            prop_assert_eq!(hash(&a), hash(&b));
        }
        let shifted = number(&format!("{a}"));
        prop_assert_eq!(hash(&a), hash(&shifted));
        if let (Some(x), Some(y)) = (a.to_f64(), b.to_f64()) {
            prop_assert_eq!(a.partial_cmp(&b), x.partial_cmp(&y));
        }
    }
}
