//! What is shown of a line: a picture of its topics, and charts of it.
//!
//! [`Picture`] takes records, in the order in which a reader of the topics gets them, and keeps what people look at:
//! the newest events with their errors, windows, versions, triggers, dead letters. [`chart`] draws from it. [`show`] is
//! how text, times and numbers are written for people, wherever that is.
//!
//! Invariants:
//! - Nothing here reads, waits or knows the time.
//! - A picture of the [newest](Picture::newest) events has a bounded size, whatever is in the topics.
//! - Text from outside is escaped and cut by [`show`] before it is drawn; whoever writes markup escapes markup.

pub mod chart;
mod picture;
mod rates;
mod results;
pub mod samples;
pub mod show;

pub use picture::{Change, Letter, Picture, Seen, Unreadable};
pub use rates::Rates;
pub use results::{Counts, Predicted, Results, Version};
