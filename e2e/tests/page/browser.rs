//! A real browser without a window, driven as a person would: by keys and clicks.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use weir_e2e::process::{PATIENCE, Process};
use weir_e2e::web;

/// A browser with a page.
pub(crate) struct Browser {
    pub(crate) client: Client,
    driver: SocketAddr,
    _process: Process,
    _profile: tempfile::TempDir,
}

/// A port that nobody has now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

impl Browser {
    /// Starts one whose window has this size, for a reader who likes it light or dark.
    pub(crate) async fn start((width, height): (u32, u32), dark: bool) -> Self {
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}"));
        let process = Process::start_command("chromedriver", &mut command);
        let profile = tempfile::tempdir().expect("a folder");
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]
        .map(str::to_owned)
        .into();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        arguments.push(format!("--window-size={width},{height}"));
        // 0 is dark, 1 is light.
        arguments.push(format!("--blink-settings=preferredColorScheme={}", i32::from(!dark)));
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".into(), json!({ "args": arguments }));
        capabilities.insert("goog:loggingPrefs".into(), json!({ "browser": "ALL" }));
        let address = format!("http://127.0.0.1:{port}");
        let began = Instant::now();
        let client = loop {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            match builder.capabilities(capabilities.clone()).connect(&address).await {
                Ok(client) => break client,
                Err(error) => {
                    assert!(began.elapsed() < PATIENCE, "no browser: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        Self { client, driver: ([127, 0, 0, 1], port).into(), _process: process, _profile: profile }
    }

    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("the page opens");
    }

    /// What a script in the page says.
    pub(crate) async fn script(&self, text: &str) -> Value {
        self.client.execute(text, Vec::new()).await.expect("runs")
    }

    /// Waits until a script says yes.
    pub(crate) async fn until(&self, what: &str, script: &str) {
        let began = Instant::now();
        while self.script(script).await != json!(true) {
            let page = self.client.source().await.unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "{what}: not in time; the page:\n{page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn find(&self, css: &str) -> Element {
        self.client.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// What the console says that is no notice: refusals of the page's own policy are among it.
    pub(crate) async fn complaints(&self) -> Vec<Value> {
        let session = self.client.session_id().await.expect("a session").expect("a session");
        let (path, body) = (format!("/session/{session}/se/log"), r#"{"type": "browser"}"#);
        let answer = web::ask(self.driver, "POST", &path, &[], body).expect("an answer").json();
        let entries = answer["value"].as_array().cloned().unwrap_or_default();
        entries.into_iter().filter(|entry| entry["level"] == "SEVERE").collect()
    }

    /// Keeps a picture of what is in the window, if somebody wants it.
    pub(crate) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("WEIR_SCREENSHOTS") else { return };
        let picture = self.client.screenshot().await.expect("a picture");
        std::fs::write(Path::new(&folder).join(name), picture).expect("written");
    }

    pub(crate) async fn close(self) {
        self.client.close().await.expect("closes");
    }
}
