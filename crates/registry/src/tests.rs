//! Versions of a made-up model, and what is shown about them in more than one file.

mod layout;
mod lifecycle;
mod log;
mod trust;

use weir_events::{Digest, EventTime, ModelVersion};

use crate::{
    Accepted, Cause, Envelope, Log, Manifest, Metrics, RecordKey, Refusal, SecretKey, Stage,
    TrainingRows,
};

const NOW: EventTime = EventTime::EPOCH;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn manifest(version: u64, component: &[u8]) -> Manifest {
    let digest = Digest::of(component);
    Manifest {
        model: "weight".into(),
        version: ModelVersion(version),
        digest,
        size: component.len() as u64,
        stage: Stage::Champion,
        model_time: EventTime::EPOCH,
        created: EventTime::EPOCH,
        expires: None,
        parent: None,
        source: None,
        template: digest,
        formula: "Weight ~ Length".into(),
        cause: Cause::file(),
        rows: TrainingRows {
            first_id: "1".into(),
            last_id: "9".into(),
            n: 9,
            left_out: 0,
            ids: vec![],
            times: None,
            selection: None,
            digest,
        },
        levels: vec![],
        coefficients: vec![],
        metrics: Metrics { r_squared: None, adj_r_squared: None, sigma: None, df_residual: 0 },
        hold_out: None,
        probation: None,
        golden: vec![],
        retrain_ms: 0.5,
    }
}

type Applied = Result<Option<Accepted>, Refusal>;

fn blob(log: &mut Log, component: &[u8]) -> Applied {
    log.apply(&RecordKey::Blob(Digest::of(component)).to_string(), Some(component))
}

fn put(log: &mut Log, key: Option<&SecretKey>, manifest: &Manifest) -> Applied {
    let bytes = Envelope::seal(manifest, key).to_bytes();
    let name = RecordKey::Manifest(manifest.model.clone(), manifest.version);
    log.apply(&name.to_string(), Some(&bytes))
}
