//! From a validated BindProxy to its objects. Pure: no client, no clock.

mod objects;

pub use objects::Objects;

/// Why an object could not be built; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A part that is written as free JSON or YAML.
    #[error("{0} cannot be written")]
    Serialize(&'static str, #[source] serde_json::Error),
}
