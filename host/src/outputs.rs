//! What a role writes for a batch: all of it is delivered before the batch counts as done.

use weir_events::{EventId, Key, Rejection, TopicNames, TraceContext, headers};
use weir_kafka::{Delivery, NewRecord, Producer, Record};

use crate::counters::Letter;
use crate::roles::id_of;

/// The records written for one batch.
#[derive(Debug)]
pub(crate) struct Outputs<'a> {
    producer: &'a Producer,
    deliveries: Vec<Delivery>,
    letters: Vec<Letter>,
}

impl<'a> Outputs<'a> {
    pub(crate) fn new(producer: &'a Producer) -> Self {
        Self { producer, deliveries: Vec::new(), letters: Vec::new() }
    }

    /// Writes a result with the id of the event that it is computed from, and the event's trace.
    pub(crate) async fn event(
        &mut self,
        topic: &str,
        key: &Key,
        id: EventId,
        payload: &[u8],
        trace: Option<TraceContext>,
    ) -> anyhow::Result<()> {
        let (id, trace) = (id.to_string(), trace.map(|trace| trace.to_string()));
        let trace = trace.as_ref().map(|trace| (headers::TRACE, trace.as_bytes()));
        let named: Vec<_> = [(headers::ID, id.as_bytes())].into_iter().chain(trace).collect();
        self.write(topic, Some(key.as_str().as_bytes()), payload, &named).await
    }

    /// Writes a result that belongs to no single event.
    pub(crate) async fn result(
        &mut self,
        topic: &str,
        key: &str,
        payload: &[u8],
    ) -> anyhow::Result<()> {
        self.write(topic, Some(key.as_bytes()), payload, &[]).await
    }

    /// Sets a record aside that cannot be read, with the id of its event, under which it can be sent again.
    pub(crate) async fn dead_letter(
        &mut self,
        record: &Record,
        rejection: &Rejection,
    ) -> anyhow::Result<()> {
        let place = record.position;
        let source = format!("{}/{}/{}", record.topic, place.partition, place.offset);
        tracing::debug!(source, reason = %rejection.reason, "record is a dead letter");
        let mut owned = rejection.headers(source, record.payload());
        owned.push((headers::ID, id_of(record).to_string()));
        let headers: Vec<_> = owned.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let kept = record.payload().len().min(Rejection::PAYLOAD_BYTES_MAX);
        let topic = TopicNames::dead_letter(&record.topic);
        self.letters.push((record.topic.clone(), rejection.reason));
        self.write(&topic, record.key.as_deref(), &record.payload()[..kept], &headers).await
    }

    async fn write(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        payload: &[u8],
        headers: &[(&str, &[u8])],
    ) -> anyhow::Result<()> {
        let record = NewRecord { topic, key, payload: Some(payload), headers, timestamp: None };
        self.deliveries.push(self.producer.send_patiently(&record).await?);
        Ok(())
    }

    /// Waits until everything is delivered. Returns the dead letters among it.
    ///
    /// # Errors
    /// If something is not. The batch is then not done: it is read again.
    pub(crate) async fn settle(self) -> anyhow::Result<Vec<Letter>> {
        for delivery in self.deliveries {
            delivery.await?;
        }
        Ok(self.letters)
    }
}
