//! The errors of each level: median, quartiles, and where nearly all of them lie.

use plotters::coord::ranged1d::Ranged as _;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::paper::{Drawn, LEFT_CENTRE, Paper, RIGHT_CENTRE, figure};
use super::plan::Slots;
use crate::results::Predicted;
use crate::show;

const TOP: i32 = 90;
const LEFT: i32 = 260;
const RIGHT: i32 = 150;
const BELOW: i32 = 110;
/// Half of a box.
const HALF_MAX: i32 = 26;

pub(super) fn everything<B: DrawingBackend>(
    paper: &Paper<'_, B>,
    predictions: &[Predicted],
    threshold: f64,
) -> Drawn<B> {
    let palette = paper.palette;
    paper.area.fill(&palette.ground)?;
    let (across, down) = paper.area.dim_in_pixel();
    let (right, bottom) = (across.cast_signed() - RIGHT, down.cast_signed() - BELOW);
    let slots = Slots::new(predictions);
    let mut errors = vec![Vec::new(); slots.names.len()];
    for event in predictions {
        if let Some(error) = event.error.filter(|error| error.is_finite()) {
            errors[slots.of(event)].push(error);
        }
    }
    let boxes: Vec<Option<Spread>> = errors.into_iter().map(Spread::of).collect();
    let largest = boxes.iter().flatten().map(|spread| spread.most).fold(0.0, f64::max);
    if boxes.iter().all(Option::is_none) {
        let middle = (across.cast_signed() / 2, down.cast_signed() / 2);
        let text = "No error is known yet";
        return paper.text(text, middle, 26.0, palette.quiet, (HPos::Center, VPos::Center));
    }
    let limit = if threshold.is_finite() { threshold } else { 0.0 };
    let end = (1.05 * largest).max(1.5 * limit).max(0.01);
    if !end.is_finite() {
        return Ok(());
    }
    let chart = ChartBuilder::on(paper.area)
        .margin_top(TOP)
        .margin_bottom(BELOW)
        .margin_left(LEFT)
        .margin_right(RIGHT)
        .build_cartesian_2d(0.0..end, 0.0..1.0)?;
    let spec = chart.as_coord_spec();
    let x = |error: f64| spec.translate(&(error, 0.0)).0;
    for error in spec.x_spec().key_points(6) {
        paper.line((x(error), TOP), (x(error), bottom), palette.grid.stroke_width(2))?;
        let place = (x(error), bottom + 14);
        paper.text(&figure(error), place, 24.0, palette.quiet, (HPos::Center, VPos::Top))?;
    }
    let rows = i32::try_from(boxes.len()).expect("levels are few");
    let height = (bottom - TOP) / rows;
    let half = (height / 3).min(HALF_MAX);
    for (level, (spread, name)) in boxes.iter().zip(&slots.names).enumerate() {
        let y = TOP + height * i32::try_from(level).expect("levels are few") + height / 2;
        paper.text(name, (LEFT - 20, y), 26.0, palette.ink, RIGHT_CENTRE)?;
        let Some(spread) = spread else { continue };
        let colour = palette.level(level);
        paper.line((x(spread.least), y), (x(spread.most), y), colour.stroke_width(4))?;
        let quartiles = [(x(spread.lower), y - half), (x(spread.upper), y + half)];
        paper.draw(&Rectangle::new(quartiles, colour.mix(0.55).filled()))?;
        let middle = x(spread.median);
        paper.line((middle, y - half), (middle, y + half), palette.ink.stroke_width(6))?;
        let many = format!("n = {}", show::count(spread.n as u64));
        paper.text(&many, (right + 14, y), 24.0, palette.quiet, LEFT_CENTRE)?;
    }
    if threshold.is_finite() && threshold <= end {
        let limit = palette.alarm.stroke_width(3);
        paper.line((x(threshold), TOP - 10), (x(threshold), bottom), limit)?;
        let label = format!("threshold {}", figure(threshold));
        let place = (x(threshold), TOP - 16);
        paper.text(&label, place, 24.0, palette.alarm, (HPos::Center, VPos::Bottom))?;
    }
    let meaning = "relative error: 5 to 95 %, quartiles, median";
    let middle = ((LEFT + right) / 2, bottom + 60);
    paper.text(meaning, middle, 26.0, palette.ink, (HPos::Center, VPos::Top))
}

/// Where the errors of a level lie.
struct Spread {
    least: f64,
    lower: f64,
    median: f64,
    upper: f64,
    most: f64,
    n: usize,
}

impl Spread {
    fn of(mut errors: Vec<f64>) -> Option<Self> {
        errors.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = errors.len().checked_sub(1)?;
            errors.get((share * last as f64).round() as usize).copied()
        };
        Some(Self {
            least: at(0.05)?,
            lower: at(0.25)?,
            median: at(0.5)?,
            upper: at(0.75)?,
            most: at(0.95)?,
            n: errors.len(),
        })
    }
}
