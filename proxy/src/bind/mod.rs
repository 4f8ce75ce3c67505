//! The bind decision: answer from the cache, wait on a lease, or forward; and what is learned.
