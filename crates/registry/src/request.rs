//! What others ask of the trainer, who alone can sign.

use serde::{Deserialize, Serialize};
use weir_events::{Compared, EventTime, ModelVersion, Reason, Rejection};

/// A request. It has an id, so that one that is read again changes nothing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Request {
    /// The id, unique among all requests.
    pub id: String,
    /// The model that it is about.
    pub model: String,
    /// What is to be done.
    #[serde(flatten)]
    pub action: Action,
    /// Who asks: a person, or a role.
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// When.
    pub timestamp: EventTime,
}

impl Request {
    /// The request's bytes.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a request has string keys and can be written")
    }

    /// Reads a request.
    ///
    /// # Errors
    /// A rejection, as for a payload from outside.
    pub fn decode(payload: &[u8]) -> Result<Self, Rejection> {
        serde_json::from_slice(payload)
            .map_err(|error| Rejection::new(Reason::MalformedJson, error.to_string()))
    }
}

/// What the trainer is to do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "Action", rename_all = "kebab-case", rename_all_fields = "PascalCase")]
pub enum Action {
    /// Train with the newest rows.
    Retrain,
    /// Put this version into service: a challenger, or one that was refused.
    Promote {
        /// Which.
        version: ModelVersion,
    },
    /// Put the champion before this one, or another earlier one, into service again.
    Rollback {
        /// Which; the one before if none.
        version: Option<ModelVersion>,
    },
    /// Two versions have answered the same rows.
    Compared(Compared),
}

/// What became of the last request about a model: the value under `answer/<model>` in the topic of models.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    /// The request's id.
    pub id: String,
    /// The version that came of it.
    pub version: Option<ModelVersion>,
    /// Why there is none.
    pub refused: Option<String>,
}
