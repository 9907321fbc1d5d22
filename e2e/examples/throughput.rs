//! How many events hosts join in a second, by the number of hosts and of partitions: events that are in Kafka already are
//! predicted and joined. The time runs from the first joined row to the last: before it the group is formed.
//!
//! ```sh
//! cargo run --release -p weir-e2e --example throughput -- localhost:9092 100000
//! ```
//!
//! The hosts are the programs beside it. Beside the rate: the processor time of all hosts for 100,000 events, and the
//! baseline: a bare consumer that only reads the same events.

use std::time::{Duration, Instant};

use weir_e2e::fleet::report;
use weir_e2e::hosts::{Group, Line};

const PARTITIONS: [u32; 3] = [1, 4, 12];
const HOSTS: [usize; 3] = [1, 2, 3];
/// Clock ticks of the kernel in a second.
const TICKS: f64 = 100.0;

#[expect(clippy::cast_precision_loss, reason = "few events")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let kafka = arguments.next().expect("usage: throughput HOST:PORT [FISH]");
    let fish = arguments.next().map_or(50_000, |text| text.parse().expect("a number of fish"));
    report("partitions  hosts  events/s  of a bare reader  CPU s/100,000  seconds");
    for partitions in PARTITIONS {
        let line = Line::new(&kafka, partitions, fish, 0);
        line.feed(f64::INFINITY).join().expect("fed");
        let began = Instant::now();
        let events = line.read();
        let bare = events as f64 / began.elapsed().as_secs_f64();
        for hosts in HOSTS {
            let label = format!("{partitions}-{hosts}");
            let group = Group::new(&line, &label, "roles = [\"predict\", \"join\"]");
            let mut rows = group.rows();
            let running = group.hosts(hosts);
            rows.await_count(1);
            let before: f64 = running.iter().map(|host| processor_seconds(host.id())).sum();
            let took = rows.await_count(line.joinable());
            let after: f64 = running.iter().map(|host| processor_seconds(host.id())).sum();
            running.into_iter().for_each(weir_e2e::process::Process::terminate);
            let rate = events as f64 / took.max(Duration::from_millis(1)).as_secs_f64();
            report(&format!(
                "{partitions:>10}  {hosts:>5}  {rate:>8.0}  {:>16.2}  {:>13.2}  {:>7.1}",
                rate / bare,
                (after - before) / events as f64 * 100_000.0,
                took.as_secs_f64(),
            ));
        }
    }
}

/// What a process has had of the processors so far.
fn processor_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in brackets, may have spaces.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks =
        fields.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}
