//! The Terraform and OpenTofu provider for IntegraCI.
//!
//! [`api`] is the client of the server; everything else is what Terraform sees.

pub mod api;
