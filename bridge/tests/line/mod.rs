//! A line for tests: an MQTT broker, a Kafka broker and machines that publish, all in this process, all
//! reached over loopback by the real clients.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use weir_bridge::{BridgeConfig, BridgeCounters};
use weir_embedded::kafka::EmbeddedKafka;
use weir_embedded::mqtt::EmbeddedMqtt;
use weir_events::{Confirmation, EventTime, Stamp, TopicNames, headers};
use weir_kafka::{Consumer, ConsumerEvent, Progress, Record};
use weir_mqtt::{
    Connector, Message, MqttConfig, Opening, Publisher, PublisherEvent, Subscriber, SubscriberEvent,
};
use weir_service::{EventClock, Shutdown};

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const GATE: &str = "weir/hall/gate/measurement";
pub(crate) const SCALE: &str = "weir/hall/scale/weight";
pub(crate) const NOW: &str = "2026-01-05T08:00:00Z";

pub(crate) fn time(text: &str) -> EventTime {
    text.parse().expect("a time")
}

pub(crate) fn weight(number: usize) -> String {
    format!(r#"{{"Fish_Id":"{number}","Weight":{}}}"#, number + 1)
}

/// Fails the test instead of waiting for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

pub(crate) struct Line {
    pub(crate) kafka: EmbeddedKafka,
    pub(crate) mqtt: EmbeddedMqtt,
    pub(crate) clock: EventClock,
    pub(crate) config: BridgeConfig,
}

impl Line {
    pub(crate) async fn start() -> Self {
        let kafka = EmbeddedKafka::start().expect("starts");
        let topics = TopicNames::default();
        let names = [topics.measurement.clone(), topics.target.clone()];
        for topic in topics.dead_letters().iter().chain(&names) {
            kafka.create_topic(topic, 1).expect("created");
        }
        let mqtt = EmbeddedMqtt::start().await.expect("starts");
        let mut config = BridgeConfig::default()
            .with_addresses(Some(&mqtt.address().to_string()), Some(kafka.brokers()))
            .expect("addresses");
        config.kafka.settings = EmbeddedKafka::settings();
        config.kafka.settings.insert("reconnect.backoff.max.ms".into(), "100".into());
        config.limits.drain_grace = Duration::from_millis(200);
        config.limits.retry_max = config.limits.retry_min;
        Self { kafka, mqtt, clock: EventClock::new(time(NOW)), config }
    }

    /// Starts a bridge and waits until the MQTT broker has confirmed its subscription.
    pub(crate) async fn bridge(&self) -> RunningBridge {
        let counters = Arc::new(BridgeCounters::default());
        let (progress, shutdown) = (Progress::default(), Shutdown::new());
        let task = tokio::spawn(weir_bridge::run(
            self.config.clone(),
            Arc::new(self.clock.clone()),
            progress.clone(),
            Arc::clone(&counters),
            shutdown.clone(),
        ));
        let bridge = RunningBridge { counters, progress, shutdown, task };
        bridge.until("the subscription", |counters| counters.subscriptions() > 0).await;
        bridge
    }

    /// Publishes messages one after the other and waits until the MQTT broker has taken them over.
    pub(crate) async fn publish<T: AsRef<[u8]>>(
        &self,
        messages: impl IntoIterator<Item = (&str, T)>,
    ) {
        let plain = |(topic, payload): (_, T)| (topic, payload.as_ref().to_vec(), None);
        self.publish_stamped(messages.into_iter().map(plain)).await;
    }

    /// Publishes messages that may bear a stamp.
    pub(crate) async fn publish_stamped(
        &self,
        messages: impl IntoIterator<Item = (&str, Vec<u8>, Option<String>)>,
    ) {
        let mut config = MqttConfig::new(&self.config.mqtt.host, self.config.mqtt.port, "machine");
        config.outgoing_bytes_max = 8 * 1024 * 1024;
        let mut machine =
            Publisher::connect(&Connector::new(&config).expect("valid"), &Opening::default());
        let mut messages = messages.into_iter().enumerate().peekable();
        let (mut sent, mut taken) = (0, 0);
        while messages.peek().is_some() || taken < sent {
            while machine.is_ready()
                && let Some((number, (topic, payload, stamp))) = messages.next()
            {
                let payload = payload.into();
                let stamp = stamp.map(|stamp| (Stamp::PROPERTY.to_owned(), stamp));
                let message = Message { topic, payload, properties: stamp.into_iter().collect() };
                machine.publish(number as u64, message).expect("there is room");
                sent += 1;
            }
            match soon("PUBACK", machine.next()).await {
                Some(PublisherEvent::Connected { .. }) => {}
                Some(PublisherEvent::Acked(_)) => taken += 1,
                other => panic!("{other:?}"),
            }
        }
        machine.close(Duration::from_secs(1)).await;
    }

    /// Listens to confirmations, as an agent does.
    pub(crate) async fn listen(&self, topic: &str) -> Listener {
        let mut config = MqttConfig::new(&self.config.mqtt.host, self.config.mqtt.port, "agent");
        config.session_expiry = Duration::ZERO;
        let connector = Connector::new(&config).expect("valid");
        let mut subscriber = Subscriber::new(&connector, &[topic], 1);
        let subscribed = async {
            while !matches!(subscriber.next().await, SubscriberEvent::Subscribed { .. }) {}
        };
        soon(topic, subscribed).await;
        Listener { subscriber }
    }

    /// The first `count` records of a topic.
    pub(crate) async fn records(&self, topic: &str, count: usize) -> Vec<Record> {
        let mut records = Vec::new();
        if count == 0 {
            return records;
        }
        let kafka = self.config.kafka.clone();
        let name = topic.to_owned();
        let reader = move || Consumer::reader(&kafka, "test", &[&name], Progress::default());
        let mut reader = tokio::task::spawn_blocking(reader).await.expect("ends").expect("starts");
        while records.len() < count {
            match soon(topic, reader.next()).await {
                Some(ConsumerEvent::Records(batch)) => records.extend(batch),
                Some(ConsumerEvent::Assignment(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        reader.close().await;
        records
    }

    /// How many records a topic has.
    pub(crate) async fn count(&self, topic: &str) -> usize {
        let (kafka, topic) = (self.config.kafka.clone(), topic.to_owned());
        let ends = move || Consumer::ends(&kafka, &topic);
        let ends = tokio::task::spawn_blocking(ends).await.expect("ends").expect("asked");
        usize::try_from(ends.iter().map(|(_, end)| end).sum::<i64>()).expect("not negative")
    }

    /// The keys of all records of a topic in the order in which each came first.
    pub(crate) async fn first_keys(&self, topic: &str) -> Vec<String> {
        let mut ids = BTreeSet::new();
        let records = self.records(topic, self.count(topic).await).await;
        let new = records
            .iter()
            .filter(|record| ids.insert(record.header(headers::ID).expect("an id").to_owned()));
        new.map(|record| record.key_text().expect("a key").to_owned()).collect()
    }
}

pub(crate) struct Listener {
    subscriber: Subscriber,
}

impl Listener {
    /// Waits for a confirmation like this; those before it are passed over.
    pub(crate) async fn until(&mut self, condition: impl Fn(&Confirmation) -> bool) {
        let said = async {
            loop {
                if let SubscriberEvent::Message(message) = self.subscriber.next().await {
                    let said = Confirmation::parse(&message.payload).expect("a confirmation");
                    self.subscriber.acks().ack(message.token);
                    if condition(&said) {
                        return;
                    }
                }
            }
        };
        soon("a confirmation", said).await;
    }
}

pub(crate) struct RunningBridge {
    pub(crate) counters: Arc<BridgeCounters>,
    progress: Progress,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl RunningBridge {
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&BridgeCounters) -> bool) {
        let reached = self.progress.wait_until(|_| condition(&self.counters));
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("waited too long for {what}: {:?}", self.counters);
        }
    }

    pub(crate) async fn until_acknowledged(&self, count: u64) {
        self.until("acknowledgements", |counters| counters.acknowledged() >= count).await;
    }

    /// Ends the bridge in order.
    pub(crate) async fn stop(self) -> Arc<BridgeCounters> {
        let counters = Arc::clone(&self.counters);
        self.shutdown.cancel();
        self.ended().await.expect("ended in order");
        counters
    }

    /// How it ended by itself.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        soon("the end of the bridge", self.task).await.expect("no panic")
    }
}
