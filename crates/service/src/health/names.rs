//! The names of all metrics, for every service, and what they mean. `docs/metrics.md` is written from here.
//!
//! A page is written by variant ([`MetricsText`](super::MetricsText)), so no service can have a metric that is not here, and
//! dashboards and alert rules are tested against this list. A name that is published stays: somebody's alert depends on it.

/// What kind of metric it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only rises, until the service starts anew.
    Counter,
    /// It rises and falls.
    Gauge,
    /// How often a value was at most so large; a series for each bound, and their sum and count.
    Histogram,
}

impl Kind {
    /// The name in Prometheus' text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

struct Entry {
    kind: Kind,
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
}

/// Makes the enum and its table out of one list, so that they cannot differ.
macro_rules! metrics {
    ($(#[doc = $help:literal] $metric:ident: $kind:ident $name:literal [$($label:literal),*],)+) => {
        /// A metric of some service.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Metric {
            $(#[doc = $help] $metric,)+
        }

        impl Metric {
            /// All of them: first what is common, then by service.
            pub const ALL: &[Self] = &[$(Self::$metric),+];

            fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$metric => &Entry {
                        kind: Kind::$kind, name: $name, help: $help, labels: &[$($label),*],
                    },)+
                }
            }
        }
    };
}

metrics! {
    /// 1; the labels say which service it is, and of which version
    BuildInfo: Gauge "weir_build_info" ["service", "version"],

    /// Records of earlier runs that the spool held at the start
    AgentRecordsFound: Counter "weir_agent_records_found_total" [],
    /// Records on disk durably
    AgentRecordsTaken: Counter "weir_agent_records_taken_total" [],
    /// Records that were confirmed and have left the spool
    AgentRecordsAcked: Counter "weir_agent_records_acked_total" [],
    /// Samples above the size limit, which were not taken
    AgentSamplesOversize: Counter "weir_agent_samples_oversize_total" [],
    /// Taken records that will never be delivered; a gap is sent in their place
    AgentRecordsDropped: Counter "weir_agent_records_dropped_total" ["reason"],
    /// Messages sent to the broker, repetitions included
    AgentMessagesSent: Counter "weir_agent_messages_sent_total" [],
    /// Messages whose number had been sent before
    AgentMessagesResent: Counter "weir_agent_messages_resent_total" [],
    /// PUBACKs of the broker
    AgentMessagesAcknowledged: Counter "weir_agent_messages_acknowledged_total" [],
    /// Connections that the broker accepted
    AgentConnections: Counter "weir_agent_connections_total" [],
    /// Times that nothing was confirmed for so long that a new connection was tried
    AgentStalls: Counter "weir_agent_stalls_total" [],
    /// Times that the sampler had to wait for room in the spool
    AgentBlocked: Counter "weir_agent_blocked_total" [],
    /// Whether the broker is connected
    AgentConnected: Gauge "weir_agent_connected" [],
    /// Records in the spool
    AgentSpoolRecords: Gauge "weir_agent_spool_records" [],
    /// Bytes of the spool on disk
    AgentSpoolBytes: Gauge "weir_agent_spool_bytes" [],
    /// Records that were sent and are not confirmed
    AgentUnconfirmedRecords: Gauge "weir_agent_unconfirmed_records" [],
    /// Age of the oldest record in the spool; 0 if there is none
    AgentSpoolOldest: Gauge "weir_agent_spool_oldest_seconds" [],

    /// Messages received, those included that the MQTT broker sent again
    BridgeMessagesReceived: Counter "weir_bridge_messages_received_total" ["broker"],
    /// Events that are in Kafka
    BridgeMessagesForwarded: Counter "weir_bridge_messages_forwarded_total" ["broker"],
    /// Messages that had come before: nothing was written for them
    BridgeMessagesRepeated: Counter "weir_bridge_messages_repeated_total" ["broker"],
    /// Messages that came before others that were lost on the way; their agents send all of them again
    BridgeMessagesOutOfOrder: Counter "weir_bridge_messages_out_of_order_total" ["broker"],
    /// Messages left to the MQTT broker because Kafka did not take them in time
    BridgeMessagesReturned: Counter "weir_bridge_messages_returned_total" ["broker"],
    /// Messages acknowledged to the MQTT broker
    BridgeMessagesAcknowledged: Counter "weir_bridge_messages_acknowledged_total" ["broker"],
    /// Messages whose dead letter is in Kafka
    BridgeMessagesDeadLettered: Counter "weir_bridge_messages_dead_lettered_total" ["broker", "reason"],
    /// Confirmations sent to agents
    BridgeConfirmations: Counter "weir_bridge_confirmations_total" ["broker"],
    /// Messages whose number another one had: two machines run with one spool
    BridgeIdConflicts: Counter "weir_bridge_id_conflicts_total" ["broker"],
    /// New starts because Kafka did not take a record in time
    BridgeResets: Counter "weir_bridge_resets_total" ["broker"],
    /// Connections on which the MQTT broker has confirmed the subscription
    BridgeSubscriptions: Counter "weir_bridge_subscriptions_total" ["broker"],
    /// Whether the MQTT broker holds the subscription now
    BridgeConnected: Gauge "weir_bridge_connected" ["broker"],
    /// Messages on their way to Kafka
    BridgeMessagesInFlight: Gauge "weir_bridge_messages_in_flight" ["broker"],
    /// Memory of what is unacknowledged
    BridgeInFlightBytes: Gauge "weir_bridge_in_flight_bytes" ["broker"],
    /// How long the oldest unacknowledged message has been here; 0 if there is none
    BridgeOldestUnacknowledged: Gauge "weir_bridge_oldest_unacknowledged_seconds" ["broker"],
    /// Agents whose numbers are remembered
    BridgeSenders: Gauge "weir_bridge_senders" ["broker"],

    /// Whether the host does its work, as /ready says
    HostReady: Gauge "weir_host_ready" [],
    /// Number of the version that serves, and of the one that predicts beside it (shadow)
    HostModelVersion: Gauge "weir_host_model_version" ["place"],
    /// When that version was trained, in seconds since 1970
    HostModelTrained: Gauge "weir_host_model_trained_timestamp_seconds" ["place"],
    /// When the version that serves expires, in seconds since 1970; absent if never
    HostModelExpires: Gauge "weir_host_model_expires_timestamp_seconds" [],
    /// Versions that were put into service
    HostModelSwaps: Counter "weir_host_model_swaps_total" [],
    /// Versions that failed again and again and were taken out of service
    HostModelDemotions: Counter "weir_host_model_demotions_total" [],
    /// Versions that did not load or failed their test; the one before stays
    HostModelsUnfit: Counter "weir_host_models_unfit_total" [],
    /// Records of the topic of models that do not count
    HostModelRecordsRefused: Counter "weir_host_model_records_refused_total" ["reason"],
    /// Predictions in Kafka: with a number (value), or why without
    HostPredictions: Counter "weir_host_predictions_total" ["outcome"],
    /// How long the version that serves took for a batch, failed batches included
    HostPredictionSeconds: Histogram "weir_host_prediction_seconds" [],
    /// Records that a role has read, with everything that follows from them in Kafka or the store
    HostRecordsDone: Counter "weir_host_records_done_total" ["role", "topic"],
    /// Records of a topic that could not be read and were set aside
    HostDeadLetters: Counter "weir_host_dead_letters_total" ["topic", "reason"],
    /// Events that the join has taken
    HostJoinReceived: Counter "weir_host_join_events_received_total" ["side"],
    /// Predictions that were joined with their target
    HostJoined: Counter "weir_host_joined_total" [],
    /// Events that left the join without a partner
    HostUnjoined: Counter "weir_host_unjoined_total" ["side", "reason"],
    /// Events read again after a restart whose outcome had been reported before
    HostJoinReread: Counter "weir_host_join_events_reread_total" ["side"],
    /// Events that waited when their partition went to another host, or the role began anew: they are read again
    HostJoinReturned: Counter "weir_host_join_events_returned_total" ["side"],
    /// Events that wait for their partner
    HostJoinPending: Gauge "weir_host_join_events_pending" ["side"],
    /// Windows that were closed, and whether their error was above the threshold
    HostWindows: Counter "weir_host_windows_closed_total" ["triggered"],
    /// Mean relative error of the window that was closed last; absent before the first
    HostWindowError: Gauge "weir_host_window_mean_error" [],
    /// Mean relative error above which a window triggers
    HostWindowThreshold: Gauge "weir_host_window_threshold" [],
    /// Retrainings that a detector has asked for
    HostTriggers: Counter "weir_host_triggers_total" ["detector"],
    /// Verdicts on two versions that predicted the same rows
    HostComparisons: Counter "weir_host_comparisons_total" [],
    /// Trainings: the version serves (champion), predicts beside (challenger), was not good enough (refused), or why there is none
    HostTrainings: Counter "weir_host_trainings_total" ["result"],
    /// How long the last training took, from reading its rows to the published version; absent before the first
    HostTrainingSeconds: Gauge "weir_host_training_last_seconds" [],
    /// Requests about versions that were answered: published, refused, or nothing to do
    HostRequests: Counter "weir_host_requests_total" ["result"],
    /// Training rows that are in the store
    HostRowsStored: Counter "weir_host_rows_stored_total" [],
    /// Rows that the store had already
    HostRowsRepeated: Counter "weir_host_rows_repeated_total" [],
    /// Records that wait in the partitions that this host has; absent while Kafka does not say where they end
    HostLag: Gauge "weir_host_lag_records" ["role", "topic"],
    /// Partitions that this host has; 0 while it stands by
    HostPartitions: Gauge "weir_host_partitions_assigned" ["role", "topic"],
    /// Times that a role failed and was started again
    HostRoleRestarts: Counter "weir_host_role_restarts_total" ["role"],
}

impl Metric {
    /// As it is on the page: `weir_<service>_<noun>`, base units, and `_total` for counters alone.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// What kind it is.
    pub fn kind(self) -> Kind {
        self.entry().kind
    }

    /// What it says, without a full stop.
    pub fn help(self) -> &'static str {
        // The macro has it as a comment, which begins with a space.
        self.entry().help.trim_start()
    }

    /// The names of its labels.
    pub fn labels(self) -> &'static [&'static str] {
        self.entry().labels
    }

    /// What is counted or measured, by the name's end; none for whatever the help says.
    pub fn unit(self) -> Option<&'static str> {
        let name = self.name().trim_end_matches("_total");
        ["seconds", "bytes", "records"].into_iter().find(|unit| name.ends_with(unit))
    }
}

#[cfg(test)]
mod tests;
