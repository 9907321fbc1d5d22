//! The one cryptography provider of a process.
//!
//! rustls lets every client bring its own, and a client that brings none takes the process-wide one: with
//! two to choose from and none chosen it panics at its first handshake. Every program of Weir chooses ring
//! in [`crate::start`]; tests that use TLS call [`install_provider`] themselves.
//!
//! Certificates and what is trusted are the clients' business.

use std::io;

/// Chooses ring for the whole process, unless a provider was chosen before.
pub fn install_provider() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a cryptography provider was chosen before");
    }
}

/// Whether a connection failed because of TLS itself (a certificate that is not trusted, a peer that does
/// not speak it): trying again will not help.
pub fn is_tls_failure(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_may_be_installed_again() {
        install_provider();
        let first = rustls::crypto::CryptoProvider::get_default().expect("installed");
        install_provider();
        let second = rustls::crypto::CryptoProvider::get_default().expect("installed");
        assert!(std::sync::Arc::ptr_eq(first, second));
    }

    #[test]
    fn a_refused_certificate_is_a_tls_failure_and_a_lost_connection_is_none() {
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(is_tls_failure(&io::Error::new(io::ErrorKind::InvalidData, refused)));
        assert!(!is_tls_failure(&io::ErrorKind::ConnectionRefused.into()));
        assert!(!is_tls_failure(&io::Error::other("something else")));
    }
}
