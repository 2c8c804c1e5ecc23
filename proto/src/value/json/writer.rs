//! Writes compact JSON.

use std::fmt::Write as _;

use crate::value::encode::Sink;
use crate::value::{Number, Problem, Refinements, Type};

impl Sink for String {
    fn null(&mut self) {
        self.push_str("null");
    }

    fn unknown(&mut self, _: &Refinements) -> Result<(), Problem> {
        Err(Problem::UnknownInJson)
    }

    fn bool(&mut self, value: bool) {
        self.push_str(if value { "true" } else { "false" });
    }

    fn number(&mut self, number: &Number) -> Result<(), Problem> {
        // Its text follows JSON's own grammar. Writing to a string cannot fail.
        write!(self, "{number}").map_err(|_| Problem::TooLarge)
    }

    fn text(&mut self, text: &str) -> Result<(), Problem> {
        write_string(text, self);
        Ok(())
    }

    fn array(&mut self, _: usize) -> Result<(), Problem> {
        self.push('[');
        Ok(())
    }

    fn array_end(&mut self) {
        self.push(']');
    }

    fn map(&mut self, _: usize) -> Result<(), Problem> {
        self.push('{');
        Ok(())
    }

    fn key(&mut self, key: &str) -> Result<(), Problem> {
        write_string(key, self);
        self.push(':');
        Ok(())
    }

    fn map_end(&mut self) {
        self.push('}');
    }

    fn separator(&mut self) {
        self.push(',');
    }

    fn typed(&mut self, ty: &Type) -> Result<(), Problem> {
        self.push_str(r#"{"type":"#);
        ty.write_json(self);
        self.push_str(r#","value":"#);
        Ok(())
    }

    fn typed_end(&mut self) {
        self.push('}');
    }
}

/// Writes text in quotes, escaping no more than JSON asks for.
pub(in crate::value) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c| matches!(c, '"' | '\\' | '\0'..='\x1f')) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                out.push_str("\\u00");
                for half in [control >> 4, control & 0xf] {
                    out.extend(char::from_digit(half.into(), 16));
                }
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}
