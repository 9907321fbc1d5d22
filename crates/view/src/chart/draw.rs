//! Puts the plan on paper: layout, axes, series.

use plotters::chart::ChartContext;
use plotters::coord::ranged1d::Ranged as _;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use crate::show;

use super::legend;
use super::paper::{Drawn, Failed, LEFT_CENTRE, Paper, Place, RIGHT_CENTRE, figure, width};
use super::plan::{Mark, Plan};

type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

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

pub(super) fn everything<B: DrawingBackend>(paper: &Paper<'_, B>, plan: &Plan) -> Drawn<B> {
    paper.area.fill(&paper.palette.ground)?;
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
    paper: &'a Paper<'a, B>,
    chart: Chart<'a, B>,
    plan: &'a Plan,
}

impl<'a, B: DrawingBackend> Sheet<'a, B> {
    fn new(paper: &'a Paper<'a, B>, plan: &'a Plan) -> Result<Self, Failed<B>> {
        let (_, height) = paper.area.dim_in_pixel();
        let last = plan.events.max(1) as f64;
        let chart = ChartBuilder::on(paper.area)
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

    fn axes(&self) -> Drawn<B> {
        let spec = self.chart.as_coord_spec();
        let (left, right) = (self.x(0.5), self.x(self.plan.events.max(1) as f64 + 0.5));
        for error in spec.y_spec().key_points(6) {
            let (_, y) = self.at(0.5, error);
            self.paper.line((left, y), (right, y), self.paper.palette.grid.stroke_width(2))?;
            let label = if error == 0.0 { "0".to_owned() } else { figure(error) };
            self.paper.text(
                &label,
                (left - 16, y),
                24.0,
                self.paper.palette.quiet,
                RIGHT_CENTRE,
            )?;
        }
        self.paper.line(
            (left, BOTTOM),
            (right, BOTTOM),
            self.paper.palette.quiet.stroke_width(2),
        )?;
        for event in spec.x_spec().key_points(14) {
            if event >= 1.0 && event.fract() == 0.0 {
                let x = self.x(event);
                self.paper.line(
                    (x, BOTTOM),
                    (x, BOTTOM + 10),
                    self.paper.palette.quiet.stroke_width(2),
                )?;
                let label = show::count(event as u64);
                self.paper.text(
                    &label,
                    (x, BOTTOM + 16),
                    24.0,
                    self.paper.palette.quiet,
                    (HPos::Center, VPos::Top),
                )?;
                if let Some(time) = self.plan.measured_at.get(event as usize - 1) {
                    let clock = show::time_of_day(*time);
                    let place = (x, BOTTOM + 48);
                    self.paper.text(
                        &clock,
                        place,
                        20.0,
                        self.paper.palette.quiet,
                        (HPos::Center, VPos::Top),
                    )?;
                }
            }
        }
        for (name, y) in [("event number", BOTTOM + 16), ("measured, UTC", BOTTOM + 46)] {
            self.paper.text(
                name,
                (left - 16, y),
                24.0,
                self.paper.palette.quiet,
                (HPos::Right, VPos::Top),
            )?;
        }
        let middle = (40, (TOP + BOTTOM) / 2);
        self.paper.upright("relative error  |predicted − actual| / actual", middle, 26.0)
    }

    /// The windows whose mean was above the threshold.
    fn shades(&self) -> Drawn<B> {
        for window in self.plan.windows.iter().filter(|window| window.triggered) {
            let corners = [(self.x(window.from), TOP), (self.x(window.to), BOTTOM)];
            self.paper
                .draw(&Rectangle::new(corners, self.paper.palette.alarm.mix(0.12).filled()))?;
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
                self.paper.marker(place, mark.level, radius)?;
            }
            if mark.max > self.plan.error_max {
                let (x, y) = self.at(mark.event, mark.max);
                let up = vec![(x, y - 14), (x - 8, y), (x + 8, y)];
                self.paper.draw(&Polygon::new(up, self.paper.palette.level(mark.level)))?;
            }
        }
        Ok(())
    }

    /// From the least to the largest error, and a dot at the mean.
    fn bin(&self, mark: &Mark) -> Drawn<B> {
        let colour = self.paper.palette.level(mark.level);
        let half = self.plan.bin as f64 / 2.0;
        let end = (mark.event + half).min(self.plan.events as f64 + 0.5);
        let corners = [self.at(mark.event - half, mark.max), self.at(end, mark.min)];
        self.paper.draw(&Rectangle::new(corners, colour.mix(0.35).filled()))?;
        let place = self.at(mark.event, mark.mean);
        self.paper.draw(&Circle::new(place, 4, colour.filled()))
    }

    fn unpredicted(&self) -> Drawn<B> {
        for &event in &self.plan.unpredicted {
            self.paper.cross((self.x(event), TOP + 14))?;
        }
        Ok(())
    }

    fn threshold(&self) -> Drawn<B> {
        let Some(threshold) = self.plan.threshold else { return Ok(()) };
        let (right, y) = self.at(self.plan.events.max(1) as f64 + 0.5, threshold);
        self.paper.line((self.x(0.5), y), (right, y), self.paper.palette.alarm.stroke_width(3))?;
        let label = format!("threshold {}", figure(threshold));
        self.paper.text(&label, (right + 14, y), 24.0, self.paper.palette.alarm, LEFT_CENTRE)
    }

    fn window_means(&self) -> Drawn<B> {
        let width = if self.plan.windows.len() > 100 { 3 } else { 6 };
        for window in &self.plan.windows {
            let (from, y) = self.at(window.from, window.mean);
            // A gap tells neighbours with the same mean apart.
            let to = self.x(window.to);
            let to = if to - from > 12 { to - 4 } else { to };
            self.paper.line((from, y), (to, y), self.paper.palette.ink.stroke_width(width))?;
        }
        Ok(())
    }

    /// A line where a version took over, and its name above, where there is room.
    fn swaps(&self) -> Drawn<B> {
        let (mut lined, mut labelled) = (i32::MIN / 2, i32::MIN / 2);
        for &(version, event) in &self.plan.swaps {
            let x = self.x(event);
            if x - lined >= LINE_GAP {
                self.paper.line(
                    (x, TOP - 8),
                    (x, BOTTOM),
                    self.paper.palette.ink.mix(0.7).stroke_width(3),
                )?;
                lined = x;
            }
            if x - labelled >= LABEL_GAP {
                self.paper.tag((x, TOP - 44), &version.to_string(), 24.0)?;
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
        self.paper.text("retrained with", head, 24.0, self.paper.palette.quiet, RIGHT_CENTRE)?;
        let mut ends = [i32::MIN; LANES];
        for training in &self.plan.trainings {
            let (from, to) = (self.x(training.from), self.x(training.to));
            let label = width(&training.label, 22.0);
            let Some(lane) = ends.iter().position(|&end| from > end) else { continue };
            let y = top + LANE * i32::try_from(lane).expect("there are few lanes");
            self.bracket(from, to, y)?;
            self.paper.text(
                &training.label,
                (to + 12, y),
                22.0,
                self.paper.palette.ink,
                LEFT_CENTRE,
            )?;
            ends[lane] = to + label + 40;
        }
        Ok(())
    }

    fn bracket(&self, from: i32, to: i32, y: i32) -> Drawn<B> {
        let style = self.paper.palette.ink.stroke_width(4);
        let ends = vec![(from + 1, y - 9), (from + 1, y), (to - 1, y), (to - 1, y - 9)];
        self.paper.draw(&PathElement::new(ends, style))
    }
}
