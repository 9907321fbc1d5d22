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
    let _machine = crate::shared();
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
    let connections = page.sum("weir_bridge_subscriptions_total");
    report(&format!(
        "{{\"row\":\"I-1..I-3\",\"sent\":{},\"lost\":{},\"dup_raw\":{},\"reordered\":{},\"hostile_sent\":{},\
         \"dead_lettered\":{},\"bridge_connections\":{connections},\"bridge_peak_kib\":{peak},\"neighbours_s\":{:.1}}}",
        outcome.sent,
        outcome.lost,
        outcome.dup_raw,
        outcome.reordered,
        cases.len(),
        outcome.dead_lettered,
        neighbours_took.as_secs_f64(),
    ));
    let log = bridge.log();
    assert!(status.success() && !log.contains("panicked"), "{log}");
    assert_eq!(connections, 1, "the bridge has connected again: {log}");
    assert!(0 < peak && peak < BRIDGE_KIB_MAX, "{peak} KiB");
    assert_eq!((outcome.lost, outcome.dup_raw, outcome.reordered), (0, 0, 0), "{outcome:?}");
    let aftermath = Aftermath { fleet: &fleet, cases: &cases };
    aftermath.check_dead_letters();
    aftermath.check_events();
    aftermath.check_counts(&page);
}

/// What tells a dead letter from others: Kafka's topic, the reason, MQTT's topic, size and digest.
type Letter = (String, String, String, usize, String);

fn letter(record: &Record) -> Letter {
    let header = |name| record.header(name).expect("a header").to_owned();
    let size = header(headers::SIZE).parse().expect("a number");
    let (reason, source) = (header(headers::REASON), header(headers::SOURCE));
    (record.topic.to_string(), reason, source, size, header(headers::DIGEST))
}

/// What there is when all is over, against what there must be: every message has come to its fate, once.
struct Aftermath<'a> {
    fleet: &'a Fleet,
    cases: &'a [Case],
}

impl Aftermath<'_> {
    /// How many messages have to come to this.
    fn count(&self, fate: Fate) -> u64 {
        self.cases.iter().filter(|case| case.fate == fate).count() as u64
    }

    /// The dead letter that a message must be, if it must be one.
    fn letter_of(&self, case: &Case) -> Option<Letter> {
        let Fate::Dead(reason) = case.fate else { return None };
        let topics = self.fleet.topics();
        let levels: Vec<_> = case.topic.split('/').collect();
        // The routes of the fleet's bridge.
        let topic = match levels[..] {
            [_, "", _] => topics.unrouted.clone(),
            [_, _, "measurement"] => TopicNames::dead_letter(&topics.measurement),
            [_, _, "weight"] => TopicNames::dead_letter(&topics.target),
            _ => topics.unrouted.clone(),
        };
        let source = format!("{}/{}", self.fleet.name, case.topic);
        let digest = Digest::of(&case.payload).to_string();
        Some((topic, reason.to_string(), source, case.payload.len(), digest))
    }

    fn check_dead_letters(&self) {
        let topics = self.fleet.topics();
        let [measurements, targets] =
            [&topics.measurement, &topics.target].map(|topic| TopicNames::dead_letter(topic));
        let records = self.fleet.records(&[&measurements, &targets, &topics.unrouted]);
        let found = counted(records.iter().map(letter));
        let expected = counted(self.cases.iter().filter_map(|case| self.letter_of(case)));
        for case in self.cases {
            let Some(letter) = self.letter_of(case) else { continue };
            assert_eq!(found.get(&letter), expected.get(&letter), "{}: {letter:?}", case.name);
        }
        let surplus: Vec<_> =
            found.keys().filter(|letter| !expected.contains_key(*letter)).collect();
        assert!(surplus.is_empty(), "nothing was to become these: {surplus:?}");
    }

    /// The events are in Kafka in the order in which they were sent, among those of the neighbours.
    fn check_events(&self) {
        let topics = self.fleet.topics();
        let neighbours: Vec<_> = (0..GOOD.devices).map(device_name).collect();
        for (word, topic) in [("measurement", &topics.measurement), ("weight", &topics.target)] {
            let mut found = Vec::new();
            for record in self.fleet.records(&[topic]) {
                let (device, fish) = device_and_fish(&record);
                if !neighbours.iter().any(|own| own == device) {
                    let source = record.header(headers::SOURCE).expect("a source");
                    found.push((source.to_owned(), fish.to_owned()));
                }
            }
            let expected = self.cases.iter().filter(|case| case.fate == Fate::Event);
            let expected = expected.filter(|case| case.topic.ends_with(word)).map(|case| {
                let json: serde_json::Value = serde_json::from_slice(&case.payload).expect("JSON");
                let fish = json["Fish_Id"].as_str().expect("a name").to_owned();
                (format!("{}/{}", self.fleet.name, case.topic), fish)
            });
            assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }

    /// What the bridge says that it has done.
    fn check_counts(&self, page: &Page) {
        for reason in Reason::ALL {
            let label = format!("reason={:?}", reason.as_str());
            let count = page.labelled("weir_bridge_messages_dead_lettered_total", &label);
            assert_eq!(count, self.count(Fate::Dead(reason)), "{reason}");
        }
        let passed = ["repeated", "out_of_order"];
        let passed = passed.map(|name| page.sum(&format!("weir_bridge_messages_{name}_total")));
        assert_eq!(passed.iter().sum::<u64>(), self.count(Fate::Passed));
    }
}
