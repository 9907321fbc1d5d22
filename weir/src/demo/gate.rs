//! When the machines may send the next event.

use std::sync::Arc;

use weir_agent::{Event, Gate};
use weir_bridge::BridgeCounters;
use weir_kafka::Progress;

/// Records that the slowest reader may be behind: the embedded Kafka broker keeps 5 MiB a partition, and
/// ordinary records are below 1 KiB.
const BACKLOG_MAX: u64 = 2_000;
/// Events whose payload is larger than this go alone: each is waited for.
const ORDINARY_BYTES: usize = 1_024;
/// How often that is looked at, in events.
const LOOK_EVERY: u64 = 50;

/// What has been sent and what has come of it, across the services of this process.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) sent: weir_agent::Progress,
    pub(crate) bridge: Arc<BridgeCounters>,
    pub(crate) kafka: Progress,
}

impl Flow {
    /// Events that are sent and not yet in Kafka. Repetitions, which MQTT may deliver and the bridge does not know,
    /// come on top of what was taken: with them in sight everything that was received must have gone through.
    fn on_the_way(&self) -> u64 {
        let counts = self.sent.counts();
        let bridge = self.bridge.snapshot();
        let through = bridge.messages.forwarded + bridge.dead_lettered();
        let sent = counts.admitted - counts.dropped();
        let received = through + bridge.messages.in_flight;
        sent.max(received).saturating_sub(through) + counts.outstanding()
    }

    /// Whether nothing is under way anywhere.
    pub(crate) fn is_settled(&self) -> bool {
        self.on_the_way() == 0 && self.kafka.is_settled()
    }

    /// Waits until every event that was sent has had all its consequences.
    pub(crate) async fn settled(&self) {
        let mut sent = self.sent.watch();
        // The sender lives in self: waiting cannot fail.
        drop(sent.wait_for(|counts| counts.outstanding() == 0).await);
        self.kafka.wait_until(|_| self.is_settled()).await;
    }

    /// What still is to be done, for a message.
    pub(crate) fn backlog(&self) -> String {
        format!(
            "{} events are between the machines and Kafka, the slowest reader is {} records behind",
            self.on_the_way(),
            self.kafka.lag_max()
        )
    }
}

/// Lets an event go when all is settled, or when no reader is far behind.
#[derive(Debug)]
pub(crate) struct FlowGate {
    flow: Flow,
    lockstep: bool,
    admitted: u64,
}

impl FlowGate {
    pub(crate) fn new(flow: Flow, lockstep: bool) -> Self {
        Self { flow, lockstep, admitted: 0 }
    }
}

impl Gate for FlowGate {
    async fn admit(&mut self, next: &Event) {
        if self.lockstep || next.payload.len() > ORDINARY_BYTES {
            self.flow.settled().await;
        } else if self.admitted.is_multiple_of(LOOK_EVERY) {
            let flow = &self.flow;
            let near = |kafka: &Progress| flow.on_the_way() + kafka.lag_max() < BACKLOG_MAX;
            flow.kafka.wait_until(near).await;
        }
        self.admitted += 1;
    }
}
