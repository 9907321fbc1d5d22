//! Records as they are read and written.

use std::sync::Arc;

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};
use weir_events::{EventTime, RowPosition};

/// A partition of a topic.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Partition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

/// A record that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its topic.
    pub topic: Arc<str>,
    /// Where it lies in the topic.
    pub position: RowPosition,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its payload; none for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Kafka's timestamp: when the record was written, not when the event happened.
    pub timestamp: EventTime,
    headers: Vec<(Box<str>, Box<[u8]>)>,
}

impl Record {
    /// The value of a header, if it is there and is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| &**header == name)?;
        std::str::from_utf8(value).ok()
    }

    /// All headers, in the order in which they were written.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The payload, empty for a tombstone.
    pub fn payload(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or_default()
    }

    /// The key as text, if it is there and is UTF-8.
    pub fn key_text(&self) -> Option<&str> {
        std::str::from_utf8(self.key.as_deref()?).ok()
    }

    pub(crate) fn from_message(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            let owned = |header: Header<'_, &[u8]>| {
                (header.key.into(), header.value.unwrap_or_default().into())
            };
            headers.iter().map(owned).collect()
        });
        let millis = message.timestamp().to_millis().unwrap_or(0);
        Self {
            topic,
            position: RowPosition { partition: message.partition(), offset: message.offset() },
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            timestamp: EventTime::from_micros(millis.saturating_mul(1_000)),
            headers,
        }
    }
}

/// A record to write. The partition follows from the key.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its payload; none for a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Names and values of its headers.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Kafka's timestamp; none for the time of writing.
    pub timestamp: Option<EventTime>,
}

impl NewRecord<'_> {
    pub(crate) fn owned_headers(&self) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for &(key, value) in self.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        Some(headers)
    }
}
