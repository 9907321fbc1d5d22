//! The secured Kafka node: TLS, users with SCRAM-SHA-512, and rights that `deploy/kafka/acls.sh` gives.
//!
//! What nobody allowed is refused. `admin` may do everything; so may the node itself, which is known by its
//! certificate where controllers meet.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{properties, start_node, tool};
use crate::services::folder::Folder;
use crate::services::home::Home;
use crate::services::ports::free_ports;
use crate::services::secrets::{KAFKA_USERS, Secrets};
use crate::services::variables::quoted;

const NODE: &str = "node-1";

/// Starts it. Returns its address, and the command that changes its ACLs.
pub(in crate::services) fn start(home: &Home, folder: &Folder) -> Result<Vec<String>> {
    let [client, controller] = free_ports()?;
    let address = format!("127.0.0.1:{client}");
    let secrets = &home.secrets;
    let password = secrets.kafka_password("admin")?;
    let identity = ["server.key", "server.pem", "ca.pem"].map(|file| secrets.text(file));
    let identity = identity.into_iter().collect::<Result<String>>()?;
    let identity = folder.write("identity.pem", &identity)?;

    let protocols = "CLIENTS:SASL_SSL,CONTROLLER:SSL";
    let data = folder.path(NODE);
    let plain = properties(0, &[client], &[controller], protocols, &data);
    let secured = plain + &security(&identity, &secrets.file("ca.pem"), &password);
    let settings = folder.write(&format!("{NODE}.properties"), &secured)?;
    start_node(home, folder, NODE, &settings, &users(secrets)?)?;

    // An open port is no answer; the script gets one, as it cannot do without.
    folder.await_answer(|| TcpStream::connect((Ipv4Addr::LOCALHOST, client)).is_ok())?;
    let ca = secrets.file("ca.pem");
    let admin = folder.write("admin.properties", &admin_settings(&ca, &password))?;
    let acls = write_acl_command(home, folder, &address, &admin)?;
    let mut script = Command::new(home.root.join("deploy/kafka/acls.sh"));
    folder.run("acls", script.env("KAFKA_ACLS", &acls)).context("give the users their rights")?;
    let acls = acls.to_str().context("use a path that is UTF-8")?.to_owned();
    Ok(vec![address, acls])
}

/// The settings of the node beyond those of a plain one.
fn security(identity: &Path, ca: &Path, password: &str) -> String {
    format!(
        "
ssl.keystore.type=PEM
ssl.keystore.location={identity}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.controller.ssl.client.auth=required

sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.clients.scram-sha-512.sasl.jaas.config={login}

authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:CN=server
",
        identity = identity.display(),
        ca = ca.display(),
        login = login(password),
    )
}

fn login(password: &str) -> String {
    let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
    format!("{module} required username=\"admin\" password=\"{password}\";")
}

/// What the formatter is told, so that the users are there from the beginning. Other processes may read it
/// meanwhile: these passwords are for tests.
fn users(secrets: &Secrets) -> Result<Vec<String>> {
    let mut arguments = Vec::new();
    for user in KAFKA_USERS {
        let password = secrets.kafka_password(user)?;
        arguments.push("--add-scram".to_owned());
        arguments.push(format!("SCRAM-SHA-512=[name={user},password={password}]"));
    }
    Ok(arguments)
}

/// How Kafka's own tools become the administrator. Not kcat: Debian 12's logs in with a librdkafka whose
/// SCRAM this Kafka refuses.
fn admin_settings(ca: &Path, password: &str) -> String {
    format!(
        "security.protocol=SASL_SSL\nssl.truststore.type=PEM\nssl.truststore.location={}\n\
         sasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={}\n",
        ca.display(),
        login(password),
    )
}

/// A command in place of kafka-acls.sh: that script is not among the jars.
fn write_acl_command(home: &Home, folder: &Folder, address: &str, admin: &Path) -> Result<PathBuf> {
    let mut command = tool(home, "org.apache.kafka.tools.AclCommand");
    command.args(["--bootstrap-server", address, "--command-config"]).arg(admin);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    let path =
        folder.write("kafka-acls", &format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
        .context("make kafka-acls a program")?;
    Ok(path)
}
