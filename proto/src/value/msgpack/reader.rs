//! Reads msgpack from the front.

use std::borrow::Cow;

use rmp::Marker;

use super::refinements;
use crate::value::decode::{Decoder, Entries, Event, Source};
use crate::value::{Dynamic, Number, Problem, Refinements, Type, ValueError};

/// The bytes that are still to be read.
pub(in crate::value) struct Reader<'a> {
    rest: &'a [u8],
    /// Whether this is itself a refinement. One inside is then passed over, so that they cannot
    /// be nested.
    in_refinement: bool,
}

impl<'a> Reader<'a> {
    pub(in crate::value) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, in_refinement: false }
    }

    pub(super) fn of_refinement(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, in_refinement: true }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Problem::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Problem::Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn len8(&mut self) -> Result<usize, Problem> {
        self.array().map(|bytes| u8::from_be_bytes(bytes).into())
    }

    fn len16(&mut self) -> Result<usize, Problem> {
        self.array().map(|bytes| u16::from_be_bytes(bytes).into())
    }

    fn len32(&mut self) -> Result<usize, Problem> {
        self.array().and_then(|bytes| u32::from_be_bytes(bytes).try_into().map_err(|_| Problem::TooLarge))
    }

    fn text(&mut self, len: usize) -> Result<Event<'a>, Problem> {
        let text = str::from_utf8(self.bytes(len)?).map_err(|_| Problem::NotUnicode)?;
        Ok(Event::Text(Cow::Borrowed(text)))
    }

    /// Any entry takes a byte at least, so more of them than there are bytes is a lie.
    fn entries(&self, len: usize, bytes_each: usize) -> Result<Entries, Problem> {
        if len > self.rest.len() / bytes_each { Err(Problem::Malformed) } else { Ok(Entries::Counted(len)) }
    }

    fn list(&mut self, len: usize) -> Result<Event<'a>, Problem> {
        self.entries(len, 1).map(Event::Array)
    }

    fn map(&mut self, len: usize) -> Result<Event<'a>, Problem> {
        self.entries(len, 2).map(Event::Map)
    }

    /// Only unknown values are sent as extensions, so whatever its code, that is what it is.
    fn extension(&mut self, len: usize) -> Result<Event<'a>, Problem> {
        let code = i8::from_be_bytes(self.array()?);
        let body = self.bytes(len)?;
        Ok(Event::Unknown(match code {
            refinements::CODE if !self.in_refinement => refinements::decode(body),
            _ => Refinements::NONE,
        }))
    }

    fn integer(value: impl Into<i64>) -> Event<'a> {
        Event::Number(value.into().into())
    }

    fn float(value: f64) -> Result<Event<'a>, Problem> {
        Number::from_f64(value).map(Event::Number).ok_or(Problem::NotANumber)
    }
}

impl<'a> Source<'a> for Reader<'a> {
    const CONVERTS: bool = false;
    const OMITS_NULLS: bool = false;

    fn event(&mut self) -> Result<Event<'a>, Problem> {
        let [marker] = self.array()?;
        match Marker::from_u8(marker) {
            Marker::Null => Ok(Event::Null),
            Marker::True => Ok(Event::Bool(true)),
            Marker::False => Ok(Event::Bool(false)),

            Marker::FixPos(value) => Ok(Self::integer(value)),
            Marker::FixNeg(value) => Ok(Self::integer(value)),
            Marker::U8 => Ok(Self::integer(u8::from_be_bytes(self.array()?))),
            Marker::U16 => Ok(Self::integer(u16::from_be_bytes(self.array()?))),
            Marker::U32 => Ok(Self::integer(u32::from_be_bytes(self.array()?))),
            Marker::U64 => Ok(Event::Number(u64::from_be_bytes(self.array()?).into())),
            Marker::I8 => Ok(Self::integer(i8::from_be_bytes(self.array()?))),
            Marker::I16 => Ok(Self::integer(i16::from_be_bytes(self.array()?))),
            Marker::I32 => Ok(Self::integer(i32::from_be_bytes(self.array()?))),
            Marker::I64 => Ok(Self::integer(i64::from_be_bytes(self.array()?))),
            Marker::F32 => Self::float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Self::float(f64::from_be_bytes(self.array()?)),

            Marker::FixStr(len) => self.text(len.into()),
            Marker::Str8 => self.len8().and_then(|len| self.text(len)),
            Marker::Str16 => self.len16().and_then(|len| self.text(len)),
            Marker::Str32 => self.len32().and_then(|len| self.text(len)),
            Marker::Bin8 => self.len8().and_then(|len| self.bytes(len)).map(Event::Bytes),
            Marker::Bin16 => self.len16().and_then(|len| self.bytes(len)).map(Event::Bytes),
            Marker::Bin32 => self.len32().and_then(|len| self.bytes(len)).map(Event::Bytes),

            Marker::FixArray(len) => self.list(len.into()),
            Marker::Array16 => self.len16().and_then(|len| self.list(len)),
            Marker::Array32 => self.len32().and_then(|len| self.list(len)),
            Marker::FixMap(len) => self.map(len.into()),
            Marker::Map16 => self.len16().and_then(|len| self.map(len)),
            Marker::Map32 => self.len32().and_then(|len| self.map(len)),

            Marker::FixExt1 => self.extension(1),
            Marker::FixExt2 => self.extension(2),
            Marker::FixExt4 => self.extension(4),
            Marker::FixExt8 => self.extension(8),
            Marker::FixExt16 => self.extension(16),
            Marker::Ext8 => self.len8().and_then(|len| self.extension(len)),
            Marker::Ext16 => self.len16().and_then(|len| self.extension(len)),
            Marker::Ext32 => self.len32().and_then(|len| self.extension(len)),
            Marker::Reserved => Err(Problem::Malformed),
        }
    }

    fn element(&mut self, entries: &mut Entries) -> Result<bool, Problem> {
        let Entries::Counted(left) = entries else { return Err(Problem::Malformed) };
        let more = *left > 0;
        *left = left.saturating_sub(1);
        Ok(more)
    }

    fn key(&mut self, entries: &mut Entries) -> Result<Option<Cow<'a, str>>, Problem> {
        if !self.element(entries)? {
            return Ok(None);
        }
        match self.event()? {
            Event::Text(key) => Ok(Some(key)),
            _ => Err(Problem::Expected { expected: "a string as a key" }),
        }
    }

    /// `[bin(type JSON), value]`.
    fn typed(decoder: &mut Decoder<Self>, opening: Event<'a>) -> Result<Dynamic, ValueError> {
        let Event::Array(Entries::Counted(2)) = opening else {
            return Err(Problem::Expected { expected: "an array of a type and a value" }.into());
        };
        let ty = match decoder.source.event()? {
            Event::Bytes(json) => Type::from_json(json)?,
            Event::Text(json) => Type::from_json(json.as_bytes())?,
            _ => return Err(Problem::NotAType.into()),
        };
        let value = decoder.value(&ty)?;
        Ok(Dynamic::typed(ty, value))
    }

    fn finish(self) -> Result<(), Problem> {
        if self.rest.is_empty() { Ok(()) } else { Err(Problem::TrailingBytes) }
    }
}
