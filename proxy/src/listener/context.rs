//! What a session knows of the listener that it came through.

use std::sync::Arc;

use crate::config::ListenerTls;
use crate::config::cidr::Cidr;
use crate::metrics::ListenerMetrics;

/// One listener. The same in every generation of the configuration: the set of listeners needs a
/// restart to change.
pub struct ListenerContext {
    /// The configured name.
    pub name: Arc<str>,
    /// How TLS starts.
    pub tls: ListenerTls,
    /// Whose PROXY header is believed; `None` where none is expected.
    pub proxy_protocol: Option<Vec<Cidr>>,
    /// Its metrics.
    pub metrics: ListenerMetrics,
}
