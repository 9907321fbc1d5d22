//! Property tests of the join.

mod definition;
mod disorder;
mod history;
mod restart;
