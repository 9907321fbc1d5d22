//! The services of a run, in this process, and the servers that they use.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::task::JoinSet;
use weir_agent::AgentConfig;
use weir_bridge::{BridgeConfig, BridgeCounters};
use weir_embedded::kafka::EmbeddedKafka;
use weir_embedded::mqtt::EmbeddedMqtt;
use weir_events::EventTime;
use weir_host::{Control, HostConfig};
use weir_kafka::{Admin, Consumer, KafkaConfig, Progress};
use weir_service::{EventClock, Shutdown};

use super::place::{Place, Run, Settings};
use crate::model::keygen;
use crate::topics;

/// Brokers and services.
pub(crate) struct Stack {
    pub(crate) agent: AgentConfig,
    pub(crate) host: HostConfig,
    pub(crate) clock: EventClock,
    pub(crate) progress: Progress,
    pub(crate) bridge: Arc<BridgeCounters>,
    pub(crate) control: Control,
    pub(crate) shutdown: Shutdown,
    bridge_config: BridgeConfig,
    services: JoinSet<anyhow::Result<()>>,
    servers: Servers,
    /// What lets a person act on the run's page, if there is one.
    pub(crate) token: Option<String>,
    /// The key that signs the run's versions, and the token, for as long as the run lives.
    _secrets: TempDir,
}

/// Makes a key for one run.
fn make_keys(folder: &Path, host: &mut HostConfig) -> anyhow::Result<()> {
    let files = keygen::make(&folder.join("demo"))?;
    host.train.key_file = files.secret;
    host.trust.keys = vec![files.public];
    Ok(())
}

/// Makes a token for the page of one run.
fn make_token(folder: &Path, host: &mut HostConfig) -> anyhow::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("draw random numbers")?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = folder.join("tokens");
    std::fs::write(&file, format!("demo {token}\n")).context("write the run's token")?;
    host.http.token_file = file;
    Ok(token)
}

/// What the services use.
enum Servers {
    /// Brokers in this process, for as long as this lives.
    Embedded { _kafka: EmbeddedKafka, _mqtt: EmbeddedMqtt },
    /// Servers that were there before.
    Real(Run),
}

impl Stack {
    /// Starts the brokers, where they are embedded, and makes the topics.
    pub(crate) async fn start(
        place: Place,
        mut settings: Settings,
        partitions: i32,
        start: EventTime,
    ) -> anyhow::Result<Self> {
        let servers = match place {
            Place::Embedded => embedded(&mut settings, partitions).await?,
            Place::Servers(run) => {
                tracing::warn!(
                    run = run.name,
                    "running on real servers; its topics begin with this name"
                );
                if let Err(error) = make_topics(&settings.host, &run, partitions).await {
                    if !run.stays {
                        // Some may have been made; why not all of them is what matters.
                        drop(remove(&settings.host).await);
                    }
                    return Err(error);
                }
                Servers::Real(run)
            }
        };
        let Settings { agent, bridge, mut host } = settings;
        let secrets = tempfile::tempdir().context("make a folder for the run's secrets")?;
        if host.trust.keys.is_empty() && !host.trust.allow_unsigned {
            make_keys(secrets.path(), &mut host)?;
        }
        let shown = !host.http.listen.is_empty() && host.http.token_file.as_os_str().is_empty();
        let token = if shown { Some(make_token(secrets.path(), &mut host)?) } else { None };
        Ok(Self {
            token,
            _secrets: secrets,
            agent,
            host,
            clock: EventClock::new(start),
            progress: Progress::default(),
            bridge: Arc::new(BridgeCounters::default()),
            control: Control::default(),
            shutdown: Shutdown::new(),
            bridge_config: bridge,
            services: JoinSet::new(),
            servers,
        })
    }

    /// Starts bridge and host.
    pub(crate) fn start_services(&mut self) {
        let clock = Arc::new(self.clock.clone());
        self.services.spawn(weir_bridge::run(
            self.bridge_config.clone(),
            clock.clone(),
            self.progress.clone(),
            Arc::clone(&self.bridge),
            self.shutdown.clone(),
        ));
        self.services.spawn(weir_host::run(
            self.host.clone(),
            clock,
            self.progress.clone(),
            self.control.clone(),
            Arc::default(),
            self.shutdown.clone(),
        ));
    }

    /// Waits until the bridge has subscribed and every role has its partitions.
    pub(crate) fn waiting(&self) -> impl Future<Output = ()> + use<> {
        let (readers, bridge) = (self.host.readers(), Arc::clone(&self.bridge));
        let progress = self.progress.clone();
        async move {
            let ready = |progress: &Progress| {
                bridge.subscriptions() > 0 && readers.iter().all(|reader| progress.is_ready(reader))
            };
            progress.wait_until(ready).await;
        }
    }

    /// Returns only when a service ends that should not.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        match self.services.join_next().await {
            Some(Ok(Ok(()))) => anyhow::anyhow!("run the demo: a service ended early"),
            Some(Ok(Err(error))) => error.context("run a service of the demo"),
            Some(Err(panicked)) => {
                anyhow::Error::from(panicked).context("run a service of the demo")
            }
            None => std::future::pending().await,
        }
    }

    /// Ends the services in order, and removes what a run without a name wrote on real servers.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        let mut failure = None;
        while let Some(ended) = self.services.join_next().await {
            if let Err(error) = ended.unwrap_or_else(|panicked| Err(panicked.into())) {
                failure = Some(error);
            }
        }
        if let Servers::Real(Run { stays: false, .. }) = self.servers {
            remove(&self.host).await?;
        }
        match failure {
            Some(error) => bail!("stop the demo: {error:#}"),
            None => Ok(()),
        }
    }
}

async fn embedded(settings: &mut Settings, partitions: i32) -> anyhow::Result<Servers> {
    let mqtt = EmbeddedMqtt::start().await.context("start the embedded MQTT broker")?;
    let kafka = EmbeddedKafka::start()?;
    for topic in topics::wanted(&settings.host, partitions, 1) {
        kafka.create_topic(&topic.name, topic.partitions)?;
    }
    let reached = KafkaConfig {
        brokers: kafka.brokers(),
        settings: EmbeddedKafka::settings(),
        ..settings.host.kafka()
    };
    settings.use_embedded(mqtt.address(), reached);
    Ok(Servers::Embedded { _kafka: kafka, _mqtt: mqtt })
}

/// Makes the topics of a run on real servers; they must not hold anything.
async fn make_topics(host: &HostConfig, run: &Run, partitions: i32) -> anyhow::Result<()> {
    topics::make(host, partitions).await.context("make the topics of the run")?;
    let kafka = host.kafka();
    let names: Vec<String> =
        topics::wanted(host, partitions, 1).into_iter().map(|topic| topic.name).collect();
    weir_kafka::await_topics(&kafka, names.clone()).await?;
    let look = move || -> anyhow::Result<()> {
        for name in names {
            if Consumer::ends(&kafka, &name)?.iter().any(|&(_, end)| end > 0) {
                bail!("begin: the topic {name:?} holds records; give the run another name");
            }
        }
        Ok(())
    };
    let Run { name, .. } = run;
    tokio::task::spawn_blocking(look).await?.with_context(|| format!("begin the run {name:?}"))
}

/// Removes the topics and the training rows of a run.
async fn remove(host: &HostConfig) -> anyhow::Result<()> {
    let wanted = topics::wanted(host, 1, 1);
    let names: Vec<&str> = wanted.iter().map(|topic| topic.name.as_str()).collect();
    Admin::new(&host.kafka())?.delete(&names).await.context("remove the topics of the run")?;
    if host.store.is_shared() {
        let schema = Arc::new(host.schema()?);
        let removed = weir_host::store::remove(&host.store, schema).await;
        removed.context("remove the training rows of the run")?;
    }
    Ok(())
}
