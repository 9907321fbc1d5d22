//! How an agent is, for whoever operates it: readiness and metrics, from one snapshot of its counts.

use weir_events::GapReason;
use weir_service::health::{MetricsText, Vitals};
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
        records(out, &counts);
        messages(out, &counts);
        spool(out, &counts);
    }
}

/// `found + taken = acked + dropped + spool records`, at every scrape.
fn records(out: &mut MetricsText<'_>, counts: &Counts) {
    let mut count = |name, help, value| out.counter(name, help, value);
    count(
        "weir_agent_records_found_total",
        "Records of earlier runs that the spool held at the start",
        counts.found,
    );
    count("weir_agent_records_taken_total", "Records on disk durably", counts.taken);
    count(
        "weir_agent_records_acked_total",
        "Records that were confirmed and have left the spool",
        counts.acked,
    );
    count(
        "weir_agent_samples_oversize_total",
        "Samples above the size limit, which were not taken",
        counts.oversize,
    );
    out.counters(
        "weir_agent_records_dropped_total",
        "Taken records that will never be delivered; a gap is sent in their place",
        ["reason"],
        GapReason::ALL
            .into_iter()
            .zip(counts.dropped)
            .map(|(reason, count)| ([reason.as_str()], count)),
    );
}

fn messages(out: &mut MetricsText<'_>, counts: &Counts) {
    let mut count = |name, help, value| out.counter(name, help, value);
    count(
        "weir_agent_messages_sent_total",
        "Messages sent to the broker, repetitions included",
        counts.published,
    );
    count(
        "weir_agent_messages_resent_total",
        "Messages whose number had been sent before",
        counts.resent,
    );
    count("weir_agent_messages_acknowledged_total", "PUBACKs of the broker", counts.pubacks);
    count(
        "weir_agent_connections_total",
        "Connections that the broker accepted",
        counts.connections,
    );
    count(
        "weir_agent_stalls_total",
        "Times that nothing was confirmed for so long that a new connection was tried",
        counts.stalls,
    );
    count(
        "weir_agent_blocked_total",
        "Times that the sampler had to wait for room in the spool",
        counts.blocked,
    );
    let connected = f64::from(u8::from(counts.connected));
    out.gauge("weir_agent_connected", "Whether the broker is connected", connected);
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
fn spool(out: &mut MetricsText<'_>, counts: &Counts) {
    out.gauge("weir_agent_spool_records", "Records in the spool", counts.held as f64);
    out.gauge("weir_agent_spool_bytes", "Bytes of the spool on disk", counts.spool_bytes as f64);
    out.gauge(
        "weir_agent_unconfirmed_records",
        "Records that were sent and are not confirmed",
        counts.unconfirmed as f64,
    );
    let age = counts.oldest_at.map_or(0, |at| SystemClock.now().as_micros().saturating_sub(at));
    out.gauge(
        "weir_agent_spool_oldest_seconds",
        "Age of the oldest record in the spool; 0 if there is none",
        age.max(0) as f64 / 1e6,
    );
}
