//! Aligned columns under a header, for tables that are complete when they are printed.
//!
//! `{}` is plain text; `{:#}` has a coloured header, and is for [`crate::output::stdout`] alone.
//!
//! Cells are text that has been made fit to be shown. Widths are counted in characters: wide ones (Chinese,
//! Japanese) shift their line.

use std::fmt;

use crate::style::HEAD;

/// A table of `N` columns.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned)] }
    }

    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: [usize; N] = std::array::from_fn(|column| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
        });
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(&format!("{cell:<width$}  "));
            }
            match line.trim_end() {
                head if number == 0 && f.alternate() => writeln!(f, "{HEAD}{head}{HEAD:#}")?,
                line => writeln!(f, "{line}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["topic", "n"]);
        table.row(["models".into(), "1".into()]);
        table.row(["größe".into(), String::new()]);
        assert_eq!(table.to_string(), "topic   n\nmodels  1\ngröße\n");
        let coloured = format!("{table:#}");
        assert!(coloured.starts_with("\u{1b}["), "{coloured:?}");
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), table.to_string());
    }
}
