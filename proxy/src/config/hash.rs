//! The name of a configuration: a short hash that a pod, its metrics and an operator agree on.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{Config, UpstreamTlsMode};

/// A short hash over the effective configuration, in hexadecimal.
///
/// Equal for two files that mean the same: key order, comments, quoting and defaults that are
/// written out do not count. Paths count as they are written, so the hash does not depend on the
/// folder that the file lies in; the contents of the files that it names do not count at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ConfigHash(String);

/// 64 bits: configurations are told apart, nobody defends against forgeries here.
const SHOWN_BYTES: usize = 8;

impl ConfigHash {
    /// The hash of `config`, whose paths must still be those of the file.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut text = String::new();
        // Serialising plain data to a value cannot fail; were it ever to, the hash would be of nothing.
        canonical(&serde_json::to_value(normalised(config)).unwrap_or_default(), &mut text);
        let hash = blake3::hash(text.as_bytes());
        Self(hash.as_bytes().iter().take(SHOWN_BYTES).map(|octet| format!("{octet:02x}")).collect())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Fills in the defaults that depend on other fields and therefore stay absent in the type.
fn normalised(config: &Config) -> Config {
    let mut config = config.clone();
    for upstream in &mut config.upstreams {
        if let Some(host) = &upstream.host {
            upstream.port = Some(upstream.effective_port());
            if upstream.tls.mode != UpstreamTlsMode::Disabled && upstream.tls.server_name.is_none() {
                upstream.tls.server_name = Some(host.clone());
            }
        }
    }
    config
}

/// Writes JSON with sorted keys, whatever order the map type happens to keep.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            text.push('{');
            for name in names {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                canonical(&fields[name.as_str()], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}
