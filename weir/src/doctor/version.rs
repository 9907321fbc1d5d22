//! The model version that serves: whether there is one, and whether hosts believe it.

use std::time::Duration;

use weir_registry::Trust;

use super::finding::Report;
use super::kafka::Topics;
use super::settings::Settings;
use crate::model::source::{Signature, open, strict};
use weir_view::show;

/// How long to read the topic of models.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks the version, where Kafka has the topic of models.
pub(super) async fn check(settings: &Settings, topics: Option<&Topics>, report: &mut Report) {
    let host = &settings.host;
    if !topics.is_some_and(|topics| topics.found.contains(&host.topics.models)) {
        report.skipped("version", "Kafka or its topic of models is not there", None);
        return;
    }
    let opened = tokio::time::timeout(PATIENCE, open(host, Trust::unsigned(), None)).await;
    let catalog = match opened {
        Ok(Ok(catalog)) => catalog,
        Ok(Err(error)) => {
            let next = "permit this user to read the topic of models";
            return report.failed("version", format!("failed to {error:#}"), next);
        }
        Err(_) => {
            let found = format!("{} was not read to its end in {PATIENCE:?}", host.topics.models);
            return report.failed("version", found, "permit this user to read the topic of models");
        }
    };
    let Some(champion) = catalog.log().champion() else {
        let next = format!("weir model train --csv FILE{}", settings.line);
        return report.warning("version", "no version serves, so nothing is predicted", next);
    };
    let manifest = &champion.manifest;
    let name = format!(
        "{} of model {}, {}",
        manifest.version,
        manifest.model,
        show::instant(manifest.created)
    );
    // Keys that cannot be used are the finding of another check.
    let trust = strict(host).ok().flatten();
    match Signature::of(trust.as_ref(), &champion.envelope) {
        Signature::Bad(reason) => {
            let next = "hosts that start pass it over: trust its key in trust.keys, or train with a key that they trust";
            report.failed("version", format!("{name}; its signature is bad: {reason}"), next);
        }
        signature => report.ok("version", format!("{name}; signature {signature}")),
    }
}
