//! N-4 and C-4: Kafka is silent, or killed and started again, while machines and MQTT go on.
//!
//! The server is the one that other tests use; they are not in this program, and programs of tests run one after the other.

use std::process::Command;
use std::time::{Duration, Instant};

use weir_e2e::fleet::{Size, report};
use weir_e2e::process::built;
use weir_e2e::servers::{MQTT, address};

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

#[test]
fn kafka_is_silent_and_then_restarted() {
    let broker = address(MQTT).parse().expect("an address");
    for seed in seeds() {
        let mut run = Run::idle(seed, Size::or(20, 1_000), broker, broker);
        kafka("pause");
        run.agents = run.fleet.agents(broker);
        let began = Instant::now();
        let mut peak = 0;
        while began.elapsed() < silence() {
            std::thread::sleep(Duration::from_millis(500));
            peak = peak.max(run.bridge.memory_peak_kib());
            assert!(run.agents.iter_mut().all(weir_e2e::process::Process::is_running), "confirmed");
        }
        kafka("resume");
        report(&format!(
            "{{\"row\":\"N-4\",\"silence_s\":{},\"bridge_peak_kib\":{peak}}}",
            silence().as_secs()
        ));
        assert!(peak < BRIDGE_KIB_MAX, "{peak} KiB");
        run.trouble(2, (300, 1_000), |_| kafka("restart"));
        run.check("N-4, C-4");
    }
}
