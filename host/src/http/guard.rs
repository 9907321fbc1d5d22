//! Who may write.
//!
//! A token says who somebody is. It is in a file, one line for each person or program: a name, a space, the token.
//! Browsers are asked for the origin of their page besides, so that a foreign page cannot use somebody's browser; and for
//! the name under which they reached the server, so that a foreign name that leads here gets nothing at all.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use weir_service::{ConfigError, locate_secret};
use weir_view::show;

use super::App;
use super::fault::Fault;

/// A token that somebody could guess is none.
const TOKEN_CHARS_MIN: usize = 16;

/// The address of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Who may write. Of the tokens only digests are kept: all have one length, and comparing them tells nothing.
#[derive(Default, Debug)]
pub(super) struct Tokens(Vec<(String, [u8; 32])>);

impl Tokens {
    /// Reads the file; an empty name is one without tokens.
    pub(super) fn read(file: &Path) -> Result<Self, ConfigError> {
        if file.as_os_str().is_empty() {
            return Ok(Self::default());
        }
        let path = locate_secret("http.token-file", file)?;
        let wrong = |what: String| ConfigError::value(format!("http.token-file: {what}"));
        let text = std::fs::read_to_string(&path)
            .map_err(|error| wrong(format!("cannot read {}: {error}", path.display())))?;
        Self::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, token)) = line.split_once(char::is_whitespace) else {
                return Err(format!("line {number} is no name and token, with a space between"));
            };
            let token = token.trim();
            if token.chars().count() < TOKEN_CHARS_MIN {
                let cure = "`openssl rand -hex 32` makes one";
                return Err(format!(
                    "the token in line {number} has less than {TOKEN_CHARS_MIN} characters; {cure}"
                ));
            }
            tokens.push((name.to_owned(), Sha256::digest(token).into()));
        }
        if tokens.is_empty() {
            return Err("names nobody".to_owned());
        }
        Ok(Self(tokens))
    }

    /// Whose token this is. Every one is compared, to its end.
    fn owner(&self, token: &str) -> Option<&str> {
        let given: [u8; 32] = Sha256::digest(token).into();
        let mut owner = None;
        for (name, known) in &self.0 {
            if bool::from(known.ct_eq(&given)) {
                owner = Some(&**name);
            }
        }
        owner
    }
}

/// Somebody who may write.
pub(super) struct Operator {
    /// What the file calls them.
    pub(super) name: String,
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Fault> {
        let headers = &parts.headers;
        check_origin(headers)?;
        if app.tokens.0.is_empty() {
            let detail = "nobody may write here: http.token-file is not set";
            return Err(Fault::new(StatusCode::FORBIDDEN, "no-tokens", detail));
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(|given| {
            let (scheme, token) = given.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let peer = parts.extensions.get::<Peer>().copied();
        let owner = token.and_then(|token| app.tokens.owner(token));
        if let Some(name) = owner {
            return Ok(Self { name: name.to_owned() });
        }
        tracing::warn!(peer = ?peer.map(|peer| peer.0), path = parts.uri.path(), "no valid token");
        if token.is_some() && !peer.is_none_or(|peer| app.limits.forgives(peer.0.ip())) {
            let detail = "too many wrong tokens from this address; wait a minute";
            return Err(Fault::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail));
        }
        let detail = "give a token of http.token-file: Authorization: Bearer TOKEN";
        Err(Fault::new(StatusCode::UNAUTHORIZED, "no-token", detail))
    }
}

/// A page of another origin must not write with somebody's browser.
fn check_origin(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if authority.is_some() && authority == host {
        return Ok(());
    }
    let detail = format!("the page is of another origin: {}", show::text(origin, 60));
    Err(Fault::new(StatusCode::FORBIDDEN, "foreign-origin", detail))
}

/// Before anything else is looked at: the rate, and the name under which the server was reached.
pub(super) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    if !peer.is_none_or(|peer| app.limits.admits(peer.0.ip())) {
        let detail = "too many requests from this address (http.requests-per-second)";
        let fault = Fault::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail);
        return fault.into_response();
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(|host| is_ours(host, &app.config.http.names)) {
        let detail = "the server is not known under this name; http.names lists its names";
        return Fault::new(StatusCode::MISDIRECTED_REQUEST, "foreign-name", detail).into_response();
    }
    next.run(request).await
}

/// Whether a `Host` is an address, or a name that this server has.
fn is_ours(host: &str, names: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        // The colons of an IPv6 address are within brackets.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_who_somebody_is() {
        let text = "# people\nanna 0123456789abcdef\n\nplc-7\tfedcba9876543210  \n";
        let tokens = Tokens::parse(text).expect("readable");
        assert_eq!(tokens.owner("0123456789abcdef"), Some("anna"));
        assert_eq!(tokens.owner("fedcba9876543210"), Some("plc-7"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef ", "anna"] {
            assert_eq!(tokens.owner(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_without_good_tokens_is_refused() {
        for (text, part) in [
            ("", "names nobody"),
            ("# only this\n", "names nobody"),
            ("0123456789abcdef\n", "line 1"),
            ("anna 0123456789abcdef\nbert short\n", "line 2"),
        ] {
            let message = Tokens::parse(text).expect_err(text);
            assert!(message.contains(part), "{message}");
            assert!(!message.contains("short\n"), "a token is never told");
        }
    }

    #[test]
    fn names_that_lead_here_are_known() {
        let names = ["weir.example".to_owned()];
        for ours in
            ["127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "localhost:1", "Weir.Example:8080"]
        {
            assert!(is_ours(ours, &names), "{ours}");
        }
        for foreign in ["evil.example", "127.0.0.1.evil.example:80", "", "weir.example.evil"] {
            assert!(!is_ours(foreign, &names), "{foreign}");
        }
    }

    #[test]
    fn only_the_servers_own_pages_write() {
        let check = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "127.0.0.1:8080".parse().expect("a value"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().expect("a value"));
            }
            check_origin(&headers).is_ok()
        };
        assert!(check(None), "no browser");
        assert!(check(Some("http://127.0.0.1:8080")));
        for foreign in ["null", "http://evil.example", "http://127.0.0.1", "127.0.0.1:8080"] {
            assert!(!check(Some(foreign)), "{foreign}");
        }
    }
}
