//! The chart of errors as PNG, for places that do not show SVG.
//!
//! The font is compiled in: a machine without any draws the same picture, byte for byte.

use plotters::prelude::{BitMapBackend, IntoDrawingArea as _};
use plotters::style::{FontStyle, register_font};

use super::paper::{FONTS, Paper, Theme};
use super::plan::Plan;
use super::{SIZE, draw};
use crate::results::Results;

/// Bytes of a pixel: red, green and blue.
const PIXEL: usize = 3;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum BitmapError {
    /// The font that is compiled in cannot be read.
    #[error("picture's font cannot be read")]
    Font,
    /// Drawing failed.
    #[error("picture cannot be drawn: {0}")]
    Draw(String),
    /// Compressing failed.
    #[error("picture cannot be written as PNG")]
    Write(#[from] png::EncodingError),
}

/// Draws the picture in 2400 by 1240 pixels.
///
/// # Errors
/// If drawing or compressing fails.
pub fn bitmap(results: &Results, threshold: f64) -> Result<Vec<u8>, BitmapError> {
    register_font(FONTS, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| BitmapError::Font)?;
    let (width, height) = SIZE;
    let mut pixels = vec![0; width as usize * height as usize * PIXEL];
    let area = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
    let paper = Paper { area: &area, palette: Theme::Light.palette() };
    draw::everything(&paper, &Plan::new(results, threshold))
        .and_then(|()| area.present())
        .map_err(|error| BitmapError::Draw(error.to_string()))?;
    drop(area);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(file)
}
