//! The operator: BindProxy → dereference → validate → build → apply → status.
//!
//! Only its version exists yet, so that the workspace has the shape that it will keep.

fn main() {
    println!("bindproxy-operator {}", env!("CARGO_PKG_VERSION"));
}
