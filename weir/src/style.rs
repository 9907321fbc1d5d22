//! Colours. They reach a terminal only: [`crate::output::stdout`] leaves them out elsewhere, and where `NO_COLOR` is set.

use anstyle::{AnsiColor, Style};

/// The head of a table.
pub(crate) const HEAD: Style = Style::new().bold();
/// Something that is as it should be.
pub(crate) const FINE: Style = AnsiColor::Green.on_default();
/// Something to look at.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Something that must be mended.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something that does not matter now.
pub(crate) const FAINT: Style = Style::new().dimmed();
