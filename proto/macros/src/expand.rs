//! Writes the implementations.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use crate::input::{Field, Kind, Set};

pub(crate) fn expand(set: &Set) -> TokenStream {
    let Set { ident, docs, fields, .. } = set;
    let deprecated = set.deprecated.as_ref().map(|instead| quote!(.deprecated(#instead)));
    let schemas = fields.iter().map(schema);
    let decodes = fields.iter().map(decode);
    let encodes = fields.iter().map(encode);
    quote! {
        #[automatically_derived]
        impl ::tfplugin::AttributeSet for #ident {
            fn schema() -> ::tfplugin::schema::ObjectSchema {
                let mut object = ::tfplugin::schema::ObjectSchema::new(#docs)#deprecated;
                #(#schemas)*
                object
            }

            fn decode(
                object: &mut ::tfplugin::ObjectReader,
            ) -> ::std::result::Result<Self, ::tfplugin::value::ValueError> {
                let _ = &object;
                ::std::result::Result::Ok(Self { #(#decodes)* })
            }

            fn encode(self, object: &mut ::tfplugin::ObjectWriter) {
                let _ = &object;
                #(#encodes)*
            }
        }

        #[automatically_derived]
        impl ::tfplugin::AttributeType for #ident {
            fn shape() -> ::tfplugin::schema::Shape {
                ::tfplugin::schema::Shape::Nested(
                    ::tfplugin::schema::Nesting::Single,
                    ::std::sync::Arc::new(<Self as ::tfplugin::AttributeSet>::schema()),
                )
            }

            fn from_known(
                value: ::tfplugin::Dynamic,
            ) -> ::std::result::Result<Self, ::tfplugin::value::ValueError> {
                ::tfplugin::__derive::decode_set(value)
            }

            fn into_dynamic(self) -> ::tfplugin::Dynamic {
                ::tfplugin::__derive::encode_set(self)
            }
        }

        #[automatically_derived]
        impl ::tfplugin::Attribute for #ident {
            type Known = Self;
            const HOLDS_ABSENT: bool = false;

            fn from_dynamic(
                value: ::tfplugin::Dynamic,
            ) -> ::std::result::Result<Self, ::tfplugin::value::ValueError> {
                ::tfplugin::__derive::bare(value)
            }

            fn into_dynamic(self) -> ::tfplugin::Dynamic {
                ::tfplugin::AttributeType::into_dynamic(self)
            }
        }
    }
}

fn schema(field: &Field) -> TokenStream {
    let Field { ident, ty, docs, .. } = field;
    match &field.kind {
        Kind::Flatten => quote_spanned!(ty.span()=> object.flatten::<#ty>();),
        Kind::Timeouts(operations) => {
            let name = ident.to_string();
            let operations = operations.iter().map(ToString::to_string);
            quote!(object.add(::tfplugin::Timeouts::attribute(#name, &[#(#operations),*]));)
        }
        Kind::Attribute(words) => {
            let name = &words.name;
            let flags = &words.flags;
            let default = words.default.as_ref().map(|default| quote!(.default_value::<#ty>(#default)));
            let deprecated = words.deprecated.as_ref().map(|instead| quote!(.deprecated(#instead)));
            // A call rather than the path alone: `&String` then goes where `&str` is asked for.
            let validate = words.validate.iter().map(|check| {
                quote!(.validate::<#ty>(|value: &<#ty as ::tfplugin::Attribute>::Known| #check(value)))
            });
            // Spanned, so that "cannot be an attribute" points at the type of the field.
            let new = quote_spanned!(ty.span()=> ::tfplugin::schema::AttributeSchema::new::<#ty>(#name));
            quote! {
                object.add(#new.described(#docs) #(.#flags())* #default #deprecated #(#validate)*);
            }
        }
    }
}

fn decode(field: &Field) -> TokenStream {
    let Field { ident, ty, .. } = field;
    match &field.kind {
        Kind::Flatten => quote_spanned!(ty.span()=> #ident: ::tfplugin::AttributeSet::decode(object)?,),
        Kind::Timeouts(_) => {
            let name = ident.to_string();
            quote_spanned!(ty.span()=> #ident: ::tfplugin::Timeouts::from_value(object.take_dynamic(#name)),)
        }
        Kind::Attribute(words) => {
            let name = &words.name;
            quote_spanned!(ty.span()=> #ident: object.take::<#ty>(#name)?,)
        }
    }
}

fn encode(field: &Field) -> TokenStream {
    let Field { ident, ty, .. } = field;
    match &field.kind {
        Kind::Flatten => quote_spanned!(ty.span()=> ::tfplugin::AttributeSet::encode(self.#ident, object);),
        Kind::Timeouts(_) => {
            let name = ident.to_string();
            quote_spanned!(ty.span()=> object.put_dynamic(#name, self.#ident.into_value());)
        }
        Kind::Attribute(words) => {
            let name = &words.name;
            quote_spanned!(ty.span()=> object.put::<#ty>(#name, self.#ident);)
        }
    }
}
