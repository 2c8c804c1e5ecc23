//! Reads JSON (RFC 8259) from the front.

use std::borrow::Cow;

use super::types::type_of;
use crate::value::decode::{Decoder, Entries, Event, Source};
use crate::value::{Dynamic, Problem, ValueError};

/// The text and how far it has been read.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Problem> {
        Ok(Self { text: str::from_utf8(bytes).map_err(|_| Problem::NotUnicode)?, at: 0 })
    }

    fn peek(&mut self) -> Result<u8, Problem> {
        let rest = &self.text.as_bytes()[self.at..];
        let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += blank;
        rest.get(blank).copied().ok_or(Problem::Malformed)
    }

    fn take(&mut self, wanted: &str) -> Result<(), Problem> {
        if !self.text[self.at..].starts_with(wanted) {
            return Err(Problem::Malformed);
        }
        self.at += wanted.len();
        Ok(())
    }

    fn number(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end =
            rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Problem> {
        self.take("\"")?;
        let mut decoded = String::new();
        loop {
            let rest = &self.text[self.at..];
            // Quotes, backslashes and control characters are one byte each in UTF-8.
            let plain = rest.find(|c| matches!(c, '"' | '\\' | '\0'..='\x1f')).ok_or(Problem::Malformed)?;
            let (plain, stop) = (&rest[..plain], rest.as_bytes()[plain]);
            self.at += plain.len() + 1;
            match stop {
                b'"' if decoded.is_empty() => return Ok(Cow::Borrowed(plain)),
                b'"' => {
                    decoded.push_str(plain);
                    return Ok(Cow::Owned(decoded));
                }
                b'\\' => {
                    decoded.push_str(plain);
                    decoded.push(self.escape()?);
                }
                _ => return Err(Problem::Malformed),
            }
        }
    }

    /// Reads an escape after its backslash.
    fn escape(&mut self) -> Result<char, Problem> {
        let kind = *self.text.as_bytes().get(self.at).ok_or(Problem::Malformed)?;
        let simple = match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.surrogates();
            }
            _ => return Err(Problem::Malformed),
        };
        self.at += 1;
        Ok(simple)
    }

    fn surrogates(&mut self) -> Result<char, Problem> {
        let first = self.hex4()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or(Problem::NotUnicode);
        }
        self.take("\\u").map_err(|_| Problem::NotUnicode)?;
        let second = self.hex4()?;
        let pair = [first, second].map(|unit| u16::try_from(unit).unwrap_or_default());
        match char::decode_utf16(pair).next() {
            Some(Ok(decoded)) if second >= 0xdc00 => Ok(decoded),
            _ => Err(Problem::NotUnicode),
        }
    }

    fn hex4(&mut self) -> Result<u32, Problem> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Problem::Malformed)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Problem::Malformed);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Problem::Malformed)
    }

    /// Moves past what separates entries; false at the end of the array or object.
    fn entry(&mut self, entries: &mut Entries, end: u8) -> Result<bool, Problem> {
        let Entries::Delimited { first } = entries else { return Err(Problem::Malformed) };
        let next = self.peek()?;
        if next == end {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            self.take(",")?;
            self.peek()?;
        }
        Ok(true)
    }
}

impl<'a> Source<'a> for Reader<'a> {
    const CONVERTS: bool = true;
    const OMITS_NULLS: bool = true;

    fn event(&mut self) -> Result<Event<'a>, Problem> {
        Ok(match self.peek()? {
            b'n' => self.take("null").map(|()| Event::Null)?,
            b't' => self.take("true").map(|()| Event::Bool(true))?,
            b'f' => self.take("false").map(|()| Event::Bool(false))?,
            b'-' | b'0'..=b'9' => Event::Number(self.number().parse().map_err(|_| Problem::NotANumber)?),
            b'"' => Event::Text(self.string()?),
            b'[' => {
                self.at += 1;
                Event::Array(Entries::Delimited { first: true })
            }
            b'{' => {
                self.at += 1;
                Event::Map(Entries::Delimited { first: true })
            }
            _ => return Err(Problem::Malformed),
        })
    }

    fn element(&mut self, entries: &mut Entries) -> Result<bool, Problem> {
        self.entry(entries, b']')
    }

    fn key(&mut self, entries: &mut Entries) -> Result<Option<Cow<'a, str>>, Problem> {
        if !self.entry(entries, b'}')? {
            return Ok(None);
        }
        let key = self.string()?;
        self.peek()?;
        self.take(":")?;
        Ok(Some(key))
    }

    /// `{"type":…,"value":…}`, in either order.
    fn typed(decoder: &mut Decoder<Self>, opening: Event<'a>) -> Result<Dynamic, ValueError> {
        let Event::Map(mut entries) = opening else {
            return Err(Problem::Expected { expected: "an object of a type and a value" }.into());
        };
        let (mut ty, mut value_at, mut value) = (None, None, None);
        while let Some(key) = decoder.source.key(&mut entries)? {
            match &*key {
                "type" if ty.is_none() => ty = Some(type_of(&mut decoder.source)?),
                "value" if value_at.is_none() => {
                    value_at = Some(decoder.source.at);
                    match &ty {
                        Some(ty) => value = Some(decoder.value(ty)?),
                        None => drop(decoder.untyped()?),
                    }
                }
                _ => return Err(Problem::UnexpectedAttribute.into()),
            }
        }
        let missing = || ValueError::from(Problem::Expected { expected: "a type beside a value" });
        let (ty, value_at) = ty.zip(value_at).ok_or_else(missing)?;
        if value.is_none() {
            // The value came first, and was only passed over.
            let end = std::mem::replace(&mut decoder.source.at, value_at);
            value = Some(decoder.value(&ty)?);
            decoder.source.at = end;
        }
        value.map(|value| Dynamic::typed(ty, value)).ok_or_else(missing)
    }

    fn finish(mut self) -> Result<(), Problem> {
        match self.peek() {
            Ok(_) => Err(Problem::TrailingBytes),
            Err(_) => Ok(()),
        }
    }
}
