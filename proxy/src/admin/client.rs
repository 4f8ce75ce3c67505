//! The commands that ask a running proxy: `status`, `offenders`, `explain`, `flush`.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::api::{ErrorReport, Explanation, FlushReport, Offenders, StatusReport};
use super::text;
use crate::cli::{AdminArgs, Command, Outcome, Output};
use crate::logging::Escaped;
use crate::upstream::resolve::Resolver;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A flush waits until every member that can be reached has acknowledged.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The process at a glance.
    Status,
    /// Who keeps presenting wrong passwords.
    Offenders {
        /// At most so many.
        limit: u32,
    },
    /// What is known about a name.
    Explain {
        /// As a client would write it, or a short hash from the log.
        name: String,
    },
    /// Forget the failures of a name.
    Flush {
        /// As a client would write it, or a short hash from the log.
        name: String,
    },
    /// Forget everything.
    FlushAll,
}

impl Verb {
    /// The verb and the options of a command line, when it is one of these commands.
    #[must_use]
    pub fn of(command: &Command) -> Option<(Self, ClientOptions)> {
        let (verb, admin) = match command {
            Command::Status(admin) => (Self::Status, admin),
            Command::Offenders(arguments) => (Self::Offenders { limit: arguments.limit }, &arguments.admin),
            Command::Explain(arguments) => (Self::Explain { name: arguments.name.clone() }, &arguments.admin),
            Command::Flush(arguments) => {
                let verb = arguments.name.clone().map_or(Self::FlushAll, |name| Self::Flush { name });
                (verb, &arguments.admin)
            }
            Command::Run(_)
            | Command::Check(_)
            | Command::Demo(_)
            | Command::Probe(_)
            | Command::Completions { .. }
            | Command::Man
            | Command::Schema => return None,
        };
        Some((verb, ClientOptions::from(admin)))
    }
}

/// Whom to ask, and how to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// `http://HOST:PORT`; `HOST:PORT` will do.
    pub admin: String,
    /// File with the bearer token.
    pub token_file: Option<PathBuf>,
    /// Form of the answer.
    pub output: Output,
}

impl From<&AdminArgs> for ClientOptions {
    fn from(arguments: &AdminArgs) -> Self {
        Self { admin: arguments.admin.clone(), token_file: arguments.token_file.clone(), output: arguments.output }
    }
}

/// Asks a running proxy and writes its answer to `out`. A flush that some members did not
/// acknowledge is a fault.
///
/// # Errors
/// When nobody answers, or refuses; the text says what to do about it.
pub fn run_verb(verb: &Verb, options: &ClientOptions, out: &mut impl Write) -> anyhow::Result<Outcome> {
    let admin = Admin::parse(&options.admin)?;
    let token = options.token_file.as_deref().map(read_token).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
    let (status, body) = runtime.block_on(admin.ask(verb, token.as_deref()))?;
    if status != StatusCode::OK {
        bail!(refusal(&admin, status, &body));
    }
    let shown = match (options.output, verb) {
        (Output::Json, _) => {
            let value: serde_json::Value = decoded(&admin, &body)?;
            format!("{value:#}\n")
        }
        (Output::Text, Verb::Status) => text::status(&decoded::<StatusReport>(&admin, &body)?),
        (Output::Text, Verb::Offenders { limit: _ }) => text::offenders(&decoded::<Offenders>(&admin, &body)?),
        (Output::Text, Verb::Explain { name: _ }) => text::explanation(&decoded::<Explanation>(&admin, &body)?),
        (Output::Text, Verb::Flush { name: _ } | Verb::FlushAll) => {
            text::flush(&decoded::<FlushReport>(&admin, &body)?)
        }
    };
    out.write_all(shown.as_bytes())?;
    Ok(match verb {
        Verb::Flush { name: _ } | Verb::FlushAll if !decoded::<FlushReport>(&admin, &body)?.unreachable.is_empty() => {
            Outcome::Fault
        }
        Verb::Status
        | Verb::Offenders { limit: _ }
        | Verb::Explain { name: _ }
        | Verb::Flush { name: _ }
        | Verb::FlushAll => Outcome::Done,
    })
}

/// Where the proxy's admin address is.
#[derive(Debug)]
struct Admin {
    host: String,
    port: u16,
}

impl Admin {
    fn parse(url: &str) -> anyhow::Result<Self> {
        // What stands before an @ may be a password.
        let shown = if url.contains('@') { "(not shown)".to_owned() } else { safe(url) };
        let wrong = || format!("--admin {shown}: write http://HOST:PORT, for example http://127.0.0.1:9390");
        let uri: Uri = url.parse().with_context(wrong)?;
        match uri.scheme_str() {
            Some("http") | None => {}
            Some(_) => bail!("{} (the admin address speaks plain HTTP)", wrong()),
        }
        if uri.path_and_query().is_some_and(|path| path != "/") {
            bail!("{} (the path is added by the command)", wrong());
        }
        let authority = uri.authority().with_context(wrong)?;
        if authority.as_str().contains('@') {
            bail!("{} (a token goes into a file: --token-file)", wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(9390) })
    }

    /// As in a Host header.
    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    async fn ask(&self, verb: &Verb, token: Option<&str>) -> anyhow::Result<(StatusCode, Bytes)> {
        let stream = timeout(CONNECT_TIMEOUT, self.connect())
            .await
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
            .with_context(|| self.unreachable())?;
        timeout(ANSWER_TIMEOUT, self.exchange(stream, verb, token))
            .await
            .with_context(|| format!("{} did not answer within {} s", self.authority(), ANSWER_TIMEOUT.as_secs()))?
            .with_context(|| format!("{} did not answer as a bindproxy does", self.authority()))
    }

    /// Over the addresses of the host. Not by libc: a static program finds none of its modules.
    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let addresses = match self.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => Resolver::default().addresses(&self.host).await?,
        };
        let addresses: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, self.port)).collect();
        Ok(TcpStream::connect(addresses.as_slice()).await?)
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        verb: &Verb,
        token: Option<&str>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let answer = sender.send_request(self.request(verb, token)?).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        driver.abort();
        let body = body.map_err(|fault| anyhow::anyhow!(fault))?;
        Ok((status, body.to_bytes()))
    }

    fn request(&self, verb: &Verb, token: Option<&str>) -> anyhow::Result<Request<Full<Bytes>>> {
        let (method, path, body) = match verb {
            Verb::Status => (Method::GET, "/api/v1/status".to_owned(), None),
            Verb::Offenders { limit } => (Method::GET, format!("/api/v1/offenders?limit={limit}"), None),
            Verb::Explain { name } => (Method::GET, format!("/api/v1/explain?name={}", percent_encoded(name)), None),
            Verb::Flush { name } => (Method::POST, "/api/v1/flush".to_owned(), Some(json!({ "name": name }))),
            Verb::FlushAll => (Method::POST, "/api/v1/flush".to_owned(), Some(json!({ "all": true }))),
        };
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.authority());
        if let Some(token) = token {
            let mut value = header::HeaderValue::try_from(format!("Bearer {token}"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        Ok(request.body(Full::new(body))?)
    }

    fn unreachable(&self) -> String {
        format!(
            "cannot reach {}: is bindproxy running there? Its admin.address is in its configuration; name it with --admin http://HOST:PORT",
            safe(&self.authority())
        )
    }
}

fn read_token(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let contents = std::fs::read_to_string(file).with_context(|| format!("--token-file {shown}: cannot be read"))?;
    let token = contents.trim();
    if token.is_empty() || !token.bytes().all(|octet| octet.is_ascii_graphic()) {
        bail!("--token-file {shown}: must hold one word of printable ASCII");
    }
    Ok(token.to_owned())
}

fn refusal(admin: &Admin, status: StatusCode, body: &[u8]) -> String {
    let said = serde_json::from_slice::<ErrorReport>(body).map(|report| safe(&report.error)).unwrap_or_default();
    let authority = safe(&admin.authority());
    match (status, said.as_str()) {
        (StatusCode::NOT_FOUND, "") => {
            format!("{authority} answers, but is no bindproxy: name its admin address with --admin")
        }
        (_, "") => format!("{authority} answers {status}: is it a bindproxy?"),
        (StatusCode::UNAUTHORIZED, _) => {
            format!("{authority} refuses: {said}; FILE holds what the proxy's admin.tokenFile holds")
        }
        (_, said) => format!("{authority} refuses: {said}"),
    }
}

fn decoded<T: DeserializeOwned>(admin: &Admin, body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body)
        .with_context(|| format!("{} answers something else than this release expects", safe(&admin.authority())))
}

fn safe(text: &str) -> String {
    Escaped(text.as_bytes()).to_string()
}

/// Everything but RFC 3986 section 2.3's unreserved characters is encoded.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, octet| {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            encoded.push_str(&format!("%{octet:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_url_is_a_host_and_a_port() {
        let known = [
            ("http://127.0.0.1:9390", "127.0.0.1:9390"),
            ("http://127.0.0.1:9390/", "127.0.0.1:9390"),
            ("http://[::1]:81", "[::1]:81"),
            ("http://proxy.example", "proxy.example:9390"),
            ("localhost:9390", "localhost:9390"),
            ("localhost", "localhost:9390"),
        ];
        for (url, authority) in known {
            assert_eq!(Admin::parse(url).expect(url).authority(), authority, "{url}");
        }
        for url in ["https://127.0.0.1:9390", "http://h/x", "", "http://", "http://user:pw@h:1", "unix:///x", "/x"] {
            let told = Admin::parse(url).expect_err(url).to_string();
            assert!(told.contains("write http://HOST:PORT"), "{url}: {told}");
        }
    }

    #[test]
    fn names_survive_the_query() {
        assert_eq!(percent_encoded("cn=a b,dc=å&~1"), "cn%3Da%20b%2Cdc%3D%C3%A5%26~1");
    }
}
