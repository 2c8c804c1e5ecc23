//! Quantities in the form in which the API server keeps them, so that what is read back is equal to
//! what was written (k8s.io/apimachinery `resource.Quantity`, "canonical form": the largest suffix
//! that leaves a whole number); and read in every form that it takes from whoever made a pod.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A number of things.
pub(super) fn count(number: u64) -> Quantity {
    written(number, 1000, &["", "k", "M", "G", "T", "P", "E"])
}

/// Thousandths of a processor.
pub(super) fn millis(number: u64) -> Quantity {
    if number.is_multiple_of(1000) { count(number / 1000) } else { Quantity(format!("{number}m")) }
}

/// Bytes, by 1024 where they are whole so, else by 1000.
pub(super) fn bytes(number: u64) -> Quantity {
    if number.is_multiple_of(1024) {
        written(number, 1024, &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])
    } else {
        count(number)
    }
}

fn written(mut number: u64, step: u64, suffixes: &[&str]) -> Quantity {
    let mut suffix = "";
    for larger in suffixes {
        suffix = larger;
        if number == 0 || !number.is_multiple_of(step) {
            break;
        }
        if *larger != suffixes[suffixes.len() - 1] {
            number /= step;
        }
    }
    Quantity(format!("{number}{suffix}"))
}

/// A quantity in parts of which one has `units`, rounded up; none where it is no quantity, or none that
/// is zero or more. The largest there is stands for any that is larger.
pub(super) fn read(quantity: &Quantity, units: i64) -> Option<i64> {
    let text = quantity.0.as_str();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (base, power): (i128, i32) = match suffix {
        "n" => (10, -9),
        "u" => (10, -6),
        "m" => (10, -3),
        "" => (10, 0),
        "k" => (10, 3),
        "M" => (10, 6),
        "G" => (10, 9),
        "T" => (10, 12),
        "P" => (10, 15),
        "E" => (10, 18),
        "Ki" => (1024, 1),
        "Mi" => (1024, 2),
        "Gi" => (1024, 3),
        "Ti" => (1024, 4),
        "Pi" => (1024, 5),
        "Ei" => (1024, 6),
        exponent => (10, exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let times = |number: i128, base: i128, power: u32| number.saturating_mul(base.saturating_pow(power));
    let above = times(digits.saturating_mul(units.into()), base, u32::try_from(power.max(0)).ok()?);
    let below = times(
        10_i128.saturating_pow(u32::try_from(fraction.len()).ok()?),
        base,
        u32::try_from(power.min(0).checked_neg()?).ok()?,
    );
    let rounded_up = above / below + i128::from(above % below != 0);
    Some(i64::try_from(rounded_up).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_as_the_api_server_keeps_them() {
        for (quantity, text) in [
            (count(0), "0"),
            (count(50), "50"),
            (count(1000), "1k"),
            (count(1_500_000), "1500k"),
            (millis(8000), "8"),
            (millis(1500), "1500m"),
            (millis(160), "160m"),
            (bytes(0), "0"),
            (bytes(16 << 30), "16Gi"),
            (bytes(1536 << 20), "1536Mi"),
            (bytes(1_000_000), "1M"),
            (bytes(1025), "1025"),
        ] {
            assert_eq!(quantity.0, text);
        }
    }

    #[test]
    fn quantities_are_read_in_every_form_and_rounded_up() {
        for (text, units, expected) in [
            ("0", 1, Some(0)),
            ("50", 1, Some(50)),
            ("1k", 1, Some(1000)),
            ("8", 1000, Some(8000)),
            ("1500m", 1000, Some(1500)),
            ("1.5", 1000, Some(1500)),
            ("100u", 1000, Some(1)),
            ("1500m", 1, Some(2)),
            ("16Gi", 1, Some(16 << 30)),
            ("0.5Gi", 1, Some(1 << 29)),
            ("12e6", 1, Some(12_000_000)),
            ("3E-3", 1000, Some(3)),
            ("9E", 1000, Some(i64::MAX)),
            ("9e999999999", 1, Some(i64::MAX)),
            ("1e-999999999", 1, Some(1)),
            ("", 1, None),
            (".", 1, None),
            ("-1", 1, None),
            ("1Xi", 1, None),
            ("1.2.3", 1, None),
        ] {
            assert_eq!(read(&Quantity(text.to_owned()), units), expected, "{text}");
        }
        for number in [0, 1, 1000, 1024, 1536 << 20, (1 << 53) - 1] {
            assert_eq!(read(&bytes(number), 1), i64::try_from(number).ok());
            assert_eq!(read(&millis(number), 1000), i64::try_from(number).ok());
        }
    }
}
