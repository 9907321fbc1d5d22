//! The MQTT library as it comes, to measure against: what our guarantees cost is a ratio to this.
//!
//! Nothing here resends, orders or bounds anything. Not for production.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::v5::{AsyncClient, Event};
use tokio::time::Instant;

use crate::connector::{Connector, Session};
use crate::error::LinkError;
use crate::publisher::Message;

/// Publishes so many messages at least once (QoS 1), as fast as the broker acknowledges. `message` makes them, numbered
/// from 0. Returns the time from CONNACK to the last PUBACK.
///
/// # Errors
/// The first error of the connection.
pub async fn publish(
    connector: &Connector,
    message: impl Fn(u64) -> Message<'static> + Send + 'static,
    count: u64,
) -> Result<Duration, LinkError> {
    let window = usize::from(connector.config().inflight);
    let (client, mut event_loop) = AsyncClient::new(connector.options(Session::Clean), window);
    let publishing = tokio::spawn(async move {
        for number in 0..count {
            let Message { topic, payload, properties: user_properties } = message(number);
            let properties = PublishProperties { user_properties, ..PublishProperties::default() };
            let qos = QoS::AtLeastOnce;
            let sent = client.publish_with_properties(topic, qos, false, payload, properties).await;
            if sent.is_err() {
                return None;
            }
        }
        // Dropping the client would end the connection.
        Some(client)
    });
    let (mut began, mut open) = (Instant::now(), count);
    while open > 0 {
        match event_loop.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => began = Instant::now(),
            Event::Incoming(Packet::PubAck(_)) => open -= 1,
            _ => {}
        }
    }
    let took = began.elapsed();
    drop(publishing.await);
    Ok(took)
}

/// Receives so many messages, acknowledging each as it comes. `subscribed` is called once they are not missed. Returns the
/// time from the first to the last.
///
/// # Errors
/// The first error of the connection.
pub async fn receive(
    connector: &Connector,
    filter: &str,
    count: u64,
    subscribed: impl FnOnce(),
) -> Result<Duration, LinkError> {
    let mut options = connector.options(Session::Clean);
    options.set_manual_acks(false);
    let (client, mut event_loop) = AsyncClient::new(options, 10);
    let (mut subscribed, mut began, mut open) = (Some(subscribed), None, count);
    while open > 0 {
        match event_loop.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => {
                let asked = client.try_subscribe(filter, QoS::AtLeastOnce);
                asked.map_err(|_| LinkError::Protocol("the filter is not valid"))?;
            }
            Event::Incoming(Packet::SubAck(_)) => {
                if let Some(subscribed) = subscribed.take() {
                    subscribed();
                }
            }
            Event::Incoming(Packet::Publish(_)) => {
                began.get_or_insert_with(Instant::now);
                open -= 1;
            }
            _ => {}
        }
    }
    Ok(began.map_or(Duration::ZERO, |began| began.elapsed()))
}
