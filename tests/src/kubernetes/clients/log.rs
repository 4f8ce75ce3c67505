//! What became of each attempt of many clients.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::attempt::Outcome;

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it began, since the clients did.
    pub at: Duration,
    /// How long it took, with connecting where that was part of it, and with all tries.
    pub took: Duration,
    /// Where the last try went.
    pub target: SocketAddr,
    /// The name that was bound.
    pub name: String,
    /// Of the last try.
    pub outcome: Outcome,
    /// What became of the tries before that.
    pub before: Vec<Outcome>,
}

/// Every attempt, in the order in which they ended.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The attempts.
    pub attempts: Vec<Attempt>,
}

impl Log {
    /// How many attempts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Those that fit.
    #[must_use]
    pub fn filter(&self, fits: impl Fn(&Attempt) -> bool) -> Self {
        Self { attempts: self.attempts.iter().filter(|attempt| fits(attempt)).cloned().collect() }
    }

    /// Those with this name.
    #[must_use]
    pub fn of(&self, name: &str) -> Self {
        self.filter(|attempt| attempt.name == name)
    }

    /// Those that began in this span.
    #[must_use]
    pub fn between(&self, from: Duration, to: Duration) -> Self {
        self.filter(|attempt| (from..to).contains(&attempt.at))
    }

    /// Outcomes with how often each came.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<Outcome, usize> {
        count(self.attempts.iter().map(|attempt| &attempt.outcome))
    }

    /// Attempts that ended with this result code.
    #[must_use]
    pub fn with_code(&self, code: u32) -> usize {
        self.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Code(code)).count()
    }

    /// What became of tries that were made again, with how often each came.
    #[must_use]
    pub fn tries_before(&self) -> BTreeMap<Outcome, usize> {
        count(self.attempts.iter().flat_map(|attempt| &attempt.before))
    }

    /// Attempts that came to their answer only by a further try.
    #[must_use]
    pub fn retried(&self) -> usize {
        self.attempts.iter().filter(|attempt| !attempt.before.is_empty()).count()
    }

    /// Fails unless there are attempts and each ended with this result code. Earlier tries may have ended otherwise,
    /// though never with another code: that would have been the answer.
    pub fn expect_only(&self, code: u32) -> &Self {
        let strangers = self.filter(|attempt| attempt.outcome != Outcome::Code(code));
        assert!(!self.is_empty(), "no attempt was made");
        assert!(
            strangers.is_empty(),
            "not every attempt ended with result {code}: {self}\nfirst: {:?}",
            strangers.attempts[0]
        );
        self
    }

    /// The time that this share of the attempts took at most: `percentile(99.0)`.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        let mut times: Vec<Duration> = self.attempts.iter().map(|attempt| attempt.took).collect();
        times.sort_unstable();
        assert!(!times.is_empty(), "no attempt was made");
        let rank = (percent / 100.0 * times.len() as f64).ceil() as usize;
        times[rank.clamp(1, times.len()) - 1]
    }

    /// The longest time between two neighbours among the attempts that ended with this code: for how long nobody got that
    /// answer.
    #[must_use]
    pub fn longest_gap(&self, code: u32) -> Duration {
        let mut ends: Vec<Duration> = self
            .attempts
            .iter()
            .filter(|attempt| attempt.outcome == Outcome::Code(code))
            .map(|attempt| attempt.at + attempt.took)
            .collect();
        ends.sort_unstable();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} attempts", self.len())?;
        for (outcome, times) in self.outcomes() {
            write!(f, ", {times} x {outcome}")?;
        }
        let healed = self.tries_before();
        if !healed.is_empty() {
            write!(f, "; {} tried again after", self.retried())?;
            for (outcome, times) in healed {
                write!(f, " {times} x {outcome}")?;
            }
        }
        if !self.is_empty() {
            write!(f, "; p50 {:?}, p99 {:?}", self.percentile(50.0), self.percentile(99.0))?;
        }
        Ok(())
    }
}

fn count<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> BTreeMap<Outcome, usize> {
    let mut counted = BTreeMap::new();
    for outcome in outcomes {
        *counted.entry(outcome.clone()).or_insert(0) += 1;
    }
    counted
}
