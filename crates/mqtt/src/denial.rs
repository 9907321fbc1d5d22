//! Whether the end of a connection means that the two sides do not accept each other, and which settings
//! then want a look: "unknown issuer" and "bad user name" do not go away by waiting.

use std::io;

use rumqttc::TlsError;
use rumqttc::tokio_rustls::rustls::{AlertDescription, CertificateError, Error as RustlsError};
use rumqttc::v5::mqttbytes::Error as CodecError;
use rumqttc::v5::mqttbytes::v5::ConnectReturnCode;
use rumqttc::v5::{ConnectionError, StateError};

/// Why the other side is not accepted, or does not accept us.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason}; check {settings}")]
pub struct Denial {
    reason: String,
    settings: &'static str,
}

const CA: &str = "mqtt.security.ca-file";
const HOST: &str = "mqtt.host, which the broker's certificate must name";
const OWN: &str = "mqtt.security.cert-file and mqtt.security.key-file";
const USER: &str =
    "mqtt.security.username and mqtt.security.password-file, or what the broker allows";
const LINK: &str = "mqtt.port and mqtt.security.ca-file, which decides whether TLS is spoken";

impl Denial {
    /// None if the connection ended for another reason, which may go away by itself.
    pub(crate) fn of(error: &ConnectionError) -> Option<Self> {
        match error {
            ConnectionError::ConnectionRefused(code) => refused(*code),
            ConnectionError::MqttState(StateError::ConnFail { reason }) => refused(*reason),
            ConnectionError::Tls(error) => tls(error),
            ConnectionError::Io(error)
            | ConnectionError::MqttState(StateError::Io(error))
            | ConnectionError::MqttState(StateError::Deserialization(CodecError::Io(error))) => {
                inside(error)
            }
            _ => None,
        }
    }

    fn new(reason: impl Into<String>, settings: &'static str) -> Option<Self> {
        Some(Self { reason: reason.into(), settings })
    }
}

fn refused(code: ConnectReturnCode) -> Option<Denial> {
    use ConnectReturnCode as Code;
    match code {
        Code::BadUserNamePassword
        | Code::NotAuthorized
        | Code::Banned
        | Code::BadAuthenticationMethod => {
            Denial::new(format!("the broker refused this client: {code:?}"), USER)
        }
        _ => None,
    }
}

fn tls(error: &TlsError) -> Option<Denial> {
    match error {
        TlsError::Io(error) => inside(error),
        TlsError::TLS(error) => handshake(error),
        TlsError::NoValidCertInChain => Denial::new("no certificate in the file", CA),
        TlsError::NoValidClientCertInChain | TlsError::NoValidKeyInChain => {
            Denial::new("no certificate, or no key, in the files", OWN)
        }
        TlsError::DNSName(_) => Denial::new("no host name that a certificate can name", HOST),
        _ => None,
    }
}

/// What rustls reports comes wrapped as an error of the socket.
fn inside(error: &io::Error) -> Option<Denial> {
    error.get_ref()?.downcast_ref().and_then(handshake)
}

fn handshake(error: &RustlsError) -> Option<Denial> {
    use AlertDescription as Alert;
    match error {
        RustlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Denial::new("the broker's certificate is for another host", HOST),
        // Our own clock may be wrong, until somebody or something sets it.
        RustlsError::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => None,
        RustlsError::InvalidCertificate(cause) => {
            Denial::new(format!("the broker's certificate is not accepted: {cause}"), CA)
        }
        RustlsError::AlertReceived(
            alert @ (Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::HandshakeFailure),
        ) => Denial::new(
            format!(
                "the broker does not accept this client's certificate, or misses it: {alert:?}"
            ),
            OWN,
        ),
        RustlsError::InconsistentKeys(_) => {
            Denial::new("the key does not belong to the certificate", OWN)
        }
        RustlsError::InvalidMessage(_) => Denial::new("the broker does not speak TLS here", LINK),
        _ => None,
    }
}
