//! Everything that pods, operator and API server show to people who may not know a password or a name (I4): logs, metrics,
//! status, events, ConfigMaps, pods' arguments.

use std::collections::{BTreeMap, BTreeSet};

use crate::scrape;

use super::cluster::{ADMIN_PORT, Cluster, RELEASE, SYSTEM};
use super::kubectl::kubectl;
use super::namespace::Namespace;
use super::pods::Pod;

/// What is not the contents of a Secret, and shown to whoever may look.
const KINDS: &str = "bindproxies,statefulsets,services,configmaps,serviceaccounts,poddisruptionbudgets,\
                     controllerrevisions,endpointslices,pods,events";

/// A search for words in all of that. What was looked through is not kept.
#[derive(Debug)]
pub struct Search {
    places: BTreeMap<String, BTreeSet<String>>,
    octets: usize,
}

impl Search {
    /// Looks for these words, in upper or lower case.
    #[must_use]
    pub fn of(words: &[&str]) -> Self {
        assert!(words.iter().all(|word| word.len() >= 8), "a short word is found by chance");
        Self { places: words.iter().map(|word| (word.to_lowercase(), BTreeSet::new())).collect(), octets: 0 }
    }

    /// Looks through everything that there is now. What a pod that is about to end has logged is looked through by
    /// [`Search::log_of`].
    pub fn everything(&mut self, namespace: &Namespace, pods: &[Pod]) {
        self.objects(namespace);
        for pod in pods {
            self.log_of(pod);
            for path in ["/metrics", "/statusz", "/readyz", "/configz"] {
                if let Some((_, body)) = pod.http(path) {
                    self.look(&format!("{path} of {} {}", pod.name(), pod.uid()), &body);
                }
            }
        }
        self.of_the_operator(namespace.cluster());
    }

    /// What a pod has logged, in this life of its container and the one before.
    pub fn log_of(&mut self, pod: &Pod) {
        self.look(&format!("log of {} {} {}", pod.name(), pod.uid(), pod.restarts()), &pod.log());
        if let Some(previous) = pod.previous_log() {
            self.look(&format!("log of {} {} before {}", pod.name(), pod.uid(), pod.restarts()), &previous);
        }
    }

    fn objects(&mut self, namespace: &Namespace) {
        let answer = namespace.kubectl(&["get", KINDS, "-o", "yaml", "--show-managed-fields"]);
        assert!(answer.done, "{}", answer.errors);
        self.look(&format!("objects of {}", namespace.name()), &answer.output);
    }

    fn of_the_operator(&mut self, cluster: &Cluster) {
        for pod in cluster.operator_pods() {
            let pod = Pod::new(SYSTEM, pod);
            self.log_of(&pod);
            let (_, metrics) = scrape::get_whole(pod.address(ADMIN_PORT), "/metrics").expect("the operator answers");
            self.look(&format!("metrics of {}", pod.name()), &metrics);
        }
        let answer = kubectl(&["get", "events,leases,configmaps", "--namespace", SYSTEM, "-o", "yaml"]);
        assert!(answer.done && answer.output.contains(RELEASE), "{}", answer.errors);
        self.look(&format!("objects of {SYSTEM}"), &answer.output);
    }

    fn look(&mut self, place: &str, text: &str) {
        assert!(!text.trim().is_empty(), "nothing is found in nothing: {place}");
        let text = text.to_lowercase();
        self.octets += text.len();
        for (word, places) in &mut self.places {
            if text.contains(word) {
                places.insert(place.to_owned());
            }
        }
    }

    /// Where a word was found; nothing of the contents, which is secret.
    #[must_use]
    pub fn places_of(&self, word: &str) -> Vec<&str> {
        self.places[&word.to_lowercase()].iter().map(String::as_str).collect()
    }

    /// How many octets were looked through.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets
    }
}
