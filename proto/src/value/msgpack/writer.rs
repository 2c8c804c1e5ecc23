//! Writes msgpack, each value in its shortest form.

use rmp::encode;

use super::refinements;
use crate::value::encode::Sink;
use crate::value::{Number, Problem, Refinements, Type};

/// msgpack counts in 32 bits. Writing to a vector cannot fail, so that is all that can go wrong.
fn len32(len: usize) -> Result<u32, Problem> {
    u32::try_from(len).map_err(|_| Problem::TooLarge)
}

impl Sink for Vec<u8> {
    fn null(&mut self) {
        self.push(rmp::Marker::Null.to_u8());
    }

    fn unknown(&mut self, refinements: &Refinements) -> Result<(), Problem> {
        let (code, body) = match refinements::encode(refinements)? {
            Some(body) => (refinements::CODE, body),
            None => (0, vec![0]),
        };
        encode::write_ext_meta(self, len32(body.len())?, code).map_err(|_| Problem::TooLarge)?;
        self.extend(body);
        Ok(())
    }

    fn bool(&mut self, value: bool) {
        self.push(if value { rmp::Marker::True } else { rmp::Marker::False }.to_u8());
    }

    /// An integer if it is one of 64 bits; a float if it is a fraction that one holds exactly;
    /// otherwise its text.
    fn number(&mut self, number: &Number) -> Result<(), Problem> {
        if let Some(integer) = number.to_i64() {
            encode::write_sint(self, integer).map(drop)
        } else if let Some(float) = number.to_f64().filter(|_| !number.is_whole()) {
            encode::write_f64(self, float)
        } else {
            return self.text(&number.to_string());
        }
        .map_err(|_| Problem::TooLarge)
    }

    fn text(&mut self, text: &str) -> Result<(), Problem> {
        len32(text.len())?;
        encode::write_str(self, text).map_err(|_| Problem::TooLarge)
    }

    fn array(&mut self, len: usize) -> Result<(), Problem> {
        encode::write_array_len(self, len32(len)?).map(drop).map_err(|_| Problem::TooLarge)
    }

    fn array_end(&mut self) {}

    fn map(&mut self, len: usize) -> Result<(), Problem> {
        encode::write_map_len(self, len32(len)?).map(drop).map_err(|_| Problem::TooLarge)
    }

    fn key(&mut self, key: &str) -> Result<(), Problem> {
        self.text(key)
    }

    fn map_end(&mut self) {}

    fn separator(&mut self) {}

    fn typed(&mut self, ty: &Type) -> Result<(), Problem> {
        self.array(2)?;
        let json = ty.to_json();
        len32(json.len())?;
        encode::write_bin(self, json.as_bytes()).map_err(|_| Problem::TooLarge)
    }

    fn typed_end(&mut self) {}
}
