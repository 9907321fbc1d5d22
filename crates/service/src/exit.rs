//! From a service's result to the exit code of its process.

use std::process::ExitCode;

use crate::ConfigError;

/// The service failed, or could not account for everything.
pub const EXIT_FAILED: u8 = 1;
/// The configuration is wrong (`EX_CONFIG` of sysexits.h). Arguments that clap refuses give 2.
pub const EXIT_CONFIG: u8 = 78;

/// Starts logging and a multi-threaded runtime, chooses the TLS provider, runs `service` to its end and
/// turns its result into an exit code. Errors are printed as one chain; a [`ConfigError`] anywhere in it gives 78.
pub fn start<F>(default_filter: &str, service: F) -> ExitCode
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    crate::init_telemetry(default_filter);
    crate::tls::install_provider();
    let runtime = match tokio::runtime::Runtime::new() {
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
    eprintln!("error: failed to {error:#}");
    let config = error.chain().any(|cause| cause.is::<ConfigError>());
    ExitCode::from(if config { EXIT_CONFIG } else { EXIT_FAILED })
}
