//! Apache Kafka as plain Java processes: one node, a cluster of three, and one node with TLS, SCRAM and
//! ACLs. Every node is broker and controller. Maven fetches the jars, once.

mod secure;

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::folder::Folder;
use super::home::Home;
use super::ports::free_ports;
use crate::tools;

pub(super) use secure::start as start_secure;

const COMMON: &str = include_str!("../../services/kafka/node.properties");

/// Any will do: each server has data of its own.
const CLUSTER_ID: &str = "V2VpclRlc3RDbHVzdGVyMQ";

/// Fetches Kafka's jars, unless they are there.
pub(super) fn prepare(home: &Home) -> Result<()> {
    let pom = home.sources("kafka").join("pom.xml");
    home.prepare_once("kafka", std::slice::from_ref(&pom), |folder| {
        let mut command = tools::command("mvn");
        command.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
        command.arg(format!("-DoutputDirectory={}", folder.display())).arg("-f").arg(&pom);
        command
    })
}

/// Starts one plain node. Returns its address.
pub(super) fn start_plain(home: &Home, folder: &Folder) -> Result<Vec<String>> {
    let [client, controller] = free_ports()?;
    start_nodes(home, folder, [client], [controller])
}

/// Starts three plain nodes. Returns their addresses in one text.
pub(super) fn start_cluster(home: &Home, folder: &Folder) -> Result<Vec<String>> {
    let [a, b, c, d, e, f] = free_ports()?;
    start_nodes(home, folder, [a, b, c], [d, e, f])
}

fn start_nodes<const NODES: usize>(
    home: &Home,
    folder: &Folder,
    clients: [u16; NODES],
    controllers: [u16; NODES],
) -> Result<Vec<String>> {
    for index in 0..NODES {
        let name = node_name(index + 1);
        let protocols = "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT";
        let text = properties(index, &clients, &controllers, protocols, &folder.path(&name));
        let file = folder.write(&format!("{name}.properties"), &text)?;
        start_node(home, folder, &name, &file, &[])?;
    }
    let addresses = clients.map(|port| format!("127.0.0.1:{port}"));
    // Each is asked, and must know the others: what it would do alone is of no use.
    let mut probes: Vec<Command> = addresses.iter().map(|address| probe(address)).collect();
    folder.await_answer(|| probes.iter_mut().all(|probe| brokers(probe) == Some(NODES)))?;
    Ok(vec![addresses.join(",")])
}

/// The settings of the node with this index.
fn properties(
    index: usize,
    clients: &[u16],
    controllers: &[u16],
    protocols: &str,
    data: &Path,
) -> String {
    let ids = 1..;
    let voters: Vec<String> =
        ids.zip(controllers).map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
    let (client, controller) = (clients[index], controllers[index]);
    let copies = clients.len();
    // One node may be away.
    let in_sync = copies.div_ceil(2);
    format!(
        "{COMMON}
node.id={id}
controller.quorum.voters={voters}
listeners=CLIENTS://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{client}
listener.security.protocol.map={protocols}
log.dirs={data}
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
",
        id = index + 1,
        voters = voters.join(","),
        data = data.display(),
    )
}

fn node_name(number: usize) -> String {
    format!("node-{number}")
}

/// Kills the nodes of a plain server, or one of them, and starts them again, with the data that they have. Returns when
/// each knows all brokers, and these are in step.
pub(super) fn restart(
    home: &Home,
    folder: &Folder,
    addresses: &str,
    node: Option<usize>,
) -> Result<()> {
    let nodes = folder.kill(|name| node.is_none_or(|node| name == node_name(node)))?;
    for name in &nodes {
        let settings = folder.path(&format!("{name}.properties"));
        folder.start(name, java(home, &["-Xmx384m"], "kafka.Kafka").arg(settings))?;
    }
    let mut probes: Vec<Command> = addresses.split(',').map(probe).collect();
    let all = probes.len();
    let answers = |probe: &mut Command| {
        let listed = probe.output().ok().filter(|output| output.status.success());
        let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        listed.is_some_and(|listed| parse_brokers(&listed) == Some(all) && is_in_sync(&listed))
    };
    folder.await_answer(|| probes.iter_mut().all(answers))
}

/// Formats the folder of a node and starts it. `format` is said to the formatter too.
fn start_node(
    home: &Home,
    folder: &Folder,
    name: &str,
    settings: &Path,
    format: &[String],
) -> Result<()> {
    let mut formatter = tool(home, "kafka.tools.StorageTool");
    formatter.args(["format", "--cluster-id", CLUSTER_ID, "--config"]).arg(settings).args(format);
    folder.run(&format!("{name}-format"), &mut formatter).context("format the node's folder")?;
    folder.start(name, java(home, &["-Xmx384m"], "kafka.Kafka").arg(settings))
}

/// A Java machine with Kafka's jars: small, and soon at work. The compiler that makes long runs fast would
/// take the processors while the servers start.
fn java(home: &Home, options: &[&str], class: &str) -> Command {
    let mut command = tools::command("java");
    command.args(options).args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    let log = home.sources("kafka").join("log4j2.xml");
    command.arg(format!("-Dlog4j2.configurationFile=file:{}", log.display()));
    // Java itself resolves the asterisk.
    command.arg("-cp").arg(home.prepared("kafka").join("*")).arg(class);
    command
}

/// One of Kafka's own commands. Its log is short.
fn tool(home: &Home, class: &str) -> Command {
    java(home, &["-Xmx128m", "-Dlevel=WARN"], class)
}

/// Asks for the metadata of a cluster, as any client does.
fn probe(address: &str) -> Command {
    let mut command = tools::command("kcat");
    command.args(["-L", "-m", "5", "-b", address]).stderr(Stdio::null());
    command
}

/// How many brokers a cluster has, if it answers.
fn brokers(probe: &mut Command) -> Option<usize> {
    let output = probe.output().ok().filter(|output| output.status.success())?;
    parse_brokers(&String::from_utf8_lossy(&output.stdout))
}

/// Reads the line ` 3 brokers:`.
fn parse_brokers(listed: &str) -> Option<usize> {
    listed.lines().find_map(|line| line.trim().strip_suffix(" brokers:")?.parse().ok())
}

/// Whether every copy of every partition is in step, by lines such as `partition 0, leader 2, replicas: 2,3, isrs: 3,2`.
fn is_in_sync(listed: &str) -> bool {
    let copies = |text: &str| text.split(',').filter(|id| !id.trim().is_empty()).count();
    listed
        .lines()
        .filter_map(|line| line.split_once("replicas:")?.1.split_once("isrs:"))
        .all(|(replicas, in_sync)| copies(replicas.trim().trim_end_matches(',')) == copies(in_sync))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last value of a setting, which is the one that Kafka takes.
    fn setting(text: &str, name: &str) -> String {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.next_back().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_cluster_keeps_three_copies_of_which_one_may_be_away() {
        let text = properties(1, &[11, 12, 13], &[21, 22, 23], "", Path::new("/d"));
        for (name, value) in [
            ("node.id", "2"),
            ("controller.quorum.voters", "1@127.0.0.1:21,2@127.0.0.1:22,3@127.0.0.1:23"),
            ("listeners", "CLIENTS://127.0.0.1:12,CONTROLLER://127.0.0.1:22"),
            ("default.replication.factor", "3"),
            ("min.insync.replicas", "2"),
            ("transaction.state.log.min.isr", "2"),
            ("log.dirs", "/d"),
        ] {
            assert_eq!(setting(&text, name), value, "{name}");
        }
    }

    #[test]
    fn a_single_node_keeps_one_copy_and_makes_no_topic_by_itself() {
        let text = properties(0, &[11], &[21], "", Path::new("/d"));
        assert_eq!(setting(&text, "offsets.topic.replication.factor"), "1");
        assert_eq!(setting(&text, "min.insync.replicas"), "1");
        assert_eq!(setting(&text, "auto.create.topics.enable"), "false");
    }

    #[test]
    fn copies_that_are_behind_are_seen() {
        let line =
            |in_sync| format!("    partition 0, leader 2, replicas: 2,3,1, isrs: {in_sync}\n");
        assert!(is_in_sync(&line("2,1,3")));
        assert!(!is_in_sync(&(line("2,1,3") + &line("2,3"))));
    }

    #[test]
    fn brokers_are_counted_as_kcat_lists_them() {
        let listed = "Metadata for all topics (from broker 1: 127.0.0.1:9092/1):\n 3 brokers:\n  broker 1 at 127.0.0.1:9092 (controller)\n 0 topics:\n";
        assert_eq!(parse_brokers(listed), Some(3));
        assert_eq!(parse_brokers("% ERROR: Failed to acquire metadata\n"), None);
    }
}
