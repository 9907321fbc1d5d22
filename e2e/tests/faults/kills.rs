//! C-2: agents and bridge are killed (SIGKILL) at random moments and started again.

use weir_e2e::fleet::Size;
use weir_e2e::servers::{MQTT, address};

use crate::chaos::{Run, seeds};

#[test]
fn agents_are_killed() {
    let broker = address(MQTT).parse().expect("an address");
    for seed in seeds() {
        let mut run = Run::start(seed, Size::or(20, 250), broker, broker);
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
    let broker = address(MQTT).parse().expect("an address");
    for seed in seeds() {
        let mut run = Run::start(seed, Size::or(20, 250), broker, broker);
        run.trouble(4, (200, 1_500), |run| {
            run.bridge.kill();
            run.bridge = run.fleet.bridge(run.bridge_reaches, &[]);
        });
        run.check("C-2 bridge");
    }
}
