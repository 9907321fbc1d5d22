//! one machine's clock jumps, among machines whose clocks are right; and the bridge's own clock is wrong.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use weir_e2e::clock::FakeClock;
use weir_e2e::fleet::{Fleet, Size, device_and_fish, report};
use weir_e2e::metrics::{Page, any_port};
use weir_e2e::process::{PATIENCE, Process};
use weir_e2e::servers::{KAFKA, MQTT, address};
use weir_events::{EventTime, Reason, TopicNames, headers};
use weir_service::{Clock as _, SystemClock};

const GOOD: Size = Size { devices: 4, lines: 500 };
const OFFENDER: &str = "jumper";

/// What is done to the clock, and whether what the machine then says lies in the future.
const JUMPS: [(&str, bool); 7] = [
    ("+0", false),
    ("+1h", true),
    ("+0", false),
    ("-1h", false),
    ("@1970-01-02 00:00:00", false),
    ("@2099-01-01 00:00:00", true),
    ("+0", false),
];
/// Rows that the machine writes between two jumps.
const ROWS: usize = 20;

/// A machine whose rows have no times: its agent dates them, by a clock that jumps.
struct Offender {
    agent: Process,
    clock: FakeClock,
    rows: File,
}

impl Offender {
    fn start(fleet: &Fleet, mqtt: SocketAddr) -> Self {
        let (clock, path) = (FakeClock::new(fleet.path("clock")), fleet.path("rows.csv"));
        let mut rows = File::create(&path).expect("made");
        rows.write_all(b"Fish_Id,Species,Length,Height\n").expect("written");
        let mut environment = fleet.agent_settings(GOOD.devices);
        environment.extend(clock.environment());
        environment.extend([("WEIR__DEVICE", OFFENDER.to_owned()), any_port()]);
        let (broker, path) = (mqtt.to_string(), path.display().to_string());
        let arguments = ["--broker", &broker, "read", "file", &path, "--format", "csv"];
        let follow = ["--follow", "--from", "start"];
        let agent =
            Process::start_with("weir-agent", &[&arguments[..], &follow].concat(), &environment);
        Self { agent, clock, rows }
    }

    /// Goes through all jumps, and waits until Kafka has everything.
    fn jump(mut self) {
        let health = self.agent.health();
        for (index, (time, _)) in JUMPS.into_iter().enumerate() {
            self.clock.set(time);
            for row in 0..ROWS {
                writeln!(self.rows, "{},salmon,88.25,19.5", index * ROWS + row).expect("written");
            }
            until(health, "weir_agent_records_taken_total", (index + 1) * ROWS);
        }
        until(health, "weir_agent_records_acked_total", JUMPS.len() * ROWS);
        self.agent.terminate();
    }
}

/// Waits until a program has counted so many.
fn until(health: SocketAddr, name: &str, count: usize) -> Page {
    let began = Instant::now();
    loop {
        let page = Page::scrape(health).unwrap_or_default();
        if page.sum(name) >= count as u64 {
            return page;
        }
        assert!(began.elapsed() < PATIENCE, "{name} does not come to {count}: {page:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What Kafka has of each device, in order.
type Records = BTreeMap<String, Vec<(Vec<u8>, Vec<u8>)>>;

fn of_devices(fleet: &Fleet) -> Records {
    let mut devices = Records::new();
    for record in fleet.records(&[&fleet.topics().measurement]) {
        let bytes = (record.key.clone().expect("a key"), record.payload().to_vec());
        devices.entry(device_and_fish(&record).0.to_owned()).or_default().push(bytes);
    }
    devices
}

fn run(with_offender: bool) -> (Fleet, Page) {
    let fleet = Fleet::new(&address(KAFKA), GOOD);
    let mqtt = address(MQTT).parse().expect("an address");
    let mut bridge = fleet.bridge(mqtt, &[any_port()]);
    let health = bridge.health();
    let offender = with_offender.then(|| Offender::start(&fleet, mqtt));
    let agents = fleet.agents(mqtt);
    if let Some(offender) = offender {
        offender.jump();
    }
    fleet.finish(agents);
    let page = Page::scrape(health).expect("answers");
    bridge.terminate();
    (fleet, page)
}

#[test]
fn a_clock_that_jumps_touches_nobody_else() {
    let _machine = crate::shared();
    let (quiet, _) = run(false);
    let (fleet, page) = run(true);
    let mut devices = of_devices(&fleet);
    let offender = devices.remove(OFFENDER).unwrap_or_default();
    let changed = devices != of_devices(&quiet);
    let outcome = fleet.outcome();
    let letters = fleet.records(&[&TopicNames::dead_letter(&fleet.topics().measurement)]);
    let future = JUMPS.iter().filter(|(_, is_future)| *is_future).count() * ROWS;
    let counted = page.labelled(
        "weir_bridge_messages_dead_lettered_total",
        &format!("{:?}", Reason::FutureTimestamp.as_str()),
    );
    report(&format!(
        "{{\"row\":\"R-4\",\"jumps\":{},\"sent\":{},\"lost\":{},\"others_changed\":{changed},\"offender_sent\":{},\
         \"offender_kept\":{},\"dead_lettered\":{}}}",
        JUMPS.len(),
        outcome.sent,
        outcome.lost,
        JUMPS.len() * ROWS,
        offender.len(),
        letters.len(),
    ));
    assert!(!changed, "the other machines' records differ");
    assert_eq!((outcome.lost, outcome.dup_raw, outcome.reordered), (0, 0, 0), "{outcome:?}");
    assert_eq!((letters.len(), counted), (future, future as u64));
    for letter in &letters {
        assert_eq!(letter.header(headers::REASON), Some(Reason::FutureTimestamp.as_str()));
    }
    // All else is kept, as it was dated.
    let kept = JUMPS.iter().enumerate().filter(|(_, (_, is_future))| !is_future);
    let kept =
        kept.flat_map(|(index, (time, _))| (0..ROWS).map(move |row| (index * ROWS + row, *time)));
    let now = SystemClock.now();
    assert_eq!(offender.len(), JUMPS.len() * ROWS - future);
    for ((key, payload), (fish, time)) in offender.iter().zip(kept) {
        assert_eq!(String::from_utf8_lossy(key), format!("{OFFENDER}/{fish}"));
        let json: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
        let dated: EventTime = json["Timestamp"].as_str().expect("a time").parse().expect("a time");
        let expected = match time {
            "+0" => now,
            "-1h" => now.minus(Duration::from_secs(3_600)),
            _ => "1970-01-02T00:00:00Z".parse().expect("a time"),
        };
        assert!(dated.distance(expected) < PATIENCE, "{fish} at {time}: {dated}, not {expected}");
    }
}

/// While its clock shows less than what the settings demand, the bridge cannot judge which times lie in the future: it judges
/// none, and acknowledges none. Here the settings demand a little more than the clock shows, since librdkafka hangs
/// under a fake clock.
#[test]
fn a_bridge_without_a_clock_holds_everything_until_it_is_set() {
    let _machine = crate::shared();
    let fleet = Fleet::new(&address(KAFKA), GOOD);
    let mqtt = address(MQTT).parse().expect("an address");
    let set_at = SystemClock.now().plus(Duration::from_secs(6));
    let demanded = ("WEIR__LIMITS__CLOCK_NOT_BEFORE", set_at.to_string());
    let mut bridge = fleet.bridge(mqtt, &[demanded, any_port()]);
    let health = bridge.health();
    let mut agents = fleet.agents(mqtt);
    bridge.await_line("the clock is wrong; holding all messages until it is set");
    std::thread::sleep(Duration::from_secs(2));
    let page = Page::scrape(health).expect("answers");
    let all_wait = agents.iter_mut().all(Process::is_running);
    let topics = fleet.topics();
    let letters = TopicNames::dead_letter(&topics.measurement);
    let written = fleet.records(&[&topics.measurement, &letters]).len();
    assert!(SystemClock.now() < set_at, "this machine is too slow to see anything held");
    let names = ["forwarded", "dead_lettered", "acknowledged"];
    let done = names.map(|name| page.sum(&format!("weir_bridge_messages_{name}_total")));
    assert_eq!((done, page.sum("weir_bridge_connected")), ([0; 3], 1));
    assert!(all_wait && written == 0, "{written} records");

    bridge.await_line("the clock has been set");
    let recovery = fleet.finish(agents);
    let page = Page::scrape(health).expect("answers");
    bridge.terminate();
    assert_eq!(page.sum("weir_bridge_subscriptions_total"), 1);
    fleet.check("R-4 bridge", 0, recovery);
}
