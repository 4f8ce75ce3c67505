//! One member among others: what it takes in, what it tells, and what it keeps to itself.

use std::sync::Arc;
use std::time::Duration;

use bindproxy::bind::{
    Conclusion, Credential, Decision, Digest, Effect, Fact, FailureFact, FlushScope, Guard, NameFacts, NameKey,
    NameQuery, Origin, Past, Policy, Release, Stamp, Success,
};
use bindproxy::clock::Tick;

use super::merging::{digest, empty, everything, name};
use super::world::{FIRST_TTL, MAX_TTL, MUST_CHANGE, Seen, TTL, WRONG, World, host, policy, released, verdict};

/// Octets without a pattern.
fn wide(number: u64, kind: u8) -> [u8; 16] {
    let mut octets = [0; 16];
    let mut bits = number.wrapping_add(u64::from(kind) << 56);
    for part in octets.chunks_exact_mut(8) {
        bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9).wrapping_add(0x9E37_79B9_7F4A_7C15);
        bits ^= bits >> 27;
        part.copy_from_slice(&bits.to_le_bytes());
    }
    octets
}

fn told(number: u64, now: Tick) -> FailureFact {
    FailureFact {
        name: NameKey(wide(number, 1)),
        digest: Digest(wide(number, 2)),
        stamp: Stamp::new(now, Origin::new(9)),
        expires: now.after(Duration::from_secs(TTL)),
        level: 1,
        verdict: Arc::new(verdict(49, WRONG)),
    }
}

fn known(name: NameKey) -> NameFacts {
    let never = Success { digest: digest(0), at: Past::NEVER };
    NameFacts {
        name,
        successes: [never; 2],
        purged: Past::NEVER,
        last_good_ended: Past::NEVER,
        others_purged: Past::NEVER,
        others_except: digest(0),
    }
}

fn answered(guard: &Guard<u64>, fact: &FailureFact, now: Tick) -> bool {
    match guard.decide(&Credential::of(fact.name, fact.digest), host(1), now, || 0) {
        Decision::Answer(_) => true,
        Decision::Wait => false,
        Decision::Lead(lease) => {
            let _ = guard.settle(lease, bindproxy::bind::Outcome::Fault, now);
            false
        }
    }
}

#[test]
fn peers_are_not_one_source_that_hammers() {
    let (now, capacity) = (Tick(50_000_000), 4096);
    let guard: Guard<u64> = Guard::new(capacity, policy());
    for number in 0..20_000_u64 {
        let _ = guard.merge(&Fact::Failure(told(number, Tick(now.0 + number * 300))), now);
    }
    // As with local attempts: the later ones are there, whatever came before.
    let now = Tick(now.0 + 20_000 * 300);
    let stats = guard.stats();
    assert!(stats.live <= 4096 && stats.live * 10 >= 4096 * 9, "{stats:?}");
    let (mut recent, mut old) = (0, 0);
    for number in 0..20_000 {
        let fact = told(number, Tick(50_000_000 + number * 300));
        let stored = usize::from(guard.failure(&fact.name, &fact.digest, now).is_some());
        if number >= 19_000 {
            recent += stored
        } else if number < 12_000 {
            old += stored
        }
    }
    assert!(recent >= 950 && old < 400, "{recent} of the last 1000, {old} of the first 12,000");
}

#[test]
fn what_peers_tell_does_not_push_out_who_answers() {
    let mut world = World::with_capacity(4096);
    world.fail("cn=alice", "stale");
    for number in 0..40_000 {
        world.now = Tick(world.now.0 + 10);
        let _ = world.guard.merge(&Fact::Failure(told(number, world.now)), world.now);
        if number % 500 == 0 {
            assert_eq!(world.fail("cn=alice", "stale"), Seen::Cached, "after {number}");
        }
    }
}

#[test]
fn two_full_members_do_not_fill_each_other_for_ever() {
    let now = Tick(50_000_000);
    let guards: [Guard<u64>; 2] = [Guard::new(256, policy()), Guard::new(256, policy())];
    for (half, guard) in guards.iter().enumerate() {
        for number in 0..1000 {
            let number = 2 * number + half as u64;
            let _ = guard.merge(&Fact::Failure(told(number, Tick(now.0 + number * 300))), now);
        }
    }
    let now = Tick(now.0 + 2000 * 300);
    let mut rounds = 0;
    while rounds < 20 {
        let changed = [(0, 1), (1, 0)].into_iter().fold(0, |sum, (from, to): (usize, usize)| {
            let facts = everything(&guards[from], 100, now);
            sum + facts.iter().filter(|fact| guards[to].merge(fact, now).changed).count()
        });
        if changed == 0 {
            break;
        }
        rounds += 1;
    }
    assert!(rounds < 20, "they still change after {rounds} rounds");
}

#[test]
fn a_name_keeps_its_latest_sixteen_from_peers_too() {
    let (guard, now) = (empty(), Tick(50_000_000));
    for number in (0..40).chain(0..40) {
        let fact = FailureFact { name: name(1), ..told(number, Tick(now.0 + number * 300)) };
        let _ = guard.merge(&Fact::Failure(fact), now);
    }
    let kept = everything(&guard, 10, now);
    assert_eq!(kept.len(), 16);
    assert!(kept.iter().all(|fact| matches!(fact, Fact::Failure(fact) if fact.stamp.at() >= Tick(now.0 + 24 * 300))));
    let again = kept.iter().filter(|fact| guard.merge(fact, now).changed).count();
    assert_eq!(again, 0);
}

#[test]
fn no_life_is_longer_than_the_own_ceiling_and_a_past_one_is_only_a_level() {
    let (guard, now) = (empty(), Tick(500_000_000));
    let fact = FailureFact { expires: now.after(Duration::from_secs(10 * MAX_TTL)), ..told(1, now) };
    let merged = guard.merge(&Fact::Failure(fact.clone()), now);
    assert!(matches!(merged.effects[..], [Effect::Learned { life, .. }] if life == Duration::from_secs(MAX_TTL)));
    assert!(answered(&guard, &fact, Tick(now.0 + MAX_TTL * 1000 - 1)));
    assert!(!answered(&guard, &fact, Tick(now.0 + MAX_TTL * 1000)));

    let mut world = World::new();
    world.now = now;
    let credential = world.guard.credential(b"cn=a", b"p");
    let past = |ago: u64| FailureFact {
        name: credential.name,
        digest: credential.digest,
        expires: Tick(now.0 - ago),
        level: 3,
        ..told(1, Tick(now.0 - ago))
    };
    let merged = world.guard.merge(&Fact::Failure(past(MAX_TTL * 1000)), now);
    assert!(!merged.changed, "too old to count");
    let merged = world.guard.merge(&Fact::Failure(past(1000)), now);
    assert!(merged.changed && merged.effects.is_empty());
    assert_eq!(world.life_after_failure("cn=a", "p"), 8 * TTL, "the fourth in a row");
}

#[test]
fn an_attempt_that_began_before_the_one_that_is_known_is_not_recorded() {
    let mut world = World::new();
    let lease = world.lead("cn=a", "p");
    let credential = *lease.credential();
    world.pass(60);
    let newer = FailureFact { name: credential.name, digest: credential.digest, ..told(1, world.now) };
    let newer = FailureFact { expires: world.now.after(Duration::from_secs(1)), ..newer };
    let _ = world.guard.merge(&Fact::Failure(newer.clone()), world.now);
    world.pass(2);
    let settled = world.answer(lease, 49, WRONG);
    assert!(matches!(settled.effects[..], [Effect::NotRecorded { .. }]), "{:?}", settled.effects);
    assert_eq!(world.guard.failure(&newer.name, &newer.digest, world.now).map(|fact| fact.stamp), Some(newer.stamp));
}

#[test]
fn whoever_waits_goes_on_waiting_and_gets_the_verdict_of_the_attempt() {
    let mut world = World::new();
    let lease = world.lead("cn=a", "p");
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    world.tick();
    let purge = NameFacts { purged: Past::at(world.now), ..known(lease.name()) };
    assert!(world.guard.merge(&Fact::Name(purge), world.now).changed);
    assert_eq!(world.guard.stats().waiting, 1);
    world.tick();
    let second = world.lead("cn=a", "p");
    assert!(second.is_shared(), "nobody joins an attempt from before the purge");
    assert_eq!(released(world.answer(lease, 49, WRONG)).0, [1]);
    let _ = world.fault(second);
    assert_eq!(world.succeed("cn=a", "p"), Seen::Upstream);
}

#[test]
fn a_conclusion_releases_and_teaches_nothing() {
    let mut world = World::new();
    let attempt = |world: &mut World| {
        let lease = world.lead("cn=a", "p");
        for _ in 0..2 {
            assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
        }
        lease
    };
    let lease = attempt(&mut world);
    let refused = Conclusion::Verdict(Arc::new(verdict(49, WRONG)));
    let settled = world.guard.conclude(lease, refused, world.now);
    assert!(settled.class.is_none() && settled.effects.is_empty());
    assert_eq!(released(settled).0.len(), 2);
    assert_eq!(world.guard.stats().live, 0);

    let lease = attempt(&mut world);
    let settled = world.guard.conclude(lease, Conclusion::Success, world.now);
    assert!(settled.effects.is_empty());
    let (refused, alone) = released(settled);
    assert!(refused.is_empty() && alone.len() == 2 && alone.iter().all(|(_, lease)| !lease.is_shared()));
    assert_eq!(world.guard.name_facts(&alone[0].1.name()), None);

    let lease = attempt(&mut world);
    let settled = world.guard.conclude(lease, Conclusion::Fault, world.now);
    let (refused, mut next) = released(settled);
    assert!(refused.is_empty() && next.len() == 1 && next[0].1.is_shared());
    assert_eq!(released(world.answer(next.remove(0).1, 49, WRONG)).0.len(), 1);
}

fn hears(world: &mut World, name: &str, password: &str, code: u32, words: &str) -> Vec<NameKey> {
    world.tick();
    let lease = world.lead(name, password);
    world.tick();
    let settled = world.answer(lease, code, words);
    settled.effects.iter().filter_map(Effect::name_to_tell).collect()
}

#[test]
fn peers_do_not_hear_of_every_success_of_the_last_good_password() {
    let mut world = World::new();
    let name = world.guard.name_key(b"cn=a");
    assert_eq!(hears(&mut world, "cn=a", "p", 0, ""), [name], "the first");
    let first = world.guard.name_facts(&name);
    assert_eq!(hears(&mut world, "cn=a", "p", 0, ""), []);
    assert_eq!(hears(&mut world, "cn=a", "p", 49, MUST_CHANGE), [], "it was right as well");
    let tree = world.guard.tree(world.now, world.now);
    let again = world.guard.name_facts(&name);
    assert_ne!(first, again, "who asks hears of the last one");
    assert_ne!(tree, world.guard.tree(world.now, world.now), "and then it is told");
    world.pass(TTL);
    assert_eq!(hears(&mut world, "cn=a", "p", 0, ""), [name], "now and then");
    assert_eq!(hears(&mut world, "cn=a", "q", 0, ""), [name], "another one");
    assert_eq!(hears(&mut world, "cn=a", "p", 0, ""), [name], "and back");
    world.fail("cn=a", "p");
    world.pass(FIRST_TTL);
    assert_eq!(hears(&mut world, "cn=a", "p", 0, ""), [name], "a failure went by it");
}

#[test]
fn a_success_that_nobody_was_told_of_still_forgives_and_is_told_then() {
    let mut world = World::new();
    world.succeed("cn=a", "p");
    world.pass(5);
    let credential = world.guard.credential(b"cn=a", b"p");
    let late = FailureFact { name: credential.name, digest: credential.digest, ..told(1, world.now) };
    world.pass(5);
    world.succeed("cn=a", "p");
    let merged = world.guard.merge(&Fact::Failure(late.clone()), world.now);
    assert!(!merged.changed);
    let peer = empty();
    let _ = peer.merge(&Fact::Failure(late.clone()), world.now);
    assert!(answered(&peer, &late, world.now));
    let _ = peer.merge(&merged.newer.unwrap(), world.now);
    assert!(!answered(&peer, &late, world.now));
    assert_eq!(peer.tree(world.now, world.now), world.guard.tree(world.now, world.now));
}

#[test]
fn what_was_kept_back_is_not_lost_when_another_password_comes() {
    let mut world = World::new();
    world.succeed("cn=a", "p");
    world.pass(5);
    let (between, credential) = (world.now, world.guard.credential(b"cn=a", b"p"));
    world.pass(5);
    world.succeed("cn=a", "p");
    let other = Success { digest: digest(7), at: Past::at(between) };
    let facts = NameFacts { successes: [other, known(name(0)).successes[0]], ..known(credential.name) };
    let merged = world.guard.merge(&Fact::Name(facts), world.now);
    assert!(merged.changed && merged.newer.is_some());
    assert!(world.guard.was_right_a_moment_ago(&credential, world.now), "it was right later than the other");
    let late = FailureFact { name: credential.name, digest: credential.digest, ..told(1, between) };
    assert!(!world.guard.merge(&Fact::Failure(late), world.now).changed);
}

#[test]
fn a_third_right_password_within_the_ttl_purges_nothing() {
    let mut world = World::new();
    world.fail("cn=a", "stale");
    for round in 0..10 {
        for password in ["p", "q", "r"] {
            world.pass(20);
            world.succeed("cn=a", password);
        }
        assert_eq!(world.fail("cn=a", "stale"), Seen::Cached, "round {round}");
    }
}

#[test]
fn a_last_good_password_is_known_until_it_fails_or_changes() {
    let mut world = World::new();
    let credential = world.guard.credential(b"cn=a", b"p");
    assert!(!world.guard.was_right_a_moment_ago(&credential, world.now));
    world.succeed("cn=a", "p");
    assert!(world.guard.was_right_a_moment_ago(&credential, world.now));
    world.fail("cn=a", "p");
    assert!(!world.guard.was_right_a_moment_ago(&credential, world.now));
    world.pass(FIRST_TTL);
    world.succeed("cn=a", "p");
    assert!(world.guard.was_right_a_moment_ago(&credential, world.now));
    world.tick();
    let changed = NameFacts { last_good_ended: Past::at(world.now), ..known(credential.name) };
    assert!(world.guard.merge(&Fact::Name(changed), world.now).changed);
    assert!(!world.guard.was_right_a_moment_ago(&credential, world.now));
}

#[test]
fn a_purge_reaches_ahead_by_what_clocks_may_differ() {
    let mut world = World::new();
    world.guard.set_policy(Policy { forgiveness: Duration::from_millis(10), ..policy() });
    world.fail("cn=a", "p");
    let credential = world.guard.credential(b"cn=a", b"p");
    let ahead =
        |by: u64| FailureFact { name: credential.name, digest: credential.digest, ..told(1, Tick(world.now.0 + by)) };
    world.guard.password_changed(b"cn=a", world.now);
    assert!(!world.guard.merge(&Fact::Failure(ahead(10)), world.now).changed);
    assert!(world.guard.merge(&Fact::Failure(ahead(11)), world.now).changed);
    // What is stored already is forgiven however far ahead its clock was.
    world.guard.flush(FlushScope::Name(b"cn=a"), world.now);
    assert!(!world.guard.merge(&Fact::Failure(ahead(11)), world.now).changed);
}

#[test]
fn after_a_leap_of_the_clock_there_are_no_failures_and_purges_are_of_now() {
    let mut world = World::new();
    world.fail("cn=a", "p");
    world.succeed("cn=b", "good");
    world.guard.password_changed(b"cn=c", world.now);
    let lease = world.lead("cn=a", "q");
    world.pass(1_000_000);
    assert_eq!(world.guard.leap(world.now), 1);
    assert_eq!(world.guard.stats().live, 0);
    let known = world.guard.explain(NameQuery::Name(b"cn=b"), world.now).unwrap();
    assert!(known.last_good.is_some());
    let purged = world.guard.name_facts(&world.guard.name_key(b"cn=c")).unwrap().purged;
    assert_eq!(purged, Past::at(world.now));
    let other = world.lead("cn=a", "q");
    assert!(other.is_shared(), "nobody joins an attempt from before the leap");
    let _ = (world.fault(lease), world.fault(other));
}

#[test]
fn while_a_key_rolls_failures_have_one_key_and_names_two() {
    use bindproxy::bind::{HashKey, Keys};
    let key = |octet| HashKey::from_bytes([octet; 32]);
    let mut world = World::new();
    let old = world.guard.credential(b"cn=a", b"p");
    world.succeed("cn=a", "p");
    world.guard.set_policy(Policy { keys: Keys::new(&key(2), Some(&key(1)), true), ..policy() });
    world.tick();
    let lease = world.lead("cn=a", "p");
    let new = *lease.credential();
    assert!(world.guard.was_right_a_moment_ago(&new, world.now));
    let settled = world.answer(lease, 49, WRONG);
    let learned = settled.effects.iter().find_map(|effect| match effect {
        Effect::Learned { name, digest, stamp, .. } => Some((*name, *digest, stamp.at())),
        _ => None,
    });
    assert_eq!(learned, Some((new.name, new.digest, world.now)));
    let mut hear: Vec<NameKey> = settled.effects.iter().filter_map(Effect::name_to_tell).collect();
    let mut both = vec![old.name, new.name];
    hear.sort_unstable();
    both.sort_unstable();
    assert_eq!(hear, both);
    assert!(!world.guard.was_right_a_moment_ago(&new, world.now));
    world.pass(FIRST_TTL);
    let mut hear = hears(&mut world, "cn=a", "p", 0, "");
    hear.sort_unstable();
    assert_eq!(hear, both);

    // As long as a member lacks the new key, the old one is the one for new entries; the new one is accepted.
    world.guard.set_by_previous(true);
    let shared = world.guard.credential(b"cn=a", b"p");
    assert_eq!((shared.name, shared.digest, shared.previous), (old.name, old.digest, Some((new.name, new.digest))));
    assert_eq!(world.guard.name_key(b"cn=a"), old.name);
    world.guard.set_by_previous(false);
    assert_eq!(world.guard.credential(b"cn=a", b"p"), new);
}

#[test]
fn a_flush_of_everything_reaches_what_began_before_it_and_nothing_else() {
    let (guard, now) = (empty(), Tick(50_000_000));
    for number in 0..100 {
        let _ = guard.merge(&Fact::Failure(told(number, Tick(now.0 + number))), now);
    }
    let merged = guard.merge(&Fact::FlushedAll(Past::at(Tick(now.0 + 49))), now);
    assert!(merged.changed && matches!(merged.effects[..], [Effect::Purged { name: None, removed: 50, .. }]));
    assert_eq!(guard.stats().live, 50);
    let late = guard.merge(&Fact::Failure(told(3, Tick(now.0 + 3))), now);
    assert_eq!((late.changed, late.newer), (false, Some(Fact::FlushedAll(guard.flushed_all()))));
    let flushed = guard.flush(FlushScope::All, Tick(now.0 + 200));
    assert_eq!((flushed.removed, guard.flushed_all()), (50, Past::at(Tick(now.0 + 200))));
    let older = guard.merge(&Fact::FlushedAll(Past::at(now)), now);
    assert_eq!((older.changed, older.newer), (false, Some(Fact::FlushedAll(guard.flushed_all()))));
}

#[test]
fn an_export_is_complete_whatever_the_size_of_its_parts() {
    let (guard, now) = (empty(), Tick(50_000_000));
    for number in 0..3000 {
        let _ = guard.merge(&Fact::Failure(told(number, now)), now);
        let facts = NameFacts { purged: Past::at(Tick(now.0 - 1)), ..known(NameKey(wide(number, 1))) };
        let _ = guard.merge(&Fact::Name(facts), now);
    }
    let _ = guard.merge(&Fact::FlushedAll(Past::at(Tick(5))), now);
    let whole = everything(&guard, usize::MAX, now);
    assert_eq!(whole.len(), 6001);
    assert_eq!(whole[0], Fact::FlushedAll(Past::at(Tick(5))));
    for limit in [1, 10, 1000] {
        assert_eq!(everything(&guard, limit, now), whole, "{limit}");
    }
}

#[test]
fn a_release_after_a_merged_success_of_the_same_password_is_that_of_its_own_attempt() {
    let mut world = World::new();
    let lease = world.lead("cn=a", "p");
    let credential = *lease.credential();
    world.tick();
    let right = Success { digest: credential.digest, at: Past::at(world.now) };
    let facts = NameFacts { successes: [right, known(name(0)).successes[0]], ..known(credential.name) };
    assert!(world.guard.merge(&Fact::Name(facts), world.now).changed);
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    let settled = world.answer(lease, 49, WRONG);
    assert!(matches!(settled.effects[..], [Effect::NotRecorded { .. }]));
    assert!(matches!(settled.released[..], [(1, Release::Answer(_))]));
    assert_eq!(world.succeed("cn=a", "p"), Seen::Upstream);
}
