//! Compiles the `.proto` files with protox, which is Rust: building needs no protoc.

use std::error::Error;

const FILES: [&str; 3] = ["schemas/tfplugin6.proto", "schemas/go_plugin.proto", "schemas/health.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=schemas");
    let descriptors = protox::compile(FILES, ["schemas"])?;
    tonic_prost_build::configure()
        // Clients are for the tests, and cost nothing where nobody calls them.
        .build_client(true)
        .build_server(true)
        // Values are handed on as the slices they arrived in.
        .bytes(".")
        // Deterministic bytes: the same schema encodes to the same answer each time.
        .btree_map(".")
        // A message may hold a secret: none can be printed.
        .skip_debug(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
