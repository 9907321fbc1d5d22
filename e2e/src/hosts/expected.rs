//! What must come of a line: by definition, without streams, partitions or state.

use std::collections::BTreeMap;

use super::line::{Line, at};

/// A joined row.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Row {
    /// The relative error, to three places.
    pub error: f64,
    /// The number on the scale.
    pub actual: f64,
    /// The number that was predicted.
    pub predicted: f64,
}

/// A closed window.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Window {
    /// Rows with an error.
    pub rows: u64,
    /// The mean of their errors.
    pub mean: f64,
}

/// All of them.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Expected {
    /// By key.
    pub rows: BTreeMap<String, Row>,
    /// By start.
    pub windows: BTreeMap<String, Window>,
}

/// The length of a window, in ms.
const WINDOW: u64 = 60_000;

impl Expected {
    /// For the line's model, and windows of a minute.
    pub fn of(line: &Line) -> Self {
        let mut expected = Self::default();
        let mut windows: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for fish in line.fish.iter().filter(|fish| !fish.is_tail) {
            let Some(weighed) = fish.weighed else { continue };
            let terms = line.coefficients.iter().map(|(name, value)| match name.as_str() {
                "(Intercept)" => *value,
                "Length" => value * fish.length,
                "Height" => value * fish.height,
                level => {
                    let is_its = level.strip_prefix("Species") == Some(fish.species);
                    if is_its { *value } else { 0.0 }
                }
            });
            let predicted: f64 = terms.sum();
            let relative = (predicted - fish.weight).abs() / fish.weight;
            let error = (relative * 1000.0).round() / 1000.0;
            expected.rows.insert(fish.key.clone(), Row { error, actual: fish.weight, predicted });
            windows.entry(weighed.max(fish.measured) / WINDOW).or_default().push(error);
        }
        for (number, errors) in windows {
            #[expect(clippy::cast_precision_loss, reason = "few rows")]
            let mean = errors.iter().sum::<f64>() / errors.len() as f64;
            let window = Window { rows: errors.len() as u64, mean };
            expected.windows.insert(at(number * WINDOW).to_string(), window);
        }
        expected
    }

    /// Checks that another one says the same, but for the last digits of sums.
    ///
    /// # Panics
    /// If it does not.
    pub fn assert_same(&self, found: &Self) {
        let near = |a: f64, b: f64, by: f64| (a - b).abs() <= by;
        let lost: Vec<_> = self.rows.keys().filter(|key| !found.rows.contains_key(*key)).collect();
        assert!(lost.is_empty(), "{} rows are lost: {:?}", lost.len(), lost.first());
        assert_eq!(self.rows.len(), found.rows.len(), "rows of nobody");
        for (key, row) in &self.rows {
            let other = &found.rows[key];
            // The last digit of an error that lies between two may be either.
            let same = near(row.error, other.error, 0.0011)
                && near(row.predicted, other.predicted, 1e-6)
                && near(row.actual, other.actual, 0.0);
            assert!(same, "{key}: {row:?}, not {other:?}");
        }
        let starts = |of: &Self| of.windows.keys().cloned().collect::<Vec<_>>();
        assert_eq!(starts(self), starts(found), "windows");
        for (start, window) in &self.windows {
            let other = &found.windows[start];
            let same = window.rows == other.rows && near(window.mean, other.mean, 1e-5);
            assert!(same, "{start}: {window:?}, not {other:?}");
        }
    }
}
