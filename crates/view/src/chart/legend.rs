//! Title and legend.

use plotters::prelude::*;

use crate::show;

use super::paper::{Drawn, LEFT_CENTRE, Paper, Place, width};
use super::plan::Plan;

const SIZE: f64 = 24.0;
/// Where a line of the legend ends, and the height of a line.
const RIGHT: i32 = 2380;
const LINE: i32 = 34;

pub(super) fn title<B: DrawingBackend>(paper: &Paper<'_, B>, plan: &Plan) -> Drawn<B> {
    let events = show::count(plan.events as u64);
    let title = match plan.events {
        0 => "No event was predicted".to_owned(),
        1 => "Prediction error of 1 event".to_owned(),
        _ => format!("Prediction error of {events} events"),
    };
    paper.text(&title, (40, 48), 42.0, paper.palette.ink, LEFT_CENTRE)?;
    paper.text(&plan.subtitle, (40, 98), 26.0, paper.palette.quiet, LEFT_CENTRE)
}

/// What every sign means, in as many lines as it takes.
pub(super) fn legend<B: DrawingBackend>(
    paper: &Paper<'_, B>,
    from: Place,
    plan: &Plan,
) -> Drawn<B> {
    let mut pen = from;
    for (level, name) in plan.levels.iter().enumerate() {
        let place = next(&mut pen, from.0, name);
        paper.marker(place, level, 8)?;
        paper.text(name, (place.0 + 26, place.1), SIZE, paper.palette.ink, LEFT_CENTRE)?;
    }
    let mut sign = |name: &str, draw: &dyn Fn(Place) -> Drawn<B>| {
        let place = next(&mut pen, from.0, name);
        draw(place)?;
        paper.text(name, (place.0 + 26, place.1), SIZE, paper.palette.ink, LEFT_CENTRE)
    };
    if plan.bin > 1 {
        let name =
            format!("least, mean and largest error in {} events", show::count(plan.bin as u64));
        sign(&name, &|(x, y)| {
            let bar = vec![(x, y - 14), (x, y + 14)];
            paper.draw(&PathElement::new(bar, paper.palette.quiet.mix(0.5).stroke_width(2)))?;
            paper.draw(&Circle::new((x, y), 4, paper.palette.quiet.filled()))
        })?;
    }
    if !plan.windows.is_empty() {
        sign("mean of a window", &|(x, y)| {
            let line = vec![(x - 14, y), (x + 14, y)];
            paper.draw(&PathElement::new(line, paper.palette.ink.stroke_width(6)))
        })?;
    }
    if plan.windows.iter().any(|window| window.triggered) {
        sign("window above the threshold", &|(x, y)| {
            let corners = [(x - 14, y - 12), (x + 14, y + 12)];
            paper.draw(&Rectangle::new(corners, paper.palette.alarm.mix(0.2).filled()))
        })?;
    }
    if !plan.unpredicted.is_empty() {
        sign("no prediction possible", &|place| paper.cross(place))?;
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
