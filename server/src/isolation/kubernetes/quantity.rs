//! Quantities in the form in which the API server keeps them, so that what is read back is equal to
//! what was written (k8s.io/apimachinery `resource.Quantity`, "canonical form": the largest suffix
//! that leaves a whole number).

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
}
