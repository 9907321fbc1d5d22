//! The way into Kafka: records in order in, one report for each out.
//!
//! A record that finds librdkafka's queue full waits here, and those after it behind it, so that order
//! is kept. The relay's window bounds how many records there are.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use weir_events::EventId;
use weir_kafka::{
    Delivery, DeliveryError, KafkaConfig, KafkaError, NewRecord, Producer, Progress, SendError,
};
use weir_service::traces::Step;

use crate::ledger::Claim;
use crate::relay::Ticket;
use crate::transform::Record;

/// How long a full queue is left alone: long against a spin, short against the time in which it drains.
const QUEUE_PAUSE: Duration = Duration::from_millis(2);

/// A message on its way, with what a dead letter would need if Kafka refuses its record.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) ticket: Ticket,
    pub(crate) mqtt_topic: String,
    /// The payload as it was received; none for a dead letter, which never becomes another one.
    pub(crate) payload: Bytes,
    /// The id of an event that its sender has numbered.
    pub(crate) id: Option<EventId>,
    /// The numbers of its sender that it stands for.
    pub(crate) claim: Option<Claim>,
    /// What is told of it to whoever traces events.
    pub(crate) step: Step,
    /// Whether its Kafka topic depends on the MQTT topic.
    pub(crate) is_topic_templated: bool,
}

/// What became of a parcel.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) parcel: Parcel,
    pub(crate) result: Result<(), DeliveryError>,
}

/// A producer and the records that it has not reported yet.
#[derive(Debug)]
pub(crate) struct Outlet {
    producer: Producer,
    unsent: VecDeque<(Parcel, Record)>,
    sent: VecDeque<(Parcel, Delivery)>,
}

impl Outlet {
    pub(crate) fn new(config: &KafkaConfig, progress: Progress) -> Result<Self, KafkaError> {
        let producer = Producer::new(config, progress)?;
        Ok(Self { producer, unsent: VecDeque::new(), sent: VecDeque::new() })
    }

    /// Takes a record. It is sent by [`Outlet::report`].
    pub(crate) fn push(&mut self, parcel: Parcel, record: Record) {
        self.unsent.push_back((parcel, record));
    }

    /// Sends what can be sent and waits for the next report; for ever if nothing is under way. Cancel-safe.
    pub(crate) async fn report(&mut self) -> Report {
        loop {
            if let Some(refused) = self.send() {
                return refused;
            }
            let retry = tokio::time::sleep(QUEUE_PAUSE);
            match (self.sent.front_mut(), self.unsent.is_empty()) {
                (None, true) => std::future::pending().await,
                (None, false) => retry.await,
                (Some((_, delivery)), true) => {
                    let result = delivery.await;
                    return self.reported(result.map(drop));
                }
                (Some((_, delivery)), false) => tokio::select! {
                    result = delivery => return self.reported(result.map(drop)),
                    () = retry => {}
                },
            }
        }
    }

    /// The next report, if it has come.
    pub(crate) fn ready_report(&mut self) -> Option<Report> {
        if let Some(refused) = self.send() {
            return Some(refused);
        }
        let (_, delivery) = self.sent.front_mut()?;
        // Nobody waits here: `report` leaves its own waker when it does.
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(delivery).poll(&mut context) {
            Poll::Ready(result) => Some(self.reported(result.map(drop))),
            Poll::Pending => None,
        }
    }

    /// What librdkafka last said about its brokers.
    pub(crate) fn last_error(&self) -> String {
        self.producer.last_error()
    }

    /// Throws the producer away, with everything it has not delivered.
    pub(crate) async fn discard(self) {
        // Its end waits for librdkafka's threads.
        if tokio::task::spawn_blocking(move || drop(self)).await.is_err() {
            tracing::warn!("the end of a Kafka producer panicked");
        }
    }

    /// Hands over until the queue is full; a record refused at once ends it with its report.
    fn send(&mut self) -> Option<Report> {
        while let Some((parcel, record)) = self.unsent.pop_front() {
            let headers: Vec<_> =
                record.headers.iter().map(|(name, text)| (&**name, text.as_bytes())).collect();
            let new = NewRecord {
                topic: &record.topic,
                key: record.key.as_ref().map(|key| key.as_str().as_bytes()),
                payload: Some(&record.payload),
                headers: &headers,
                timestamp: None,
            };
            match self.producer.send(&new) {
                Ok(delivery) => self.sent.push_back((parcel, delivery)),
                Err(SendError::QueueFull) => {
                    self.unsent.push_front((parcel, record));
                    return None;
                }
                Err(SendError::Refused(error)) => {
                    return Some(Report { parcel, result: Err(error) });
                }
            }
        }
        None
    }

    fn reported(&mut self, result: Result<(), DeliveryError>) -> Report {
        let (parcel, _) = self.sent.pop_front().expect("the report is the front's");
        Report { parcel, result }
    }
}
