//! What settings make of a bridge: routes of another plant, several brokers, bounds on what is under way.

mod line;

use std::net::SocketAddr;

use line::{Line, SCALE, weight};
use weir_bridge::route::{Announced, RouteConfig};
use weir_embedded::mqtt::EmbeddedMqtt;
use weir_events::{Epoch, Reason, Stamp, headers};

fn point_at(line: &mut Line, address: SocketAddr) {
    (line.config.mqtt.host, line.config.mqtt.port) = (address.ip().to_string(), address.port());
}

fn broker(address: SocketAddr) -> toml::Table {
    let text = format!("host = \"{}\"\nport = {}\n", address.ip(), address.port());
    toml::from_str(&text).expect("TOML")
}

fn raw(topic: &str, kafka_topic: &str) -> RouteConfig {
    RouteConfig {
        topic: topic.into(),
        event: Announced::Raw,
        kafka_topic: Some(kafka_topic.into()),
        key: Some("{machine}".into()),
        headers: [("plant".to_owned(), "p-{line}".to_owned())].into(),
    }
}

/// Raw messages go to topics of which nobody knows at the start; what finds none is set aside and holds up nobody.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_raw_is_passed_on_as_it_is() {
    let mut line = Line::start().await;
    line.kafka.create_topic("plc-l1", 1).expect("created");
    line.config.routes.push(raw("plc/{line}/{machine}", "plc-{line}"));
    line.config.subscribe.push("plc/#".into());
    let settings = &mut line.config.kafka.settings;
    settings.insert("topic.metadata.propagation.max.ms".into(), "500".into());
    let bridge = line.bridge().await;
    line.publish([
        ("plc/l1/press", "\u{0}any bytes"),
        ("plc/l2/press", "no topic"),
        ("plc/l 3/press", "no name of a topic"),
        (SCALE, &weight(1)),
    ])
    .await;
    bridge.until_acknowledged(4).await;
    let counters = bridge.stop().await;
    assert_eq!((counters.forwarded(), counters.dead_lettered(), counters.resets()), (2, 2, 0));
    assert_eq!(counters.dead_lettered_for(Reason::RefusedByKafka), 1);
    assert_eq!(counters.dead_lettered_for(Reason::BadText), 1);
    let record = line.records("plc-l1", 1).await.remove(0);
    assert_eq!((record.payload(), record.key_text()), (&b"\0any bytes"[..], Some("press")));
    assert_eq!(record.header("plant"), Some("p-l1"));
    assert_eq!(record.header(headers::SOURCE), Some("plc/l1/press"));
    assert!(record.header(headers::ID).is_some());
    assert_eq!(line.count("unrouted-dead-letter").await, 2);
}

/// One broker that is away does not hold up the other; each answers on its own.
#[tokio::test(flavor = "multi_thread")]
async fn several_brokers_are_read_side_by_side() {
    let mut line = Line::start().await;
    let (north, south) = (line.mqtt.address(), EmbeddedMqtt::start().await.expect("starts"));
    // A port where nobody listens.
    let away = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let away = away.expect("a port");
    for (name, address) in [("north", north), ("south", south.address()), ("away", away)] {
        line.config.brokers.insert(name.into(), broker(address));
    }
    let bridge = line.bridge().await;
    bridge.until("both", |counters| counters.snapshot().connected == 2).await;
    let stamp = Stamp { epoch: Epoch::from_bytes([1; 16]), seq: 1, floor: 1 }.to_string();
    for (number, address) in [(1, north), (2, south.address())] {
        point_at(&mut line, address);
        let mut agent = line.listen("weir-ack/hall/scale").await;
        let message = (SCALE, weight(number).into_bytes(), Some(stamp.clone()));
        line.publish_stamped([message]).await;
        agent.until(|said| said.through == 1).await;
    }
    let brokers = bridge.counters.brokers();
    let counts: Vec<_> = brokers.iter().map(|(name, c)| (&**name, c.messages.forwarded)).collect();
    assert_eq!(bridge.counters.forwarded(), 2);
    assert!(counts.contains(&("north", 1)) && counts.contains(&("south", 1)), "{counts:?}");
    bridge.stop().await;
    assert_eq!(line.count("machine-weight").await, 2);
}

/// Large messages fill the bridge's memory before they are many.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_under_way_are_bounded() {
    let mut line = Line::start().await;
    line.config.limits.payload_bytes_max = 50_000;
    line.config.limits.in_flight_bytes = 1_000_000;
    line.kafka.set_reachable(false).expect("told");
    let bridge = line.bridge().await;
    let large = |number: usize| {
        format!(r#"{{"Fish_Id":"{number}","Weight":1,"note":"{}"}}"#, "x".repeat(49_000))
    };
    line.publish((0..100).map(|number| (SCALE, large(number)))).await;
    bridge.until("a full bridge", |c| c.snapshot().in_flight_bytes >= 1_000_000).await;
    let counts = bridge.counters.snapshot();
    assert!(counts.in_flight_bytes < 1_100_000, "{counts:?}");
    assert!((9..12).contains(&counts.messages.in_flight), "{counts:?}");
    assert!(counts.oldest_unacknowledged.is_some());

    line.kafka.set_reachable(true).expect("told");
    bridge.until("everything", |counters| counters.forwarded() >= 100).await;
    let counts = bridge.stop().await.snapshot();
    assert_eq!((counts.in_flight_bytes, counts.oldest_unacknowledged), (0, None));
    let keys: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(line.first_keys("machine-weight").await, keys);
}
