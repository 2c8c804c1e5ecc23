//! The messages and clients that the crate generates for itself.

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
