//! Property tests of the join.

mod definition;
mod history;
mod restart;
