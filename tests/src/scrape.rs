//! The admin port of a proxy, asked in plain HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long a connection to the admin port may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer may take. A flush waits for peers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Status and body of `GET path`; `None` when nobody answers.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// As [`get`], for servers that would send a long body in chunks, which HTTP/1.0 does not know.
#[must_use]
pub fn get_whole(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    exchange(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// Status and body of `GET path` with a bearer token; `None` when nobody answers.
#[must_use]
pub fn get_as(address: SocketAddr, token: &str, path: &str) -> Option<(u16, String)> {
    exchange(
        address,
        &format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        ),
    )
}

/// Status and body of `POST path` with a bearer token; `None` when nobody answers.
#[must_use]
pub fn post_as(address: SocketAddr, token: &str, path: &str, body: &Value) -> Option<(u16, String)> {
    let body = body.to_string();
    exchange(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
    )
}

fn exchange(address: SocketAddr, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The sum of all samples of a metric whose labels contain `labels`. Panics when there is none:
/// every counter exists from the start.
#[must_use]
pub fn metric(address: SocketAddr, name: &str, labels: &[(&str, &str)]) -> f64 {
    let (status, text) = get(address, "/metrics").expect("the admin address answers");
    assert_eq!(status, 200, "{text}");
    sum(&text, name, labels).unwrap_or_else(|| panic!("no metric {name} with {labels:?} in\n{text}"))
}

/// The sum of all samples of a metric whose labels contain `labels`, in the text of a scrape.
#[must_use]
pub fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let samples: Vec<f64> = text.lines().filter_map(|line| sample(line, name, labels)).collect();
    (!samples.is_empty()).then(|| samples.iter().sum())
}

/// The value of the line `name{labels} value` when it is the metric asked for.
fn sample(line: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let (shown, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.split_once("} ")?,
        None => ("", rest.strip_prefix(' ')?),
    };
    let wanted = labels.iter().all(|(label, value)| {
        let pair = format!("{label}=\"{value}\"");
        shown.split(',').any(|found| found == pair)
    });
    if wanted { value.trim().parse().ok() } else { None }
}
