//! The producer: every record ends in a delivery report, and the report says what to do next.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rdkafka::Message;
use rdkafka::error::{KafkaError as Cause, RDKafkaErrorCode as Code};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use tokio::sync::oneshot;
use weir_events::RowPosition;

use crate::context::ProducerCallbacks;
use crate::{KafkaConfig, KafkaError, NewRecord, Progress};

/// What the owner of a failed record should do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// The trouble passes: keep the record and try again.
    Retry,
    /// The record can never be written: set it aside as a dead letter.
    Reject,
    /// The client can no longer be used: hold everything, make a new one or stop.
    Fatal,
}

/// Why a record was not handed to the producer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The queue is full. Nothing was sent: wait and try the same record again, so that order is kept.
    #[error("queue the record: the queue is full")]
    QueueFull,
    /// The record was refused at once.
    #[error("queue the record")]
    Refused(#[source] DeliveryError),
}

/// Why a record was not delivered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("deliver the record: {cause}")]
pub struct DeliveryError {
    cause: String,
    code: Option<Code>,
}

impl DeliveryError {
    fn new(cause: &Cause) -> Self {
        Self { cause: cause.to_string(), code: cause.rdkafka_error_code() }
    }

    /// Whether Kafka does not know the topic.
    pub fn is_unknown_topic(&self) -> bool {
        matches!(self.code, Some(Code::UnknownTopic | Code::UnknownTopicOrPartition))
    }

    /// What to do with the record.
    pub fn class(&self) -> Class {
        match self.code {
            Some(
                Code::MessageSizeTooLarge
                | Code::InvalidMessageSize
                | Code::InvalidTimestamp
                | Code::InvalidRecord
                | Code::InvalidMessage
                | Code::InvalidTopic
                | Code::UnknownPartition,
            ) => Class::Reject,
            Some(
                Code::Fatal
                | Code::Fenced
                | Code::ProducerFenced
                | Code::InvalidProducerEpoch
                | Code::OutOfOrderSequenceNumber
                | Code::UnknownProducerId
                | Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::PurgeQueue
                | Code::PurgeInflight,
            )
            | None => Class::Fatal,
            Some(_) => Class::Retry,
        }
    }
}

type Report = Result<RowPosition, DeliveryError>;

/// The delivery report of one record, which always comes.
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Report>);

impl Future for Delivery {
    type Output = Report;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Report> {
        Pin::new(&mut self.0).poll(context).map(|report| {
            // The sender vanishes unused only if the producer itself is destroyed.
            report.unwrap_or_else(|_| {
                Err(DeliveryError { cause: "the producer was closed".to_owned(), code: None })
            })
        })
    }
}

impl ProducerContext for ProducerCallbacks {
    type DeliveryOpaque = Box<oneshot::Sender<Report>>;

    fn delivery(&self, result: &DeliveryResult<'_>, sender: Self::DeliveryOpaque) {
        let report = match result {
            Ok(message) => {
                let (partition, offset) = (message.partition(), message.offset());
                // Before the caller learns of it: the caller may then mark its source as done.
                self.progress.produced(message.topic(), partition, offset);
                Ok(RowPosition { partition, offset })
            }
            Err((cause, _)) => Err(DeliveryError::new(cause)),
        };
        // Nobody waits for a record whose sender was cancelled.
        drop(sender.send(report));
    }
}

/// A producer with its own polling thread. Cheap to clone.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<ThreadedProducer<ProducerCallbacks>>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("in_flight", &self.in_flight()).finish()
    }
}

impl Producer {
    /// Makes a producer. It connects in the background.
    ///
    /// # Errors
    /// If the settings are wrong.
    pub fn new(config: &KafkaConfig, progress: Progress) -> Result<Self, KafkaError> {
        let callbacks = ProducerCallbacks { progress, ..ProducerCallbacks::default() };
        let inner = config.producer()?.create_with_context(callbacks)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Hands a record over. Records of one partition are written in the order of these calls.
    ///
    /// # Errors
    /// If the queue is full or the record is refused at once.
    pub fn send(&self, record: &NewRecord<'_>) -> Result<Delivery, SendError> {
        let (sender, receiver) = oneshot::channel();
        let mut new = BaseRecord::with_opaque_to(record.topic, Box::new(sender));
        new.key = record.key;
        new.payload = record.payload;
        new.headers = record.owned_headers();
        new.timestamp = record.timestamp.map(weir_events::EventTime::as_millis);
        match self.inner.send(new) {
            Ok(()) => Ok(Delivery(receiver)),
            Err((Cause::MessageProduction(Code::QueueFull), _)) => Err(SendError::QueueFull),
            Err((cause, _)) => Err(SendError::Refused(DeliveryError::new(&cause))),
        }
    }

    /// Hands a record over, waiting while the queue is full.
    ///
    /// # Errors
    /// If the record is refused at once.
    pub async fn send_patiently(&self, record: &NewRecord<'_>) -> Result<Delivery, DeliveryError> {
        /// Long enough not to spin, short against the time in which a full queue drains.
        const PAUSE: Duration = Duration::from_millis(2);
        loop {
            match self.send(record) {
                Ok(delivery) => return Ok(delivery),
                Err(SendError::QueueFull) => tokio::time::sleep(PAUSE).await,
                Err(SendError::Refused(error)) => return Err(error),
            }
        }
    }

    /// How many records await their delivery report.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.inner.in_flight_count()).unwrap_or(0)
    }

    /// What librdkafka last said about its brokers.
    pub fn last_error(&self) -> String {
        self.inner.context().last_error.get()
    }
}
