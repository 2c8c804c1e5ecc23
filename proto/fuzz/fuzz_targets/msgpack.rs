//! Feeds bytes to the msgpack decoder.
#![no_main]

// The module alone and not the crate, whose TLS library takes minutes to build with a sanitizer.
#[expect(dead_code, unused_imports, reason = "a program uses less than a library offers")]
#[path = "../../src/value/mod.rs"]
mod value;

#[expect(dead_code, reason = "JSON has its own target")]
#[path = "../invariants.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|input: &[u8]| invariants::msgpack(input));
