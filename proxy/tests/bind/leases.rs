//! Identical attempts in flight, and the one that speaks for them.

use bindproxy::bind::{Class, Decision, NameQuery};

use super::world::{LOCKED, Seen, WRONG, World, host, released};

#[test]
fn a_failure_answers_everybody() {
    for (code, text, class) in [
        (49, WRONG, Class::WrongPassword),
        (49, LOCKED, Class::NotAboutPassword),
        (51, "", Class::NotAboutPassword),
        (53, "no", Class::NotAboutPassword),
    ] {
        let mut world = World::new();
        let lease = world.lead("cn=a", "p");
        assert!(lease.is_shared());
        for _ in 0..3 {
            assert!(matches!(world.decide("CN=A", "p"), Decision::Wait));
        }
        let stats = world.guard.stats();
        assert_eq!((stats.in_flight, stats.waiting), (1, 3));
        let settled = world.answer(lease, code, text);
        assert_eq!(settled.class, Some(class));
        for (_, release) in &settled.released {
            let bindproxy::bind::Release::Answer(verdict) = release else { panic!("{release:?}") };
            assert_eq!((verdict.code(), verdict.diagnostic()), (code, text.as_bytes()));
        }
        assert_eq!(released(settled).0, [1, 2, 3]);
        assert_eq!(world.guard.stats().in_flight, 0);
    }
}

#[test]
fn after_a_success_everybody_binds_for_himself() {
    let mut world = World::new();
    let lease = world.lead("cn=a", "p");
    for number in 2..4 {
        assert!(matches!(world.decide_from("cn=a", "p", host(number)), Decision::Wait));
    }
    let (answered, forwarded) = released(world.answer(lease, 0, ""));
    assert!(answered.is_empty());
    let sources: Vec<_> = forwarded.iter().map(|(_, lease)| lease.source()).collect();
    assert_eq!(sources, [host(2), host(3)]);
    for (_, lease) in forwarded {
        assert!(!lease.is_shared());
        assert!(released(world.answer(lease, 0, "")).0.is_empty());
    }
}

#[test]
fn after_a_fault_one_at_a_time_goes_on() {
    let mut world = World::new();
    let mut lease = world.lead("cn=a", "p");
    for number in 2..5 {
        assert!(matches!(world.decide_from("cn=a", "p", host(number)), Decision::Wait));
    }
    for waiter in 1..3 {
        world.tick();
        let settled = world.fault(lease);
        assert_eq!(settled.class, None);
        assert!(settled.effects.is_empty());
        let (answered, mut forwarded) = released(settled);
        assert!(answered.is_empty());
        assert_eq!((forwarded.len(), forwarded[0].0), (1, waiter));
        lease = forwarded.remove(0).1;
        assert!(lease.is_shared());
        let now = world.now;
        assert_eq!((lease.source(), lease.sent_at()), (host(waiter as u32 + 1), now));
        assert_eq!(world.fail("cn=a", &format!("other {waiter}")), Seen::Upstream, "others are not concerned");
    }
    // Newcomers wait for the one that was promoted, too.
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    assert_eq!(released(world.answer(lease, 49, WRONG)).0.len(), 2);
    assert_eq!(world.fail("cn=a", "p"), Seen::Cached);
}

#[test]
fn a_fault_without_waiters_leaves_nothing_behind() {
    let mut world = World::new();
    let lease = world.lead("cn=a", "p");
    assert!(world.fault(lease).released.is_empty());
    let stats = world.guard.stats();
    assert_eq!((stats.in_flight, stats.live, stats.names), (0, 0, 0));
    assert_eq!(world.fail("cn=a", "p"), Seen::Upstream);
}

#[test]
fn after_a_purge_and_a_fault_the_waiters_join_the_newer_attempt() {
    let mut world = World::new();
    let before = world.lead("cn=a", "p");
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    world.tick();
    world.guard.password_changed(b"cn=a", world.now);
    world.tick();
    let after = world.lead("cn=a", "p");
    assert!(world.fault(before).released.is_empty(), "no second attempt beside the one in flight");
    assert_eq!(released(world.answer(after, 49, WRONG)).0, [1]);
}

#[test]
fn after_a_purge_and_a_fault_what_was_learned_meanwhile_answers() {
    let mut world = World::new();
    let before = world.lead("cn=a", "p");
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    world.tick();
    world.guard.password_changed(b"cn=a", world.now);
    world.fail("cn=a", "p");
    assert_eq!(released(world.fault(before)).0, [1]);
}

#[test]
fn two_attempts_let_go_by_a_purge_count_as_one_failure() {
    let mut world = World::new();
    let lease = world.lead("cn=a", "p");
    for _ in 0..2 {
        assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    }
    let (_, solo) = released(world.answer(lease, 0, ""));
    world.tick();
    world.guard.password_changed(b"cn=a", world.now);
    world.tick();
    let newer = world.lead("cn=a", "p");
    world.tick();
    assert_eq!(World::learned(&world.answer(newer, 49, WRONG)).map(|(_, level)| level), Some(1));
    for (_, lease) in solo {
        assert_eq!(World::learned(&world.answer(lease, 49, WRONG)), None);
    }
    let explained = world.guard.explain(NameQuery::Name(b"cn=a"), world.now).unwrap();
    assert_eq!((explained.entries.len(), explained.entries[0].level), (1, 1));
}

#[test]
fn a_lease_that_is_never_settled_does_not_park_its_credential_for_ever() {
    let mut world = World::new();
    let lost = world.lead("cn=a", "p");
    assert!(matches!(world.decide("cn=a", "p"), Decision::Wait));
    world.pass(3600);
    world.guard.sweep(world.now, 16);
    assert_eq!((world.guard.stats().leases_lost, world.guard.stats().waiting), (1, 0));
    assert!(matches!(world.decide("cn=a", "p"), Decision::Lead(_)));
    // It turns up after all: what it says is learned, and nobody is let go twice.
    assert!(world.answer(lost, 49, WRONG).released.is_empty());
}

#[test]
fn only_what_was_right_a_moment_ago_needs_nobodys_leave() {
    let mut world = World::new();
    let asks_nobody = |world: &World, password: &str| {
        let credential = world.guard.credential(b"cn=a", password.as_bytes());
        world.guard.was_right_a_moment_ago(&credential, world.now)
    };
    assert!(!asks_nobody(&world, "p"), "nothing is known of it");
    world.succeed("cn=a", "p");
    assert!(asks_nobody(&world, "p") && !asks_nobody(&world, "q"));
    world.now = world.now.after(std::time::Duration::from_millis(999));
    assert!(asks_nobody(&world, "p"));
    world.tick();
    assert!(!asks_nobody(&world, "p"), "its owner may have changed it since");
    // A success that no other member is told of counts as well.
    world.succeed("cn=a", "p");
    assert!(asks_nobody(&world, "p"));
    world.fail("cn=a", "p");
    assert!(!asks_nobody(&world, "p"), "it is right no longer");
}
