//! The operator: BindProxy → dereference → validate → build → apply → status.

pub mod crd;
