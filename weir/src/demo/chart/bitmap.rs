//! The picture as PNG, for places that do not show SVG.
//!
//! The font is compiled in: a machine without any draws the same picture, byte for byte.

use anyhow::{Context as _, anyhow};
use plotters::prelude::{BitMapBackend, IntoDrawingArea as _};
use plotters::style::{FontStyle, register_font};

use super::super::results::Results;
use super::SIZE;
use super::draw::{self, FONTS};
use super::plan::Plan;

/// Bytes of a pixel: red, green and blue.
const PIXEL: usize = 3;

/// Draws the picture in 2400 by 1240 pixels.
///
/// # Errors
/// If drawing or compressing fails.
pub(crate) fn bitmap(results: &Results, threshold: f64) -> anyhow::Result<Vec<u8>> {
    register_font(FONTS, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("read the font of the picture"))?;
    let (width, height) = SIZE;
    let mut pixels = vec![0; width as usize * height as usize * PIXEL];
    let root = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
    draw::everything(&root, &Plan::new(results, threshold))
        .and_then(|()| root.present())
        .context("draw the picture")?;
    drop(root);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&pixels))
        .context("write the picture as PNG")?;
    Ok(file)
}
