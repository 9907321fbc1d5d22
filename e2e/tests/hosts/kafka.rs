//! C-4, N-6, I-6: the nodes of Kafka die one after the other; a host stands still for longer than its session; hosts come and
//! go. And how long predictions stand still when a host comes, goes or dies.

use std::time::{Duration, Instant};

use weir_e2e::fleet::report;
use weir_e2e::hosts::{Group, Line, SESSION_TIMEOUT, instance, services};
use weir_e2e::process::Process;
use weir_e2e::servers::{KAFKA_CLUSTER, address};

use crate::fish;

const ROLES: &str = "roles = [\"predict\", \"join\", \"drift\"]";
const RATE: f64 = 2_000.0;

/// C-4: each node in turn.
#[test]
fn nodes_of_kafka_are_killed() {
    let _machine = crate::alone();
    let line = Line::new(&address(KAFKA_CLUSTER), 6, fish(30_000), 0);
    let group = Group::new(&line, "nodes", ROLES);
    let hosts = group.hosts(2);
    let fed = line.feed(RATE);
    for node in ["1", "2", "3"] {
        services(&["restart", "kafka-cluster", "--node", node]);
    }
    fed.join().expect("fed");
    let recovery = group.finish(hosts);
    group.check("C-4 nodes", 0, recovery);
}

/// N-6: a host that is stopped for two sessions is given up, wakes up, and is harmless.
#[test]
fn a_zombie_is_harmless() {
    let _machine = crate::alone();
    let line = Line::new(&address(KAFKA_CLUSTER), 6, fish(25_000), 0);
    let group = Group::new(&line, "zombie", ROLES);
    let hosts = group.hosts(3);
    let fed = line.feed(RATE);
    std::thread::sleep(Duration::from_secs(2));
    // Stopped, not cut off: what it has in its buffers goes out when it wakes up.
    hosts[0].signal("-STOP");
    std::thread::sleep(SESSION_TIMEOUT * 2);
    hosts[0].signal("-CONT");
    fed.join().expect("fed");
    let recovery = group.finish(hosts);
    group.check("N-6", 0, recovery);
}

/// I-6: a host comes and goes again and again, and its groups do not know it.
#[test]
fn hosts_come_and_go() {
    let _machine = crate::alone();
    let line = Line::new(&address(KAFKA_CLUSTER), 6, fish(25_000), 0);
    let group = Group::new(&line, "rebalance", ROLES);
    let mut hosts = vec![group.host("", &[]), group.host("", &[])];
    hosts.iter_mut().for_each(|host| host.await_line("model serves"));
    let fed = line.feed(RATE);
    while !fed.is_finished() {
        let mut third = group.host("", &[]);
        third.await_line("model serves");
        std::thread::sleep(Duration::from_secs(3));
        third.terminate();
        std::thread::sleep(Duration::from_secs(2));
    }
    fed.join().expect("fed");
    let recovery = group.finish(hosts);
    group.check("I-6", 0, recovery);
}

/// How long predictions stand still: a restart in order, a kill with a restart, both by a host that its groups know; and a host
/// that dies and does not come back.
#[test]
fn predictions_go_on() {
    let _machine = crate::alone();
    let limit = Duration::from_secs(3);
    let restart = gap("restart", |group, hosts| {
        hosts.remove(0).terminate();
        hosts.push(group.host(&instance(0), &[]));
    });
    crate::in_time("restart", restart, limit);
    let killed = gap("kill and restart", |group, hosts| {
        hosts.remove(0).kill();
        hosts.push(group.host(&instance(0), &[]));
    });
    crate::in_time("kill and restart", killed, limit);
    let gap = gap("takeover", |_, hosts| hosts.remove(0).kill());
    let limit = SESSION_TIMEOUT + Duration::from_secs(3);
    crate::in_time("takeover", gap, limit);
}

/// The longest time that a partition had no prediction, when this happens to one of two hosts under a steady load.
fn gap(what: &str, happens: impl FnOnce(&Group<'_>, &mut Vec<Process>)) -> Duration {
    let line = Line::new(&address(KAFKA_CLUSTER), 4, 14_000, 0);
    let group = Group::new(&line, &what.replace(' ', "-"), ROLES);
    let mut hosts = group.hosts(2);
    let fed = line.feed(RATE);
    std::thread::sleep(Duration::from_secs(5));
    let began = Instant::now();
    happens(&group, &mut hosts);
    let took = began.elapsed();
    fed.join().expect("fed");
    let recovery = group.finish(hosts);
    let outcome = group.check(what, 0, recovery);
    report(&format!(
        "{{\"row\":\"gap\",\"what\":\"{what}\",\"gap_s\":{:.2},\"done_in_s\":{:.2}}}",
        outcome.gap.as_secs_f64(),
        took.as_secs_f64()
    ));
    outcome.gap
}
