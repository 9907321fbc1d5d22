//! two hosts with all roles at 500 events a second: nothing is lost, and memory and files stay as they are.
//! `WEIR_SOAK` says for how many seconds.

use std::time::{Duration, Instant};

use weir_e2e::fleet::report;
use weir_e2e::hosts::{Group, Line, instance};
use weir_e2e::servers::{KAFKA_CLUSTER, address};

use crate::store::{Database, stored};

const RATE: f64 = 500.0;
/// Runs of an hour and more must not grow faster than this, in KiB an hour.
const SLOPE_MAX: f64 = 1024.0;

#[test]
fn a_long_run() {
    let _machine = crate::shared();
    let asked = std::env::var("WEIR_SOAK").ok().and_then(|text| text.parse().ok());
    let seconds: usize = asked.unwrap_or(15);
    // Two events each.
    let line = Line::new(&address(KAFKA_CLUSTER), 4, seconds * 250, 0);
    let database = Database::new();
    let group =
        Group::new(&line, "soak", &format!("{}[window]\nthreshold = 1e9\n", database.section()));
    let mut hosts: Vec<_> = (0..2).map(|number| group.host(&instance(number), &[])).collect();
    hosts.iter_mut().for_each(|host| host.await_line("model serves"));
    let fed = line.feed(RATE);
    let began = Instant::now();
    let mut samples = vec![Vec::new(); hosts.len()];
    while !fed.is_finished() {
        std::thread::sleep(Duration::from_secs(1));
        for (host, samples) in hosts.iter().zip(&mut samples) {
            #[expect(clippy::cast_precision_loss, reason = "kibibytes")]
            samples.push((began.elapsed().as_secs_f64() / 3600.0, host.memory_kib() as f64));
        }
    }
    fed.join().expect("fed");
    let files: Vec<usize> = hosts.iter().map(|host| open_files(host.id())).collect();
    group.finish_windows();
    group.await_committed("sink");
    let took = group.finish(hosts);
    let outcome = group.check("R-5", 0, took);
    // The first half is the warming-up.
    let slopes: Vec<f64> =
        samples.iter().map(|samples| slope(&samples[samples.len() / 2..])).collect();
    let last = samples.iter().filter_map(|samples| samples.last()).map(|sample| sample.1);
    report(&format!(
        "{{\"row\":\"R-5 memory\",\"seconds\":{seconds},\"resident_kib\":{:?},\"slope_kib_per_h\":{slopes:.0?},\
         \"open_files\":{files:?}}}",
        last.collect::<Vec<_>>()
    ));
    // The server may take long to find so many documents: what was measured is told already.
    stored(&database, &outcome);
    if seconds >= 3600 {
        assert!(slopes.iter().all(|slope| *slope < SLOPE_MAX), "{slopes:?} KiB/h");
    }
}

/// Least squares.
fn slope(samples: &[(f64, f64)]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "few samples")]
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let covariance: f64 = samples.iter().map(|sample| (sample.0 - x) * (sample.1 - y)).sum();
    covariance / samples.iter().map(|sample| (sample.0 - x).powi(2)).sum::<f64>()
}

fn open_files(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}
