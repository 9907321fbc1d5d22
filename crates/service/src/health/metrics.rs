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

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::Vitals;

/// What the page is, for the `Content-Type` header.
pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The longest label value. An MQTT topic level or a reason is far below it; what is not would come from
/// outside, and fill the memory of whoever keeps the series.
const LABEL_BYTES_MAX: usize = 128;

/// A page of metrics while it is written.
///
/// Names are written out as they appear on the page, so that they can be searched for: `weir_agent_...`, base
/// units (`_seconds`, `_bytes`), `_total` for counters alone. Debug builds panic at names that break these
/// rules, and at a name that is written twice.
#[derive(Debug)]
pub struct MetricsText<'a> {
    encoder: DescriptorEncoder<'a>,
    written: BTreeSet<&'static str>,
    result: fmt::Result,
}

impl<'a> MetricsText<'a> {
    fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder, written: BTreeSet::new(), result: Ok(()) }
    }

    /// A count that only rises.
    pub fn counter(&mut self, name: &'static str, help: &str, value: u64) {
        self.counters(name, help, [], [([""; 0], value)]);
    }

    /// Counts that only rise, one for each combination of label values. The sets of values should be closed
    /// (reasons, topics of the settings): each combination is a series that somebody keeps.
    pub fn counters<const N: usize, V: AsRef<str>>(
        &mut self,
        name: &'static str,
        help: &str,
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([V; N], u64)>,
    ) {
        debug_assert!(name.ends_with("_total"), "{name}: a counter's name ends with _total");
        // The library appends it again.
        let stem = name.strip_suffix("_total").unwrap_or(name);
        self.family(name, stem, help, MetricType::Counter, labels, rows, |mut encoder, value| {
            encoder.encode_counter(&value, None::<&Exemplar<NoLabelSet, u64>>)
        });
    }

    /// A value that rises and falls.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: f64) {
        self.gauges(name, help, [], [([""; 0], value)]);
    }

    /// Values that rise and fall, one for each combination of label values.
    pub fn gauges<const N: usize, V: AsRef<str>>(
        &mut self,
        name: &'static str,
        help: &str,
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([V; N], f64)>,
    ) {
        debug_assert!(!name.ends_with("_total"), "{name}: only a counter's name ends with _total");
        self.family(name, name, help, MetricType::Gauge, labels, rows, |mut encoder, value| {
            encoder.encode_gauge(&value)
        });
    }

    #[expect(clippy::too_many_arguments, reason = "private, and each is said once by its callers")]
    fn family<const N: usize, V: AsRef<str>, T>(
        &mut self,
        name: &'static str,
        stem: &str,
        help: &str,
        kind: MetricType,
        labels: [&str; N],
        rows: impl IntoIterator<Item = ([V; N], T)>,
        encode: impl Fn(MetricEncoder<'_>, T) -> fmt::Result,
    ) {
        debug_assert!(is_name(name), "{name}: no metric's name");
        let is_new = self.written.insert(name);
        debug_assert!(is_new, "{name}: written twice");
        let write = || {
            let mut family = self.encoder.encode_descriptor(stem, help, None, kind)?;
            for (values, value) in rows {
                let set: [(&str, &str); N] =
                    std::array::from_fn(|i| (labels[i], capped(values[i].as_ref())));
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

/// Ours begin with `weir_`; the rest is what all scrapers accept.
fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.starts_with("weir_") && name.bytes().all(is_word)
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
            out.counter("weir_test_records_acked_total", "Records with \\ and\nbreak.", u64::MAX);
            out.gauge("weir_test_spool_bytes", "Bytes.", 1.5e9);
            let rows = [(["decode", "a"], 1), (["late", "b"], 0)];
            out.counters("weir_test_dropped_total", "Drops.", ["reason", "topic"], rows);
            out.gauges("weir_test_lag_seconds", "Lag.", ["topic"], [(["a"], -0.25)]);
        });
        let expected = "\
# HELP weir_test_records_acked_total Records with \\\\ and\\nbreak.
# TYPE weir_test_records_acked_total counter
weir_test_records_acked_total 18446744073709551615
# HELP weir_test_spool_bytes Bytes.
# TYPE weir_test_spool_bytes gauge
weir_test_spool_bytes 1500000000.0
# HELP weir_test_dropped_total Drops.
# TYPE weir_test_dropped_total counter
weir_test_dropped_total{reason=\"decode\",topic=\"a\"} 1
weir_test_dropped_total{reason=\"late\",topic=\"b\"} 0
# HELP weir_test_lag_seconds Lag.
# TYPE weir_test_lag_seconds gauge
weir_test_lag_seconds{topic=\"a\"} -0.25
";
        assert_eq!(text, expected);
    }

    /// Strangers' text cannot end a value, a label or a line, nor be long.
    #[test]
    fn label_values_are_escaped_and_capped() {
        let text = page(|out| {
            let hostile = format!("a\"}} 1\nb\\{}", "é".repeat(1000));
            out.counters("weir_test_total", "Test.", ["topic"], [([hostile], 7)]);
        });
        let (head, value) = text.trim_end().rsplit_once('\n').expect("lines");
        assert_eq!(head.lines().count(), 2, "{text}");
        let label = value.strip_prefix("weir_test_total{topic=\"").expect(value);
        let label = label.strip_suffix("\"} 7").expect(value);
        assert!(label.starts_with("a\\\"} 1\\nb\\\\é"), "{label}");
        assert!(label.len() <= LABEL_BYTES_MAX + 3, "{} bytes", label.len());
    }

    #[test]
    fn a_family_without_rows_is_announced() {
        let text = page(|out| {
            let none: [([&str; 1], u64); 0] = [];
            out.counters("weir_test_total", "Test.", ["topic"], none);
        });
        assert_eq!(text, "# HELP weir_test_total Test.\n# TYPE weir_test_total counter\n");
    }

    #[test]
    #[should_panic(expected = "written twice")]
    fn a_name_written_twice_is_a_defect() {
        page(|out| (0..2).for_each(|_| out.gauge("weir_test", "Test.", 0.0)));
    }

    #[test]
    #[should_panic(expected = "ends with _total")]
    fn a_counter_without_total_is_a_defect() {
        page(|out| out.counter("weir_test", "Test.", 0));
    }
}
