//! Peers that are not what they say.
