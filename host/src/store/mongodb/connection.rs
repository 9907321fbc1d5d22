//! From `[store]` to a connection: what is set, what is refused before anything starts, and which failures
//! of the first contact are the configuration's fault.

use std::path::Path;
use std::time::Duration;

use mongodb::error::{Error, ErrorKind};
use mongodb::options::{
    Acknowledgment, AuthMechanism, ConnectionString, ReadPreference, Tls, TlsOptions, WriteConcern,
};
use weir_service::{ConfigError, tls};

use crate::config::StoreSection;

/// How long to look for a server that takes writes. Below the 10 s within which a wrong setting must show.
const SELECTION_MAX: Duration = Duration::from_secs(5);
/// How long one server may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long the other members of a replica set may take to confirm an insertion.
const REPLICATION_MAX: Duration = Duration::from_secs(15);

/// What the driver is given.
///
/// # Errors
/// If a setting makes no sense or names a file that cannot be used; the message names the setting, and
/// never repeats a secret.
pub(crate) fn connection(section: &StoreSection) -> Result<ConnectionString, ConfigError> {
    let uri = with_user(&section.uri, &section.username)?;
    let mut connection = ConnectionString::parse(&uri).map_err(|error| {
        // What cannot be parsed may hold a password anywhere before its `@`.
        let why =
            if section.uri.contains('@') { String::new() } else { format!(": {}", error.kind) };
        ConfigError::value(format!("store.uri: is no mongodb:// URI{why}"))
    })?;
    check_names(section)?;
    connection.app_name.get_or_insert("weir-host".into());
    connection.server_selection_timeout.get_or_insert(SELECTION_MAX);
    connection.connect_timeout.get_or_insert(CONNECT_MAX);
    // An offset is committed on the strength of an insertion: it must survive the loss of a server.
    connection.write_concern = Some(
        WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .w_timeout(REPLICATION_MAX)
            .build(),
    );
    // The trainer waits until a row is there and reads it then: not from another server.
    connection.read_preference = Some(ReadPreference::Primary);
    set_password(&mut connection, section)?;
    set_tls(&mut connection, section)?;
    Ok(connection)
}

/// The URI with the user in it, so that the driver applies `authSource` and `authMechanism` to both.
fn with_user(uri: &str, username: &str) -> Result<String, ConfigError> {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    let authority = rest.split('?').next().unwrap_or(rest);
    match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            let message = "store.uri: contains a password; put it into a file of its own and name \
                           that in store.password-file";
            Err(ConfigError::value(message))
        }
        Some(_) if !username.is_empty() => {
            Err(ConfigError::value("store.username: store.uri names a user too; name one of them"))
        }
        None if !username.is_empty() => Ok(format!("{scheme}://{}@{rest}", escaped(username))),
        _ => Ok(uri.to_owned()),
    }
}

/// Percent-encoded, as the user part of a URI must be.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

fn check_names(section: &StoreSection) -> Result<(), ConfigError> {
    let check = |setting: &str, name: &str, refused: &[char]| {
        if name.is_empty() || name.contains(refused) {
            return Err(ConfigError::value(format!("{setting}: {name:?} is no name in MongoDB")));
        }
        Ok(())
    };
    check("store.database", &section.database, &['/', '\\', '.', ' ', '"', '$', '\0'])?;
    check("store.collection", &section.collection, &['$', '\0'])
}

fn set_password(
    connection: &mut ConnectionString,
    section: &StoreSection,
) -> Result<(), ConfigError> {
    let credential = connection.credential.as_mut().filter(|credential| {
        // A client certificate is its own password.
        credential.username.is_some() && credential.mechanism != Some(AuthMechanism::MongoDbX509)
    });
    let named = !section.password_file.as_os_str().is_empty();
    match credential {
        Some(credential) if named => {
            let text = read("store.password-file", &section.password_file)?;
            // Editors and `echo` end a file with a line break, which is no part of the password.
            let password = text.trim_end_matches(['\r', '\n']);
            if password.is_empty() {
                let path = section.password_file.display();
                return Err(ConfigError::value(format!("store.password-file: {path} is empty")));
            }
            credential.password = Some(password.to_owned());
            Ok(())
        }
        Some(_) => Err(ConfigError::value("store.password-file: is needed for store.username")),
        None if named => {
            Err(ConfigError::value("store.username: is needed for store.password-file"))
        }
        None => Ok(()),
    }
}

fn set_tls(connection: &mut ConnectionString, section: &StoreSection) -> Result<(), ConfigError> {
    if !section.ca_file.as_os_str().is_empty() {
        let mut options = match connection.tls.take() {
            Some(Tls::Disabled) => {
                let message = "store.ca-file: store.uri turns TLS off; remove one of them";
                return Err(ConfigError::value(message));
            }
            Some(Tls::Enabled(options)) => options,
            None => TlsOptions::default(),
        };
        options.ca_file_path = Some(section.ca_file.clone());
        connection.tls = Some(Tls::Enabled(options));
    }
    let Some(Tls::Enabled(options)) = &connection.tls else { return Ok(()) };
    if let Some(path) = &options.ca_file_path {
        // The driver would take a file without certificates as "trust nobody".
        if !read("store.ca-file", path)?.contains("-----BEGIN CERTIFICATE-----") {
            let path = path.display();
            let message = format!("store.ca-file: {path} holds no certificate in PEM form");
            return Err(ConfigError::value(message));
        }
    }
    if let Some(path) = &options.cert_key_file_path {
        read("store.uri: tlsCertificateKeyFile", path)?;
    }
    Ok(())
}

fn read(setting: &str, path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| {
        ConfigError::value(format!("{setting}: cannot read {}: {error}", path.display()))
    })
}

/// The server accepts no such user or password.
const AUTHENTICATION_FAILED: i32 = 18;
/// The user may not do this, or there is none and the server wants one.
const UNAUTHORIZED: i32 = 13;

/// The setting that an error of the first contact is due to; none if waiting may help.
pub(super) fn misconfigured(error: &Error) -> Option<ConfigError> {
    let what = match &*error.kind {
        ErrorKind::Authentication { .. } => REFUSED,
        ErrorKind::Command(command) if command.code == AUTHENTICATION_FAILED => REFUSED,
        ErrorKind::Command(command) if command.code == UNAUTHORIZED => {
            "store.username: the user needs the role readWrite on store.database (read, to train only)"
        }
        ErrorKind::InvalidTlsConfig { .. } => "store.ca-file: the driver cannot use it",
        ErrorKind::InvalidArgument { .. } => "store.uri: the driver cannot use it",
        ErrorKind::Io(failure) if tls::is_tls_failure(failure) => {
            "store.ca-file: MongoDB cannot be trusted; check that the certificates in this file vouch \
             for it under its name in store.uri"
        }
        _ => return None,
    };
    Some(ConfigError::value(format!("{what}: {}", error.kind)))
}

const REFUSED: &str = "store.password-file: MongoDB refuses the user or the password";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use mongodb::options::ClientOptions;

    use super::*;
    use crate::HostConfig;

    fn section(uri: &str) -> StoreSection {
        let defaults = HostConfig::load(None).expect("the defaults are valid").store;
        StoreSection { uri: uri.into(), ..defaults }
    }

    /// A folder with the files that these tests name.
    fn files() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("temporary folder");
        let pem = "-----BEGIN CERTIFICATE-----";
        for (name, text) in
            [("password", "p@ss: wörd\n"), ("empty", "\n"), ("ca.pem", pem), ("key.pem", "")]
        {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    async fn options(section: &StoreSection) -> ClientOptions {
        let connection = connection(section).expect("valid");
        ClientOptions::parse(connection).await.expect("valid")
    }

    #[tokio::test]
    async fn an_insertion_waits_for_a_majority_and_nothing_waits_for_ever() {
        // The URI may say how long to look for a server, not how durable a row is.
        let uri = "mongodb://a,b/?replicaSet=weir&w=1&journal=false&serverSelectionTimeoutMS=1234";
        let options = options(&section(uri)).await;
        let concern = options.write_concern.expect("set");
        assert_eq!((concern.w, concern.journal), (Some(Acknowledgment::Majority), Some(true)));
        assert_eq!(concern.w_timeout, Some(REPLICATION_MAX));
        assert_eq!(options.server_selection_timeout, Some(Duration::from_millis(1234)));
        assert_eq!(options.connect_timeout, Some(CONNECT_MAX));
        assert!(options.credential.is_none() && options.tls.is_none());
    }

    #[tokio::test]
    async fn user_and_password_reach_the_driver_as_they_are() {
        let folder = files();
        let check = async |uri: &str, username: &str, user: &str, source: Option<&str>| {
            let password_file = folder.path().join("password");
            let section = StoreSection { username: username.into(), password_file, ..section(uri) };
            let credential = options(&section).await.credential.expect("set");
            assert_eq!(credential.username.as_deref(), Some(user));
            assert_eq!(credential.password.as_deref(), Some("p@ss: wörd"));
            assert_eq!(credential.source.as_deref(), source);
        };
        let strange = "we/ir:@ö%";
        check("mongodb://a,b:1/?authSource=Weight", strange, strange, Some("Weight")).await;
        check("mongodb://a", "weir", "weir", Some("admin")).await;
        let mechanism = "mongodb://weir@a/?authMechanism=SCRAM-SHA-256&authSource=admin";
        check(mechanism, "", "weir", Some("admin")).await;
    }

    #[tokio::test]
    async fn a_ca_file_turns_tls_on_and_wins() {
        let folder = files();
        let [ca_file, key] = ["ca.pem", "key.pem"].map(|name| folder.path().join(name));
        let key_in_uri = format!("mongodb://a/?tls=true&tlsCertificateKeyFile={}", key.display());
        for (uri, key) in [("mongodb://a", None), (&key_in_uri, Some(key.clone()))] {
            let section = StoreSection { ca_file: ca_file.clone(), ..section(uri) };
            let Some(Tls::Enabled(tls)) = options(&section).await.tls else { panic!("no TLS") };
            assert_eq!((tls.ca_file_path, tls.cert_key_file_path), (Some(ca_file.clone()), key));
            assert_eq!(tls.allow_invalid_certificates, None);
        }
        let uri = format!("mongodb://a/?tls=true&tlsCAFile={}", ca_file.display());
        let Some(Tls::Enabled(tls)) = options(&section(&uri)).await.tls else { panic!("no TLS") };
        assert_eq!(tls.ca_file_path, Some(ca_file));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_told() {
        let folder = files();
        let file = |name: &str| folder.path().join(name);
        let check = |section: StoreSection, part: &str| {
            let message = connection(&section).expect_err(part).to_string();
            assert!(message.contains(part) && !message.contains("secret"), "{message}");
        };
        let plain = || section("mongodb://a");
        let user = || StoreSection { username: "weir".into(), ..plain() };
        let password = |file: PathBuf| StoreSection { password_file: file, ..user() };
        check(section("localhost:27017"), "store.uri: is no mongodb:// URI");
        check(section("mongodb+srv://cluster"), "store.uri");
        check(section("mongodb://a:port"), "store.uri: is no mongodb:// URI: ");
        check(section("mongodb://weir:secret@a"), "store.password-file");
        check(section("mongodb://weir:x/secret@a"), "store.password-file");
        check(section("mongodb://weir:secret?@a"), "store.uri: is no mongodb:// URI");
        check(StoreSection { uri: "mongodb://other@a".into(), ..user() }, "store.username");
        check(user(), "store.password-file: is needed");
        check(section("mongodb://weir@a"), "store.password-file: is needed");
        check(password(file("none")), "store.password-file: cannot read");
        check(password(file("empty")), "store.password-file");
        let nobody = StoreSection { username: String::new(), ..password(file("password")) };
        check(nobody, "store.username: is needed");
        let ca = |name, uri| StoreSection { ca_file: file(name), ..section(uri) };
        check(ca("none", "mongodb://a"), "store.ca-file: cannot read");
        check(ca("password", "mongodb://a"), "store.ca-file");
        check(ca("ca.pem", "mongodb://a/?tls=false"), "store.ca-file: store.uri turns TLS off");
        check(section("mongodb://a/?tls=true&tlsCAFile=/none"), "store.ca-file: cannot read");
        check(section("mongodb://a/?tls=true&tlsCertificateKeyFile=/none"), "store.uri");
        check(StoreSection { database: "a.b".into(), ..plain() }, "store.database");
        check(StoreSection { collection: String::new(), ..plain() }, "store.collection");
    }

    #[test]
    fn only_what_waiting_cannot_mend_is_the_configurations_fault() {
        let command = |code: i32| {
            let answer = mongodb::bson::doc! { "code": code, "codeName": "", "errmsg": "no" };
            let command = mongodb::bson::deserialize_from_document(answer).expect("an answer");
            Error::from(ErrorKind::Command(command))
        };
        let check = |error: Error, setting: Option<&str>| {
            let found = misconfigured(&error).map(|error| error.to_string());
            match setting {
                Some(setting) => assert!(found.expect(setting).contains(setting)),
                None => assert_eq!(found, None),
            }
        };
        check(command(AUTHENTICATION_FAILED), Some("store.password-file"));
        check(command(UNAUTHORIZED), Some("store.username"));
        check(command(10_107), None);
        check(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into(), None);
    }
}
