//! Checks of a configuration that every resource gets without asking.
