//! Mosquitto, asked with its own clients.

use weir_e2e::servers::{MQTT, MQTT_SECURE, MQTT_USERS, address, unique};

use super::{run, secret_path, secret_text};

/// What became of a message.
#[derive(PartialEq, Debug)]
pub(crate) enum Outcome {
    Accepted,
    /// The broker acknowledged it with the reason "not authorized", 135 in MQTT 5.
    Forbidden,
    /// The same with the reason "packet too large", 149.
    TooLarge,
    /// There was no connection.
    Refused,
}

/// A client that shows who it is in one way.
pub(crate) struct Client {
    options: Vec<String>,
}

impl Client {
    fn new(variable: &str) -> Self {
        Self::at(&address(variable))
    }

    pub(crate) fn at(address: &str) -> Self {
        let (host, port) = address.rsplit_once(':').expect("host:port");
        Self { options: ["-h", host, "-p", port, "-q", "1"].map(str::to_owned).to_vec() }
    }

    pub(crate) fn with(mut self, option: &str, value: &str) -> Self {
        self.options.extend([option.to_owned(), value.to_owned()]);
        self
    }

    fn by_certificate(name: &str) -> Self {
        let client = Self::new(MQTT_SECURE).with("--cafile", &secret_path("ca.pem"));
        let certificate = secret_path(&format!("{name}.pem"));
        client.with("--cert", &certificate).with("--key", &secret_path(&format!("{name}.key")))
    }

    fn by_password(user: &str, password: &str) -> Self {
        let client = Self::new(MQTT_USERS).with("--cafile", &secret_path("ca.pem"));
        client.with("-u", user).with("-P", password)
    }

    fn call(&self, program: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        let options = self.options.iter().map(String::as_str);
        let arguments: Vec<&str> = options.chain(arguments.iter().copied()).collect();
        let output = run(program, &arguments);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    pub(crate) fn publish(&self, topic: &str) -> Outcome {
        self.publish_with(topic, &["-m", "x"])
    }

    /// The same with what is published and how.
    pub(crate) fn publish_with(&self, topic: &str, options: &[&str]) -> Outcome {
        let arguments = [["-V", "5", "-t", topic].as_slice(), options].concat();
        let (code, _, errors) = self.call("mosquitto_pub", &arguments);
        match code {
            Some(0) if errors.contains("Publish 1 failed: Not authorized") => Outcome::Forbidden,
            Some(0) if errors.contains("Publish 1 failed: Packet too large") => Outcome::TooLarge,
            Some(0) if errors.is_empty() => Outcome::Accepted,
            Some(0) | None => panic!("{errors}"),
            Some(_) => Outcome::Refused,
        }
    }

    /// Begins a session that goes on without a connection.
    pub(crate) fn subscribe(&self, session: &str, filter: &str) {
        let arguments = ["-c", "-i", session, "-t", filter, "-E"];
        let (code, _, errors) = self.call("mosquitto_sub", &arguments);
        assert_eq!(code, Some(0), "{errors}");
    }

    /// The topic of the first message that the session has.
    fn first(&self, session: &str, filter: &str) -> String {
        self.topics(session, filter, 1).concat()
    }

    /// The topics of the first messages that the session has. What is read may come again to the next who asks:
    /// mosquitto_sub ends without waiting until its acknowledgement has arrived.
    pub(crate) fn topics(&self, session: &str, filter: &str, count: usize) -> Vec<String> {
        let count = count.to_string();
        let arguments = ["-c", "-i", session, "-t", filter, "-C", &count, "-W", "30", "-F", "%t"];
        let (code, topics, errors) = self.call("mosquitto_sub", &arguments);
        assert_eq!(code, Some(0), "{errors}");
        topics.lines().map(str::to_owned).collect()
    }
}

#[test]
fn the_plain_broker_takes_anything_from_anybody() {
    let topic = format!("weir/{}/device-1/weight", unique("line"));
    assert_eq!(Client::new(MQTT).publish(&topic), Outcome::Accepted);
}

/// What device 1 and the bridge may do, however they show who they are.
fn check_rights(device_1: &Client, device_2: &Client, bridge: &Client) {
    let line = unique("line");
    let filter = format!("weir/{line}/#");
    let own = |kind: &str| format!("weir/{line}/device-1/{kind}");
    bridge.subscribe(&line, &filter);
    assert_eq!(device_2.publish(&own("weight")), Outcome::Forbidden);
    assert_eq!(device_2.publish(&own("measurement")), Outcome::Forbidden);
    assert_eq!(device_1.publish(&format!("weir/{line}/device-1/other")), Outcome::Forbidden);
    assert_eq!(device_1.publish(&own("weight")), Outcome::Accepted);
    // Nothing that was forbidden came before it.
    assert_eq!(bridge.first(&line, &filter), own("weight"));

    let acks = format!("weir-ack/{line}/device-1");
    let (session, eavesdropper) = (format!("{line}-1"), format!("{line}-2"));
    device_1.subscribe(&session, &acks);
    device_2.subscribe(&eavesdropper, "weir-ack/#");
    assert_eq!(device_1.publish(&acks), Outcome::Forbidden);
    assert_eq!(device_2.publish(&acks), Outcome::Forbidden);
    assert_eq!(bridge.publish(&acks), Outcome::Accepted);
    assert_eq!(device_1.first(&session, &acks), acks);
    let other = format!("weir-ack/{line}/device-2");
    assert_eq!(bridge.publish(&other), Outcome::Accepted);
    // Its own; the other device's came before.
    assert_eq!(device_2.first(&eavesdropper, "weir-ack/#"), other);
}

#[test]
fn a_certificate_is_a_device_with_its_rights() {
    let client = Client::by_certificate;
    check_rights(&client("device-1"), &client("device-2"), &client("bridge"));
}

#[test]
fn a_user_is_a_device_with_its_rights() {
    let client =
        |user: &str| Client::by_password(user, &secret_text(&format!("mqtt-{user}.password")));
    check_rights(&client("device-1"), &client("device-2"), &client("bridge"));
}

#[test]
fn wrong_certificates_are_refused() {
    let topic = format!("weir/{}/device-1/weight", unique("line"));
    assert_eq!(Client::by_certificate("device-1").publish(&topic), Outcome::Accepted);
    for wrong in ["expired", "stranger"] {
        assert_eq!(Client::by_certificate(wrong).publish(&topic), Outcome::Refused, "{wrong}");
    }
    let nobody = Client::new(MQTT_SECURE).with("--cafile", &secret_path("ca.pem"));
    assert_eq!(nobody.publish(&topic), Outcome::Refused);
    let plain = Client::new(MQTT_SECURE);
    assert_eq!(plain.publish(&topic), Outcome::Refused);
}

#[test]
fn wrong_passwords_are_refused() {
    let topic = format!("weir/{}/device-1/weight", unique("line"));
    let password = secret_text("mqtt-device-1.password");
    assert_eq!(Client::by_password("device-1", &password).publish(&topic), Outcome::Accepted);
    assert_eq!(Client::by_password("device-2", &password).publish(&topic), Outcome::Refused);
    assert_eq!(Client::by_password("device-1", "").publish(&topic), Outcome::Refused);
    let nobody = Client::new(MQTT_USERS).with("--cafile", &secret_path("ca.pem"));
    assert_eq!(nobody.publish(&topic), Outcome::Refused);
}

#[test]
fn a_client_refuses_a_broker_of_another_authority() {
    let topic = format!("weir/{}/device-1/weight", unique("line"));
    let password = secret_text("mqtt-device-1.password");
    let client = Client::new(MQTT_USERS).with("--cafile", &secret_path("other-ca.pem"));
    let client = client.with("-u", "device-1").with("-P", &password);
    assert_eq!(client.publish(&topic), Outcome::Refused);
}
