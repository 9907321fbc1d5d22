//! The interface by raw requests.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_e2e::process::{PATIENCE, Process, complete};
use weir_e2e::servers::{FUZZER, address};
use weir_e2e::web::{Answer, ask, get};

use crate::Demo;
use crate::browser::free_port;

/// A run that is over, its page still there. A version serves that has seen two species.
fn finished() -> Demo {
    let demo = Demo::start(&["--speed", "max"]);
    let began = Instant::now();
    let is_over = |status: &Value| {
        let serving = status["Serving"]["ModelVersion"].as_u64();
        status["Counts"]["Joined"] == 180 && serving > Some(1)
    };
    while !is_over(&get(demo.address, "/status").json()) {
        assert!(began.elapsed() < PATIENCE, "the run does not end");
        std::thread::sleep(Duration::from_millis(100));
    }
    demo
}

fn assert_problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["type"], format!("urn:weir:{kind}"), "{problem}");
    assert_eq!(problem["status"], status);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
}

impl Demo {
    fn post(&self, path: &str, body: &str) -> Answer {
        post(self.address, &self.token, path, body)
    }
}

fn post(address: SocketAddr, token: &str, path: &str, body: &str) -> Answer {
    let token = format!("Bearer {token}");
    let headers = [("Authorization", &*token), ("Content-Type", "application/json")];
    ask(address, "POST", path, &headers, body).expect("an answer")
}

#[test]
fn the_originals_calls_are_answered_as_by_the_original() {
    let demo = finished();
    let answer = get(demo.address, "/prediction?length=80&height=18&species=salmon");
    assert_eq!(answer.status, 200);
    let one = answer.json();
    assert!(one["Weight"].as_f64().is_some_and(|weight| weight > 0.0), "{one}");
    assert!(one["ModelTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{one}");
    // Many at once say the same.
    let rows = json!([{"Length": 80, "Height": 18, "Species": "salmon"}, {"Length": 80, "Height": 18, "Species": "eel"}]);
    let many = demo.post("/predict", &rows.to_string()).json();
    assert_eq!(many["Predictions"][0]["Weight"], one["Weight"]);
    assert_eq!(many["ModelDigest"], one["ModelDigest"]);
    assert_eq!(many["Predictions"][1], json!({"Weight": null, "Reason": "unseen-level"}));

    let trained = demo.post("/train", r#"{"Reason": "a try"}"#);
    assert_eq!(trained.status, 200, "{}", trained.text());
    let version = trained.json()["Version"].as_u64().expect("a version");
    let manifest = get(demo.address, &format!("/models/{version}")).json();
    assert_eq!(manifest["cause"]["by"], "demo");
    let component = get(demo.address, &format!("/models/{version}/component"));
    assert_eq!(component.header("content-type"), Some("application/wasm"));
    assert_eq!(manifest["size"], component.body.len());
    let card = get(demo.address, &format!("/models/{version}/card")).text();
    assert!(card.starts_with(&format!("# Model weight v{version}\n")), "{card}");
    let back = demo.post("/models/rollback", r#"{"Version": 1, "Reason": "enough"}"#).json();
    let list = get(demo.address, "/models").json();
    assert_eq!(list["Champion"], back["Version"]);
    assert_eq!(list["Versions"][0]["source"], 1);
    assert!(get(demo.address, "/windows").json().as_array().is_some_and(|all| all.len() >= 5));
    assert!(!get(demo.address, "/drift").json()["Triggers"].as_array().expect("a list").is_empty());
}

#[test]
fn what_is_wrong_is_said_as_a_problem() {
    let demo = finished();
    let check = |path: &str, status, kind| assert_problem(&get(demo.address, path), status, kind);
    check("/prediction?length=80&species=salmon", 400, "missing-number");
    check("/prediction?length=long&height=18&species=salmon", 400, "bad-number");
    check("/prediction?length=NaN&height=18&species=salmon", 400, "bad-number");
    check("/prediction?length=1&length=2&height=18&species=salmon", 400, "repeated-parameter");
    check("/prediction?length=80&height=-1&species=salmon", 422, "out-of-range");
    check("/prediction?length=80&height=18&species=eel", 422, "unseen-level");
    check("/prediction?length=80&height=18", 400, "missing-level");
    check("/models/99", 404, "unknown-version");
    check("/models/first", 400, "bad-path");
    check("/nothing", 404, "unknown-path");
    let post = |path: &str, headers: &[(&str, &str)], body: &str| {
        ask(demo.address, "POST", path, headers, body).expect("an answer")
    };
    let json = ("Content-Type", "application/json");
    let token = format!("Bearer {}", demo.token);
    let bearer = ("Authorization", &*token);
    assert_problem(&post("/prediction", &[], ""), 405, "unknown-method");
    assert_problem(&post("/predict", &[json], "{"), 400, "bad-body");
    assert_problem(&post("/predict", &[], "[]"), 415, "bad-body");
    assert_problem(
        &post("/predict", &[json], &format!("[{}]", "1,".repeat(600_000))),
        413,
        "bad-body",
    );
    assert_problem(&post("/train", &[json], "{}"), 401, "no-token");
    assert_problem(&post("/train", &[bearer, json], r#"{"Because": 1}"#), 400, "bad-body");
    let foreign = ("Origin", "http://evil.example");
    assert_problem(&post("/train", &[bearer, foreign], ""), 403, "foreign-origin");
    assert_problem(&post("/models/99/promote", &[bearer], ""), 404, "unknown-version");
    let name = [("Host", "evil.example")];
    let misled = ask(demo.address, "GET", "/status", &name, "").expect("an answer");
    assert_problem(&misled, 421, "foreign-name");
    // Who guesses tokens is stopped; who has one is not.
    let guess = [("Authorization", "Bearer 0123456789abcdef"), json];
    let refused: BTreeSet<u16> = (0..20).map(|_| post("/train", &guess, "{}").status).collect();
    assert_eq!(refused, BTreeSet::from([401, 429]));
    assert_eq!(demo.post("/train", "{}").status, 200);
}

/// A hundred at once: some are done, one after the other, and the others are told that the trainer is busy. Predictions go on
/// meanwhile. No version came of those who were told so.
#[test]
fn one_is_asked_for_at_a_time() {
    let demo = finished();
    let (address, token) = (demo.address, &*demo.token);
    let statuses = std::thread::scope(|scope| {
        let train = || post(address, token, "/train", "{}").status;
        let asked: Vec<_> = (0..100).map(|_| scope.spawn(train)).collect();
        for _ in 0..20 {
            let path = "/prediction?length=80&height=18&species=salmon";
            assert_eq!(get(address, path).status, 200);
        }
        asked.into_iter().map(|it| it.join().expect("ends")).collect::<Vec<u16>>()
    });
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert!(count(200) > 0 && count(409) > 0, "{statuses:?}");
    assert_eq!(count(200) + count(409), 100, "{statuses:?}");
    let versions = get(address, "/models").json()["Versions"].as_array().cloned();
    let asked = versions.into_iter().flatten().filter(|version| version["cause"]["by"] == "demo");
    assert_eq!(asked.count(), count(200));
}

/// What the interface says of itself is true: a fuzzer reads it, and tries what it permits and what it does not. Which levels a
/// model knows is not in the description, so that a request that fits it may be refused all the same.
#[test]
fn a_fuzzer_finds_nothing_that_the_description_does_not_say() {
    let demo = finished();
    let fuzzer = address(FUZZER);
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(fuzzer);
    command.current_dir(folder.path()).arg("run");
    command.arg(format!("http://{}/openapi.json", demo.address));
    command.args(["--header", &format!("Authorization: Bearer {}", demo.token)]);
    // An endless stream; and requests beyond the rate are told so.
    command.args(["--exclude-path", "/events", "--rate-limit", "45/s"]);
    command.args(["--exclude-checks", "positive_data_acceptance"]);
    command.args(["--max-examples", "8", "--seed", "1", "--no-color"]);
    let output = command.output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let tested = said.lines().find(|line| line.trim_start().starts_with("Tested: "));
    assert_eq!(tested.map(str::trim), Some("Tested: 12"), "{said}");
    assert_eq!(get(demo.address, "/status").status, 200, "the host is still there");
}

/// A host that reaches nothing shows that, and how to go on.
#[test]
fn a_host_without_kafka_and_without_a_model_says_so() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let folder = tempfile::tempdir().expect("a folder");
    let prefix = folder.path().join("trainer");
    complete("weir", &["model", "keygen", prefix.to_str().expect("UTF-8")]);
    let environment = [
        ("WEIR__HTTP__LISTEN", address.to_string()),
        ("WEIR__KAFKA__BROKERS", format!("127.0.0.1:{}", free_port())),
        ("WEIR__TRUST__KEYS", format!("[{:?}]", folder.path().join("trainer.pub"))),
        ("WEIR__TRAIN__KEY_FILE", format!("{:?}", folder.path().join("trainer.pem"))),
        ("WEIR__MODELS__PATH", "\"\"".to_owned()),
        ("WEIR__STORE__PATH", "\"\"".to_owned()),
    ];
    let mut host = Process::start_with("weir-host", &[], &environment);
    host.await_line("page at http://");
    let page = get(address, "/").text();
    for text in ["waiting for Kafka", "There is no model yet", "weir model train --csv"] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    assert_problem(&get(address, "/prediction?length=1&height=1&species=eel"), 503, "no-model");
    let policy = get(address, "/");
    let policy = policy.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let unwritable = ask(address, "POST", "/train", &[], "").expect("an answer");
    assert_problem(&unwritable, 403, "no-tokens");
    let described = get(address, "/openapi.json").json();
    let names: Vec<&Value> = described["paths"]["/prediction"]["get"]["parameters"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|parameter| &parameter["name"])
        .collect();
    assert_eq!(names, ["Length", "Height", "Species"]);
    assert_eq!(get(address, "/swagger/").status, 200);
    host.terminate();
}
