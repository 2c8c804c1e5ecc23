//! The plugin protocol.

pub mod value;
