//! Puts the plan on paper: layout, axes, series.
//!
//! Everything but the grid is drawn at places in the paper's own units, so that marks, labels and
//! legend share their code. The colours are Okabe and Ito's, which the colour-blind can tell apart.

use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged as _;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::show;

use super::legend;
use super::plan::{Mark, Plan};

pub(super) type Paper<B> = DrawingArea<B, Shift>;
pub(super) type Failed<B> = DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>;
pub(super) type Drawn<B> = Result<(), Failed<B>>;
type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
/// A place on the paper: right and down from its upper left corner.
pub(super) type Place = (i32, i32);

pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const QUIET: RGBColor = RGBColor(0x66, 0x66, 0x66);
const GRID: RGBColor = RGBColor(0xe6, 0xe6, 0xe6);
pub(super) const ALARM: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const OTHERS: RGBColor = RGBColor(0x99, 0x99, 0x99);
const LEVELS: [RGBColor; 5] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
];

/// What a reader's browser looks for. The PNG has a font of its own under this name.
pub(super) const FONTS: &str = "Helvetica, Arial, sans-serif";

/// The paper's parts, from the top: title and legend, the plot, the axis, the trainings.
const TOP: i32 = 276;
const BOTTOM: i32 = 1010;
const LEFT: i32 = 220;
const RIGHT: i32 = 230;
/// Lanes for the bars of the trainings, and their height.
const LANES: usize = 3;
const LANE: i32 = 40;
/// Below this distance, a second label or line would cover the first.
const LABEL_GAP: i32 = 64;
const LINE_GAP: i32 = 6;

pub(super) fn everything<B: DrawingBackend>(paper: &Paper<B>, plan: &Plan) -> Drawn<B> {
    paper.fill(&WHITE)?;
    let sheet = Sheet::new(paper, plan)?;
    legend::title(paper, plan)?;
    legend::legend(paper, (54, 144), plan)?;
    sheet.shades()?;
    sheet.axes()?;
    sheet.marks()?;
    sheet.unpredicted()?;
    sheet.threshold()?;
    sheet.window_means()?;
    sheet.swaps()?;
    sheet.trainings()
}

/// The paper with its axes.
struct Sheet<'a, B: DrawingBackend> {
    paper: &'a Paper<B>,
    chart: Chart<'a, B>,
    plan: &'a Plan,
}

impl<'a, B: DrawingBackend> Sheet<'a, B> {
    fn new(paper: &'a Paper<B>, plan: &'a Plan) -> Result<Self, Failed<B>> {
        let (_, height) = paper.dim_in_pixel();
        let last = plan.events.max(1) as f64;
        let chart = ChartBuilder::on(paper)
            .margin_top(TOP)
            .margin_bottom(height.cast_signed() - BOTTOM)
            .margin_left(LEFT)
            .margin_right(RIGHT)
            .build_cartesian_2d(0.5..last + 0.5, 0.0..plan.error_max)?;
        Ok(Self { paper, chart, plan })
    }

    /// Where an event number and an error are; an error beyond the axis is at its end.
    fn at(&self, event: f64, error: f64) -> Place {
        let error = error.clamp(0.0, self.plan.error_max);
        self.chart.as_coord_spec().translate(&(event, error))
    }

    fn x(&self, event: f64) -> i32 {
        self.at(event, 0.0).0
    }

    fn line(&self, from: Place, to: Place, style: ShapeStyle) -> Drawn<B> {
        self.paper.draw(&PathElement::new(vec![from, to], style))
    }

    fn axes(&self) -> Drawn<B> {
        let spec = self.chart.as_coord_spec();
        let (left, right) = (self.x(0.5), self.x(self.plan.events.max(1) as f64 + 0.5));
        for error in spec.y_spec().key_points(6) {
            let (_, y) = self.at(0.5, error);
            self.line((left, y), (right, y), GRID.stroke_width(2))?;
            let label = if error == 0.0 { "0".to_owned() } else { legend::figure(error) };
            text(self.paper, &label, (left - 16, y), 24.0, QUIET, (HPos::Right, VPos::Center))?;
        }
        self.line((left, BOTTOM), (right, BOTTOM), QUIET.stroke_width(2))?;
        for event in spec.x_spec().key_points(14) {
            if event >= 1.0 && event.fract() == 0.0 {
                let x = self.x(event);
                self.line((x, BOTTOM), (x, BOTTOM + 10), QUIET.stroke_width(2))?;
                let label = show::count(event as u64);
                text(self.paper, &label, (x, BOTTOM + 16), 24.0, QUIET, (HPos::Center, VPos::Top))?;
                if let Some(time) = self.plan.measured_at.get(event as usize - 1) {
                    let clock = show::time_of_day(*time);
                    let place = (x, BOTTOM + 48);
                    text(self.paper, &clock, place, 20.0, QUIET, (HPos::Center, VPos::Top))?;
                }
            }
        }
        for (name, y) in [("event number", BOTTOM + 16), ("measured, UTC", BOTTOM + 46)] {
            text(self.paper, name, (left - 16, y), 24.0, QUIET, (HPos::Right, VPos::Top))?;
        }
        let middle = (40, (TOP + BOTTOM) / 2);
        let style = style(26.0, INK, (HPos::Center, VPos::Top));
        let style = style.transform(FontTransform::Rotate270);
        let meaning = "relative error  |predicted − actual| / actual";
        self.paper.draw(&Text::new(meaning, middle, style))
    }

    /// The windows whose mean was above the threshold.
    fn shades(&self) -> Drawn<B> {
        for window in self.plan.windows.iter().filter(|window| window.triggered) {
            let corners = [(self.x(window.from), TOP), (self.x(window.to), BOTTOM)];
            self.paper.draw(&Rectangle::new(corners, ALARM.mix(0.12).filled()))?;
        }
        Ok(())
    }

    fn marks(&self) -> Drawn<B> {
        for mark in &self.plan.marks {
            if self.plan.bin > 1 {
                self.bin(mark)?;
            } else {
                let radius = if self.plan.events <= 500 { 8 } else { 5 };
                let place = self.at(mark.event, mark.mean);
                marker(self.paper, place, mark.level, radius)?;
            }
            if mark.max > self.plan.error_max {
                let (x, y) = self.at(mark.event, mark.max);
                let up = vec![(x, y - 14), (x - 8, y), (x + 8, y)];
                self.paper.draw(&Polygon::new(up, colour(mark.level)))?;
            }
        }
        Ok(())
    }

    /// From the least to the largest error, and a dot at the mean.
    fn bin(&self, mark: &Mark) -> Drawn<B> {
        let colour = colour(mark.level);
        let half = self.plan.bin as f64 / 2.0;
        let end = (mark.event + half).min(self.plan.events as f64 + 0.5);
        let corners = [self.at(mark.event - half, mark.max), self.at(end, mark.min)];
        self.paper.draw(&Rectangle::new(corners, colour.mix(0.35).filled()))?;
        let place = self.at(mark.event, mark.mean);
        self.paper.draw(&Circle::new(place, 4, colour.filled()))
    }

    fn unpredicted(&self) -> Drawn<B> {
        for &event in &self.plan.unpredicted {
            legend::cross(self.paper, (self.x(event), TOP + 14))?;
        }
        Ok(())
    }

    fn threshold(&self) -> Drawn<B> {
        let Some(threshold) = self.plan.threshold else { return Ok(()) };
        let (right, y) = self.at(self.plan.events.max(1) as f64 + 0.5, threshold);
        self.line((self.x(0.5), y), (right, y), ALARM.stroke_width(3))?;
        let label = format!("threshold {}", legend::figure(threshold));
        text(self.paper, &label, (right + 14, y), 24.0, ALARM, (HPos::Left, VPos::Center))
    }

    fn window_means(&self) -> Drawn<B> {
        let width = if self.plan.windows.len() > 100 { 3 } else { 6 };
        for window in &self.plan.windows {
            let (from, y) = self.at(window.from, window.mean);
            // A gap tells neighbours with the same mean apart.
            let to = self.x(window.to);
            let to = if to - from > 12 { to - 4 } else { to };
            self.line((from, y), (to, y), INK.stroke_width(width))?;
        }
        Ok(())
    }

    /// A line where a version took over, and its name above, where there is room.
    fn swaps(&self) -> Drawn<B> {
        let (mut lined, mut labelled) = (i32::MIN / 2, i32::MIN / 2);
        for &(version, event) in &self.plan.swaps {
            let x = self.x(event);
            if x - lined >= LINE_GAP {
                self.line((x, TOP - 8), (x, BOTTOM), INK.mix(0.7).stroke_width(3))?;
                lined = x;
            }
            if x - labelled >= LABEL_GAP {
                legend::tag(self.paper, (x, TOP - 44), &version.to_string())?;
                labelled = x;
            }
        }
        Ok(())
    }

    /// A bracket over the rows of each retraining, in lanes so that labels do not collide.
    fn trainings(&self) -> Drawn<B> {
        if self.plan.trainings.is_empty() {
            return Ok(());
        }
        let top = BOTTOM + 116;
        let head = (self.x(0.5) - 16, top);
        text(self.paper, "retrained with", head, 24.0, QUIET, (HPos::Right, VPos::Center))?;
        let mut ends = [i32::MIN; LANES];
        for training in &self.plan.trainings {
            let (from, to) = (self.x(training.from), self.x(training.to));
            let label = legend::width(&training.label, 22.0);
            let Some(lane) = ends.iter().position(|&end| from > end) else { continue };
            let y = top + LANE * i32::try_from(lane).expect("there are few lanes");
            self.bracket(from, to, y)?;
            text(self.paper, &training.label, (to + 12, y), 22.0, INK, (HPos::Left, VPos::Center))?;
            ends[lane] = to + label + 40;
        }
        Ok(())
    }

    fn bracket(&self, from: i32, to: i32, y: i32) -> Drawn<B> {
        let style = INK.stroke_width(4);
        let ends = vec![(from + 1, y - 9), (from + 1, y), (to - 1, y), (to - 1, y - 9)];
        self.paper.draw(&PathElement::new(ends, style))
    }
}

fn colour(level: usize) -> RGBColor {
    if level >= super::plan::LEVELS_MAX { OTHERS } else { LEVELS[level % LEVELS.len()] }
}

/// A mark in the level's colour and shape: no two levels share both.
pub(super) fn marker<B: DrawingBackend>(
    paper: &Paper<B>,
    (x, y): Place,
    level: usize,
    radius: i32,
) -> Drawn<B> {
    let (colour, r) = (colour(level).mix(0.85), radius);
    let corners = match level % 4 {
        0 => {
            return paper.draw(&Circle::new((x, y), r, colour.filled()));
        }
        1 => vec![(x, y - r - 2), (x - r - 1, y + r), (x + r + 1, y + r)],
        2 => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
        _ => vec![(x, y - r - 2), (x - r - 2, y), (x, y + r + 2), (x + r + 2, y)],
    };
    paper.draw(&Polygon::new(corners, colour))
}

/// A style with the font's size in the paper's units. Plotters writes its own measure divided by 1.24.
fn style(size: f64, colour: RGBColor, (h, v): (HPos, VPos)) -> TextStyle<'static> {
    let font = (FONTS, size * 1.24).into_font();
    TextStyle { color: colour.to_backend_color(), pos: Pos::new(h, v), ..TextStyle::from(font) }
}

pub(super) fn text<B: DrawingBackend>(
    paper: &Paper<B>,
    text: &str,
    place: Place,
    size: f64,
    colour: RGBColor,
    anchor: (HPos, VPos),
) -> Drawn<B> {
    paper.draw(&Text::new(text.to_owned(), place, style(size, colour, anchor)))
}
