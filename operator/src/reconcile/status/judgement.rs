//! What a condition says, before it is known when it began to say so.

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nothing was seen from which it could be known.
    Unknown,
}

impl Truth {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a condition says; each condition has a closed list of reasons of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement<R> {
    /// Whether it holds.
    pub truth: Truth,
    /// Why, for programs.
    pub reason: R,
    /// Why, for people, and what to do.
    pub message: String,
}

impl<R> Judgement<R> {
    /// It holds.
    pub fn holds(reason: R, message: impl Into<String>) -> Self {
        Self { truth: Truth::True, reason, message: message.into() }
    }

    /// It does not hold.
    pub fn fails(reason: R, message: impl Into<String>) -> Self {
        Self { truth: Truth::False, reason, message: message.into() }
    }

    /// Nobody knows.
    pub fn unknown(reason: R, message: impl Into<String>) -> Self {
        Self { truth: Truth::Unknown, reason, message: message.into() }
    }

    /// With another type of reason.
    pub fn map<S>(self, reason: impl FnOnce(R) -> S) -> Judgement<S> {
        Judgement { truth: self.truth, reason: reason(self.reason), message: self.message }
    }
}

/// `words`, cut after `limit` octets at most and without blanks around: what others wrote must not crowd out the rest.
#[must_use]
pub(super) fn clipped(words: &str, limit: usize) -> String {
    const CUT: &str = " […]";
    let words = words.trim();
    if words.len() <= limit {
        return words.to_owned();
    }
    let mut end = limit.saturating_sub(CUT.len());
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}", words.get(..end).unwrap_or_default())
}
