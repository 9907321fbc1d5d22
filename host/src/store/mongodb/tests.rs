//! The store against a real server of MongoDB's protocol, plain and over TLS.
//!
//! The server is named by environment variables, as `cargo xtask services up` prints them; without them
//! the tests fail. Each test has a database of its own and drops it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::suite::{self, row, schema};
use super::*;
use crate::HostConfig;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set: run `eval \"$(cargo xtask services up)\"` and then the test again"
        )
    })
}

fn secret(file: &str) -> PathBuf {
    PathBuf::from(variable("WEIR_TEST_SECRETS")).join(file)
}

/// The settings of a database that no other test has.
fn section(uri: String) -> StoreSection {
    let folder = tempfile::tempdir().expect("temporary folder");
    let name = folder.path().file_name().expect("a name").to_string_lossy().replace('.', "");
    let defaults = HostConfig::load(None).expect("the defaults are valid").store;
    StoreSection { uri, database: format!("test-{name}"), ..defaults }
}

fn plain() -> StoreSection {
    section(variable("WEIR_TEST_MONGODB"))
}

fn over_tls(ca: &str) -> StoreSection {
    StoreSection { ca_file: secret(ca), ..section(variable("WEIR_TEST_MONGODB_TLS")) }
}

async fn open(section: &StoreSection) -> MongoStore {
    let store = MongoStore::connect(section, schema()).await.expect("valid");
    store.prepare(Access::Write).await.expect("reached");
    store
}

async fn passes_the_suite(section: StoreSection) {
    let opened = AtomicU32::new(0);
    let empty = async || {
        let collection = opened.fetch_add(1, Ordering::Relaxed).to_string();
        Arc::new(open(&StoreSection { collection, ..section.clone() }).await)
            as Arc<dyn TrainingStore>
    };
    suite::check(empty).await;
    open(&section).await.remove().await.expect("removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite() {
    passes_the_suite(plain()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite_over_tls() {
    weir_service::tls::install_provider();
    passes_the_suite(over_tls("ca.pem")).await;
}

/// Another process, and a program that reads the index.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_the_rows_of_a_writer_and_makes_nothing() {
    let section = plain();
    let reader = MongoStore::connect(&section, schema()).await.expect("valid");
    reader.prepare(Access::Read).await.expect("reached");
    let database = reader.rows.client().database(&section.database);
    assert!(database.list_collection_names().await.expect("listed").is_empty());
    let writer = open(&section).await;
    let rows = vec![row(1, 10, 0, 0), row(2, 20, 0, 1)];
    writer.insert(rows.clone()).await.expect("inserted");
    assert!(reader.contains(rows[1].id()).await.expect("looked up"));
    assert_eq!(reader.newest(9, rows[1].order()).await.expect("read"), rows);
    // Made again, it is the same index.
    writer.prepare(Access::Write).await.expect("reached");
    let mut indexes = writer.rows.list_indexes().await.expect("listed");
    let mut keys = Vec::new();
    while indexes.advance().await.expect("listed") {
        keys.push(indexes.deserialize_current().expect("an index").keys);
    }
    assert!(keys.len() == 2 && keys.contains(&order(1)), "{keys:?}");
    writer.remove().await.expect("removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_another_schema_are_passed_over() {
    let store = open(&plain()).await;
    let rows: Vec<_> = (0..6).map(|n| row(n, n.into(), 0, n.into())).collect();
    let (ours, others): (Vec<_>, Vec<_>) =
        rows.iter().cloned().partition(|r| r.joined.time.as_micros() % 2 == 0);
    store.insert(ours.clone()).await.expect("inserted");
    let mut foreign: Vec<_> = others.iter().map(|row| document::encode(&schema(), row)).collect();
    foreign.iter_mut().for_each(|document| drop(document.remove("Length")));
    store.rows.insert_many(foreign).await.expect("inserted");
    assert_eq!(store.newest(2, rows[5].order()).await.expect("read"), ours[1..]);
    store.remove().await.expect("removed");
}

/// The error names the setting and is fatal, before anyone loses patience.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_trusted_is_a_wrong_setting() {
    weir_service::tls::install_provider();
    let mut public = variable("WEIR_TEST_MONGODB_TLS");
    if !public.contains("tls=true") {
        public = format!("{}/?tls=true", public.trim_end_matches('/'));
    }
    for section in [over_tls("other-ca.pem"), section(public)] {
        let store = MongoStore::connect(&section, schema()).await.expect("valid");
        let began = std::time::Instant::now();
        let error = store.prepare(Access::Write).await.expect_err("refused");
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(error.is_fatal(), "{error:?}");
        assert!(error.source.to_string().contains("store.ca-file"), "{}", error.source);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_may_come_back() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let uri = format!("mongodb://{address}/?serverSelectionTimeoutMS=200");
    let store = MongoStore::connect(&section(uri), schema()).await.expect("valid");
    let error = store.prepare(Access::Write).await.expect_err("nobody is there");
    assert!(!error.is_fatal());
    assert!(error.source.to_string().contains("refused"), "{}", error.source);
}
