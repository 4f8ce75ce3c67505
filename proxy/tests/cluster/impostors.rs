//! Processes that want to be members and are none.
