//! Logging to standard error, so that standard output stays for results.

use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

/// Starts logging. `RUST_LOG` wins over `default_filter`, for example `info` or `weir_bridge=debug`.
///
/// A second call in the same process changes nothing.
pub fn init(default_filter: &str) {
    let own = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let parsed: Option<Targets> = own.as_deref().and_then(|text| text.parse().ok());
    let understood = own.is_none() || parsed.is_some();
    let filter = parsed.unwrap_or_else(|| {
        default_filter.parse().expect("a default is written in the code, and used by tests")
    });
    // Not on a terminal alone: NO_COLOR and its relatives count too.
    let is_coloured = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
    let lines = fmt::layer().with_ansi(is_coloured).with_writer(std::io::stderr);
    let started = registry().with(lines.with_filter(filter)).try_init();
    if !understood {
        tracing::warn!("RUST_LOG is not understood; write it like info,weir_bridge=debug");
    }
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
