//! A load, and something that goes wrong again and again while it runs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use weir_e2e::fleet::{Fleet, Size};
use weir_e2e::process::Process;
use weir_e2e::servers::{KAFKA, address};

/// Once nothing goes wrong any more, all must be in Kafka within this time.
const RECOVERY: Duration = Duration::from_secs(120);

/// The seeds of this run's histories.
pub(crate) fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("WEIR_SEEDS").ok().and_then(|text| text.parse().ok());
    0..count.unwrap_or(1)
}

/// Random decisions.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.next_u32() as usize % bound
    }

    pub(crate) fn pause(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(usize::try_from(to - from).expect("short")) as u64)
    }
}

/// A fleet at work.
pub(crate) struct Run {
    pub(crate) fleet: Fleet,
    pub(crate) agents: Vec<Process>,
    pub(crate) bridge: Process,
    pub(crate) agents_reach: SocketAddr,
    pub(crate) bridge_reaches: SocketAddr,
    pub(crate) dice: Dice,
    seed: u64,
}

impl Run {
    /// Starts the bridge, then the agents, which may reach the broker by another way.
    pub(crate) fn start(seed: u64, size: Size, agents: SocketAddr, bridge: SocketAddr) -> Self {
        let mut run = Self::idle(seed, size, agents, bridge);
        run.agents = run.fleet.agents(agents);
        run
    }

    /// Starts the bridge alone.
    pub(crate) fn idle(seed: u64, size: Size, agents: SocketAddr, bridge: SocketAddr) -> Self {
        let fleet = Fleet::new(&address(KAFKA), size);
        Self {
            bridge: fleet.bridge(bridge, &[]),
            agents: Vec::new(),
            agents_reach: agents,
            bridge_reaches: bridge,
            dice: Dice::new(seed),
            seed,
            fleet,
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.agents.iter_mut().any(Process::is_running)
    }

    /// Does it again and again, with a pause of so many milliseconds before each time, until all agents have ended, but no
    /// more often than `times`.
    pub(crate) fn trouble(
        &mut self,
        times: usize,
        pause: (u64, u64),
        mut fault: impl FnMut(&mut Self),
    ) {
        for _ in 0..times {
            std::thread::sleep(self.dice.pause(pause.0, pause.1));
            if !self.is_running() {
                return;
            }
            fault(self);
        }
    }

    /// Waits for the end, and checks what is in Kafka.
    pub(crate) fn check(self, row: &str) {
        let began = Instant::now();
        let Self { fleet, agents, seed, bridge, .. } = self;
        fleet.finish(agents);
        let recovery = began.elapsed();
        assert!(recovery < RECOVERY, "{row}: all was in Kafka only after {recovery:?}");
        bridge.terminate();
        fleet.check(row, seed, recovery);
    }
}
