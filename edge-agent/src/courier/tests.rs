//! Single decisions of the courier. Its random histories are in `schedules`.

use super::*;

const OLD: Epoch = Epoch::from_bytes([1; 16]);
const NEW: Epoch = Epoch::from_bytes([2; 16]);

fn settings() -> CourierSettings {
    CourierSettings {
        until: Until::Kafka,
        unconfirmed_max: 8,
        unconfirmed_min: 2,
        stall: Duration::from_secs(10),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn confirmation(epoch: Epoch, through: u64) -> Confirmation {
    Confirmation { epoch, through, resend: false }
}

/// Sends all that may go. Returns the numbers.
fn send(courier: &mut Courier, now: Duration) -> Vec<u64> {
    let mut sent = Vec::new();
    while let Some(seq) = courier.next_unsent() {
        assert_eq!(courier.stamp().seq, seq);
        courier.sent(1, now);
        sent.push(seq);
    }
    sent
}

#[test]
fn a_new_epoch_waits_until_the_old_one_is_confirmed() {
    let mut courier = Courier::new(settings(), [Span { epoch: OLD, first: 5, last: 6 }]);
    courier.stored(NEW, 7, 8);
    assert_eq!(send(&mut courier, seconds(0)), [5, 6]);
    assert_eq!(courier.confirmed(&confirmation(NEW, 8), seconds(1)), None);
    assert_eq!(courier.confirmed(&confirmation(OLD, 6), seconds(1)), Some(6));
    assert_eq!(courier.stamp(), Stamp { epoch: NEW, seq: 7, floor: 7 });
    assert_eq!(send(&mut courier, seconds(1)), [7, 8]);
    assert_eq!(courier.confirmed(&confirmation(OLD, 6), seconds(1)), None);
    assert_eq!(courier.confirmed(&confirmation(NEW, 8), seconds(1)), Some(8));
    assert!(courier.is_done());
    courier.stored(NEW, 7, 9);
    assert_eq!(courier.stamp(), Stamp { epoch: NEW, seq: 9, floor: 9 });
}

/// Whatever a bridge says, nothing is released that was not sent.
#[test]
fn a_confirmation_of_what_was_not_sent_counts_as_far_as_it_was() {
    let mut courier = Courier::new(settings(), [Span { epoch: OLD, first: 1, last: 5 }]);
    courier.sent(1, seconds(0));
    assert_eq!(courier.confirmed(&confirmation(OLD, u64::MAX - 1), seconds(0)), Some(1));
    assert_eq!(courier.confirmed(&confirmation(OLD, u64::MAX - 1), seconds(0)), None);
    assert_eq!(send(&mut courier, seconds(0)), [2, 3, 4, 5]);
}

#[test]
fn a_stall_is_told_ever_later_and_halves_what_may_be_under_way() {
    let mut courier = Courier::new(settings(), [Span { epoch: OLD, first: 1, last: 100 }]);
    assert_eq!(courier.stall_at(), None, "nothing is awaited");
    let mut now = seconds(100);
    for (pause, allowed) in [(10, 8), (20, 4), (40, 2), (80, 2), (80, 2)] {
        assert_eq!(send(&mut courier, now).len(), allowed);
        assert_eq!(courier.stall_at(), Some(now + seconds(pause)));
        assert!(!courier.stall(now + seconds(pause - 1)));
        now += seconds(pause);
        assert!(courier.stall(now));
        courier.lost();
    }
    assert_eq!(send(&mut courier, now), [1, 2]);
    courier.confirmed(&confirmation(OLD, 2), now);
    assert_eq!(send(&mut courier, now), [3, 4, 5, 6], "it grows by what is confirmed");
    assert_eq!(courier.stall_at(), Some(now + seconds(10)));
}

#[test]
fn a_bridge_that_misses_something_gets_it_once_for_each_time_it_may_ask() {
    let mut courier = Courier::new(settings(), [Span { epoch: OLD, first: 1, last: 5 }]);
    send(&mut courier, seconds(0));
    let missing = Confirmation { resend: true, ..confirmation(OLD, 2) };
    assert_eq!(courier.confirmed(&missing, seconds(0)), Some(2));
    assert_eq!(send(&mut courier, seconds(0)), [3, 4, 5]);
    assert_eq!(courier.confirmed(&missing, seconds(0)), None);
    assert_eq!(send(&mut courier, seconds(0)), [0_u64; 0], "what was on the way comes first");
    courier.confirmed(&missing, seconds(1));
    assert_eq!(courier.unconfirmed(), 0);
    assert_eq!(send(&mut courier, seconds(1)), [3, 4], "and then less at once");
}

#[test]
fn with_a_bridge_a_puback_releases_nothing() {
    let mut courier = Courier::new(settings(), [Span { epoch: OLD, first: 1, last: 2 }]);
    assert_eq!(send(&mut courier, seconds(0)), [1, 2]);
    assert_eq!(courier.acked(1, seconds(0)), None);
    assert_eq!(courier.unconfirmed(), 2);
}

#[test]
fn where_no_bridge_is_a_puback_releases_in_order() {
    let settings = CourierSettings { until: Until::Broker, ..settings() };
    let mut courier = Courier::new(settings, [Span { epoch: OLD, first: 1, last: 4 }]);
    courier.sent(1, seconds(0));
    courier.sent(2, seconds(0));
    courier.sent(1, seconds(0));
    assert_eq!(courier.acked(2, seconds(0)), None);
    assert_eq!(courier.acked(1, seconds(0)), Some(3));
    courier.lost();
    assert_eq!(courier.acked(4, seconds(0)), None, "of a connection that is gone");
    assert_eq!(send(&mut courier, seconds(0)), [4]);
    assert_eq!(courier.acked(4, seconds(0)), Some(4));
    assert!(courier.is_done());
}
