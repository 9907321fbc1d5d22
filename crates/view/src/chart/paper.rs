//! The paper that charts are drawn on, and the signs that they share.
//!
//! Everything but the grid is drawn at places in the paper's own units, so that marks, labels and legend share their
//! code. The colours of levels are Okabe and Ito's, which the colour-blind can tell apart; on dark paper the darkest is
//! a lighter one of the same hue.

use plotters::coord::Shift;
use plotters::element::{Drawable, PointCollection};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::plan::LEVELS_MAX;

pub(super) type Failed<B> = DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>;
pub(super) type Drawn<B> = Result<(), Failed<B>>;
/// A place on the paper: right and down from its upper left corner.
pub(super) type Place = (i32, i32);

/// What a reader's browser looks for. The PNG has a font of its own under this name.
pub(super) const FONTS: &str = "Helvetica, Arial, sans-serif";

pub(super) const LEFT_CENTRE: (HPos, VPos) = (HPos::Left, VPos::Center);
pub(super) const RIGHT_CENTRE: (HPos, VPos) = (HPos::Right, VPos::Center);

/// On which paper a chart is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Theme {
    /// Dark on white.
    #[default]
    Light,
    /// Light on a dark ground.
    Dark,
}

/// The colours of a theme.
#[derive(Debug)]
pub(super) struct Palette {
    pub(super) ground: RGBColor,
    pub(super) ink: RGBColor,
    pub(super) quiet: RGBColor,
    pub(super) grid: RGBColor,
    pub(super) alarm: RGBColor,
    others: RGBColor,
    levels: [RGBColor; 5],
}

const LIGHT: Palette = Palette {
    ground: WHITE,
    ink: RGBColor(0x22, 0x22, 0x22),
    quiet: RGBColor(0x66, 0x66, 0x66),
    grid: RGBColor(0xe6, 0xe6, 0xe6),
    alarm: RGBColor(0xd5, 0x5e, 0x00),
    others: RGBColor(0x99, 0x99, 0x99),
    levels: [
        RGBColor(0x00, 0x72, 0xb2),
        RGBColor(0xe6, 0x9f, 0x00),
        RGBColor(0x00, 0x9e, 0x73),
        RGBColor(0xcc, 0x79, 0xa7),
        RGBColor(0x56, 0xb4, 0xe9),
    ],
};

const DARK: Palette = Palette {
    ground: RGBColor(0x16, 0x1b, 0x22),
    ink: RGBColor(0xe6, 0xe6, 0xe6),
    quiet: RGBColor(0xa4, 0xac, 0xb5),
    grid: RGBColor(0x30, 0x36, 0x3d),
    alarm: RGBColor(0xff, 0x8c, 0x42),
    others: RGBColor(0x8b, 0x94, 0x9e),
    levels: [
        RGBColor(0x4d, 0xa6, 0xe0),
        RGBColor(0xe6, 0x9f, 0x00),
        RGBColor(0x1f, 0xc1, 0x93),
        RGBColor(0xdf, 0x95, 0xbe),
        RGBColor(0x8f, 0xd0, 0xf5),
    ],
};

impl Theme {
    pub(super) fn palette(self) -> &'static Palette {
        match self {
            Self::Light => &LIGHT,
            Self::Dark => &DARK,
        }
    }
}

impl Palette {
    pub(super) fn level(&self, level: usize) -> RGBColor {
        if level >= LEVELS_MAX { self.others } else { self.levels[level % self.levels.len()] }
    }
}

/// An area with the colours that it is drawn in.
pub(super) struct Paper<'a, B: DrawingBackend> {
    pub(super) area: &'a DrawingArea<B, Shift>,
    pub(super) palette: &'static Palette,
}

impl<B: DrawingBackend> Paper<'_, B> {
    pub(super) fn draw<'e, E>(&self, element: &'e E) -> Drawn<B>
    where
        &'e E: PointCollection<'e, Place>,
        E: Drawable<B>,
    {
        self.area.draw(element)
    }

    pub(super) fn line(&self, from: Place, to: Place, style: ShapeStyle) -> Drawn<B> {
        self.draw(&PathElement::new(vec![from, to], style))
    }

    pub(super) fn text(
        &self,
        text: &str,
        place: Place,
        size: f64,
        colour: RGBColor,
        anchor: (HPos, VPos),
    ) -> Drawn<B> {
        self.draw(&Text::new(text.to_owned(), place, style(size, colour, anchor)))
    }

    /// Text that is read from below.
    pub(super) fn upright(&self, text: &str, middle: Place, size: f64) -> Drawn<B> {
        let style = style(size, self.palette.ink, (HPos::Center, VPos::Top));
        let style = style.transform(FontTransform::Rotate270);
        self.draw(&Text::new(text.to_owned(), middle, style))
    }

    /// A mark in the level's colour and shape: no two levels share both.
    pub(super) fn marker(&self, (x, y): Place, level: usize, radius: i32) -> Drawn<B> {
        let (colour, r) = (self.palette.level(level).mix(0.85), radius);
        let corners = match level % 4 {
            0 => {
                return self.draw(&Circle::new((x, y), r, colour.filled()));
            }
            1 => vec![(x, y - r - 2), (x - r - 1, y + r), (x + r + 1, y + r)],
            2 => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
            _ => vec![(x, y - r - 2), (x - r - 2, y), (x, y + r + 2), (x + r + 2, y)],
        };
        self.draw(&Polygon::new(corners, colour))
    }

    pub(super) fn cross(&self, place: Place) -> Drawn<B> {
        self.draw(&Cross::new(place, 8, self.palette.alarm.stroke_width(4)))
    }

    /// A name on a plate, its middle at the place.
    pub(super) fn tag(&self, (x, y): Place, name: &str, size: f64) -> Drawn<B> {
        let half = width(name, size) / 2 + 10;
        let corners = [(x - half, y), (x + half, y + 36)];
        self.draw(&Rectangle::new(corners, self.palette.ink.filled()))?;
        self.text(name, (x, y + 18), size, self.palette.ground, (HPos::Center, VPos::Center))
    }
}

/// A style with the font's size in the paper's units. Plotters writes its own measure divided by 1.24.
fn style(size: f64, colour: RGBColor, (h, v): (HPos, VPos)) -> TextStyle<'static> {
    let font = (FONTS, size * 1.24).into_font();
    TextStyle { color: colour.to_backend_color(), pos: Pos::new(h, v), ..TextStyle::from(font) }
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
