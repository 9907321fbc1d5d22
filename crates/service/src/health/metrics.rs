//! Counts as Prometheus' text format (0.0.4), collected from a snapshot at each scrape.
//!
//! The writing is prometheus-client's, by its collector interface: its own counters would be read one after
//! the other, and then an identity such as received = forwarded + in flight could fail to hold on the page.
//!
//! **Invariants.** Each name occurs once, with HELP and TYPE before its values. Label values are escaped, and
//! cut after [`LABEL_BYTES_MAX`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::names::Kind;
use super::{Metric, Vitals};

/// What the page is, for the `Content-Type` header.
pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The longest label value. An MQTT topic level or a reason is far below it; what is not would come from
/// outside, and fill the memory of whoever keeps the series.
const LABEL_BYTES_MAX: usize = 128;

/// A page of metrics while it is written, each by its variant of [`Metric`]. Debug builds panic at a metric that is written
/// twice, or not as what it is.
#[derive(Debug)]
pub struct MetricsText<'a> {
    encoder: DescriptorEncoder<'a>,
    written: BTreeSet<Metric>,
    result: fmt::Result,
}

/// How long something took, each time.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Durations {
    /// How many took no longer than the bound at this place, and longer than the one before; last the others.
    counts: [u64; Self::BOUNDS.len() + 1],
    sum: f64,
}

impl Durations {
    /// In seconds: a batch of one row takes some microseconds, and no component may take longer than its deadline.
    const BOUNDS: [f64; 9] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];

    /// One more.
    pub fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = Self::BOUNDS.iter().position(|bound| seconds <= *bound);
        self.counts[place.unwrap_or(Self::BOUNDS.len())] += 1;
        self.sum += seconds;
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl<'a> MetricsText<'a> {
    fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder, written: BTreeSet::new(), result: Ok(()) }
    }

    /// Which program this is.
    pub fn build(&mut self, service: &str, version: &str) {
        self.gauges(Metric::BuildInfo, [([service, version], 1.0)]);
    }

    /// A count that only rises.
    pub fn counter(&mut self, metric: Metric, value: u64) {
        self.counters(metric, [([""; 0], value)]);
    }

    /// Counts that only rise, one for each combination of label values. The sets of values should be closed
    /// (reasons, topics of the settings): each combination is a series that somebody keeps.
    pub fn counters<const N: usize, V: AsRef<str>>(
        &mut self,
        metric: Metric,
        rows: impl IntoIterator<Item = ([V; N], u64)>,
    ) {
        self.family(metric, Kind::Counter, rows, |mut encoder, value| {
            encoder.encode_counter(&value, None::<&Exemplar<NoLabelSet, u64>>)
        });
    }

    /// A value that rises and falls.
    pub fn gauge(&mut self, metric: Metric, value: f64) {
        self.gauges(metric, [([""; 0], value)]);
    }

    /// Values that rise and fall, one for each combination of label values.
    pub fn gauges<const N: usize, V: AsRef<str>>(
        &mut self,
        metric: Metric,
        rows: impl IntoIterator<Item = ([V; N], f64)>,
    ) {
        self.family(metric, Kind::Gauge, rows, |mut encoder, value| encoder.encode_gauge(&value));
    }

    /// How long something took.
    pub fn durations(&mut self, metric: Metric, durations: &Durations) {
        self.family(metric, Kind::Histogram, [([""; 0], durations)], |mut encoder, durations| {
            let Durations { counts, sum } = durations;
            let bounds = Durations::BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(counts.iter().copied()).collect();
            encoder.encode_histogram::<NoLabelSet>(*sum, durations.count(), &buckets, None)
        });
    }

    fn family<const N: usize, V: AsRef<str>, T>(
        &mut self,
        metric: Metric,
        kind: Kind,
        rows: impl IntoIterator<Item = ([V; N], T)>,
        encode: impl Fn(MetricEncoder<'_>, T) -> fmt::Result,
    ) {
        let name = metric.name();
        debug_assert_eq!(metric.kind(), kind, "{name}: of another kind");
        debug_assert_eq!(metric.labels().len(), N, "{name}: with other labels");
        let is_new = self.written.insert(metric);
        debug_assert!(is_new, "{name}: written twice");
        // The library appends to a counter's name what it ends with.
        let stem = name.strip_suffix("_total").unwrap_or(name);
        let kind = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        let write = || {
            let mut family = self.encoder.encode_descriptor(stem, metric.help(), None, kind)?;
            for (values, value) in rows {
                let set: [(&str, &str); N] =
                    std::array::from_fn(|i| (metric.labels()[i], capped(values[i].as_ref())));
                encode(family.encode_family(&set)?, value)?;
            }
            Ok(())
        };
        self.result = self.result.and(write());
    }
}

/// The metrics of `vitals` as they are now.
///
/// # Errors
/// Never in practice: a `String` takes everything.
pub(super) fn render(vitals: Arc<dyn Vitals>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(vitals)));
    let mut page = String::new();
    prometheus_text::encode(&mut page, &registry)?;
    Ok(page)
}

struct Scrape(Arc<dyn Vitals>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut text = MetricsText::new(encoder);
        self.0.metrics(&mut text);
        text.result
    }
}

fn capped(value: &str) -> &str {
    &value[..value.floor_char_boundary(LABEL_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Page<F>(F);

    impl<F: Fn(&mut MetricsText<'_>) + Send + Sync + 'static> Vitals for Page<F> {
        fn ready(&self) -> Result<(), String> {
            Ok(())
        }
        fn metrics(&self, out: &mut MetricsText<'_>) {
            (self.0)(out);
        }
    }

    fn page(write: impl Fn(&mut MetricsText<'_>) + Send + Sync + 'static) -> String {
        render(Arc::new(Page(write))).expect("written")
    }

    #[test]
    fn each_kind_has_its_form() {
        let text = page(|out| {
            out.counter(Metric::AgentRecordsAcked, u64::MAX);
            out.gauge(Metric::AgentSpoolBytes, 1.5e9);
            let rows = [(["a", "late"], 1), (["b", "back\\ and\nbreak"], 0)];
            out.counters(Metric::BridgeMessagesDeadLettered, rows);
            out.gauges(Metric::BridgeSenders, [(["a"], -0.25)]);
            let mut durations = Durations::default();
            for micros in [1, 2_000, 2_000_000] {
                durations.add(Duration::from_micros(micros));
            }
            out.durations(Metric::HostPredictionSeconds, &durations);
        });
        let expected = "\
# HELP weir_agent_records_acked_total Records that were confirmed and have left the spool
# TYPE weir_agent_records_acked_total counter
weir_agent_records_acked_total 18446744073709551615
# HELP weir_agent_spool_bytes Bytes of the spool on disk
# TYPE weir_agent_spool_bytes gauge
weir_agent_spool_bytes 1500000000.0
# HELP weir_bridge_messages_dead_lettered_total Messages whose dead letter is in Kafka
# TYPE weir_bridge_messages_dead_lettered_total counter
weir_bridge_messages_dead_lettered_total{broker=\"a\",reason=\"late\"} 1
weir_bridge_messages_dead_lettered_total{broker=\"b\",reason=\"back\\\\ and\\nbreak\"} 0
# HELP weir_bridge_senders Agents whose numbers are remembered
# TYPE weir_bridge_senders gauge
weir_bridge_senders{broker=\"a\"} -0.25
# HELP weir_host_prediction_seconds How long the version that serves took for a batch, failed batches included
# TYPE weir_host_prediction_seconds histogram
weir_host_prediction_seconds_bucket{le=\"0.0001\"} 1
weir_host_prediction_seconds_bucket{le=\"0.0003\"} 1
weir_host_prediction_seconds_bucket{le=\"0.001\"} 1
weir_host_prediction_seconds_bucket{le=\"0.003\"} 2
weir_host_prediction_seconds_bucket{le=\"0.01\"} 2
weir_host_prediction_seconds_bucket{le=\"0.03\"} 2
weir_host_prediction_seconds_bucket{le=\"0.1\"} 2
weir_host_prediction_seconds_bucket{le=\"0.3\"} 2
weir_host_prediction_seconds_bucket{le=\"1\"} 2
weir_host_prediction_seconds_bucket{le=\"+Inf\"} 3
weir_host_prediction_seconds_sum 2.002001
weir_host_prediction_seconds_count 3
";
        assert_eq!(text, expected);
    }

    /// Strangers' text cannot end a value, a label or a line, nor be long.
    #[test]
    fn label_values_are_escaped_and_capped() {
        let text = page(|out| {
            let hostile = format!("a\"}} 1\nb\\{}", "é".repeat(1000));
            out.counters(Metric::BridgeResets, [([hostile], 7)]);
        });
        let (head, value) = text.trim_end().rsplit_once('\n').expect("lines");
        assert_eq!(head.lines().count(), 2, "{text}");
        let label = value.strip_prefix("weir_bridge_resets_total{broker=\"").expect(value);
        let label = label.strip_suffix("\"} 7").expect(value);
        assert!(label.starts_with("a\\\"} 1\\nb\\\\é"), "{label}");
        assert!(label.len() <= LABEL_BYTES_MAX + 3, "{} bytes", label.len());
    }

    #[test]
    fn a_family_without_rows_is_announced() {
        let text = page(|out| {
            let none: [([&str; 1], u64); 0] = [];
            out.counters(Metric::BridgeResets, none);
        });
        assert!(text.starts_with("# HELP weir_bridge_resets_total "), "{text}");
        assert!(text.ends_with("# TYPE weir_bridge_resets_total counter\n"), "{text}");
    }

    #[test]
    #[should_panic(expected = "written twice")]
    fn a_metric_written_twice_is_a_defect() {
        page(|out| (0..2).for_each(|_| out.gauge(Metric::AgentConnected, 0.0)));
    }

    #[test]
    #[should_panic(expected = "of another kind")]
    fn a_gauge_written_as_a_counter_is_a_defect() {
        page(|out| out.counter(Metric::AgentConnected, 0));
    }

    #[test]
    #[should_panic(expected = "with other labels")]
    fn a_label_left_out_is_a_defect() {
        page(|out| out.gauge(Metric::BridgeSenders, 0.0));
    }
}
