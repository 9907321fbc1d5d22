//! The MQTT brokers, as the bridge and the agent reach them: whether they take the client and its subscriptions.
//!
//! It visits under a name of its own: under the bridge's it would throw the bridge out.

use std::time::{SystemTime, UNIX_EPOCH};

use weir_mqtt::{Connector, LinkError, visit};

use super::finding::Report;
use super::said;
use super::settings::Settings;

/// Checks the brokers.
pub(super) async fn check(settings: &Settings, report: &mut Report) {
    let Some(bridge) = &settings.bridge else {
        let next = "to have it looked at, give --mqtt HOST:PORT or --bridge-config FILE";
        report.skipped("mqtt", "a host does not use MQTT, the bridge does", Some(next));
        return;
    };
    let filters: Vec<&str> = bridge.subscribe.iter().map(String::as_str).collect();
    match bridge.mqtt_brokers() {
        Ok(brokers) => {
            for broker in brokers {
                check_one(&broker.connector, &filters, "as the bridge", report).await;
            }
        }
        Err(error) => report.failed("mqtt", said(&error), "correct the section [mqtt]"),
    }
    if let Some(agent) = &settings.agent {
        match Connector::new(&agent.mqtt()) {
            Ok(connector) => check_one(&connector, &[], "as the agent", report).await,
            Err(error) => report.failed("mqtt", said(&error), "correct the section [mqtt]"),
        }
    }
}

async fn check_one(connector: &Connector, filters: &[&str], who: &str, report: &mut Report) {
    let config = connector.config();
    let address = format!("{}:{}", config.host, config.port);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let client_id = format!("{}-doctor-{:x}", config.client_id, now.as_nanos());
    match visit(connector, &client_id, filters).await {
        Ok(granted) => {
            let bytes = granted
                .packet_bytes_max
                .map_or("of any size".to_owned(), |bytes| format!("up to {bytes} bytes"));
            let mut found = format!(
                "{address}: accepted {who}; takes {} messages at once, {bytes}",
                granted.receive_maximum
            );
            if !filters.is_empty() {
                found += &format!("; lets it subscribe to {}", filters.join(" "));
            }
            report.ok("mqtt", found);
        }
        Err(error) => {
            let next = match &error {
                LinkError::Denied(_) => {
                    "correct the settings that are named, or what the broker allows"
                }
                LinkError::Refused(_) => {
                    "look at the broker's log: it is there and does not take this client"
                }
                LinkError::Subscription { .. } => {
                    "permit the user this subscription at the broker (its ACL)"
                }
                _ => "start the broker, or correct mqtt.host and mqtt.port (--mqtt)",
            };
            report.failed("mqtt", format!("{address}, {who}: {error}"), next);
        }
    }
}
