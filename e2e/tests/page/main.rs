//! The host's page and interface, as people and programs use them: a real browser, raw requests, and a fuzzer that
//! reads the interface's own description.

mod browser;
mod interface;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use browser::{Browser, free_port};
use weir_e2e::process::{PATIENCE, Process};
use weir_e2e::web::ask;

/// A demo with its page, and the token that lets one act on it.
pub(crate) struct Demo {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    _process: Process,
    _out: tempfile::TempDir,
}

impl Demo {
    pub(crate) fn start(options: &[&str]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (listen, out) = (address.to_string(), tempfile::tempdir().expect("a folder"));
        let folder = out.path().to_str().expect("UTF-8");
        let arguments = ["demo", "--listen", &listen, "--out", folder];
        let mut process = Process::start("weir", &[&arguments, options].concat());
        process.await_line("token to act on it: ");
        let (_, rest) = process.log().split_once("token to act on it: ").expect("just seen");
        let began = Instant::now();
        while ask(address, "GET", "/status", &[], "").is_none() {
            assert!(began.elapsed() < PATIENCE, "nobody answers at {address}");
            std::thread::sleep(Duration::from_millis(50));
        }
        let token = rest.lines().next().unwrap_or_default().trim().to_owned();
        Self { address, token, _process: process, _out: out }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// Charts whose pixels have arrived.
const CHARTS_SHOWN: &str = "const all = [...document.querySelectorAll('picture img')]; \
     return all.length === 3 && all.every((it) => it.complete && it.naturalWidth > 0);";

#[tokio::test]
async fn the_page_follows_a_run_and_an_operator_rolls_back() {
    let demo = Demo::start(&["--speed", "20"]);
    let browser = Browser::start((1280, 1640), false).await;
    browser.open(&demo.url()).await;
    browser.until("live", "return document.getElementById('line').textContent === 'live';").await;
    browser.until("charts", CHARTS_SHOWN).await;
    // Nothing is loaded anew by hand: the page sees the drift and the swap by itself.
    let serving = "return document.querySelector('tr.serving th a')?.textContent";
    browser.until("the retrained version", &format!("{serving} === 'v2';")).await;
    browser
        .until(
            "the whole run",
            "return document.querySelector('.cards').textContent.includes('180 joined');",
        )
        .await;
    browser.until("charts", CHARTS_SHOWN).await;
    browser.picture("page-light.png").await;
    let before = browser.script(&format!("{serving};")).await;

    // By keys alone: to the button, into the dialog, the token, the reason.
    browser.script("document.querySelector('button[data-version=\"1\"]').focus();").await;
    let button = browser.client.active_element().await.expect("focused");
    assert_eq!(button.text().await.expect("a name"), "Put back");
    button.send_keys("\u{e007}").await.expect("pressed");
    let token = browser.find("#act-token").await;
    token.send_keys("a wrong token, all the same long").await.expect("typed");
    browser.find("#act-go").await.click().await.expect("pressed");
    browser
        .until(
            "a refusal",
            "return document.getElementById('act-said').textContent.startsWith('give a token');",
        )
        .await;
    token.clear().await.expect("emptied");
    token.send_keys(&demo.token).await.expect("typed");
    let reason = browser.find("#act-reason").await;
    reason.send_keys("<b>salmon</b> again").await.expect("typed");
    reason.send_keys("\u{e007}").await.expect("pressed");
    browser
        .until(
            "an answer",
            "return document.getElementById('act-said').textContent.startsWith('done: v');",
        )
        .await;
    browser.picture("page-rollback.png").await;
    browser.find("#act-close").await.click().await.expect("pressed");
    browser.until("the swap", &format!("{serving} !== {before};")).await;
    let why = browser.script("return document.querySelector('tr.serving').textContent;").await;
    let why = why.as_str().expect("text");
    assert!(why.contains("an earlier version is back by demo: <b>salmon</b> again"), "{why}");
    let markup = browser.script("return document.querySelectorAll('main b').length;").await;
    assert_eq!(markup, 0, "a reason became markup");
    // A refused token is told in the console, by the browser itself.
    let complaints = browser.complaints().await;
    let ours = complaints.iter().filter(|it| !it.to_string().contains("401"));
    assert_eq!(ours.count(), 0, "{complaints:?}");
    browser.close().await;
}

#[tokio::test]
async fn the_page_is_readable_in_the_dark_and_on_a_tablet() {
    let demo = Demo::start(&["--speed", "max"]);
    let browser = Browser::start((820, 1180), true).await;
    browser.open(&demo.url()).await;
    browser
        .until(
            "the whole run",
            "return document.querySelector('.cards').textContent.includes('180 joined');",
        )
        .await;
    browser.until("charts", CHARTS_SHOWN).await;
    let dark = browser.script(
        "return [...document.querySelectorAll('picture img')].every((it) => it.currentSrc.includes('dark=true')) \
         && matchMedia('(prefers-color-scheme: dark)').matches;",
    );
    assert_eq!(dark.await, true);
    let wide = browser.script("return document.documentElement.scrollWidth > window.innerWidth;");
    assert_eq!(wide.await, false, "the page is wider than a tablet");
    browser.picture("page-dark.png").await;
    // Everything that can be pressed has a name.
    let nameless = browser.script(
        "return [...document.querySelectorAll('button, a, summary, input')].filter((it) => \
         !(it.textContent.trim() || it.closest('label')?.textContent.trim())).length;",
    );
    assert_eq!(nameless.await, 0);
    assert_eq!(browser.complaints().await, Vec::<serde_json::Value>::new());
    browser.close().await;
}
