//! Which addresses are dialled, and when. Pure.
//!
//! An address is a hint: who answers there is told by the certificate and the greeting. Several may
//! lead to one member, and one to this process itself.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rand::{Rng, RngExt as _};

use crate::clock::Tick;

/// Addresses that are used of an answer that has more.
pub const MOST_ADDRESSES: usize = 256;
/// Addresses that are known in all: those, and where members are that opened a connection.
const MOST_PLACES: usize = 2 * MOST_ADDRESSES;

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// Where somebody answers who is no member of this cluster, or one that is reached otherwise.
const OUT_OF_PLACE_BACKOFF: Duration = Duration::from_secs(60);

/// Why an attempt to reach a member ended without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answers, or not properly.
    Unreachable,
    /// Somebody answers who is no member of this cluster.
    Stranger,
    /// This process itself answers.
    Myself,
    /// A member answers that is connected by another address already.
    Alias,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be dialled at this time.
    Waiting(Tick),
    Dialling,
    Linked,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    state: State,
    /// The last attempt's, if it failed.
    failure: Option<Failure>,
    failures: u32,
    /// Discovery still names it.
    listed: bool,
    /// Connections that a member which listens there has with this process.
    calls: u32,
}

impl Place {
    fn new(now: Tick) -> Self {
        Self { state: State::Waiting(now), failure: None, failures: 0, listed: false, calls: 0 }
    }

    fn is_wanted(&self) -> bool {
        self.listed || self.calls > 0 || self.state == State::Linked
    }
}

/// What discovery's last answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// Addresses over the bound, which are left out.
    pub ignored: usize,
    /// Whether any came or went.
    pub changed: bool,
}

/// The addresses that are known, and what became of them.
#[derive(Debug, Default)]
pub struct DialPlan {
    places: BTreeMap<SocketAddr, Place>,
}

impl DialPlan {
    /// Takes discovery's whole answer. What it names no longer is forgotten unless it is connected.
    pub fn learn(&mut self, found: &BTreeSet<SocketAddr>, now: Tick) -> Learned {
        // Those in use come first, so that an answer in another order does not turn members away.
        let (known, new): (Vec<_>, Vec<_>) = found.iter().partition(|address| self.places.contains_key(address));
        let kept: BTreeSet<SocketAddr> = known.into_iter().chain(new).copied().take(MOST_ADDRESSES).collect();
        let before = self.places.len();
        for (address, place) in &mut self.places {
            place.listed = kept.contains(address);
        }
        self.places.retain(|_, place| place.is_wanted());
        let mut changed = self.places.len() != before;
        for address in &kept {
            let place = self.places.entry(*address).or_insert_with(|| {
                changed = true;
                Place::new(now)
            });
            place.listed = true;
        }
        Learned { ignored: found.len() - kept.len(), changed }
    }

    /// A member that listens at `address` has opened a connection: unless it is `reached` already, it is dialled back at
    /// once. It may know of this process before discovery tells this process of it. Whether [`Self::hung_up`] is to
    /// follow: one that is reached elsewhere, or one too many, is not remembered.
    #[must_use]
    pub fn called(&mut self, address: SocketAddr, reached: bool, now: Tick) -> bool {
        let room = !reached && self.places.len() < MOST_PLACES;
        let place = match self.places.entry(address) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) if room => new.insert(Place::new(now)),
            Entry::Vacant(_) => return false,
        };
        place.calls += 1;
        if let State::Waiting(at) = place.state
            && !reached
        {
            place.state = State::Waiting(at.min(now));
        }
        true
    }

    /// That connection has ended.
    pub fn hung_up(&mut self, address: SocketAddr) {
        if let Some(place) = self.places.get_mut(&address) {
            place.calls = place.calls.saturating_sub(1);
            if !place.is_wanted() {
                self.places.remove(&address);
            }
        }
    }

    /// Addresses to dial now; each is left alone until its attempt has ended.
    pub fn due(&mut self, now: Tick) -> Vec<SocketAddr> {
        let mut due = Vec::new();
        for (address, place) in &mut self.places {
            if let State::Waiting(at) = place.state
                && at <= now
            {
                place.state = State::Dialling;
                due.push(*address);
            }
        }
        due
    }

    /// When the next address is due; `None` while none waits.
    #[must_use]
    pub fn next_due(&self) -> Option<Tick> {
        let waiting = |place: &Place| match place.state {
            State::Waiting(at) => Some(at),
            State::Dialling | State::Linked => None,
        };
        self.places.values().filter_map(waiting).min()
    }

    /// A connection to `address` is up.
    pub fn linked(&mut self, address: SocketAddr) {
        if let Some(place) = self.places.get_mut(&address) {
            *place = Place { state: State::Linked, failure: None, failures: 0, ..*place };
        }
    }

    /// An attempt came to nothing.
    pub fn failed(&mut self, address: SocketAddr, failure: Failure, now: Tick, random: &mut impl Rng) {
        let Some(place) = self.places.get_mut(&address) else { return };
        let longest = match failure {
            Failure::Unreachable => FIRST_BACKOFF.saturating_mul(1 << place.failures.min(16)).min(LONGEST_BACKOFF),
            Failure::Stranger | Failure::Myself | Failure::Alias => OUT_OF_PLACE_BACKOFF,
        };
        // Half of it is chance, so that members which were lost together do not come back together.
        let wait = longest.mul_f64(random.random_range(0.5..1.0));
        *place = Place {
            state: State::Waiting(now.after(wait)),
            failure: Some(failure),
            failures: place.failures.saturating_add(1),
            ..*place
        };
    }

    /// A connection that was up is gone. It is dialled again soon, and so is whatever led to the same
    /// member.
    pub fn lost(&mut self, address: SocketAddr, now: Tick, random: &mut impl Rng) {
        if let Some(place) = self.places.get_mut(&address) {
            if !place.listed && place.calls == 0 {
                self.places.remove(&address);
            } else {
                let wait = FIRST_BACKOFF.mul_f64(random.random_range(0.0..1.0));
                *place = Place { state: State::Waiting(now.after(wait)), failure: None, failures: 0, ..*place };
            }
        }
        for place in self.places.values_mut() {
            if place.failure == Some(Failure::Alias) {
                *place = Place { state: State::Waiting(now.after(FIRST_BACKOFF)), failure: None, ..*place };
            }
        }
    }

    /// A member shows up that no connection leads to, or this process shows another certificate: whatever
    /// did not answer before, or was refused, is dialled now.
    pub fn hurry(&mut self, now: Tick) {
        for place in self.places.values_mut() {
            if let State::Waiting(at) = place.state
                && matches!(place.failure, None | Some(Failure::Unreachable | Failure::Stranger))
            {
                place.state = State::Waiting(at.min(now));
            }
        }
    }

    /// How many other members there should be: the listed addresses but those that are known to
    /// lead to none, and members that called, which may be reached otherwise than where they seem to be.
    #[must_use]
    pub fn others(&self) -> usize {
        let leads_to_one = |place: &&Place| match place.failure {
            None => place.listed || place.calls > 0,
            Some(Failure::Unreachable) => place.listed,
            Some(Failure::Stranger | Failure::Myself | Failure::Alias) => false,
        };
        self.places.values().filter(leads_to_one).count()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    fn address(last: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, (last >> 8) as u8, last as u8], 7946))
    }

    fn found(lasts: impl IntoIterator<Item = u16>) -> BTreeSet<SocketAddr> {
        lasts.into_iter().map(address).collect()
    }

    fn random() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    #[test]
    fn each_address_is_dialled_once_until_its_attempt_has_ended() {
        let mut plan = DialPlan::default();
        assert_eq!(plan.learn(&found([1, 2]), Tick(0)), Learned { ignored: 0, changed: true });
        assert_eq!(plan.due(Tick(0)), [address(1), address(2)]);
        assert_eq!(plan.learn(&found([1, 2]), Tick(1)), Learned { ignored: 0, changed: false });
        assert!(plan.due(Tick(1_000_000)).is_empty());
        assert_eq!((plan.others(), plan.next_due()), (2, None));
    }

    #[test]
    fn backoff_grows_to_five_seconds_and_a_connection_forgets_it() {
        let (mut plan, mut random, mut now) = (DialPlan::default(), random(), Tick(0));
        plan.learn(&found([1]), now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(plan.due(now), [address(1)]);
            plan.failed(address(1), Failure::Unreachable, now, &mut random);
            let next = plan.next_due().unwrap();
            waits.push(next.0 - now.0);
            now = next;
        }
        assert!((50..=100).contains(&waits[0]), "{waits:?}");
        assert!(waits[6..].iter().all(|wait| (2_500..=5_000).contains(wait)), "{waits:?}");
        assert_eq!(plan.due(now), [address(1)]);
        plan.linked(address(1));
        assert_eq!(plan.next_due(), None);
        plan.lost(address(1), now, &mut random);
        assert!(plan.next_due().unwrap().0 - now.0 <= 100, "a lost connection is dialled at once");
    }

    #[test]
    fn strangers_and_the_process_itself_are_no_others_and_are_left_alone_for_long() {
        for failure in [Failure::Stranger, Failure::Myself, Failure::Alias] {
            let mut plan = DialPlan::default();
            plan.learn(&found([1, 2]), Tick(0));
            plan.due(Tick(0));
            plan.failed(address(1), failure, Tick(0), &mut random());
            assert_eq!(plan.others(), 1);
            assert!(plan.next_due().unwrap() >= Tick(30_000));
        }
    }

    #[test]
    fn another_way_to_a_member_is_tried_when_the_first_is_lost() {
        let mut plan = DialPlan::default();
        plan.learn(&found([1, 2]), Tick(0));
        plan.due(Tick(0));
        plan.linked(address(1));
        plan.failed(address(2), Failure::Alias, Tick(0), &mut random());
        plan.lost(address(1), Tick(5), &mut random());
        assert!(plan.next_due().unwrap() <= Tick(105));
        assert_eq!((plan.due(Tick(200)).len(), plan.others()), (2, 2));
    }

    #[test]
    fn a_member_that_shows_up_ends_the_wait_for_those_that_did_not_answer_or_were_refused() {
        let mut plan = DialPlan::default();
        plan.learn(&found([1, 2]), Tick(0));
        plan.due(Tick(0));
        plan.failed(address(1), Failure::Unreachable, Tick(0), &mut random());
        plan.failed(address(2), Failure::Stranger, Tick(0), &mut random());
        assert!(plan.due(Tick(1)).is_empty());
        plan.hurry(Tick(1));
        assert_eq!(plan.due(Tick(1)), [address(1), address(2)]);
    }

    #[test]
    fn what_is_no_longer_listed_is_forgotten_unless_it_is_connected() {
        let mut plan = DialPlan::default();
        plan.learn(&found([1, 2]), Tick(0));
        plan.due(Tick(0));
        plan.linked(address(1));
        plan.failed(address(2), Failure::Unreachable, Tick(0), &mut random());
        assert!(plan.learn(&found([3]), Tick(1)).changed);
        assert_eq!((plan.others(), plan.due(Tick(10_000))), (1, vec![address(3)]));
        plan.lost(address(1), Tick(2), &mut random());
        plan.failed(address(1), Failure::Unreachable, Tick(2), &mut random());
        assert!(!plan.due(Tick(10_000)).contains(&address(1)), "a ghost is not dialled");
    }

    #[test]
    fn a_member_that_calls_is_dialled_back_until_it_hangs_up() {
        let (mut plan, mut random) = (DialPlan::default(), random());
        plan.learn(&found([1]), Tick(0));
        plan.due(Tick(0));
        assert!(plan.called(address(2), false, Tick(1)));
        assert_eq!((plan.due(Tick(1)), plan.others()), (vec![address(2)], 2));
        plan.failed(address(2), Failure::Unreachable, Tick(1), &mut random);
        assert_eq!(plan.others(), 1, "it is not where it seemed to be, or not yet");
        assert!(!plan.learn(&found([1]), Tick(2)).changed);
        let next = plan.next_due().unwrap();
        assert_eq!(plan.due(next), [address(2)]);
        plan.linked(address(2));
        plan.hung_up(address(2));
        assert!(!plan.learn(&found([1]), Tick(3)).changed, "a connection is not given up for that");
        plan.lost(address(2), Tick(4), &mut random);
        assert_eq!((plan.next_due(), plan.others()), (None, 1));
    }

    #[test]
    fn a_member_that_calls_anew_before_its_old_connection_ends_is_still_dialled_back() {
        let (mut plan, mut random) = (DialPlan::default(), random());
        assert!(plan.called(address(2), false, Tick(0)));
        plan.due(Tick(0));
        plan.linked(address(2));
        assert!(plan.called(address(2), true, Tick(1)));
        plan.hung_up(address(2));
        plan.lost(address(2), Tick(2), &mut random);
        assert!(plan.next_due().is_some());
        assert!(!plan.called(address(3), true, Tick(2)), "it is reached elsewhere");
        assert_eq!(plan.due(Tick(200)), [address(2)]);
    }

    #[test]
    fn a_call_ends_the_wait_for_a_listed_address_and_leaves_it_listed() {
        let (mut plan, mut random) = (DialPlan::default(), random());
        plan.learn(&found([1]), Tick(0));
        plan.due(Tick(0));
        plan.failed(address(1), Failure::Unreachable, Tick(0), &mut random);
        assert!(plan.called(address(1), false, Tick(1)));
        assert_eq!(plan.due(Tick(1)), [address(1)]);
        plan.hung_up(address(1));
        plan.failed(address(1), Failure::Unreachable, Tick(1), &mut random);
        assert_eq!((plan.next_due().is_some(), plan.others()), (true, 1));
    }

    #[test]
    fn calls_beyond_the_bound_are_dialled_only_when_they_are_listed() {
        let mut plan = DialPlan::default();
        let remembered = (0..5_000).filter(|&last| plan.called(address(last), false, Tick(0))).count();
        assert_eq!(remembered, MOST_PLACES);
        assert_eq!(plan.due(Tick(0)).len(), MOST_PLACES);
        plan.learn(&found([5_000]), Tick(1));
        assert_eq!(plan.due(Tick(1)), [address(5_000)]);
    }

    #[test]
    fn five_thousand_addresses_are_cut_to_the_bound_and_members_keep_their_place() {
        let mut plan = DialPlan::default();
        plan.learn(&found([4_000]), Tick(0));
        plan.due(Tick(0));
        plan.linked(address(4_000));
        let learned = plan.learn(&found(1..=5_000), Tick(1));
        assert_eq!(learned, Learned { ignored: 5_000 - MOST_ADDRESSES, changed: true });
        assert_eq!(plan.others(), MOST_ADDRESSES);
        assert_eq!(plan.due(Tick(1)).len(), MOST_ADDRESSES - 1);
    }
}
