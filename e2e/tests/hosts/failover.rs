//! C-2, M-6, M-4: hosts with all roles and a store that they share. One after the other is killed; in the end every
//! trigger has exactly one version, and a host that was away or comes late serves the newest.

use std::time::{Duration, Instant};

use weir_e2e::fleet::report;
use weir_e2e::hosts::{Group, Line};
use weir_e2e::servers::{KAFKA_CLUSTER, address};

use crate::fish;
use crate::store::Database;

/// How soon a host serves the newest version, from its start on.
const CONVERGED: Duration = Duration::from_secs(5);

#[test]
fn hosts_that_train_are_killed() {
    let _machine = crate::shared();
    let line = Line::new(&address(KAFKA_CLUSTER), 3, fish(6_000), 0);
    let database = Database::new();
    // Every window asks for a version.
    let more = format!("{}[window]\nthreshold = 0.000001\n", database.section());
    let group = Group::new(&line, "failover", &more);
    let mut hosts: Vec<_> = (0..2).map(|_| group.host("", &[])).collect();
    hosts.iter_mut().for_each(|host| host.await_line("model serves"));
    let fed = line.feed(600.0);
    let mut kills = 0;
    while !fed.is_finished() {
        std::thread::sleep(Duration::from_secs(8));
        kills += 1;
        hosts.remove(0).kill();
        hosts.push(group.host("", &[]));
    }
    fed.join().expect("fed");
    group.finish_windows();
    group.await_committed("train");
    group.check_versions("C-2, M-6 trainer", kills);
    let newest = group.newest_version();
    let began = Instant::now();
    let mut late = group.host("", &[]);
    late.await_line(&format!("model.version={newest} "));
    let took = began.elapsed();
    report(&format!(
        "{{\"row\":\"M-4 late host\",\"version\":{newest},\"seconds\":{:.1}}}",
        took.as_secs_f64()
    ));
    crate::in_time("M-4", took, CONVERGED);
    hosts.push(late);
    for mut host in hosts {
        host.signal("-TERM");
        host.ended(Duration::from_secs(10));
        let served = host.log().lines().rfind(|line| line.contains("model serves"));
        let served = served.unwrap_or_else(|| panic!("served nothing:\n{}", host.log()));
        assert!(served.contains(&format!("model.version={newest} ")), "{served}");
    }
}
