//! A way to a server that a test can disturb, from tests without a runtime of their own.

use std::net::SocketAddr;

use tokio::runtime::Runtime;
use weir_embedded::proxy::{Proxy, Tap};

/// A proxy and the runtime that it lives on.
#[derive(Debug)]
pub struct Way {
    /// The proxy.
    pub proxy: Proxy,
    _runtime: Runtime,
}

impl Way {
    /// A way to this address.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn new(target: SocketAddr) -> Self {
        Self::tapped(target, std::sync::Arc::new(|_, _| {}))
    }

    /// The same; `tap` sees what clients send.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn tapped(target: SocketAddr, tap: Tap) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let proxy = runtime.block_on(Proxy::tapped(target, tap)).expect("a free port");
        Self { proxy, _runtime: runtime }
    }
}
