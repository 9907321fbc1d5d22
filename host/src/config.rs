//! The configuration of a host; `weir-host.toml` documents it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_events::{Schema, SchemaConfig, TopicNames};
use weir_kafka::KafkaConfig;
use weir_registry::{Policy, Rules};
use weir_runtime::{FitOptions, Limits};
use weir_service::health::HealthConfig;
use weir_service::traces::TracesConfig;
use weir_service::{ConfigError, config};
use weir_stream::{Closing, ComparisonConfig, JoinConfig, TumblingMeanConfig, UnseenLevelConfig};

mod sections;

use sections::Closes;
pub use sections::{
    JoinSection, KafkaSection, LimitsSection, ModelsSection, PromotionSection, StoreSection,
    TrainSection, TrustSection, UnseenLevelSection, WindowSection,
};

use crate::http::HttpSection;

/// The complete defaults, with comments.
pub const DEFAULTS: &str = include_str!("../weir-host.toml");

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Measurements to predictions.
    Predict,
    /// Predictions and targets to joined rows.
    Join,
    /// Joined rows to training rows.
    Sink,
    /// Joined rows to triggers.
    Drift,
    /// Triggers to model versions.
    Train,
}

impl Role {
    /// The name in the configuration and of the consumer group.
    pub fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Join => "join",
            Self::Sink => "sink",
            Self::Drift => "drift",
            Self::Train => "train",
        }
    }
}

/// A host's settings, as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostConfig {
    /// What this process does.
    pub roles: BTreeSet<Role>,
    /// How to reach Kafka.
    pub kafka: KafkaSection,
    /// The names of the topics.
    pub topics: TopicNames,
    /// What a payload means. No embedded layer: half of one line's schema and half of another's make
    /// no third.
    #[serde(default = "SchemaConfig::fish")]
    pub schema: SchemaConfig,
    /// The join.
    pub join: JoinSection,
    /// The window detector.
    pub window: WindowSection,
    /// The detector of unknown levels.
    pub unseen_level: UnseenLevelSection,
    /// Retraining.
    pub train: TrainSection,
    /// When a trained version serves.
    pub promotion: PromotionSection,
    /// Whose versions serve.
    pub trust: TrustSection,
    /// Versions on disk.
    pub models: ModelsSection,
    /// Training rows.
    pub store: StoreSection,
    /// What a component may use.
    pub limits: LimitsSection,
    /// What is seen over HTTP.
    pub http: HttpSection,
    /// Where the host tells how it is.
    pub health: HealthConfig,
    /// Where it sends traces of events.
    pub traces: TracesConfig,
}

impl HostConfig {
    /// Defaults, file, environment.
    ///
    /// # Errors
    /// If a setting is unknown, missing or makes no sense.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let config: Self = config::load(DEFAULTS, file)?;
        config.check()?;
        Ok(config)
    }

    /// Checks what types cannot express.
    ///
    /// # Errors
    /// If a value makes no sense or names a file that cannot be used; the message names the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.schema()?;
        self.limits()?;
        self.kafka().check()?;
        self.http.address()?;
        self.health.check()?;
        self.traces.check()?;
        let positive = |name: &str, fine: bool| {
            if fine {
                Ok(())
            } else {
                Err(ConfigError::value(format!("{name}: must be above zero")))
            }
        };
        positive("join.within", !self.join.within.is_zero())?;
        positive("join.pending-max", self.join.pending_max > 0)?;
        positive("window.length", !self.window.length.is_zero())?;
        positive("window.threshold", self.window.threshold > 0.0)?;
        positive("window.ahead-max", !self.window.ahead_max.is_zero())?;
        positive("unseen-level.rows", self.unseen_level.rows > 0)?;
        positive("train.rows", self.train.rows > 0)?;
        positive("train.keep-versions", self.train.keep_versions > 0)?;
        positive("models.keep", self.models.keep > 0)?;
        if !(0.0..1.0).contains(&self.promotion.margin) {
            return Err(ConfigError::value("promotion.margin: must be at least 0 and below 1"));
        }
        if self.promotion.policy == Policy::BetterThanChampion && self.promotion.hold_out == 0 {
            let message = "promotion.hold-out: must be above zero for better-than-champion";
            return Err(ConfigError::value(message));
        }
        positive("store.rows-max", self.store.rows_max > 0)?;
        if !(0.0..1.0).contains(&self.train.tolerance) {
            return Err(ConfigError::value("train.tolerance: must be at least 0 and below 1"));
        }
        if self.train.model.is_empty() {
            return Err(ConfigError::value("train.model: is empty"));
        }
        if self.roles.is_empty() {
            return Err(ConfigError::value("roles: names no role"));
        }
        let trains = self.roles.contains(&Role::Train);
        if trains != self.roles.contains(&Role::Sink) && !self.store.is_shared() {
            let message = "roles: sink and train must be in one process, since only one can open the \
                           file in store.path; set store.uri for a store that they can share";
            return Err(ConfigError::value(message));
        }
        Ok(())
    }

    /// Checks the settings of the store, and the files that they name. Only who opens it needs them.
    ///
    /// # Errors
    /// If a setting makes no sense or names a file that cannot be used.
    pub fn check_store(&self) -> Result<(), ConfigError> {
        if self.store.is_shared() {
            crate::store::check_shared(&self.store, &self.schema()?)?;
        }
        Ok(())
    }

    /// The checked schema.
    ///
    /// # Errors
    /// If it contradicts itself.
    pub fn schema(&self) -> Result<Schema, ConfigError> {
        Schema::try_from(&self.schema).map_err(ConfigError::value)
    }

    /// The limits of components.
    ///
    /// # Errors
    /// If one is zero or contradicts another.
    pub fn limits(&self) -> Result<Limits, ConfigError> {
        let limits = Limits {
            component_bytes_max: self.limits.component_bytes_max,
            memory_bytes_max: self.limits.memory_bytes_max,
            predict_deadline: self.limits.predict_deadline,
            fit_deadline: self.limits.fit_deadline,
            ..Limits::default()
        };
        limits.validate().map_err(|error| ConfigError::value(format!("limits: {error}")))?;
        Ok(limits)
    }

    /// How clients reach Kafka.
    pub fn kafka(&self) -> KafkaConfig {
        KafkaConfig {
            brokers: self.kafka.brokers.clone(),
            client_id: self.kafka.client_id.clone(),
            instance: self.kafka.instance.clone(),
            settings: self.kafka.settings.clone(),
            security: self.kafka.security.clone(),
        }
    }

    /// The names under which this host's consumers are in the ledger of their process.
    pub fn readers(&self) -> Vec<String> {
        let mut readers: Vec<String> =
            self.roles.iter().map(|role| self.group(role.name())).collect();
        if self.roles.contains(&Role::Predict) {
            readers.push(crate::model::FOLLOWER.to_owned());
        }
        readers
    }

    pub(crate) fn group(&self, role: &str) -> String {
        format!("{}-{role}", self.kafka.group_prefix)
    }

    pub(crate) fn join(&self) -> JoinConfig {
        let JoinSection { within, lateness, pending_max } = self.join;
        JoinConfig { within, lateness, pending_max }
    }

    /// For joined rows in so many partitions.
    pub(crate) fn window(&self, partitions: usize) -> TumblingMeanConfig {
        let WindowSection { length, threshold, closes, ahead_max, .. } = self.window;
        let first_row = match closes {
            Closes::Auto => partitions == 1,
            Closes::FirstRow => true,
            Closes::EveryPartition => false,
        };
        // With this grace no row is ever late: the detector's head has the proof.
        let grace = self.join.within.saturating_add(self.join.lateness);
        let every = Closing::EveryPartition { grace, ahead_max };
        let closing = if first_row { Closing::FirstRow } else { every };
        TumblingMeanConfig { length, threshold, closing }
    }

    /// How often to look for idle partitions.
    pub(crate) fn idle_look(&self) -> Duration {
        const LOOK_MIN: Duration = Duration::from_millis(200);
        const LOOK_MAX: Duration = Duration::from_secs(10);
        (self.window.idle_after / 5).clamp(LOOK_MIN, LOOK_MAX)
    }

    /// What a trainer decides by.
    pub fn rules(&self) -> Rules {
        let PromotionSection { policy, margin, shadow_rows, probation_rows, shadow_max, .. } =
            self.promotion;
        Rules { policy, margin, shadow_rows, probation_rows, shadow_max }
    }

    /// The rules of the original pipeline: every version serves as soon as it is trained.
    pub fn always_promote(&mut self) {
        self.promotion.policy = Policy::Always;
        self.promotion.shadow_rows = 0;
        self.promotion.probation_rows = 0;
    }

    pub(crate) fn comparison(&self) -> ComparisonConfig {
        let PromotionSection { shadow_rows, probation_rows, .. } = self.promotion;
        ComparisonConfig { shadow_rows, probation_rows }
    }

    pub(crate) fn unseen_level(&self) -> UnseenLevelConfig {
        UnseenLevelConfig { rows: self.unseen_level.rows }
    }

    /// How to fit.
    pub fn fit_options(&self) -> FitOptions {
        FitOptions { tolerance: self.train.tolerance }
    }
}

#[cfg(test)]
mod tests;
