//! How long a failure is believed, for every row of "what is cached" and every rule of "how long".

use super::world::{FIRST_TTL, LOCKED, MAX_TTL, MUST_CHANGE, NO_SUCH_USER, Seen, TTL, WRONG, World};

#[test]
fn a_wrong_password_is_answered_from_the_store_for_its_life_and_no_longer() {
    let mut world = World::new();
    assert_eq!(world.life_after_failure("cn=a", "old"), TTL);
    for _ in 0..TTL - 1 {
        world.pass(1);
        assert!(matches!(world.decide("cn=a", "old"), bindproxy::bind::Decision::Answer(_)));
    }
    world.pass(1);
    assert_eq!(world.fail("cn=a", "old"), Seen::Upstream);
}

#[test]
fn other_passwords_and_other_names_are_not_concerned() {
    let mut world = World::new();
    world.fail("cn=a", "old");
    assert_eq!(world.fail("cn=a", "Old"), Seen::Upstream);
    assert_eq!(world.fail("cn=b", "old"), Seen::Upstream);
    assert_eq!(world.fail("CN = A", "old"), Seen::Cached);
}

#[test]
fn the_same_digest_failing_again_lives_twice_as_long_up_to_the_ceiling() {
    let mut world = World::new();
    let mut lives = Vec::new();
    for _ in 0..9 {
        let life = world.life_after_failure("cn=a", "old");
        lives.push(life);
        world.pass(life);
    }
    assert_eq!(lives, [900, 1800, 3600, 7200, 14_400, 28_800, 57_600, MAX_TTL, MAX_TTL]);
}

#[test]
fn the_level_is_forgotten_when_the_digest_stays_away() {
    let mut world = World::new();
    world.fail("cn=a", "old");
    world.pass(TTL + MAX_TTL - 1);
    assert_eq!(world.life_after_failure("cn=a", "old"), 2 * TTL);
    world.pass(2 * TTL + MAX_TTL);
    assert_eq!(world.life_after_failure("cn=a", "old"), TTL, "also before the sweep comes by");
}

#[test]
fn a_success_with_another_password_leaves_the_wrong_one_wrong() {
    let mut world = World::new();
    world.fail("cn=a", "old");
    world.succeed("cn=a", "new");
    assert_eq!(world.fail("cn=a", "old"), Seen::Cached);
    world.pass(TTL);
    assert_eq!(world.life_after_failure("cn=a", "old"), 2 * TTL);
}

#[test]
fn a_success_clears_the_digest_and_its_level() {
    let mut world = World::new();
    world.fail("cn=a", "p");
    world.pass(TTL);
    world.fail("cn=a", "p");
    world.pass(2 * TTL);
    world.succeed("cn=a", "p");
    world.succeed("cn=a", "other");
    // Not the last good one any more, and not known as wrong either.
    assert_eq!(world.life_after_failure("cn=a", "p"), TTL);
}

#[test]
fn the_last_good_digest_starts_short_and_then_grows() {
    let mut world = World::new();
    world.succeed("cn=a", "p");
    let mut lives = Vec::new();
    for _ in 0..4 {
        let life = world.life_after_failure("cn=a", "p");
        lives.push(life);
        world.pass(life);
    }
    assert_eq!(lives, [FIRST_TTL, TTL, 2 * TTL, 4 * TTL]);
}

#[test]
fn no_such_user_is_cached_shortly_each_time() {
    let mut world = World::new();
    for _ in 0..3 {
        assert_eq!(world.present("cn=a", "p", 49, NO_SUCH_USER), Seen::Upstream);
        world.pass(FIRST_TTL - 1);
        assert_eq!(world.present("cn=a", "p", 49, NO_SUCH_USER), Seen::Cached);
        world.pass(1);
    }
    // The user was created: the first real failure is the first.
    assert_eq!(world.life_after_failure("cn=a", "p"), TTL);
}

#[test]
fn a_password_that_was_right_is_a_good_one_though_the_bind_failed() {
    let mut world = World::new();
    world.fail("cn=a", "p");
    world.pass(TTL);
    assert_eq!(world.present("cn=a", "p", 49, MUST_CHANGE), Seen::Upstream);
    assert_eq!(world.present("cn=a", "p", 49, MUST_CHANGE), Seen::Upstream);
    assert_eq!(world.life_after_failure("cn=a", "p"), FIRST_TTL, "its level is forgotten");
}

#[test]
fn what_is_not_about_the_password_is_never_answered_from_the_store_and_changes_nothing() {
    let mut world = World::new();
    world.fail("cn=a", "p");
    world.pass(TTL);
    for (code, text) in [(49, LOCKED), (51, ""), (52, ""), (53, ""), (19, ""), (1, ""), (80, ""), (49, "whatever")] {
        assert_eq!(world.present("cn=a", "p", code, text), Seen::Upstream, "{code} {text}");
        assert_eq!(world.present("cn=a", "p", code, text), Seen::Upstream, "{code} {text}");
    }
    assert_eq!(world.life_after_failure("cn=a", "p"), 2 * TTL, "the level outlives a lock");
}

#[test]
fn locked_answers_do_not_take_the_last_good_digest_away() {
    let mut world = World::new();
    world.succeed("cn=a", "p");
    world.present("cn=a", "p", 49, LOCKED);
    assert_eq!(world.life_after_failure("cn=a", "p"), FIRST_TTL);
}

#[test]
fn the_answer_is_the_directorys_own() {
    let mut world = World::new();
    let text = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, v1db1";
    world.present("cn=a", "p", 49, text);
    let bindproxy::bind::Decision::Answer(verdict) = world.decide("cn=a", "p") else { panic!("it is cached") };
    let mut out = Vec::new();
    verdict.write_response(&mut out, 77, false);
    assert_eq!(out, bindproxy::codec::build::bind_response(77, 49, text));
    assert_eq!(world.present("cn=a", "q", 49, WRONG), Seen::Upstream);
}
