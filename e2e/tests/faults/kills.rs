//! C-2: agents and bridge are killed (SIGKILL) at random moments and started again.

use weir_e2e::fleet::Size;
use weir_e2e::servers::{MQTT, address};

use crate::chaos::{Run, seeds};

#[test]
fn agents_are_killed() {
    let _machine = crate::shared();
    let broker = address(MQTT).parse().expect("an address");
    for seed in seeds() {
        let mut run = Run::start(seed, Size::or(20, 2_000), broker, broker);
        run.trouble(60, (20, 120), |run| {
            let device = run.dice.below(run.agents.len());
            if run.agents[device].is_running() {
                run.agents[device].kill();
                run.agents[device] = run.fleet.agent(device, run.agents_reach, &[]);
            }
        });
        run.check("C-2 agent");
    }
}

#[test]
fn the_bridge_is_killed() {
    let _machine = crate::shared();
    let broker = address(MQTT).parse().expect("an address");
    for seed in seeds() {
        let mut run = Run::start(seed, Size::or(20, 2_000), broker, broker);
        run.trouble(4, (200, 1_500), |run| {
            run.bridge.kill();
            run.bridge = run.fleet.bridge(run.bridge_reaches, &[]);
        });
        run.check("C-2 bridge");
    }
}

/// C-1: an agent dies at each of the points where something could be lost, the first, the second and a later time.
#[test]
fn agents_die_at_every_point() {
    let _machine = crate::shared();
    let broker = address(MQTT).parse().expect("an address");
    for point in [
        "agent-append",
        "agent-commit-written",
        "agent-commit-synced",
        "agent-sent",
        "agent-puback",
        "agent-confirmed",
        "agent-released",
        "agent-save",
    ] {
        let mut run = Run::idle(0, Size { devices: 3, lines: 600 }, broker, broker);
        for (device, hit) in ["1", "2", "50"].into_iter().enumerate() {
            let crash = [("WEIR_CRASH", format!("{point}:{hit}"))];
            let mut agent = run.fleet.agent(device, broker, &crash);
            // Some points are not come to so often in so short a run.
            let died = agent.died();
            assert!(died || hit != "1", "{point} was never reached");
            run.agents.push(run.fleet.agent(device, broker, &[]));
        }
        run.check(&format!("C-1 {point}"));
    }
}

/// C-1: the bridge likewise.
#[test]
fn the_bridge_dies_at_every_point() {
    let _machine = crate::shared();
    let broker = address(MQTT).parse().expect("an address");
    for point in [
        "bridge-received",
        "bridge-produced",
        "bridge-delivered",
        "bridge-acked",
        "bridge-confirmed",
    ] {
        // Confirmations are few.
        let later = if point == "bridge-confirmed" { 5 } else { 50 };
        for hit in [1, 2, later] {
            let mut run = Run::idle(0, Size { devices: 3, lines: 300 }, broker, broker);
            run.bridge.kill();
            let crash = [("WEIR_CRASH", format!("{point}:{hit}"))];
            let mut bridge = run.fleet.bridge(broker, &crash);
            run.agents = run.fleet.agents(broker);
            let died = bridge.died();
            assert!(died, "{point} was not reached {hit} times");
            run.bridge = run.fleet.bridge(broker, &[]);
            run.check(&format!("C-1 {point}:{hit}"));
        }
    }
}
