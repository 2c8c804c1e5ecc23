//! Types as JSON.

use super::Reader;
use crate::value::decode::{Event, Source};
use crate::value::{MAX_DEPTH, Problem, Type, ValueError};

pub(in crate::value) fn decode_type(bytes: &[u8]) -> Result<Type, ValueError> {
    let mut reader = Reader::new(bytes)?;
    let ty = type_of(&mut reader)?;
    reader.finish()?;
    Ok(ty)
}

/// Reads the type that stands next.
pub(super) fn type_of(reader: &mut Reader<'_>) -> Result<Type, Problem> {
    nested_type(reader, MAX_DEPTH)
}

fn nested_type(reader: &mut Reader<'_>, depth_left: usize) -> Result<Type, Problem> {
    let depth_left = depth_left.checked_sub(1).ok_or(Problem::TooDeep)?;
    match reader.event()? {
        Event::Text(name) => match &*name {
            "bool" => Ok(Type::Bool),
            "number" => Ok(Type::Number),
            "string" => Ok(Type::String),
            "dynamic" => Ok(Type::Dynamic),
            _ => Err(Problem::NotAType),
        },
        Event::Array(mut parts) => {
            let end = |more| if more { Err(Problem::NotAType) } else { Ok(()) };
            let go_on = |more| if more { Ok(()) } else { Err(Problem::NotAType) };

            go_on(reader.element(&mut parts)?)?;
            let Event::Text(kind) = reader.event()? else { return Err(Problem::NotAType) };
            go_on(reader.element(&mut parts)?)?;
            let ty = match &*kind {
                "list" => Type::list(nested_type(reader, depth_left)?),
                "set" => Type::set(nested_type(reader, depth_left)?),
                "map" => Type::map(nested_type(reader, depth_left)?),
                "tuple" => tuple(reader, depth_left)?,
                "object" => {
                    let ty = object(reader, depth_left)?;
                    if !reader.element(&mut parts)? {
                        return Ok(ty);
                    }
                    optional(reader)?;
                    ty
                }
                _ => return Err(Problem::NotAType),
            };
            end(reader.element(&mut parts)?)?;
            Ok(ty)
        }
        _ => Err(Problem::NotAType),
    }
}

fn tuple(reader: &mut Reader<'_>, depth_left: usize) -> Result<Type, Problem> {
    let Event::Array(mut elements) = reader.event()? else { return Err(Problem::NotAType) };
    let mut types = Vec::new();
    while reader.element(&mut elements)? {
        types.push(nested_type(reader, depth_left)?);
    }
    Ok(Type::Tuple(types))
}

fn object(reader: &mut Reader<'_>, depth_left: usize) -> Result<Type, Problem> {
    let Event::Map(mut attributes) = reader.event()? else { return Err(Problem::NotAType) };
    let mut types = Vec::new();
    while let Some(name) = reader.key(&mut attributes)? {
        types.push((name, nested_type(reader, depth_left)?));
    }
    let given = types.len();
    match Type::object(types) {
        Type::Object(attributes) if attributes.len() < given => Err(Problem::DuplicateName),
        ty => Ok(ty),
    }
}

/// Reads over the names of optional attributes.
fn optional(reader: &mut Reader<'_>) -> Result<(), Problem> {
    let Event::Array(mut names) = reader.event()? else { return Err(Problem::NotAType) };
    while reader.element(&mut names)? {
        let Event::Text(_) = reader.event()? else { return Err(Problem::NotAType) };
    }
    Ok(())
}
