//! Histograms of durations. The one of the `prometheus` crate does four atomic operations on lines
//! that all cores share; this one does two, on a line of the core's own.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto;

use super::table::{Family, Kind};

/// More threads than these share lines, and only get slower by it.
const STRIPES: usize = 8;
/// Of any histogram in the table, without `+Inf`.
const MAX_BOUNDS: usize = 14;

thread_local! {
    static STRIPE: Cell<usize> = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES)
    };
}

/// Two cache lines: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    /// By bucket, not cumulative; the one after the last bound is `+Inf`.
    counts: [AtomicU64; MAX_BOUNDS + 1],
    nanoseconds: AtomicU64,
}

/// How long something took, counted per upper bound; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    bounds: Arc<[u64]>,
    stripes: Arc<[Stripe; STRIPES]>,
}

impl Histogram {
    fn new(bounds: Arc<[u64]>) -> Self {
        Self { bounds, stripes: Arc::default() }
    }

    #[inline]
    pub(super) fn observe(&self, taken: Duration) {
        self.observe_alike(taken, 1);
    }

    /// Enters `count` durations of the same length.
    #[inline]
    pub(super) fn observe_alike(&self, taken: Duration, count: u64) {
        let nanoseconds = u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.iter().position(|bound| nanoseconds <= *bound).unwrap_or(self.bounds.len());
        let stripe = &self.stripes[STRIPE.get()];
        stripe.counts[bucket].fetch_add(count, Ordering::Relaxed);
        stripe.nanoseconds.fetch_add(nanoseconds.saturating_mul(count), Ordering::Relaxed);
    }

    fn sample(&self) -> proto::Histogram {
        let total = |of: &dyn Fn(&Stripe) -> u64| self.stripes.iter().map(of).sum::<u64>();
        let mut sample = proto::Histogram::default();
        let mut cumulative = 0;
        let mut count_of = |number: usize| {
            cumulative += total(&|stripe| stripe.counts[number].load(Ordering::Relaxed));
            cumulative
        };
        let mut buckets = Vec::with_capacity(self.bounds.len());
        for (number, bound) in self.bounds.iter().enumerate() {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(seconds(*bound));
            bucket.set_cumulative_count(count_of(number));
            buckets.push(bucket);
        }
        // The encoder writes the last bucket by itself, as `+Inf`; given one, it would write `inf`.
        let count = count_of(self.bounds.len());
        sample.set_bucket(buckets);
        sample.set_sample_count(count);
        sample.set_sample_sum(seconds(total(&|stripe| stripe.nanoseconds.load(Ordering::Relaxed))));
        sample
    }
}

/// Divided rather than multiplied, so that 25 000 ns is 0.000025 s to the last digit.
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// All histograms of one row of the table, by label values.
#[derive(Clone, Debug)]
pub(super) struct HistogramFamily {
    family: &'static Family,
    desc: Desc,
    bounds: Arc<[u64]>,
    children: Arc<Mutex<BTreeMap<Vec<String>, Histogram>>>,
}

impl HistogramFamily {
    pub(super) fn new(family: &'static Family) -> prometheus::Result<Self> {
        let bounds = match family.kind {
            Kind::Histogram(bounds) if bounds.len() <= MAX_BOUNDS => bounds,
            Kind::Histogram(_) | Kind::Counter | Kind::Gauge => {
                return Err(prometheus::Error::Msg("not a histogram, or one with too many bounds".to_owned()));
            }
        };
        let labels = family.labels.iter().map(|label| label.name.to_owned()).collect();
        Ok(Self {
            family,
            desc: Desc::new(family.name.to_owned(), family.help.to_owned(), labels, Default::default())?,
            bounds: bounds.iter().map(|seconds| (seconds * 1e9).round() as u64).collect(),
            children: Arc::default(),
        })
    }

    /// The histogram of these label values, in the table's order.
    pub(super) fn with_label_values(&self, values: &[&str]) -> Histogram {
        debug_assert_eq!(values.len(), self.family.labels.len());
        let key = values.iter().map(|value| (*value).to_owned()).collect();
        self.children.lock().entry(key).or_insert_with(|| Histogram::new(self.bounds.clone())).clone()
    }

    pub(super) fn remove_label_values(&self, values: &[&str]) {
        self.children.lock().retain(|key, _| key != values);
    }
}

impl Collector for HistogramFamily {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let metric = |(values, histogram): (&Vec<String>, &Histogram)| {
            let pair = |(label, value): (&super::table::Label, &String)| {
                let mut pair = proto::LabelPair::default();
                pair.set_name(label.name.to_owned());
                pair.set_value(value.clone());
                pair
            };
            let mut metric = proto::Metric::default();
            metric.set_label(self.family.labels.iter().zip(values).map(pair).collect());
            metric.set_histogram(histogram.sample());
            metric
        };
        let mut family = proto::MetricFamily::default();
        family.set_name(self.family.name.to_owned());
        family.set_help(self.family.help.to_owned());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(self.children.lock().iter().map(metric).collect());
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::REQUEST_DURATION;
    use super::*;

    fn child() -> Histogram {
        HistogramFamily::new(&REQUEST_DURATION).expect("a histogram").with_label_values(&["bind", "cache"])
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket_and_the_last_bucket_takes_the_rest() {
        let histogram = child();
        for taken in [Duration::ZERO, Duration::from_micros(10), Duration::from_nanos(10_001), Duration::from_secs(11)]
        {
            histogram.observe(taken);
        }
        let sample = histogram.sample();
        let counts: Vec<u64> = sample.get_bucket().iter().map(proto::Bucket::cumulative_count).collect();
        assert_eq!((counts[0], counts[1], counts[11], counts.get(12)), (2, 3, 3, None));
        assert_eq!(sample.get_sample_count(), 4);
        assert!((sample.get_sample_sum() - 11.000_020_001).abs() < 1e-9);
    }

    #[test]
    fn threads_lose_nothing() {
        let histogram = child();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| (0..1000).for_each(|_| histogram.observe(Duration::from_micros(1))));
            }
        });
        assert_eq!(histogram.sample().get_sample_count(), 16_000);
        assert!((histogram.sample().get_sample_sum() - 0.016).abs() < 1e-9);
    }
}
