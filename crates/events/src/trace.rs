//! Which trace an event belongs to: [W3C Trace Context](https://www.w3.org/TR/trace-context/), the field `traceparent`.
//!
//! It travels as a user property of MQTT messages and as a header of Kafka records, so that Weir's stages follow the
//! trace of a machine that has one, and others follow Weir's. A trace that Weir begins has the event's id, and the spans of its
//! stages have ids computed from it: what is done again is reported under the same ids.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::id::EventId;

/// The length of a `traceparent` of version 0.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;

/// The place in a trace: the span that caused what is described.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

/// A text that is no `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "read a traceparent: it has the form 00-<32 hexadecimal digits>-<16>-<2>, neither all zero"
)]
pub struct TraceContextError;

impl TraceContext {
    /// The stage of an event, as the first of its trace or below `parent`.
    pub fn of_stage(event: EventId, stage: &str, parent: Option<Self>) -> Self {
        let trace = parent.map_or(*event.as_bytes(), |parent| parent.trace);
        let digest = Sha256::new().chain_update(event.as_bytes()).chain_update(stage).finalize();
        let mut span = [0; 8];
        span.copy_from_slice(&digest[..8]);
        // All zero means that there is none.
        span[7] |= u8::from(span == [0; 8]);
        Self { trace, span, flags: parent.map_or(SAMPLED, |parent| parent.flags) }
    }

    /// The trace.
    pub fn trace(&self) -> [u8; 16] {
        self.trace
    }

    /// The span.
    pub fn span(&self) -> [u8; 8] {
        self.span
    }

    /// Whether whoever began the trace wants its spans to be kept.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "00-{}-{}-{flags:02x}", hex::encode(trace), hex::encode(span))
    }
}

impl FromStr for TraceContext {
    type Err = TraceContextError;

    fn from_str(text: &str) -> Result<Self, TraceContextError> {
        let bytes = text.as_bytes();
        // What a later version appends is passed over, as the recommendation says.
        let (head, rest) = bytes.split_at_checked(LENGTH).ok_or(TraceContextError)?;
        let version = number::<1>(&head[..2])?[0];
        let is_whole = if version == 0 { rest.is_empty() } else { matches!(rest, [] | [b'-', ..]) };
        let has_dashes = [2, 35, 52].iter().all(|&at| head[at] == b'-');
        if version == u8::MAX || !is_whole || !has_dashes {
            return Err(TraceContextError);
        }
        let (trace, span) = (number(&head[3..35])?, number(&head[36..52])?);
        let [flags] = number(&head[53..])?;
        if trace == [0; 16] || span == [0; 8] {
            return Err(TraceContextError);
        }
        Ok(Self { trace, span, flags: flags & SAMPLED })
    }
}

/// Hexadecimal digits, lower case alone.
fn number<const N: usize>(digits: &[u8]) -> Result<[u8; N], TraceContextError> {
    let mut number = [0; N];
    if digits.iter().any(u8::is_ascii_uppercase) {
        return Err(TraceContextError);
    }
    hex::decode_to_slice(digits, &mut number).map_err(|_| TraceContextError)?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_recommendation_is_read() {
        let context: TraceContext = EXAMPLE.parse().expect("valid");
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), EXAMPLE);
        let later = format!("cc-{}-what-ever", &EXAMPLE[3..]);
        assert_eq!(later.parse(), Ok(context));
        let unsampled = EXAMPLE.replace("-01", "-00").parse::<TraceContext>().expect("valid");
        assert!(!unsampled.is_sampled());
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473ü-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(TraceContextError), "{text}");
        }
    }

    #[test]
    fn a_stage_is_below_its_cause_and_always_the_same() {
        let event = EventId::from_bytes([7; 16]);
        let root = TraceContext::of_stage(event, "send", None);
        assert_eq!(root.trace(), *event.as_bytes());
        assert_eq!(root, TraceContext::of_stage(event, "send", None));
        let next = TraceContext::of_stage(event, "forward", Some(root));
        assert_eq!(next.trace(), root.trace());
        assert_ne!(next.span(), root.span());
        let foreign: TraceContext = EXAMPLE.parse().expect("valid");
        let next = TraceContext::of_stage(event, "forward", Some(foreign));
        assert_eq!(next.trace(), foreign.trace());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,70}") {
            if let Ok(context) = text.parse::<TraceContext>() {
                prop_assert_eq!(context.to_string().parse(), Ok(context));
            }
        }

        #[test]
        fn what_is_written_is_read(trace in any::<[u8; 16]>(), stage in "[a-z]{0,8}") {
            prop_assume!(trace != [0; 16]);
            let context = TraceContext::of_stage(EventId::from_bytes(trace), &stage, None);
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }
    }
}
