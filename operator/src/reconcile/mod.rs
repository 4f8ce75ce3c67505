//! What happens with one BindProxy: dereference → validate → build → apply → status.

pub mod build;
pub mod observation;
pub mod observe;
pub mod outcome;
pub mod status;
pub mod validated;
