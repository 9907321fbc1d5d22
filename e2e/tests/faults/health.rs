//! Accounts: what agents and bridge tell about themselves adds up at every moment, while connections are cut, and in the end
//! is what Kafka has.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weir_e2e::fleet::{Fleet, Size, report};
use weir_e2e::metrics::{Page, any_port};
use weir_e2e::process::PATIENCE;
use weir_e2e::servers::{KAFKA, MQTT, address};
use weir_e2e::way::Way;

use crate::chaos::{Dice, seeds};

/// Scrapes a program again and again, and checks every page. It ends when `stop` is set.
struct Scraper {
    latest: Arc<Mutex<(Page, bool)>>,
    thread: JoinHandle<u64>,
}

impl Scraper {
    fn start(health: SocketAddr, check: fn(&Page)) -> Self {
        let latest = Arc::new(Mutex::new((Page::default(), false)));
        let shared = Arc::clone(&latest);
        let thread = std::thread::spawn(move || {
            let mut before = Page::default();
            for count in 1.. {
                let page = Page::scrape(health).expect("it answers as long as it runs");
                check(&page);
                assert_eq!(page.fallen_since(&before), None);
                before = page.clone();
                let mut latest = shared.lock().unwrap_or_else(PoisonError::into_inner);
                latest.0 = page;
                if latest.1 {
                    return count;
                }
                drop(latest);
                std::thread::sleep(Duration::from_millis(1));
            }
            unreachable!("the loop is without end");
        });
        Self { latest, thread }
    }

    fn page(&self) -> Page {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn until(&self, condition: impl Fn(&Page) -> bool) {
        let began = Instant::now();
        while !self.thread.is_finished() && !condition(&self.page()) {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.page());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// One scrape more. Returns how many there were, and the last page.
    fn stop(self) -> (u64, Page) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        let scrapes = self.thread.join().expect("every page was right");
        let page = self.latest.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        (scrapes, page)
    }
}

fn agent(page: &Page, name: &str) -> u64 {
    page.sum(&format!("weir_agent_{name}"))
}

fn bridge(page: &Page, name: &str) -> u64 {
    page.sum(&format!("weir_bridge_{name}"))
}

fn agent_adds_up(page: &Page) {
    let sum = |names: &[&str]| names.iter().map(|name| agent(page, name)).sum::<u64>();
    let came = sum(&["records_found_total", "records_taken_total"]);
    let went = sum(&["records_acked_total", "records_dropped_total", "spool_records"]);
    assert_eq!(came, went, "{page:?}");
    let sent_once = agent(page, "messages_sent_total") - agent(page, "messages_resent_total");
    assert!(sent_once <= came, "{page:?}");
    assert!(agent(page, "messages_acknowledged_total") <= agent(page, "messages_sent_total"));
    assert!(agent(page, "unconfirmed_records") <= agent(page, "spool_records"), "{page:?}");
}

fn bridge_adds_up(page: &Page) {
    let messages = |names: &[&str]| {
        names.iter().map(|name| bridge(page, &format!("messages_{name}"))).sum::<u64>()
    };
    let handled =
        ["forwarded_total", "dead_lettered_total", "repeated_total", "out_of_order_total"];
    let done = messages(&handled);
    assert_eq!(
        messages(&["received_total"]),
        done + messages(&["returned_total", "in_flight"]),
        "{page:?}"
    );
    assert!(messages(&["acknowledged_total"]) <= done, "{page:?}");
}

#[test]
fn the_accounts_balance_at_every_scrape() {
    let _machine = crate::shared();
    for seed in seeds() {
        let broker: SocketAddr = address(MQTT).parse().expect("an address");
        let (to_agents, to_bridge) = (Way::new(broker), Way::new(broker));
        let size = Size::or(3, 4_000);
        let fleet = Fleet::new(&address(KAFKA), size);
        let mut the_bridge = fleet.bridge(to_bridge.proxy.address(), &[any_port()]);
        let of_bridge = Scraper::start(the_bridge.health(), bridge_adds_up);
        let start =
            |device| fleet.agent_that_stays(device, to_agents.proxy.address(), &[any_port()]);
        let mut agents: Vec<_> = (0..size.devices).map(start).collect();
        let of_agents: Vec<_> =
            agents.iter_mut().map(|agent| Scraper::start(agent.health(), agent_adds_up)).collect();

        let mut dice = Dice::new(seed);
        let lines = size.lines as u64;
        let is_done = |page: &Page| agent(page, "records_acked_total") >= lines;
        let mut cuts = 0;
        while cuts < 20 && !of_agents.iter().all(|agent| is_done(&agent.page())) {
            std::thread::sleep(dice.pause(50, 300));
            cuts += 1;
            match dice.below(4) {
                0 => to_bridge.proxy.cut(),
                1 => {
                    to_agents.proxy.close();
                    std::thread::sleep(dice.pause(50, 300));
                    to_agents.proxy.open();
                }
                _ => to_agents.proxy.cut(),
            }
        }
        of_agents.iter().for_each(|agent| agent.until(is_done));
        of_bridge.until(|page| bridge(page, "messages_in_flight") == 0);

        let (mut scrapes, bridge_page) = of_bridge.stop();
        let (mut sent_once, mut connections) = (0, 0);
        for scraper in of_agents {
            let (count, page) = scraper.stop();
            scrapes += count;
            for (name, expected) in [
                ("records_found_total", 0),
                ("records_taken_total", lines),
                ("records_acked_total", lines),
                ("records_dropped_total", 0),
                ("spool_records", 0),
            ] {
                assert_eq!(agent(&page, name), expected, "{name}: {page:?}");
            }
            sent_once +=
                agent(&page, "messages_sent_total") - agent(&page, "messages_resent_total");
            connections += agent(&page, "connections_total");
        }
        for agent in agents {
            agent.terminate();
        }
        the_bridge.terminate();
        let in_kafka = fleet.records(&[&fleet.topics().measurement]).len() as u64;
        let forwarded = bridge(&bridge_page, "messages_forwarded_total");
        report(&format!(
            "{{\"row\":\"accounts\",\"seed\":{seed},\"scrapes\":{scrapes},\"cuts\":{cuts},\"sent\":{sent_once},\
             \"forwarded\":{forwarded},\"in_kafka\":{in_kafka}}}"
        ));
        assert_eq!(sent_once, lines * size.devices as u64);
        assert_eq!(
            (forwarded, bridge(&bridge_page, "messages_dead_lettered_total")),
            (in_kafka, 0)
        );
        assert!(bridge(&bridge_page, "subscriptions_total") <= to_bridge.proxy.connections());
        assert!(connections <= to_agents.proxy.connections());
        fleet.check("accounts", seed, Duration::ZERO);
    }
}
