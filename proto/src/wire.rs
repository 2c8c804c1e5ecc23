//! The messages and services generated from `schemas/`.

macro_rules! generated {
    ($($name:ident: $package:literal),+) => {$(
        #[allow(
            clippy::allow_attributes,
            clippy::all,
            missing_docs,
            unreachable_pub,
            dead_code,
            reason = "generated; which of these occur depends on the generator's version"
        )]
        pub(crate) mod $name {
            tonic::include_proto!($package);
        }
    )+};
}

generated!(tfplugin6: "tfplugin6", plugin: "plugin", health: "grpc.health.v1");
