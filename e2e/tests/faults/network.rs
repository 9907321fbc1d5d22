//! N-1 to N-3, N-7: the network between agents and broker, and between broker and bridge, is cut, goes silent, delays, slices
//! and resets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use weir_e2e::fleet::{Fleet, Size, report};
use weir_e2e::servers::{KAFKA, MQTT, address};
use weir_e2e::way::Way;
use weir_embedded::proxy::Weather;

use crate::chaos::{Run, seeds};

/// What the services of a fleet have as their keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Two ways to the broker.
struct Ways {
    agents: Way,
    bridge: Way,
}

impl Ways {
    fn new() -> Self {
        let broker: SocketAddr = address(MQTT).parse().expect("an address");
        Self { agents: Way::new(broker), bridge: Way::new(broker) }
    }

    fn set(&self, weather: Weather) {
        self.agents.proxy.set(weather);
        self.bridge.proxy.set(weather);
    }

    fn run(&self, seed: u64, size: Size) -> Run {
        Run::start(seed, size, self.agents.proxy.address(), self.bridge.proxy.address())
    }
}

#[test]
fn connections_are_cut() {
    let _machine = crate::shared();
    for seed in seeds() {
        let ways = Ways::new();
        let mut run = ways.run(seed, Size::or(20, 2_000));
        run.trouble(20, (20, 200), |run| match run.dice.below(4) {
            0 => ways.bridge.proxy.cut(),
            1 => {
                ways.agents.proxy.close();
                std::thread::sleep(run.dice.pause(100, 1_000));
                ways.agents.proxy.open();
            }
            _ => ways.agents.proxy.cut(),
        });
        run.check("N-1, N-7");
    }
}

#[test]
fn bytes_come_singly_late_and_not_at_all() {
    let _machine = crate::shared();
    for seed in seeds() {
        let ways = Ways::new();
        let weather = Weather {
            latency: Duration::from_millis(100),
            jitter: Duration::from_millis(100),
            slice: 1,
            ..Weather::default()
        };
        ways.agents.proxy.set(weather);
        ways.bridge.proxy.set(Weather { slice: 0, resets_per_mille: 10, ..weather });
        let run = ways.run(seed, Size::or(5, 60));
        run.check("N-3");
    }
}

/// Nobody is told that the connection is gone: both sides see it by the silence.
#[test]
fn a_silent_network_is_seen_within_two_keep_alives() {
    let _machine = crate::shared();
    let ways = Ways::new();
    let fleet = Fleet::new(&address(KAFKA), Size { devices: 1, lines: 1 });
    let mut bridge = fleet.bridge(ways.bridge.proxy.address(), &[]);
    let mut agent = fleet.agent_that_stays(0, ways.agents.proxy.address(), &[]);
    agent.await_line("connected to the broker");
    let silent = Weather { silent: true, ..Weather::default() };
    ways.set(silent);
    let began = Instant::now();
    agent.await_line("no connection to the broker");
    let agent_saw = began.elapsed();
    bridge.await_line("not connected to the MQTT broker");
    let bridge_saw = began.elapsed();
    report(&format!(
        "{{\"row\":\"N-2\",\"keep_alive_s\":5,\"agent_s\":{:.1},\"bridge_s\":{:.1}}}",
        agent_saw.as_secs_f64(),
        bridge_saw.as_secs_f64()
    ));
    let limit = 2 * KEEP_ALIVE + Duration::from_secs(1);
    assert!(agent_saw <= limit && bridge_saw <= limit, "{agent_saw:?} {bridge_saw:?}");
    ways.set(Weather::default());
    agent.terminate();
    bridge.terminate();
    fleet.check("N-2", 0, began.elapsed());
}
