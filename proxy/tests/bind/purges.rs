//! Purges and successes are facts: what was asked before them says nothing about what comes after.

use bindproxy::bind::{Decision, Effect, FlushScope, NotRecorded, PurgeCause};

use super::world::{FIRST_TTL, Seen, TTL, WRONG, World, released};

fn late(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::NotRecorded { reason: NotRecorded::Late, .. }])
}

#[test]
fn a_password_change_lets_everything_through_and_forgets_levels() {
    let mut world = World::new();
    world.fail("cn=a", "p");
    world.pass(TTL);
    world.fail("cn=a", "p");
    world.fail("cn=a", "q");
    world.fail("cn=b", "p");
    let effects = world.guard.password_changed(b"CN=a", world.now);
    assert!(
        matches!(effects[..], [Effect::Purged { cause: PurgeCause::PasswordChanged, removed: 2, .. }]),
        "{effects:?}"
    );
    assert_eq!(world.succeed("cn=a", "q"), Seen::Upstream);
    assert_eq!(world.life_after_failure("cn=a", "p"), TTL);
    assert_eq!(world.fail("cn=b", "p"), Seen::Cached);
}

#[test]
fn after_a_password_change_the_old_password_is_wrong_like_any_other() {
    let mut world = World::new();
    world.succeed("cn=a", "old");
    world.guard.password_changed(b"cn=a", world.now);
    assert_eq!(world.life_after_failure("cn=a", "old"), TTL);
}

#[test]
fn a_verdict_from_before_a_purge_is_not_recorded() {
    type Purge = fn(&World);
    let purges: [Purge; 3] = [
        |world| drop(world.guard.password_changed(b"cn=a", world.now)),
        |world| drop(world.guard.flush(FlushScope::Name(b"cn=a"), world.now)),
        |world| drop(world.guard.flush(FlushScope::All, world.now)),
    ];
    for purge in purges {
        let mut world = World::new();
        let lease = world.lead("cn=a", "p");
        world.pass(1);
        purge(&world);
        world.pass(1);
        let settled = world.answer(lease, 49, WRONG);
        assert!(late(&settled.effects), "{:?}", settled.effects);
        assert_eq!(world.fail("cn=a", "p"), Seen::Upstream);
        assert_eq!(world.fail("cn=a", "p"), Seen::Cached, "what is asked after the purge counts");
    }
}

#[test]
fn nobody_joins_an_attempt_from_before_a_purge() {
    let mut world = World::new();
    let before = world.lead("cn=a", "p");
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    world.tick();
    world.guard.password_changed(b"cn=a", world.now);
    world.tick();
    let after = world.lead("cn=a", "p");
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    // The first waiter asked before the change, and gets the answer of before.
    let (answered, _) = released(world.answer(before, 49, WRONG));
    assert_eq!(answered, [1]);
    let (answered, forwarded) = released(world.answer(after, 0, ""));
    assert_eq!((answered.len(), forwarded.len()), (0, 1));
}

#[test]
fn a_success_from_before_a_password_change_is_the_old_passwords() {
    let mut world = World::new();
    let lease = world.lead("cn=a", "old");
    world.tick();
    world.guard.password_changed(b"cn=a", world.now);
    world.tick();
    let _ = world.answer(lease, 0, "");
    assert_eq!(world.life_after_failure("cn=a", "old"), TTL, "not the last good one");
}

#[test]
fn a_failure_from_before_a_success_of_the_same_password_is_not_recorded() {
    let mut world = World::new();
    // Two attempts with one password, let go after a success of a third.
    let first = world.lead("cn=a", "p");
    for _ in 0..2 {
        assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    }
    let (_, mut solo) = released(world.answer(first, 0, ""));
    let (slow, quick) = (solo.remove(0).1, solo.remove(0).1);
    world.pass(1);
    let _ = world.answer(quick, 0, "");
    world.pass(1);
    let settled = world.answer(slow, 49, WRONG);
    assert!(late(&settled.effects), "{:?}", settled.effects);
    assert_eq!(world.succeed("cn=a", "p"), Seen::Upstream);
}

#[test]
fn a_success_with_another_password_in_between_does_not_hide_it() {
    let mut world = World::new();
    let first = world.lead("cn=a", "p");
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    let (_, mut solo) = released(world.answer(first, 0, ""));
    world.tick();
    let _ = world.answer(solo.remove(0).1, 0, "");
    assert_eq!(world.succeed("cn=a", "q"), Seen::Upstream);
    let settled = world.answer(solo.remove(0).1, 49, WRONG);
    assert!(late(&settled.effects), "{:?}", settled.effects);
}

#[test]
fn when_the_last_good_digest_fails_the_others_get_another_chance_with_their_levels() {
    let mut world = World::new();
    world.succeed("cn=a", "old");
    world.fail("cn=a", "new");
    world.fail("cn=a", "stale");
    world.fail("cn=b", "new");
    world.tick();
    let lease = world.lead("cn=a", "old");
    world.tick();
    let settled = world.answer(lease, 49, WRONG);
    assert_eq!(World::learned(&settled), Some((FIRST_TTL, 0)));
    assert!(
        settled.effects.iter().any(|effect| matches!(
            effect,
            Effect::Purged { cause: PurgeCause::LastGoodFailed, removed: 2, except: Some(_), .. }
        )),
        "{:?}",
        settled.effects
    );
    assert_eq!(world.fail("cn=a", "old"), Seen::Cached);
    assert_eq!(world.fail("cn=b", "new"), Seen::Cached);
    assert_eq!(world.succeed("cn=a", "new"), Seen::Upstream);
    assert_eq!(world.life_after_failure("cn=a", "stale"), 2 * TTL, "it is wrong still");
}

#[test]
fn the_others_get_another_chance_once_in_a_ttl() {
    let mut world = World::new();
    // Two right passwords (an application password, say) of which each fails now and then.
    world.succeed("cn=a", "good");
    world.fail("cn=a", "stale");
    world.fail("cn=a", "good");
    assert_eq!(world.fail("cn=a", "stale"), Seen::Upstream);
    world.pass(FIRST_TTL);
    world.succeed("cn=a", "good");
    world.fail("cn=a", "good");
    assert_eq!(world.fail("cn=a", "stale"), Seen::Cached, "within the ttl");
    world.pass(TTL);
    world.succeed("cn=a", "good");
    world.fail("cn=a", "good");
    assert_eq!(world.fail("cn=a", "stale"), Seen::Upstream, "after it");
}

#[test]
fn the_other_attempts_in_flight_are_outdated_when_the_last_good_digest_fails() {
    let mut world = World::new();
    world.succeed("cn=a", "old");
    world.tick();
    let other = world.lead("cn=a", "new");
    world.tick();
    world.fail("cn=a", "old");
    world.tick();
    assert!(late(&world.answer(other, 49, WRONG).effects));
    assert_eq!(world.succeed("cn=a", "new"), Seen::Upstream);
}

#[test]
fn a_flush_forgets_failures_and_nothing_else() {
    let mut world = World::new();
    world.succeed("cn=a", "good");
    world.fail("cn=a", "p");
    world.fail("cn=b", "p");
    assert_eq!(world.guard.flush(FlushScope::Name(b"cn=a"), world.now).removed, 1);
    assert_eq!(world.life_after_failure("cn=a", "p"), TTL);
    assert_eq!(world.life_after_failure("cn=a", "good"), FIRST_TTL);
    assert_eq!(world.fail("cn=b", "p"), Seen::Cached);
    assert_eq!(world.guard.flush(FlushScope::All, world.now).removed, 2, "the last good one's failure ended the other");
    assert_eq!(world.guard.stats().live, 0);
    assert_eq!(world.fail("cn=b", "p"), Seen::Upstream);
}
