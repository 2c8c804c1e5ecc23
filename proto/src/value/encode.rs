//! From a value to an encoding: what both encodings have in common.

use super::{Dynamic, Fields, Number, ObjectType, PathStep, Problem, Refinements, Type, ValueError};

/// An encoding, written to the end.
pub(super) trait Sink {
    fn null(&mut self);
    /// `refinements` fit the type of the place already.
    fn unknown(&mut self, refinements: &Refinements) -> Result<(), Problem>;
    fn bool(&mut self, value: bool);
    fn number(&mut self, number: &Number) -> Result<(), Problem>;
    fn text(&mut self, text: &str) -> Result<(), Problem>;
    fn array(&mut self, len: usize) -> Result<(), Problem>;
    fn array_end(&mut self);
    fn map(&mut self, len: usize) -> Result<(), Problem>;
    fn key(&mut self, key: &str) -> Result<(), Problem>;
    fn map_end(&mut self);
    /// Comes before each element and each key but the first.
    fn separator(&mut self);
    /// Opens a value that says its own type; the value follows.
    fn typed(&mut self, ty: &Type) -> Result<(), Problem>;
    fn typed_end(&mut self);
}

/// Writes one value as that type.
pub(super) fn value(out: &mut impl Sink, value: &Dynamic, ty: &Type) -> Result<(), ValueError> {
    match (value, ty) {
        (Dynamic::Typed(own), Type::Dynamic) => typed(out, own.value(), own.ty())?,
        (Dynamic::Typed(own), ty) => self::value(out, own.value(), ty)?,
        (Dynamic::Null, _) => out.null(),
        (Dynamic::Unknown(refinements), ty) => out.unknown(&refinements.clone().fitting(ty))?,
        (value, Type::Dynamic) => typed(out, value, &value.implied_type()?)?,

        (Dynamic::Bool(value), Type::Bool) => out.bool(*value),
        (Dynamic::Number(number), Type::Number) => out.number(number)?,
        (Dynamic::String(text), Type::String) => out.text(text)?,
        (Dynamic::List(elements), Type::List(ty)) => {
            array(out, elements, |out, index, element| {
                self::value(out, element, ty).map_err(|error| error.under(PathStep::Index(index)))
            })?;
        }
        (Dynamic::Set(elements), Type::Set(ty)) => {
            array(out, elements.iter(), |out, _, element| self::value(out, element, ty))?;
        }
        (Dynamic::Tuple(elements), Type::Tuple(types)) => {
            if elements.len() != types.len() {
                return Err(Problem::WrongLength { expected: types.len() }.into());
            }
            array(out, elements.iter().zip(types), |out, index, (element, ty)| {
                self::value(out, element, ty).map_err(|error| error.under(PathStep::Index(index)))
            })?;
        }
        (Dynamic::Map(fields), Type::Map(ty)) => {
            out.map(fields.len())?;
            for (at, (key, element)) in fields.iter().enumerate() {
                if at > 0 {
                    out.separator();
                }
                out.key(key)?;
                self::value(out, element, ty).map_err(|error| error.under(PathStep::Key(key.clone())))?;
            }
            out.map_end();
        }
        (Dynamic::Object(fields), Type::Object(types)) => object(out, fields, types)?,
        (_, ty) => return Err(Problem::Expected { expected: ty.with_article() }.into()),
    }
    Ok(())
}

fn typed(out: &mut impl Sink, value: &Dynamic, ty: &Type) -> Result<(), ValueError> {
    out.typed(ty)?;
    self::value(out, value, ty)?;
    out.typed_end();
    Ok(())
}

fn array<S: Sink, T, I>(
    out: &mut S,
    elements: impl IntoIterator<Item = T, IntoIter = I>,
    mut write: impl FnMut(&mut S, usize, T) -> Result<(), ValueError>,
) -> Result<(), ValueError>
where
    I: ExactSizeIterator<Item = T>,
{
    let elements = elements.into_iter();
    out.array(elements.len())?;
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.separator();
        }
        write(out, index, element)?;
    }
    out.array_end();
    Ok(())
}

fn object(out: &mut impl Sink, fields: &Fields, types: &ObjectType) -> Result<(), ValueError> {
    out.map(types.len())?;
    let mut own = fields.iter().peekable();
    for (at, (name, ty)) in types.iter().enumerate() {
        let Some((_, value)) = own.next_if(|(own, _)| *own == name) else {
            return Err(match fields.get(name) {
                Some(_) => Problem::UnexpectedAttribute.into(),
                None => ValueError::from(Problem::MissingAttribute).under(PathStep::Attribute(name.clone())),
            });
        };
        if at > 0 {
            out.separator();
        }
        out.key(name)?;
        self::value(out, value, ty).map_err(|error| error.under(PathStep::Attribute(name.clone())))?;
    }
    if own.next().is_some() {
        return Err(Problem::UnexpectedAttribute.into());
    }
    out.map_end();
    Ok(())
}
