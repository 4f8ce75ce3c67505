//! The paths of the admin address and what each answers.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Extension, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::body::Incoming;

use super::api::{ErrorReport, UnknownShortHash};
use super::connections::Peer;
use super::{AdminState, auth, flush_body};

const PATHS: [&str; 10] = [
    "GET /livez",
    "GET /readyz",
    "GET /startupz",
    "GET /metrics",
    "GET /configz",
    "GET /statusz",
    "GET /api/v1/status",
    "GET /api/v1/offenders?limit=N",
    "GET /api/v1/explain?name=NAME",
    "POST /api/v1/flush",
];

/// A flush names one bind name; a DN of this length is already absurd.
const MAX_BODY_BYTES: usize = 16 * 1024;

const DEFAULT_OFFENDERS: usize = 20;
const MAX_OFFENDERS: usize = 1000;

pub(super) fn router(state: AdminState) -> Router {
    let guarded = Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/offenders", get(offenders))
        .route("/api/v1/explain", get(explain))
        .route("/api/v1/flush", post(flush))
        .method_not_allowed_fallback(wrong_method)
        .route_layer(from_fn_with_state(state.clone(), guard));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(metrics))
        .route("/configz", get(configz))
        .route("/statusz", get(statusz))
        .merge(guarded)
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_such_path)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn(common_headers))
        .with_state(state)
}

async fn guard(
    State(state): State<AdminState>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let admitted = auth::admit(state.token.load().as_deref(), peer, request.headers());
    match admitted {
        Ok(()) => next.run(request).await,
        Err(refused) => {
            let mut response = error(refused.status(), refused.to_string());
            if refused.status() == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    }
}

/// Nothing here may be kept by a cache, and no browser may take it for something else.
async fn common_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

async fn livez(State(state): State<AdminState>) -> Response {
    let stalled = state.status.stalled(state.clock.now());
    if stalled.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    let named: Vec<String> = stalled
        .iter()
        .map(|(name, age)| format!("event loop {name} has not turned for {} s\n", age.as_secs()))
        .collect();
    (StatusCode::SERVICE_UNAVAILABLE, named.concat()).into_response()
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let told = match (state.status.is_draining(), state.status.started()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "starting: not every listener is open yet\n"),
        (false, true) => (StatusCode::OK, "ok\n"),
    };
    told.into_response()
}

async fn startupz(State(state): State<AdminState>) -> Response {
    if state.status.started() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting: not every listener is open yet\n").into_response()
    }
}

async fn metrics(State(state): State<AdminState>) -> Response {
    state.api.before_scrape();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, state.metrics.render()).into_response()
}

async fn configz(State(state): State<AdminState>) -> Response {
    Json(state.status.config().as_ref()).into_response()
}

async fn statusz(State(state): State<AdminState>) -> Response {
    Json(state.api.pod_status()).into_response()
}

async fn status(State(state): State<AdminState>) -> Response {
    Json(state.api.status()).into_response()
}

async fn offenders(State(state): State<AdminState>, RawQuery(query): RawQuery) -> Response {
    let limit = match parameter(query.as_deref(), "limit") {
        Ok(None) => DEFAULT_OFFENDERS,
        Ok(Some(text)) => match text.parse::<usize>() {
            Ok(limit @ 1..=MAX_OFFENDERS) => limit,
            Ok(_) | Err(_) => {
                let told = format!("limit: not a number from 1 to {MAX_OFFENDERS}: write ?limit={DEFAULT_OFFENDERS}");
                return error(StatusCode::BAD_REQUEST, told);
            }
        },
        Err(told) => return error(StatusCode::BAD_REQUEST, told),
    };
    Json(state.api.offenders(limit).await).into_response()
}

async fn explain(State(state): State<AdminState>, RawQuery(query): RawQuery) -> Response {
    let name = match parameter(query.as_deref(), "name") {
        Ok(Some(name)) if !name.is_empty() => name,
        Ok(_) => {
            let told = "name: missing: write /api/v1/explain?name=NAME, percent-encoded, or a short hash from the log (~1a2b3c4d)";
            return error(StatusCode::BAD_REQUEST, told.to_owned());
        }
        Err(told) => return error(StatusCode::BAD_REQUEST, told),
    };
    match state.api.explain(name).await {
        Ok(explanation) => Json(explanation).into_response(),
        Err(UnknownShortHash { missing }) if missing.is_empty() => {
            let told = "name: nothing is known under this short hash: its failures have expired, or a bindproxy of another cluster wrote it to its log; ask with the whole name";
            error(StatusCode::NOT_FOUND, told.to_owned())
        }
        Err(UnknownShortHash { missing }) => {
            let missing = missing.join(", ");
            let told = format!(
                "name: nothing is known under this short hash, but {missing} did not answer; ask again later, or with the whole name"
            );
            error(StatusCode::NOT_FOUND, told)
        }
    }
}

async fn flush(State(state): State<AdminState>, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Response {
    // A browser sends other kinds across origins without asking first.
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        let told = "Content-Type: must be application/json";
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, told.to_owned());
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return error(StatusCode::PAYLOAD_TOO_LARGE, format!("body: longer than {MAX_BODY_BYTES} bytes"));
        }
        Err(_) => return error(StatusCode::BAD_REQUEST, "body: could not be read to its end".to_owned()),
    };
    match flush_body::parse(&body) {
        Ok(request) => Json(state.api.flush(request).await).into_response(),
        Err(fault) => error(StatusCode::BAD_REQUEST, fault.to_string()),
    }
}

async fn no_such_path() -> Response {
    let report = ErrorReport {
        error: "there is no such path here".to_owned(),
        paths: PATHS.iter().map(|path| (*path).to_owned()).collect(),
    };
    (StatusCode::NOT_FOUND, Json(report)).into_response()
}

async fn wrong_method() -> Response {
    error(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method: flush takes POST, all others GET".to_owned())
}

/// The answer to a request that took too long to arrive or to answer.
pub(super) fn too_slow() -> Response {
    error(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time".to_owned())
}

/// What the connection handler serves.
pub(super) type AdminRequest = hyper::Request<Incoming>;

fn error(status: StatusCode, told: String) -> Response {
    (status, Json(ErrorReport { error: told, paths: Vec::new() })).into_response()
}

/// The one parameter that a path takes. Anything else is an error that names it, so that a typo
/// does not silently ask for something different.
fn parameter(query: Option<&str>, wanted: &str) -> Result<Option<String>, String> {
    let mut found = None;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != wanted {
            return Err(format!("a parameter that is not `{wanted}`: write ?{wanted}=..."));
        }
        if found.is_some() {
            return Err(format!("{wanted}: given twice"));
        }
        found = Some(percent_decoded(value).ok_or_else(|| format!("{wanted}: not percent-encoded UTF-8"))?);
    }
    Ok(found)
}

/// `+` is a space, as in every HTML form and most clients' query encoders.
fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => octets.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
                octets.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            other => octets.push(*other),
        }
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::{parameter, percent_decoded};

    #[test]
    fn percent_encoding_is_undone_or_refused() {
        assert_eq!(percent_decoded("cn%3Da%2Cdc=x+y%C3%A5").as_deref(), Some("cn=a,dc=x yå"));
        for wrong in ["%", "%4", "%zz", "%+4", "%ff"] {
            assert_eq!(percent_decoded(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_parameter_that_is_unknown_or_given_twice_is_an_error() {
        assert_eq!(parameter(Some("name=a%26b"), "name"), Ok(Some("a&b".to_owned())));
        assert_eq!(parameter(None, "name"), Ok(None));
        assert!(parameter(Some("nmae=a"), "name").is_err());
        assert!(parameter(Some("name=a&name=b"), "name").is_err());
    }
}
