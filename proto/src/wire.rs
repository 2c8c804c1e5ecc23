//! The messages and services generated from `schemas/`.
//!
//! The clients among them are for the tests, which include the same files.

#![expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "generated code has its own habits"
)]
// `expect` does not see the methods' empty namesakes, which nobody constructs.
#![allow(dead_code, reason = "generated code has its own habits")]

pub(crate) mod tfplugin6 {
    tonic::include_proto!("tfplugin6");
}

pub(crate) mod plugin {
    tonic::include_proto!("plugin");
}

pub(crate) mod health {
    tonic::include_proto!("grpc.health.v1");
}
