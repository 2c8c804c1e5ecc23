//! Amounts as people write them, after Kubernetes' quantities: `8`, `0.5`, `500m`, `16Gi`, `2M`.
//! Everywhere else an amount is a whole number of base units.

/// What one of a dimension is, and how people write many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Whole things.
    Ones,
    /// Processors; the base unit is a thousandth of one.
    Processors,
    /// Bytes.
    Bytes,
}

/// A suffix, and what it stands for in base units.
type Suffix = (&'static str, i64);

const BINARY: &[Suffix] =
    &[("Pi", 1 << 50), ("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
const DECIMAL: &[Suffix] = &[
    ("P", 1_000_000_000_000_000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
    ("", 1),
];
/// Digits after the point that are looked at: less than a byte of a `Pi` is nothing.
const DECIMALS_MAX: usize = 15;

impl Unit {
    /// An amount in base units.
    ///
    /// # Errors
    /// What to write instead; never quotes the text.
    pub fn parse(self, text: &str) -> Result<i64, String> {
        self.parsed(text).ok_or_else(|| self.expected().to_owned())
    }

    /// The base unit in words.
    #[must_use]
    pub const fn base(self) -> &'static str {
        match self {
            Self::Ones => "ones",
            Self::Processors => "thousandths of a processor",
            Self::Bytes => "bytes",
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Ones => "expected a whole number, zero or more, without leading zeros or a unit",
            Self::Processors => "expected processors such as `8` or `0.5`, or thousandths such as `500m`",
            Self::Bytes => "expected bytes such as `2Gi`, `512Mi`, `10G` or a whole number",
        }
    }

    fn parsed(self, text: &str) -> Option<i64> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let base = self.base_units(suffix)?;
        let (whole, decimals) = match number.split_once('.') {
            None => (number, ""),
            Some((_, decimals)) if decimals.is_empty() || decimals.contains('.') => return None,
            Some(parts) => parts,
        };
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) || decimals.len() > DECIMALS_MAX {
            return None;
        }
        let power = 10_i128.checked_pow(decimals.len().try_into().ok()?)?;
        let digits: i128 = format!("{whole}{decimals}").parse().ok()?;
        let scaled = digits.checked_mul(base.into())?;
        if scaled % power == 0 { i64::try_from(scaled / power).ok() } else { None }
    }

    fn base_units(self, suffix: &str) -> Option<i64> {
        let mut known = match self {
            Self::Ones => [].iter().chain(&[("", 1)]),
            Self::Processors => [("m", 1)].iter().chain(&[("", 1000)]),
            Self::Bytes => BINARY.iter().chain(DECIMAL),
        };
        known.find(|(word, _)| *word == suffix).map(|(_, base)| *base)
    }

    /// An amount in base units, as people write it.
    #[must_use]
    pub fn write(self, amount: i64) -> String {
        match self {
            Self::Ones => amount.to_string(),
            Self::Processors if amount % 1000 == 0 => (amount / 1000).to_string(),
            Self::Processors => format!("{amount}m"),
            Self::Bytes => {
                let suffixes = if amount % 1024 == 0 { BINARY } else { DECIMAL };
                let fits = suffixes.iter().find(|(_, base)| amount != 0 && amount % base == 0);
                fits.map_or_else(|| amount.to_string(), |(word, base)| format!("{}{word}", amount / base))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_in_the_units_people_write() {
        for (unit, text, amount) in [
            (Unit::Ones, "0", 0),
            (Unit::Ones, "20", 20),
            (Unit::Processors, "8", 8000),
            (Unit::Processors, "0.5", 500),
            (Unit::Processors, "500m", 500),
            (Unit::Bytes, "2Gi", 2 << 30),
            (Unit::Bytes, "2048Mi", 2 << 30),
            (Unit::Bytes, "1.5Ki", 1536),
            (Unit::Bytes, "10G", 10_000_000_000),
            (Unit::Bytes, "1024", 1024),
        ] {
            assert_eq!(unit.parse(text), Ok(amount), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "-1", "+1", "1.5", "020", "many", "1Gi", "1 ", " 1", "1e3", "9223372036854775808"] {
            assert!(Unit::Ones.parse(text).is_err(), "{text}");
        }
        for text in ["0.0005", "m", "1.", ".5", "1.2.3", "1Gi", "1.5m", "-500m"] {
            assert!(Unit::Processors.parse(text).is_err(), "{text}");
        }
        for text in ["Gi", "1gi", "1GB", "1.5", "500m", "0.3Ki", "99999999Pi", "-1Gi", "1KiKi"] {
            assert!(Unit::Bytes.parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(amount in 0..i64::MAX) {
            for unit in [Unit::Ones, Unit::Processors, Unit::Bytes] {
                prop_assert_eq!(unit.parse(&unit.write(amount)), Ok(amount));
            }
        }
    }
}
