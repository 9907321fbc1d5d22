//! From the sampler through the gate to the spool.

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use weir_service::EventClock;

use crate::gate::Gate;
use crate::progress::Progress;
use crate::sampler::{Event, SampleError, Sampler};

/// Passes events on until the sampler has no more or nobody takes them.
///
/// The size limit comes first, before anything counts as taken. The clock is moved just before the event
/// leaves. The event counts as admitted before the gate is asked again, so a gate that compares counts
/// sees every event that went through it.
pub(crate) async fn feed<S: Sampler, G: Gate>(
    mut sampler: S,
    mut gate: G,
    clock: Option<EventClock>,
    bytes_max: usize,
    progress: Progress,
    events: mpsc::Sender<Event>,
) -> Result<(), SampleError> {
    while let Some(event) = sampler.next().await.transpose()? {
        let bytes = event.payload.len();
        if bytes > bytes_max {
            progress.update(|counts| counts.oversize += 1);
            tracing::warn!(bytes, bytes_max, at = %event.at, "an event is too large and is not taken");
            continue;
        }
        gate.admit(&event).await;
        // Room first: what has been counted is on its way, whenever a shutdown comes.
        let Ok(room) = events.reserve().await else { break };
        if let Some(clock) = &clock {
            clock.advance_to(event.at);
        }
        progress.update(|counts| counts.admitted += 1);
        room.send(event);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::Poll;

    use bytes::Bytes;
    use weir_events::{EventKind, EventTime};
    use weir_service::Clock;

    use crate::sampler::{Position, at_hand};

    /// Notes how many events were admitted whenever it is asked.
    struct Witness(Progress, Vec<u64>);

    impl Gate for &mut Witness {
        async fn admit(&mut self, _next: &Event) {
            let admitted = self.0.counts().admitted;
            self.1.push(admitted);
        }
    }

    /// A shutdown stops polling: an event that had counted while it waited for room was never sent.
    #[tokio::test]
    async fn only_what_has_room_counts_and_before_the_gate_is_asked_again() {
        let (kind, payload) = (EventKind::Measurement, Bytes::new());
        let at = |second: i64| EventTime::from_micros(second * 1_000_000);
        let position = Position::default();
        let events = (1..=3).map(move |second| {
            Ok(Event { kind, payload: payload.clone(), at: at(second), position })
        });
        let progress = Progress::default();
        let clock = EventClock::new(EventTime::MIN);
        let mut witness = Witness(progress.clone(), Vec::new());
        let (sender, mut sent) = mpsc::channel(1);
        {
            let moved = Some(clock.clone());
            let mut feed =
                pin!(feed(at_hand(events), &mut witness, moved, 10, progress.clone(), sender));
            let polled = std::future::poll_fn(|context| Poll::Ready(feed.as_mut().poll(context)));
            assert!(polled.await.is_pending(), "the second event has no room");
            assert_eq!(progress.counts().admitted, 1);
            assert_eq!(clock.now(), at(1));
        }
        assert!(sent.recv().await.is_some());
        assert!(sent.recv().await.is_none(), "the feed is gone with the second event");
        assert_eq!(witness.1, [0, 1]);
    }
}
