//! N-4 and C-4: Kafka is silent, or killed and started again, while machines and MQTT go on.
//!
//! The server is the one that other tests use: these wait meanwhile.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_e2e::fleet::{Size, report};
use weir_e2e::process::{PATIENCE, Process, built};
use weir_e2e::servers::{MQTT, address};
use weir_e2e::way::Way;
use weir_e2e::wire::{Packet, Packets};
use weir_events::{Confirmation, Epoch};
use weir_service::{Clock as _, SystemClock};

use crate::chaos::{Run, seeds};

/// What the bridge may have resident, in KiB.
const BRIDGE_KIB_MAX: u64 = 64 * 1024;

/// Asks for a change of the server that `cargo xtask services` has started.
fn kafka(action: &str) {
    let status = Command::new(built("xtask")).args(["services", action, "kafka"]).status();
    assert!(status.expect("xtask runs").success(), "xtask services {action} kafka");
}

/// How long Kafka is silent. `WEIR_SILENCE` asks for more seconds: an hour is as good as a minute for the memory.
fn silence() -> Duration {
    let asked = std::env::var("WEIR_SILENCE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(20))
}

/// What the bridge has told, as it was seen on the wire.
#[derive(Clone, PartialEq, Default, Debug)]
struct Told {
    /// PUBACKs, to the broker.
    pubacks: usize,
    /// The highest number confirmed to each agent.
    through: HashMap<Epoch, u64>,
}

impl Told {
    fn note(&mut self, packet: Packet) {
        match packet {
            Packet::PubAck => self.pubacks += 1,
            Packet::Publish { topic, payload } => {
                let Confirmation { epoch, through, .. } =
                    Confirmation::parse(&payload).unwrap_or_else(|_| panic!("on {topic}"));
                let highest = self.through.entry(epoch).or_default();
                *highest = through.max(*highest);
            }
            Packet::Other(_) => {}
        }
    }

    /// The sum over all agents.
    fn confirmed(&self) -> usize {
        usize::try_from(self.through.values().sum::<u64>()).expect("a count of lines")
    }
}

/// A way from the bridge to the broker, and what is seen on it.
struct Wire {
    way: Way,
    told: Arc<Mutex<Told>>,
}

impl Wire {
    fn new(broker: SocketAddr) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let (seen, connections) = (Arc::clone(&told), Mutex::new(HashMap::<u64, Packets>::new()));
        let tap = move |number, bytes: &[u8]| {
            let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
            for packet in connections.entry(number).or_default().push(bytes) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).note(packet);
            }
        };
        Self { way: Way::tapped(broker, Arc::new(tap)), told }
    }

    fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Kafka is silent in the middle of a load. What the bridge tells then must be what Kafka had before.
#[test]
fn kafka_is_silent_and_then_restarted() {
    let _machine = crate::alone();
    let broker = address(MQTT).parse().expect("an address");
    for seed in seeds() {
        let wire = Wire::new(broker);
        let mut run = Run::start(seed, Size::or(20, 1_000), broker, wire.way.proxy.address());
        let began = Instant::now();
        while wire.told().pubacks == 0 {
            assert!(began.elapsed() < PATIENCE, "nothing is acknowledged");
            std::thread::sleep(Duration::from_millis(1));
        }
        kafka("pause");
        // What Kafka had reported is passed on, and agents that have everything end.
        std::thread::sleep(Duration::from_secs(1));
        let before = wire.told();
        let waiting =
            |run: &mut Run| run.agents.iter_mut().map(Process::is_running).filter(|is| *is).count();
        let agents = waiting(&mut run);
        let began = Instant::now();
        let mut peak = 0;
        while began.elapsed() < silence() {
            std::thread::sleep(Duration::from_millis(500));
            peak = peak.max(run.bridge.memory_peak_kib());
            assert_eq!(waiting(&mut run), agents, "an agent was told that Kafka has everything");
        }
        let (after, until) = (wire.told(), SystemClock.now());
        kafka("resume");
        let records = run.fleet.records(&[&run.fleet.topics().measurement]);
        let held = records.iter().filter(|record| record.timestamp < until).count();
        let (pubacks, confirmed) = (after.pubacks, after.confirmed());
        report(&format!(
            "{{\"row\":\"N-4\",\"silence_s\":{},\"bridge_peak_kib\":{peak},\"kafka_had\":{held},\"pubacks\":{pubacks},\
             \"confirmed\":{confirmed},\"agents_waiting\":{agents}}}",
            silence().as_secs()
        ));
        assert!(agents > 0, "the load was over before Kafka was silent");
        assert_eq!(after, before, "told while Kafka said nothing");
        assert!(0 < pubacks && pubacks <= held && confirmed <= held, "{after:?}");
        assert!(peak < BRIDGE_KIB_MAX, "{peak} KiB");
        run.trouble(2, (300, 1_000), |_| kafka("restart"));
        run.check("N-4, C-4");
    }
}
