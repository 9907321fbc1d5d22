//! `weir demo`: the whole loop in one process.
//!
//! It composes the services' own libraries over embedded brokers, publishes the initial model as
//! `weir model train` does, lets an agent send, and watches the topics. Nothing takes a short cut: every
//! event goes over MQTT and Kafka, and what is shown at the end was read from Kafka.

mod args;
mod gate;
mod input;
mod json;
mod live;
mod observer;
mod place;
mod stack;
mod summary;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use tokio::sync::oneshot;
use weir_agent::{Backlog, Pace, Parts, Speed};
use weir_events::Epoch;
use weir_host::model::{Catalog, Trained, Trainer};
use weir_kafka::Producer;
use weir_registry::{Cause, Log};
use weir_runtime::Runtime;
use weir_service::{Clock as _, EXIT_FAILED, EXIT_USAGE};
use weir_view::{Results, chart};

pub(crate) use args::Arguments;
use gate::{Flow, FlowGate};
use input::Input;
use live::Live;
use observer::Observer;
use stack::Stack;

use crate::output;

/// How long nothing may move before a run counts as failed.
const STALL: Duration = Duration::from_secs(60);

/// Runs the demo.
pub(crate) async fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (place, mut settings) = place::read(arguments.config.as_deref())?;
    if let Some(listen) = arguments.listen {
        settings.host.http.listen = listen.to_string();
    }
    let host = &settings.host;
    let schema = Arc::new(host.schema()?);
    let runtime = Runtime::new(host.limits()?)?;
    let trainer = Trainer::new(runtime, Arc::clone(&schema), host.fit_options())?;
    let (threshold, what_stays) = (host.window.threshold, place.what_stays());
    let input = match Input::open(&arguments, &schema, &trainer) {
        Ok(input) => input,
        Err(error) => {
            eprintln!(
                "error: failed to {error:#}\n\nFor more information, try 'weir demo --help'."
            );
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let out = input.out.clone();
    let began = Instant::now();
    let interrupted = weir_service::shutdown_on_signals().context("listen to signals")?;
    let mut stack = Stack::start(place, settings, arguments.partitions, arguments.start).await?;
    let results = tokio::select! {
        results = run(&arguments, input, &trainer, &mut stack) => results,
        () = interrupted.cancelled() => Err(anyhow!("run the demo: interrupted")),
    };
    let took = began.elapsed();
    let reported = match &results {
        Ok(results) => report(&arguments, results, threshold, took, out.as_deref(), &what_stays),
        Err(_) => Ok(()),
    };
    if let (Ok(_), Some(listen)) = (&results, arguments.listen) {
        eprintln!("\nThe page stays at http://{listen}/ until Ctrl-C.");
        tokio::select! {
            () = interrupted.cancelled() => {}
            error = stack.failure() => tracing::error!(error = format!("{error:#}"), "page is gone"),
        }
    }
    let stopped = stack.stop().await;
    let results = results?;
    stopped.and(reported)?;
    let counts = &results.counts;
    if counts.add_up() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: {} events were sent, {} are accounted for", counts.sent, counts.accounted());
    Ok(ExitCode::from(EXIT_FAILED))
}

async fn run(
    arguments: &Arguments,
    input: Input,
    trainer: &Trainer,
    stack: &mut Stack,
) -> anyhow::Result<Results> {
    let live = Live::new(input.total, arguments.json.is_some());
    publish(stack, trainer, &input.trained).await?;
    let (end_observer, mut observer) = {
        let (kafka, topics) = (stack.host.kafka(), stack.host.topics.clone());
        let (schema, progress) = (Arc::new(stack.host.schema()?), stack.progress.clone());
        let trust = Arc::new(stack.host.trust()?);
        let (models, out) = (Log::new(&stack.host.train.model, trust), input.out.clone());
        let started = tokio::task::spawn_blocking(move || {
            Observer::start(&kafka, topics, schema, models, progress, live, out)
        });
        let (end, ended) = oneshot::channel();
        (end, tokio::spawn(started.await??.run(ended)))
    };
    stack.start_services();
    if let (Some(listen), Some(token)) = (arguments.listen, &stack.token) {
        eprintln!("page: http://{listen}/   token to act on it: {token}");
    }
    let flow = Flow {
        sent: weir_agent::Progress::default(),
        bridge: Arc::clone(&stack.bridge),
        kafka: stack.progress.clone(),
    };
    let mut results = tokio::select! {
        sent = send(arguments, input, stack, &flow) => {
            sent?;
            if end_observer.send(()).is_err() {
                tracing::debug!("the observer has ended already; its result says why");
            }
            observer.await??
        }
        // It ends only when told, or when it fails.
        ended = &mut observer => {
            ended??;
            bail!("watch the run: the observer ended early");
        }
    };
    let counts = flow.sent.counts();
    results.counts.sent = counts.taken;
    let topics = &stack.host.topics;
    results.counts.bridged =
        stack.progress.count(&topics.measurement) + stack.progress.count(&topics.target);
    let (oversize, dropped) = (counts.oversize, counts.dropped());
    if oversize + dropped > 0 {
        tracing::warn!(oversize, dropped, "events were not sent");
    }
    Ok(results)
}

/// The first version, published as `weir model train` does.
async fn publish(stack: &Stack, trainer: &Trainer, trained: &Trained) -> anyhow::Result<()> {
    let host = &stack.host;
    let producer = Producer::new(&host.kafka(), stack.progress.clone())?;
    let (topic, model) = (&host.topics.models, &host.train.model);
    let key = host.signing_key()?.map(Arc::new);
    let mut catalog =
        Catalog::open(&host.kafka(), producer, topic, model, host.trust()?, key).await?;
    let manifest = trainer.manifest(trained, model, stack.clock.now(), Cause::file());
    catalog.publish(trained.model.bytes(), manifest).await?;
    Ok(())
}

/// Lets the machines send everything, and waits until all of it has had its consequences.
async fn send(
    arguments: &Arguments,
    input: Input,
    stack: &mut Stack,
    flow: &Flow,
) -> anyhow::Result<()> {
    let speed = if arguments.lockstep { Speed::Max } else { arguments.speed };
    let (agent, control) = (stack.agent.clone(), stack.control.clone());
    let (clock, shutdown) = (stack.clock.clone(), stack.shutdown.clone());
    let spool = tempfile::tempdir().context("make a folder for the agent's spool")?;
    let mut epoch = [0; 16];
    getrandom::fill(&mut epoch).context("draw random numbers")?;
    let epoch = Epoch::from_bytes(epoch);
    let bytes_max = agent.limits.sample_bytes_max;
    let parts = Parts {
        backlog: Backlog::open(spool.path(), &agent.spool, bytes_max, epoch)?,
        sampler: input.events,
        gate: (Pace::new(speed), FlowGate::new(flow.clone(), arguments.lockstep)),
        clock: Some(clock),
        progress: flow.sent.clone(),
        seed: arguments.seed,
    };
    ready(stack, flow).await?;
    let whole = async {
        weir_agent::run(&agent, parts, shutdown).await?;
        flow.settled().await;
        control.finish().await;
        flow.settled().await;
        anyhow::Ok(())
    };
    tokio::select! {
        result = whole => result,
        error = stack.failure() => Err(error),
        () = stalled(flow, speed) => bail!("finish the run: nothing moved for {STALL:?}; {}", flow.backlog()),
    }
}

/// Waits until every service listens.
async fn ready(stack: &mut Stack, flow: &Flow) -> anyhow::Result<()> {
    let waiting = stack.waiting();
    tokio::select! {
        () = waiting => Ok(()),
        error = stack.failure() => Err(error),
        () = tokio::time::sleep(STALL) => bail!("start the services: {}", flow.backlog()),
    }
}

/// Returns when something is under way and nothing has moved for too long.
async fn stalled(flow: &Flow, speed: Speed) {
    // At real speed a pause in the data is no stall: then only a backlog that does not shrink is one.
    let paced = matches!(speed, Speed::Times(_));
    let mut last = (u64::MAX, String::new());
    loop {
        tokio::time::sleep(STALL).await;
        let now = (flow.sent.counts().acked, flow.backlog());
        let idle = paced && flow.is_settled();
        if now == last && !idle {
            return;
        }
        last = now;
    }
}

/// Draws, and prints.
fn report(
    arguments: &Arguments,
    results: &Results,
    threshold: f64,
    took: Duration,
    out: Option<&Path>,
    what_stays: &str,
) -> anyhow::Result<()> {
    let mut text = match arguments.json {
        Some(how) => format!("{}\n", serde_json::to_string(&json::object(results, how))?),
        None => summary::text(results, took),
    };
    if let Some(folder) = out {
        let write = |name: &str, bytes: &[u8]| {
            let file = folder.join(name);
            std::fs::write(&file, bytes).with_context(|| format!("write {}", file.display()))
        };
        write("error.svg", chart::svg(results, threshold, chart::Theme::Light).as_bytes())?;
        write("error.png", &chart::bitmap(results, threshold)?)?;
        if arguments.json.is_none() {
            let shown = folder.display();
            text.push_str(&format!(
                "\nPicture: {shown}/error.svg and error.png; components: {shown}/v1.wasm ...\n{what_stays}\n"
            ));
        }
    }
    output::is_read(std::io::stdout().lock().write_all(text.as_bytes()))?;
    Ok(())
}
