//! C-3: the MQTT broker is killed and has forgotten everything; or it drops what its queue cannot hold, and tells nobody.

use weir_e2e::fleet::Size;
use weir_e2e::mosquitto::Mosquitto;

use crate::chaos::{Run, seeds};

#[test]
fn the_broker_is_killed_and_forgets() {
    let _machine = crate::shared();
    for seed in seeds() {
        let mut broker = Mosquitto::start("max_queued_messages 0");
        let address = broker.address();
        let mut run = Run::start(seed, Size::or(20, 2_000), address, address);
        run.trouble(3, (200, 1_500), |_| broker.kill_and_restart());
        run.check("C-3");
    }
}

/// The bridge is away for a while, so that the queue overflows; agents have PUBACKs for all of it.
#[test]
fn the_broker_silently_drops_its_queue() {
    let _machine = crate::shared();
    for seed in seeds() {
        let broker = Mosquitto::start("max_queued_messages 100\nmax_inflight_messages 20");
        let address = broker.address();
        let mut run = Run::start(seed, Size::or(20, 2_000), address, address);
        run.trouble(2, (100, 300), |run| {
            run.bridge.signal("-STOP");
            std::thread::sleep(run.dice.pause(1_000, 2_000));
            run.bridge.signal("-CONT");
        });
        run.check("C-3 queue");
    }
}
