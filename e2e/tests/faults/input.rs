//! I-1 to I-3: a hostile client among good machines. What it publishes is in `cases`, with what must come of each message.

mod cases;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use weir_e2e::fleet::{Fleet, Size, device_and_fish, device_name, report};
use weir_e2e::metrics::{Page, any_port};
use weir_e2e::process::{GRACE, PATIENCE, Process};
use weir_e2e::servers::{KAFKA, MQTT, address};
use weir_events::{Digest, Reason, Stamp, TopicNames, headers};
use weir_kafka::Record;
use weir_mqtt::{Connector, Message, MqttConfig, Opening, Publisher, PublisherEvent};

use cases::{Case, Fate};

const GOOD: Size = Size { devices: 2, lines: 4_000 };
/// What the bridge may have resident, in KiB.
const BRIDGE_KIB_MAX: u64 = 64 * 1024;

/// Publishes all of them, one after the other, and waits until the broker has each.
async fn publish(broker: SocketAddr, root: &str, cases: &[Case]) {
    let mut config =
        MqttConfig::new(&broker.ip().to_string(), broker.port(), &format!("{root}-hostile"));
    config.outgoing_bytes_max = 2 * 1024 * 1024;
    let connector = Connector::new(&config).expect("usable");
    let mut client = Publisher::connect(&connector, &Opening::default());
    let (mut next, mut taken) = (0, 0);
    while taken < cases.len() {
        if client.is_ready() && next < cases.len() {
            let Case { topic, payload, stamp, name, .. } = &cases[next];
            let topic = format!("{root}/{topic}");
            let stamp = stamp.clone().map(|stamp| (Stamp::PROPERTY.to_owned(), stamp));
            let properties = stamp.into_iter().collect();
            let message = Message { topic: &topic, payload: payload.clone().into(), properties };
            client.publish(next as u64, message).unwrap_or_else(|error| panic!("{name}: {error}"));
            next += 1;
            // The others shall have their messages between these.
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        }
        let event = tokio::time::timeout(PATIENCE, client.next()).await.expect("an answer in time");
        match event {
            Some(PublisherEvent::Connected { .. }) => {}
            Some(PublisherEvent::Acked(_)) => taken += 1,
            other => panic!("after {:?}: {other:?}", cases[taken].name),
        }
    }
    client.close(Duration::from_secs(1)).await;
}

/// Tells the broker that 256 MiB are coming, and sends some of them, until the broker closes the connection.
fn claim_256_mib(broker: SocketAddr) {
    let mut stream = TcpStream::connect(broker).expect("reached");
    stream.set_read_timeout(Some(GRACE)).expect("set");
    // CONNECT of MQTT 5: clean start, a keep-alive of 60 s, no properties, the client id "big".
    stream.write_all(b"\x10\x10\0\x04MQTT\x05\x02\0\x3C\0\0\x03big").expect("sent");
    let mut connack = [0; 2];
    stream.read_exact(&mut connack).expect("an answer");
    assert_eq!(connack[0], 0x20, "no CONNACK");
    let mut packet = b"\x30\xFF\xFF\xFF\x7F\0\x01a\0".to_vec();
    packet.resize(64 * 1024, b'x');
    // It fails if the broker closes the connection soon enough.
    drop(stream.write_all(&packet));
    let read = stream.read_to_end(&mut Vec::new());
    let is_open = read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    assert!(!is_open, "the broker waits for 256 MiB");
}

/// What tells a dead letter from others: Kafka's topic, the reason, MQTT's topic, size and digest.
type Letter = (String, String, String, usize, String);

fn letter_of(fleet: &Fleet, case: &Case, reason: Reason) -> Letter {
    let kinds = [("measurement", &fleet.topics().measurement), ("weight", &fleet.topics().target)];
    let kind = kinds.into_iter().find(|(word, _)| {
        let levels: Vec<_> = case.topic.split('/').collect();
        levels.len() == 3 && levels[2] == *word && !levels[1].is_empty()
    });
    let unrouted = fleet.topics().unrouted.clone();
    let topic = kind.map_or(unrouted, |(_, topic)| TopicNames::dead_letter(topic));
    let source = format!("{}/{}", fleet.name, case.topic);
    let digest = Digest::of(&case.payload).to_string();
    (topic, reason.to_string(), source, case.payload.len(), digest)
}

fn letter(record: &Record) -> Letter {
    let header = |name| record.header(name).expect("a header").to_owned();
    let size = header(headers::SIZE).parse().expect("a number");
    let (reason, source) = (header(headers::REASON), header(headers::SOURCE));
    (record.topic.to_string(), reason, source, size, header(headers::DIGEST))
}

/// How often each occurs.
fn counted<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    all.into_iter().for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}

/// Waits until the bridge has nothing under way, and has received so many messages.
fn settled(health: SocketAddr, received: usize) -> Page {
    let began = Instant::now();
    loop {
        let page = Page::scrape(health).expect("it lives");
        let count = page.sum("weir_bridge_messages_received_total");
        if count >= received as u64 && page.sum("weir_bridge_messages_in_flight") == 0 {
            return page;
        }
        assert!(began.elapsed() < PATIENCE, "{page:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_hostile_client_harms_nobody_and_each_of_its_messages_is_accounted_for() {
    let broker: SocketAddr = address(MQTT).parse().expect("an address");
    let fleet = Fleet::new(&address(KAFKA), GOOD);
    let mut bridge = fleet.bridge(broker, &[any_port()]);
    let health = bridge.health();
    let cases = cases::all();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let began = Instant::now();
    let mut agents = fleet.agents(broker);
    let (first, second) = cases.split_at(cases.len() / 2);
    runtime.block_on(publish(broker, &fleet.name, first));
    claim_256_mib(broker);
    assert!(agents.iter_mut().any(Process::is_running), "the neighbours had no hostile neighbour");
    runtime.block_on(publish(broker, &fleet.name, second));
    fleet.finish(agents);
    let neighbours_took = began.elapsed();
    let page = settled(health, cases.len() + GOOD.devices * GOOD.lines);
    let peak = bridge.memory_peak_kib();
    bridge.signal("-TERM");
    let (status, _) = bridge.ended(GRACE);

    let outcome = fleet.outcome();
    let topics = fleet.topics();
    let dead =
        [TopicNames::dead_letter(&topics.measurement), TopicNames::dead_letter(&topics.target)];
    let letters = fleet.records(&[&dead[0], &dead[1], &topics.unrouted]);
    report(&format!(
        "{{\"row\":\"I-1..I-3\",\"sent\":{},\"lost\":{},\"dup_raw\":{},\"reordered\":{},\"hostile_sent\":{},\
         \"dead_lettered\":{},\"bridge_connections\":{},\"bridge_peak_kib\":{peak},\"neighbours_s\":{:.1}}}",
        outcome.sent,
        outcome.lost,
        outcome.dup_raw,
        outcome.reordered,
        cases.len(),
        letters.len(),
        page.sum("weir_bridge_subscriptions_total"),
        neighbours_took.as_secs_f64(),
    ));

    let log = bridge.log();
    assert!(status.success() && !log.contains("panicked"), "{log}");
    assert_eq!(
        page.sum("weir_bridge_subscriptions_total"),
        1,
        "the bridge has connected again: {log}"
    );
    assert!(0 < peak && peak < BRIDGE_KIB_MAX, "{peak} KiB");
    assert_eq!((outcome.lost, outcome.dup_raw, outcome.reordered), (0, 0, 0), "{outcome:?}");

    // Every message has come to what it had to, once.
    let fates = |wanted: Fate| cases.iter().filter(move |case| case.fate == wanted);
    let dead = cases.iter().filter_map(|case| match case.fate {
        Fate::Dead(reason) => Some((letter_of(&fleet, case, reason), case.name.as_str())),
        Fate::Event | Fate::Passed => None,
    });
    let dead: Vec<_> = dead.collect();
    let (expected, found) =
        (counted(dead.iter().map(|(letter, _)| letter)), letters.iter().map(letter));
    let found: Vec<Letter> = found.collect();
    let found = counted(&found);
    for (letter, name) in &dead {
        assert_eq!(found.get(letter), expected.get(letter), "{name}: {letter:?}");
    }
    let surplus: Vec<_> = found.keys().filter(|letter| !expected.contains_key(*letter)).collect();
    assert!(surplus.is_empty(), "nobody sent these: {surplus:?}");
    for reason in Reason::ALL {
        let label = format!("reason={:?}", reason.as_str());
        let count = page.labelled("weir_bridge_messages_dead_lettered_total", &label);
        assert_eq!(count, fates(Fate::Dead(reason)).count() as u64, "{reason}");
    }

    let events = fleet.records(&[&topics.measurement, &topics.target]);
    let neighbours: Vec<_> = (0..GOOD.devices).map(device_name).collect();
    let is_hostile =
        |record: &&Record| !neighbours.iter().any(|own| own == device_and_fish(record).0);
    let source = |record: &Record| record.header(headers::SOURCE).expect("a source").to_owned();
    let found = counted(events.iter().filter(is_hostile).map(source));
    let expected = counted(fates(Fate::Event).map(|case| format!("{}/{}", fleet.name, case.topic)));
    assert_eq!(found, expected);
    let passed = ["repeated", "out_of_order"];
    let passed = passed.map(|name| page.sum(&format!("weir_bridge_messages_{name}_total")));
    assert_eq!(passed.iter().sum::<u64>(), fates(Fate::Passed).count() as u64);
}
