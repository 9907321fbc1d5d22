//! The agent against a real broker: everything arrives, in order, whatever happens to the connection. No bridge is
//! here: the broker's acknowledgements stand for confirmations, or a test gives them.

mod everything;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use everything::{PATIENCE, subscribe};
use tokio::sync::mpsc;
use tokio::time::timeout;
use weir_agent::{
    AgentConfig, AnySampler, Backlog, Counts, Event, Gate, Open, Parts, Position, Progress, Report,
    SampleError, Timing, Until, WhenFull, at_hand, run,
};
use weir_embedded::mqtt::EmbeddedMqtt;
use weir_embedded::proxy::Proxy;
use weir_events::{Confirmation, Epoch, EventKind, EventTime, GapReason, Stamp};
use weir_mqtt::{Connector, Incoming, MqttConfig, Subscriber, SubscriberEvent};
use weir_service::{Clock, EventClock, Shutdown};

fn config(port: u16) -> AgentConfig {
    let mut config = AgentConfig::embedded().expect("valid");
    config.mqtt.host = "127.0.0.1".into();
    config.mqtt.port = port;
    config.mqtt.reconnect_min = Duration::from_millis(1);
    config.mqtt.reconnect_max = Duration::from_millis(10);
    config.delivery.until = Until::Broker;
    config
}

/// A spool, and the folder that holds it.
fn backlog(config: &AgentConfig, folder: &Path, epoch: u8) -> Backlog {
    let bytes_max = config.limits.sample_bytes_max;
    let epoch = Epoch::from_bytes([epoch; 16]);
    Backlog::open(folder, &config.spool, bytes_max, epoch).expect("a spool")
}

fn fish(count: u64) -> impl Iterator<Item = Result<Event, SampleError>> + Send + use<> {
    let timing = Timing { start: EventTime::EPOCH, interval: Duration::from_secs(2), lead: 5 };
    weir_agent::simulate::simulate(1, Some(count), timing)
}

fn parts<I, G>(backlog: Backlog, events: I, gate: G) -> Parts<AnySampler, G>
where
    I: IntoIterator<Item = Result<Event, SampleError>>,
    I::IntoIter: Send + 'static,
{
    Parts {
        backlog,
        sampler: at_hand(events),
        gate,
        clock: None,
        progress: Progress::default(),
        seed: 0,
    }
}

/// What is expected on each topic, in order.
fn expected(config: &AgentConfig, count: u64) -> BTreeMap<String, Vec<Bytes>> {
    let mut topics: BTreeMap<String, Vec<Bytes>> = BTreeMap::new();
    for event in fish(count) {
        let event = event.expect("no error");
        topics.entry(config.topic(event.kind)).or_default().push(event.payload);
    }
    topics
}

/// First deliveries by topic, until as many different messages have come as are expected.
async fn first_deliveries(
    messages: &mut mpsc::Receiver<(String, Bytes)>,
    count: usize,
) -> BTreeMap<String, Vec<Bytes>> {
    let mut topics: BTreeMap<String, Vec<Bytes>> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < count {
        let message = timeout(PATIENCE, messages.recv()).await;
        let (topic, payload) = message.expect("a message in time").expect("a subscriber");
        if seen.insert((topic.clone(), payload.clone())) {
            topics.entry(topic).or_default().push(payload);
        }
    }
    topics
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_in_order_and_once() {
    let broker = EmbeddedMqtt::start().await.expect("broker");
    let mut messages = subscribe(&broker, "reader").await;
    let config = config(broker.address().port());
    let folder = tempfile::tempdir().expect("a folder");
    let clock = EventClock::new(EventTime::MIN);
    let backlog = backlog(&config, folder.path(), 1);
    let parts = Parts { clock: Some(clock.clone()), ..parts(backlog, fish(180), Open) };
    let report = timeout(PATIENCE, run(&config, parts, Shutdown::new())).await;
    let report = report.expect("in time").expect("runs");
    let counts = report.counts;
    assert_eq!((counts.taken, counts.acked, counts.published, counts.resent), (360, 360, 360, 0));
    assert_eq!((counts.connections, counts.held, report.finished), (1, 0, true));
    assert_eq!(first_deliveries(&mut messages, 360).await, expected(&config, 180));
    assert!(messages.try_recv().is_err(), "a message came twice");
    let timing = Timing { start: EventTime::EPOCH, interval: Duration::from_secs(2), lead: 5 };
    assert_eq!(clock.now(), timing.target(179));
}

/// Every few messages the connection is cut, in both directions, with acknowledgements under way.
#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_lose_nothing_and_keep_the_order() {
    let broker = EmbeddedMqtt::start().await.expect("broker");
    let mut messages = subscribe(&broker, "reader").await;
    let proxy = Proxy::start(broker.address()).await.expect("a free port");
    let mut config = config(proxy.address().port());
    config.mqtt.inflight = 20;
    let folder = tempfile::tempdir().expect("a folder");
    let parts = parts(backlog(&config, folder.path(), 1), fish(1_000), Open);
    let mut watch = parts.progress.watch();
    let cutting = tokio::spawn(async move {
        let mut next = 50;
        // Whenever somebody looks, the counts add up.
        let reached = |counts: &Counts, next| {
            assert!(counts.is_balanced(), "{counts:?}");
            counts.acked >= next
        };
        while watch.wait_for(|counts| reached(counts, next)).await.is_ok() {
            proxy.cut();
            next += 150;
        }
    });
    let report = timeout(PATIENCE, run(&config, parts, Shutdown::new())).await;
    let report = report.expect("in time").expect("runs");
    cutting.await.expect("no panic");
    assert!(report.counts.connections > 3, "{:?}", report.counts);
    assert_eq!((report.counts.taken, report.is_complete()), (2_000, true));
    assert_eq!(first_deliveries(&mut messages, 2_000).await, expected(&config, 1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversize_event_is_refused_and_its_neighbours_go() {
    let broker = EmbeddedMqtt::start().await.expect("broker");
    let mut messages = subscribe(&broker, "reader").await;
    let config = config(broker.address().port());
    let event = |bytes: usize| Event {
        position: Position::default(),
        kind: EventKind::Measurement,
        payload: vec![b'x'; bytes].into(),
        at: EventTime::EPOCH,
    };
    let limit = config.limits.sample_bytes_max;
    let sampler = [limit, limit + 1, 1].map(|bytes| Ok(event(bytes))).into_iter();
    let folder = tempfile::tempdir().expect("a folder");
    let parts = parts(backlog(&config, folder.path(), 1), sampler, Open);
    let report = timeout(PATIENCE, run(&config, parts, Shutdown::new())).await;
    let report = report.expect("in time").expect("runs");
    assert_eq!((report.counts.taken, report.counts.acked, report.counts.oversize), (2, 2, 1));
    let topics = first_deliveries(&mut messages, 2).await;
    let sizes: Vec<usize> = topics.values().flatten().map(Bytes::len).collect();
    assert_eq!(sizes, [limit, 1]);
}

/// A gate as a demonstration in lockstep has it: an event goes when everything before it is acknowledged.
struct Lockstep(Progress);

impl Gate for Lockstep {
    async fn admit(&mut self, _next: &Event) {
        let mut watch = self.0.watch();
        watch.wait_for(|counts| counts.outstanding() == 0).await.expect("the run holds the counts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_sees_each_event_settled_before_the_next() {
    let broker = EmbeddedMqtt::start().await.expect("broker");
    let config = config(broker.address().port());
    let progress = Progress::default();
    let mut watch = progress.watch();
    let most = tokio::spawn(async move {
        let mut most = 0;
        while watch.changed().await.is_ok() {
            most = most.max(watch.borrow_and_update().outstanding());
        }
        most
    });
    let folder = tempfile::tempdir().expect("a folder");
    let backlog = backlog(&config, folder.path(), 1);
    let gate = Lockstep(progress.clone());
    let parts = Parts { progress, ..parts(backlog, fish(20), gate) };
    let report = timeout(PATIENCE, run(&config, parts, Shutdown::new())).await;
    assert_eq!(report.expect("in time").expect("runs").counts.acked, 40);
    assert_eq!(most.await.expect("no panic"), 1);
}

/// A small spool, and no broker.
fn cut_off(when_full: WhenFull) -> AgentConfig {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut config = config(closed.local_addr().expect("bound").port());
    config.limits.sample_bytes_max = 4_096;
    config.spool.segment_bytes = 65_536;
    config.spool.quota_bytes = 4 * 65_536;
    config.spool.when_full = when_full;
    config.drain_grace = Duration::from_millis(1);
    config
}

/// Runs until the counts are so, and then to an orderly end.
async fn run_until(
    config: &AgentConfig,
    parts: Parts<AnySampler, Open>,
    reached: impl FnMut(&Counts) -> bool + Send + 'static,
) -> Report {
    let (mut watch, shutdown) = (parts.progress.watch(), Shutdown::new());
    let stop = shutdown.clone();
    tokio::spawn(async move {
        watch.wait_for(reached).await.expect("the run holds the counts");
        stop.cancel();
    });
    let report = timeout(PATIENCE, run(config, parts, shutdown)).await;
    report.expect("in time").expect("runs")
}

/// Whoever writes to a pipe cannot write it again. What is on its way at the end is more than one commit holds.
#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_keeps_what_the_sampler_has_yielded() {
    let config = cut_off(WhenFull::DropOldest);
    let folder = tempfile::tempdir().expect("a folder");
    let padding = " ".repeat(2_000);
    let large = fish(1_000_000).map(move |event| {
        event.map(|event| {
            let payload = [&event.payload, padding.as_bytes()].concat().into();
            Event { payload, ..event }
        })
    });
    let cut = parts(backlog(&config, folder.path(), 1), large, Open);
    let report = run_until(&config, cut, |counts| counts.taken > 1_000).await;
    assert!(!report.finished && report.counts.is_balanced(), "{report:?}");
    assert_eq!(report.counts.admitted, report.counts.taken);
}

/// Without a broker the spool fills, the sampler waits, and what is in it is sent by the next run.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_the_sampler_waits_and_the_next_run_sends() {
    let mut config = cut_off(WhenFull::Block);
    let folder = tempfile::tempdir().expect("a folder");
    let cut = parts(backlog(&config, folder.path(), 1), fish(10_000), Open);
    let first = run_until(&config, cut, |counts| counts.blocked > 0).await;
    assert!(!first.finished && !first.is_complete() && first.counts.is_balanced(), "{first:?}");
    assert!(first.counts.spool_bytes <= config.spool.quota_bytes, "{first:?}");
    assert!((100..10_000).contains(&first.counts.held), "{first:?}");

    let broker = EmbeddedMqtt::start().await.expect("broker");
    let mut messages = subscribe(&broker, "reader").await;
    config.mqtt.port = broker.address().port();
    let rest = parts(backlog(&config, folder.path(), 2), [], Open);
    let report = timeout(PATIENCE, run(&config, rest, Shutdown::new())).await;
    let counts = report.expect("in time").expect("runs").counts;
    assert_eq!((counts.found, counts.acked, counts.taken), (first.counts.held, counts.found, 0));
    let count = usize::try_from(counts.found).expect("few");
    let received = first_deliveries(&mut messages, count).await;
    for (topic, payloads) in expected(&config, 10_000) {
        let received = &received[&topic];
        assert_eq!(received[..], payloads[..received.len()], "{topic}");
    }
}

/// What makes room is counted exactly, and told in its place.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_make_room_where_the_settings_say_so_and_a_gap_tells() {
    let mut config = cut_off(WhenFull::DropOldest);
    let folder = tempfile::tempdir().expect("a folder");
    let cut = parts(backlog(&config, folder.path(), 1), fish(5_000), Open);
    let counts = run_until(&config, cut, |counts| counts.taken == 10_000).await.counts;
    let dropped = counts.dropped[GapReason::Quota as usize];
    assert!(dropped > 1_000 && counts.is_balanced(), "{counts:?}");

    let broker = EmbeddedMqtt::start().await.expect("broker");
    let mut messages = subscribe(&broker, "reader").await;
    config.mqtt.port = broker.address().port();
    let rest = parts(backlog(&config, folder.path(), 2), [], Open);
    let report = timeout(PATIENCE, run(&config, rest, Shutdown::new())).await;
    let counts = report.expect("in time").expect("runs").counts;
    assert_eq!((counts.found, counts.held), (10_000 - dropped, 0));
    let (topic, payload) = messages.recv().await.expect("a message");
    let gap = format!(r#"{{"count":{dropped},"reason":"quota"}}"#);
    assert_eq!((topic, payload), (config.gap_topic(), Bytes::from(gap)));
}

/// The other side of a bridge's conversation: receives, and confirms when told.
struct Confirmer {
    subscriber: Subscriber,
    topic: String,
}

impl Confirmer {
    async fn start(broker: &EmbeddedMqtt, config: &AgentConfig) -> Self {
        let address = broker.address();
        let settings = MqttConfig::new(&address.ip().to_string(), address.port(), "bridge");
        let connector = Connector::new(&settings).expect("valid settings");
        let mut subscriber = Subscriber::new(&connector, &["weir/#"], 0);
        while !matches!(subscriber.next().await, SubscriberEvent::Subscribed { .. }) {}
        Self { subscriber, topic: config.ack_topic() }
    }

    async fn stamp(&mut self) -> Stamp {
        loop {
            let event = timeout(PATIENCE, self.subscriber.next()).await.expect("in time");
            if let SubscriberEvent::Message(Incoming { token, properties, .. }) = event {
                self.subscriber.acks().ack(token);
                let [(name, stamp)] = &properties[..] else { panic!("{properties:?}") };
                assert_eq!(name, Stamp::PROPERTY);
                return stamp.parse().expect("a stamp");
            }
        }
    }

    fn confirm(&self, stamp: Stamp, through: u64, resend: bool) {
        let confirmation = Confirmation { epoch: stamp.epoch, through, resend };
        assert!(self.subscriber.publish(&self.topic, confirmation.to_bytes().into()));
    }
}

/// A PUBACK releases nothing. What is asked for comes again at once, and what nobody confirms after a while.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_confirmation_releases() {
    let broker = EmbeddedMqtt::start().await.expect("broker");
    let mut config = config(broker.address().port());
    config.delivery.until = Until::Kafka;
    config.delivery.stall = Duration::from_secs(2);
    let mut bridge = Confirmer::start(&broker, &config).await;
    let folder = tempfile::tempdir().expect("a folder");
    let parts = parts(backlog(&config, folder.path(), 7), fish(2), Open);
    let progress = parts.progress.clone();
    let ran = tokio::spawn(async move { run(&config, parts, Shutdown::new()).await });
    for seq in 1..=4 {
        let stamp = bridge.stamp().await;
        assert_eq!((stamp.seq, stamp.floor), (seq, 1));
    }
    let mut watch = progress.watch();
    let answered = watch.wait_for(|counts| counts.pubacks == 4);
    let counts = *timeout(PATIENCE, answered).await.expect("in time").expect("running");
    assert_eq!((counts.held, counts.unconfirmed, counts.acked), (4, 4, 0));

    let stamp = Stamp { epoch: Epoch::from_bytes([7; 16]), seq: 1, floor: 1 };
    bridge.confirm(stamp, 2, true);
    assert_eq!([bridge.stamp().await.seq, bridge.stamp().await.seq], [3, 4]);
    assert_eq!((progress.counts().connections, progress.counts().acked), (1, 2));
    // Nobody answers: the same once more, over a new connection.
    let again = [bridge.stamp().await, bridge.stamp().await];
    assert_eq!(again.map(|stamp| (stamp.seq, stamp.floor)), [(3, 3), (4, 3)]);
    assert_eq!((progress.counts().connections, progress.counts().stalls), (2, 1));
    bridge.confirm(stamp, 4, false);
    let report = timeout(PATIENCE, ran).await.expect("in time").expect("no panic").expect("runs");
    assert!(report.is_complete() && report.counts.is_balanced(), "{report:?}");
    assert_eq!((report.counts.acked, report.counts.resent), (4, 4));
}
