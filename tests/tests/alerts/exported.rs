//! Which series exist: those of the real proxy, those of the operator, and the few of Prometheus
//! and kube-state-metrics that are used.

use std::collections::{BTreeMap, BTreeSet};

use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::ports;
use bindproxy_tests::proxy::Configuration;

use crate::expression::{Expression, Matcher};
use crate::operator_metrics;

/// Labels that scraping adds to every series.
const SCRAPED: [&str; 5] = ["namespace", "pod", "bindproxy", "instance", "job"];
/// Labels whose values come from the configuration: any value may be asked for.
const OPEN: [&str; 10] =
    ["listener", "upstream", "from", "to", "hash", "role", "version", "revision", "le", "statefulset"];
/// Of others: the metric and its labels.
const FOREIGN: [(&str, &[&str]); 3] = [
    ("up", &[]),
    ("kube_statefulset_replicas", &["statefulset"]),
    ("kube_statefulset_status_replicas_ready", &["statefulset"]),
];

/// By metric, then by label, the values that are exported; none: any.
pub(crate) struct Exported(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Exported {
    pub(crate) fn by_everybody() -> Self {
        let mut all = Self::by_the_proxy();
        for (metric, labels) in operator_metrics::METRICS {
            let labels = labels
                .iter()
                .map(|(label, values)| ((*label).to_owned(), values.iter().map(|value| (*value).to_owned()).collect()));
            all.0.insert((*metric).to_owned(), labels.collect());
        }
        for (metric, labels) in FOREIGN {
            let labels = labels.iter().map(|label| ((*label).to_owned(), BTreeSet::new()));
            all.0.insert(metric.to_owned(), labels.collect());
        }
        all
    }

    /// Asks the real proxy. Every series exists from the start, so nobody has to log in, and the
    /// directories need not be there.
    fn by_the_proxy() -> Self {
        let nobody = || Endpoint::tcp(ports::free_address());
        let proxy = Configuration::default().upstream("dc1", &nobody(), "").upstream("dc2", &nobody(), "").start();
        let (status, text) = proxy.get("/metrics").expect("the admin port answers");
        assert_eq!(status, 200, "{text}");
        Self::of_text(&text)
    }

    fn of_text(text: &str) -> Self {
        let mut all = BTreeMap::<String, BTreeMap<String, BTreeSet<String>>>::new();
        for sample in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (series, _) = sample.rsplit_once(' ').expect("a sample has a value");
            let selector = if series.contains('{') { series.to_owned() } else { format!("{series}{{}}") };
            let expression = Expression::parse(&selector).unwrap_or_else(|error| panic!("{sample}: {error}"));
            for selector in expression.selectors {
                let labels = all.entry(selector.metric).or_default();
                for Matcher { label, regex: _, value } in selector.matchers {
                    labels.entry(label).or_default().insert(value);
                }
            }
        }
        assert!(all.len() > 40, "only {} metrics in\n{text}", all.len());
        Self(all)
    }

    /// Whether everything that an expression names exists.
    pub(crate) fn check(&self, expression: &Expression) -> Result<(), String> {
        let mut known: BTreeSet<&str> = SCRAPED.into();
        for selector in &expression.selectors {
            let metric = &selector.metric;
            let labels = self.0.get(metric).ok_or(format!("nobody exports {metric}"))?;
            known.extend(labels.keys().map(String::as_str));
            for Matcher { label, regex, value } in &selector.matchers {
                if SCRAPED.contains(&label.as_str()) {
                    continue;
                }
                let values = labels.get(label).ok_or(format!("{metric} has no label {label}"))?;
                if OPEN.contains(&label.as_str()) || values.is_empty() {
                    continue;
                }
                let asked: Vec<&str> = if *regex { value.split('|').collect() } else { vec![value] };
                if let Some(unknown) = asked.into_iter().find(|value| !values.contains(*value)) {
                    return Err(format!("{metric} never has {label}={unknown:?}, only {values:?}"));
                }
            }
        }
        match expression.labels.iter().find(|label| !known.contains(label.as_str())) {
            Some(unknown) => Err(format!("no metric of the expression has the label {unknown}")),
            None => Ok(()),
        }
    }
}

#[test]
fn what_is_not_exported_is_found() {
    let exported = Exported::of_text(&format!(
        "# HELP a_total x\na_total{{op=\"bind\",upstream=\"u0\"}} 0\na_total{{op=\"other\",upstream=\"u0\"}} 0\n{}",
        (0..40).map(|index| format!("filler_{index} 1\n")).collect::<String>()
    ));
    let check = |text: &str| exported.check(&Expression::parse(text).expect("it can be read"));
    for right in [r#"sum by (pod, op) (a_total{op=~"bind|other",upstream="dc9",namespace="x"})"#, "filler_3{}"] {
        assert_eq!(check(right), Ok(()), "{right}");
    }
    for wrong in [
        "b_total{}",
        r#"a_total{result="x"}"#,
        r#"a_total{op="bnd"}"#,
        r#"a_total{op!~"bind|x"}"#,
        "sum by (le) (a_total{})",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
