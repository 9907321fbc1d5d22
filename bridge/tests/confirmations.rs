//! What agents number is told apart, and confirmed when Kafka has it.

mod line;

use line::{GATE, Line, SCALE, weight};
use weir_events::{Confirmation, Epoch, EventId, Gap, GapReason, Reason, Stamp, headers};

const EPOCH: Epoch = Epoch::from_bytes([7; 16]);
const TOPIC: &str = "machine-weight";

fn stamp(seq: u64, floor: u64) -> String {
    Stamp { epoch: EPOCH, seq, floor }.to_string()
}

/// Weights with these numbers, all awaited from 1 on.
fn stamped(numbers: impl IntoIterator<Item = u64>) -> Vec<(&'static str, Vec<u8>, Option<String>)> {
    let message = |seq| (SCALE, weight(seq as usize).into_bytes(), Some(stamp(seq, 1)));
    numbers.into_iter().map(message).collect()
}

fn keys(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| number.to_string()).collect()
}

fn through(through: u64) -> impl Fn(&Confirmation) -> bool {
    move |confirmation| confirmation.epoch == EPOCH && confirmation.through == through
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kafka_has_is_confirmed_and_nothing_before() {
    let line = Line::start().await;
    line.kafka.set_reachable(false).expect("told");
    let bridge = line.bridge().await;
    let mut agent = line.listen("weir-ack/hall/scale").await;
    line.publish_stamped(stamped(1..=5)).await;
    bridge.until("all messages", |counters| counters.received() == 5).await;
    assert_eq!(bridge.counters.snapshot().confirmations, 0);

    line.kafka.set_reachable(true).expect("told");
    agent.until(through(5)).await;
    bridge.until_acknowledged(5).await;
    let counts = bridge.stop().await.snapshot();
    assert_eq!((counts.messages.forwarded, counts.senders), (5, 1));
    let records = line.records(TOPIC, 5).await;
    for (seq, record) in (1..).zip(&records) {
        let id = EventId::of_record(&["hall", "scale"], EPOCH, seq).to_string();
        assert_eq!(record.header(headers::ID), Some(id.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_not_written_but_answered_again() {
    let line = Line::start().await;
    let bridge = line.bridge().await;
    let mut agent = line.listen("weir-ack/hall/scale").await;
    line.publish_stamped(stamped([1, 2, 2, 1, 3])).await;
    agent.until(through(3)).await;
    bridge.until_acknowledged(5).await;
    line.publish_stamped(stamped([3])).await;
    agent.until(through(3)).await;
    let counts = bridge.stop().await.snapshot();
    assert_eq!((counts.messages.forwarded, counts.messages.repeated), (3, 3));
    assert_eq!((line.count(TOPIC).await, line.first_keys(TOPIC).await), (3, keys(1..=3)));
}

/// A bridge that knows nothing begins at the floor, and asks for what it has not seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_bridge_asks_for_what_is_missing() {
    let line = Line::start().await;
    let first = line.bridge().await;
    let mut agent = line.listen("weir-ack/hall/scale").await;
    line.publish_stamped(stamped(1..=3)).await;
    agent.until(through(3)).await;
    first.stop().await;

    let second = line.bridge().await;
    let late = |seq| (SCALE, weight(seq as usize).into_bytes(), Some(stamp(seq, 4)));
    line.publish_stamped([late(6)]).await;
    agent.until(|said| through(3)(said) && said.resend).await;
    line.publish_stamped([late(4), late(5), late(6)]).await;
    agent.until(|said| through(6)(said) && !said.resend).await;
    let counts = second.stop().await.snapshot();
    assert_eq!((counts.messages.forwarded, counts.messages.out_of_order), (3, 1));
    assert_eq!((line.count(TOPIC).await, line.first_keys(TOPIC).await), (6, keys(1..=6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_under_a_number_are_set_aside_and_disturb_nothing() {
    let line = Line::start().await;
    let bridge = line.bridge().await;
    let mut agent = line.listen("weir-ack/hall/scale").await;
    let mut messages = stamped([1, 2]);
    messages.push((SCALE, weight(99).into_bytes(), Some(stamp(2, 1))));
    messages.extend(stamped([3]));
    line.publish_stamped(messages).await;
    agent.until(through(3)).await;
    bridge.until_acknowledged(4).await;
    let counts = bridge.stop().await.snapshot();
    assert_eq!((counts.messages.forwarded, counts.conflicts), (3, 1));
    assert_eq!(counts.dead_lettered_for(Reason::IdConflict), 1);
    let letter = line.records("machine-weight-dead-letter", 1).await.remove(0);
    assert_eq!(letter.payload(), weight(99).as_bytes());
    assert_eq!(
        (letter.header(headers::REASON), letter.header(headers::ID)),
        (Some("id-conflict"), None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_takes_the_place_of_what_is_missing() {
    let line = Line::start().await;
    let bridge = line.bridge().await;
    let mut agent = line.listen("weir-ack/hall/scale").await;
    let gap = Gap { count: 10, reason: GapReason::Quota }.to_bytes();
    let mut messages = stamped([1]);
    messages.push(("weir/hall/scale/gap", gap.clone(), Some(stamp(2, 1))));
    messages.extend(stamped([12]));
    line.publish_stamped(messages).await;
    agent.until(through(12)).await;
    let counts = bridge.stop().await.snapshot();
    assert_eq!((counts.messages.forwarded, counts.dead_lettered_for(Reason::Gap)), (2, 1));
    let letter = line.records("unrouted-dead-letter", 1).await.remove(0);
    assert_eq!((letter.header(headers::REASON), letter.payload()), (Some("gap"), &gap[..]));
    let detail = letter.header(headers::DETAIL).expect("a detail");
    assert!(detail.contains("2 to 11 of \"hall/scale\"") && detail.contains("quota"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_stamp_is_set_aside_with_its_event() {
    let line = Line::start().await;
    let bridge = line.bridge().await;
    line.publish_stamped([
        (SCALE, weight(1).into_bytes(), Some("one".to_owned())),
        ("weir/hall/scale/gap", br#"{"count":1,"reason":"quota"}"#.to_vec(), None),
        ("weir/hall/scale/gap", b"x".to_vec(), Some(stamp(1, 1))),
    ])
    .await;
    bridge.until_acknowledged(3).await;
    let counts = bridge.stop().await.snapshot();
    assert_eq!(counts.dead_lettered_for(Reason::BadStamp), 3);
    let letter = line.records("machine-weight-dead-letter", 1).await.remove(0);
    assert_eq!(letter.payload(), weight(1).as_bytes());
    assert_eq!(line.count("unrouted-dead-letter").await, 2);
}

/// A refused event has its place among the numbers, and its dead letter has its id.
#[tokio::test(flavor = "multi_thread")]
async fn plain_messages_and_refused_ones_go_beside_numbered_ones() {
    let line = Line::start().await;
    let bridge = line.bridge().await;
    let mut agent = line.listen("weir-ack/hall/gate").await;
    let mut messages = stamped([1]);
    messages.push((SCALE, weight(50).into_bytes(), None));
    messages.push((GATE, b"{}".to_vec(), Some(stamp(1, 1))));
    messages.push((SCALE, weight(50).into_bytes(), None));
    messages.extend(stamped([2]));
    line.publish_stamped(messages).await;
    agent.until(through(1)).await;
    bridge.until_acknowledged(5).await;
    let counts = bridge.stop().await.snapshot();
    assert_eq!((counts.messages.forwarded, counts.dead_lettered(), counts.senders), (4, 1, 2));
    assert_eq!(line.first_keys(TOPIC).await, ["1", "50", "2"]);
    let letter = line.records("machine-measurement-dead-letter", 1).await.remove(0);
    let id = EventId::of_record(&["hall", "gate"], EPOCH, 1).to_string();
    assert_eq!(letter.header(headers::ID), Some(id.as_str()));
}

/// What Kafka has not taken is new when it comes again, and confirmed then.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_new_start_what_was_under_way_is_taken_again() {
    let mut line = Line::start().await;
    line.config.kafka.settings.insert("message.timeout.ms".into(), "400".into());
    line.config.limits.retry_min = std::time::Duration::from_millis(10);
    line.config.limits.retry_max = line.config.limits.retry_min;
    let bridge = line.bridge().await;
    let mut agent = line.listen("weir-ack/hall/scale").await;
    line.publish_stamped(stamped(1..=3)).await;
    agent.until(through(3)).await;
    line.kafka.set_reachable(false).expect("told");
    line.publish_stamped(stamped(4..=9)).await;
    bridge.until("two new starts", |counters| counters.resets() >= 2).await;
    line.kafka.set_reachable(true).expect("told");
    agent.until(through(9)).await;
    bridge.stop().await;
    assert_eq!(line.first_keys(TOPIC).await, keys(1..=9));
}
