//! How many events hosts join in a second, by the number of hosts and of partitions: events that are in Kafka already are
//! predicted and joined. The time runs from a quarter of the joined rows to nine tenths: before it the group is formed, after
//! it the last partitions run out.
//!
//! ```sh
//! cargo run --release -p weir-e2e --example throughput -- localhost:9092 100000
//! ```
//!
//! The hosts are the programs beside it. Beside the rate: the processor time of all hosts for 100,000 events, how much of
//! all processors they had meanwhile, and the rate of the baseline: a bare consumer that only reads the same events.

use std::time::Instant;

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
    let processors = std::thread::available_parallelism().expect("a number").get() as f64;
    report("partitions  hosts  events/s  of a bare reader  CPU s/100,000  of all CPUs  seconds");
    for partitions in PARTITIONS {
        let line = Line::new(&kafka, partitions, fish, 0);
        line.feed(f64::INFINITY).join().expect("fed");
        let (events, took) = line.read();
        let bare = events as f64 / took.as_secs_f64();
        for hosts in HOSTS {
            let label = format!("{partitions}-{hosts}");
            let group = Group::new(&line, &label, "roles = [\"predict\", \"join\"]");
            let mut rows = group.rows();
            let running = group.hosts(hosts);
            let used =
                || -> f64 { running.iter().map(|host| processor_seconds(host.id())).sum::<f64>() };
            let first = rows.await_count(line.joinable() / 4);
            let before = used();
            let began = Instant::now();
            let last = rows.await_count(line.joinable() * 9 / 10);
            let seconds = began.elapsed().as_secs_f64();
            let used = used() - before;
            running.into_iter().for_each(weir_e2e::process::Process::terminate);
            // Of each joined row there are two events.
            let measured = 2.0 * (last - first) as f64;
            let rate = measured / seconds;
            report(&format!(
                "{partitions:>10}  {hosts:>5}  {rate:>8.0}  {:>16.2}  {:>13.2}  {:>11.2}  {seconds:>7.1}",
                rate / bare,
                used / measured * 100_000.0,
                used / seconds / processors,
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
