//! Property tests of the detectors, and of which partitions are idle.

mod closing;
mod compare;
mod crash;
mod history;
mod idle;
mod restart;
mod rows;
mod shell;
mod unseen;
mod window;
