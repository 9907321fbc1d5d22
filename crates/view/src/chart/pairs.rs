//! What was predicted against what was measured: a good model is on the diagonal.

use plotters::coord::ranged1d::Ranged as _;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::paper::{Drawn, LEFT_CENTRE, Paper, RIGHT_CENTRE, width};
use super::plan::Slots;
use crate::results::Predicted;
use crate::show;

/// The newest pairs only: more would hide one another.
const PAIRS_MAX: usize = 1_000;
const TOP: i32 = 110;
const LEFT: i32 = 170;
const RIGHT: i32 = 40;
const BELOW: i32 = 110;

pub(super) fn everything<B: DrawingBackend>(
    paper: &Paper<'_, B>,
    predictions: &[Predicted],
    target: &str,
) -> Drawn<B> {
    let palette = paper.palette;
    paper.area.fill(&palette.ground)?;
    let (across, down) = paper.area.dim_in_pixel();
    let (right, bottom) = (across.cast_signed() - RIGHT, down.cast_signed() - BELOW);
    let slots = Slots::new(predictions);
    let pair = |event: &Predicted| {
        let pair = event.predicted.zip(event.actual)?;
        (pair.0.is_finite() && pair.1.is_finite()).then_some((pair, slots.of(event)))
    };
    let pairs: Vec<_> = predictions.iter().rev().filter_map(pair).take(PAIRS_MAX).collect();
    let Some((least, most)) = ends(pairs.iter().map(|&(pair, _)| pair)) else {
        let middle = (across.cast_signed() / 2, down.cast_signed() / 2);
        let text = "Nothing is predicted and measured yet";
        return paper.text(text, middle, 26.0, palette.quiet, (HPos::Center, VPos::Center));
    };
    let chart = ChartBuilder::on(paper.area)
        .margin_top(TOP)
        .margin_bottom(BELOW)
        .margin_left(LEFT)
        .margin_right(RIGHT)
        .build_cartesian_2d(least..most, least..most)?;
    let spec = chart.as_coord_spec();
    let at = |measured: f64, predicted: f64| spec.translate(&(measured, predicted));
    for value in spec.x_spec().key_points(6) {
        let (x, y) = at(value, value);
        paper.line((x, TOP), (x, bottom), palette.grid.stroke_width(2))?;
        paper.line((LEFT, y), (right, y), palette.grid.stroke_width(2))?;
        let label = show::short(value);
        let below = (x, bottom + 14);
        paper.text(&label, below, 24.0, palette.quiet, (HPos::Center, VPos::Top))?;
        paper.text(&label, (LEFT - 14, y), 24.0, palette.quiet, RIGHT_CENTRE)?;
    }
    let diagonal = palette.quiet.mix(0.8).stroke_width(3);
    paper.line(at(least, least), at(most, most), diagonal)?;
    // The newest on top.
    for &((predicted, measured), level) in pairs.iter().rev() {
        paper.marker(at(measured, predicted), level, 7)?;
    }
    let name = show::text(target, 24);
    let middle = ((LEFT + right) / 2, bottom + 60);
    let meaning = format!("measured {name}");
    paper.text(&meaning, middle, 26.0, palette.ink, (HPos::Center, VPos::Top))?;
    paper.upright(&format!("predicted {name}"), (20, (TOP + bottom) / 2), 26.0)?;
    let mut pen = LEFT;
    for (level, name) in slots.names.iter().enumerate() {
        let wide = width(name, 24.0) + 60;
        if pen + wide > right {
            break;
        }
        paper.marker((pen + 10, 60), level, 8)?;
        paper.text(name, (pen + 34, 60), 24.0, palette.ink, LEFT_CENTRE)?;
        pen += wide;
    }
    Ok(())
}

/// From the least to the largest of all numbers, with a little room; none if there are none.
fn ends(pairs: impl Iterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    let ends = pairs.fold(None, |ends: Option<(f64, f64)>, (one, other)| {
        let (least, most) = ends.unwrap_or((f64::INFINITY, f64::NEG_INFINITY));
        Some((least.min(one).min(other), most.max(one).max(other)))
    });
    let (least, most) = ends?;
    let room = ((most - least) * 0.05).max(most.abs() * 1e-6).max(1e-9);
    let (least, most) = (least - room, most + room);
    // The distance of two numbers that are each representable may not be.
    (most - least).is_finite().then_some((least, most))
}
