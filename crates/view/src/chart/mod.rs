//! Charts of a run.
//!
//! The chart of errors: how wrong the predictions were, and what the system did about it. The horizontal axis is the
//! event's number in the order of prediction. Above it: each event's error, coloured by level; the mean of each closed
//! window against the threshold, shaded where it caused a retraining; a line where a version took over; crosses for
//! events without a prediction. Below it: the rows that each version was retrained with.
//!
//! The chart of pairs: what was predicted against what was measured. The chart of levels: the spread of errors of each.
//!
//! They compute nothing that is not in the results. A chart's size in bytes is bounded: long runs are gathered into
//! bins (`plan`). Text from outside is escaped.

#[cfg(feature = "png")]
mod bitmap;
mod draw;
mod legend;
mod levels;
mod pairs;
mod paper;
mod plan;
#[cfg(all(test, feature = "png"))]
mod tests;

use plotters::prelude::{IntoDrawingArea as _, SVGBackend};

use crate::results::{Predicted, Results};
#[cfg(feature = "png")]
pub use bitmap::{BitmapError, bitmap};
pub use paper::Theme;
use paper::{Drawn, Paper};
use plan::Plan;

/// Plotters places everything at whole units, so it draws in units of half a pixel of the SVG, and of one
/// of the PNG: sharp on dense screens.
const SIZE: (u32, u32) = (2400, 1240);
const SMALL: (u32, u32) = (1180, 840);

/// Draws the chart of errors as an SVG document of 1200 by 620 pixels.
pub fn svg(results: &Results, threshold: f64, theme: Theme) -> String {
    let plan = Plan::new(results, threshold);
    drawn(SIZE, theme, |paper| draw::everything(paper, &plan))
}

/// Draws predicted against measured as an SVG document of 590 by 420 pixels. `target` is what is predicted.
pub fn pairs(predictions: &[Predicted], target: &str, theme: Theme) -> String {
    drawn(SMALL, theme, |paper| pairs::everything(paper, predictions, target))
}

/// Draws the errors of each level as an SVG document of 590 by 420 pixels.
pub fn levels(predictions: &[Predicted], threshold: f64, theme: Theme) -> String {
    drawn(SMALL, theme, |paper| levels::everything(paper, predictions, threshold))
}

fn drawn(
    size: (u32, u32),
    theme: Theme,
    draw: impl for<'s> FnOnce(&Paper<'_, SVGBackend<'s>>) -> Drawn<SVGBackend<'s>>,
) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let paper = Paper { area: &area, palette: theme.palette() };
    draw(&paper)
        .and_then(|()| area.present())
        .expect("the sizes are constants, and writing into a string does not fail");
    drop(area);
    let (width, height) = size;
    svg.replacen(
        &format!(r#"<svg width="{width}" height="{height}""#),
        &format!(r#"<svg width="{}" height="{}""#, width / 2, height / 2),
        1,
    )
}
