//! What a hostile client publishes, and what must come of each message. In the order of the lines here.

use weir_events::{Epoch, Gap, GapReason, Reason, Stamp};

/// What must come of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It is an event like any other.
    Event,
    /// A dead letter, once, for this reason.
    Dead(Reason),
    /// Nothing: it has come before, or will come again behind those that are missing.
    Passed,
}

/// One message.
#[derive(Clone)]
pub(super) struct Case {
    /// What it is, for whoever reads that it failed.
    pub(super) name: String,
    /// The MQTT topic, without its first level.
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    /// The text in the place of a stamp.
    pub(super) stamp: Option<String>,
    pub(super) fate: Fate,
}

use Fate::{Dead, Event, Passed};
use Reason::{
    BadStamp, BadText, BadTimestamp, EmptyPayload, FutureTimestamp, IdConflict, MalformedJson,
    MissingField, NotAnObject, NotFinite, OutOfRange, PayloadTooLarge, TargetNotPositive,
    UnknownTopic, WrongType,
};

/// The bridge's limit of a payload, which is its default.
const PAYLOAD_BYTES_MAX: usize = 65_536;
const GOOD: &str = r#"{"Fish_Id":"f","Species":"salmon","Length":88.25,"Height":19.5}"#;

pub(super) fn all() -> Vec<Case> {
    [payloads(), numbers(), fields(), topics(), stamps(), sequences(), sizes()].concat()
}

fn case(name: impl Into<String>, topic: &str, payload: impl Into<Vec<u8>>, fate: Fate) -> Case {
    Case { name: name.into(), topic: topic.to_owned(), payload: payload.into(), stamp: None, fate }
}

fn gate(name: &str, payload: impl Into<Vec<u8>>, fate: Fate) -> Case {
    case(name, "hall/hostile/measurement", payload, fate)
}

/// What is no JSON object.
fn payloads() -> Vec<Case> {
    let mut cases = vec![
        gate("nothing", "", Dead(EmptyPayload)),
        gate("control characters", "\0\u{1}", Dead(MalformedJson)),
        gate("no UTF-8", [0xFF, 0xFE, b'{', b'}'], Dead(MalformedJson)),
        gate("two objects", "{}{}", Dead(MalformedJson)),
        gate("a list", "[1,2]", Dead(NotAnObject)),
        gate("null", "null", Dead(NotAnObject)),
        gate("a text", "\"salmon\"", Dead(NotAnObject)),
        gate("deep", "[".repeat(10_000), Dead(MalformedJson)),
        gate("deep objects", "{\"a\":".repeat(10_000), Dead(MalformedJson)),
    ];
    // A good event, cut off at every byte.
    for end in 1..GOOD.len() {
        cases.push(gate(&format!("cut off after {end} bytes"), &GOOD[..end], Dead(MalformedJson)));
    }
    cases
}

/// What stands where a number should.
fn numbers() -> Vec<Case> {
    let length = |value: &str, fate| {
        let payload =
            format!(r#"{{"Fish_Id":"n","Species":"salmon","Length":{value},"Height":19.5}}"#);
        gate(&format!("Length {:.20}", value), payload, fate)
    };
    let weight = |value: &str, fate| {
        let payload = format!(r#"{{"Fish_Id":"n","Weight":{value}}}"#);
        case(format!("Weight {value}"), "hall/hostile/weight", payload, fate)
    };
    vec![
        length("NaN", Dead(MalformedJson)),
        length("Infinity", Dead(MalformedJson)),
        length("-inf", Dead(MalformedJson)),
        length("1e999", Dead(NotFinite)),
        length("-1e999", Dead(NotFinite)),
        length("1.7976931348623159e308", Dead(NotFinite)),
        length(&"9".repeat(400), Dead(NotFinite)),
        length("1.7976931348623157e308", Event),
        length("-0", Event),
        length("-0.0", Event),
        length("5e-324", Event),
        length("1e-999", Event),
        length("-5e-324", Dead(OutOfRange)),
        length("-1", Dead(OutOfRange)),
        length("\"30\"", Dead(WrongType)),
        length("true", Dead(WrongType)),
        length("[30]", Dead(WrongType)),
        length("{\"cm\":30}", Dead(WrongType)),
        length("null", Dead(MissingField)),
        weight("4.5", Event),
        weight("5e-324", Event),
        weight("0", Dead(TargetNotPositive)),
        weight("-0", Dead(TargetNotPositive)),
        weight("-3.5", Dead(TargetNotPositive)),
        weight("1e999", Dead(NotFinite)),
        weight("\"4.5\"", Dead(WrongType)),
    ]
}

/// What stands in the other fields.
fn fields() -> Vec<Case> {
    let event = |name: &str, fish: &str, species: &str, more: &str, fate| {
        let payload =
            format!(r#"{{"Fish_Id":{fish},"Species":{species},"Length":1,"Height":1{more}}}"#);
        gate(name, payload, fate)
    };
    let dated = |time: &str, fate| {
        event(time, "\"t\"", "\"salmon\"", &format!(r#","Timestamp":{time}"#), fate)
    };
    vec![
        gate("no field at all", "{}", Dead(MissingField)),
        gate("no length", r#"{"Fish_Id":"f","Species":"salmon","Height":1}"#, Dead(MissingField)),
        event("no name", "\"\"", "\"salmon\"", "", Dead(BadText)),
        event("a name with a slash", "\"a/b\"", "\"salmon\"", "", Dead(BadText)),
        event("a name with a NUL", "\"a\\u0000\"", "\"salmon\"", "", Dead(BadText)),
        event("a long name", &format!("{:?}", "x".repeat(257)), "\"salmon\"", "", Dead(BadText)),
        event("a name that is a fraction", "1.5", "\"salmon\"", "", Dead(WrongType)),
        event("a species that is a number", "\"f\"", "7", "", Dead(WrongType)),
        event("a long species", "\"f\"", &format!("{:?}", "x".repeat(65)), "", Dead(BadText)),
        dated("\"yesterday\"", Dead(BadTimestamp)),
        dated("\"2026-02-30T00:00:00Z\"", Dead(BadTimestamp)),
        dated("0", Dead(WrongType)),
        dated("\"2099-01-01T00:00:00Z\"", Dead(FutureTimestamp)),
        dated("\"1970-01-01T00:00:00Z\"", Event),
    ]
}

/// Topics that nobody knows.
fn topics() -> Vec<Case> {
    let unknown = |topic: &str| case(format!("topic {topic:.40}"), topic, GOOD, Dead(UnknownTopic));
    let long = format!("hall/{}/measurement", "x".repeat(10_000));
    vec![
        unknown("hall"),
        unknown("hall/measurement"),
        unknown("hall/hostile/colour"),
        unknown("hall/hostile/Measurement"),
        unknown("hall/hostile/measurement/"),
        unknown("hall//measurement"),
        unknown("//measurement"),
        unknown("hall/hostile/extra/measurement"),
        unknown(&"deep/".repeat(100)),
        case("a long device", &long, GOOD, Dead(BadText)),
    ]
}

/// The epoch of an opening of the hostile client's spool, if it had one.
fn epoch(number: u8) -> Epoch {
    Epoch::from_bytes([number; 16])
}

/// Stamps that cannot be read.
fn stamps() -> Vec<Case> {
    let one = epoch(1);
    let texts = [
        String::new(),
        "garbage".to_owned(),
        "1/1".to_owned(),
        // Another version of it might look like this.
        format!("v2:{one}/1/1"),
        format!("{one}/1/1/1"),
        format!("{one}/0/0"),
        format!("{one}/1/2"),
        format!("{one}/-1/1"),
        format!("{one}/18446744073709551615/1"),
        format!("{one}/99999999999999999999999/1"),
        "x".repeat(60_000),
    ];
    let unread = texts.into_iter().enumerate().map(|(number, text)| {
        // Each has an event of its own, so that dead letters are told apart.
        let payload = GOOD.replace("\"f\"", &number.to_string());
        let name = format!("stamp {text:.40}");
        Case { stamp: Some(text), ..gate(&name, payload, Dead(BadStamp)) }
    });
    unread.collect()
}

/// Numbers that repeat, skip, contradict each other and begin again; and gaps.
fn sequences() -> Vec<Case> {
    let numbered =
        |name: &str, device: &str, (opening, seq, floor): (u8, u64, u64), fish: &str, fate| {
            let stamp = Stamp { epoch: epoch(opening), seq, floor };
            let payload = GOOD.replace("\"f\"", &format!("{fish:?}"));
            let topic = format!("hall/{device}/measurement");
            Case { stamp: Some(stamp.to_string()), ..case(name, &topic, payload, fate) }
        };
    let gap = |name: &str, stamp: Option<u64>, payload: &[u8], fate| {
        let stamp = stamp.map(|seq| Stamp { epoch: epoch(4), seq, floor: 1 }.to_string());
        Case { stamp, ..case(name, "hall/gaps/gap", payload, fate) }
    };
    let three = Gap { count: 3, reason: GapReason::Quota }.to_bytes();
    let (a, b) = ("numbered", "counter");
    vec![
        numbered("the first", a, (1, 1, 1), "a1", Event),
        numbered("a repetition", a, (1, 1, 1), "a1", Passed),
        numbered("the second", a, (1, 2, 1), "a2", Event),
        numbered("too early", a, (1, 4, 1), "a4", Passed),
        numbered("what was missing", a, (1, 3, 1), "a3", Event),
        numbered("now in time", a, (1, 4, 1), "a4", Event),
        numbered("other bytes under a number", a, (1, 2, 1), "other", Dead(IdConflict)),
        numbered("from 1 again in a new epoch", a, (2, 1, 1), "b1", Event),
        numbered("the old epoch again", a, (1, 4, 1), "a4", Passed),
        numbered("the old epoch goes on", a, (1, 5, 1), "a5", Event),
        numbered("far ahead", a, (1, 1_000_000, 1), "far", Passed),
        numbered(
            "far ahead, and nothing is awaited below",
            b,
            (3, 1_000_000, 1_000_000),
            "c1",
            Event,
        ),
        numbered("the highest number", b, (3, u64::MAX - 1, u64::MAX - 1), "c2", Event),
        gap("a gap without a number", None, &three, Dead(BadStamp)),
        gap("a gap of nothing", Some(1), br#"{"count":0,"reason":"quota"}"#, Dead(BadStamp)),
        gap("a gap that is none", Some(2), b"x", Dead(BadStamp)),
        gap("a gap", Some(3), &three, Dead(Reason::Gap)),
    ]
}

/// Sizes around every limit.
fn sizes() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in [
        10 * 1024 - 1,
        10 * 1024,
        10 * 1024 + 1,
        PAYLOAD_BYTES_MAX - 1,
        PAYLOAD_BYTES_MAX,
        PAYLOAD_BYTES_MAX + 1,
        999_999,
        1_000_000,
        1_000_001,
    ] {
        let fate = |below| if size > PAYLOAD_BYTES_MAX { Dead(PayloadTooLarge) } else { below };
        cases.push(gate(&format!("an event of {size} bytes"), event_of(size), fate(Event)));
        let noise = vec![b'x'; size];
        cases.push(gate(&format!("{size} bytes of nothing"), noise, fate(Dead(MalformedJson))));
    }
    cases
}

/// A good event with a field that nobody knows, of this size.
fn event_of(size: usize) -> String {
    let note = GOOD.replace('}', r#","note":""#);
    let fill = size - note.len() - "\"}".len();
    format!("{note}{}\"}}", "x".repeat(fill))
}
