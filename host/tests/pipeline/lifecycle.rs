//! From a trained version to one that serves, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use weir_events::{EventTime, ModelVersion};
use weir_host::PromotionSection;
use weir_kafka::Record;
use weir_registry::{Action, CauseKind, Manifest, Policy, Request, Stage};

use crate::fish::{Event, PER_WINDOW, fish, training_rows};
use crate::line::{Line, soon};

impl Line {
    /// Asks the trainer for something, and waits until it is done.
    async fn ask(&self, id: &str, action: Action) {
        let request = Request {
            id: id.into(),
            model: "weight".into(),
            action,
            by: "ann".into(),
            reason: "a test".into(),
            timestamp: EventTime::EPOCH,
        };
        let event = Event { key: b"weight".to_vec(), id: None, payload: request.encode() };
        self.write(&self.config.topics.request, &[event]).await;
        self.settled().await;
    }

    /// What has been published, in short: number, stage, source, cause.
    async fn lives(&self) -> Vec<(u64, Stage, Option<u64>, CauseKind)> {
        let life = |manifest: Manifest| {
            let source = manifest.source.map(|source| source.0);
            (manifest.version.0, manifest.stage, source, manifest.cause.kind)
        };
        self.versions().await.into_iter().map(life).collect()
    }
}

/// A new species comes; the version that knows it must be better on rows held out, and then on live rows, before it serves.
/// A version that turns out worse is replaced by the one before. People go back, and forth again.
#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_line_changes_its_model_only_for_a_better_one() {
    use CauseKind::{Comparison, File, Promotion, Retrain, Rollback, Trigger};
    use Stage::{Challenger, Champion};
    let mut line = Line::start(1);
    line.config.train.rows = 40;
    line.config.promotion = PromotionSection {
        policy: Policy::BetterThanChampion,
        margin: 0.1,
        hold_out: 10,
        shadow_rows: 5,
        probation_rows: 5,
        shadow_max: Duration::from_secs(3_600),
    };
    let (worse, first) = line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;
    line.pass(&fish(0..PER_WINDOW, "salmon")).await;
    line.pass(&fish(30..61, "walleye")).await;
    line.settled().await;
    let mut lives = vec![(1, Champion, None, File), (2, Challenger, None, Trigger)];
    assert_eq!(line.lives().await, lives);
    let challenger = line.versions().await.remove(1);
    let hold_out = challenger.hold_out.expect("rows were held out");
    assert_eq!((hold_out.n, hold_out.champion), (10, Some(ModelVersion(1))));
    assert!(hold_out.error < 0.001 && hold_out.champion_error > Some(0.1), "{hold_out:?}");
    assert_eq!(challenger.rows.n, 40);
    let selection = challenger.rows.selection.expect("rows of the store");
    assert_eq!((selection.taken, selection.held_out), (50, 10));

    // Five rows on which it predicts beside the champion.
    line.pass(&fish(61..66, "walleye")).await;
    line.settled().await;
    lives.push((3, Champion, Some(2), Comparison));
    assert_eq!(line.lives().await, lives);
    let shadows = line.predictions().await.split_off(61);
    assert!(shadows.iter().all(|prediction| {
        prediction.model.version.0 == 1
            && prediction.shadow.is_some_and(|shadow| shadow.version.0 == 2)
    }));

    // Five rows in probation: it stays.
    line.pass(&fish(66..71, "walleye")).await;
    line.settled().await;
    assert_eq!(line.lives().await, lives);
    let shadow = line.predictions().await.pop().and_then(|prediction| prediction.shadow);
    assert_eq!(shadow.map(|shadow| shadow.version.0), Some(1));

    // One that is worse is put into service by hand, and does not survive its probation.
    let manifest = Manifest { probation: Some(ModelVersion(3)), ..first };
    let mut catalog = line.catalog().await;
    soon("a version", catalog.publish(worse.model.bytes(), manifest)).await.expect("published");
    line.settled().await;
    line.pass(&fish(71..76, "walleye")).await;
    line.settled().await;
    lives.extend([(4, Champion, None, File), (5, Champion, Some(3), Comparison)]);
    assert_eq!(line.lives().await, lives);

    // People go back to what was before the component that serves, and forth again.
    line.ask("back", Action::Rollback { version: None }).await;
    line.ask("forth", Action::Promote { version: ModelVersion(2) }).await;
    line.ask("forth", Action::Promote { version: ModelVersion(2) }).await;
    line.ask("nothing", Action::Promote { version: ModelVersion(99) }).await;
    line.ask("new", Action::Retrain).await;
    lives.extend([
        (6, Champion, Some(1), Rollback),
        (7, Champion, Some(2), Promotion),
        (8, Challenger, None, Retrain),
    ]);
    assert_eq!(line.lives().await, lives);
    let back = &line.versions().await[5];
    assert_eq!(
        (back.cause.by.as_deref(), back.cause.reason.as_deref()),
        (Some("ann"), Some("a test"))
    );
    assert_eq!(back.digest, weir_events::Digest::from_bytes(worse.model.digest()));
    assert_eq!(line.predictions().await.len(), 76);
    host.stop().await;
}

/// The trainer goes on behind it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_set_aside() {
    let line = Line::start(1);
    line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;
    let event = Event { key: b"weight".to_vec(), id: None, payload: b"{}".to_vec() };
    line.write(&line.config.topics.request, &[event]).await;
    line.settled().await;
    let dead = weir_events::TopicNames::dead_letter(&line.config.topics.request);
    assert_eq!(line.records(&dead).await.len(), 1);
    host.stop().await;
}

/// How many swaps, and how many fish are written for each, in batches.
const SWAPS: usize = 100;
const BATCHES: u32 = 5;
const BATCH: u32 = 20;
/// Between two batches. The load is bounded whatever the machine: the broker in this process keeps so much and no more.
const PACE: Duration = Duration::from_millis(12);

impl Line {
    /// Measures the fish of one swap. Returns the number of the next one.
    async fn load(&self, start: u32) -> u32 {
        let mut pace = tokio::time::interval(PACE);
        let ends = (1..=BATCHES).map(|batch| start + batch * BATCH);
        for end in ends {
            pace.tick().await;
            let salmon = fish(end - BATCH..end, "salmon");
            let measurements: Vec<_> = salmon.iter().map(crate::fish::Fish::measurement).collect();
            self.write(&self.config.topics.measurement, &measurements).await;
        }
        start + BATCHES * BATCH
    }

    /// When Kafka was given the record of each fish, in milliseconds, by its number.
    async fn times(&self, topic: &str) -> Vec<i64> {
        let time = |record: &Record| {
            let number: u32 = record.key_text().expect("a key").parse().expect("a number");
            (number, record.timestamp.as_micros() / 1_000)
        };
        let times: BTreeMap<_, _> = self.records(topic).await.iter().map(time).collect();
        times.into_values().collect()
    }
}

/// A hundred swaps while fish pass: each is predicted, by exactly one version, which has the digest of its manifest.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_swaps_lose_and_mix_nothing() {
    let line = Line::start(4);
    let (salmon, _) = line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;
    let trainer = line.trainer(line.schema());
    let both = trainer.train(&training_rows(&["salmon", "walleye"]), 0).expect("fits");
    let mut next = 0;
    for _ in 0..SWAPS {
        next = line.load(next).await;
    }
    let steady = usize::try_from(next).expect("not many");
    let mut catalog = line.catalog().await;
    for number in 0..SWAPS {
        let trained = if number % 2 == 0 { &both } else { &salmon };
        let cause = weir_registry::Cause::file();
        let manifest = trainer.manifest(trained, "weight", crate::line::now(), cause);
        let swap = catalog.publish(trained.model.bytes(), manifest);
        let swapped = async { tokio::join!(swap, line.load(next)) };
        let (published, end) = soon("a swap under load", swapped).await;
        published.expect("published");
        next = end;
    }
    let fish = usize::try_from(next).expect("not many");
    line.settled().await;
    let digests: Vec<_> = line.versions().await.into_iter().map(|it| it.model_ref()).collect();
    assert_eq!(digests.len(), SWAPS + 1);
    let predictions = line.predictions().await;
    let ids: BTreeSet<_> = predictions.iter().map(|it| it.measurement.id).collect();
    assert_eq!((predictions.len(), ids.len()), (fish, fish));
    assert!(predictions.iter().all(|prediction| digests.contains(&prediction.model)));
    let served: BTreeSet<_> = predictions.iter().map(|it| it.model.version).collect();
    let (measured, predicted) = (
        line.times(&line.config.topics.measurement).await,
        line.times(&line.config.topics.prediction).await,
    );
    let mut latencies: Vec<_> =
        predicted.iter().zip(&measured).map(|(to, from)| to - from).collect();
    let (before, during) = latencies.split_at_mut(steady);
    let percentile = |latencies: &mut [i64]| {
        latencies.sort_unstable();
        latencies[latencies.len() * 99 / 100]
    };
    println!(
        r#"{{"row":"M-3","events":{fish},"missing":0,"swaps":{SWAPS},"versions_that_predicted":{},"p99_ms_steady":{},"p99_ms_swapping":{}}}"#,
        served.len(),
        percentile(before),
        percentile(during)
    );
    assert!(served.len() > 20, "{} versions served", served.len());
    host.stop().await;
}

/// Kafka is away when a host starts: it serves what it served last, and nothing brings it back behind that.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_begins_with_what_it_has_on_disk() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut line = Line::start(1);
    line.config.models.path = folder.path().join("models");
    let (_, first) = line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;
    let (_, second) = line.publish(&training_rows(&["salmon", "walleye"])).await;
    line.settled().await;
    host.stop().await;
    let mut config = line.config.clone();
    config.kafka.brokers = "127.0.0.1:9".into();
    let runtime =
        || weir_runtime::Runtime::new(line.config.limits().expect("valid")).expect("starts");
    let follower = |config: &weir_host::HostConfig| {
        let clock = Arc::new(weir_service::EventClock::new(crate::line::now()));
        let progress = weir_kafka::Progress::default();
        weir_host::model::Follower::new(config, line.schema(), runtime(), progress, clock)
            .expect("starts")
    };
    let offline = follower(&config);
    offline.restore().await;
    assert_eq!(offline.slot().version(), Some(second.model_ref()));
    assert!(
        weir_registry::Layout::open(&config.models.path).is_err(),
        "another process has the directory"
    );
    drop(offline);

    // Something was published while it was down: what is on disk must not predict any more.
    let (_, third) = line.publish(&training_rows(&["walleye"])).await;
    line.pass(&fish(0..1, "walleye")).await;
    let host = line.host();
    line.until("a prediction", |progress| progress.count(&line.config.topics.prediction) >= 1)
        .await;
    line.settled().await;
    assert_eq!(line.predictions().await[0].model, third.model_ref());
    host.stop().await;

    // Another topic, in which the first version is the newest: somebody has set Kafka back.
    let mut other = Line::start(1);
    other.config.models.path.clone_from(&line.config.models.path);
    other.publish(&training_rows(&["salmon"])).await;
    let host = other.host();
    other.ready().await;
    other.pass(&fish(0..1, "salmon")).await;
    other.settled().await;
    assert_eq!(other.predictions().await[0].model, third.model_ref());
    host.stop().await;

    // The key is revoked: nothing that it has signed serves any more, also from disk.
    config.trust.revoked = [crate::line::signing_key().public().id()].into();
    config.trust.keys.push(other_key(folder.path()));
    let revoked = follower(&config);
    revoked.restore().await;
    assert_eq!(revoked.slot().version(), None);
    assert_eq!(first.version, ModelVersion(1));
}

fn other_key(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("other.pub");
    let key = weir_registry::SecretKey::from_seed(&[9; 32]).public();
    std::fs::write(&path, key.to_pem()).expect("written");
    path
}
