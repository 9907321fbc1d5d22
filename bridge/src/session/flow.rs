//! What happens to single messages, reports and confirmations within a session.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use bytes::Bytes;
use tokio::time::Instant;
use weir_events::{EventTime, Rejection, Stamp, TraceContext, headers};
use weir_kafka::Class;
use weir_mqtt::{AckToken, Acks, Incoming, Subscriber};
use weir_service::crash_point;
use weir_service::traces::{Stage, Step};

use super::{BATCH, Bridge, End};
use crate::counters::Snapshot;
use crate::kafka::{Outlet, Parcel, Report};
use crate::ledger::{Answer, Verdict};
use crate::relay::{Effect, Event, Passed, Receipt};
use crate::transform::{Message, Record};

/// What a message takes beside its bytes: entries of queues, and librdkafka's.
const MESSAGE_BYTES: usize = 512;

/// How often a conflict is told while it lasts.
const ALARM_PAUSE: Duration = Duration::from_secs(10);

impl Bridge {
    /// Sends a message on its way, or passes over it if it is known; hands it back if there is no clock to judge
    /// it by.
    pub(super) fn received(
        &mut self,
        message: Incoming,
        acks: &Acks,
        outlet: &mut Outlet,
    ) -> Option<Incoming> {
        let Some(at) = self.plausible_now() else {
            return Some(message);
        };
        let now = self.now();
        crash_point("bridge-received");
        let Incoming { generation, topic, payload, properties, token } = message;
        let stamp = property(&properties, Stamp::PROPERTY);
        let reading = self.transform.read(Message { topic: &topic, payload: &payload, stamp, at });
        let bytes = topic.len() + MESSAGE_BYTES;
        let receipt = |bytes| Receipt { generation, token, bytes, at: now };
        let verdict = reading.arrival().map(|arrival| {
            let answer_to = || self.transform.routes().answer_topic(reading.levels());
            self.ledger.receive(&reading.device(), arrival, now, answer_to)
        });
        let (mut record, id, claim) = match verdict {
            None => (self.transform.record(&reading), None, None),
            Some(Verdict::New(claim)) => {
                (self.transform.record(&reading), reading.id(), Some(claim))
            }
            Some(Verdict::Conflict) => {
                self.counts.conflicts += 1;
                let alarm = self.alarmed.is_none_or(|at| now >= at + ALARM_PAUSE);
                if alarm {
                    let (stamp, conflicts) = (stamp.unwrap_or_default(), self.counts.conflicts);
                    let told = "two payloads under one number: do two machines run with one spool?";
                    tracing::error!(topic, stamp, conflicts, told);
                    self.alarmed = Some(now);
                }
                (self.transform.conflict(&reading), None, None)
            }
            Some(Verdict::Repetition) => {
                self.pass(receipt(bytes), Passed::Repeated, acks);
                return None;
            }
            Some(Verdict::TooEarly) => {
                self.pass(receipt(bytes), Passed::OutOfOrder, acks);
                return None;
            }
        };
        let refused = record.refused;
        if let Some(reason) = refused {
            tracing::debug!(topic, %reason, "refused a message");
        }
        let step = self.begin(&mut record, property(&properties, headers::TRACE));
        // A dead letter never becomes another one, so that its payload need not be kept.
        let payload = if refused.is_some() { Bytes::new() } else { payload };
        let bytes = bytes + payload.len() + record.bytes();
        let ticket = self.relay.receive(receipt(bytes), refused);
        let is_topic_templated = record.is_topic_templated;
        let mqtt_topic = topic;
        let parcel = Parcel { ticket, mqtt_topic, payload, id, claim, step, is_topic_templated };
        outlet.push(parcel, record);
        crash_point("bridge-produced");
        None
    }

    /// Begins what is told of a message, `told` being what it says about its trace. What it says cannot be read where a
    /// machine wrote it that knows no traces: then it says nothing.
    fn begin(&self, record: &mut Record, told: Option<&str>) -> Step {
        let told: Option<TraceContext> = told.and_then(|text| text.parse().ok());
        // Not each id is read once more for nobody.
        let step = match self.tracer.is_on().then(|| record.id()).flatten() {
            Some(id) => self.tracer.begin(Stage::Forward, id, told, SystemTime::now()),
            None => Step::untraced(told),
        };
        record.headers.extend(trace_header(&step));
        step
    }

    fn pass(&mut self, receipt: Receipt<AckToken>, passed: Passed, acks: &Acks) {
        let mut effects = Vec::new();
        self.relay.pass(receipt, passed, &mut effects);
        for effect in effects {
            if let Effect::Acknowledge(token) = effect {
                acks.ack(token);
            }
        }
    }

    /// Applies a report and those that have come behind it. An error means that no other record would fare better.
    pub(super) fn all_reported(
        &mut self,
        first: Report,
        acks: &Acks,
        outlet: &mut Outlet,
    ) -> anyhow::Result<Option<End>> {
        let mut report = first;
        for taken in 1.. {
            if let Some(end) = self.reported(report, acks, outlet)? {
                return Ok(Some(end));
            }
            // A report that is taken has to be applied.
            if taken == BATCH {
                break;
            }
            let Some(next) = outlet.ready_report() else { break };
            report = next;
        }
        Ok(None)
    }

    fn reported(
        &mut self,
        report: Report,
        acks: &Acks,
        outlet: &mut Outlet,
    ) -> anyhow::Result<Option<End>> {
        let Report { parcel, result } = report;
        if result.is_ok() {
            self.tracer.end(parcel.step, || {
                vec![
                    ("messaging.system", "mqtt".into()),
                    ("messaging.operation.type", "process".into()),
                    ("messaging.destination.name", parcel.mqtt_topic.clone().into()),
                    ("weir.mqtt.broker", (&*self.broker.name).into()),
                ]
            });
        }
        let (event, cause) = match result {
            Ok(()) => (Event::Delivered(parcel.ticket), String::new()),
            // Whoever chose the MQTT topic chose the Kafka topic: that must not hold up the others.
            Err(error) if parcel.is_topic_templated && error.is_unknown_topic() => {
                (Event::Rejected(parcel.ticket), error.to_string())
            }
            Err(error) => match error.class() {
                Class::Reject => (Event::Rejected(parcel.ticket), error.to_string()),
                Class::Retry => (Event::Failed(parcel.ticket), error.to_string()),
                Class::Fatal => {
                    return Err(anyhow!("write to Kafka ({}): {error}", outlet.last_error()));
                }
            },
        };
        crash_point("bridge-delivered");
        let mut effects = Vec::new();
        let counts = self.relay.apply(event, &mut effects);
        if let (true, Event::Delivered(_), Some(claim)) = (counts, event, parcel.claim) {
            self.ledger.delivered(claim, self.now());
        }
        let mut end = None;
        for effect in effects {
            match effect {
                Effect::Acknowledge(token) => {
                    acks.ack(token);
                    crash_point("bridge-acked");
                }
                Effect::ProduceDeadLetter(_) => self.set_aside(&parcel, &cause, outlet),
                Effect::Reset => {
                    let reason = outlet.last_error();
                    tracing::warn!(
                        error = cause,
                        reason,
                        "Kafka is not taking records; starting anew"
                    );
                    end = Some(End::Reset);
                }
                Effect::Halt(_) => {
                    let source = &parcel.mqtt_topic;
                    return Err(anyhow!("write a dead letter for {source:?} to Kafka: {cause}"));
                }
            }
        }
        Ok(end)
    }

    /// Sends a dead letter in the place of a record that Kafka refuses.
    fn set_aside(&self, parcel: &Parcel, cause: &str, outlet: &mut Outlet) {
        let Parcel { ticket, mqtt_topic, payload, id, claim, step, .. } = parcel;
        let (ticket, id, claim) = (*ticket, *id, *claim);
        let rejection = Rejection::refused_by_kafka(cause);
        let mut record = self.transform.dead_letter(mqtt_topic, payload, id, &rejection);
        let (mqtt_topic, payload) = (mqtt_topic.clone(), Bytes::new());
        record.headers.extend(trace_header(step));
        let (step, is_topic_templated) = (*step, false);
        let parcel = Parcel { ticket, mqtt_topic, payload, id, claim, step, is_topic_templated };
        outlet.push(parcel, record);
    }

    /// When the next confirmation is due; none while there is no connection to send it on.
    pub(super) fn next_answer(&self) -> Option<Instant> {
        let due = self.ledger.next_answer().filter(|_| self.connected)?;
        Some(self.begin + due)
    }

    pub(super) fn answer(&mut self, subscriber: &Subscriber) {
        self.answer_by(self.now(), subscriber);
    }

    /// Sends the confirmations that are due by then.
    pub(super) fn answer_by(&mut self, by: Duration, subscriber: &Subscriber) {
        if !self.connected || self.ledger.next_answer().is_none_or(|due| due > by) {
            return;
        }
        let mut answers = Vec::new();
        self.ledger.answer(by, &mut answers);
        for Answer { topic, confirmation } in answers {
            // One that is lost is given again when the agent asks again, by sending again.
            if subscriber.publish(&topic, confirmation.to_bytes().into()) {
                self.counts.confirmations += 1;
                crash_point("bridge-confirmed");
            }
        }
    }

    pub(super) fn tell(&self) {
        let snapshot = Snapshot {
            messages: *self.relay.tally(),
            in_flight_bytes: self.relay.bytes(),
            senders: self.ledger.senders(),
            ..self.counts
        };
        let oldest = self.relay.oldest().map(|at| (self.begin + at).into_std());
        self.counters.set(&self.broker.name, snapshot, oldest);
        self.progress.wake();
    }

    pub(super) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn plausible_now(&self) -> Option<EventTime> {
        let now = self.clock.now();
        (now >= self.config.limits.clock_not_before).then_some(now)
    }
}

fn trace_header(step: &Step) -> Option<(Cow<'static, str>, String)> {
    step.context().map(|trace| (headers::TRACE.into(), trace.to_string()))
}

fn property<'a>(properties: &'a [(String, String)], name: &str) -> Option<&'a str> {
    properties.iter().find(|(named, _)| named == name).map(|(_, text)| text.as_str())
}
