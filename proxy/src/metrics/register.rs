//! Turns rows of the table into registered collectors, so that a name or label is written once.

use prometheus::core::Collector;
use prometheus::{CounterVec, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::histogram::HistogramFamily;
use super::table::Family;

/// Registers families of the table. A row that Prometheus refuses (a bad name, a name twice) is a
/// mistake in the table, which a test finds; the collector then works but is not rendered.
pub(super) struct Registrar<'a>(pub(super) &'a Registry);

impl Registrar<'_> {
    pub(super) fn counters(&self, family: &Family) -> IntCounterVec {
        self.enter(IntCounterVec::new(opts(family), &labels(family)), family)
    }

    pub(super) fn float_counters(&self, family: &Family) -> CounterVec {
        self.enter(CounterVec::new(opts(family), &labels(family)), family)
    }

    pub(super) fn gauges(&self, family: &Family) -> IntGaugeVec {
        self.enter(IntGaugeVec::new(opts(family), &labels(family)), family)
    }

    pub(super) fn float_gauges(&self, family: &Family) -> GaugeVec {
        self.enter(GaugeVec::new(opts(family), &labels(family)), family)
    }

    pub(super) fn histograms(&self, family: &'static Family) -> HistogramFamily {
        self.enter(HistogramFamily::new(family), family)
    }

    #[expect(clippy::panic, reason = "the table is a constant: a bad row fails the first test that makes a Metrics")]
    fn enter<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>, family: &Family) -> C {
        let entered = made.and_then(|collector| {
            self.0.register(Box::new(collector.clone()))?;
            Ok(collector)
        });
        match entered {
            Ok(collector) => collector,
            Err(fault) => panic!("metric {}: {fault}", family.name),
        }
    }
}

fn opts(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn labels(family: &Family) -> Vec<&'static str> {
    family.labels.iter().map(|label| label.name).collect()
}
