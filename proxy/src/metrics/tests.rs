use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::table::{FAMILIES, Family, Kind, Values};
use super::{BindDecision, BindResult, CloseReason, ConnectFailure, Metrics, Operation, UpstreamResult};

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}{index}")).collect()
}

/// Sample lines of a rendering: name with labels, and value.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    samples(&metrics.render()).get(series).copied()
}

/// Every event there is, as a busy process would see it.
fn exercise(metrics: &Metrics, listeners: &[String], upstreams: &[String]) {
    for decision in BindDecision::ALL {
        for result in BindResult::ALL {
            metrics.bind(*decision, *result);
        }
    }
    for operation in Operation::ALL {
        for result in super::RequestResult::ALL {
            metrics.request(*operation, *result);
        }
        metrics.request_forwarded(*operation, Duration::from_millis(1));
    }
    metrics.request_cached(Duration::from_micros(30));
    for listener in listeners {
        let listener = metrics.listener(listener);
        CloseReason::ALL.iter().for_each(|reason| listener.closed(*reason));
    }
    for name in upstreams {
        let upstream = metrics.upstream(name);
        for operation in Operation::ALL {
            UpstreamResult::ALL.iter().for_each(|result| upstream.request(*operation, *result));
            upstream.duration(*operation, Duration::from_millis(1));
        }
        ConnectFailure::ALL.iter().for_each(|reason| upstream.connect_failure(*reason));
        upstreams.iter().filter(|to| *to != name).for_each(|to| metrics.failover(name, to));
        metrics.certificate_not_after(&format!("upstream/{name}"), 2_000_000_000);
    }
    metrics.certificate_not_after("server", 2_000_000_000);
    metrics.set_config("abc", 1_800_000_000);
    metrics.reload(true);
    metrics.reload(false);
    metrics.draining(true);
    metrics.cluster().set_joined(true);
    metrics.cluster().propagated(Duration::from_millis(2));
}

#[test]
fn four_listeners_and_four_upstreams_stay_under_550_series_and_all_exist_from_the_start() {
    let (listeners, upstreams) = (names("l", 4), names("u", 4));
    let metrics = Metrics::new(&listeners, &upstreams);
    let at_start: BTreeSet<String> = samples(&metrics.render()).into_keys().collect();
    exercise(&metrics, &listeners, &upstreams);
    let later: BTreeSet<String> = samples(&metrics.render()).into_keys().collect();
    assert!(later.len() < 550, "{} series", later.len());
    let new: Vec<&String> = later.difference(&at_start).collect();
    let expected = |series: &&String| {
        series.starts_with("bindproxy_config_info") || series.starts_with("bindproxy_certificate_not_after")
    };
    assert!(new.iter().all(expected), "appeared late: {new:?}");
}

#[test]
fn counters_begin_at_zero() {
    let metrics = Metrics::new(&names("l", 1), &names("u", 2));
    let text = metrics.render();
    for (series, value) in samples(&text) {
        let family = series.split('{').next().unwrap_or_default();
        if family.ends_with("_total") && family != "process_cpu_seconds_total" {
            assert_eq!(value, 0.0, "{series}");
        }
    }
    assert!(text.contains("bindproxy_binds_total{decision=\"local_refused\",result=\"other\"} 0"));
    assert!(text.contains("bindproxy_upstream_failovers_total{from=\"u1\",to=\"u0\"} 0"));
}

#[test]
fn each_event_lands_in_its_own_series() {
    let metrics = Metrics::new(&names("l", 1), &names("u", 1));
    metrics.bind(BindDecision::CacheRejected, BindResult::InvalidCredentials);
    metrics.listener("l0").closed(CloseReason::UntrustedProxyHeader);
    metrics.upstream("u0").request(Operation::Bind, UpstreamResult::InvalidCredentials);
    metrics.upstream("u0").request(Operation::Search, UpstreamResult::Timeout);
    metrics.cache_lookup(true);
    metrics.request_cached(Duration::from_micros(30));
    let samples = samples(&metrics.render());
    let expected = [
        ("bindproxy_binds_total{decision=\"cache_rejected\",result=\"invalid_credentials\"}", 1.0),
        ("bindproxy_binds_total{decision=\"cache_rejected\",result=\"success\"}", 0.0),
        ("bindproxy_connections_closed_total{listener=\"l0\",reason=\"untrusted_proxy_header\"}", 1.0),
        ("bindproxy_upstream_requests_total{op=\"bind\",result=\"invalid_credentials\",upstream=\"u0\"}", 1.0),
        ("bindproxy_upstream_requests_total{op=\"search\",result=\"connection_lost\",upstream=\"u0\"}", 1.0),
        ("bindproxy_cache_lookups_total{result=\"hit\"}", 1.0),
        ("bindproxy_cache_lookups_total{result=\"miss\"}", 0.0),
        ("bindproxy_request_duration_seconds_bucket{op=\"bind\",path=\"cache\",le=\"0.000025\"}", 0.0),
        ("bindproxy_request_duration_seconds_bucket{op=\"bind\",path=\"cache\",le=\"0.00005\"}", 1.0),
        ("bindproxy_request_duration_seconds_count{op=\"bind\",path=\"cache\"}", 1.0),
    ];
    for (series, value) in expected {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
}

#[test]
fn a_bind_is_a_request_and_counted_once_however_often_it_is_rendered() {
    let metrics = Metrics::new(&[], &[]);
    metrics.bind(BindDecision::CacheRejected, BindResult::InvalidCredentials);
    metrics.bind(BindDecision::Upstream, BindResult::InvalidCredentials);
    let series = "bindproxy_requests_total{op=\"bind\",result=\"invalid_credentials\"}";
    assert_eq!((value(&metrics, series), value(&metrics, series)), (Some(2.0), Some(2.0)));
    metrics.bind(BindDecision::Sasl, BindResult::InvalidCredentials);
    assert_eq!(value(&metrics, series), Some(3.0));
}

#[test]
fn reload_replaces_the_hash_and_drops_upstreams_that_are_gone() {
    let metrics = Metrics::new(&[], &names("u", 2));
    metrics.set_config("old", 1);
    metrics.set_config("new", 2);
    let added = metrics.upstream("dc9");
    added.up.set(1);
    metrics.retain_upstreams(&["dc9".to_owned(), "u1".to_owned()]);
    let text = metrics.render();
    assert!(!text.contains("hash=\"old\"") && text.contains("bindproxy_config_info{hash=\"new\"} 1"));
    assert!(!text.contains("\"u0\""), "series of a removed upstream are left");
    assert!(text.contains("bindproxy_upstream_up{upstream=\"dc9\"} 1"));
    assert!(text.contains("bindproxy_upstream_failovers_total{from=\"u1\",to=\"dc9\"} 0"));
    assert_eq!(value(&metrics, "bindproxy_config_last_success_timestamp_seconds"), Some(2.0));
}

#[test]
fn a_refused_reload_shows_until_another_configuration_serves() {
    let metrics = Metrics::new(&[], &[]);
    let shown = || value(&metrics, "bindproxy_config_last_reload_successful");
    metrics.set_config("first", 1);
    assert_eq!(shown(), Some(1.0));
    metrics.reload(false);
    assert_eq!(shown(), Some(0.0));
    metrics.set_config("second", 2);
    metrics.reload(true);
    assert_eq!(shown(), Some(1.0));
    metrics.connections_limit(17);
    assert_eq!(value(&metrics, "bindproxy_connections_limit"), Some(17.0));
}

#[test]
fn process_metrics_are_those_of_this_process() {
    let samples = samples(&Metrics::new(&[], &[]).render());
    assert!(samples["process_resident_memory_bytes"] > 500_000.0);
    assert!(samples["process_virtual_memory_bytes"] >= samples["process_resident_memory_bytes"]);
    assert!(samples["process_open_fds"] >= 3.0);
    assert!(samples["process_max_fds"] >= samples["process_open_fds"]);
    assert!(samples["process_threads"] >= 1.0);
    assert!(samples["process_start_time_seconds"] > 1_600_000_000.0);
}

#[test]
fn operations_are_told_by_their_tag() {
    let tags = [0x60, 0x42, 0x63, 0x66, 0x68, 0x4a, 0x6c, 0x6e, 0x50, 0x77];
    let told: Vec<Operation> = tags.into_iter().map(Operation::from_tag).collect();
    assert_eq!(told, Operation::ALL[..10]);
    assert_eq!(Operation::from_tag(0x61), Operation::Other);
    assert_eq!(Operation::from_tag(0x62), Operation::Unbind);
}

/// The rendering and the table agree: same names, same kinds, labels and closed values.
#[test]
fn rendering_agrees_with_the_table() {
    let (listeners, upstreams) = (names("l", 2), names("u", 2));
    let metrics = Metrics::new(&listeners, &upstreams);
    exercise(&metrics, &listeners, &upstreams);
    let gathered = metrics.registry.gather();
    let rendered: BTreeSet<&str> = gathered.iter().map(prometheus::proto::MetricFamily::name).collect();
    let listed: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(rendered, listed);
    for family in FAMILIES {
        let found = gathered.iter().find(|found| found.name() == family.name).expect("rendered");
        let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for label in found.get_metric().iter().flat_map(|metric| metric.get_label()) {
            seen.entry(label.name()).or_default().insert(label.value());
        }
        let names: BTreeSet<&str> = family.labels.iter().map(|label| label.name).collect();
        assert_eq!(seen.keys().copied().collect::<BTreeSet<_>>(), names, "{}", family.name);
        for label in family.labels {
            if let Values::Closed(values) = label.values {
                assert_eq!(seen[label.name], values.iter().copied().collect(), "{} {}", family.name, label.name);
            }
        }
    }
}

#[test]
fn documentation_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let wanted = documentation();
    if std::fs::read_to_string(path).ok().as_deref() != Some(wanted.as_str()) {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).expect("docs/");
        std::fs::write(path, wanted).expect("docs/metrics.md is written");
        panic!(
            "docs/metrics.md was stale and has been rewritten; commit it \
             (made by `cargo test -p bindproxy --lib metrics::tests::documentation_is_up_to_date`)"
        );
    }
}

fn documentation() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         `GET /metrics` on the admin address, Prometheus text format. This file is made from `proxy/src/metrics/table.rs` by\n\
         `cargo test -p bindproxy --lib metrics::tests::documentation_is_up_to_date`; do not edit it.\n\n\
         Every counter exists with value 0 from the start. No label holds a user, a DN, an address or anything made from a\n\
         password. Results that mean nothing for an operation have no series: `unbind` and `abandon` have only `success`, and\n\
         `invalid_credentials` is told apart for `bind` only.\n\n\
         | metric | kind | labels | what it says |\n|---|---|---|---|\n",
    );
    for family in FAMILIES {
        let _ = writeln!(text, "| `{}` | {} | {} | {} |", family.name, kind(family), labels(family), family.help);
    }
    text.push_str("\nUpper bounds of the histograms, in seconds:\n\n");
    for family in FAMILIES {
        if let Kind::Histogram(bounds) = family.kind {
            let bounds: Vec<String> = bounds.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "- `{}`: {}", family.name, bounds.join(", "));
        }
    }
    text
}

fn kind(family: &Family) -> &'static str {
    match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

fn labels(family: &Family) -> String {
    let one = |label: &super::table::Label| match label.values {
        Values::Closed(values) => {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{}`: {}", label.name, values.join(", "))
        }
        Values::Open(what) => format!("`{}`: {what}", label.name),
    };
    family.labels.iter().map(one).collect::<Vec<_>>().join("; ")
}
