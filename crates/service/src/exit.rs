//! From a service's result to the exit code of its process.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use tokio::runtime::Builder;

use crate::ConfigError;

/// The service failed, or could not account for everything.
pub const EXIT_FAILED: u8 = 1;
/// The arguments are wrong: what clap exits with.
pub const EXIT_USAGE: u8 = 2;
/// The configuration is wrong (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

/// What the exit codes of all programs mean.
pub const EXIT_CODES: [(u8, &str); 4] = [
    (0, "done as asked, or ended by a signal as it should"),
    (EXIT_FAILED, "failed, or something that was looked at is not as it must be"),
    (EXIT_USAGE, "wrong arguments"),
    (EXIT_CONFIG, "wrong configuration: starting again does not help"),
];

/// The exit codes, a line each, for the end of a help text.
pub fn exit_help() -> String {
    let line = |(code, meaning): (u8, &str)| format!("\n  {code:<3} {meaning}");
    "Exit codes:".to_owned() + &EXIT_CODES.map(line).concat()
}

/// Starts logging and a multi-threaded runtime, chooses the TLS provider, runs `service` to its end and
/// turns its result into an exit code. Errors are printed as one chain; a [`ConfigError`] anywhere in it gives 78.
pub fn start<F>(default_filter: &str, service: F) -> ExitCode
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    run(default_filter, Builder::new_multi_thread(), service)
}

/// As [`start`], but everything runs on the thread that calls: for small processes on small machines. A task
/// that computes for long, or waits for a disk without saying so, holds up all others.
pub fn start_small<F>(default_filter: &str, service: F) -> ExitCode
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    run(default_filter, Builder::new_current_thread(), service)
}

fn run<F>(default_filter: &str, mut runtime: Builder, service: F) -> ExitCode
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    crate::init_telemetry(default_filter);
    crate::tls::install_provider();
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: failed to start the runtime: {error}");
            return ExitCode::from(EXIT_FAILED);
        }
    };
    let result = runtime.block_on(service);
    // Threads of libraries that cannot be interrupted must not keep the process.
    runtime.shutdown_background();
    result.unwrap_or_else(|error| report(&error))
}

fn report(error: &anyhow::Error) -> ExitCode {
    // As clap's errors look.
    const ERROR: Style = AnsiColor::Red.on_default().bold();
    anstream::eprintln!("{ERROR}error:{ERROR:#} failed to {error:#}");
    let config = error.chain().any(|cause| cause.is::<ConfigError>());
    ExitCode::from(if config { EXIT_CONFIG } else { EXIT_FAILED })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn threads() -> usize {
        let spawned = tokio::spawn(async { std::thread::current().id() });
        usize::from(spawned.await.expect("runs") != std::thread::current().id())
    }

    /// `ExitCode` can only be compared as it is shown.
    fn same(one: ExitCode, other: ExitCode) -> bool {
        format!("{one:?}") == format!("{other:?}")
    }

    #[test]
    fn a_small_process_has_one_thread() {
        let code = start_small("off", async {
            assert_eq!(threads().await, 0, "a task ran elsewhere");
            Ok(ExitCode::from(7))
        });
        assert!(same(code, ExitCode::from(7)));
    }

    #[test]
    fn a_wrong_configuration_has_its_own_code_in_both() {
        let wrong = || async { Err(ConfigError::value("a.b: wrong").into()) };
        assert!(same(start("off", wrong()), ExitCode::from(EXIT_CONFIG)));
        assert!(same(start_small("off", wrong()), ExitCode::from(EXIT_CONFIG)));
        let failed = async { Err(anyhow::anyhow!("do it")) };
        assert!(same(start_small("off", failed), ExitCode::from(EXIT_FAILED)));
    }
}
