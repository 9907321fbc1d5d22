//! The picture of a run: how wrong the predictions were, and what the system did about it.
//!
//! The horizontal axis is the event's number in the order of prediction. Above it: each event's
//! error, coloured by level; the mean of each closed window against the threshold, shaded where it
//! caused a retraining; a line where a version took over; crosses for events without a prediction.
//! Below it: the rows that each version was retrained with.
//!
//! It computes nothing that is not in the results. The picture's size in bytes is bounded: long runs
//! are gathered into bins (`plan`). Text from outside is escaped.

mod bitmap;
mod draw;
mod legend;
mod plan;
#[cfg(test)]
mod tests;

use plotters::prelude::{IntoDrawingArea as _, SVGBackend};

use super::results::Results;
pub(crate) use bitmap::bitmap;
use plan::Plan;

/// Plotters places everything at whole units, so it draws in units of half a pixel of the SVG, and of one
/// of the PNG: sharp on dense screens.
const SIZE: (u32, u32) = (2400, 1240);

/// Draws the picture as an SVG document of 1200 by 620 pixels.
pub(crate) fn svg(results: &Results, threshold: f64) -> String {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    draw::everything(&root, &Plan::new(results, threshold))
        .and_then(|()| root.present())
        .expect("the sizes are constants, and writing into a string does not fail");
    drop(root);
    let (width, height) = SIZE;
    svg.replacen(
        &format!(r#"<svg width="{width}" height="{height}""#),
        &format!(r#"<svg width="{}" height="{}""#, width / 2, height / 2),
        1,
    )
}
