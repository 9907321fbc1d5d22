//! Composes a host: the roles that the configuration names, each restarted when it fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;
use weir_kafka::{Class, DeliveryError, Producer, Progress, await_topics};
use weir_runtime::Runtime;
use weir_service::traces::Tracer;
use weir_service::{Clock, Shutdown};

use crate::config::{HostConfig, Role};
use crate::control::Control;
use crate::counters::HostCounters;
use crate::http::{HttpServer, Served, Watch};
use crate::lag;
use crate::layout;
use crate::model::{Follower, Trainer};
use crate::roles::{self, Context};
use crate::store::{Access, RedbStore, TrainingStore, open_shared};

type Tasks = JoinSet<anyhow::Result<()>>;

/// Runs a host until shutdown. Kafka may be away, and its topics missing: both are waited for. What it does is counted in
/// `counters`, which are of this run alone.
///
/// # Errors
/// If it cannot start (wrong settings, a store that cannot be opened), or if the Kafka producer fails for
/// good: a new process needs a new one. What else fails later is retried.
pub async fn run(
    config: HostConfig,
    clock: Arc<dyn Clock>,
    progress: Progress,
    control: Control,
    counters: Arc<HostCounters>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    config.check()?;
    if config.roles.contains(&Role::Sink) || config.roles.contains(&Role::Train) {
        config.check_store()?;
    }
    config.check_trust()?;
    let server = HttpServer::bind(&config.http).await?;
    let tracer = Tracer::new(&config.traces, "weir-host", &config.kafka.client_id)?;
    let schema = Arc::new(config.schema()?);
    let runtime = Runtime::new(config.limits()?)?;
    // There is a model before there is Kafka.
    let follower = if config.roles.contains(&Role::Predict) || server.is_some() {
        let (schema, runtime, clock) = (Arc::clone(&schema), runtime.clone(), Arc::clone(&clock));
        let follower = Follower::new(&config, schema, runtime, progress.clone(), clock)?;
        let follower = follower.counted(Arc::clone(&counters));
        follower.restore().await;
        Some(follower)
    } else {
        None
    };
    let config = Arc::new(config);
    let mut tasks = JoinSet::new();
    let page = match server.zip(follower.as_ref()) {
        Some((server, follower)) => {
            let watch = Watch::new(Arc::clone(&config), Arc::clone(&schema), Arc::clone(&clock))?;
            let served = Served {
                config: Arc::clone(&config),
                schema: Arc::clone(&schema),
                slot: follower.slot().clone(),
                clock: Arc::clone(&clock),
                watch: watch.clone(),
            };
            tasks.spawn(serve(server, served, shutdown.clone()));
            Some(watch)
        }
        None => None,
    };
    let (kafka, topics) = (config.kafka(), roles::topics(&config.roles, &config.topics));
    let partitions = tokio::select! {
        found = await_topics(&kafka, topics) => found.context("find Kafka's topics")?,
        () = shutdown.cancelled() => return Ok(()),
    };
    layout::check(&config, &partitions)?;
    counters.count(|counts| counts.topics_found = true);
    let producer = Producer::new(&config.kafka(), progress.clone())?;
    let context = Context { config, schema, producer, progress, clock, counters, tracer, shutdown };
    if let Some(watch) = page {
        let shutdown = context.shutdown.clone();
        tasks.spawn(supervise("page", context.clone(), async move || watch.run(&shutdown).await));
    }
    if !context.config.health.listen.is_empty() {
        let looked = context.clone();
        tasks.spawn(supervise("lag", context.clone(), async move || lag::run(&looked).await));
    }
    start_stateless(&context, follower.as_ref(), &control, &mut tasks);
    start_training(&context, runtime, &mut tasks)?;
    until_end(tasks, &context.shutdown).await
}

/// Waits for the first role that fails, or for all of them to end.
async fn until_end(mut tasks: Tasks, shutdown: &Shutdown) -> anyhow::Result<()> {
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::pin!(overdue);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => ended??,
                None => return Ok(()),
            },
            () = &mut overdue => {
                // Harmless: nothing is committed that is not done.
                tracing::warn!(grace = ?GRACE, "a role did not end in time and is cut off");
                return Ok(());
            }
        }
    }
}

/// Shows the line from the start: that Kafka is away is seen there too.
async fn serve(server: HttpServer, served: Served, shutdown: Shutdown) -> anyhow::Result<()> {
    server.run(served, shutdown).await;
    Ok(())
}

/// How long the roles may take to end in order.
const GRACE: Duration = Duration::from_secs(8);

fn start_stateless(
    context: &Context,
    follower: Option<&Follower>,
    control: &Control,
    tasks: &mut Tasks,
) {
    let roles = &context.config.roles;
    if let Some(follower) = follower {
        let (follower, watched) = (follower.clone(), context.clone());
        let slot = follower.slot().clone();
        tasks.spawn(supervise("models", context.clone(), async move || {
            tokio::select! {
                result = follower.run() => result,
                () = watched.shutdown.cancelled() => Ok(()),
            }
        }));
        if roles.contains(&Role::Predict) {
            let predictor = context.clone();
            tasks.spawn(supervise("predict", context.clone(), async move || {
                roles::predict::run(&predictor, &slot).await
            }));
        }
    }
    if roles.contains(&Role::Join) {
        let (joiner, control) = (context.clone(), control.clone());
        tasks.spawn(supervise("join", context.clone(), async move || {
            roles::join::run(&joiner, &control).await
        }));
    }
    if roles.contains(&Role::Drift) {
        let watcher = context.clone();
        tasks.spawn(supervise("drift", context.clone(), async move || {
            roles::drift::run(&watcher).await
        }));
    }
}

/// Starts the roles that share the store of training rows. The other roles do not wait for it.
fn start_training(context: &Context, runtime: Runtime, tasks: &mut Tasks) -> anyhow::Result<()> {
    let config = &context.config;
    let [sinks, trains] = [Role::Sink, Role::Train].map(|role| config.roles.contains(&role));
    if !sinks && !trains {
        return Ok(());
    }
    let trainer = if trains {
        Some(Trainer::new(runtime, Arc::clone(&context.schema), config.fit_options())?)
    } else {
        None
    };
    let context = context.clone();
    tasks.spawn(async move {
        let Some(store) = open_store(&context).await? else { return Ok(()) };
        let mut tasks = Tasks::new();
        if sinks {
            let (sink, store) = (context.clone(), Arc::clone(&store));
            tasks.spawn(supervise("sink", context.clone(), async move || {
                roles::sink::run(&sink, &store).await
            }));
        }
        if let Some(trainer) = trainer {
            let train = context.clone();
            tasks.spawn(supervise("train", context, async move || {
                roles::train::run(&train, &store, &trainer).await
            }));
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    });
    Ok(())
}

/// Opens the store that the configuration names, as soon as it can be reached. None if the host shuts
/// down first.
async fn open_store(context: &Context) -> anyhow::Result<Option<Arc<dyn TrainingStore>>> {
    let (config, schema) = (&context.config, Arc::clone(&context.schema));
    let section = &config.store;
    if !section.is_shared() {
        let store = RedbStore::open(&section.path, schema, section.rows_max)?;
        return Ok(Some(Arc::new(store)));
    }
    let sinks = config.roles.contains(&Role::Sink);
    let access = if sinks { Access::Write } else { Access::Read };
    open_shared(section, schema, access, &context.shutdown).await
}

/// Opens the training rows to read them.
///
/// # Errors
/// If they cannot be reached, or another process has the file open.
pub async fn open_training_rows(config: &HostConfig) -> anyhow::Result<Arc<dyn TrainingStore>> {
    config.check_store()?;
    let (section, schema) = (&config.store, Arc::new(config.schema()?));
    if !section.is_shared() {
        let store = RedbStore::open(&section.path, schema, section.rows_max)?;
        return Ok(Arc::new(store));
    }
    let store = open_shared(section, schema, Access::Read, &Shutdown::new()).await?;
    store.context("open the store")
}

/// Runs a role until shutdown, and again after a while when it fails. A failed role has lost nothing:
/// it goes on from what it committed.
async fn supervise(
    name: &'static str,
    context: Context,
    mut role: impl AsyncFnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    const PAUSE_MIN: Duration = Duration::from_millis(250);
    const PAUSE_MAX: Duration = Duration::from_secs(15);
    let mut pause = PAUSE_MIN;
    loop {
        let began = Instant::now();
        let Err(error) = role().await else { return Ok(()) };
        let delivery = error.chain().find_map(|cause| cause.downcast_ref::<DeliveryError>());
        if delivery.is_some_and(|delivery| delivery.class() == Class::Fatal) {
            return Err(error.context(format!("run the role {name}")));
        }
        if began.elapsed() > PAUSE_MAX {
            pause = PAUSE_MIN;
        }
        context.counters.count(|counts| counts.restarted(name));
        tracing::warn!(role = name, error = format!("{error:#}"), retry_in = ?pause, "role failed");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
