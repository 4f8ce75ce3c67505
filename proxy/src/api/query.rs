//! What members ask each other on behalf of the admin API, as JSON.
//!
//! A query says what is asked by its `kind`; a member of an earlier version answers a kind that it does not know with an
//! error, and counts as one that did not answer. Fields that are not known are skipped, so a later version can say more.
//! No name travels here in clear: names are keyed hashes, or sealed ([`crate::bind::NameSeal`]).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest query that is looked at, in octets.
pub(super) const MAX_QUERY: usize = 16 * 1024;
/// The longest reply that is looked at, in octets: leaves a later version room to say more.
pub(super) const MAX_REPLY: usize = 1024 * 1024;
/// What this version fills at most with a list, in octets.
pub(super) const LIST_BYTES: usize = 200 * 1024;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Query {
    /// What is known of the name with these keys.
    Explain { keys: Vec<Hex> },
    /// What is known of the name with this short hash.
    ExplainShort { short: String },
    /// Who keeps presenting wrong passwords.
    Offenders { limit: usize },
    /// Forget the failures of the name with this short hash, and tell everybody.
    FlushShort { short: String },
    /// What a later version asks.
    #[serde(other)]
    Unknown,
}

/// Why a query is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    #[error("unknown query")]
    Unknown,
    #[error("malformed query")]
    Malformed,
}

/// The answer to what cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ErrorReply {
    pub(super) error: String,
}

/// The answer to a flush by short hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FlushShortReply {
    /// Whether the short hash is that of a name which was remembered.
    pub(super) known: bool,
    /// Failures that were remembered, and are no more.
    pub(super) removed: u64,
}

/// Sixteen octets of a keyed hash as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Hex(pub(super) [u8; 16]);

impl From<Hex> for String {
    fn from(Hex(octets): Hex) -> Self {
        format!("{:032x}", u128::from_be_bytes(octets))
    }
}

/// A text that is no [`Hex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 32 hexadecimal digits")]
pub(super) struct NoHex;

impl TryFrom<String> for Hex {
    type Error = NoHex;

    fn try_from(text: String) -> Result<Self, NoHex> {
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NoHex);
        }
        u128::from_str_radix(&text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| NoHex)
    }
}

impl Query {
    pub(super) fn parse(body: &[u8]) -> Result<Self, QueryError> {
        if body.len() > MAX_QUERY {
            return Err(QueryError::Malformed);
        }
        match serde_json::from_slice(body) {
            Ok(Self::Unknown) => Err(QueryError::Unknown),
            Ok(query) => Ok(query),
            Err(_) => Err(QueryError::Malformed),
        }
    }
}

/// A query or a reply as it travels.
pub(super) fn encoded(value: &impl Serialize) -> Vec<u8> {
    // Nothing here has a map with keys that are no text, which is all that can fail.
    serde_json::to_vec(value).unwrap_or_default()
}

/// A member's reply, if it is one to what was asked.
pub(super) fn decoded<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    if body.len() > MAX_REPLY {
        return None;
    }
    serde_json::from_slice(body).ok()
}

/// How many of `items` fit into a list of [`LIST_BYTES`], with `besides` octets for each that are elsewhere.
pub(super) fn fitting<T: Serialize>(items: &[T], besides: impl Fn(usize) -> usize) -> usize {
    let mut total = 0;
    items
        .iter()
        .enumerate()
        .take_while(|(at, item)| {
            total += encoded(item).len() + 1 + besides(*at);
            total <= LIST_BYTES
        })
        .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_are_what_they_were_and_say_their_kind() {
        let known = [
            (
                Query::Explain { keys: vec![Hex([0xAB; 16])] },
                r#"{"kind":"explain","keys":["abababababababababababababababab"]}"#,
            ),
            (Query::ExplainShort { short: "~1a2b3c4d".to_owned() }, r#"{"kind":"explainShort","short":"~1a2b3c4d"}"#),
            (Query::Offenders { limit: 1000 }, r#"{"kind":"offenders","limit":1000}"#),
            (Query::FlushShort { short: "~1a2b3c4d".to_owned() }, r#"{"kind":"flushShort","short":"~1a2b3c4d"}"#),
        ];
        for (query, text) in known {
            assert_eq!(String::from_utf8(encoded(&query)).unwrap(), text);
            assert_eq!(Query::parse(text.as_bytes()), Ok(query));
        }
    }

    #[test]
    fn later_versions_may_say_more_and_ask_what_is_not_known() {
        let more = br#"{"kind":"offenders","limit":5,"since":{"hours":[1,2]}}"#;
        assert_eq!(Query::parse(more), Ok(Query::Offenders { limit: 5 }));
        let other = br#"{"kind":"audit","limit":"all"}"#;
        assert_eq!(Query::parse(other), Err(QueryError::Unknown));
    }

    #[test]
    fn what_is_no_query_is_refused() {
        let long = format!(r#"{{"kind":"offenders","limit":5,"x":"{}"}}"#, "x".repeat(MAX_QUERY));
        let deep = format!(r#"{{"kind":"offenders","limit":5,"x":{}"#, "[".repeat(MAX_QUERY / 2));
        let wrong = [
            "",
            "{}",
            "[]",
            "null",
            r#"{"limit":5}"#,
            r#"{"kind":5}"#,
            r#"{"kind":"offenders"}"#,
            r#"{"kind":"offenders","limit":-1}"#,
            r#"{"kind":"explain","keys":["ab"]}"#,
            r#"{"kind":"explain","keys":["+babababababababababababababababa"]}"#,
            &long,
            &deep,
        ];
        for text in wrong {
            assert_eq!(Query::parse(text.as_bytes()), Err(QueryError::Malformed), "{:.60}", text);
        }
    }

    proptest! {
        #[test]
        fn garbage_does_no_harm(body in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..80) {
            let _ = Query::parse(&body);
            let _ = decoded::<FlushShortReply>(&body);
            let mut text = encoded(&Query::Explain { keys: vec![Hex([1; 16])] });
            text.truncate(cut.min(text.len() - 1));
            prop_assert_eq!(Query::parse(&text), Err(QueryError::Malformed));
        }
    }
}
