//! The traces of events that are sent and not confirmed yet.

use std::collections::VecDeque;

use weir_events::{EventId, EventKind, Stamp};
use weir_service::traces::{Stage, Step, Tracer, at_micros};

use crate::backlog::Parcel;

/// Tells of each event from when it was taken until it is confirmed.
#[derive(Debug)]
pub(crate) struct Traced {
    tracer: Tracer,
    line: String,
    device: String,
    /// In the order of their numbers. Never more than may be unconfirmed.
    sent: VecDeque<(u64, EventKind, Step)>,
}

impl Traced {
    pub(crate) fn new(tracer: Tracer, line: &str, device: &str) -> Self {
        Self { tracer, line: line.to_owned(), device: device.to_owned(), sent: VecDeque::new() }
    }

    /// The step of the event that is sent under this number. The bridge gives it the same id.
    pub(crate) fn begin(&self, stamp: &Stamp, parcel: &Parcel) -> Option<(EventKind, Step)> {
        let &Parcel::Event { kind, taken_at, .. } = parcel else { return None };
        if !self.tracer.is_on() {
            return None;
        }
        let id = EventId::of_record(&[&self.line, &self.device], stamp.epoch, stamp.seq);
        Some((kind, self.tracer.begin(Stage::Send, id, None, at_micros(taken_at))))
    }

    /// The event is on its way; perhaps again.
    pub(crate) fn sent(&mut self, seq: u64, kind: EventKind, step: Step) {
        let is_new = self.sent.back().is_none_or(|(last, ..)| *last < seq);
        if step.is_traced() && is_new {
            self.sent.push_back((seq, kind, step));
        }
    }

    /// A gap is on its way for these numbers: whatever was sent under them before, nobody has it.
    pub(crate) fn lost(&mut self, first: u64, count: u64) {
        let lost = first..first.saturating_add(count);
        self.sent.retain(|(seq, ..)| !lost.contains(seq));
    }

    /// Everything up to this number is confirmed.
    pub(crate) fn confirmed<'a>(&mut self, through: u64, topic: impl Fn(EventKind) -> &'a str) {
        while let Some((seq, kind, step)) = self.sent.pop_front_if(|(seq, ..)| *seq <= through) {
            self.tracer.end(step, || {
                vec![
                    ("messaging.system", "mqtt".into()),
                    ("messaging.operation.type", "send".into()),
                    ("messaging.destination.name", topic(kind).into()),
                    ("weir.record.number", seq.cast_signed().into()),
                ]
            });
        }
    }
}

#[cfg(all(test, feature = "otlp"))]
mod tests {
    use weir_events::Epoch;
    use weir_service::traces::TracesConfig;

    use super::*;

    #[test]
    fn an_event_is_told_of_once_and_not_if_it_is_lost() {
        let nobody = TracesConfig { endpoint: "http://127.0.0.1:9".into(), ratio: 1.0 };
        let tracer = Tracer::new(&nobody, "weir-agent", "l/d").expect("valid");
        let mut traced = Traced::new(tracer, "l", "d");
        let send = |traced: &mut Traced, seq| {
            let stamp = Stamp { epoch: Epoch::from_bytes([1; 16]), seq, floor: 1 };
            let kind = EventKind::Measurement;
            let parcel = Parcel::Event { kind, payload: "x".into(), taken_at: 0 };
            let (kind, step) = traced.begin(&stamp, &parcel).expect("an event");
            traced.sent(seq, kind, step);
        };
        let open = |traced: &Traced| traced.sent.iter().map(|(seq, ..)| *seq).collect::<Vec<_>>();
        (1..=5).for_each(|seq| send(&mut traced, seq));
        // After a new connection they are sent again, but for two that have made room.
        traced.lost(1, 2);
        (3..=6).for_each(|seq| send(&mut traced, seq));
        assert_eq!(open(&traced), [3, 4, 5, 6]);
        traced.confirmed(4, |_| "weir/l/d/measurement");
        assert_eq!(open(&traced), [5, 6]);
    }
}
