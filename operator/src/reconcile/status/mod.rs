//! From what was applied and seen to the status. Pure: takes the time.
