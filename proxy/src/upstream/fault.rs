//! Why an upstream is not used, in the few words that others can act on.

use std::io;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checker::CheckError;
use super::connect::ConnectError;
use super::connection::ExchangeError;

/// Whether an upstream is used, and if not, what keeps it from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum UpstreamReason {
    /// It is used.
    Healthy,
    /// Its name has no address, or the name service does not answer.
    DNSFailed,
    /// Nobody listens there, the network has no way, or the connection broke before it was of use.
    ConnectFailed,
    /// No connection within `connectTimeoutSeconds`.
    ConnectTimeout,
    /// TLS did not come about: one side does not take the other's certificate, they have no version in
    /// common, or the directory refuses StartTLS.
    TLSVerifyFailed,
    /// There was a connection, but no answer that says that it serves. What a later version says is read as this.
    #[serde(other)]
    Unavailable,
}

/// Why a check or a connection attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub reason: UpstreamReason,
    /// All that is known, with the directory's own words: for the log and the guarded API.
    pub detail: String,
    /// Without the directory's own words, which may hold any name: for whoever asks.
    pub open_text: String,
}

impl From<&ConnectError> for Fault {
    fn from(error: &ConnectError) -> Self {
        let detail = error.to_string();
        let (reason, open_text) = match error {
            ConnectError::Resolve(_) => (UpstreamReason::DNSFailed, detail.clone()),
            ConnectError::Refused { .. } => (UpstreamReason::ConnectFailed, detail.clone()),
            ConnectError::Timeout(_) => (UpstreamReason::ConnectTimeout, detail.clone()),
            ConnectError::Tls(cause) => (of_stream(cause), detail.clone()),
            ConnectError::StartTlsRefused { code, diagnostic: _ } => {
                (UpstreamReason::TLSVerifyFailed, format!("StartTLS was refused with result {code}"))
            }
            ConnectError::StartTls(error) => (of_exchange(error), detail.clone()),
        };
        Self { reason, detail, open_text }
    }
}

impl From<&CheckError> for Fault {
    fn from(error: &CheckError) -> Self {
        let reason = match error {
            CheckError::Connect(error) => return error.into(),
            CheckError::Exchange(error) => of_exchange(error),
            CheckError::Unavailable(_) => UpstreamReason::Unavailable,
        };
        let detail = error.to_string();
        Self { reason, open_text: detail.clone(), detail }
    }
}

fn of_exchange(error: &ExchangeError) -> UpstreamReason {
    match error {
        // TLS 1.3 tells the client that its certificate is not taken only after its handshake.
        ExchangeError::Lost(cause) => of_stream(cause),
        ExchangeError::Timeout(_) | ExchangeError::Disconnected | ExchangeError::Garbage(_) => {
            UpstreamReason::Unavailable
        }
    }
}

fn of_stream(cause: &io::Error) -> UpstreamReason {
    if cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        UpstreamReason::TLSVerifyFailed
    } else {
        UpstreamReason::ConnectFailed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::resolve::ResolveError;

    fn reason(error: ConnectError) -> UpstreamReason {
        Fault::from(&CheckError::Connect(error)).reason
    }

    #[test]
    fn each_fault_has_the_reason_that_tells_whom_to_call() {
        let lookup = ResolveError::Lookup { host: "dc1".into(), cause: "no address".into() };
        assert_eq!(reason(lookup.into()), UpstreamReason::DNSFailed);
        let refused =
            ConnectError::Refused { address: "10.0.0.1:636".into(), cause: io::ErrorKind::ConnectionRefused.into() };
        assert_eq!(reason(refused), UpstreamReason::ConnectFailed);
        assert_eq!(reason(ConnectError::Timeout(Duration::from_secs(3))), UpstreamReason::ConnectTimeout);
        let certificate = || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer),
            )
        };
        assert_eq!(reason(ConnectError::Tls(certificate())), UpstreamReason::TLSVerifyFailed);
        assert_eq!(reason(ConnectError::Tls(io::ErrorKind::UnexpectedEof.into())), UpstreamReason::ConnectFailed);
        let late = CheckError::Exchange(ExchangeError::Lost(certificate()));
        assert_eq!(Fault::from(&late).reason, UpstreamReason::TLSVerifyFailed);
        assert_eq!(Fault::from(&CheckError::Unavailable(52)).reason, UpstreamReason::Unavailable);
    }

    #[test]
    fn the_directorys_words_are_not_for_everybody() {
        let refused = ConnectError::StartTlsRefused { code: 53, diagnostic: "not for uid=alice".into() };
        let Fault { reason, detail, open_text } = Fault::from(&refused);
        assert_eq!(reason, UpstreamReason::TLSVerifyFailed);
        assert!(detail.contains("uid=alice"), "{detail}");
        assert_eq!(open_text, "StartTLS was refused with result 53");
    }

    #[test]
    fn a_reason_of_a_later_version_is_read() {
        let read: UpstreamReason = serde_json::from_str("\"QuotaExceeded\"").unwrap();
        assert_eq!(read, UpstreamReason::Unavailable);
        assert_eq!(serde_json::to_string(&UpstreamReason::DNSFailed).unwrap(), "\"DNSFailed\"");
    }
}
