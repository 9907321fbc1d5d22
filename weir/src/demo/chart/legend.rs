//! Title, legend and the small signs that legend and plot share.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use crate::show;

use super::draw::{ALARM, Drawn, INK, Paper, Place, QUIET, marker, text};
use super::plan::Plan;

const LEFT_CENTRE: (HPos, VPos) = (HPos::Left, VPos::Center);
const SIZE: f64 = 24.0;
/// Where a line of the legend ends, and the height of a line.
const RIGHT: i32 = 2380;
const LINE: i32 = 34;

pub(super) fn title<B: DrawingBackend>(paper: &Paper<B>, plan: &Plan) -> Drawn<B> {
    let events = show::count(plan.events as u64);
    let title = match plan.events {
        0 => "No event was predicted".to_owned(),
        1 => "Prediction error of 1 event".to_owned(),
        _ => format!("Prediction error of {events} events"),
    };
    text(paper, &title, (40, 48), 42.0, INK, LEFT_CENTRE)?;
    text(paper, &plan.subtitle, (40, 98), 26.0, QUIET, LEFT_CENTRE)
}

/// What every sign means, in as many lines as it takes.
pub(super) fn legend<B: DrawingBackend>(paper: &Paper<B>, from: Place, plan: &Plan) -> Drawn<B> {
    let mut pen = from;
    for (level, name) in plan.levels.iter().enumerate() {
        let place = next(&mut pen, from.0, name);
        marker(paper, place, level, 8)?;
        text(paper, name, (place.0 + 26, place.1), SIZE, INK, LEFT_CENTRE)?;
    }
    let mut sign = |name: &str, draw: &dyn Fn(Place) -> Drawn<B>| {
        let place = next(&mut pen, from.0, name);
        draw(place)?;
        text(paper, name, (place.0 + 26, place.1), SIZE, INK, LEFT_CENTRE)
    };
    if plan.bin > 1 {
        let name =
            format!("least, mean and largest error in {} events", show::count(plan.bin as u64));
        sign(&name, &|(x, y)| {
            let bar = vec![(x, y - 14), (x, y + 14)];
            paper.draw(&PathElement::new(bar, QUIET.mix(0.5).stroke_width(2)))?;
            paper.draw(&Circle::new((x, y), 4, QUIET.filled()))
        })?;
    }
    if !plan.windows.is_empty() {
        sign("mean of a window", &|(x, y)| {
            let line = vec![(x - 14, y), (x + 14, y)];
            paper.draw(&PathElement::new(line, INK.stroke_width(6)))
        })?;
    }
    if plan.windows.iter().any(|window| window.triggered) {
        sign("window above the threshold", &|(x, y)| {
            let corners = [(x - 14, y - 12), (x + 14, y + 12)];
            paper.draw(&Rectangle::new(corners, ALARM.mix(0.2).filled()))
        })?;
    }
    if !plan.unpredicted.is_empty() {
        sign("no prediction possible", &|place| cross(paper, place))?;
    }
    Ok(())
}

/// Where the next entry of the legend goes; the pen moves on.
fn next(pen: &mut Place, left: i32, name: &str) -> Place {
    let width = width(name, SIZE) + 70;
    if pen.0 + width > RIGHT && pen.0 > left {
        *pen = (left, pen.1 + LINE);
    }
    let place = *pen;
    pen.0 += width;
    place
}

pub(super) fn cross<B: DrawingBackend>(paper: &Paper<B>, place: Place) -> Drawn<B> {
    paper.draw(&Cross::new(place, 8, ALARM.stroke_width(4)))
}

/// A name on a dark plate, its middle at the place.
pub(super) fn tag<B: DrawingBackend>(paper: &Paper<B>, (x, y): Place, name: &str) -> Drawn<B> {
    let half = width(name, SIZE) / 2 + 10;
    let corners = [(x - half, y), (x + half, y + 36)];
    paper.draw(&Rectangle::new(corners, INK.filled()))?;
    text(paper, name, (x, y + 18), SIZE, WHITE, (HPos::Center, VPos::Center))
}

/// About how wide the text is: nobody measures fonts here, and a reader's font may be another one.
pub(super) fn width(text: &str, size: f64) -> i32 {
    (text.chars().count() as f64 * size * 0.52).ceil() as i32
}

/// A figure with as many decimals as it needs, at most three.
pub(super) fn figure(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
