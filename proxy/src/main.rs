//! The `bindproxy` program.

fn main() {}
