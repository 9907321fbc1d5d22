//! Everything that is published to a broker, for the tests that look at it.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use weir_embedded::mqtt::EmbeddedMqtt;
use weir_mqtt::{Connector, MqttConfig, Subscriber, SubscriberEvent};

/// Longer than anything here takes on a loaded machine; only a failing test reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A subscriber to everything. Returns once nothing can be missed.
pub(crate) async fn subscribe(
    broker: &EmbeddedMqtt,
    name: &str,
) -> mpsc::Receiver<(String, Bytes)> {
    let address = broker.address();
    let config = MqttConfig::new(&address.ip().to_string(), address.port(), name);
    let connector = Connector::new(&config).expect("valid settings");
    let mut subscriber = Subscriber::new(&connector, &["weir/#"], 0);
    let acks = subscriber.acks();
    let (sender, receiver) = mpsc::channel(100_000);
    let (ready, subscribed) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut ready = Some(ready);
        loop {
            match subscriber.next().await {
                SubscriberEvent::Message(message) => {
                    acks.ack(message.token);
                    if sender.send((message.topic, message.payload)).await.is_err() {
                        return;
                    }
                }
                SubscriberEvent::Subscribed { .. } => {
                    ready.take().map(|ready| ready.send(()));
                }
                _ => {}
            }
        }
    });
    timeout(PATIENCE, subscribed).await.expect("in time").expect("subscribed");
    receiver
}
