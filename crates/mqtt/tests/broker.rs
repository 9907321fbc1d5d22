//! Subscriber and publisher against a real broker.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use weir_embedded::mqtt::EmbeddedMqtt;
use weir_embedded::proxy::Proxy;
use weir_mqtt::{
    Connector, Incoming, LinkError, Message, MqttConfig, Opening, Presence, PublishError,
    Publisher, PublisherEvent, Subscriber, SubscriberEvent,
};

/// Longer than anything here takes on a loaded machine; only a failing test reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(port: u16, client_id: &str) -> MqttConfig {
    MqttConfig {
        reconnect_min: Duration::from_millis(1),
        reconnect_max: Duration::from_millis(10),
        ..MqttConfig::new("127.0.0.1", port, client_id)
    }
}

fn connector(config: &MqttConfig) -> Connector {
    Connector::new(config).expect("valid settings")
}

fn plain(topic: &str, payload: Bytes) -> Message<'_> {
    Message { topic, payload, properties: Vec::new() }
}

fn bridge(port: u16) -> Subscriber {
    Subscriber::new(&connector(&config(port, "bridge")), &["weir/#"], 0)
}

async fn next(subscriber: &mut Subscriber) -> SubscriberEvent {
    timeout(PATIENCE, subscriber.next()).await.expect("an event in time")
}

/// Waits for the subscription. Returns whether the broker still knew the session.
async fn subscribed(subscriber: &mut Subscriber) -> bool {
    let mut known = false;
    loop {
        match next(subscriber).await {
            SubscriberEvent::Connected { session_present, .. } => known = session_present,
            SubscriberEvent::Subscribed { .. } => return known,
            _ => {}
        }
    }
}

async fn message(subscriber: &mut Subscriber) -> Incoming {
    loop {
        if let SubscriberEvent::Message(message) = next(subscriber).await {
            return message;
        }
    }
}

/// A publisher that is connected. Tests keep it open: rumqttd's router frees a connection's slot at
/// DISCONNECT and again when the socket ends, so a client that comes in between is cut off once.
async fn publisher(port: u16) -> Publisher {
    let mut publisher =
        Publisher::connect(&connector(&config(port, "publisher")), &Opening::default());
    let connected = timeout(PATIENCE, publisher.next()).await.expect("in time");
    assert!(matches!(connected, Some(PublisherEvent::Connected { .. })), "{connected:?}");
    publisher
}

/// Publishes the numbers of a range as payloads and waits for their acknowledgements.
async fn publish(publisher: &mut Publisher, numbers: Range<u64>) {
    let (mut next, mut open) = (numbers.start, numbers.end - numbers.start);
    while open > 0 {
        while publisher.is_ready() && next < numbers.end {
            let payload = Bytes::from(next.to_string());
            publisher.publish(next, plain("weir/l/d/measurement", payload)).expect("ready");
            next += 1;
        }
        match timeout(PATIENCE, publisher.next()).await.expect("an event in time") {
            Some(PublisherEvent::Acked(_)) => open -= 1,
            other => panic!("{other:?}"),
        }
    }
}

fn number(message: &Incoming) -> u64 {
    std::str::from_utf8(&message.payload).expect("text").parse().expect("a number")
}

/// rumqttd drops a connection, and the message, whose acknowledgements come out of order: the
/// subscriber must sort them.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_may_be_given_in_any_order() {
    let broker = EmbeddedMqtt::start().await.expect("broker");
    let port = broker.address().port();
    let mut publisher = publisher(port).await;
    let mut subscriber = bridge(port);
    let acks = subscriber.acks();
    assert!(!subscribed(&mut subscriber).await);
    for round in 0..20 {
        let numbers = 10 * round..10 * (round + 1);
        publish(&mut publisher, numbers.clone()).await;
        let mut messages = Vec::new();
        for expected in numbers {
            let message = message(&mut subscriber).await;
            assert_eq!((number(&message), message.generation), (expected, 1));
            assert_eq!(message.topic, "weir/l/d/measurement");
            messages.push(message);
        }
        assert_eq!(acks.outstanding(), 10);
        for message in messages.into_iter().rev() {
            acks.ack(message.token);
        }
        assert_eq!(acks.outstanding(), 0);
    }
}

/// What was not acknowledged comes again on the next connection; the acknowledgement of the first
/// delivery is stale by then and must not acknowledge anything.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_reconnect_unacknowledged_messages_come_again() {
    let broker = EmbeddedMqtt::start().await.expect("broker");
    let proxy = Proxy::start(broker.address()).await.expect("a free port");
    let mut subscriber = bridge(proxy.address().port());
    let acks = subscriber.acks();
    assert!(!subscribed(&mut subscriber).await);
    publish(&mut publisher(broker.address().port()).await, 0..3).await;
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(message(&mut subscriber).await);
    }
    proxy.cut();
    // The broker may deliver before it confirms the subscription, so both are awaited together.
    let (mut present, mut again) = (1, Vec::new());
    while again.len() < 3 {
        match next(&mut subscriber).await {
            SubscriberEvent::Connected { generation, session_present } => {
                assert!(generation > present && session_present, "the session was forgotten");
                present = generation;
                again.clear();
                for message in first.drain(..) {
                    assert_eq!(message.generation, 1);
                    acks.ack(message.token);
                }
            }
            SubscriberEvent::Message(message) => again.push(message),
            _ => {}
        }
    }
    assert_eq!(acks.outstanding(), 3, "a stale acknowledgement was used");
    for (expected, message) in (0..).zip(again) {
        assert_eq!((number(&message), message.generation), (expected, present));
        acks.ack(message.token);
    }
    assert_eq!(acks.outstanding(), 0);
}

/// An outage of the subscriber's process: the broker keeps what is published meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_subscriber_with_the_same_id_finds_what_was_missed() {
    let broker = EmbeddedMqtt::start().await.expect("broker");
    let port = broker.address().port();
    let mut first = bridge(port);
    subscribed(&mut first).await;
    let mut publisher = publisher(port).await;
    first.close(PATIENCE).await;
    publish(&mut publisher, 0..5).await;
    let mut second = bridge(port);
    let mut numbers = std::collections::BTreeSet::new();
    while numbers.len() < 5 {
        numbers.insert(number(&message(&mut second).await));
    }
    assert!(numbers.into_iter().eq(0..5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_broker_is_reported_and_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let mut subscriber = bridge(port);
    for _ in 0..3 {
        match next(&mut subscriber).await {
            SubscriberEvent::Disconnected { generation: 0, error: LinkError::Transport(_) } => {}
            other => panic!("{other:?}"),
        }
    }
    let mut publisher =
        Publisher::connect(&connector(&config(port, "publisher")), &Opening::default());
    let refused = publisher.publish(0, plain("a", Bytes::new()));
    assert_eq!(refused, Err(PublishError::NotConnected));
    let lost = timeout(PATIENCE, publisher.next()).await.expect("in time");
    assert!(matches!(lost, Some(PublisherEvent::Lost(_))), "{lost:?}");
    assert!(timeout(PATIENCE, publisher.next()).await.expect("in time").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_before_it_is_sent() {
    let broker = EmbeddedMqtt::start().await.expect("broker");
    let mut settings = config(broker.address().port(), "publisher");
    settings.outgoing_bytes_max = 2_000;
    settings.inflight = 2;
    let mut publisher = Publisher::connect(&connector(&settings), &Opening::default());
    let connected = timeout(PATIENCE, publisher.next()).await.expect("in time");
    assert!(matches!(connected, Some(PublisherEvent::Connected { window: 2 })), "{connected:?}");
    let mut publish =
        |topic: &str, bytes| publisher.publish(0, plain(topic, vec![0; bytes].into()));
    // A fixed header of three bytes, then topic, packet id and properties of 2 + 1, 2 and 1 bytes.
    assert_eq!(publish("a", 1_992), Err(PublishError::TooLarge { bytes: 2_001, limit: 2_000 }));
    assert_eq!(publish("a/#", 1), Err(PublishError::TopicInvalid));
    assert_eq!(publish("a", 1_991), Ok(()));
    assert_eq!(publish("a", 1), Ok(()));
    assert_eq!(publish("a", 1), Err(PublishError::WindowFull));
}

/// An agent and a bridge as they meet: the record's stamp reaches the bridge, its answer the agent, and both see
/// whether the other is there.
#[tokio::test]
async fn properties_answers_and_presence_pass_both_ways() {
    let broker = EmbeddedMqtt::start().await.expect("a broker");
    let proxy = Proxy::start(broker.address()).await.expect("a proxy");
    let presence =
        |topic: &str| Presence { topic: topic.into(), here: "here".into(), gone: "gone".into() };
    let mut bridge = Subscriber::new(
        &connector(&config(broker.address().port(), "bridge")),
        &["weir/#", "status/device"],
        0,
    )
    .with_presence(presence("status/bridge"));
    assert!(!subscribed(&mut bridge).await);

    let opening =
        Opening { presence: Some(presence("status/device")), listen: Some("answers".into()) };
    let mut agent =
        Publisher::connect(&connector(&config(proxy.address().port(), "agent")), &opening);
    let connected = timeout(PATIENCE, agent.next()).await.expect("in time");
    assert!(matches!(connected, Some(PublisherEvent::Connected { .. })), "{connected:?}");
    let seen = message(&mut bridge).await;
    assert_eq!((seen.topic.as_str(), &seen.payload[..]), ("status/device", &b"here"[..]));

    let properties = vec![("weir-record".to_owned(), "e/1/1".to_owned())];
    let sent =
        Message { topic: "weir/l/d/weight", payload: "7".into(), properties: properties.clone() };
    agent.publish(1, sent).expect("ready");
    let seen = message(&mut bridge).await;
    assert_eq!((&seen.payload[..], seen.properties), (&b"7"[..], properties));
    assert!(bridge.publish("answers", "through 1".into()));
    let mut events = Vec::new();
    while events.len() < 2 {
        let event = timeout(PATIENCE, agent.next()).await.expect("in time").expect("connected");
        events.push(match event {
            PublisherEvent::Acked(seq) => format!("acked {seq}"),
            PublisherEvent::Heard(answer) => String::from_utf8_lossy(&answer).into_owned(),
            other => panic!("{other:?}"),
        });
    }
    events.sort();
    assert_eq!(events, ["acked 1", "through 1"]);

    proxy.cut();
    let seen = message(&mut bridge).await;
    assert_eq!((seen.topic.as_str(), &seen.payload[..]), ("status/device", &b"gone"[..]));
    assert!(bridge.publish("answers", "again".into()));
    bridge.close(Duration::from_secs(1)).await;
    let mut watcher =
        Subscriber::new(&connector(&config(broker.address().port(), "watcher")), &["status/#"], 0);
    let mut statuses = [message(&mut watcher).await, message(&mut watcher).await]
        .map(|status| (status.topic, String::from_utf8_lossy(&status.payload).into_owned()));
    statuses.sort();
    assert_eq!(statuses[0], ("status/bridge".into(), "gone".into()));
}
