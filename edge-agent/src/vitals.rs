//! How an agent is, for whoever operates it: readiness and metrics, from one snapshot of its counts.

use weir_events::GapReason;
use weir_service::health::{Metric, MetricsText, Vitals};
use weir_service::{Clock, SystemClock};

use crate::progress::{Counts, Progress};

/// Describes a run by its [`Progress`].
#[derive(Debug)]
pub struct AgentVitals(pub Progress);

impl Vitals for AgentVitals {
    fn ready(&self) -> Result<(), String> {
        if self.0.counts().connected {
            Ok(())
        } else {
            Err("not connected to the MQTT broker".into())
        }
    }

    fn metrics(&self, out: &mut MetricsText<'_>) {
        let counts = self.0.counts();
        out.build("agent", env!("CARGO_PKG_VERSION"));
        records(out, &counts);
        messages(out, &counts);
        spool(out, &counts);
    }
}

/// `found + taken = acked + dropped + spool records`, at every scrape.
fn records(out: &mut MetricsText<'_>, counts: &Counts) {
    let mut count = |metric, value| out.counter(metric, value);
    count(Metric::AgentRecordsFound, counts.found);
    count(Metric::AgentRecordsTaken, counts.taken);
    count(Metric::AgentRecordsAcked, counts.acked);
    count(Metric::AgentSamplesOversize, counts.oversize);
    out.counters(
        Metric::AgentRecordsDropped,
        GapReason::ALL
            .into_iter()
            .zip(counts.dropped)
            .map(|(reason, count)| ([reason.as_str()], count)),
    );
}

fn messages(out: &mut MetricsText<'_>, counts: &Counts) {
    let mut count = |metric, value| out.counter(metric, value);
    count(Metric::AgentMessagesSent, counts.published);
    count(Metric::AgentMessagesResent, counts.resent);
    count(Metric::AgentMessagesAcknowledged, counts.pubacks);
    count(Metric::AgentConnections, counts.connections);
    count(Metric::AgentStalls, counts.stalls);
    count(Metric::AgentBlocked, counts.blocked);
    let connected = f64::from(u8::from(counts.connected));
    out.gauge(Metric::AgentConnected, connected);
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
fn spool(out: &mut MetricsText<'_>, counts: &Counts) {
    out.gauge(Metric::AgentSpoolRecords, counts.held as f64);
    out.gauge(Metric::AgentSpoolBytes, counts.spool_bytes as f64);
    out.gauge(Metric::AgentUnconfirmedRecords, counts.unconfirmed as f64);
    let age = counts.oldest_at.map_or(0, |at| SystemClock.now().as_micros().saturating_sub(at));
    out.gauge(Metric::AgentSpoolOldest, age.max(0) as f64 / 1e6);
}
