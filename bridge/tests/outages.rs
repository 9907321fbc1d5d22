//! Kafka or the bridge goes away and comes back: nothing is acknowledged before Kafka has it, nothing is lost.

mod line;

use std::time::Duration;

use line::{Line, SCALE, soon, time, weight};
use weir_mqtt::{Connector, Subscriber, SubscriberEvent};

const TOPIC: &str = "machine-weight";

fn weights(numbers: std::ops::Range<usize>) -> Vec<(&'static str, String)> {
    numbers.map(|number| (SCALE, weight(number))).collect()
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// More messages than may be under way: the bridge takes its window and no more, acknowledges none, and the
/// MQTT connection outlives the outage.
#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_nothing_is_acknowledged_and_the_window_holds() {
    let mut line = Line::start().await;
    line.config.mqtt.receive_maximum = 10;
    line.kafka.set_reachable(false).expect("told");
    let bridge = line.bridge().await;
    line.publish(weights(0..50)).await;
    bridge.until("a full window", |counters| counters.received() >= 10).await;
    assert_eq!((bridge.counters.received(), bridge.counters.acknowledged()), (10, 0));

    line.kafka.set_reachable(true).expect("told");
    bridge.until_acknowledged(50).await;
    let counters = bridge.stop().await;
    assert_eq!((counters.received(), counters.forwarded(), counters.subscriptions()), (50, 50, 1));
    assert_eq!((line.count(TOPIC).await, line.first_keys(TOPIC).await), (50, keys(50)));
}

/// Messages and reports come in batches; a queue that is longer than any of them loses none at their seams, as one
/// that took an event and did not handle it once did.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_loses_nothing_between_batches() {
    let mut line = Line::start().await;
    // While its clock is wrong the bridge takes nothing, and as much as the broker sends at a time comes together.
    line.config.limits.clock_not_before = time("2026-01-05T08:30:00Z");
    let bridge = line.bridge().await;
    line.publish(weights(0..3_000)).await;
    line.clock.advance_to(time("2026-01-05T09:00:00Z"));
    bridge.until_acknowledged(3_000).await;
    let counters = bridge.stop().await;
    assert_eq!(
        (counters.received(), counters.forwarded(), counters.subscriptions()),
        (3_000, 3_000, 1)
    );
    assert_eq!((line.count(TOPIC).await, line.first_keys(TOPIC).await), (3_000, keys(3_000)));
}

/// What finds librdkafka's queue full waits for its turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_kafka_queue_keeps_the_order() {
    let mut line = Line::start().await;
    line.config.kafka.settings.insert("queue.buffering.max.messages".into(), "3".into());
    line.kafka.set_reachable(false).expect("told");
    let bridge = line.bridge().await;
    line.publish(weights(0..50)).await;
    bridge.until("all messages", |counters| counters.received() == 50).await;
    line.kafka.set_reachable(true).expect("told");
    bridge.until_acknowledged(50).await;
    bridge.stop().await;
    assert_eq!((line.count(TOPIC).await, line.first_keys(TOPIC).await), (50, keys(50)));
}

/// librdkafka gives up on records after its timeout. The bridge begins anew as often as that takes, and the
/// MQTT broker hands everything out again.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_time_out_come_again() {
    let mut line = Line::start().await;
    line.config.kafka.settings.insert("message.timeout.ms".into(), "400".into());
    line.config.limits.retry_min = Duration::from_millis(10);
    line.config.limits.retry_max = Duration::from_millis(10);
    line.kafka.set_reachable(false).expect("told");
    let bridge = line.bridge().await;
    line.publish(weights(0..20)).await;
    bridge.until("two new starts", |counters| counters.resets() >= 2).await;
    assert_eq!((bridge.counters.acknowledged(), bridge.counters.forwarded()), (0, 0));

    line.kafka.set_reachable(true).expect("told");
    bridge.until_acknowledged(20).await;
    let counters = bridge.stop().await;
    assert_eq!(counters.received(), counters.forwarded() + counters.returned());
    assert_eq!(line.first_keys(TOPIC).await, keys(20));
}

/// The session outlives the process: what was received but not delivered, and what was published while no
/// bridge ran, is handed to the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_nothing() {
    let line = Line::start().await;
    line.kafka.set_reachable(false).expect("told");
    let first = line.bridge().await;
    line.publish(weights(0..20)).await;
    first.until("all messages", |counters| counters.received() == 20).await;
    let counters = first.stop().await;
    assert_eq!((counters.forwarded(), counters.acknowledged()), (0, 0));

    line.publish(weights(20..30)).await;
    line.kafka.set_reachable(true).expect("told");
    let second = line.bridge().await;
    second.until_acknowledged(30).await;
    second.stop().await;
    assert_eq!(line.first_keys(TOPIC).await, keys(30));
}

/// An orderly end delivers and acknowledges what is under way: the next bridge gets none of it again.
#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_leaves_nothing_to_do_again() {
    let mut line = Line::start().await;
    line.config.limits.drain_grace = Duration::from_secs(30);
    // Records wait for company this long, so that they are under way when the end comes.
    line.config.kafka.settings.insert("linger.ms".into(), "300".into());
    let first = line.bridge().await;
    line.publish(weights(0..20)).await;
    first.until("all messages", |counters| counters.received() == 20).await;
    let counters = first.stop().await;
    assert_eq!((counters.forwarded(), counters.acknowledged()), (20, 20));

    let second = line.bridge().await;
    line.publish(weights(20..21)).await;
    second.until_acknowledged(1).await;
    assert_eq!(second.stop().await.received(), 1);
    assert_eq!((line.count(TOPIC).await, line.first_keys(TOPIC).await), (21, keys(21)));
}

/// Packet ids are used again on the next connection: an acknowledgement of the old one would lose a message.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_mqtt_connection_with_messages_under_way_loses_nothing() {
    let line = Line::start().await;
    line.kafka.set_reachable(false).expect("told");
    let bridge = line.bridge().await;
    line.publish(weights(0..20)).await;
    bridge.until("all messages", |counters| counters.received() == 20).await;
    // The broker ends the older of two connections with one client id.
    let connector = Connector::new(&line.config.mqtt).expect("valid");
    let mut thief = Subscriber::new(&connector, &["weir/#"], 1);
    while !matches!(soon("the thief", thief.next()).await, SubscriberEvent::Subscribed { .. }) {}
    drop(thief);
    bridge.until("the bridge again", |counters| counters.subscriptions() == 2).await;

    line.kafka.set_reachable(true).expect("told");
    line.publish(weights(20..30)).await;
    bridge.until_acknowledged(30).await;
    bridge.stop().await;
    assert_eq!(line.first_keys(TOPIC).await, keys(30));
}
