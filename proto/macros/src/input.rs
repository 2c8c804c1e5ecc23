//! Reads a struct and its `#[attribute(…)]`s, and finds what is wrong with them.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Fields, Ident, Lit, LitStr, Meta, Path, Result, Type,
};

/// A struct of attributes.
pub(crate) struct Set {
    pub(crate) ident: Ident,
    pub(crate) docs: String,
    pub(crate) deprecated: Option<LitStr>,
    pub(crate) fields: Vec<Field>,
}

/// A field of it.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) docs: String,
    pub(crate) kind: Kind,
}

/// What a field stands for.
pub(crate) enum Kind {
    /// One attribute.
    Attribute(Box<Words>),
    /// The attributes of another set.
    Flatten,
    /// The `timeouts` attribute, for these operations.
    Timeouts(Vec<Ident>),
}

/// What `#[attribute(…)]` says.
#[derive(Default)]
pub(crate) struct Words {
    pub(crate) name: String,
    /// The words that are flags of the schema under the same name.
    pub(crate) flags: Vec<Ident>,
    pub(crate) default: Option<Expr>,
    pub(crate) deprecated: Option<LitStr>,
    pub(crate) validate: Vec<Path>,
}

const FLAGS: [&str; 10] = [
    "required",
    "optional",
    "computed",
    "sensitive",
    "write_only",
    "replaces",
    "keeps_prior",
    "required_for_import",
    "optional_for_import",
    "variadic",
];

impl Words {
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }

    fn span_of(&self, flag: &str) -> Span {
        self.flags.iter().find(|own| *own == flag).map_or_else(Span::call_site, Ident::span)
    }
}

impl Set {
    pub(crate) fn read(input: &DeriveInput) -> Result<Self> {
        let Data::Struct(data) = &input.data else {
            return Err(Error::new(input.ident.span(), "only a struct can be a set of attributes"));
        };
        let Fields::Named(named) = &data.fields else {
            return Err(Error::new(
                input.ident.span(),
                "the fields need names: they are those of the attributes",
            ));
        };
        if !input.generics.params.is_empty() {
            return Err(Error::new(input.generics.span(), "a set of attributes cannot be generic"));
        }
        let mut deprecated = None;
        for attr in input.attrs.iter().filter(|attr| attr.path().is_ident("schema")) {
            attr.parse_nested_meta(|meta| {
                if !meta.path.is_ident("deprecated") {
                    return Err(meta.error("expected `deprecated = \"use … instead\"`"));
                }
                deprecated = Some(meta.value()?.parse()?);
                Ok(())
            })?;
        }
        // All faults at once, not one a compilation.
        let mut fields = Vec::new();
        let mut faults: Option<Error> = None;
        for field in &named.named {
            match Field::read(field) {
                Ok(field) => fields.push(field),
                Err(fault) => match &mut faults {
                    Some(faults) => faults.combine(fault),
                    None => faults = Some(fault),
                },
            }
        }
        match faults {
            Some(faults) => Err(faults),
            None => Ok(Self { ident: input.ident.clone(), docs: docs(&input.attrs), deprecated, fields }),
        }
    }
}

impl Field {
    fn read(field: &syn::Field) -> Result<Self> {
        // Named fields have names.
        let ident = field.ident.clone().ok_or_else(|| Error::new(field.span(), "a field without a name"))?;
        let mut words =
            Words { name: ident.to_string().trim_start_matches("r#").to_owned(), ..Words::default() };
        let mut other = None;
        let mut seen = false;
        for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("attribute")) {
            seen = true;
            attr.parse_nested_meta(|meta| words.read(&meta, &mut other))?;
        }
        if !seen {
            return Err(Error::new(
                ident.span(),
                "say what it is: `#[attribute(required)]`, `optional`, `computed`, … or `flatten`",
            ));
        }
        let kind = match other {
            None => {
                words.check(&ident)?;
                Kind::Attribute(Box::new(words))
            }
            Some(kind) if words.is_empty() => kind,
            Some(_) => return Err(Error::new(ident.span(), "`flatten` and `timeouts` stand alone")),
        };
        Ok(Self { ident, ty: field.ty.clone(), docs: docs(&field.attrs), kind })
    }
}

impl Words {
    fn read(&mut self, meta: &ParseNestedMeta<'_>, other: &mut Option<Kind>) -> Result<()> {
        let word = meta.path.require_ident()?.clone();
        match word.to_string().as_str() {
            flag if FLAGS.contains(&flag) => {
                if self.has(flag) {
                    return Err(meta.error("said twice"));
                }
                self.flags.push(word);
            }
            "default" => self.default = Some(meta.value()?.parse()?),
            "deprecated" => self.deprecated = Some(meta.value()?.parse()?),
            "validate" => self.validate.push(meta.value()?.parse()?),
            "name" => self.name = meta.value()?.parse::<LitStr>()?.value(),
            "flatten" => *other = Some(Kind::Flatten),
            "timeouts" => {
                let mut operations = Vec::new();
                meta.parse_nested_meta(|operation| {
                    operations.push(operation.path.require_ident()?.clone());
                    Ok(())
                })?;
                *other = Some(Kind::Timeouts(operations));
            }
            _ => {
                return Err(meta.error(format!(
                    "unknown word; known are {}, default, deprecated, validate, name, flatten and timeouts",
                    FLAGS.join(", "),
                )));
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.flags.is_empty()
            && self.default.is_none()
            && self.deprecated.is_none()
            && self.validate.is_empty()
    }

    /// What core would refuse, or what could never take effect.
    fn check(&self, ident: &Ident) -> Result<()> {
        let [required, optional, computed] = ["required", "optional", "computed"].map(|flag| self.has(flag));
        let identity = self.has("required_for_import") || self.has("optional_for_import");
        if identity {
            if required || optional || computed || self.has("write_only") {
                return Err(Error::new(
                    ident.span(),
                    "an attribute of an identity is for import, and nothing else",
                ));
            }
            return Ok(());
        }
        if !(required || optional || computed) {
            return Err(Error::new(ident.span(), "it must be `required`, `optional` or `computed`"));
        }
        if required && (optional || computed) {
            return Err(Error::new(
                self.span_of("required"),
                "what is required is neither optional nor computed",
            ));
        }
        if let Some(default) = &self.default
            && (!optional || !computed)
        {
            return Err(Error::new(default.span(), "a default needs `optional, computed`"));
        }
        if self.has("write_only") && computed {
            return Err(Error::new(self.span_of("write_only"), "what is write-only cannot be computed"));
        }
        if self.has("keeps_prior") && !computed {
            return Err(Error::new(
                self.span_of("keeps_prior"),
                "only what is computed has a prior value to keep",
            ));
        }
        if let Some(validate) = self.validate.first()
            && !required
            && !optional
        {
            return Err(Error::new(validate.span(), "only what can be configured can be validated"));
        }
        if !is_attribute_name(&self.name) {
            return Err(Error::new(
                ident.span(),
                "attribute names are lower-case letters, digits and underscores",
            ));
        }
        Ok(())
    }
}

fn is_attribute_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The doc comment, without the space that people write after `///`.
fn docs(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter(|attr| attr.path().is_ident("doc")).filter_map(|attr| match &attr.meta {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn faults(input: &DeriveInput) -> Vec<String> {
        match Set::read(input) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.into_iter().map(|fault| fault.to_string()).collect(),
        }
    }

    /// The fault of a field with that attribute.
    fn fault(attribute: &Attribute) -> String {
        faults(&parse_quote!(struct A { #attribute a: Value<String> })).join("; ")
    }

    #[test]
    fn what_can_be_said_can_be_read() {
        let set = Set::read(&parse_quote! {
            /// First line.
            ///
            /// Third line.
            #[schema(deprecated = "use B")]
            struct A {
                /// What it is.
                #[attribute(optional, computed, default = 1 + 1, validate = a::b, validate = c)]
                r#type: Value<i64>,
                #[attribute(flatten)]
                more: More,
                #[attribute(timeouts(create, read))]
                timeouts: Timeouts,
            }
        });
        let set = set.expect("a set");
        assert_eq!(set.docs, "First line.\n\nThird line.");
        assert_eq!(set.deprecated.expect("deprecated").value(), "use B");
        let [first, second, third] = &set.fields[..] else { panic!("three fields") };
        assert_eq!(first.docs, "What it is.");
        let Kind::Attribute(words) = &first.kind else { panic!("an attribute") };
        assert_eq!((&*words.name, words.validate.len()), ("type", 2));
        assert!(words.has("optional") && words.has("computed") && words.default.is_some());
        assert!(matches!(second.kind, Kind::Flatten));
        assert!(matches!(&third.kind, Kind::Timeouts(operations) if operations.len() == 2));
    }

    #[test]
    fn what_core_would_refuse_is_refused_here() {
        let cases: [(Attribute, &str); 10] = [
            (parse_quote!(#[attribute(sensitive)]), "it must be `required`, `optional` or `computed`"),
            (
                parse_quote!(#[attribute(required, computed)]),
                "what is required is neither optional nor computed",
            ),
            (parse_quote!(#[attribute(optional, default = 1)]), "a default needs `optional, computed`"),
            (
                parse_quote!(#[attribute(optional, computed, write_only)]),
                "what is write-only cannot be computed",
            ),
            (
                parse_quote!(#[attribute(optional, keeps_prior)]),
                "only what is computed has a prior value to keep",
            ),
            (
                parse_quote!(#[attribute(computed, validate = a)]),
                "only what can be configured can be validated",
            ),
            (parse_quote!(#[attribute(optional, optional)]), "said twice"),
            (parse_quote!(#[attribute(flatten, optional)]), "`flatten` and `timeouts` stand alone"),
            (
                parse_quote!(#[attribute(optional, name = "Upper")]),
                "attribute names are lower-case letters, digits and underscores",
            ),
            (
                parse_quote!(#[attribute(required, required_for_import)]),
                "an attribute of an identity is for import, and nothing else",
            ),
        ];
        for (attribute, expected) in cases {
            assert_eq!(fault(&attribute), expected);
        }
        assert!(
            fault(&parse_quote!(#[attribute(nullable)])).starts_with("unknown word; known are required, ")
        );
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let told = faults(&parse_quote!(
            struct A {
                a: Value<String>,
                #[attribute(computed, write_only)]
                b: Value<String>,
                #[attribute(optional)]
                c: Value<String>,
            }
        ));
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("say what it is"));
    }

    #[test]
    fn only_plain_structs_can_be_sets() {
        assert_eq!(
            faults(&parse_quote!(
                enum A {}
            )),
            ["only a struct can be a set of attributes"]
        );
        assert_eq!(
            faults(&parse_quote!(
                struct A(i64);
            )),
            ["the fields need names: they are those of the attributes"],
        );
        assert_eq!(
            faults(&parse_quote!(
                struct A<T> {
                    a: T,
                }
            )),
            ["a set of attributes cannot be generic"]
        );
    }
}
