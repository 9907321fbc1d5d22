//! Whether a client is there, as a retained message that others can watch: "birth" and last will.
//!
//! The broker keeps the last message of the topic and hands it to whoever subscribes later. When the client is cut
//! off, the broker publishes the second text in its place.

use bytes::Bytes;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, LastWillProperties};

/// How long the broker keeps the last will back. Whoever comes again meanwhile, under the same client id, was never
/// gone; so the will of a connection that was taken over does not follow the birth of its successor.
const DELAY_SECONDS: u32 = 2;

/// Where and how a client's presence is told. Both payloads are retained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presence {
    /// The topic.
    pub topic: String,
    /// What is there while the client is.
    pub here: Bytes,
    /// What is there when it has gone, and when it was cut off.
    pub gone: Bytes,
}

impl Presence {
    pub(crate) fn will(&self) -> LastWill {
        let delay = LastWillProperties {
            delay_interval: Some(DELAY_SECONDS),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        LastWill::new(&self.topic, self.gone.to_vec(), QoS::AtLeastOnce, true, Some(delay))
    }

    pub(crate) fn enter(&self, client: &AsyncClient) {
        publish(client, &self.topic, self.here.clone(), true);
    }

    /// A DISCONNECT makes the broker forget the will.
    pub(crate) fn leave(&self, client: &AsyncClient) {
        publish(client, &self.topic, self.gone.clone(), true);
    }
}

/// At most once. Returns false if there is no room among what waits to be sent, or the connection is gone.
pub(crate) fn publish(client: &AsyncClient, topic: &str, payload: Bytes, retain: bool) -> bool {
    client.try_publish(topic, QoS::AtMostOnce, retain, payload).is_ok()
}
