//! How a bridge is, for whoever operates it: readiness and metrics, from one snapshot of its counters.

use std::sync::Arc;

use weir_events::Reason;
use weir_service::health::{MetricsText, Vitals};

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
        messages(out, &rows);
        state(out, &rows);
    }
}

/// `received = forwarded + dead-lettered + repeated + out of order + returned + in flight`, at every scrape.
fn messages(out: &mut MetricsText<'_>, rows: &Rows) {
    let mut count = |name, help, value: fn(&Snapshot) -> u64| {
        let values = rows.iter().map(|(broker, snapshot)| ([&**broker], value(snapshot)));
        out.counters(name, help, ["broker"], values);
    };
    count(
        "weir_bridge_messages_received_total",
        "Messages received, those included that the MQTT broker sent again",
        |snapshot| snapshot.messages.received,
    );
    count("weir_bridge_messages_forwarded_total", "Events that are in Kafka", |snapshot| {
        snapshot.messages.forwarded
    });
    count(
        "weir_bridge_messages_repeated_total",
        "Messages that had come before: nothing was written for them",
        |snapshot| snapshot.messages.repeated,
    );
    count(
        "weir_bridge_messages_out_of_order_total",
        "Messages that came before others that were lost on the way; their agents send all of them again",
        |snapshot| snapshot.messages.out_of_order,
    );
    count(
        "weir_bridge_messages_returned_total",
        "Messages left to the MQTT broker because Kafka did not take them in time",
        |snapshot| snapshot.messages.returned,
    );
    count(
        "weir_bridge_messages_acknowledged_total",
        "Messages acknowledged to the MQTT broker",
        |snapshot| snapshot.messages.acknowledged,
    );
    count("weir_bridge_confirmations_total", "Confirmations sent to agents", |snapshot| {
        snapshot.confirmations
    });
    count(
        "weir_bridge_id_conflicts_total",
        "Messages whose number another one had: two machines run with one spool",
        |snapshot| snapshot.conflicts,
    );
    count(
        "weir_bridge_resets_total",
        "New starts because Kafka did not take a record in time",
        |snapshot| snapshot.resets,
    );
    count(
        "weir_bridge_subscriptions_total",
        "Connections on which the MQTT broker has confirmed the subscription",
        |snapshot| snapshot.subscriptions,
    );
    let dead_letters = rows.iter().flat_map(|(broker, snapshot)| {
        Reason::ALL
            .into_iter()
            .map(move |reason| ([&**broker, reason.as_str()], snapshot.dead_lettered_for(reason)))
    });
    out.counters(
        "weir_bridge_messages_dead_lettered_total",
        "Messages whose dead letter is in Kafka",
        ["broker", "reason"],
        dead_letters,
    );
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
fn state(out: &mut MetricsText<'_>, rows: &Rows) {
    let mut gauge = |name, help, value: fn(&Snapshot) -> f64| {
        let values = rows.iter().map(|(broker, snapshot)| ([&**broker], value(snapshot)));
        out.gauges(name, help, ["broker"], values);
    };
    gauge(
        "weir_bridge_connected",
        "Whether the MQTT broker holds the subscription now",
        |snapshot| snapshot.connected as f64,
    );
    gauge("weir_bridge_messages_in_flight", "Messages on their way to Kafka", |snapshot| {
        snapshot.messages.in_flight as f64
    });
    gauge("weir_bridge_in_flight_bytes", "Memory of what is unacknowledged", |snapshot| {
        snapshot.in_flight_bytes as f64
    });
    gauge(
        "weir_bridge_oldest_unacknowledged_seconds",
        "How long the oldest unacknowledged message has been here; 0 if there is none",
        |snapshot| snapshot.oldest_unacknowledged.unwrap_or_default().as_secs_f64(),
    );
    gauge("weir_bridge_senders", "Agents whose numbers are remembered", |snapshot| {
        snapshot.senders as f64
    });
}
