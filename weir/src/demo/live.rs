//! What a run is doing, on the standard error stream while it runs.
//!
//! On a terminal: a bar with the current error and the serving version, and above it a line for each
//! thing that happened. Elsewhere: the lines alone. Indicatif limits how often the bar is redrawn,
//! so a report may be made for every event. A stream that cannot be written to is ignored: it must
//! not end the run.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, IsTerminal as _, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use weir_events::WindowClosed;
use weir_registry::{CauseKind, Manifest, Stage};

use weir_view::show;

/// The shown error is the mean over this many of the latest joined rows.
const LATEST: usize = 10;
/// Lines about unknown levels end after this many, and those about dead letters: both come from outside.
const TOLD_MAX: usize = 20;
/// As wide as a time and the space behind it.
const INDENT: &str = "          ";

/// Shows a run's progress.
pub(crate) struct Live {
    out: Out,
    errors: VecDeque<f64>,
    serving: String,
    unseen: BTreeSet<String>,
    dead_letters: usize,
}

enum Out {
    Bar(ProgressBar),
    Lines(Box<dyn Write + Send>),
    Nothing,
}

impl Live {
    /// Progress towards `total` joined rows, if that is known; none at all if `quiet`.
    pub(crate) fn new(total: Option<u64>, quiet: bool) -> Self {
        let out = if quiet {
            Out::Nothing
        } else if io::stderr().is_terminal() {
            Out::Bar(bar(total, ProgressDrawTarget::stderr()))
        } else {
            Out::Lines(Box::new(io::stderr()))
        };
        Self::to(out)
    }

    fn to(out: Out) -> Self {
        let errors = VecDeque::with_capacity(LATEST);
        let serving = "no model".to_owned();
        Self { out, errors, serving, unseen: BTreeSet::new(), dead_letters: 0 }
    }

    /// A row was joined, with this error if there was a prediction.
    pub(crate) fn joined(&mut self, error: Option<f64>) {
        if let Some(error) = error {
            self.errors.truncate(LATEST - 1);
            self.errors.push_front(error);
        }
        if let Out::Bar(bar) = &self.out {
            bar.inc(1);
            bar.set_message(self.state());
        }
    }

    /// A window closed. Only one that caused a retraining is worth a line.
    pub(crate) fn window(&mut self, window: &WindowClosed) {
        if window.triggered {
            let (time, mean) = (show::time_of_day(window.end), window.mean_error);
            self.line(&format!("{time}  window closed at {mean:.3} -> retraining"));
        }
    }

    /// A version serves.
    pub(crate) fn version(&mut self, manifest: &Manifest) {
        let (version, rows) = (manifest.version, &manifest.rows);
        let digest = manifest.digest.short();
        if manifest.stage != Stage::Champion {
            let reason = manifest.cause.reason.as_deref().unwrap_or("it is compared first");
            let (stage, reason) = (manifest.stage.as_str(), show::text(reason, 120));
            self.line(&format!("{INDENT}{version} is a {stage} version: {reason}"));
            return;
        }
        self.serving = format!("{version} serves");
        let line = if let Some(source) = manifest.source {
            let why = manifest.cause.reason.as_deref().unwrap_or(manifest.cause.kind.as_str());
            format!(
                "{version} serves, which is {source} (sha256:{digest}): {}",
                show::text(why, 120)
            )
        } else if manifest.cause.kind == CauseKind::Trigger {
            let (first, last) = (show::text(&rows.first_id, 16), show::text(&rows.last_id, 16));
            let took = manifest.retrain_ms;
            format!(
                "retrained in {took:.0} ms from rows {first}..{last}: {version} serves (sha256:{digest})"
            )
        } else {
            format!("{version} serves, trained with {} rows (sha256:{digest})", rows.n)
        };
        self.line(&format!("{INDENT}{line}"));
    }

    /// An event could not be predicted, as the serving version does not know its level.
    pub(crate) fn unseen(&mut self, level: &str) {
        let level = show::text(level, 20);
        if self.unseen.len() < TOLD_MAX && self.unseen.insert(level.clone()) {
            self.line(&format!("{INDENT}{level}: unknown to the model, no prediction"));
        }
    }

    /// An event was set aside.
    pub(crate) fn dead_letter(&mut self, reason: &str, detail: &str) {
        self.dead_letters += 1;
        if self.dead_letters <= TOLD_MAX {
            let (reason, detail) = (show::text(reason, 40), show::text(detail, 120));
            self.line(&format!("{INDENT}dead letter, {reason}: {detail}"));
        }
    }

    /// The run is over. The bar goes; the lines stay.
    pub(crate) fn finish(&mut self) {
        if let Out::Bar(bar) = &self.out {
            bar.finish_and_clear();
        }
    }

    fn state(&self) -> String {
        if self.errors.is_empty() {
            return self.serving.clone();
        }
        let mean = self.errors.iter().sum::<f64>() / self.errors.len() as f64;
        format!("error {mean:.3}  {}", self.serving)
    }

    fn line(&mut self, text: &str) {
        match &mut self.out {
            Out::Bar(bar) => bar.println(text),
            // Nobody reads it any more, and there is nowhere to say so.
            Out::Lines(stream) => drop(writeln!(stream, "{text}")),
            Out::Nothing => {}
        }
    }
}

fn bar(total: Option<u64>, target: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, target);
    let template = if total.is_some() {
        "{elapsed:>8}  {bar:30} {human_pos}/{human_len} events  {msg}"
    } else {
        "{elapsed:>8}  {spinner} {human_pos} events  {msg}"
    };
    bar.set_style(ProgressStyle::with_template(template).expect("the template is a constant"));
    bar
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;
    use weir_events::EventTime;

    use super::*;
    use weir_view::samples;

    #[derive(Clone, Default, Debug)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A terminal that keeps what is written to it.
    impl TermLike for Sink {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(&format!("{text}\n"))
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.clone().write_all(text.as_bytes())
        }

        fn clear_line(&self) -> io::Result<()> {
            self.write_str("<clear>")
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn window(mean_error: f64, triggered: bool) -> WindowClosed {
        let start: EventTime = "2026-01-05T08:01:00Z".parse().expect("a time");
        let end = start.plus(std::time::Duration::from_secs(60));
        WindowClosed { start, end, rows: 30, mean_error, triggered }
    }

    fn play(live: &mut Live) {
        live.version(&samples::version(1, None).manifest);
        live.window(&window(0.02, false));
        live.joined(Some(0.02));
        live.unseen("pike\u{1b}[2J");
        live.unseen("pike\u{1b}[2J");
        live.window(&window(0.84, true));
        live.version(&samples::version(2, Some((24, 73))).manifest);
    }

    #[test]
    fn elsewhere_there_are_lines_for_what_happened() {
        let sink = Sink::default();
        play(&mut Live::to(Out::Lines(Box::new(sink.clone()))));
        let digests = [1, 2].map(|n| samples::version(n, None).manifest.digest.short());
        let expected = format!(
            "          v1 serves, trained with 100 rows (sha256:{})
          pike\\u{{1b}}[2J: unknown to the model, no prediction
08:02:00  window closed at 0.840 -> retraining
          retrained in 12 ms from rows 24..73: v2 serves (sha256:{})\n",
            digests[0], digests[1]
        );
        assert_eq!(sink.text(), expected);
    }

    #[test]
    fn the_bar_shows_the_mean_of_the_latest_errors_and_the_version() {
        let sink = Sink::default();
        let target = ProgressDrawTarget::term_like(Box::new(sink.clone()));
        let mut live = Live::to(Out::Bar(bar(Some(40), target)));
        play(&mut live);
        for row in 0..21 {
            live.joined((row < 20).then_some(if row < 10 { 0.9 } else { 0.05 }));
        }
        assert_eq!(live.state(), "error 0.050  v2 serves");
        let Out::Bar(bar) = &live.out else { panic!("a bar was given") };
        assert_eq!((bar.position(), bar.message()), (22, live.state()));
        bar.force_draw();
        let text = sink.text();
        assert!(text.contains("22/40 events  error 0.050  v2 serves"), "{text}");
        assert!(text.contains("08:02:00  window closed at 0.840 -> retraining"), "{text}");
    }

    #[test]
    fn unknown_levels_are_told_once_and_not_without_end() {
        let sink = Sink::default();
        let mut live = Live::to(Out::Lines(Box::new(sink.clone())));
        for number in 0..1_000 {
            live.unseen(&format!("level {number}"));
        }
        assert_eq!(sink.text().lines().count(), TOLD_MAX);
    }

    #[test]
    fn dead_letters_say_why_and_do_not_flood() {
        let sink = Sink::default();
        let mut live = Live::to(Out::Lines(Box::new(sink.clone())));
        for _ in 0..100 {
            live.dead_letter("out-of-range", "Load: 130 is not\u{1b} below 100");
        }
        let text = sink.text();
        assert!(
            text.starts_with("          dead letter, out-of-range: Load: 130 is not"),
            "{text}"
        );
        assert_eq!((text.lines().count(), text.contains('\u{1b}')), (TOLD_MAX, false), "{text}");
    }
}
