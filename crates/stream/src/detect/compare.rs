//! Two versions on the same rows: which has the lower error?
//!
//! Rows carry the prediction of the version that served and, while there is one, that of another version that was not listened
//! to: a challenger, whose number is higher, or in a probation the version before, whose number is lower. For each such pair
//! the mean relative errors are reported once, over the first so many rows. A prediction without a number counts as an
//! error of 1.
//!
//! Each row counts once. Pairs are few at a time: rows from before a swap may come after rows from behind it, in other
//! partitions.
//!
//! Restart: the rows of pairs that are not complete are reread; which pairs were reported is in the committed state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize as _;
use serde_json::Value;
use weir_events::{Compared, EventId, Joined, ModelVersion, RowPosition, relative_error};

use super::{Detector, DetectorOutput, Ignored};

/// Pairs that are counted at a time; the oldest makes room.
const OPEN_MAX: usize = 4;
/// A pair that has had no row among so many is given up: one of the two does not predict any more, and its rows must not
/// be held back for ever.
const SILENT_MAX: u64 = 1000;
/// Pairs that are remembered as reported.
const REPORTED_MAX: usize = 16;

/// How many rows are enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ComparisonConfig {
    /// Rows on which a challenger is compared; none if 0.
    pub shadow_rows: u64,
    /// Rows on which a version in probation is compared with the one before; none if 0.
    pub probation_rows: u64,
}

type Pair = (ModelVersion, ModelVersion);

/// The detector `comparison`.
#[derive(Debug)]
pub struct Comparison {
    config: ComparisonConfig,
    open: BTreeMap<Pair, Count>,
    reported: VecDeque<Pair>,
    ignored: Ignored,
}

#[derive(Debug, Default)]
struct Count {
    ids: BTreeSet<EventId>,
    served: f64,
    shadow: f64,
    /// Rows since its last one.
    silent: u64,
    /// The first row of each partition.
    from: BTreeMap<i32, i64>,
}

impl Comparison {
    /// The detector's name.
    pub const NAME: &str = "comparison";

    /// A detector that has seen nothing.
    pub fn new(config: ComparisonConfig) -> Self {
        let (open, reported) = (BTreeMap::new(), VecDeque::new());
        Self { config, open, reported, ignored: Ignored::default() }
    }

    fn rows_of(&self, (served, shadow): Pair) -> u64 {
        if shadow > served { self.config.shadow_rows } else { self.config.probation_rows }
    }

    fn report(&mut self, pair: Pair) {
        if !self.reported.contains(&pair) {
            self.reported.push_back(pair);
        }
        self.reported.drain(..self.reported.len().saturating_sub(REPORTED_MAX));
    }
}

impl Detector for Comparison {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn observe(&mut self, position: RowPosition, row: &Joined) -> Vec<DetectorOutput> {
        self.open.values_mut().for_each(|count| count.silent += 1);
        self.open.retain(|_, count| count.silent <= SILENT_MAX);
        let Some(shadow) = &row.prediction.shadow else { return Vec::new() };
        let pair = (row.prediction.model.version, shadow.version);
        let enough = self.rows_of(pair);
        if enough == 0 || self.reported.contains(&pair) {
            return Vec::new();
        }
        if !self.open.contains_key(&pair) && self.open.len() == OPEN_MAX {
            self.open.pop_first();
        }
        let count = self.open.entry(pair).or_default();
        count.silent = 0;
        if !count.ids.insert(row.prediction.measurement.id) {
            self.ignored.repeated += 1;
            return Vec::new();
        }
        let error =
            |value: Option<f64>| value.map_or(1.0, |value| relative_error(value, row.actual));
        count.served += error(row.prediction.outcome.value());
        count.shadow += error(shadow.value);
        count.from.entry(position.partition).or_insert(position.offset);
        let rows = count.ids.len() as u64;
        if rows < enough {
            return Vec::new();
        }
        let count = self.open.remove(&pair).unwrap_or_default();
        self.report(pair);
        #[expect(clippy::cast_precision_loss, reason = "few rows")]
        let mean = |sum: f64| sum / rows as f64;
        vec![DetectorOutput::Compared(Compared {
            served: pair.0,
            served_error: mean(count.served),
            shadow: pair.1,
            shadow_error: mean(count.shadow),
            rows,
        })]
    }

    fn hold_back(&self, partition: i32) -> Option<i64> {
        self.open.values().filter_map(|count| count.from.get(&partition).copied()).min()
    }

    fn state(&self) -> Value {
        serde_json::json!(self.reported)
    }

    fn restore(&mut self, state: &Value) -> Result<(), serde_json::Error> {
        let reported = VecDeque::<Pair>::deserialize(state)?;
        reported.into_iter().for_each(|pair| self.report(pair));
        Ok(())
    }

    fn ignored(&self) -> Ignored {
        self.ignored
    }
}
