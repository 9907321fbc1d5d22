//! How a bridge is, for whoever operates it: readiness and metrics, from one snapshot of its counters.

use std::sync::Arc;

use weir_events::Reason;
use weir_service::health::{Metric, MetricsText, Vitals};

use crate::counters::{BridgeCounters, Snapshot};

/// Describes a run by its counters.
#[derive(Debug)]
pub struct BridgeVitals(pub Arc<BridgeCounters>);

type Rows = Vec<(Arc<str>, Snapshot)>;

impl Vitals for BridgeVitals {
    fn ready(&self) -> Result<(), String> {
        let brokers = self.0.brokers();
        if brokers.is_empty() {
            return Err("not connected to the MQTT broker".into());
        }
        let away: Vec<&str> = brokers
            .iter()
            .filter(|(_, snapshot)| snapshot.connected == 0)
            .map(|(name, _)| &**name)
            .collect();
        if away.is_empty() {
            return Ok(());
        }
        Err(format!("not connected to the MQTT broker: {}", away.join(", ")))
    }

    fn metrics(&self, out: &mut MetricsText<'_>) {
        let rows = self.0.brokers();
        out.build("bridge", env!("CARGO_PKG_VERSION"));
        messages(out, &rows);
        state(out, &rows);
    }
}

/// `received = forwarded + dead-lettered + repeated + out of order + returned + in flight`, at every scrape.
fn messages(out: &mut MetricsText<'_>, rows: &Rows) {
    let mut count = |metric, value: fn(&Snapshot) -> u64| {
        let values = rows.iter().map(|(broker, snapshot)| ([&**broker], value(snapshot)));
        out.counters(metric, values);
    };
    count(Metric::BridgeMessagesReceived, |snapshot| snapshot.messages.received);
    count(Metric::BridgeMessagesForwarded, |snapshot| snapshot.messages.forwarded);
    count(Metric::BridgeMessagesRepeated, |snapshot| snapshot.messages.repeated);
    count(Metric::BridgeMessagesOutOfOrder, |snapshot| snapshot.messages.out_of_order);
    count(Metric::BridgeMessagesReturned, |snapshot| snapshot.messages.returned);
    count(Metric::BridgeMessagesAcknowledged, |snapshot| snapshot.messages.acknowledged);
    count(Metric::BridgeConfirmations, |snapshot| snapshot.confirmations);
    count(Metric::BridgeIdConflicts, |snapshot| snapshot.conflicts);
    count(Metric::BridgeResets, |snapshot| snapshot.resets);
    count(Metric::BridgeSubscriptions, |snapshot| snapshot.subscriptions);
    let dead_letters = rows.iter().flat_map(|(broker, snapshot)| {
        Reason::ALL
            .into_iter()
            .map(move |reason| ([&**broker, reason.as_str()], snapshot.dead_lettered_for(reason)))
    });
    out.counters(Metric::BridgeMessagesDeadLettered, dead_letters);
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
fn state(out: &mut MetricsText<'_>, rows: &Rows) {
    let mut gauge = |metric, value: fn(&Snapshot) -> f64| {
        let values = rows.iter().map(|(broker, snapshot)| ([&**broker], value(snapshot)));
        out.gauges(metric, values);
    };
    gauge(Metric::BridgeConnected, |snapshot| snapshot.connected as f64);
    gauge(Metric::BridgeMessagesInFlight, |snapshot| snapshot.messages.in_flight as f64);
    gauge(Metric::BridgeInFlightBytes, |snapshot| snapshot.in_flight_bytes as f64);
    gauge(Metric::BridgeOldestUnacknowledged, |snapshot| {
        snapshot.oldest_unacknowledged.unwrap_or_default().as_secs_f64()
    });
    gauge(Metric::BridgeSenders, |snapshot| snapshot.senders as f64);
}
