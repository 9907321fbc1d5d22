//! Checks of the whole picture.

use std::io::Cursor;

use roxmltree::{Document, Node};

use super::{SIZE, Theme, bitmap, levels, pairs, svg as themed};
use crate::results::Results;
use crate::samples;

fn svg(results: &Results, threshold: f64) -> String {
    themed(results, threshold, Theme::Light)
}

/// The texts in a picture, which must be well-formed and hold nothing but drawing.
fn texts(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).expect("well-formed");
    let known = ["svg", "text", "rect", "line", "polyline", "polygon", "circle"];
    for node in document.descendants().filter(Node::is_element) {
        assert!(known.contains(&node.tag_name().name()), "{node:?}");
    }
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts.map(|node| node.text().unwrap_or_default().trim().to_owned()).collect()
}

fn count(svg: &str, element: &str) -> usize {
    svg.matches(&format!("<{element} ")).count()
}

#[test]
fn a_run_with_a_drift_shows_all_of_it() {
    let svg = svg(&samples::salmon_walleye_salmon(), 0.15);
    let texts = texts(&svg);
    let expected = [
        "Prediction error of 180 events",
        "salmon",
        "walleye",
        "threshold 0.15",
        "window above the threshold",
        "v1",
        "v2",
        "v3",
        "v2: rows 24 to 73 (50)",
        "v3: rows 54 to 103 (50)",
        "08:03:54",
    ];
    for text in expected {
        assert!(texts.iter().any(|found| found == text), "{text} is not in {texts:?}");
    }
    // A mark for each of 120 salmon and 60 walleye, and one of each in the legend.
    assert_eq!((count(&svg, "circle"), count(&svg, "polygon")), (121, 61));
    assert!(!texts.iter().any(|text| text == "no prediction possible"));
}

#[test]
fn pairs_and_levels_show_every_level() {
    let results = samples::salmon_walleye_salmon();
    let pairs = pairs(&results.predictions, "Weight <g>", Theme::Light);
    assert_eq!((count(&pairs, "circle"), count(&pairs, "polygon")), (121, 61));
    let shown = texts(&pairs);
    for text in ["measured Weight <g>", "predicted Weight <g>", "salmon", "walleye"] {
        assert!(shown.iter().any(|found| found == text), "{text} is not in {shown:?}");
    }
    let levels = texts(&levels(&results.predictions, 0.15, Theme::Light));
    for text in ["salmon", "walleye", "n = 120", "n = 60", "threshold 0.15"] {
        assert!(levels.iter().any(|found| found == text), "{text} is not in {levels:?}");
    }
}

#[test]
fn on_dark_paper_the_ground_is_dark_and_everything_else_is_the_same() {
    let results = samples::salmon_walleye_salmon();
    let [light, dark] = [Theme::Light, Theme::Dark].map(|theme| themed(&results, 0.15, theme));
    assert_ne!(light, dark);
    assert!(!dark.contains("#FFFFFF"), "nothing is white on dark paper");
    assert_eq!(texts(&light), texts(&dark));
}

#[test]
fn events_without_prediction_are_crosses() {
    let events = (1..=9).map(|n| samples::event(n, "pike", 1, None));
    let svg = svg(&samples::run(events.collect(), &[None]), 0.15);
    assert!(texts(&svg).iter().any(|text| text == "no prediction possible"));
    assert_eq!(count(&svg, "circle"), 1, "the legend's, and no mark");
}

#[test]
fn nothing_and_nonsense_are_drawn_without_panic() {
    let nonsense = |error: f64| {
        let mut event = samples::event(1, "salmon", 1, Some(0.1));
        event.error = Some(error);
        samples::run(vec![event], &[None, Some((7, 9))])
    };
    texts(&svg(&Results::default(), 0.15));
    texts(&pairs(&[], "Weight", Theme::Light));
    texts(&levels(&[], 0.15, Theme::Light));
    for error in [0.0, 1e300, f64::NAN, f64::INFINITY] {
        for threshold in [0.0, -1.0, 1e300, f64::NAN, f64::INFINITY] {
            let mut results = nonsense(error);
            texts(&svg(&results, threshold));
            texts(&levels(&results.predictions, threshold, Theme::Dark));
            results.predictions[0].predicted = Some(error);
            texts(&pairs(&results.predictions, "Weight", Theme::Light));
        }
    }
}

#[test]
fn text_from_outside_is_escaped_and_cut() {
    let names = ["<script>alert(1)</script>", "a\u{0}\u{1b}\u{ffff}", "\"&'", &"x".repeat(10_000)];
    let events = (1..).zip(names).map(|(n, name)| samples::event(n, name, 1, Some(0.1)));
    let mut results = samples::run(events.collect(), &[None]);
    results.versions[0].manifest.formula = names.concat();
    let svg = svg(&results, 0.15);
    let texts = texts(&svg);
    assert!(texts.iter().any(|text| text == "\"&'"), "{texts:?}");
    assert!(texts.iter().all(|text| text.chars().count() < 200), "{texts:?}");
    bitmap(&results, 0.15).expect("drawn");
}

#[test]
fn a_long_run_makes_a_small_picture() {
    let svg = svg(&samples::long(100_000), 0.15);
    assert!(svg.len() < 1_000_000, "{}", svg.len());
    texts(&svg);
}

/// The title is drawn although no font of this machine was asked for.
#[test]
fn the_png_has_twice_the_size_and_text() {
    let file = bitmap(&Results::default(), 0.15).expect("drawn");
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("fits")];
    let info = reader.next_frame(&mut pixels).expect("whole");
    assert_eq!((info.width, info.height), SIZE);
    let dark = |x: u32, y: u32| pixels[(y * info.width + x) as usize * 3] < 0x60;
    let inked = (40..500).flat_map(|x| (20..80).map(move |y| (x, y))).filter(|&(x, y)| dark(x, y));
    assert!(inked.count() > 500);
}
