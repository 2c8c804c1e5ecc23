//! Local platform.
