//! The agent against a real broker: everything arrives, in order, whatever happens to the connection.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use weir_agent::{
    AgentConfig, AnySampler, Counts, Event, Gate, Open, Parts, Position, Progress, SampleError,
    Timing, at_hand, run,
};
use weir_embedded::mqtt::EmbeddedMqtt;
use weir_embedded::proxy::Proxy;
use weir_events::{EventKind, EventTime};
use weir_mqtt::{Connector, MqttConfig, Subscriber, SubscriberEvent};
use weir_service::{Clock, EventClock, Shutdown};

/// Longer than anything here takes on a loaded machine; only a failing test reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A subscriber to everything. Returns once nothing can be missed.
async fn subscribe(broker: &EmbeddedMqtt, name: &str) -> mpsc::Receiver<(String, Bytes)> {
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

fn config(port: u16) -> AgentConfig {
    let mut config = AgentConfig::embedded().expect("valid");
    config.mqtt.host = "127.0.0.1".into();
    config.mqtt.port = port;
    config.mqtt.reconnect_min = Duration::from_millis(1);
    config.mqtt.reconnect_max = Duration::from_millis(10);
    config
}

fn fish(count: u64) -> impl Iterator<Item = Result<Event, SampleError>> + Send + use<> {
    let timing = Timing { start: EventTime::EPOCH, interval: Duration::from_secs(2), lead: 5 };
    weir_agent::simulate::simulate(1, Some(count), timing)
}

fn parts<I, G>(events: I, gate: G) -> Parts<AnySampler, G>
where
    I: IntoIterator<Item = Result<Event, SampleError>>,
    I::IntoIter: Send + 'static,
{
    Parts { sampler: at_hand(events), gate, clock: None, progress: Progress::default(), seed: 0 }
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
    let clock = EventClock::new(EventTime::MIN);
    let parts = Parts { clock: Some(clock.clone()), ..parts(fish(180), Open) };
    let report = timeout(PATIENCE, run(&config, parts, Shutdown::new())).await;
    let report = report.expect("in time").expect("runs");
    let counts =
        Counts { taken: 360, acked: 360, published: 360, connections: 1, ..Counts::default() };
    assert_eq!((report.counts, report.finished), (counts, true));
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
    let parts = parts(fish(1_000), Open);
    let mut watch = parts.progress.watch();
    let cutting = tokio::spawn(async move {
        let mut next = 50;
        while watch.wait_for(|counts| counts.acked >= next).await.is_ok() {
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
    let report = timeout(PATIENCE, run(&config, parts(sampler, Open), Shutdown::new())).await;
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
    let parts = Parts { progress: progress.clone(), ..parts(fish(20), Lockstep(progress)) };
    let report = timeout(PATIENCE, run(&config, parts, Shutdown::new())).await;
    assert_eq!(report.expect("in time").expect("runs").counts.acked, 40);
    assert_eq!(most.await.expect("no panic"), 1);
}

/// Without a broker the outbox fills, the sampler waits, and a shutdown says what is left.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_the_sampler_waits() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut config = config(closed.local_addr().expect("bound").port());
    drop(closed);
    config.limits.outbox_records = 10;
    config.drain_grace = Duration::from_millis(1);
    let parts = parts(fish(1_000), Open);
    let mut watch = parts.progress.watch();
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        watch.wait_for(|counts| counts.taken >= 11).await.expect("the run holds the counts");
        stop.cancel();
    });
    let report = timeout(PATIENCE, run(&config, parts, shutdown)).await;
    let report = report.expect("in time").expect("runs");
    // Ten in the outbox, and one under way to it.
    assert_eq!((report.counts.taken, report.counts.outstanding()), (11, 11));
    assert!(!report.finished && !report.is_complete());
}
