//! Who may ask the API: the bearer of the token; without a configured token, this machine.

use std::net::SocketAddr;

use axum::http::{HeaderMap, StatusCode, header};

use crate::config::AdminToken;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("this needs a bearer token: send `Authorization: Bearer ...` (on the command line: --token-file FILE)")]
    NoToken,
    #[error(
        "the bearer token is not the one in the proxy's admin.tokenFile: send that one (on the command line: --token-file FILE)"
    )]
    WrongToken,
    #[error(
        "no token is configured, so the API answers only on loopback: set admin.tokenFile in the proxy's configuration, or ask from the same host or pod"
    )]
    NotLoopback,
    #[error(
        "no token is configured, so the API answers only to the Host names localhost and loopback addresses: ask for http://127.0.0.1, or set admin.tokenFile"
    )]
    ForeignHost,
}

impl Refused {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::NotLoopback | Self::ForeignHost => StatusCode::FORBIDDEN,
        }
    }
}

pub(super) fn admit(token: Option<&AdminToken>, peer: SocketAddr, headers: &HeaderMap) -> Result<(), Refused> {
    match token {
        Some(token) => {
            let presented = bearer(headers).ok_or(Refused::NoToken)?;
            if token.matches(presented) { Ok(()) } else { Err(Refused::WrongToken) }
        }
        None if !peer.ip().to_canonical().is_loopback() => Err(Refused::NotLoopback),
        // A web page in a browser on this machine reaches loopback too, under its own host name
        // when it plays with DNS.
        None if !has_local_host(headers) => Err(Refused::ForeignHost),
        None => Ok(()),
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 section 2.1); the scheme's case does not
/// count (RFC 9110 section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn has_local_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().to_canonical().is_loopback();
    }
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(host: &'static str, authorization: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    fn peer(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn without_a_token_only_loopback() {
        let local = headers("localhost:9390", None);
        for near in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(admit(None, peer(near), &local), Ok(()), "{near}");
        }
        for far in ["10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1", "0.0.0.0:1"] {
            assert_eq!(admit(None, peer(far), &local), Err(Refused::NotLoopback), "{far}");
        }
    }

    #[test]
    fn without_a_token_only_local_host_names() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9390", "[::1]:9390", "[::1]"] {
            assert_eq!(admit(None, peer("127.0.0.1:1"), &headers(host, None)), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:9390", "10.0.0.1:9390", "", "127.0.0.1.evil.example"] {
            assert_eq!(admit(None, peer("127.0.0.1:1"), &headers(host, None)), Err(Refused::ForeignHost), "{host}");
        }
    }

    #[test]
    fn with_a_token_only_its_bearer_wherever_it_is() {
        let token = AdminToken::from_file_contents(b"open-sesame\n").expect("a token");
        let far = peer("10.0.0.1:1");
        let ask = |authorization| admit(Some(&token), far, &headers("proxy.example", authorization));
        assert_eq!(ask(Some("Bearer open-sesame")), Ok(()));
        assert_eq!(ask(Some("bearer  open-sesame ")), Ok(()));
        for wrong in ["Bearer open-sesam", "Bearer open-sesame2", "Bearer ", "Bearer OPEN-SESAME"] {
            assert_eq!(ask(Some(wrong)), Err(Refused::WrongToken), "{wrong}");
        }
        for missing in [None, Some("open-sesame"), Some("Basic b3Blbg=="), Some("Bear"), Some("")] {
            assert_eq!(ask(missing), Err(Refused::NoToken), "{missing:?}");
        }
        let near = admit(Some(&token), peer("127.0.0.1:1"), &headers("localhost", None));
        assert_eq!(near, Err(Refused::NoToken));
    }
}
