//! How a host says it is: when it is ready, and what it has counted.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_embedded::kafka::EmbeddedKafka;
use weir_host::{Control, HostConfig, HostCounters, HostVitals, Role};
use weir_kafka::Progress;
use weir_service::health::Vitals as _;
use weir_service::health::{HealthConfig, HealthServer};
use weir_service::{EventClock, Shutdown};

use crate::fish::{PER_WINDOW, fish, training_rows};
use crate::line::{Line, now, soon};

/// Waits until it says this about its readiness.
async fn says(vitals: &HostVitals, expected: Result<(), &str>) {
    let is_so = async {
        loop {
            let said = vitals.ready();
            let is_expected = match (&said, expected) {
                (Ok(()), Ok(())) => true,
                (Err(said), Err(part)) => said.contains(part),
                _ => false,
            };
            if is_expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon(&format!("readiness: {expected:?}, not {:?}", vitals.ready()), is_so).await;
}

/// The page as a scraper gets it.
async fn page(vitals: Arc<HostVitals>) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = HealthServer::bind(&HealthConfig { listen: "127.0.0.1:0".into() }).await;
    let (server, shutdown) = (server.expect("bound"), Shutdown::new());
    let address = server.address().expect("listens");
    let running = tokio::spawn(server.run(vitals, shutdown.clone()));
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    shutdown.cancel();
    running.await.expect("no panic");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_says_what_it_has_done() {
    let mut line = Line::start(1);
    // Nobody listens there; but who may be asked looks how much waits.
    line.config.health.listen = "127.0.0.1:0".into();
    let host = line.host();
    let vitals = HostVitals::new(&line.config, line.progress.clone(), Arc::clone(&host.counters));
    says(&vitals, Err("no model")).await;
    line.publish(&training_rows(&["salmon"])).await;
    says(&vitals, Ok(())).await;
    line.pass(&fish(0..PER_WINDOW, "salmon")).await;
    line.pass(&fish(30..61, "walleye")).await;
    line.settled().await;
    line.pass(&fish(61..91, "walleye")).await;
    line.settled().await;
    let (progress, counters) = (line.progress.clone(), Arc::clone(&host.counters));
    let page = page(Arc::new(HostVitals::new(&line.config, progress, counters))).await;
    for expected in [
        "weir_host_ready 1.0",
        "weir_host_model_version{place=\"serving\"} 2.0",
        "weir_host_model_swaps_total 2",
        "weir_host_predictions_total{outcome=\"value\"} 91",
        "weir_host_predictions_total{outcome=\"unseen-level\"} 0",
        "weir_host_records_done_total{role=\"predict\",topic=\"machine-measurement\"} 91",
        "weir_host_joined_total 91",
        "weir_host_join_events_pending{side=\"target\"} 0.0",
        "weir_host_windows_closed_total{triggered=\"no\"} 2",
        "weir_host_windows_closed_total{triggered=\"yes\"} 1",
        "weir_host_window_threshold 0.15",
        "weir_host_triggers_total{detector=\"window-mean\"} 1",
        "weir_host_trainings_total{result=\"champion\"} 1",
        "weir_host_trainings_total{result=\"row-not-stored\"} 0",
        "weir_host_rows_stored_total 91",
        "weir_host_partitions_assigned{role=\"drift\",topic=\"weight-diff\"} 1.0",
        "weir_host_partitions_assigned{role=\"models\",topic=\"models\"} 1.0",
        "weir_host_lag_records{role=\"join\",topic=\"machine-weight\"} 0.0",
        "weir_host_role_restarts_total{role=\"train\"} 0",
    ] {
        assert!(page.lines().any(|line| line == expected), "no {expected} in\n{page}");
    }
    // One walleye of the last window was predicted by the version that had seen none.
    let error = page.lines().find_map(|line| line.strip_prefix("weir_host_window_mean_error "));
    let error: f64 = error.expect("a window has closed").parse().expect("a number");
    assert!(error > 0.01 && error < 0.02, "{error}");
    host.stop().await;
    // Its readers have left.
    assert!(vitals.ready().is_err());
}

/// Of two hosts that watch one stands by. It is ready: nothing is missing.
#[tokio::test(flavor = "multi_thread")]
async fn who_stands_by_is_ready_and_who_waits_for_topics_is_not() {
    let line = Line::start(2);
    let mut config = line.config.clone();
    config.store.uri = "mongodb://nobody-opens-it/".into();
    config.roles = BTreeSet::from([Role::Drift]);
    let (mut all, mut held) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let (progress, counters) = (Progress::default(), Arc::new(HostCounters::default()));
        let vitals = HostVitals::new(&config, progress.clone(), Arc::clone(&counters));
        let shutdown = Shutdown::new();
        let clock = Arc::new(EventClock::new(now()));
        let run = weir_host::run(
            config.clone(),
            clock,
            progress.clone(),
            Control::default(),
            counters,
            shutdown.clone(),
        );
        let task = tokio::spawn(run);
        says(&vitals, Ok(())).await;
        all.push((shutdown, task));
        held.push((progress, vitals));
    }
    let partitions = || {
        let mut counts = [0, 1].map(|n: usize| held[n].0.positions("weir-drift").len());
        counts.sort_unstable();
        counts
    };
    soon("one to stand by", async {
        while partitions() != [0, 2] || held.iter().any(|(_, vitals)| vitals.ready().is_err()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    for (shutdown, task) in all {
        shutdown.cancel();
        soon("the end", task).await.expect("no panic").expect("in order");
    }

    let empty = EmbeddedKafka::start().expect("starts");
    let mut without = HostConfig { roles: config.roles.clone(), ..line.config.clone() };
    without.kafka.brokers = empty.brokers();
    without.store.uri.clone_from(&config.store.uri);
    let counters = Arc::new(HostCounters::default());
    let vitals = HostVitals::new(&without, Progress::default(), Arc::clone(&counters));
    let shutdown = Shutdown::new();
    let clock = Arc::new(EventClock::new(now()));
    let control = Control::default();
    let run =
        weir_host::run(without, clock, Progress::default(), control, counters, shutdown.clone());
    let task = tokio::spawn(run);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(vitals.ready(), Err("waiting for Kafka and its topics".to_owned()));
    shutdown.cancel();
    soon("the end", task).await.expect("no panic").expect("in order");
}
