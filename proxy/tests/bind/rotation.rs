//! A new hashing key while entries made with the old one are alive.

use bindproxy::bind::{Decision, HashKey, Keys, NameQuery, Policy};

use super::world::{FIRST_TTL, Seen, TTL, WRONG, World, policy, released};

fn rotated() -> Policy {
    let key = |octet| HashKey::from_bytes([octet; 32]);
    Policy { keys: Keys::new(&key(2), Some(&key(1)), true), ..policy() }
}

#[test]
fn an_entry_made_under_the_previous_key_still_answers() {
    let mut world = World::new();
    world.fail("cn=a", "p");
    world.guard.set_policy(rotated());
    assert_eq!(world.fail("cn=a", "p"), Seen::Cached);
    assert_eq!(world.fail("cn=a", "q"), Seen::Upstream);
    assert_eq!(world.guard.explain(NameQuery::Name(b"cn=a"), world.now).unwrap().entries.len(), 2);
}

#[test]
fn levels_and_last_good_digests_move_to_the_current_key() {
    let mut world = World::new();
    world.fail("cn=a", "p");
    world.succeed("cn=b", "good");
    world.guard.set_policy(rotated());
    world.pass(TTL);
    assert_eq!(world.life_after_failure("cn=a", "p"), 2 * TTL);
    assert_eq!(world.guard.explain(NameQuery::Name(b"cn=a"), world.now).unwrap().entries.len(), 1);
    assert_eq!(world.life_after_failure("cn=b", "good"), FIRST_TTL);
    world.pass(FIRST_TTL);
    assert_eq!(world.life_after_failure("cn=b", "good"), TTL);
}

#[test]
fn a_success_and_a_purge_reach_both_generations() {
    let mut world = World::new();
    world.fail("cn=a", "p");
    world.fail("cn=b", "p");
    world.guard.set_policy(rotated());
    world.pass(TTL);
    world.succeed("cn=a", "p");
    assert_eq!(world.succeed("cn=a", "p"), Seen::Upstream);
    world.guard.password_changed(b"cn=b", world.now);
    assert_eq!(world.life_after_failure("cn=b", "p"), TTL);
}

#[test]
fn an_attempt_in_flight_under_the_previous_key_is_joined() {
    let mut world = World::new();
    let lease = world.lead("cn=a", "p");
    world.guard.set_policy(rotated());
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    assert_eq!(released(world.answer(lease, 49, WRONG)).0, [1]);
    assert_eq!(world.fail("cn=a", "p"), Seen::Cached);
}

#[test]
fn a_last_good_digest_of_the_previous_key_gives_the_others_another_chance() {
    let mut world = World::new();
    world.succeed("cn=a", "old");
    world.fail("cn=a", "new");
    world.guard.set_policy(rotated());
    assert_eq!(world.succeed("cn=a", "new"), Seen::Cached);
    world.fail("cn=a", "old");
    assert_eq!(world.succeed("cn=a", "new"), Seen::Upstream);
}

#[test]
fn a_last_good_digest_of_the_current_key_gives_those_of_the_previous_key_another_chance() {
    let mut world = World::new();
    world.fail("cn=a", "new");
    world.guard.set_policy(rotated());
    world.succeed("cn=a", "old");
    assert_eq!(world.succeed("cn=a", "new"), Seen::Cached);
    world.fail("cn=a", "old");
    assert_eq!(world.succeed("cn=a", "new"), Seen::Upstream);
}

#[test]
fn a_failure_from_before_the_rotation_does_not_outlive_a_success_after_it() {
    let mut world = World::new();
    let first = world.lead("cn=a", "p");
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    let (_, mut solo) = released(world.answer(first, 0, ""));
    world.guard.set_policy(rotated());
    world.succeed("cn=a", "p");
    let _ = world.answer(solo.remove(0).1, 49, WRONG);
    assert_eq!(world.succeed("cn=a", "p"), Seen::Upstream);
}
