//! Numbers, exact.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// A decimal number of any size, kept as it was written.
///
/// `1`, `1.0` and `1e0` are equal, order alike and hash alike, and each is written back as it
/// came: core compares what a provider answers with what was configured, and 0.1 through a float
/// is another number. The text follows JSON's grammar for numbers.
///
/// Nothing here ever writes a number out in full, so that `1e1000000` costs nine bytes.
#[derive(Clone)]
pub struct Number(Repr);

#[derive(Clone)]
enum Repr {
    /// Nearly every number there is. Its text is the usual one.
    Int(i64),
    /// Any other text.
    Text(Box<str>),
}

/// Text that is not a decimal number. It is not repeated here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a decimal number")]
pub struct NumberError;

/// The largest exponent, either way. Go's numbers, which core computes with, end before it.
const MAX_EXPONENT: i64 = 1_000_000_000;

/// A number as its significant digits `d₁d₂…` and the place of the point: `0.d₁d₂… × 10^point`.
/// Zero has no digits, is not negative, and its point is 0, so that equal numbers have equal parts.
struct Parts<'a> {
    negative: bool,
    digits: [&'a [u8]; 2],
    point: i64,
}

impl<'a> Parts<'a> {
    /// Takes a text that has passed [`check`] apart.
    fn of(text: &'a str) -> Self {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // `check` has seen to it that the exponent is small.
        let exponent: i64 = exponent.parse().unwrap_or(0);

        let written = whole.len() + fraction.len();
        let leading = leading_zeros(whole, fraction);
        if leading == written {
            return Self { negative: false, digits: [b"", b""], point: 0 };
        }
        let trailing = trailing_zeros(whole, fraction);
        let [whole, fraction] = [whole.as_bytes(), fraction.as_bytes()];
        let point = exponent + signed(whole.len()) - signed(leading);
        let digits = [
            &whole[leading.min(whole.len())..whole.len() - trailing.saturating_sub(fraction.len())],
            &fraction[leading.saturating_sub(whole.len())..fraction.len() - trailing.min(fraction.len())],
        ];
        Self { negative, digits, point }
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.digits.into_iter().flatten().copied()
    }

    fn len(&self) -> usize {
        self.digits[0].len() + self.digits[1].len()
    }

    fn is_zero(&self) -> bool {
        self.len() == 0
    }

    fn cmp_magnitude(&self, other: &Parts<'_>) -> Ordering {
        let zeros = other.is_zero().cmp(&self.is_zero());
        zeros.then_with(|| self.point.cmp(&other.point)).then_with(|| self.digits().cmp(other.digits()))
    }
}

fn signed(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

fn leading_zeros(whole: &str, fraction: &str) -> usize {
    whole.bytes().chain(fraction.bytes()).take_while(|&digit| digit == b'0').count()
}

fn trailing_zeros(whole: &str, fraction: &str) -> usize {
    whole.bytes().chain(fraction.bytes()).rev().take_while(|&digit| digit == b'0').count()
}

/// Whether the text is a JSON number with a bearable exponent.
fn check(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent_fits = |exponent: &str| {
        let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        digits(unsigned) && exponent.parse::<i64>().is_ok_and(|value| value.abs() <= MAX_EXPONENT)
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(exponent_fits)
}

impl Number {
    /// The exact value of a float; `None` for infinities and what is no number.
    pub fn from_f64(float: f64) -> Option<Self> {
        if !float.is_finite() {
            return None;
        }
        // `float` is an odd number times 2^lowest, and 2^-n has n decimals.
        let bits = float.to_bits();
        let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
        let mantissa = if exponent == 0 { fraction } else { fraction | (1 << 52) };
        let lowest = i64::try_from(exponent.max(1)).ok()? - 1075 + i64::from(mantissa.trailing_zeros());
        let decimals = if mantissa == 0 { 0 } else { usize::try_from(-lowest).unwrap_or(0) };
        format!("{float:.decimals$}").parse().ok()
    }

    /// The number, if it is whole and fits.
    pub fn to_i64(&self) -> Option<i64> {
        match &self.0 {
            Repr::Int(value) => Some(*value),
            Repr::Text(_) => self.to_i128()?.try_into().ok(),
        }
    }

    /// The number, if it is whole, not negative, and fits.
    pub fn to_u64(&self) -> Option<u64> {
        match &self.0 {
            Repr::Int(value) => (*value).try_into().ok(),
            Repr::Text(_) => self.to_i128()?.try_into().ok(),
        }
    }

    fn to_i128(&self) -> Option<i128> {
        self.with_parts(|parts| {
            // 20 digits hold every u64 and i64; i128 holds 38.
            let places = usize::try_from(parts.point).ok().filter(|&places| places <= 20)?;
            if parts.len() > places {
                return None;
            }
            let zeros = std::iter::repeat_n(b'0', places - parts.len());
            let magnitude =
                parts.digits().chain(zeros).fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
            Some(if parts.negative { -magnitude } else { magnitude })
        })
    }

    /// The number, if a float holds it exactly: 0.5 has one, 0.1 has not.
    pub fn to_f64(&self) -> Option<f64> {
        let nearest: f64 = self.with_text(|text| text.parse().ok())?;
        // No float has more significant digits than the smallest ones' 767.
        let short = self.with_parts(|parts| parts.len() <= 767);
        (short && Self::from_f64(nearest)? == *self).then_some(nearest)
    }

    /// Whether the number has no fraction, however it is written.
    pub fn is_whole(&self) -> bool {
        self.with_parts(|parts| parts.point >= signed(parts.len()))
    }

    /// What the number takes beside its own place.
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Int(_) => 0,
            Repr::Text(text) => text.len(),
        }
    }

    fn with_text<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            Repr::Int(value) => read(&value.to_string()),
            Repr::Text(text) => read(text),
        }
    }

    fn with_parts<T>(&self, read: impl FnOnce(Parts<'_>) -> T) -> T {
        self.with_text(|text| read(Parts::of(text)))
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        if !check(text) {
            return Err(NumberError);
        }
        // The grammar leaves each i64 one plain text, but for "-0", which is kept as it is.
        Ok(match text.parse() {
            Ok(value) if text != "-0" => Self(Repr::Int(value)),
            _ => Self(Repr::Text(text.into())),
        })
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(Repr::Int(value))
    }
}

impl From<i32> for Number {
    fn from(value: i32) -> Self {
        i64::from(value).into()
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        i64::from(value).into()
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self(match i64::try_from(value) {
            Ok(value) => Repr::Int(value),
            Err(_) => Repr::Text(value.to_string().into()),
        })
    }
}

/// The text as it was given.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(value) => value.fmt(f),
            Repr::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Repr::Int(a), Repr::Int(b)) = (&self.0, &other.0) {
            return a.cmp(b);
        }
        self.with_parts(|a| {
            other.with_parts(|b| match (a.negative, b.negative) {
                (false, false) => a.cmp_magnitude(&b),
                (true, true) => b.cmp_magnitude(&a),
                (a_negative, b_negative) => b_negative.cmp(&a_negative),
            })
        })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.with_parts(|parts| {
            parts.negative.hash(state);
            parts.point.hash(state);
            parts.digits().for_each(|digit| digit.hash(state));
        });
    }
}
