//! A host whose training rows are in a server of MongoDB's protocol, which is away for a while.
//!
//! The server is named by an environment variable, as `cargo xtask services up` prints it; without it the
//! tests fail. What they store is in a database of their own.

use std::net::SocketAddr;

use weir_embedded::proxy::Proxy;
use weir_events::{EventTime, RowPosition};
use weir_host::store::{MongoStore, RowOrder, TrainingStore as _};
use weir_host::{HostConfig, Role};

use crate::fish::{PER_WINDOW, fish, training_rows};
use crate::line::{Line, soon};

fn server() -> SocketAddr {
    let uri = std::env::var("WEIR_TEST_MONGODB").expect(
        "WEIR_TEST_MONGODB is not set: run `eval \"$(cargo xtask services up)\"` and the test again",
    );
    let address = uri.trim_start_matches("mongodb://").split('/').next().expect("an address");
    address.replace("localhost", "127.0.0.1").parse().expect("one plain address")
}

fn configure(config: &mut HostConfig, way: &Proxy, roles: impl IntoIterator<Item = Role>) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let name = folder.path().file_name().expect("a name").to_string_lossy().replace('.', "");
    config.store.uri = format!("mongodb://{}/?serverSelectionTimeoutMS=500", way.address());
    config.store.database = format!("test-{name}");
    config.roles = roles.into_iter().collect();
}

/// Every row of the topic is stored once, in order, and nothing else.
async fn all_is_stored(line: &Line, store: &MongoStore) {
    let position = RowPosition { partition: i32::MAX, offset: i64::MAX };
    let last = RowOrder { time: EventTime::MAX, position };
    let stored = store.newest(usize::MAX, last).await.expect("read");
    let mut joined = line.joined().await;
    joined.sort_by_key(|row| row.time);
    assert_eq!(Vec::from_iter(stored.into_iter().map(|row| row.joined)), joined);
}

/// Away at the start, and again in the middle. Predictions and joins go on; the sink makes up for it.
#[tokio::test(flavor = "multi_thread")]
async fn rows_wait_for_a_server_that_is_away() {
    let mut line = Line::start(1);
    let way = Proxy::start(server()).await.expect("starts");
    way.close();
    configure(&mut line.config, &way, [Role::Predict, Role::Join, Role::Sink]);
    line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    let (first, rest) = (fish(0..40, "salmon"), fish(40..100, "salmon"));
    line.pass(&first).await;
    let joined = &line.config.topics.joined;
    soon("rows that are joined without the store", async {
        while line.records(joined).await.len() < first.len() {}
    })
    .await;
    way.open();
    line.ready().await;
    line.settled().await;
    let store = MongoStore::connect(&line.config.store, line.schema()).await.expect("valid");
    assert_eq!(store.count().await.expect("counted"), 40);
    way.close();
    line.pass(&rest).await;
    soon("rows that are joined without the store", async {
        while line.records(joined).await.len() < 100 {}
    })
    .await;
    store.count().await.expect_err("the server is away");
    way.open();
    line.settled().await;
    all_is_stored(&line, &store).await;
    host.stop().await;
}

/// The trainer's process has no sink and only reads: it waits for the row that another process stores.
#[tokio::test(flavor = "multi_thread")]
async fn sink_and_train_are_processes_of_their_own() {
    let mut line = Line::start(1);
    let way = Proxy::start(server()).await.expect("starts");
    configure(&mut line.config, &way, [Role::Predict, Role::Join, Role::Drift, Role::Train]);
    let first = line.publish(&training_rows(&["salmon"])).await.1;
    let trainer = line.host();
    line.ready().await;
    let mut sink = line.config.clone();
    sink.roles = [Role::Sink].into();
    let readers = sink.readers();
    let sink = line.host_of(sink);
    line.until("the sink", |progress| readers.iter().all(|name| progress.is_ready(name))).await;
    line.pass(&fish(0..PER_WINDOW, "salmon")).await;
    // Of a species that weighs more than the model knows, and one that closes the window.
    line.pass(&fish(PER_WINDOW..2 * PER_WINDOW + 1, "walleye")).await;
    line.settled().await;
    let versions = line.versions().await;
    assert!(versions.len() > 1 && versions[0] == first, "{versions:?}");
    let store = MongoStore::connect(&line.config.store, line.schema()).await.expect("valid");
    all_is_stored(&line, &store).await;
    trainer.stop().await;
    sink.stop().await;
}
