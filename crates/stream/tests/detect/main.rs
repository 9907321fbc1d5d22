//! Property tests of the detectors.

mod restart;
mod rows;
mod unseen;
mod window;
