//! The bugs: each loses or repeats data, and each has been in this or another program.

use anyhow::{Result, ensure};

use crate::test::SERVER_FEATURES;

/// A bug, and the test that catches it.
pub(super) struct Bug {
    pub(super) name: &'static str,
    /// The file that it is in, from the workspace on.
    pub(super) file: &'static str,
    /// What stands there once, and what stands there with the bug.
    change: (&'static str, &'static str),
    /// The package of a pure crate, or empty, then the arguments of `cargo test` that choose the test.
    pub(super) test: &'static [&'static str],
    pub(super) needs_kafka: bool,
}

impl Bug {
    /// The text with the bug in it.
    pub(super) fn change(&self, text: &str) -> Result<String> {
        let (before, after) = self.change;
        let found = text.matches(before).count();
        ensure!(found == 1, "find {before:?} once in {}: it is there {found} times", self.file);
        Ok(text.replace(before, after))
    }

    /// The arguments of `cargo test`. Crates that link Kafka are built as all other tests build them.
    pub(super) fn test_arguments(&self, more: &[&'static str]) -> Vec<&'static str> {
        let (package, test) = self.test.split_first().expect("a test names its package");
        let mut arguments = match *package {
            "" => vec!["--workspace", "--features", SERVER_FEATURES],
            package => vec!["-p", package],
        };
        arguments.extend(more);
        arguments.extend(test);
        arguments
    }
}

const fn pure(
    name: &'static str,
    file: &'static str,
    change: (&'static str, &'static str),
    test: &'static [&'static str],
) -> Bug {
    Bug { name, file, change, test, needs_kafka: false }
}

pub(super) const BUGS: &[Bug] = &[
    pure(
        "puback-before-delivery",
        "bridge/src/relay.rs",
        (
            "self.push(receipt, Stage::Sending, refused);",
            "self.push(receipt, Stage::Settled, refused);",
        ),
        &["", "--lib", "relay::"],
    ),
    pure(
        "ack-on-another-connection",
        "bridge/src/relay.rs",
        ("if self.connection == Some(receipt.generation) {", "if self.connection.is_some() {"),
        &["", "--lib", "relay::"],
    ),
    pure(
        "confirmed-beyond-missing",
        "bridge/src/ledger.rs",
        ("let verdict = if arrival.stamp.seq > expected {", "let verdict = if false {"),
        &["", "--lib", "ledger::"],
    ),
    pure(
        "released-by-puback",
        "edge-agent/src/courier.rs",
        ("if self.settings.until == Until::Broker {", "if true {"),
        &["", "--lib", "courier::"],
    ),
    pure(
        "no-fsync",
        "crates/spool/src/spool.rs",
        ("        self.file.sync()?;\n", ""),
        &["weir-spool", "--lib"],
    ),
    pure(
        "join-commits-its-position",
        "crates/stream/src/join/mod.rs",
        (
            "let reach = self.config.within.saturating_mul(4).saturating_add(self.config.lateness);",
            "let reach = Duration::ZERO;",
        ),
        &["weir-stream", "--test", "join"],
    ),
    pure(
        "repeated-prediction-joins",
        "crates/stream/src/join/half.rs",
        (
            "let reason = self.memory.remember(key, id, time, distinct);",
            "let reason = self.memory.remember(key, id, time, distinct).filter(|_| false);",
        ),
        &["weir-stream", "--test", "join"],
    ),
    pure(
        "window-by-another-time",
        "crates/stream/src/detect/window/mod.rs",
        (
            "let start = row.time.window_start(self.config.length);",
            "let start = row.prediction.measurement.time.window_start(self.config.length);",
        ),
        &["weir-stream", "--test", "detect"],
    ),
    pure(
        "late-by-the-slowest",
        "crates/stream/src/detect/window/progress.rs",
        (
            "awaited.map(|partition| partition.progress).min()",
            "awaited.map(|partition| partition.progress).max()",
        ),
        &["weir-stream", "--test", "detect"],
    ),
    pure(
        "closed-windows-reopen",
        "crates/stream/src/detect/window/mod.rs",
        ("self.floor = self.floor.max(floor);\n        Ok(())", "let _ = floor;\n        Ok(())"),
        &["weir-stream", "--test", "detect"],
    ),
    pure(
        "sink-without-ids",
        "host/src/store/redb.rs",
        ("if by_id.get(&id)?.is_some() {", "if false {"),
        &["", "--lib", "store::redb"],
    ),
    pure(
        "equal-version-accepted",
        "crates/registry/src/log.rs",
        (
            "self.highest.filter(|highest| version <= *highest)",
            "self.highest.filter(|highest| version < *highest)",
        ),
        &["weir-registry", "--lib"],
    ),
    Bug {
        name: "given-back-unfinished",
        file: "crates/kafka/src/poll.rs",
        change: ("let is_finished = !self.revocations.is_open();", "let is_finished = true;"),
        test: &["", "--test", "real", "groups::"],
        needs_kafka: true,
    },
];
