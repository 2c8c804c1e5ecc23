//! Checks what the platform signs, offline.
