//! What Kafka's transactions would cost a role that reads, computes and writes: records in a second, against what Weir does
//! (deterministic ids, at least once, offsets committed in the background). The reasons are in decision 7.
//!
//! ```sh
//! cargo run --release -p weir-kafka --example transactions -- localhost:9092 100000
//! ```
//!
//! Both sides read the same topic and write a record for each, for six seconds or until there are no more. They take turns, so that
//! what else happens on the machine meets both.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

/// Records in a transaction; 0 stands for no transactions.
const SIZES: [usize; 5] = [0, 10, 100, 500, 5_000];
/// Times that each is measured.
const ROUNDS: usize = 3;
/// What Weir's consumer hands to a role at most.
const BATCH: usize = 500;
const PARTITIONS: i32 = 4;
/// A run ends after this time, whatever it has done.
const RUN_MAX: Duration = Duration::from_secs(6);
const PAYLOAD: &[u8] = &[b'x'; 200];
const TIMEOUT: Duration = Duration::from_secs(30);

type Client = ThreadedProducer<DefaultProducerContext>;

#[expect(clippy::print_stdout, reason = "an example that prints figures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let brokers = arguments.next().ok_or("usage: transactions HOST:PORT [RECORDS]")?;
    let records: usize = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let name = format!("transactions-{}", std::process::id());
    let bench =
        Bench { brokers, records, input: format!("{name}-in"), output: format!("{name}-out") };
    bench.prepare()?;
    let mut figures: HashMap<usize, Vec<(f64, f64)>> = HashMap::new();
    for round in 0..ROUNDS {
        for size in SIZES {
            let run = bench.run(size, &format!("{name}-{round}-{size}"))?;
            figures.entry(size).or_default().push(run);
        }
    }
    let median = |size: usize, which: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = figures[&size].iter().map(which).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let base = median(0, |run| run.0);
    println!("records a transaction   records/s   of the default   commit ms (median)");
    for size in SIZES {
        let label = if size == 0 { "default (ids)".to_owned() } else { size.to_string() };
        let (rate, commit) = (median(size, |run| run.0), median(size, |run| run.1));
        println!("{label:>21}   {rate:>9.0}   {:>14.2}   {commit:>18.1}", rate / base);
    }
    Ok(())
}

struct Bench {
    brokers: String,
    records: usize,
    input: String,
    output: String,
}

impl Bench {
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    fn producer(&self, id: Option<&str>) -> KafkaResult<Client> {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("compression.type", "lz4");
        if let Some(id) = id {
            config.set("transactional.id", id).set("transaction.timeout.ms", "15000");
        }
        config.create()
    }

    fn prepare(&self) -> Result<(), Box<dyn std::error::Error>> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let topic = |name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let topics = [topic(&self.input), topic(&self.output)];
        runtime.block_on(admin.create_topics(&topics, &AdminOptions::new()))?;
        let producer = self.producer(None)?;
        for number in 0..self.records {
            send(&producer, &self.input, &number.to_string())?;
        }
        Ok(producer.flush(TIMEOUT)?)
    }

    /// Reads everything and writes as much. Returns records in a second, and the median of a commit in ms.
    fn run(&self, size: usize, group: &str) -> KafkaResult<(f64, f64)> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&self.input, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let producer = self.producer((size > 0).then_some(group))?;
        if size > 0 {
            producer.init_transactions(TIMEOUT)?;
        }
        // The first records come when the consumer has found its way.
        let (mut began, mut read) = (None, 0);
        let (mut positions, mut commits) = (HashMap::new(), Vec::new());
        let batch = if size == 0 { BATCH } else { size };
        while read < self.records && began.is_none_or(|began: Instant| began.elapsed() < RUN_MAX) {
            let mut taken = 0;
            while taken < batch && read < self.records {
                let Some(message) = consumer.poll(TIMEOUT) else { break };
                let message = message?;
                began.get_or_insert_with(Instant::now);
                if taken == 0 && size > 0 {
                    producer.begin_transaction()?;
                }
                send(&producer, &self.output, &read.to_string())?;
                positions.insert(message.partition(), message.offset() + 1);
                taken += 1;
                read += 1;
            }
            let committing = Instant::now();
            let mut offsets = TopicPartitionList::new();
            for (partition, next) in &positions {
                offsets.add_partition_offset(&self.input, *partition, Offset::Offset(*next))?;
            }
            // Flushing by itself waits in steps of 100 ms.
            while producer.in_flight_count() > 0 {
                std::thread::sleep(Duration::from_micros(200));
            }
            if size == 0 {
                consumer.commit(&offsets, CommitMode::Async)?;
            } else {
                let metadata = consumer.group_metadata().expect("a group");
                producer.send_offsets_to_transaction(&offsets, &metadata, TIMEOUT)?;
                producer.commit_transaction(TIMEOUT)?;
            }
            commits.push(committing.elapsed().as_secs_f64() * 1000.0);
        }
        consumer.commit_consumer_state(CommitMode::Sync).ok();
        let seconds = began.expect("records").elapsed().as_secs_f64();
        commits.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "few records")]
        Ok((read as f64 / seconds, commits[commits.len() / 2]))
    }
}

fn send(producer: &Client, topic: &str, key: &str) -> KafkaResult<()> {
    loop {
        match producer.send(BaseRecord::to(topic).key(key).payload(PAYLOAD)) {
            Ok(()) => return Ok(()),
            Err((error, _)) if is_full(&error) => std::thread::sleep(Duration::from_millis(1)),
            Err((error, _)) => return Err(error),
        }
    }
}

fn is_full(error: &rdkafka::error::KafkaError) -> bool {
    error.rdkafka_error_code() == Some(rdkafka::error::RDKafkaErrorCode::QueueFull)
}
