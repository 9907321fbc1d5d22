//! A visit: a connection that only finds out whether the broker takes this client, and what it grants.
//!
//! Nothing stays at the broker: no session, no subscription. Nothing is published, and nobody's messages are
//! taken away: a message that comes while the visitor is there comes to everybody else too. That does not hold
//! for shared subscriptions, so those are not tried.

use std::time::Duration;

use rumqttc::v5::Event;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Filter, Packet, RetainForwardRule, SubscribeReasonCode};

use crate::connection::Connection;
use crate::connector::{Connector, Session};
use crate::error::LinkError;

/// How long the broker may take to answer the subscription.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to take leave.
const GRACE: Duration = Duration::from_secs(1);
/// What is before the filter of a shared subscription.
const SHARED: &str = "$share/";

/// What a broker grants to clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// How many messages it takes before it has acknowledged them.
    pub receive_maximum: u16,
    /// The largest packet that it takes, in bytes; none if it names no limit.
    pub packet_bytes_max: Option<u32>,
}

/// Connects under this name, subscribes to the filters, and leaves.
///
/// # Errors
/// Why the broker does not take the client, or one of the subscriptions.
pub async fn visit(
    connector: &Connector,
    client_id: &str,
    filters: &[&str],
) -> Result<Granted, LinkError> {
    let connector = connector.passing(client_id);
    let patience = connector.config().connect_timeout + PATIENCE;
    let mut connection = Connection::open(&connector, Session::Clean, None, 10, 10);
    let granted = tokio::time::timeout(patience, attend(&mut connection, filters)).await;
    connection.close(GRACE).await;
    granted.unwrap_or(Err(LinkError::Silent(patience)))
}

async fn attend(connection: &mut Connection, filters: &[&str]) -> Result<Granted, LinkError> {
    let filters: Vec<&str> =
        filters.iter().copied().filter(|filter| !filter.starts_with(SHARED)).collect();
    let mut granted = None;
    loop {
        let event = connection.next().await;
        let event = event.unwrap_or_else(|| Err(LinkError::Ended("without a reason".into())))?;
        match event {
            Event::Incoming(Packet::ConnAck(connack)) => {
                let now = of(&connack)?;
                if filters.is_empty() {
                    return Ok(now);
                }
                granted = Some(now);
                let wanted = filters.iter().map(|filter| Filter {
                    retain_forward_rule: RetainForwardRule::Never,
                    ..Filter::new(*filter, QoS::AtLeastOnce)
                });
                let asked = connection.client.try_subscribe_many(wanted);
                asked.map_err(|_| refused(&filters.join(" "), "not a valid topic filter"))?;
            }
            Event::Incoming(Packet::SubAck(suback)) => {
                for (filter, code) in filters.iter().zip(&suback.return_codes) {
                    if !matches!(code, SubscribeReasonCode::Success(qos) if *qos != QoS::AtMostOnce)
                    {
                        return Err(refused(filter, &format!("{code:?}")));
                    }
                }
                return granted.ok_or(LinkError::Protocol("SUBACK before CONNACK"));
            }
            _ => {}
        }
    }
}

fn of(connack: &ConnAck) -> Result<Granted, LinkError> {
    let properties = connack.properties.as_ref();
    if properties.and_then(|all| all.max_qos) == Some(0) {
        return Err(LinkError::Protocol("it takes messages at most once (QoS 0) only"));
    }
    Ok(Granted {
        // What the standard says where the broker says nothing.
        receive_maximum: properties.and_then(|all| all.receive_max).unwrap_or(u16::MAX),
        packet_bytes_max: properties.and_then(|all| all.max_packet_size),
    })
}

fn refused(filter: &str, reason: &str) -> LinkError {
    LinkError::Subscription { filter: filter.to_owned(), reason: reason.to_owned() }
}
