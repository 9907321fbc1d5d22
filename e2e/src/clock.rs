//! A clock that a test sets, for single processes: Debian's `faketime`. The process sees another time of day; the time that
//! passes stays true, so that its timeouts do what they always do. Not for programs with librdkafka in them: its threads
//! spin under libfaketime 0.9.10, and often it hangs (kcat does as well).

use std::path::PathBuf;

/// Where Debian has the library; the linker knows what `$LIB` is on this machine.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

/// The clock of the processes that are started with its [`FakeClock::environment`].
#[derive(Debug)]
pub struct FakeClock {
    file: PathBuf,
}

impl FakeClock {
    /// A clock that is kept in this file. It is true until it is set.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn new(file: PathBuf) -> Self {
        let clock = Self { file };
        clock.set("+0");
        clock
    }

    /// Sets it, as faketime's manual has it: `+1h`, or `@2099-01-01 00:00:00` in UTC. It goes on from there.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn set(&self, time: &str) {
        // Processes read the file all the time: it must never be half written.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{time}\n")).expect("written");
        std::fs::rename(new, &self.file).expect("renamed");
    }

    /// The variables that give a process this clock.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let on = || "1".to_owned();
        vec![
            ("LD_PRELOAD", LIBRARY.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", on()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", on()),
            ("NO_FAKE_STAT", on()),
            ("TZ", "UTC".to_owned()),
        ]
    }
}
