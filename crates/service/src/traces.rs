//! Traces: what became of an event, stage by stage, for an OpenTelemetry collector.
//!
//! A service has a [`Tracer`]. For each event it begins a [`Step`] with what it was told about the event's trace, tells whoever
//! comes next [`Step::context`], and ends the step when the next one has the event. Whether an event is traced is decided
//! where its trace begins, by its id: all stages, and repetitions, decide alike.
//!
//! A tracer that is off, and one that has no part in an event's trace, passes on what it was told.
//!
//! **Invariants.** Tracing never holds an event back and never fails it: what the collector does not take in time is
//! dropped, and told in the log. The exporter is in the feature `otlp`.

#[cfg(feature = "otlp")]
#[path = "traces/otlp.rs"]
mod exporter;
#[cfg(not(feature = "otlp"))]
#[path = "traces/none.rs"]
mod exporter;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use weir_events::{EventId, TraceContext};

use crate::ConfigError;
use exporter::Exporter;

const NOT_BUILT: &str =
    "traces.endpoint: this program is built without the feature otlp, and must have it empty";

/// The `[traces]` section of a service's settings.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TracesConfig {
    /// Where an OpenTelemetry collector takes OTLP over HTTP, such as `http://127.0.0.1:4318`. Empty: nothing is sent.
    pub endpoint: String,
    /// Of the events whose trace begins here, the share that is traced: 0 to 1.
    pub ratio: f64,
}

impl TracesConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// If one cannot be used, or this program is built without the exporter.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(0.0..=1.0).contains(&self.ratio) {
            let (given, cure) = (self.ratio, "must be a share between 0 and 1");
            return Err(ConfigError::value(format!("traces.ratio: {given} {cure}")));
        }
        if self.endpoint.is_empty() {
            return Ok(());
        }
        if !cfg!(feature = "otlp") {
            return Err(ConfigError::value(NOT_BUILT));
        }
        if !["http://", "https://"].iter().any(|scheme| self.endpoint.starts_with(scheme)) {
            let (given, cure) = (&self.endpoint, "must be a URL such as http://127.0.0.1:4318");
            return Err(ConfigError::value(format!("traces.endpoint: {given:?} {cure}")));
        }
        Ok(())
    }
}

/// What a service does with an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// From the agent's disk to the confirmation that the next one has the event.
    Send,
    /// From the MQTT broker to Kafka.
    Forward,
    /// From the measurement to the prediction.
    Predict,
}

impl Stage {
    /// The name of its spans.
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "weir send",
            Self::Forward => "weir forward",
            Self::Predict => "weir predict",
        }
    }
}

/// Something that a span tells: its name by OpenTelemetry's conventions, and its value.
pub type Attribute = (&'static str, AttributeValue);

/// The value of an attribute.
#[derive(Clone, PartialEq, Debug)]
pub enum AttributeValue {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// One stage of one event, as far as it is traced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    context: Option<TraceContext>,
    open: Option<Open>,
}

/// A span that has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Open {
    stage: Stage,
    event: EventId,
    context: TraceContext,
    parent: Option<TraceContext>,
    start: SystemTime,
}

impl Step {
    /// A step of which nobody is told.
    pub fn untraced(told: Option<TraceContext>) -> Self {
        Self { context: told, open: None }
    }

    /// What the next stage is told.
    pub fn context(&self) -> Option<TraceContext> {
        self.context
    }

    /// Whether a span will tell of it.
    pub fn is_traced(&self) -> bool {
        self.open.is_some()
    }
}

/// Sends spans. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracer {
    exporter: Option<Arc<Exporter>>,
    ratio: f64,
}

impl Tracer {
    /// A tracer for the service of this name, and of this one among its like.
    ///
    /// # Errors
    /// If a setting cannot be used. A collector that is away is no error.
    pub fn new(config: &TracesConfig, service: &str, instance: &str) -> Result<Self, ConfigError> {
        config.check()?;
        if config.endpoint.is_empty() {
            return Ok(Self::off());
        }
        let exporter = Exporter::new(&config.endpoint, service, instance)?;
        Ok(Self { exporter: Some(Arc::new(exporter)), ratio: config.ratio })
    }

    /// One that sends nothing.
    pub fn off() -> Self {
        Self { exporter: None, ratio: 0.0 }
    }

    /// Whether it sends anything.
    pub fn is_on(&self) -> bool {
        self.exporter.is_some()
    }

    /// Begins a stage of an event, `parent` being what its message or record says about its trace.
    pub fn begin(
        &self,
        stage: Stage,
        event: EventId,
        parent: Option<TraceContext>,
        start: SystemTime,
    ) -> Step {
        let is_traced = match parent {
            Some(parent) => parent.is_sampled(),
            None => is_within(event, self.ratio),
        };
        if !is_traced || !self.is_on() {
            return Step::untraced(parent);
        }
        let context = TraceContext::of_stage(event, stage.name(), parent);
        Step { context: Some(context), open: Some(Open { stage, event, context, parent, start }) }
    }

    /// Ends it. What it tells is only computed if somebody is told.
    pub fn end(&self, step: Step, attributes: impl FnOnce() -> Vec<Attribute>) {
        if let (Some(exporter), Some(open)) = (&self.exporter, step.open) {
            exporter.take(open, SystemTime::now(), attributes());
        }
    }
}

/// A number of microseconds since 1970, as records carry it.
pub fn at_micros(micros: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros.max(0).cast_unsigned())
}

/// Whether an event is in the share that is traced: ids are evenly spread.
fn is_within(event: EventId, ratio: f64) -> bool {
    let [a, b, c, d, ..] = *event.as_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) < ratio * 2_f64.powi(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(first: u8) -> EventId {
        EventId::from_bytes([first; 16])
    }

    #[test]
    fn wrong_settings_are_named() {
        let check =
            |endpoint: &str, ratio| TracesConfig { endpoint: endpoint.into(), ratio }.check();
        assert!(check("", 0.0).is_ok());
        for (endpoint, ratio, part) in [
            ("", 1.5, "traces.ratio"),
            ("", f64::NAN, "traces.ratio"),
            ("collector:4318", 1.0, "traces.endpoint"),
        ] {
            let message = check(endpoint, ratio).expect_err(part).to_string();
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(check("http://127.0.0.1:4318", 1.0).is_ok(), cfg!(feature = "otlp"));
    }

    #[test]
    fn a_tracer_that_is_off_passes_on_what_it_is_told() {
        let told = TraceContext::of_stage(event(9), "a machine's", None);
        for parent in [None, Some(told)] {
            let step = Tracer::off().begin(Stage::Forward, event(1), parent, SystemTime::now());
            assert_eq!((step.context(), step.is_traced()), (parent, false));
            Tracer::off().end(step, || panic!("nobody is told"));
        }
    }

    #[test]
    fn the_share_is_taken_by_id() {
        for (first, ratio, taken) in [
            (0, 0.0, false),
            (0, 0.01, true),
            (3, 0.01, false),
            (127, 0.5, true),
            (128, 0.5, false),
            (255, 1.0, true),
        ] {
            assert_eq!(is_within(event(first), ratio), taken, "{first} {ratio}");
        }
    }

    #[cfg(feature = "otlp")]
    #[test]
    fn whoever_began_the_trace_decides() {
        let config = TracesConfig { endpoint: "http://127.0.0.1:9".into(), ratio: 0.0 };
        let tracer = Tracer::new(&config, "weir-test", "1").expect("valid");
        let begin = |parent| tracer.begin(Stage::Predict, event(1), parent, SystemTime::now());
        assert_eq!(begin(None).context(), None, "none begins here");
        let sampled = TraceContext::of_stage(event(9), "a machine's", None);
        let step = begin(Some(sampled));
        assert!(step.is_traced());
        let context = step.context().expect("below it");
        assert_eq!((context.trace(), context.span() == sampled.span()), (sampled.trace(), false));
        let unsampled = sampled.to_string().replace("-01", "-00").parse().expect("valid");
        let step = begin(Some(unsampled));
        assert_eq!((step.context(), step.is_traced()), (Some(unsampled), false));
    }
}
