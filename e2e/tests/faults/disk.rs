//! the disk of the spool is full. It is a file system of 1 MiB in memory, which only the agent sees.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use weir_e2e::fleet::{Fleet, Size, report};
use weir_e2e::metrics::Page;
use weir_e2e::process::{PATIENCE, Process, built};
use weir_e2e::servers::{KAFKA, MQTT, address};

/// More than twice what the disk holds.
const SIZE: Size = Size { devices: 1, lines: 20_000 };
/// Within this time after there is room again, an agent must go on.
const RESUME: Duration = Duration::from_secs(5);

/// An agent on a small disk.
struct Cramped {
    agent: Process,
    /// Something else that fills half of the disk.
    filler: PathBuf,
    health: SocketAddr,
}

impl Cramped {
    fn start(fleet: &Fleet, mqtt: SocketAddr, when_full: &str) -> Self {
        let disk = fleet.path("disk");
        std::fs::create_dir_all(&disk).expect("a folder");
        let health = free();
        let script = "mount -t tmpfs -o size=1m tmpfs \"$0\" && head -c 524288 /dev/zero > \"$0/filler\" && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script]).arg(&disk).arg(built("weir-agent"));
        command.args(fleet.agent_arguments(0, mqtt));
        command.envs(fleet.agent_settings(0)).envs([
            ("WEIR__SPOOL__DIRECTORY", disk.join("spool").display().to_string()),
            ("WEIR__SPOOL__SEGMENT_BYTES", "65536".to_owned()),
            ("WEIR__SPOOL__WHEN_FULL", when_full.to_owned()),
            ("WEIR__LIMITS__SAMPLE_BYTES_MAX", "4096".to_owned()),
            ("WEIR__HEALTH__LISTEN", health.to_string()),
        ]);
        let agent = Process::start_command("weir-agent", &mut command);
        let filler = PathBuf::from(format!("/proc/{}/root", agent.id()))
            .join(disk.strip_prefix("/").expect("an absolute path"))
            .join("filler");
        Self { agent, filler, health }
    }

    fn taken(&self) -> u64 {
        let page = Page::scrape(self.health);
        page.map_or(0, |page| page.sum("weir_agent_records_taken_total"))
    }

    /// Waits until no more is taken. Returns how much was.
    fn until_full(&mut self) -> u64 {
        self.agent.await_line("the spool's disk refuses");
        let (mut last, mut since) = (self.taken(), Instant::now());
        while since.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(50));
            let now = self.taken();
            if now > last {
                (last, since) = (now, Instant::now());
            }
        }
        assert!(self.agent.is_running() && last > 0);
        last
    }
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound")
}

#[test]
fn a_full_disk_holds_the_machine_back_until_there_is_room() {
    let _machine = crate::shared();
    let fleet = Fleet::new(&address(KAFKA), SIZE);
    let way = weir_e2e::way::Way::new(address(MQTT).parse().expect("an address"));
    way.proxy.close();
    let mut cramped = Cramped::start(&fleet, way.proxy.address(), "block");
    let full = cramped.until_full();
    std::fs::remove_file(&cramped.filler).expect("removed");
    let began = Instant::now();
    while cramped.taken() <= full {
        assert!(began.elapsed() < RESUME, "nothing is taken {RESUME:?} after there was room");
        std::thread::sleep(Duration::from_millis(20));
    }
    let resumed = began.elapsed();
    report(&format!("{{\"row\":\"R-1\",\"resumed_s\":{:.1}}}", resumed.as_secs_f64()));
    let bridge = fleet.bridge(address(MQTT).parse().expect("an address"), &[]);
    way.proxy.open();
    let Cramped { agent, .. } = cramped;
    let recovery = fleet.finish(vec![agent]);
    bridge.terminate();
    fleet.check("R-1 block", 0, recovery);
}

#[test]
fn a_full_disk_drops_the_oldest_where_the_settings_say_so() {
    let _machine = crate::shared();
    let fleet = Fleet::new(&address(KAFKA), SIZE);
    let mqtt = address(MQTT).parse().expect("an address");
    let way = weir_e2e::way::Way::new(mqtt);
    way.proxy.close();
    let mut cramped = Cramped::start(&fleet, way.proxy.address(), "drop-oldest");
    let began = Instant::now();
    while cramped.taken() < SIZE.lines as u64 {
        assert!(cramped.agent.is_running() && began.elapsed() < PATIENCE, "{}", cramped.taken());
        std::thread::sleep(Duration::from_millis(50));
    }
    let bridge = fleet.bridge(mqtt, &[]);
    way.proxy.open();
    let (status, printed) = cramped.agent.ended(PATIENCE);
    bridge.terminate();
    // What was dropped fails the run, and is said.
    assert_eq!(status.code(), Some(1), "{printed}");
    let outcome = fleet.outcome();
    let dropped = printed.split_once("dropped ").and_then(|(_, rest)| rest.split(' ').next());
    let dropped: usize = dropped.expect("a count").parse().expect("a number");
    report(&format!(
        "{{\"row\":\"R-1 drop-oldest\",\"dropped\":{dropped},\"lost\":{}}}",
        outcome.lost
    ));
    assert!(outcome.lost > 1_000);
    assert_eq!((outcome.lost, outcome.gaps), (dropped, dropped as u64), "{outcome:?}");
    assert_eq!((outcome.dup_effective, outcome.reordered), (0, 0));
}
