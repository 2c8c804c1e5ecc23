//! From an encoding to a value: what both encodings have in common.

use std::borrow::Cow;
use std::sync::Arc;

use super::{
    Dynamic, DynamicSet, Fields, MAX_DEPTH, MAX_VALUES, Number, ObjectType, PathStep, Problem, Refinements,
    Type, ValueError,
};

/// How many elements are made room for on the word of a declared length. Each level of nesting may
/// lie anew, so the room must be small; what is longer grows as its elements arrive.
const TRUSTED_LENGTH: usize = 64;

/// What stands next in the input.
pub(super) enum Event<'a> {
    Null,
    Unknown(Refinements),
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    Array(Entries),
    Map(Entries),
}

/// The entries of an array or map that are still to come.
pub(super) enum Entries {
    /// So many.
    Counted(usize),
    /// Until its end is met; `first` before any has been read.
    Delimited { first: bool },
}

impl Entries {
    fn trusted(&self) -> usize {
        match self {
            Self::Counted(count) => (*count).min(TRUSTED_LENGTH),
            Self::Delimited { .. } => 0,
        }
    }
}

/// An encoding, read from the front.
pub(super) trait Source<'a>: Sized {
    /// Whether a bool or number may also be written as text, and text as either; core reads
    /// stored JSON so, which lets an attribute change its type without a state upgrade.
    const CONVERTS: bool;
    /// Whether a left-out attribute is null. Otherwise it is an error.
    const OMITS_NULLS: bool;

    fn event(&mut self) -> Result<Event<'a>, Problem>;
    /// Moves to the next element of an array; false at its end.
    fn element(&mut self, entries: &mut Entries) -> Result<bool, Problem>;
    /// Reads the next key of a map; `None` at its end.
    fn key(&mut self, entries: &mut Entries) -> Result<Option<Cow<'a, str>>, Problem>;
    /// Reads, after its first event, a value that says its own type.
    fn typed(decoder: &mut Decoder<Self>, opening: Event<'a>) -> Result<Dynamic, ValueError>;
    /// Checks that nothing follows.
    fn finish(self) -> Result<(), Problem>;
}

/// What becomes of an attribute that the type does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    Refused,
    Dropped,
}

/// Reads values from a source, within bounds.
pub(super) struct Decoder<S> {
    pub(super) source: S,
    extra: Extra,
    depth_left: usize,
    values_left: usize,
}

impl<'a, S: Source<'a>> Decoder<S> {
    pub(super) fn new(source: S, extra: Extra) -> Self {
        Self { source, extra, depth_left: MAX_DEPTH, values_left: MAX_VALUES }
    }

    /// Reads the only value of the source.
    pub(super) fn only(mut self, ty: Option<&Type>) -> Result<Dynamic, ValueError> {
        let value = match ty {
            Some(ty) => self.value(ty)?,
            // One level is kept free: to be written, the value takes its type beside it.
            None => self.nested(Self::untyped)?,
        };
        self.source.finish()?;
        Ok(value)
    }

    /// Reads a value of that type.
    pub(super) fn value(&mut self, ty: &Type) -> Result<Dynamic, ValueError> {
        let event = self.counted_event()?;
        Ok(match (event, ty) {
            (Event::Null, _) => Dynamic::Null,
            (Event::Unknown(refinements), ty) => Dynamic::Unknown(refinements.fitting(ty)),
            (opening, Type::Dynamic) => self.nested(|this| S::typed(this, opening))?,

            (Event::Bool(value), Type::Bool) => Dynamic::Bool(value),
            (Event::Number(number), Type::Number) => Dynamic::Number(number),
            // msgpack, too, writes as text what fits no other form.
            (Event::Text(text), Type::Number) => {
                Dynamic::Number(text.parse().map_err(|_| Problem::NotANumber)?)
            }
            (Event::Text(text), Type::String) => Dynamic::String(text.into_owned()),
            (Event::Text(text), Type::Bool) if S::CONVERTS && text == "true" => Dynamic::Bool(true),
            (Event::Text(text), Type::Bool) if S::CONVERTS && text == "false" => Dynamic::Bool(false),
            (Event::Number(number), Type::String) if S::CONVERTS => Dynamic::String(number.to_string()),
            (Event::Bool(value), Type::String) if S::CONVERTS => Dynamic::String(value.to_string()),

            (Event::Array(entries), Type::List(element)) => Dynamic::List(self.elements(entries, element)?),
            (Event::Array(entries), Type::Set(element)) => Dynamic::Set(self.set(entries, element)?),
            (Event::Array(entries), Type::Tuple(types)) => Dynamic::Tuple(self.tuple(entries, types)?),
            (Event::Map(entries), Type::Map(element)) => Dynamic::Map(self.map(entries, element)?),
            (Event::Map(entries), Type::Object(types)) => Dynamic::Object(self.object(entries, types)?),
            (_, ty) => return Err(Problem::Expected { expected: ty.with_article() }.into()),
        })
    }

    /// Reads a value of any type.
    pub(super) fn untyped(&mut self) -> Result<Dynamic, ValueError> {
        Ok(match self.counted_event()? {
            Event::Null => Dynamic::Null,
            // Nothing is promised of a value whose type is not known.
            Event::Unknown(_) => Dynamic::UNKNOWN,
            Event::Bool(value) => Dynamic::Bool(value),
            Event::Number(number) => Dynamic::Number(number),
            Event::Text(text) => Dynamic::String(text.into_owned()),
            Event::Bytes(_) => return Err(Problem::Expected { expected: "a value, not bytes," }.into()),
            Event::Array(entries) => Dynamic::Tuple(self.each(entries, |this, _| this.untyped())?),
            Event::Map(entries) => Dynamic::Object(self.keyed(entries, |this, key| {
                this.untyped().map_err(|error| error.under(PathStep::Attribute(key.clone())))
            })?),
        })
    }

    fn counted_event(&mut self) -> Result<Event<'a>, Problem> {
        let event = self.source.event()?;
        // The text of a number may be a hundred times what it took on the wire.
        let cost = match &event {
            Event::Number(number) => 1 + number.heap_bytes() / size_of::<Dynamic>(),
            _ => 1,
        };
        self.values_left = self.values_left.checked_sub(cost).ok_or(Problem::TooLarge)?;
        Ok(event)
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ValueError>) -> Result<T, ValueError> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(Problem::TooDeep)?;
        let value = read(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    fn elements(&mut self, entries: Entries, ty: &Type) -> Result<Vec<Dynamic>, ValueError> {
        self.each(entries, |this, index| this.value(ty).map_err(|error| error.under(PathStep::Index(index))))
    }

    /// The elements of a set have no names, so a path ends at the set.
    fn set(&mut self, entries: Entries, ty: &Type) -> Result<DynamicSet, ValueError> {
        self.each(entries, |this, _| this.value(ty)).map(DynamicSet::from)
    }

    fn tuple(&mut self, entries: Entries, types: &[Type]) -> Result<Vec<Dynamic>, ValueError> {
        let wrong = || ValueError::from(Problem::WrongLength { expected: types.len() });
        let elements = self.each(entries, |this, index| {
            let ty = types.get(index).ok_or_else(wrong)?;
            this.value(ty).map_err(|error| error.under(PathStep::Index(index)))
        })?;
        if elements.len() == types.len() { Ok(elements) } else { Err(wrong()) }
    }

    fn map(&mut self, entries: Entries, ty: &Type) -> Result<Fields, ValueError> {
        self.keyed(entries, |this, key| {
            this.value(ty).map_err(|error| error.under(PathStep::Key(key.clone())))
        })
    }

    fn object(&mut self, mut entries: Entries, types: &ObjectType) -> Result<Fields, ValueError> {
        let mut fields = Vec::with_capacity(types.len());
        self.nested(|this| {
            // Senders sort attributes as the type does, so the next is nearly always the one due.
            let mut due = 0;
            while let Some(name) = this.source.key(&mut entries)? {
                let found = types.at(due).filter(|(known, _)| ***known == *name).map(|_| due);
                let Some(position) = found.or_else(|| types.position(&name)) else {
                    match this.extra {
                        Extra::Refused => return Err(Problem::UnexpectedAttribute.into()),
                        Extra::Dropped => this.untyped()?,
                    };
                    continue;
                };
                due = position + 1;
                let Some((name, ty)) = types.at(position) else { continue };
                let value = this.value(ty).map_err(|error| error.under(PathStep::Attribute(name.clone())))?;
                fields.push((name.clone(), value));
            }
            Ok(())
        })?;
        let fields = Fields::from_decoded(fields).ok_or(Problem::DuplicateName)?;
        if fields.len() == types.len() {
            return Ok(fields);
        }
        // Some are missing, and both are sorted: walk along the type and fill in.
        let mut given = fields.into_iter().peekable();
        let complete = types.iter().map(|(name, _)| match given.next_if(|(given, _)| given == name) {
            Some(field) => Ok(field),
            None if S::OMITS_NULLS => Ok((name.clone(), Dynamic::Null)),
            None => Err(ValueError::from(Problem::MissingAttribute).under(PathStep::Attribute(name.clone()))),
        });
        complete.collect()
    }

    fn each(
        &mut self,
        mut entries: Entries,
        mut read: impl FnMut(&mut Self, usize) -> Result<Dynamic, ValueError>,
    ) -> Result<Vec<Dynamic>, ValueError> {
        let mut elements = Vec::with_capacity(entries.trusted());
        self.nested(|this| {
            while this.source.element(&mut entries)? {
                let element = read(this, elements.len())?;
                elements.push(element);
            }
            Ok(elements)
        })
    }

    fn keyed(
        &mut self,
        mut entries: Entries,
        mut read: impl FnMut(&mut Self, &Arc<str>) -> Result<Dynamic, ValueError>,
    ) -> Result<Fields, ValueError> {
        let mut fields = Vec::with_capacity(entries.trusted());
        self.nested(|this| {
            while let Some(key) = this.source.key(&mut entries)? {
                let key = key.into();
                let value = read(this, &key)?;
                fields.push((key, value));
            }
            Ok(())
        })?;
        Ok(Fields::from_decoded(fields).ok_or(Problem::DuplicateName)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least float takes nine bytes on the wire, and a thousand as decimal text.
    #[test]
    fn the_text_of_a_float_is_counted() {
        let reads = |values_left| {
            let bytes = [&[0xcb][..], &f64::from_bits(1).to_be_bytes()].concat();
            let mut decoder = Decoder::new(crate::value::msgpack::Reader::new(&bytes), Extra::Refused);
            decoder.values_left = values_left;
            decoder.value(&Type::Number).is_ok()
        };
        assert!(reads(40));
        assert!(!reads(30));
    }
}
