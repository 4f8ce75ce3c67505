//! Hard bounds, and who has to make room.

use std::time::Duration;

use bindproxy::bind::{Decision, Effect, NameQuery, NotRecorded, SWEEP_SLOTS, Source};

use super::world::{MAX_TTL, Seen, TTL, WRONG, World, host};

fn fail_from(world: &mut World, name: &str, password: &str, source: Source) {
    match world.decide_from(name, password, source) {
        Decision::Lead(lease) => drop(world.answer(lease, 49, WRONG)),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn the_store_never_holds_more_than_its_bound() {
    for capacity in [1_u32, 7, 64, 100, 1000, 5000] {
        let mut world = World::with_capacity(capacity);
        for number in 0..3 * capacity {
            fail_from(&mut world, &format!("cn={number}"), "p", host(number));
        }
        let stats = world.guard.stats();
        assert!(stats.live + stats.dormant <= capacity as usize, "{capacity}: {stats:?}");
        assert!(stats.capacity <= capacity as usize);
        assert!(stats.live * 10 >= stats.capacity * 9, "{capacity}: {stats:?}");
        assert_eq!(stats.live as u64 + stats.evicted, u64::from(3 * capacity), "every entry stays or was evicted");
    }
}

#[test]
fn a_spray_of_random_names_does_not_push_out_who_answers() {
    let mut world = World::with_capacity(4096);
    world.fail("cn=alice", "stale");
    for number in 0..40_000_u32 {
        // From everywhere, so that no quota of a source helps.
        fail_from(&mut world, &format!("cn=spray{number}"), "p", host(number));
        if number % 500 == 0 {
            assert_eq!(world.fail("cn=alice", "stale"), Seen::Cached, "after {number}");
        }
    }
}

#[test]
fn a_source_over_its_quota_pays_with_its_own_entries() {
    let mut world = World::with_capacity(4096);
    for number in 0..1000 {
        fail_from(&mut world, &format!("cn=user{number}"), "p", host(number));
    }
    // None of those has answered anybody yet; one machine tries 20,000 names.
    for number in 0..20_000 {
        fail_from(&mut world, &format!("cn=spray{number}"), "p", host(99_999));
    }
    let left = (0..1000)
        .filter(|number| matches!(world.decide_from(&format!("cn=user{number}"), "p", host(1)), Decision::Answer(_)));
    let left = left.count();
    assert!(left >= 950, "{left} of 1000 are left");
}

#[test]
fn a_name_has_at_most_sixteen_entries_and_keeps_those_that_answer() {
    let mut world = World::new();
    world.fail("cn=a", "phone");
    assert_eq!(world.fail("cn=a", "phone"), Seen::Cached);
    for number in 0..100 {
        world.pass(1);
        world.fail("cn=a", &format!("guess{number}"));
    }
    assert_eq!(world.guard.explain(NameQuery::Name(b"cn=a"), world.now).unwrap().entries.len(), 16);
    assert_eq!(world.fail("cn=a", "phone"), Seen::Cached);
    assert_eq!(world.fail("cn=a", "guess99"), Seen::Cached);
    // All have answered: the one that did so longest ago goes.
    for number in 85..99 {
        world.pass(1);
        assert_eq!(world.fail("cn=a", &format!("guess{number}")), Seen::Cached);
    }
    world.fail("cn=a", "one more");
    assert_eq!(world.fail("cn=a", "phone"), Seen::Upstream);
}

#[test]
fn what_is_remembered_of_names_is_bounded_too_and_what_it_forbade_stays_forbidden() {
    let mut world = World::with_capacity(64);
    let late = world.lead("cn=a", "p");
    world.tick();
    world.guard.password_changed(b"cn=a", world.now);
    for number in 0..1000 {
        world.succeed(&format!("cn={number}"), "p");
    }
    assert_eq!(world.guard.stats().names, 64);
    let effects = world.answer(late, 49, WRONG).effects;
    assert!(matches!(effects[..], [Effect::NotRecorded { reason: NotRecorded::Late, .. }]), "{effects:?}");
}

#[test]
fn last_good_digests_do_not_push_out_entries() {
    let mut world = World::with_capacity(64);
    for number in 0..60 {
        world.fail(&format!("cn={number}"), "p");
    }
    for number in 0..1000 {
        world.succeed(&format!("cn=other{number}"), "p");
    }
    assert_eq!((world.guard.stats().live, world.guard.stats().evicted), (60, 0));
}

#[test]
fn sweeping_each_second_empties_the_store_soon_after_the_lives_end() {
    let mut world = World::with_capacity(100_000);
    for number in 0..50_000_u32 {
        fail_from(&mut world, &format!("cn={number}"), "p", host(number));
    }
    world.pass(TTL - 1);
    world.guard.sweep(world.now, SWEEP_SLOTS);
    assert_eq!(world.guard.stats().live, 50_000);
    for _ in 0..3 {
        world.pass(1);
        world.guard.sweep(world.now, SWEEP_SLOTS);
    }
    let stats = world.guard.stats();
    assert_eq!((stats.live, stats.dormant), (0, 50_000));
    world.pass(MAX_TTL);
    for _ in 0..3 {
        world.guard.sweep(world.now, 300);
    }
    let stats = world.guard.stats();
    assert_eq!((stats.live, stats.dormant), (0, 0), "{stats:?}");
}

#[test]
fn a_lower_bound_is_reached_by_sweeping() {
    let mut world = World::with_capacity(10_000);
    for number in 0..5000_u32 {
        fail_from(&mut world, &format!("cn={number}"), "p", host(number));
        world.succeed(&format!("cn={number}"), "q");
    }
    world.guard.set_max_entries(1000);
    for _ in 0..10 {
        world.guard.sweep(world.now, SWEEP_SLOTS);
    }
    let stats = world.guard.stats();
    assert!(stats.live <= 1000 && stats.names <= 1000 && stats.live > 800, "{stats:?}");
    world.guard.set_max_entries(0);
    for _ in 0..10 {
        world.guard.sweep(world.now, SWEEP_SLOTS);
    }
    assert_eq!(world.guard.stats().live, 0);
}

#[test]
fn a_store_without_room_still_lets_identical_attempts_wait() {
    let mut world = World::with_capacity(0);
    let lease = world.lead("cn=a", "p");
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    let settled = world.answer(lease, 49, WRONG);
    assert!(matches!(settled.effects[..], [Effect::NotRecorded { reason: NotRecorded::NoCapacity, .. }]));
    assert_eq!(settled.released.len(), 1);
    assert_eq!(world.fail("cn=a", "p"), Seen::Upstream);
    world.succeed("cn=a", "p");
    world.guard.password_changed(b"cn=a", world.now);
    assert_eq!(world.guard.stats().names, 0);
}

#[test]
fn too_many_different_answers_and_too_long_ones_are_not_kept() {
    let policy = bindproxy::bind::Policy {
        rules: bindproxy::bind::VerdictRules::new(&bindproxy::config::Verdicts {
            preset: bindproxy::config::VerdictPreset::Auto,
            rules: vec![bindproxy::config::VerdictRule {
                code: 49,
                diagnostic: None,
                diagnostic_contains: None,
                action: bindproxy::config::VerdictAction::Cache,
            }],
        }),
        ..super::world::policy()
    };
    let mut world = World::new();
    world.guard.set_policy(policy);
    let reason = |world: &mut World, name: &str, text: &str| {
        let lease = world.lead(name, "p");
        let settled = world.answer(lease, 49, text);
        settled.effects.iter().find_map(|effect| match effect {
            Effect::NotRecorded { reason, .. } => Some(*reason),
            _ => None,
        })
    };
    for number in 0..1024 {
        assert_eq!(reason(&mut world, &format!("cn={number}"), &format!("no {number}")), None);
    }
    assert_eq!(reason(&mut world, "cn=x", "one more"), Some(NotRecorded::TooManyVerdicts));
    assert_eq!(reason(&mut world, "cn=x", "no 5"), None);
    assert_eq!(reason(&mut world, "cn=y", &"long".repeat(2000)), Some(NotRecorded::TooLarge));
    assert_eq!(world.guard.stats().verdicts, 1024);
    world.guard.flush(bindproxy::bind::FlushScope::All, world.now);
    world.tick();
    assert_eq!(reason(&mut world, "cn=x", "one more"), None);
}

#[test]
fn explain_tells_what_is_known_and_finds_the_short_form() {
    let mut world = World::new();
    assert_eq!(world.guard.explain(NameQuery::Name(b"cn=a"), world.now), None);
    world.succeed("cn=a", "good");
    world.fail("cn=a", "p");
    world.pass(60);
    world.fail("cn=a", "p");
    let in_flight = world.lead("cn=a", "q");
    let explained = world.guard.explain(NameQuery::Name(b"CN=a"), world.now).unwrap();
    assert_eq!(explained.in_flight, 1);
    assert_eq!(explained.last_good.map(|ago| ago.as_secs()), Some(60));
    let entry = &explained.entries[0];
    assert_eq!((entry.level, entry.hits, entry.code, &*entry.diagnostic), (1, 1, 49, ""));
    assert!(entry.age.abs_diff(Duration::from_secs(60)) < Duration::from_millis(300), "{entry:?}");
    assert!(entry.remaining.abs_diff(Duration::from_secs(TTL - 60)) < Duration::from_millis(100), "{entry:?}");
    assert!(entry.last_hit.is_some_and(|ago| ago < Duration::from_millis(300)));
    let short = in_flight.name().short();
    assert_eq!(world.guard.explain(NameQuery::Short(short), world.now), Some(explained));
    assert_eq!(world.guard.explain(NameQuery::Short(short ^ 1), world.now), None);
    let _ = world.fault(in_flight);
}
