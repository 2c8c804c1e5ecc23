//! A token's value: `ici_`, 43 base62 digits (256 bits), 6 base62 digits of CRC-32 over those.
//!
//! The prefix lets secret scanners find a leaked one; the checksum lets both them and us tell a
//! mistyped one without asking the store.

use integraci_api::SecretText;
use secrecy::zeroize::Zeroize;
use sha2::{Digest, Sha256};

const PREFIX: &str = "ici_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256.
const BODY_LEN: usize = 43;
/// 62^6 > 2^32.
const CHECK_LEN: usize = 6;

/// The value of a token, well formed.
#[derive(Clone, Debug)]
pub struct TokenSecret(SecretText);

impl TokenSecret {
    /// The token of 256 random bits.
    #[must_use]
    pub fn from_bits(mut bits: [u8; 32]) -> Self {
        let mut body = base62(&bits, BODY_LEN);
        bits.zeroize();
        let check = base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECK_LEN);
        let text = format!("{PREFIX}{body}{check}");
        body.zeroize();
        Self(SecretText::new(text))
    }

    /// Takes what a caller sent, if it has the form and the checksum of a token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits =
            text.strip_prefix(PREFIX).filter(|rest| rest.is_ascii() && rest.len() == BODY_LEN + CHECK_LEN)?;
        let (body, check) = digits.split_at(BODY_LEN);
        let whole = base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECK_LEN) == check;
        whole.then(|| Self(SecretText::new(text.to_owned())))
    }

    /// What the store keeps and looks for.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.expose().as_bytes()).into()
    }

    /// The value, to be shown to its owner once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A big-endian number in base 62, with leading zeros to `len` digits.
fn base62(bytes: &[u8], len: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; len];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or_default();
            remainder = value % 62;
        }
        *digit = DIGITS[remainder as usize];
    }
    number.zeroize();
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_a_mistyped_one_does_not() {
        let token = TokenSecret::from_bits([0xff; 32]);
        let text = token.expose().to_owned();
        assert_eq!(text.len(), 4 + BODY_LEN + CHECK_LEN);
        assert_eq!(TokenSecret::parse(&text).map(|read| read.hash()), Some(token.hash()));
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            assert!(TokenSecret::parse(std::str::from_utf8(&wrong).unwrap()).is_none(), "digit {at}");
        }
    }

    #[test]
    fn base62_is_exact_at_the_ends() {
        assert_eq!(base62(&[0; 32], BODY_LEN), "0".repeat(BODY_LEN));
        assert_eq!(base62(&61_u32.to_be_bytes(), 6), "00000z");
        assert_eq!(base62(&62_u32.to_be_bytes(), 6), "000010");
        assert_eq!(base62(&u32::MAX.to_be_bytes(), 6), "4gfFC3");
    }

    #[test]
    fn debug_shows_nothing() {
        let token = TokenSecret::from_bits([7; 32]);
        assert_eq!(format!("{token:?}"), "TokenSecret([secret])");
    }
}
