//! actions_and_lists
