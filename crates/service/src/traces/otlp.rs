//! OTLP over HTTP, by the OpenTelemetry SDK: its batches, its queue, its retries, on a thread of its own.
//!
//! Spans are handed to the SDK whole. Its own tracer would draw ids at random and hold a span in memory until it ends; here ids
//! follow from the event.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};
use weir_events::TraceContext;

use super::{Attribute, AttributeValue, Open, Stage};
use crate::ConfigError;

/// How long a collector may take for a batch.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the process may wait for the last batch.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// The most spans that wait for a collector, some 500 bytes each. More are dropped, and counted in the log at the end.
const WAITING_MAX: usize = 8192;

#[derive(Debug)]
pub(super) struct Exporter {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl Exporter {
    pub(super) fn new(endpoint: &str, service: &str, instance: &str) -> Result<Self, ConfigError> {
        crate::tls::install_provider();
        let wrong =
            |error: &dyn std::fmt::Display| ConfigError::value(format!("traces.endpoint: {error}"));
        // Its client has a runtime of its own, which must not be made or ended on a thread of ours.
        let client = std::thread::spawn(|| {
            reqwest::blocking::Client::builder().timeout(EXPORT_TIMEOUT).build()
        });
        let client = match client.join() {
            Ok(client) => client.map_err(|error| wrong(&error))?,
            Err(_) => return Err(wrong(&"the HTTP client cannot be made")),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|error| wrong(&error))?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(WAITING_MAX).build();
        let mut processor =
            BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder()
            .with_service_name(service.to_owned())
            .with_attributes([
                KeyValue::new("service.namespace", "weir"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", instance.to_owned()),
            ])
            .build();
        processor.set_resource(&resource);
        let scope =
            InstrumentationScope::builder("weir").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { processor, scope })
    }

    pub(super) fn take(&self, span: Open, end: SystemTime, attributes: Vec<Attribute>) {
        let Open { stage, event, context, parent, start } = span;
        let mut named = vec![KeyValue::new("weir.event.id", event.to_string())];
        named.extend(attributes.into_iter().map(|(name, value)| match value {
            AttributeValue::Text(text) => KeyValue::new(name, text),
            AttributeValue::Number(number) => KeyValue::new(name, Value::I64(number)),
        }));
        self.processor.on_end(SpanData {
            span_context: span_context(context),
            parent_span_id: parent
                .map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span())),
            parent_span_is_remote: parent.is_some(),
            span_kind: match stage {
                Stage::Send => SpanKind::Producer,
                Stage::Forward | Stage::Predict => SpanKind::Consumer,
            },
            name: stage.name().into(),
            start_time: start,
            // A clock that was set back between the two would give a span of negative length.
            end_time: end.max(start),
            attributes: named,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.processor.shutdown_with_timeout(CLOSE_GRACE) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

fn span_context(context: TraceContext) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(context.trace()),
        SpanId::from_bytes(context.span()),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    )
}
