//! C-2, I-6: three hosts and twelve partitions, one of them killed every few seconds.

use std::time::Duration;

use weir_e2e::hosts::{Group, Line, instance};
use weir_e2e::servers::{KAFKA_CLUSTER, address};

use crate::{fish, seeds};

/// Roles of hosts that only predict and compare.
const ROLES: &str = "roles = [\"predict\", \"join\", \"drift\"]";
/// Events in a second.
const RATE: f64 = 4_000.0;
/// A host is killed this often.
const KILLS: Duration = Duration::from_secs(5);

/// I-5: most partitions never have a row, and then none has: windows close all the same.
#[test]
fn idle_partitions_are_not_waited_for() {
    let _machine = crate::shared();
    let mut line = Line::new(&address(KAFKA_CLUSTER), 12, 400, 0);
    line.without_tail();
    let group = Group::new(&line, "idle", &format!("{ROLES}\n[window]\nidle-after = \"3s\"\n"));
    let hosts = group.hosts(1);
    line.feed(400.0).join().expect("fed");
    let took = group.finish(hosts);
    group.check("I-5", 0, took);
}

#[test]
fn three_hosts_that_are_killed_do_what_one_does() {
    let _machine = crate::shared();
    for seed in seeds() {
        let line = Line::new(&address(KAFKA_CLUSTER), 12, fish(40_000), seed);
        let group = Group::new(&line, "three", ROLES);
        let mut hosts = group.hosts(3);
        let fed = line.feed(RATE);
        let mut victim = 0;
        while !fed.is_finished() {
            std::thread::sleep(KILLS);
            hosts[victim].kill();
            hosts[victim] = group.host(&instance(victim), &[]);
            victim = (victim + 1) % hosts.len();
        }
        fed.join().expect("fed");
        let recovery = group.finish(hosts);
        let three = group.check("C-2 hosts", seed, recovery);

        let group = Group::new(&line, "one", ROLES);
        let took = group.finish(group.hosts(1));
        let one = group.check("one host", seed, took);
        assert_eq!(one.found, three.found, "to the last bit");
    }
}
