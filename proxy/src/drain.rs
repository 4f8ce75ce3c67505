//! How a drain's time is divided. Pure.
//!
//! Whoever asked for the drain kills the process some time later, so the whole of it has to fit into
//! `drain.timeoutSeconds`, what comes after the last client included.

use std::time::Duration;

/// For handing over what other members have not taken in, before anybody is sent to them.
const HAND_OVER: Duration = Duration::from_secs(1);
/// For sessions to take their last words once they are cut short.
const LAST_WORDS: Duration = Duration::from_millis(1_200);
/// For the other members to take in everything and hear the goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// For whoever is just being answered at the admin address.
pub const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The parts of a drain, each the most that it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainTimes {
    /// From the start: until the other members have what was learned so far.
    pub hand_over: Duration,
    /// From the start: until what is in flight is cut short.
    pub clients: Duration,
    /// After that: the last words.
    pub last_words: Duration,
    /// After that: the other members.
    pub goodbye: Duration,
}

impl DrainTimes {
    /// The parts of `timeout`. Clients have at least half of it.
    #[must_use]
    pub fn of(timeout: Duration, in_cluster: bool) -> Self {
        let goodbye = if in_cluster { GOODBYE } else { Duration::ZERO };
        let after_clients = LAST_WORDS + goodbye + LAST_ANSWERS;
        let share = (timeout.as_secs_f64() / 2.0 / after_clients.as_secs_f64()).min(1.0);
        Self {
            hand_over: if in_cluster { HAND_OVER.min(timeout / 4) } else { Duration::ZERO },
            clients: timeout.saturating_sub(after_clients.mul_f64(share)),
            last_words: LAST_WORDS.mul_f64(share),
            goodbye: goodbye.mul_f64(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_fits() {
        for timeout in [0, 1, 2, 5, 8, 25, 600].map(Duration::from_secs) {
            for in_cluster in [false, true] {
                let DrainTimes { hand_over, clients, last_words, goodbye } = DrainTimes::of(timeout, in_cluster);
                assert!(clients + last_words + goodbye <= timeout, "{timeout:?}");
                assert!(clients >= timeout / 2 && hand_over <= clients, "{timeout:?}: {clients:?}");
            }
        }
        let usual = DrainTimes::of(Duration::from_secs(25), true);
        assert_eq!((usual.clients, usual.goodbye), (Duration::from_millis(20_800), GOODBYE));
    }
}
