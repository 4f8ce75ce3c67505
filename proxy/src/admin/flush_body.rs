//! The body of `POST /api/v1/flush`: `{"name": "..."}` or `{"all": true}`, nothing else.

use serde_json::Value;

use super::api::FlushRequest;

/// What is wrong with the body, by field. Nothing was flushed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("body: not JSON (line {line}, column {column}): write {FORM}")]
    NotJson { line: usize, column: usize },
    #[error("body: not an object: write {FORM}")]
    NotAnObject,
    #[error("body: a field that is neither `name` nor `all`: write {FORM}")]
    UnknownField,
    #[error("name: not a string: write {FORM}")]
    NameNotText,
    #[error("name: empty: write the name as clients bind with it, or {{\"all\": true}}")]
    NameEmpty,
    #[error("all: only `true` is possible: write {FORM}")]
    AllNotTrue,
    #[error("name, all: exactly one of them is needed: write {FORM}")]
    NotExactlyOne,
}

const FORM: &str = r#"{"name": "..."} or {"all": true}"#;

pub(super) fn parse(body: &[u8]) -> Result<FlushRequest, BodyError> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|fault| BodyError::NotJson { line: fault.line(), column: fault.column() })?;
    let Value::Object(fields) = value else { return Err(BodyError::NotAnObject) };
    if fields.keys().any(|field| field != "name" && field != "all") {
        return Err(BodyError::UnknownField);
    }
    match (fields.get("name"), fields.get("all")) {
        (Some(_), Some(_)) | (None, None) => Err(BodyError::NotExactlyOne),
        (None, Some(Value::Bool(true))) => Ok(FlushRequest::All),
        (None, Some(_)) => Err(BodyError::AllNotTrue),
        (Some(Value::String(name)), None) if name.is_empty() => Err(BodyError::NameEmpty),
        (Some(Value::String(name)), None) => Ok(FlushRequest::Name(name.clone())),
        (Some(_), None) => Err(BodyError::NameNotText),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_forms_and_no_other() {
        let cases = [
            (r#"{"name": "cn=a"}"#, Ok(FlushRequest::Name("cn=a".to_owned()))),
            (r#" {"all": true} "#, Ok(FlushRequest::All)),
            (r#"{"all": false}"#, Err(BodyError::AllNotTrue)),
            (r#"{"all": "true"}"#, Err(BodyError::AllNotTrue)),
            (r#"{"name": 5}"#, Err(BodyError::NameNotText)),
            (r#"{"name": null}"#, Err(BodyError::NameNotText)),
            (r#"{"name": ""}"#, Err(BodyError::NameEmpty)),
            (r#"{"name": "a", "all": true}"#, Err(BodyError::NotExactlyOne)),
            ("{}", Err(BodyError::NotExactlyOne)),
            (r#"{"nmae": "a"}"#, Err(BodyError::UnknownField)),
            ("[]", Err(BodyError::NotAnObject)),
            ("", Err(BodyError::NotJson { line: 1, column: 0 })),
            ("{\n\"name\": }", Err(BodyError::NotJson { line: 2, column: 9 })),
        ];
        for (body, expected) in cases {
            assert_eq!(parse(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_the_body() {
        for body in [r#"{"s3cret": 1}"#, r#"{"name": ["s3cret"]}"#, "s3cret", r#"{"all": "s3cret"}"#] {
            let shown = parse(body.as_bytes()).expect_err("bad").to_string();
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}
