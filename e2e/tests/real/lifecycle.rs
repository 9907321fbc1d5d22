//! Start and stop: services wait for what they need, and end in order with nothing in flight lost.

use std::time::Duration;

use weir_e2e::process::{Process, complete};
use weir_e2e::servers::{KAFKA, MQTT, address};
use weir_embedded::proxy::Proxy;

use crate::site::Site;

/// Host and bridge start when there is no Kafka yet; then there are no topics; then no model.
#[tokio::test(flavor = "multi_thread")]
async fn services_wait_for_kafka_for_topics_and_for_a_model() {
    let site = Site::new();
    // The way to Kafka's first address is cut; the others it names itself.
    let proxy = Proxy::start(address(KAFKA).parse().expect("an address")).await.expect("starts");
    proxy.close();
    let kafka = proxy.address().to_string();
    let config = site.host_at(&kafka, "");
    let mut host = Process::start("weir-host", &["--config", &config]);
    let (mqtt_host, mqtt_port) = crate::site::broker(MQTT);
    let bridge_config = site.bridge_with(
        &format!("[mqtt]\nhost = {mqtt_host:?}\nport = {mqtt_port}\n"),
        &format!("[kafka]\nbrokers = {kafka:?}\n"),
    );
    let mut bridge = site.start_bridge(&bridge_config);
    for process in [&mut host, &mut bridge] {
        process.await_line("waiting for Kafka's topics");
    }
    proxy.open();
    host.await_line("weir topics create");
    site.make_topics(1);
    host.await_line("all topics are there");
    let plain = site.host("");
    site.train(&plain);
    host.await_line("model serves");
    simulate(&agent(&site), 30);
    assert_eq!(site.joined(30).await.len(), 30);
    bridge.terminate();
    host.terminate();
}

fn agent(site: &Site) -> String {
    site.file("agent.toml", &format!("line = {:?}\n", site.name))
}

/// Sends fish past the line, with these settings of an agent.
fn simulate(config: &str, fish: u32) -> String {
    let (broker, fish) = (address(MQTT), fish.to_string());
    let arguments =
        ["--config", config, "--broker", &broker, "simulate", "--events", &fish, "--speed", "max"];
    complete("weir-agent", &arguments)
}

/// Bridge and host are ended and started again, over and over, while a machine sends.
#[tokio::test(flavor = "multi_thread")]
async fn orderly_ends_lose_nothing() {
    const FISH: u32 = 4_000;
    const RESTARTS: usize = 4;
    let site = Site::with_topics(4);
    let config = site.host("");
    site.train(&config);
    let bridge_config = site.bridge();
    let start_host = || {
        let mut host = Process::start("weir-host", &["--config", &config]);
        host.await_line("model serves");
        host
    };
    let agent = agent(&site);
    let mut services = [site.start_bridge(&bridge_config), start_host()];
    let [bridge, host] = std::thread::scope(|scope| {
        let machine = scope.spawn(move || simulate(&agent, FISH));
        for _ in 0..RESTARTS {
            let [bridge, host] = services;
            // Each ends within the grace period, or this fails.
            bridge.terminate();
            let bridge = site.start_bridge(&bridge_config);
            host.terminate();
            services = [bridge, start_host()];
        }
        let printed = machine.join().expect("no panic");
        let expected = format!("found 0  taken {0}  confirmed {0}", 2 * FISH);
        assert!(printed.starts_with(&expected), "{printed}");
        services
    });
    let joined = tokio::time::timeout(Duration::from_secs(120), site.joined(FISH as usize)).await;
    assert_eq!(joined.expect("in time").len(), FISH as usize);
    bridge.terminate();
    host.terminate();
}
