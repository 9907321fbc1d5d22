//! the store of training rows is slow, or full. And databases of one group's own, in a server of MongoDB's protocol.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use weir_e2e::fleet::report;
use weir_e2e::hosts::{Group, Line, Outcome};
use weir_e2e::process::{Process, built};
use weir_e2e::servers::{KAFKA_CLUSTER, MONGODB, address, unique};
use weir_e2e::way::Way;
use weir_embedded::proxy::Weather;
use weir_events::{EventTime, RowPosition, Schema, SchemaConfig};
use weir_host::HostConfig;
use weir_host::store::{MongoStore, RowOrder, TrainingStore as _};

use crate::fish;

/// More documents are not read: a server of MongoDB's protocol may take minutes for a million.
const NEWEST: usize = 20_000;

/// A database.
pub(crate) struct Database {
    uri: String,
    name: String,
}

impl Database {
    pub(crate) fn new() -> Self {
        Self { uri: address(MONGODB), name: unique("hosts-") }
    }

    /// The settings of hosts that use it.
    pub(crate) fn section(&self) -> String {
        self.section_at(&self.uri)
    }

    /// The same by another way.
    pub(crate) fn section_at(&self, uri: &str) -> String {
        format!("[store]\nuri = {uri:?}\ndatabase = {:?}\n", self.name)
    }

    /// The keys of the newest documents, so many that the server answers in time.
    fn keys(&self) -> Vec<String> {
        let mut config = HostConfig::load(None).expect("defaults");
        config.store.uri.clone_from(&self.uri);
        config.store.database.clone_from(&self.name);
        let schema = Schema::try_from(&SchemaConfig::fish()).expect("a schema");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let rows = runtime.expect("a runtime").block_on(async {
            let store = MongoStore::connect(&config.store, schema.into()).await.expect("valid");
            let position = RowPosition { partition: i32::MAX, offset: i64::MAX };
            store.newest(NEWEST, RowOrder { time: EventTime::MAX, position }).await
        });
        let key =
            |row: weir_host::store::TrainingRow| row.joined.prediction.measurement.key.to_string();
        rows.expect("read").into_iter().map(key).collect()
    }
}

/// Checks that every row is stored, and none twice.
pub(crate) fn stored(database: &Database, outcome: &Outcome) {
    let keys: Vec<_> =
        database.keys().into_iter().filter(|key| !key.starts_with("tail-")).collect();
    let distinct: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "a row is stored twice");
    let missing = outcome.found.rows.keys().find(|key| !distinct.contains(key));
    assert!(keys.len() > NEWEST / 2 || missing.is_none(), "{missing:?} is not stored");
}

/// every write takes two seconds. Rows wait in Kafka; predictions go on, memory stays, no host loses its partitions.
#[test]
fn a_slow_store_disturbs_nobody() {
    let _machine = crate::shared();
    let line = Line::new(&address(KAFKA_CLUSTER), 4, fish(20_000), 0);
    let database = Database::new();
    let server = database.uri.trim_start_matches("mongodb://").trim_end_matches('/');
    let way = Way::new(server.parse().expect("one plain address"));
    let reached = format!("mongodb://{}/", way.proxy.address());
    let roles = "roles = [\"predict\", \"join\", \"drift\", \"sink\"]";
    let group = Group::new(&line, "slow", &format!("{roles}\n{}", database.section_at(&reached)));
    let hosts = group.hosts(2);
    let latency = Duration::from_secs(1);
    way.proxy.set(Weather { latency, ..Weather::default() });
    let fed = line.feed(2_000.0);
    std::thread::sleep(Duration::from_secs(5));
    let before: Vec<u64> = hosts.iter().map(Process::memory_kib).collect();
    fed.join().expect("fed");
    let grown =
        hosts.iter().zip(before).map(|(host, before)| host.memory_kib().saturating_sub(before));
    let grown = grown.max().expect("hosts");
    group.finish_windows();
    way.proxy.set(Weather::default());
    group.await_committed("sink");
    let took = group.finish(hosts);
    let outcome = group.check("R-3", 0, took);
    stored(&database, &outcome);
    report(&format!("{{\"row\":\"R-3 memory\",\"grown_kib\":{grown}}}"));
    assert!(grown < 50 * 1024, "{grown} KiB more");
    crate::in_time("no predictions", outcome.gap, Duration::from_secs(3));
}

/// the disk of the training rows is full. The model serves on, every event is predicted and joined; with room again the
/// sink has stored everything.
#[test]
fn a_full_disk_stops_no_prediction() {
    let _machine = crate::shared();
    let line = Line::new(&address(KAFKA_CLUSTER), 1, fish(20_000), 0);
    let disk = tempfile::tempdir().expect("a folder");
    let rows = disk.path().join("rows.redb");
    let window = "[window]\nthreshold = 1e9\ncloses = \"every-partition\"\n";
    let more = format!("[store]\npath = {rows:?}\n{window}");
    let group = Group::new(&line, "disk", &more);
    let script = "mount -t tmpfs -o size=4m tmpfs \"$0\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]).arg(disk.path()).arg(built("weir-host"));
    command.args(group.arguments());
    let mut host = Process::start_command("weir-host", &mut command);
    host.await_line("model serves");
    line.feed(4_000.0).join().expect("fed");
    group.finish_windows();
    host.await_line("the store of training rows is away");
    let size = "size=1g";
    let grow = Command::new("nsenter")
        .args(["-t", &host.id().to_string(), "-U", "-m", "--preserve-credentials"])
        .args(["mount", "-o", &format!("remount,{size}")])
        .arg(disk.path())
        .status();
    assert!(grow.expect("nsenter runs").success());
    group.await_committed("sink");
    let took = group.finish(vec![host]);
    let outcome = group.check("R-2", 0, took);
    assert_eq!(outcome.predicted, line.size() + line.tail());
}
