//! The picture as PNG, for places that do not show SVG.
//!
//! The font is compiled in: a machine without any renders the same picture, byte for byte.

use anyhow::Context as _;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// Pixels of the PNG for each unit of the SVG: sharp on dense screens.
const SCALE: f32 = 2.0;

/// Renders a picture of [`super::svg`].
///
/// # Errors
/// When the text is no SVG, or one too large for memory.
pub(crate) fn png(svg: &str) -> anyhow::Result<Vec<u8>> {
    let mut options = Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
    fonts.set_sans_serif_family("Ubuntu");
    let tree = Tree::from_str(svg, &options).context("read the picture as SVG")?;
    let size = tree.size().to_int_size().scale_by(SCALE).context("scale the picture")?;
    let mut pixels =
        Pixmap::new(size.width(), size.height()).context("take memory for the picture")?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().context("write the picture as PNG")
}
