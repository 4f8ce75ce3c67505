//! Whatever was seen: a second look at the same tells the same, and every condition is there and well-formed.

use proptest::prelude::*;

use super::*;
use crate::reconcile::status::progressing;

fn upstream(name: &'static str) -> impl Strategy<Value = UpstreamHealth> {
    use UpstreamReason::{ConnectFailed, DNSFailed, Healthy, TLSVerifyFailed, Unavailable};
    let reason = prop::sample::select(vec![Healthy, ConnectFailed, DNSFailed, TLSVerifyFailed, Unavailable]);
    (any::<bool>(), reason, prop::option::of("[a-d]{0,3}")).prop_map(move |(up, reason, message)| UpstreamHealth {
        name: name.into(),
        up,
        reason,
        message,
    })
}

fn answer(ordinal: usize) -> impl Strategy<Value = PodAnswer> {
    let told = (
        prop::sample::select(vec![900, 1000]),
        prop::option::weighted(0.1, "[a-d]{0,3}"),
        upstream("dc1"),
        prop::option::of(upstream("dc2")),
        prop::collection::vec(any::<bool>(), 5),
        any::<bool>(),
    );
    let told = told.prop_map(move |(ttl, config_error, dc1, dc2, alive, joined)| {
        let mut status = statusz(ordinal, 5);
        let mut spec = spec(3);
        spec.cache.ttl_seconds = ttl;
        status.config_hash = hash(&spec).to_string();
        status.config_error = config_error;
        status.upstreams = std::iter::once(dc1).chain(dc2).collect();
        let cluster = status.cluster.as_mut().unwrap();
        cluster.joined = joined;
        for (member, alive) in cluster.members.iter_mut().zip(alive) {
            member.state = if alive { MemberState::Alive } else { MemberState::Suspect };
        }
        PodAnswer::Told(Box::new(status))
    });
    prop_oneof![
        4 => told,
        1 => Just(PodAnswer::NotAsked),
        1 => Just(PodAnswer::Silent("no answer within 2 s".into())),
    ]
}

fn trouble() -> impl Strategy<Value = Option<PodTrouble>> {
    prop_oneof![
        5 => Just(None),
        1 => Just(Some(PodTrouble::MountFailed("no secret".into()))),
        1 => (1..3).prop_map(|status| Some(PodTrouble::Ended { status, message: "so".into() })),
    ]
}

fn one_pod(ordinal: usize) -> impl Strategy<Value = PodObservation> {
    let age = -2000..3000_i64;
    (answer(ordinal), trouble(), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2), age).prop_map(
        move |(answer, trouble, ready, terminating, is_old, created)| PodObservation {
            answer,
            trouble,
            ready,
            terminating,
            created: Some(Time(at(created))),
            revision: Some(if is_old { "corp-old" } else { "corp-new" }.into()),
            ..pod(ordinal, 5)
        },
    )
}

fn seen() -> impl Strategy<Value = Observation> {
    let pods = (one_pod(0), one_pod(1), one_pod(2), one_pod(3), 0..5_usize);
    let pods = pods.prop_map(|(a, b, c, d, number)| [a, b, c, d].into_iter().take(number).collect());
    let set = prop::option::weighted(
        0.9,
        (0..5, 0..5, 1..4_i64, any::<bool>()).prop_map(|(wanted, there, generation, on_delete)| {
            let mut set = set(wanted, there);
            set.metadata.generation = Some(generation);
            if on_delete {
                set.spec.as_mut().unwrap().update_strategy.as_mut().unwrap().type_ = Some("OnDelete".into());
            }
            set
        }),
    );
    (set, pods).prop_map(|(stateful_set, pods)| Observation { stateful_set, pods })
}

prop_compose! {
    fn case()(
        seen in seen(),
        replicas in 0..5,
        paused in prop::bool::weighted(0.2),
        ttl in prop::sample::select(vec![900, 1000]),
        refused in prop::bool::weighted(0.2),
        seconds in 1..2000_i64,
    ) -> Case {
        let case = Case { seen, seconds, ..Case::healthy() };
        let case = case.with(|case| {
            case.spec.replicas = replicas;
            case.spec.paused = paused;
            case.spec.cache.ttl_seconds = ttl;
        });
        if refused { case.refused(RefusalReason::InvalidSpec) } else { case }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn nothing_is_written_while_nothing_happens(looks in prop::collection::vec(case(), 1..4), later in 10_000..100_000_i64) {
        let mut previous = BindProxyStatus::default();
        let mut seconds = 0;
        for look in looks {
            seconds += look.seconds;
            let look = Case { previous, seconds, ..look };
            let first = look.status();
            for condition in &first.conditions {
                prop_assert!(!condition.reason.is_empty() && !condition.message.is_empty() && condition.message.len() <= 32_768);
                prop_assert!(["True", "False", "Unknown"].contains(&condition.status.as_str()));
                prop_assert_eq!(condition.observed_generation, Some(4));
            }
            prop_assert_eq!(first.conditions.len(), ConditionType::ALL.len());
            let at_once = look.clone().told();
            prop_assert_eq!(&at_once.status(), &first);
            // Time alone changes one thing, once: what goes on for too long is stalled.
            let stalled = at_once.clone().after(later).told();
            let second = &stalled.previous;
            if second != &first {
                let of = condition_of(second, ConditionType::Progressing);
                prop_assert_eq!(of.reason, progressing::Reason::Stalled.as_str());
                let others = |status: &BindProxyStatus| {
                    status.conditions.iter().filter(|one| one.type_ != "Progressing").cloned().collect::<Vec<_>>()
                };
                prop_assert_eq!(others(second), others(&first));
            }
            prop_assert_eq!(&stalled.clone().after(later).status(), second);
            previous = first;
        }
    }
}
