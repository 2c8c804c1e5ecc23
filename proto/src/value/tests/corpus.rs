//! Every committed input of the fuzzer, without the fuzzer.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/invariants.rs"]
mod invariants;

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        // Captured by the test, and so shown only if this input is the one that fails.
        println!("{}", path.display());
        check(&fs::read(path).unwrap());
        inputs += 1;
    }
    assert!(inputs > 50, "{inputs} inputs");
}

#[test]
fn msgpack() {
    replay("msgpack", invariants::msgpack);
}

#[test]
fn json() {
    replay("json", invariants::json);
}
