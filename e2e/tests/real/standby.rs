//! Two bridges with one client id: one works, the other takes over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use weir_e2e::process::{Process, complete};
use weir_e2e::servers::{KAFKA, MQTT, address};
use weir_events::headers;

use crate::site::{Site, broker, next};

impl Site {
    fn standby(&self) -> String {
        let (host, port) = broker(MQTT);
        let mqtt = format!(
            "standby = true\n[mqtt]\nhost = {host:?}\nport = {port}\nkeep-alive = \"5s\"\n"
        );
        self.bridge_with(&mqtt, &format!("[kafka]\nbrokers = {:?}\n", address(KAFKA)))
    }
}

/// One is killed under load, and comes back as the one that waits; then the other one ends in order.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_bridge_takes_over_and_nothing_is_lost() {
    const FISH: usize = 20_000;
    let site = Site::with_topics(1);
    let config = site.standby();
    let start = || Process::start("weir-bridge", &["--config", &config]);
    let mut first = start();
    first.await_line("subscribed");
    let mut second = start();
    second.await_line("another bridge is active");

    let agent = site.file("agent.toml", &format!("line = {:?}\n", site.name));
    let (mqtt, fish) = (address(MQTT), FISH.to_string());
    let machine = std::thread::spawn(move || {
        let simulate = ["simulate", "--events", &fish, "--speed", "max"];
        let link = ["--config", &agent, "--broker", &mqtt];
        complete("weir-agent", &[&link[..], &simulate].concat())
    });
    let mut reader = site.reader(&site.topics.measurement).await;
    let mut ids = BTreeSet::new();
    let mut read = async |enough: usize| {
        while ids.len() < enough {
            for record in next(&mut reader).await {
                ids.insert(record.header(headers::ID).expect("an id").to_owned());
            }
        }
    };
    read(FISH / 10).await;
    let killed = Instant::now();
    first.signal("-KILL");
    second.await_line("subscribed");
    let taken = killed.elapsed();
    println!("taken over after {taken:?}");
    assert!(taken < Duration::from_secs(10), "{taken:?}");

    let mut first = start();
    first.await_line("another bridge is active");
    read(FISH / 2).await;
    second.terminate();
    first.await_line("subscribed");
    read(FISH).await;
    machine.join().expect("the machine");
    reader.close().await;
    first.terminate();
}
