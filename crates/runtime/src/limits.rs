//! What a guest may use at most.
//!
//! Every field is finite, and so is the default of each: the engine's own defaults mean unlimited
//! memory and no deadline. The values are plain; a configuration file maps onto them elsewhere.

use std::time::Duration;

/// Bytes of a WebAssembly page.
pub(crate) const PAGE_BYTES: usize = 65_536;

/// Limits of one runtime, for everything that is loaded into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of a component, of a template and of what a fit produces, in bytes.
    pub component_bytes_max: usize,
    /// Linear memory of an instance, in bytes over all of its memories.
    pub memory_bytes_max: usize,
    /// Elements over all tables of an instance.
    pub table_elements_max: usize,
    /// Core instances in a component; one that `wit-component` made has one to three.
    pub instances_max: usize,
    /// Linear memories in a component.
    pub memories_max: usize,
    /// Tables in a component.
    pub tables_max: usize,
    /// Native stack that a guest's calls may use, in bytes. Stay well below the stack of the
    /// threads that call (2 MiB by default in Rust).
    pub stack_bytes_max: usize,
    /// What one answer may make the host allocate, in bytes. A guest can otherwise name the same
    /// megabyte of its memory a million times as a string.
    pub answer_bytes_max: usize,
    /// Rows in one batch.
    pub batch_rows_max: usize,
    /// Rows in one fit.
    pub fit_rows_max: usize,
    /// Time for one batch.
    pub predict_deadline: Duration,
    /// Time for one fit.
    pub fit_deadline: Duration,
    /// Time to instantiate a component, and time for it to describe itself.
    pub describe_deadline: Duration,
    /// Time to wait for a compilation, the wait for an earlier one included.
    pub compile_deadline: Duration,
    /// How often deadlines are looked at: a call ends at most about one tick, and what the
    /// scheduler adds to it, after its deadline, and never before.
    pub tick: Duration,
    /// Compiled functions kept in memory for the next compilation, in bytes.
    pub code_cache_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes_max: 4 << 20,
            memory_bytes_max: 64 << 20,
            table_elements_max: 10_000,
            instances_max: 8,
            memories_max: 2,
            tables_max: 4,
            stack_bytes_max: 512 << 10,
            answer_bytes_max: 16 << 20,
            batch_rows_max: 65_536,
            fit_rows_max: 1_000_000,
            predict_deadline: Duration::from_millis(100),
            fit_deadline: Duration::from_secs(5),
            describe_deadline: Duration::from_millis(500),
            compile_deadline: Duration::from_secs(30),
            tick: Duration::from_millis(5),
            code_cache_bytes_max: 32 << 20,
        }
    }
}

/// Why limits make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// The limit leaves nothing.
    #[error("limit {0} must be greater than zero")]
    Zero(&'static str),
    /// The limit is beyond what the engine can hold to.
    #[error("limit {name} must be at most {max}")]
    TooLarge {
        /// The field.
        name: &'static str,
        /// The greatest value allowed, in the unit of the field.
        max: usize,
    },
    /// The deadline is longer than an hour, which is no deadline.
    #[error("limit {0} must be at most an hour")]
    TooLong(&'static str),
    /// A tick would be longer than the shortest deadline.
    #[error("limit tick must not be longer than any deadline")]
    TickTooLong,
}

impl Limits {
    /// Checks that every limit is positive and bounded.
    pub fn validate(&self) -> Result<(), LimitsError> {
        let sizes = [
            ("component-bytes-max", self.component_bytes_max, 1 << 30),
            // 32-bit memories, with room for the two pages a snapshot needs.
            ("memory-bytes-max", self.memory_bytes_max, 1 << 31),
            ("table-elements-max", self.table_elements_max, 1 << 24),
            ("instances-max", self.instances_max, 10_000),
            ("memories-max", self.memories_max, 10_000),
            ("tables-max", self.tables_max, 10_000),
            // Half of a Rust thread's default stack: the rest is the host's own.
            ("stack-bytes-max", self.stack_bytes_max, 1 << 20),
            ("answer-bytes-max", self.answer_bytes_max, 1 << 31),
            ("batch-rows-max", self.batch_rows_max, u32::MAX as usize),
            ("fit-rows-max", self.fit_rows_max, u32::MAX as usize),
            ("code-cache-bytes-max", self.code_cache_bytes_max, 1 << 31),
        ];
        for (name, value, max) in sizes {
            match value {
                0 => return Err(LimitsError::Zero(name)),
                _ if value > max => return Err(LimitsError::TooLarge { name, max }),
                _ => {}
            }
        }
        let times = [
            ("predict-deadline", self.predict_deadline),
            ("fit-deadline", self.fit_deadline),
            ("describe-deadline", self.describe_deadline),
            ("compile-deadline", self.compile_deadline),
            ("tick", self.tick),
        ];
        for (name, time) in times {
            if time.is_zero() {
                return Err(LimitsError::Zero(name));
            }
            if time > Duration::from_secs(3_600) {
                return Err(LimitsError::TooLong(name));
            }
            if self.tick > time {
                return Err(LimitsError::TickTooLong);
            }
        }
        Ok(())
    }

    /// Ticks after which a call with this deadline is over: rounded up, and one more because the
    /// first tick may come at once.
    pub(crate) fn ticks(&self, deadline: Duration) -> u64 {
        let ticks = deadline.as_nanos().div_ceil(self.tick.as_nanos());
        u64::try_from(ticks).unwrap_or(u64::MAX / 2) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Limits::default().validate(), Ok(()));
    }

    #[test]
    fn nothing_may_be_zero_or_endless() {
        let limits = Limits { memory_bytes_max: 0, ..Limits::default() };
        assert_eq!(limits.validate(), Err(LimitsError::Zero("memory-bytes-max")));
        let limits = Limits { stack_bytes_max: usize::MAX, ..Limits::default() };
        let expected = LimitsError::TooLarge { name: "stack-bytes-max", max: 1 << 20 };
        assert_eq!(limits.validate(), Err(expected));
        let limits = Limits { fit_deadline: Duration::MAX, ..Limits::default() };
        assert_eq!(limits.validate(), Err(LimitsError::TooLong("fit-deadline")));
        let limits = Limits { tick: Duration::from_secs(1), ..Limits::default() };
        assert_eq!(limits.validate(), Err(LimitsError::TickTooLong));
    }

    #[test]
    fn a_deadline_is_never_shorter_than_asked() {
        let limits = Limits { tick: Duration::from_millis(5), ..Limits::default() };
        assert_eq!(limits.ticks(Duration::from_millis(100)), 21);
        assert_eq!(limits.ticks(Duration::from_millis(101)), 22);
    }
}
