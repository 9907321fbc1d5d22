//! The sections of a host's settings, as written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_registry::{KeyId, Policy};
use weir_service::Security;

/// `[kafka]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KafkaSection {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// The name under which the broker logs this client.
    pub client_id: String,
    /// What the names of consumer groups begin with.
    pub group_prefix: String,
    /// What its groups know this process as, also after a restart; empty for none.
    pub instance: String,
    /// Who the host is to Kafka, and whom it trusts.
    #[serde(default)]
    pub security: Security,
    /// Further settings of librdkafka.
    pub settings: BTreeMap<String, String>,
}

/// `[join]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JoinSection {
    /// The largest distance of a measurement and its target.
    #[serde(with = "humantime_serde")]
    pub within: Duration,
    /// How disordered a topic may be.
    #[serde(with = "humantime_serde")]
    pub lateness: Duration,
    /// Events of one partition that may wait.
    pub pending_max: usize,
}

/// `[window]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WindowSection {
    /// The length of a window.
    #[serde(with = "humantime_serde")]
    pub length: Duration,
    /// The mean error above which it triggers.
    pub threshold: f64,
    /// When it closes.
    pub closes: Closes,
    /// How long a partition must be silent not to be waited for; zero for ever.
    #[serde(with = "humantime_serde")]
    pub idle_after: Duration,
    /// How far ahead of the slowest partition another one is read.
    #[serde(with = "humantime_serde")]
    pub ahead_max: Duration,
}

/// When a window closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closes {
    /// With the first row of a later one, if joined rows have one partition; else when all have come past its end.
    Auto,
    /// With the first row of a later one.
    FirstRow,
    /// When all partitions have come past its end.
    EveryPartition,
}

/// `[unseen-level]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UnseenLevelSection {
    /// Rows of an unknown level that make a trigger.
    pub rows: u64,
}

/// `[train]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainSection {
    /// The model's name.
    pub model: String,
    /// Rows to train with.
    pub rows: usize,
    /// The rank tolerance.
    pub tolerance: f64,
    /// How long to wait for the row that caused a trigger.
    #[serde(with = "humantime_serde")]
    pub row_timeout: Duration,
    /// The private key that signs versions; empty for none.
    pub key_file: PathBuf,
    /// How long a version may begin to serve; zero for ever.
    #[serde(with = "humantime_serde")]
    pub valid_for: Duration,
    /// Versions that the topic of models keeps.
    pub keep_versions: usize,
}

/// `[promotion]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PromotionSection {
    /// When a trained version serves.
    pub policy: Policy,
    /// How much better it must be.
    pub margin: f64,
    /// Rows that no version is trained with, to compare on.
    pub hold_out: usize,
    /// Joined rows that a version predicts beside the champion before it serves.
    pub shadow_rows: u64,
    /// Joined rows that the champion before predicts beside it afterwards.
    pub probation_rows: u64,
    /// How long a challenger is not disturbed by another one, in event time.
    #[serde(with = "humantime_serde")]
    pub shadow_max: Duration,
}

/// `[trust]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrustSection {
    /// Files with the public keys of trainers.
    pub keys: Vec<PathBuf>,
    /// Ids of keys that do not count any more.
    pub revoked: BTreeSet<KeyId>,
    /// Whether versions serve that nobody has signed.
    pub allow_unsigned: bool,
}

/// `[models]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModelsSection {
    /// The directory with the last versions; empty for none.
    pub path: PathBuf,
    /// How many.
    pub keep: usize,
}

/// `[store]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoreSection {
    /// The file; empty for memory.
    pub path: PathBuf,
    /// Rows that the file keeps.
    pub rows_max: u64,
    /// MongoDB's URI; empty for the file.
    pub uri: String,
    /// The database in MongoDB.
    pub database: String,
    /// The collection in it.
    pub collection: String,
    /// The user; empty if the URI names one, or for none.
    pub username: String,
    /// The file with the user's password; empty for none.
    pub password_file: PathBuf,
    /// The file with the certificates to trust, which turns TLS on; empty for what the URI says.
    pub ca_file: PathBuf,
}

/// `[limits]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitsSection {
    /// The largest component.
    pub component_bytes_max: usize,
    /// The largest memory of an instance.
    pub memory_bytes_max: usize,
    /// How long a batch may take.
    #[serde(with = "humantime_serde")]
    pub predict_deadline: Duration,
    /// How long a fit may take.
    #[serde(with = "humantime_serde")]
    pub fit_deadline: Duration,
}

impl StoreSection {
    /// Whether the rows are in MongoDB, which processes can share.
    pub fn is_shared(&self) -> bool {
        !self.uri.is_empty()
    }
}
