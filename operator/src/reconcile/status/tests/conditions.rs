//! One look: a situation, and what each condition says of it.

use super::*;

const GOOD: &str = "Ready=True/Ready Accepted=True/Accepted Available=True/PodsReady Progressing=False/Complete \
                    ConfigApplied=True/Applied UpstreamsHealthy=True/Healthy PeersConnected=True/Connected";

#[test]
fn what_is_asked_for_and_what_runs() {
    use RefusalReason::{ConflictingOwner, InvalidSpec};
    check("healthy", &Case::settled(), GOOD);
    check("first look at a healthy one", &Case::healthy(), GOOD);
    check(
        "nothing was made yet",
        &Case::new(),
        "Ready=False/PodsNotReady Accepted=True/Accepted Available=False/NothingApplied Progressing=Unknown/NothingApplied \
         ConfigApplied=Unknown/NothingApplied UpstreamsHealthy=Unknown/NoPods PeersConnected=Unknown/NoPods",
    );
    check(
        "refused from the start",
        &Case::new().refused(InvalidSpec),
        "Ready=False/NotAccepted Accepted=False/InvalidSpec Available=False/NothingApplied Progressing=Unknown/NothingApplied \
         ConfigApplied=Unknown/NothingApplied UpstreamsHealthy=Unknown/NoPods PeersConnected=Unknown/NoPods",
    );
    check(
        "refused while the old one runs",
        &Case::settled().with(|case| case.generation = 5).refused(ConflictingOwner),
        "Ready=False/NotAccepted Accepted=False/ConflictingOwner Available=True/PodsReady Progressing=False/Complete \
         ConfigApplied=True/Applied UpstreamsHealthy=True/Healthy PeersConnected=True/Connected",
    );
    check(
        "refused together with another number of pods",
        &Case::settled().with(|case| case.spec.replicas = 0).refused(InvalidSpec),
        "Ready=False/NotAccepted Available=True/PodsReady ConfigApplied=True/Applied",
    );
    check(
        "paused",
        &Case::settled().with(|case| case.spec.paused = true),
        "Ready=True/Paused ConfigApplied=True/Applied",
    );
    check(
        "paused with another configuration in the spec",
        &Case::settled().with(|case| {
            case.spec.paused = true;
            case.spec.cache.ttl_seconds = 1000;
        }),
        "Ready=False/Paused Available=True/PodsReady ConfigApplied=False/Pending Progressing=False/Complete",
    );
    check(
        "paused with another number of pods in the spec",
        &Case::settled().with(|case| {
            case.spec.paused = true;
            case.spec.replicas = 5;
        }),
        "Ready=False/Paused Available=True/PodsReady ConfigApplied=False/Pending Progressing=False/Complete",
    );
    check(
        "scaled to zero",
        &Case::settled().with(|case| {
            case.spec.replicas = 0;
            case.seen = Observation { stateful_set: Some(set(0, 0)), pods: Vec::new() };
        }),
        "Ready=False/ScaledToZero Accepted=True/Accepted Available=False/ScaledToZero Progressing=False/Complete \
         ConfigApplied=True/ScaledToZero UpstreamsHealthy=Unknown/NoPods PeersConnected=Unknown/NoPods",
    );
    check(
        "on the way to zero",
        &Case::settled()
            .with(|case| case.spec.replicas = 0)
            .with_set(|set| set.spec.as_mut().unwrap().replicas = Some(0)),
        "Ready=False/ScaledToZero Available=False/ScaledToZero Progressing=True/Scaling",
    );
}

#[test]
fn pods_that_are_not_ready() {
    check(
        "just made",
        &Case::healthy().with_pod(0, fresh).with_pod(1, fresh).with_pod(2, fresh),
        "Ready=False/PodsNotReady Available=False/PodsNotReady Progressing=True/Scaling ConfigApplied=False/Pending \
         UpstreamsHealthy=Unknown/NoPods PeersConnected=Unknown/NoPods",
    );
    check(
        "two of three, the first time",
        &Case::healthy().with_pod(1, fresh),
        "Ready=False/ConfigPending Available=True/PodsReady Progressing=True/Scaling ConfigApplied=False/Pending \
         UpstreamsHealthy=True/Healthy PeersConnected=True/Connected",
    );
    check(
        "one of three",
        &Case::settled().with_pod(1, fresh).with_pod(0, fresh),
        "Ready=False/PodsNotReady Available=False/PodsNotReady PeersConnected=False/Joining",
    );
    check(
        "one of two",
        &Case::settled()
            .with(|case| {
                case.spec.replicas = 2;
                case.seen = Observation { stateful_set: Some(set(2, 2)), pods: pods(2) };
            })
            .with_pod(1, fresh),
        "Ready=True/Ready Available=True/PodsReady ConfigApplied=True/Applied PeersConnected=False/Joining",
    );
    check(
        "the only one",
        &Case::healthy().with(|case| {
            case.spec.replicas = 1;
            case.seen = Observation { stateful_set: Some(set(1, 1)), pods: pods(1) };
        }),
        "Ready=True/Ready PeersConnected=True/SinglePod",
    );
    let image = Case::healthy().with_pod(0, fresh).with_pod(2, fresh).with_pod(2, |pod| {
        pod.trouble = Some(PodTrouble::Image("nope:1: not found".into()));
    });
    check("no image", &image, "Available=False/PodsNotReady");
    assert_eq!(
        message(&image, ConditionType::Available),
        "1 of 3 pods are ready; corp-2: the image cannot be had: nope:1: not found"
    );
    assert_eq!(message(&image, ConditionType::Ready), message(&image, ConditionType::Available));
}

#[test]
fn a_restart_is_no_progress_and_no_change_of_configuration() {
    check(
        "a pod restarts",
        &Case::settled().with_pod(1, fresh),
        "Ready=True/Ready Progressing=False/Complete ConfigApplied=True/Applied",
    );
    let deleted = Case::settled().with(|case| {
        case.seen.pods.remove(1);
    });
    check("a pod was deleted", &deleted, "Ready=True/Ready Progressing=False/Complete ConfigApplied=True/Applied");
    check(
        "a pod is being deleted",
        &Case::settled().with_pod(1, |pod| pod.terminating = true),
        "Ready=True/Ready Progressing=False/Complete ConfigApplied=True/Applied",
    );
    let after_restart = Case::settled().with_pod(1, fresh).with_pod(1, |pod| {
        ended(pod, 137, "OOMKilled");
    });
    check("a pod was killed", &after_restart, "Ready=True/Ready ConfigApplied=True/Applied");
}

#[test]
fn a_configuration_on_its_way() {
    let changed = || Case::settled().with(|case| case.spec.cache.ttl_seconds = 1000);
    let new = || hash(&changed().spec).to_string();
    check(
        "the kubelet has not swapped it yet",
        &changed(),
        "Ready=False/ConfigPending ConfigApplied=False/Pending Progressing=False/Complete",
    );
    let two = changed()
        .with_pod(0, |pod| says(pod, |says| says.config_hash = new()))
        .with_pod(1, |pod| says(pod, |says| says.config_hash = new()));
    check("two of three have it", &two, "ConfigApplied=False/Pending");
    let message = message(&two, ConditionType::ConfigApplied);
    assert!(message.contains("corp-2 runs with configuration") && !message.contains("corp-1"), "{message}");
    let three = two.with_pod(2, |pod| says(pod, |says| says.config_hash = new()));
    check("all have it", &three, GOOD);
    check("one that should have it is silent", &three.clone().with_pod(1, silent), "ConfigApplied=False/Pending");
    check("once all had it, silence changes nothing", &three.told().with_pod(1, silent), GOOD);
    check(
        "it is not the same once a pod says otherwise",
        &Case::settled().with_pod(1, |pod| says(pod, |says| says.config_hash = "0011223344556677".into())),
        "Ready=False/ConfigPending ConfigApplied=False/Pending",
    );
}

#[test]
fn a_configuration_that_is_refused() {
    let words = "upstreams[0].tls.caFile: no certificate in it";
    let refused = Case::settled().with_pod(1, |pod| says(pod, |says| says.config_error = Some(words.into())));
    check(
        "by a running pod",
        &refused,
        "Ready=False/ConfigPending Available=True/PodsReady ConfigApplied=False/Rejected",
    );
    assert_eq!(message(&refused, ConditionType::ConfigApplied), format!("corp-1: {words}"));

    let fallen = Case::settled().with_pod(2, |pod| ended(pod, 2, words));
    check("by a pod that started", &fallen, "Available=True/PodsReady ConfigApplied=False/Rejected");
    assert_eq!(message(&fallen, ConditionType::ConfigApplied), format!("corp-2: {words}"));
    check(
        "a fault is no refusal",
        &Case::settled().with_pod(2, |pod| ended(pod, 1, "no address")),
        "ConfigApplied=True/Applied",
    );

    let rolling = Case::settled()
        .with_pod(0, old)
        .with_pod(1, old)
        .with_pod(0, |pod| says(pod, |says| says.config_error = Some("listeners: needs a restart".into())));
    check("by a pod that is to be replaced", &rolling, "Progressing=True/RollingUpdate ConfigApplied=False/Pending");
    let both = rolling.with_pod(2, |pod| ended(pod, 2, words));
    check("by a new pod of a rollout", &both, "Progressing=True/RollingUpdate ConfigApplied=False/Rejected");
    assert_eq!(message(&both, ConditionType::ConfigApplied), format!("corp-2: {words}"));
    let on_delete = Case::settled()
        .with_set(|set| set.spec.as_mut().unwrap().update_strategy.as_mut().unwrap().type_ = Some("OnDelete".into()))
        .with_pod(0, old)
        .with_pod(0, |pod| says(pod, |says| says.config_error = Some("listeners: needs a restart".into())));
    check(
        "by a pod that somebody has to delete",
        &on_delete,
        "Progressing=False/WaitingForDelete ConfigApplied=False/Rejected",
    );

    let mount = Case::healthy().with_pod(2, fresh).with_pod(2, |pod| {
        pod.trouble = Some(PodTrouble::MountFailed("secret \"corp-ca\" not found".into()));
    });
    check("a volume is missing", &mount, "ConfigApplied=False/MountFailed");
    assert_eq!(message(&mount, ConditionType::ConfigApplied), "corp-2: secret \"corp-ca\" not found");
}

#[test]
fn directory_servers() {
    use UpstreamReason::{ConnectFailed, ConnectTimeout, DNSFailed, Healthy, TLSVerifyFailed, Unavailable};
    // What each pod says of dc1 and dc2, and the reason of the condition.
    let table: [([UpstreamReason; 3], [UpstreamReason; 3], &str); 13] = [
        ([Healthy; 3], [Healthy; 3], "True/Healthy"),
        ([DNSFailed; 3], [Healthy; 3], "False/DNSFailed"),
        ([ConnectFailed; 3], [Healthy; 3], "False/ConnectFailed"),
        ([ConnectTimeout; 3], [Healthy; 3], "False/ConnectTimeout"),
        ([TLSVerifyFailed; 3], [TLSVerifyFailed; 3], "False/TLSVerifyFailed"),
        ([Unavailable; 3], [Healthy; 3], "False/Degraded"),
        ([Unavailable; 3], [Unavailable; 3], "False/AllDown"),
        ([DNSFailed; 3], [ConnectFailed; 3], "False/AllDown"),
        ([DNSFailed; 3], [ConnectFailed, Healthy, Healthy], "False/Degraded"),
        ([Healthy, Healthy, ConnectFailed], [Healthy; 3], "False/ConnectFailed"),
        ([Healthy, Healthy, Unavailable], [Healthy; 3], "False/Degraded"),
        // The most frequent cause is the server's.
        ([ConnectFailed, ConnectFailed, DNSFailed], [ConnectFailed; 3], "False/ConnectFailed"),
        // Of equally frequent ones that which somebody can mend.
        ([ConnectFailed, TLSVerifyFailed, Healthy], [Healthy; 3], "False/TLSVerifyFailed"),
    ];
    for (dc1, dc2, expected) in table {
        let mut case = Case::healthy();
        for (pod, reasons) in dc1.into_iter().zip(dc2).enumerate() {
            let word = |name: &str, reason| if reason == Healthy { up(name) } else { down(name, reason, "it is so") };
            says(&mut case.seen.pods[pod], |says| {
                says.upstreams = vec![word("dc1", reasons.0), word("dc2", reasons.1)]
            });
        }
        check(&format!("{dc1:?} {dc2:?}"), &case, &format!("UpstreamsHealthy={expected} Ready=True/Ready"));
    }
    let case = Case::healthy().with_pod(1, |pod| {
        says(pod, |says| says.upstreams[1] = down("dc2", DNSFailed, "dc2.example has no address"));
    });
    assert_eq!(
        message(&case, ConditionType::UpstreamsHealthy),
        "dc2 (2 of 3 pods reach it): dc2.example has no address"
    );
    let nobody = Case::settled().with_pod(0, silent).with_pod(1, silent).with_pod(2, silent);
    check(
        "nobody answers",
        &nobody,
        "UpstreamsHealthy=Unknown/NotAnswered PeersConnected=Unknown/NotAnswered Ready=True/Ready",
    );
    assert_eq!(nobody.status().upstreams, nobody.previous.upstreams);
    assert_eq!(nobody.status().certificate_not_after, nobody.previous.certificate_not_after);
}

#[test]
fn peers() {
    let blind = |case: Case, pod: usize, other: usize, state: MemberState| {
        case.with_pod(pod, |one| {
            says(one, |says| {
                let members = &mut says.cluster.as_mut().unwrap().members;
                members.iter_mut().find(|member| member.name == format!("corp-{other}")).unwrap().state = state;
            });
        })
    };
    check(
        "one side",
        &blind(Case::settled(), 0, 2, MemberState::Suspect),
        "PeersConnected=False/Partitioned Ready=True/Ready",
    );
    let strangers = blind(Case::healthy(), 0, 2, MemberState::Suspect);
    check("they never knew each other", &strangers, "PeersConnected=False/Partitioned Ready=False/PodsNotReady");
    assert_eq!(
        message(&strangers, ConditionType::Ready),
        "the pods do not all know each other yet: corp-0 does not see corp-2"
    );
    let apart = blind(blind(Case::settled(), 0, 2, MemberState::Suspect), 2, 0, MemberState::Left);
    let apart = blind(blind(apart, 1, 2, MemberState::Suspect), 2, 1, MemberState::Suspect);
    check("two and one", &apart, "PeersConnected=False/Partitioned");
    assert_eq!(
        message(&apart, ConditionType::PeersConnected),
        "corp-0 does not see corp-2; corp-1 does not see corp-2; corp-2 does not see corp-0, corp-1"
    );
    let peers = apart.status().peers.unwrap();
    assert_eq!((peers.expected, peers.alive), (3, 1));
    let joining = apart.clone().with_pod(2, |pod| says(pod, |says| says.cluster.as_mut().unwrap().joined = false));
    check("one that has just come", &joining, "PeersConnected=False/Joining");
    check(
        "one that does not see a pod that is not ready",
        &blind(Case::settled(), 0, 2, MemberState::Suspect).with_pod(2, |pod| pod.ready = false),
        "PeersConnected=True/Connected",
    );
    check("one that is silent", &Case::settled().with_pod(2, silent), "PeersConnected=True/Connected");
    check(
        "one without a cluster",
        &Case::settled().with_pod(2, |pod| says(pod, |says| says.cluster = None)),
        "PeersConnected=False/Partitioned",
    );
    let starting = Case::healthy().with(|case| case.seen.pods.iter_mut().for_each(|pod| pod.ready = false));
    check("nobody is ready", &starting, "PeersConnected=False/Joining");
}
