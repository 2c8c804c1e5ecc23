//! applying
