//! `weir demo` as a user runs it: the built command, its output, its exit code.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

fn weir(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).output();
    output.expect("the command starts")
}

/// Runs the demo and returns its JSON; it must succeed and print nothing else.
fn demo(arguments: &[&str]) -> Value {
    let output = weir(&[&["demo", "--json=full"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The recorded stream as the original's two files.
struct Stream {
    folder: tempfile::TempDir,
    measurements: Vec<String>,
    weights: Vec<String>,
}

impl Stream {
    fn new() -> Self {
        let text = std::fs::read_to_string(data("replay-stream.csv")).expect("readable");
        let (mut measurements, mut weights) = (Vec::new(), Vec::new());
        for line in text.lines().skip(1) {
            let [id, species, length, height, weight] =
                line.split(',').collect::<Vec<_>>().try_into().expect("five columns");
            let head = format!(r#"{{"Species":"{species}","Fish_Id":"{id}""#);
            measurements.push(format!(r#"{head},"Length":{length},"Height":{height}}}"#));
            weights.push(format!(r#"{head},"Weight":{weight}}}"#));
        }
        Self { folder: tempfile::tempdir().expect("temporary folder"), measurements, weights }
    }

    /// Runs the demo over the files.
    fn demo(&self, arguments: &[&str]) -> Value {
        let write = |name: &str, lines: &[String]| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, lines.join("\n")).expect("written");
            path.to_string_lossy().into_owned()
        };
        let measurements = write("measurements", &self.measurements);
        let weights = write("weights", &self.weights);
        let train = data("replay-train.csv").to_string_lossy().into_owned();
        let files = ["--measurements", &measurements, "--weights", &weights, "--train", &train];
        demo(&[&files, arguments].concat())
    }
}

fn count(run: &Value, name: &str) -> u64 {
    run[name].as_u64().unwrap_or_else(|| panic!("{name} is a count"))
}

/// Every event that was sent is joined or told of.
fn assert_accounted(run: &Value) {
    let single = ["unmatched", "late", "duplicates", "dead_lettered"];
    let sum = 2 * count(run, "joined") + single.map(|name| count(run, name)).iter().sum::<u64>();
    assert_eq!(sum, count(run, "sent"));
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_else(|| panic!("{name} is a list"))
}

fn assert_close(found: &Value, expected: &Value, relative: f64, what: &str) {
    let [found, expected] = [found, expected].map(|value| value.as_f64().expect("a number"));
    let difference = (found - expected).abs();
    assert!(difference <= relative * expected.abs(), "{what}: {found} is not {expected}");
}

/// Coefficients by position: R's script named its columns in lower case.
fn assert_fit(version: &Value, fit: &Value) {
    let [found, expected] = [version, fit].map(|v| v["coefficients"].as_object().expect("names"));
    assert_eq!(found.len(), expected.len());
    for ((name, value), reference) in found.iter().zip(expected.values()) {
        assert_close(value, reference, 1e-9, name);
    }
    assert_close(&version["r_squared"], &fit["r_squared"], 1e-9, "r_squared");
}

/// The whole loop against R's replay of the same events.
fn check_against_r(case: &Value, initial: &Value) {
    let lead = case["lead"].as_u64().expect("a count");
    let rows = case["events_in_first_window"].as_u64().expect("a count");
    // The first row is joined `lead` intervals after the start, and `rows` of them end the minute.
    let minute: weir_events::EventTime = "2026-01-05T08:01:00Z".parse().expect("a time");
    let start = minute.minus(Duration::from_secs(2 * (rows + lead))).to_string();
    let run = Stream::new().demo(&["--lockstep", "--start", &start, "--lead", &lead.to_string()]);
    assert_eq!((count(&run, "sent"), count(&run, "joined")), (360, 180));
    assert_accounted(&run);

    let triggers = list(case, "triggers");
    let means = list(case, "window_means");
    let windows = list(&run, "windows");
    assert_eq!(windows.len(), means.len());
    for (number, (window, mean)) in windows.iter().zip(means).enumerate() {
        assert_close(&window["mean_error"], mean, 1e-12, "mean of a window");
        let triggered = triggers.iter().any(|trigger| trigger["window"] == number);
        assert_eq!(window["triggered"], triggered, "window {number}");
    }
    assert_eq!(windows[0]["n"], rows);

    let versions = list(&run, "versions");
    assert_eq!(versions.len(), 1 + triggers.len());
    assert_fit(&versions[0], initial);
    for (version, trigger) in versions[1..].iter().zip(triggers) {
        assert_eq!(version["rows"]["first_id"], trigger["first_id"].to_string());
        assert_eq!(version["rows"]["last_id"], trigger["last_id"].to_string());
        assert_eq!(version["rows"]["n"], 50);
        assert_fit(version, trigger);
    }
    let first = &versions[1]["first_id_predicted"];
    assert_eq!(*first, case["first_id_predicted_by_new_model"].to_string());
}

#[test]
fn lockstep_equals_rs_replay() {
    let text = std::fs::read_to_string(data("replay.json")).expect("readable");
    let reference: Value = serde_json::from_str(&text).expect("JSON");
    let cases = list(&reference, "cases");
    assert_eq!(cases.len(), 3);
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| check_against_r(case, &reference["initial"]));
        }
    });
}

#[test]
fn lockstep_repeats_to_the_last_bit() {
    let run = || {
        let mut run = demo(&["--lockstep", "--seed", "7"]);
        for version in run["versions"].as_array_mut().expect("a list") {
            version["retrain_ms"] = Value::Null;
        }
        run.to_string()
    };
    let [first, second] = std::thread::scope(|scope| {
        let runs = [scope.spawn(run), scope.spawn(run)];
        runs.map(|run| run.join().expect("runs"))
    });
    assert_eq!(first, second);
}

/// The mean error of one species under some versions.
fn mean_error(run: &Value, ids: std::ops::Range<u64>, version: impl Fn(u64) -> bool) -> f64 {
    let chosen = list(run, "predictions").iter().filter(|prediction| {
        let id: u64 = prediction["id"].as_str().expect("text").parse().expect("a number");
        ids.contains(&id) && version(prediction["version"].as_u64().expect("a number"))
    });
    let errors: Vec<f64> =
        chosen.map(|prediction| prediction["error"].as_f64().expect("a number")).collect();
    assert!(!errors.is_empty());
    errors.iter().sum::<f64>() / errors.len() as f64
}

#[test]
fn the_default_run_shows_the_loop() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let out = folder.path().to_string_lossy().into_owned();
    let run = demo(&["--speed", "40", "--out", &out]);
    assert_eq!((count(&run, "predicted"), count(&run, "joined")), (180, 180));
    assert_accounted(&run);
    assert!(mean_error(&run, 61..121, |version| version == 1) > 0.5);
    assert!(mean_error(&run, 61..121, |version| version > 1) < 0.15);
    for version in list(&run, "versions") {
        let bytes = std::fs::read(folder.path().join(format!("v{}.wasm", version["version"])));
        let digest = weir_events::Digest::of(&bytes.expect("written"));
        assert_eq!(version["digest"], digest.to_string());
    }
    for name in ["error.svg", "error.png"] {
        assert!(std::fs::metadata(folder.path().join(name)).expect("written").len() > 1_000);
    }
}

#[test]
fn real_fish_of_new_species_are_learned() {
    let run = demo(&["--scenario", "fishcatch", "--lockstep"]);
    // 131 fish; the weight of one is missing and that of another is zero.
    assert_eq!(count(&run, "sent"), 131 + 130);
    assert_eq!((count(&run, "predicted"), count(&run, "joined")), (131, 129));
    assert_eq!((count(&run, "dead_lettered"), count(&run, "unmatched")), (1, 2));
    assert_accounted(&run);
    assert!(count(&run, "unseen_level") > 40);
    let last = list(&run, "versions").last().expect("a version");
    assert!(list(last, "species").iter().any(|species| species == "Smelt"));
    let unpredicted =
        list(&run, "predictions").iter().filter(|prediction| prediction["predicted"].is_null());
    assert_eq!(unpredicted.count() as u64, count(&run, "unseen_level"));
}

/// The second use case of the documentation: other columns, another formula, and no other program.
#[test]
fn another_line_is_a_file_of_settings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/energy");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (config, train, line) = (path("energy.toml"), path("train.csv"), path("line.csv"));
    let run = demo(&["--lockstep", "--config", &config, "--train", &train, "--csv", &line]);
    assert_eq!((count(&run, "sent"), count(&run, "joined")), (480, 240));
    assert_accounted(&run);
    // Ten readings of the press that nobody had seen are the sign to learn it.
    assert_eq!(count(&run, "unseen_level"), 10);
    let versions = list(&run, "versions");
    assert!(versions[1]["coefficients"]["Machinepress-3"].is_number(), "{}", versions[1]);
    // The worn press costs windows above the threshold, and then none any more.
    let triggered: Vec<bool> = list(&run, "windows")
        .iter()
        .map(|window| window["triggered"].as_bool().expect("a flag"))
        .collect();
    assert!(triggered[14..18].contains(&true), "{triggered:?}");
    assert!(!triggered[..14].contains(&true) && !triggered[18..].contains(&true), "{triggered:?}");
    let last = &versions[versions.len() - 1];
    assert!(last["coefficients"]["Machinepress-2"].as_f64() > Some(5.0), "{last}");
}

#[test]
fn bad_lines_are_told_of_and_disturb_no_neighbour() {
    let mut stream = Stream::new();
    stream.measurements.truncate(40);
    stream.weights.truncate(40);
    let clean = stream.demo(&["--lockstep"]);
    // Behind all good lines, so that the good ones keep their times.
    let fish = |rest: &str| format!(r#"{{"Species":"salmon","Fish_Id":"x",{rest}}}"#);
    let long = format!(r#""Length":80,"Height":19,"pad":"{}""#, "x".repeat(1_000_000));
    stream.measurements.extend([
        "{not json".into(),
        "[]".into(),
        fish(r#""Length":"80","Height":19"#),
        fish(r#""Length":NaN,"Height":19"#),
        fish(r#""Length":-3,"Height":19"#),
        fish(r#""Height":19"#),
        fish(r#""Length":80,"Height":19,"Timestamp":"2099-01-01T00:00:00Z""#),
        fish(&long),
    ]);
    stream.weights.extend([fish(r#""Weight":0"#), fish(r#""Weight":-1.5"#)]);
    let run = stream.demo(&["--lockstep"]);
    assert_eq!((count(&run, "sent"), count(&run, "dead_lettered")), (90, 10));
    assert_accounted(&run);
    for what in ["joined", "windows", "predictions"] {
        assert_eq!(run[what], clean[what], "{what}");
    }
}

#[test]
fn missing_and_repeated_events_are_counted() {
    let mut stream = Stream::new();
    stream.measurements.truncate(40);
    stream.weights.truncate(40);
    stream.weights.remove(9);
    stream.measurements.push(stream.measurements[38].clone());
    stream.weights.push(r#"{"Species":"salmon","Fish_Id":"stranger","Weight":4}"#.into());
    let run = stream.demo(&["--lockstep"]);
    assert_eq!((count(&run, "sent"), count(&run, "joined")), (81, 39));
    assert_eq!((count(&run, "unmatched"), count(&run, "duplicates")), (2, 1));
    assert_accounted(&run);
}

#[test]
fn several_partitions_lose_nothing() {
    let run = demo(&["--partitions", "4", "--speed", "max", "--events", "2000"]);
    assert_eq!((count(&run, "sent"), count(&run, "joined")), (4_000, 2_000));
    assert_accounted(&run);
}

#[test]
fn bad_calls_are_refused_before_anything_starts() {
    let empty = tempfile::NamedTempFile::new().expect("temporary file");
    let empty = empty.path().to_string_lossy().into_owned();
    let few = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(few.path(), "Species,Length,Height,Weight\na,1,2,3\na,2,3,4\n")
        .expect("written");
    let check = |arguments: &[&str], part: &str| {
        let output = weir(&[&["demo"], arguments].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(part), "{arguments:?}: {errors}");
        assert!(output.stdout.is_empty());
    };
    check(&["--train", "/does/not/exist"], "/does/not/exist");
    check(&["--train", &empty], "Length");
    check(&["--train", &few.path().to_string_lossy()], "2 rows for 3 terms");
    check(&["--measurements", "/does/not/exist", "--weights", &empty], "/does/not/exist");
    let some = few.path().to_string_lossy();
    check(&["--measurements", &some, "--weights", "/does/not/exist"], "/does/not/exist");
    check(&["--measurements", &empty, "--weights", &empty], "no line");
    check(&["--measurements", &empty], "--weights");
    check(&["--csv", &empty], "--train");
    let train = data("replay-train.csv");
    let train = train.to_string_lossy();
    check(&["--train", &train, "--csv", &empty], "no row below a header");
    check(&["--train", &train, "--csv", &some], "Fish_Id");
    let energy = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/energy/energy.toml");
    check(&["--config", energy], "the simulator makes fish");
    check(&["--start", "yesterday"], "yesterday");
    check(&["--lead=-1"], "-1");
    check(&["--out", "/proc/nowhere"], "/proc/nowhere");
    check(&["--speed", "0"], "--speed");
    check(&["--partitions", "0"], "--partitions");
}
