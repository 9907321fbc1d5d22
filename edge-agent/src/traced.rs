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
