//! Apache Kafka: the plain ones asked with kcat, the secured one with Weir's client, since Debian's kcat
//! does not log in there.

use std::path::Path;
use std::process::Command;

use weir_e2e::servers::{KAFKA, KAFKA_ACLS, KAFKA_CLUSTER, KAFKA_SECURE, address, unique};
use weir_events::TopicNames;
use weir_kafka::{
    Admin, Consumer, Creation, KafkaConfig, KafkaError, NewRecord, NewTopicSpec, Producer, Progress,
};

use super::{run, secret_path, secret_text};

fn plain(variable: &str) -> KafkaConfig {
    KafkaConfig::new(&address(variable), "weir-test")
}

fn secured(user: &str, password: &str, authority: &str) -> KafkaConfig {
    let settings = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanisms", "SCRAM-SHA-512"),
        ("sasl.username", user),
        ("sasl.password", password),
        ("ssl.ca.location", &secret_path(authority)),
        // A record that nobody takes fails the test soon.
        ("message.timeout.ms", "20000"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    KafkaConfig { settings, ..plain(KAFKA_SECURE) }
}

fn user(name: &str) -> KafkaConfig {
    secured(name, &secret_text(&format!("kafka-{name}.password")), "ca.pem")
}

async fn create(config: &KafkaConfig, topics: &[&str], replication: i32) {
    let spec = |name: &&str| NewTopicSpec {
        name: (*name).to_owned(),
        partitions: 1,
        replication,
        settings: Vec::new(),
    };
    let specs: Vec<_> = topics.iter().map(spec).collect();
    let created = Admin::new(config).expect("a client").create(&specs).await.expect("an answer");
    assert!(created.iter().all(|creation| *creation == Creation::Created), "{created:?}");
}

/// Writes a record; the reason if it was not delivered.
async fn write(config: &KafkaConfig, topic: &str) -> Result<(), String> {
    let producer = Producer::new(config, Progress::default()).expect("a client");
    let record = NewRecord { topic, key: None, payload: Some(b"x"), headers: &[], timestamp: None };
    let sent = producer.send_patiently(&record).await;
    let delivery = sent.map_err(|error| error.to_string())?;
    delivery.await.map(drop).map_err(|error| error.to_string())
}

/// Writes and reads with kcat.
async fn check_plain(variable: &str, brokers: i32) {
    let config = plain(variable);
    let state = Admin::new(&config).expect("a client").describe(&[]).await.expect("an answer");
    assert_eq!(state.brokers, brokers);
    let topic = unique("t-");
    create(&config, &[&topic], brokers).await;
    assert_eq!(write(&config, &topic).await, Ok(()));
    let arguments = ["-C", "-b", &config.brokers, "-t", &topic, "-e", "-q"];
    assert_eq!(String::from_utf8(run("kcat", &arguments).stdout).expect("UTF-8"), "x\n");
}

#[tokio::test]
async fn one_node_takes_records() {
    check_plain(KAFKA, 1).await;
}

#[tokio::test]
async fn three_nodes_keep_three_copies() {
    check_plain(KAFKA_CLUSTER, 3).await;
}

/// A topic that nobody made does not come into being by being asked for.
#[tokio::test]
async fn no_topic_makes_itself() {
    let (config, topic) = (plain(KAFKA), unique("t-"));
    let asked = run("kcat", &["-L", "-b", &config.brokers, "-t", &topic, "-m", "10"]);
    let listed = String::from_utf8(asked.stdout).expect("UTF-8");
    assert!(listed.contains("Unknown topic or partition"), "{listed}");
    let admin = Admin::new(&config).expect("a client");
    assert_eq!(admin.describe(&[&topic]).await.expect("an answer").topics, []);
}

/// Whether the broker tells a client what it has.
async fn is_let_in(config: KafkaConfig) -> bool {
    match Admin::new(&config).expect("a client").describe(&[]).await {
        Ok(state) => state.brokers == 1,
        Err(KafkaError::Unreachable { .. } | KafkaError::Denied { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Each of those that stay outside differs from one that gets in by one thing.
#[tokio::test]
async fn only_right_passwords_and_the_right_authority_lead_in() {
    for name in ["admin", "bridge", "host", "trainer"] {
        assert!(is_let_in(user(name)).await, "{name}");
    }
    let password = secret_text("kafka-bridge.password");
    let mut without_tls = user("bridge");
    without_tls.settings.insert("security.protocol".into(), "SASL_PLAINTEXT".into());
    let let_in = tokio::join!(
        is_let_in(secured("host", &password, "ca.pem")),
        is_let_in(secured("bridge", &password, "other-ca.pem")),
        is_let_in(without_tls),
    );
    assert_eq!(let_in, (false, false, false));
}

/// Which topics each user may write.
fn may_write(topics: &TopicNames) -> [(&'static str, Vec<String>); 3] {
    let dead = |topic: &str| TopicNames::dead_letter(topic);
    let TopicNames { measurement, target, prediction, joined, unjoined, .. } = topics;
    let TopicNames { window, trigger, request, models, unrouted, .. } = topics;
    let own = |topics: &[&String], dead_letters: &[&String]| {
        let dead_letters = dead_letters.iter().map(|topic| dead(topic));
        topics.iter().map(|topic| (*topic).clone()).chain(dead_letters).collect()
    };
    [
        ("bridge", own(&[measurement, target, unrouted], &[measurement, target])),
        ("host", own(&[prediction, joined, unjoined], &[measurement, target, prediction])),
        ("trainer", own(&[window, trigger, request, models], &[joined, trigger, request])),
    ]
}

/// The rights that deploy/kafka/acls.sh gives, each of which some role cannot do without.
#[tokio::test]
async fn every_user_may_do_its_own_work_and_no_other() {
    let prefix = format!("{}-", unique("t-"));
    let topics = TopicNames::default().prefixed(&prefix);
    let dead_letters = topics.dead_letters();
    let mut all: Vec<&str> = dead_letters.iter().map(String::as_str).collect();
    all.extend(topics.partitioned().into_iter().chain(topics.single()));
    create(&user("admin"), &all, 1).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kafka/acls.sh");
    let mut script = Command::new(script);
    script.env("PREFIX", &prefix).env("KAFKA_ACLS", address(KAFKA_ACLS));
    let output = script.output().expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    for (name, own) in may_write(&topics) {
        let config = user(name);
        for topic in &all {
            let written = write(&config, topic).await;
            if own.iter().any(|own| own == topic) {
                assert_eq!(written, Ok(()), "{name} to {topic}");
            } else {
                let reason = written.expect_err(topic);
                assert!(reason.contains("authorization failed"), "{name} to {topic}: {reason}");
            }
        }
    }
    let ends = async |name: &str, topic: &str| {
        let (config, topic) = (user(name), topic.to_owned());
        tokio::task::spawn_blocking(move || Consumer::ends(&config, &topic)).await.expect("ends")
    };
    let TopicNames { measurement, joined, models, .. } = &topics;
    for (name, topic) in [("host", measurement), ("host", models), ("trainer", joined)] {
        assert_eq!(ends(name, topic).await.expect(topic).len(), 1, "{name} reads {topic}");
    }
    for (name, topic) in [("bridge", models), ("trainer", measurement)] {
        let refused = ends(name, topic).await;
        assert!(matches!(refused, Err(KafkaError::TopicForbidden(_))), "{name}: {refused:?}");
    }
}
