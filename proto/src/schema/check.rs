//! Faults in a schema itself, found when the server starts.
