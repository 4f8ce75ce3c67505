//! The operator: BindProxy → dereference → validate → build → apply → status.

pub mod crd;
pub mod identity;
pub mod reconcile;
