//! `cargo xtask services`: real servers on this machine's loopback, for the tests against them.
//!
//! They are plain processes; no container engine is needed. Everything that they have is under
//! `target/services`: a folder for each with settings, data and logs, the secrets, and what was fetched or
//! built for them. Their ports are free ones, so any number of checkouts can have theirs. They go on until
//! `down`, whatever becomes of the command that started them.
//!
//! Linux only. A server that an environment variable names already is somebody else's: it is used, neither
//! started nor stopped. No data outlives a server.

mod environment;
mod folder;
mod home;
mod kafka;
mod mongo;
mod mosquitto;
mod ports;
mod process;
mod secrets;
mod server;
mod variables;

use std::thread::ScopedJoinHandle;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Subcommand;

use crate::{report, tools};
use environment::{named, own_secrets, variable};
use home::Home;
pub(crate) use server::Server;

/// The folder of certificates and passwords.
pub(crate) const SECRETS: &str = "WEIR_TEST_SECRETS";

/// What is to be done with the servers.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// Starts servers and prints the variables that name them: eval "$(cargo xtask services up)"
    Up {
        /// Those to start; all but the cluster if none is named.
        servers: Vec<Server>,
    },
    /// Stops servers.
    Down {
        /// Those to stop; all if none is named.
        servers: Vec<Server>,
    },
    /// Stops a server's processes in their tracks (SIGSTOP): it is silent, and its connections stay.
    Pause { server: Server },
    /// Lets a server go on after a pause.
    Resume { server: Server },
    /// Kills a server (SIGKILL) and starts it again with the data it has: Apache Kafka without TLS.
    Restart {
        server: Server,
        /// Only this node of a cluster, counted from 1.
        #[arg(long)]
        node: Option<usize>,
    },
    /// Tells which servers run, where they are, and where their logs are.
    Status,
}

pub(crate) fn run(action: &Action) -> Result<()> {
    match action {
        Action::Up { servers } if servers.is_empty() => print(&up(&Server::usual())?),
        Action::Up { servers } => print(&up(servers)?),
        Action::Down { servers } if servers.is_empty() => down(&Server::ALL)?,
        Action::Down { servers } => down(servers)?,
        Action::Pause { server } => server.folder(&Home::new()?).signal("STOP")?,
        Action::Resume { server } => server.folder(&Home::new()?).signal("CONT")?,
        Action::Restart { server, node } => restart(*server, *node)?,
        Action::Status => status()?,
    }
    Ok(())
}

/// Servers that answer.
pub(crate) struct Servers {
    /// What tests find them by.
    pub(crate) variables: Vec<(String, String)>,
    /// Those that were not there before.
    pub(crate) started: Vec<Server>,
}

/// Sees to it that these servers answer. What runs is kept; if one does not start, those that were started
/// with it are stopped again.
pub(crate) fn up(servers: &[Server]) -> Result<Servers> {
    let home = Home::new()?;
    let _lock = home.lock()?;
    let mut variables = Vec::new();
    let mut ours = Vec::new();
    for &server in servers {
        match named(server)? {
            Some(named) => variables.extend(named),
            None if ours.contains(&server) => {}
            None => ours.push(server),
        }
    }
    if ours.iter().any(|server| server.is_secured()) {
        let folder = own_secrets(&home.secrets)?;
        variables.push((SECRETS.to_owned(), folder));
    } else if let Some(folder) = variable(SECRETS) {
        variables.push((SECRETS.to_owned(), folder));
    }
    let mut to_start = Vec::new();
    for &server in &ours {
        match server.folder(&home).variables()? {
            Some(_) => eprintln!("{}: runs already", server.name()),
            None => to_start.push(server),
        }
    }
    start(&home, &to_start)?;
    for server in ours {
        let own = server.folder(&home).variables()?;
        variables.extend(own.with_context(|| format!("keep {} running", server.name()))?);
    }
    Ok(Servers { variables, started: to_start })
}

/// Stops servers.
pub(crate) fn down(servers: &[Server]) -> Result<()> {
    let home = Home::new()?;
    let _lock = home.lock()?;
    stop(&home, servers)
}

fn restart(server: Server, node: Option<usize>) -> Result<()> {
    let home = Home::new()?;
    let _lock = home.lock()?;
    let folder = server.folder(&home);
    let variables = folder
        .variables()?
        .with_context(|| format!("restart {}: it does not run", server.name()))?;
    match (server, &variables[..]) {
        (Server::Kafka | Server::KafkaCluster, [(_, addresses), ..]) => {
            kafka::restart(&home, &folder, addresses, node)
        }
        _ => anyhow::bail!("restart {}: only kafka and kafka-cluster can be", server.name()),
    }
}

fn status() -> Result<()> {
    let home = Home::new()?;
    for server in Server::ALL {
        let folder = server.folder(&home);
        let addresses = folder.variables()?.map(|variables| {
            variables.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ")
        });
        let state = addresses.map_or("stopped".to_owned(), |at| format!("running  {at}"));
        let logs = folder.logs()?;
        let logs: Vec<_> = logs.iter().map(|log| log.display().to_string()).collect();
        report(&format!("{:13}  {state}  {}", server.name(), logs.join(" ")));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a shell evaluates it")]
fn print(servers: &Servers) {
    print!("{}", variables::to_exports(&servers.variables));
}

/// Starts servers, all at the same time: most of it is waiting.
fn start(home: &Home, servers: &[Server]) -> Result<()> {
    let needed: Vec<_> = servers.iter().flat_map(|server| server.tools()).copied().collect();
    tools::ensure(&needed)?;
    for server in servers {
        server.prepare(home)?;
    }
    let start = |server: Server| {
        let began = Instant::now();
        let started = server.start(home);
        let outcome = if started.is_ok() { "answers after" } else { "given up after" };
        eprintln!("{}: {outcome} {:.1} s", server.name(), began.elapsed().as_secs_f64());
        started
    };
    let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            servers.iter().map(|&server| scope.spawn(move || start(server))).collect();
        let join = |thread: ScopedJoinHandle<'_, Result<()>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    let failed = outcomes.into_iter().find_map(Result::err);
    let Some(error) = failed else { return Ok(()) };
    stop(home, servers)?;
    Err(error)
}

/// Stops servers, all at the same time.
fn stop(home: &Home, servers: &[Server]) -> Result<()> {
    std::thread::scope(|scope| {
        let stop = |&server: &Server| scope.spawn(move || server.folder(home).stop());
        let threads: Vec<_> = servers.iter().map(stop).collect();
        let mut stopped = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        stopped.by_ref().collect()
    })
}
