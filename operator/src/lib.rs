//! The operator: watches BindProxies and makes of each a set of proxies.
//!
//! ```text
//! settings → run → leader → controller (watches) → reconcile
//!                                                   dereference → validate → build → apply → observe → status
//! ```
//!
//! [`reconcile`] is the path of one BindProxy, in the order of its modules; [`crd`] is what a person
//! writes. `validate`, `build` and `status` are pure; the others ask the API server or the pods.

pub mod client;
pub mod clock;
pub mod controller;
pub mod crd;
pub mod http;
pub mod identity;
pub mod kinds;
pub mod leader;
pub mod metrics;
pub mod owned;
pub mod reconcile;
pub mod run;
pub mod settings;
