//! Several looks, one after the other.

use super::*;

/// The next look, `seconds` later.
fn then(case: Case, seconds: i64, change: impl FnOnce(&mut Case)) -> Case {
    case.told().after(seconds).with(change)
}

fn since(case: &Case, condition: ConditionType) -> i64 {
    condition_of(&case.status(), condition).last_transition_time.0.as_second() - NOON
}

#[test]
fn a_rollout_from_its_start_to_its_end() {
    let case = then(Case::settled(), 60, |case| {
        case.generation = 5;
        case.seen.stateful_set.as_mut().unwrap().metadata.generation = Some(3);
    });
    check(
        "applied just now",
        &case,
        "Progressing=True/RollingUpdate ConfigApplied=False/Pending Ready=False/ConfigPending",
    );
    let began = since(&case, ConditionType::Progressing);
    let case = then(case, 1, |case| {
        case.seen.stateful_set.as_mut().unwrap().status.as_mut().unwrap().observed_generation = Some(3);
        case.seen.pods.iter_mut().for_each(old);
    });
    check("seen by the controller", &case, "Progressing=True/RollingUpdate");
    let case = then(case, 5, |case| case.seen.pods[2].terminating = true);
    check("the first one goes", &case, "Progressing=True/RollingUpdate Available=True/PodsReady");
    let case = then(case, 5, |case| {
        case.seen.pods[2] = pod(2, 3);
        fresh(&mut case.seen.pods[2]);
    });
    check("its successor comes", &case, "Progressing=True/RollingUpdate Available=True/PodsReady");
    let case = then(case, 30, |case| {
        case.seen.pods = pods(3);
        fresh(&mut case.seen.pods[0]);
    });
    check(
        "the last one starts",
        &case,
        "Progressing=True/RollingUpdate ConfigApplied=False/Pending Available=True/PodsReady",
    );
    assert_eq!(since(&case, ConditionType::Progressing), began);
    let case = then(case, 5, |case| case.seen.pods = pods(3));
    check("over", &case, "Progressing=False/Complete ConfigApplied=True/Applied Ready=True/Ready");
    assert_eq!(since(&case, ConditionType::Available), 0);
    assert_eq!(since(&case, ConditionType::Ready), case.seconds);
}

#[test]
fn scaling_up_and_down() {
    let case = then(Case::settled(), 60, |case| {
        case.spec.replicas = 4;
        let set = case.seen.stateful_set.as_mut().unwrap();
        set.metadata.generation = Some(3);
        set.spec.as_mut().unwrap().replicas = Some(4);
    });
    check(
        "asked for",
        &case,
        "Progressing=True/Scaling Available=True/PodsReady ConfigApplied=False/Pending Ready=False/ConfigPending",
    );
    let case = then(case, 1, |case| {
        case.seen.stateful_set = Some(set(4, 3));
        case.seen.pods.push(pod(3, 4));
        fresh(&mut case.seen.pods[3]);
    });
    check("one more", &case, "Progressing=True/Scaling ConfigApplied=False/Pending");
    let case = then(case, 1, |case| case.seen = Observation { stateful_set: Some(set(4, 4)), pods: pods(4) });
    check(
        "four",
        &case,
        "Progressing=False/Complete ConfigApplied=True/Applied Ready=True/Ready PeersConnected=True/Connected",
    );
    let case = then(case, 60, |case| {
        case.spec.replicas = 2;
        case.seen.stateful_set = Some(set(2, 4));
    });
    check("too many", &case, "Progressing=True/Scaling Available=True/PodsReady");
    let case = then(case, 1, |case| case.seen.pods[2..].iter_mut().for_each(|pod| pod.terminating = true));
    check("going", &case, "Progressing=True/Scaling");
    let case = then(case, 9, |case| case.seen = Observation { stateful_set: Some(set(2, 2)), pods: pods(2) });
    check("two", &case, "Progressing=False/Complete Ready=True/Ready");
}

#[test]
fn what_does_not_end_is_stalled_and_says_why() {
    let stuck = |case: &mut Case| {
        case.seen.pods[0..2].iter_mut().for_each(old);
        fresh(&mut case.seen.pods[2]);
        case.seen.pods[2].trouble = Some(PodTrouble::Image("nope:1: not found".into()));
        case.seen.pods[2].created = Some(Time(at(100)));
    };
    let case = then(Case::settled(), 30, stuck);
    check("just begun", &case, "Progressing=True/RollingUpdate");
    // It began at 90, and the pod was made at 100.
    let case = then(case, 609, |_| {});
    check("one second before", &case, "Progressing=True/RollingUpdate");
    let case = then(case, 1, |_| {});
    check("at the deadline", &case, "Progressing=False/Stalled Available=True/PodsReady");
    let said = message(&case, ConditionType::Progressing);
    assert!(said.ends_with("corp-2: the image cannot be had: nope:1: not found"), "{said}");
    let case = then(case, 3000, |_| {});
    check("it stays so", &case, "Progressing=False/Stalled");
    let reverted = then(case.clone(), 10, |case| case.generation = 5);
    check("a new try", &reverted, "Progressing=True/RollingUpdate");
    let mended = then(case.clone(), 10, |case| {
        let now = case.seconds;
        case.seen.pods[2].created = Some(Time(at(now)));
    });
    check("a new pod", &mended, "Progressing=True/RollingUpdate");
    check("over", &then(case, 10, |case| case.seen.pods = pods(3)), "Progressing=False/Complete");
}

#[test]
fn silence_changes_nothing_that_others_do_not_contradict() {
    let dc2 = |pod: &mut PodObservation| {
        says(pod, |says| says.upstreams[1] = down("dc2", UpstreamReason::DNSFailed, "dc2.example has no address"));
    };
    let degraded = Case::healthy().with_pod(2, dc2).told();
    let quiet = degraded.clone().after(5).with_pod(2, silent);
    assert_eq!(quiet.status(), degraded.previous, "the pod that complained is silent");
    assert_eq!(degraded.clone().after(5).with_pod(0, silent).status(), degraded.previous, "another one is silent");
    check("it answers again", &then(quiet, 5, |case| case.seen.pods = pods(3)), "UpstreamsHealthy=True/Healthy");
    let worse = degraded.clone().after(5).with_pod(0, silent).with_pod(1, dc2);
    assert_eq!(worse.status().upstreams[1].healthy_pods, 0, "others contradict");
    let all = Case::healthy().with_pod(0, dc2).with_pod(1, dc2).with_pod(2, dc2).told().after(5);
    let better = all.with(|case| case.seen.pods = pods(3)).with_pod(2, silent);
    check("two say that it is well, more than silence explains", &better, "UpstreamsHealthy=True/Healthy");
}

#[test]
fn a_text_that_is_still_said_stays() {
    let says_down = |text: &'static str| {
        move |pod: &mut PodObservation| {
            says(pod, |says| says.upstreams[0] = down("dc1", UpstreamReason::ConnectFailed, text));
        }
    };
    let all = |case: Case, texts: [&'static str; 3]| {
        case.with_pod(0, says_down(texts[0])).with_pod(1, says_down(texts[1])).with_pod(2, says_down(texts[2]))
    };
    let first = all(Case::healthy(), ["10.0.0.1 refused", "10.0.0.2 refused", "10.0.0.1 refused"]).told();
    let turned = all(first.clone().after(5), ["10.0.0.2 refused", "10.0.0.2 refused", "10.0.0.1 refused"]);
    assert_eq!(turned.status(), first.previous);
    let other = all(first.after(5), ["reset", "reset", "reset"]);
    assert!(message(&other, ConditionType::UpstreamsHealthy).ends_with(": reset"));
}

#[test]
fn the_time_of_an_upstream_is_that_of_its_reason() {
    let fails = |reason| {
        move |case: &mut Case| {
            for pod in &mut case.seen.pods {
                says(pod, |says| says.upstreams[0] = down("dc1", reason, "so"));
            }
        }
    };
    let time = |case: &Case| case.status().upstreams[0].last_transition_time.as_ref().unwrap().0.as_second() - NOON;
    let case = then(Case::healthy(), 10, fails(UpstreamReason::DNSFailed));
    assert_eq!(time(&case), 10);
    let case = then(case, 10, |case| says(&mut case.seen.pods[0], |says| says.upstreams[0] = up("dc1")));
    assert_eq!(time(&case), 10, "fewer pods, the same reason");
    let case = then(case, 10, fails(UpstreamReason::ConnectTimeout));
    assert_eq!(time(&case), 30);
    assert_eq!(since(&case, ConditionType::UpstreamsHealthy), 10, "the condition was false before");
}

#[test]
fn a_watch_that_lags_does_not_hide_a_scaling() {
    let case = then(Case::settled(), 60, |case| {
        case.generation = 5;
        case.spec.replicas = 4;
    });
    check(
        "the StatefulSet from before",
        &case,
        "Progressing=True/Scaling ConfigApplied=False/Pending Ready=False/ConfigPending",
    );
    let case = then(case, 1, |case| case.seen.stateful_set = Some(set(4, 3)));
    check(
        "the controller was fast",
        &case,
        "Progressing=True/Scaling ConfigApplied=False/Pending Ready=False/ConfigPending",
    );
    let case = then(case, 9, |case| case.seen = Observation { stateful_set: Some(set(4, 4)), pods: pods(4) });
    check("four", &case, "Progressing=False/Complete Ready=True/Ready");
}
