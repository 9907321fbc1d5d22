//! The runtime against guests that misbehave, and against the real template.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod data;
mod guest;
mod hostile;
mod refused;
mod retrain;
mod swap;
