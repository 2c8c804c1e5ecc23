//! How a value is to be read and written.

use std::fmt;
use std::sync::Arc;

use super::{Dynamic, Problem, ValueError, json};

/// The type of a value.
///
/// Equality is exact: a list of strings is not a list of "dynamic".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A decimal number of any size.
    Number,
    /// Unicode text.
    String,
    /// Any type: each value says its own.
    Dynamic,
    /// Elements of one type, in order.
    List(Box<Type>),
    /// Elements of one type, without order.
    Set(Box<Type>),
    /// Elements of one type, by key.
    Map(Box<Type>),
    /// Attributes, each of its own type.
    Object(ObjectType),
    /// Elements in order, each of its own type.
    Tuple(Vec<Type>),
}

/// The attributes of an object and their types, by name. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectType(Arc<[(Arc<str>, Type)]>);

impl ObjectType {
    /// The type of that attribute.
    pub fn get(&self, name: &str) -> Option<&Type> {
        self.position(name).map(|at| &self.0[at].1)
    }

    /// Names and types, by name.
    pub fn iter(&self) -> std::slice::Iter<'_, (Arc<str>, Type)> {
        self.0.iter()
    }

    /// How many attributes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|(own, _)| (**own).cmp(name)).ok()
    }

    pub(super) fn at(&self, position: usize) -> Option<(&Arc<str>, &Type)> {
        self.0.get(position).map(|(name, ty)| (name, ty))
    }
}

/// Of two attributes of one name, the first stays.
impl<N: Into<Arc<str>>> FromIterator<(N, Type)> for ObjectType {
    fn from_iter<I: IntoIterator<Item = (N, Type)>>(attributes: I) -> Self {
        let mut attributes: Vec<_> = attributes.into_iter().map(|(name, ty)| (name.into(), ty)).collect();
        attributes.sort_by(|(a, _): &(Arc<str>, _), (b, _)| a.cmp(b));
        attributes.dedup_by(|later, kept| later.0 == kept.0);
        Self(attributes.into())
    }
}

impl Type {
    /// A list of elements of that type.
    pub fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    /// A set of elements of that type.
    pub fn set(element: Self) -> Self {
        Self::Set(Box::new(element))
    }

    /// A map to elements of that type.
    pub fn map(element: Self) -> Self {
        Self::Map(Box::new(element))
    }

    /// An object with those attributes.
    pub fn object<N: Into<Arc<str>>>(attributes: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Object(attributes.into_iter().collect())
    }

    /// Reads the compact JSON of a type: `"string"`, `["list","string"]`, `["object",{…}]`.
    /// The list of optional attributes that may follow an object's is read over: it matters to
    /// the conversion of values, which core has done before a provider sees them.
    ///
    /// # Errors
    /// [`Problem::NotAType`], or [`Problem::TooDeep`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, ValueError> {
        json::decode_type(bytes)
    }

    /// Writes the compact JSON of a type, attributes by name.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// What an error calls it.
    pub(super) fn with_article(&self) -> &'static str {
        match self {
            Self::Bool => "a bool",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Dynamic => "a value",
            Self::List(_) => "a list",
            Self::Set(_) => "a set",
            Self::Map(_) => "a map",
            Self::Object(_) => "an object",
            Self::Tuple(_) => "a tuple",
        }
    }

    pub(super) fn write_json(&self, out: &mut String) {
        let of = |out: &mut String, kind: &str, element: &Self| {
            out.push_str(kind);
            element.write_json(out);
            out.push(']');
        };
        match self {
            Self::Bool => out.push_str(r#""bool""#),
            Self::Number => out.push_str(r#""number""#),
            Self::String => out.push_str(r#""string""#),
            Self::Dynamic => out.push_str(r#""dynamic""#),
            Self::List(element) => of(out, r#"["list","#, element),
            Self::Set(element) => of(out, r#"["set","#, element),
            Self::Map(element) => of(out, r#"["map","#, element),
            Self::Object(attributes) => {
                out.push_str(r#"["object",{"#);
                for (at, (name, ty)) in attributes.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    json::write_string(name, out);
                    out.push(':');
                    ty.write_json(out);
                }
                out.push_str("}]");
            }
            Self::Tuple(elements) => {
                out.push_str(r#"["tuple",["#);
                for (at, ty) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    ty.write_json(out);
                }
                out.push_str("]]");
            }
        }
    }
}

/// The compact JSON.
impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl fmt::Debug for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Type::Object(self.clone()).fmt(f)
    }
}

/// The type that a value shows by itself.
pub(super) fn implied(value: &Dynamic) -> Result<Type, ValueError> {
    Ok(match value {
        Dynamic::Null | Dynamic::Unknown(_) => Type::Dynamic,
        Dynamic::Bool(_) => Type::Bool,
        Dynamic::Number(_) => Type::Number,
        Dynamic::String(_) => Type::String,
        Dynamic::List(elements) => Type::list(common(elements)?),
        Dynamic::Set(elements) => Type::set(common(elements)?),
        Dynamic::Map(fields) => Type::map(common(fields.iter().map(|(_, value)| value))?),
        Dynamic::Object(fields) => {
            let attributes = fields.iter().map(|(name, value)| Ok((name.clone(), implied(value)?)));
            Type::Object(attributes.collect::<Result<_, ValueError>>()?)
        }
        Dynamic::Tuple(elements) => Type::Tuple(elements.iter().map(implied).collect::<Result<_, _>>()?),
        Dynamic::Typed(typed) => typed.ty().clone(),
    })
}

fn common<'a>(elements: impl IntoIterator<Item = &'a Dynamic>) -> Result<Type, ValueError> {
    elements.into_iter().try_fold(Type::Dynamic, |common, element| {
        let ty = implied(element)?;
        unify(common, ty).ok_or_else(|| Problem::MixedElements.into())
    })
}

/// The type that both are, if what one leaves open is what the other says.
fn unify(a: Type, b: Type) -> Option<Type> {
    match (a, b) {
        (a, b) if a == b => Some(a),
        (Type::Dynamic, ty) | (ty, Type::Dynamic) => Some(ty),
        (Type::List(a), Type::List(b)) => unify(*a, *b).map(Type::list),
        (Type::Set(a), Type::Set(b)) => unify(*a, *b).map(Type::set),
        (Type::Map(a), Type::Map(b)) => unify(*a, *b).map(Type::map),
        (Type::Tuple(a), Type::Tuple(b)) if a.len() == b.len() => {
            a.into_iter().zip(b).map(|(a, b)| unify(a, b)).collect::<Option<_>>().map(Type::Tuple)
        }
        (Type::Object(a), Type::Object(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b.iter()).map(|((a_name, a), (b_name, b))| {
                if a_name != b_name {
                    return None;
                }
                Some((a_name.clone(), unify(a.clone(), b.clone())?))
            });
            pairs.collect::<Option<_>>().map(Type::Object)
        }
        _ => None,
    }
}
