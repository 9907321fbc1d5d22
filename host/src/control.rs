//! How a program that embeds a host tells it that a bounded run has no more input.

use weir_service::Shutdown;

/// Shared between a host and the program that embeds it. A host that runs as a service never hears of
/// the end of its input: its machines do not end.
#[derive(Clone, Default, Debug)]
pub struct Control {
    input_ended: Shutdown,
    flushed: Shutdown,
}

impl Control {
    /// Says that nothing more will come: the join then reports everything that waits as unmatched.
    /// Returns when it has.
    pub async fn finish(&self) {
        self.input_ended.cancel();
        self.flushed.cancelled().await;
    }

    pub(crate) async fn input_ended(&self) {
        self.input_ended.cancelled().await;
    }

    pub(crate) fn flushed(&self) {
        self.flushed.cancel();
    }
}
