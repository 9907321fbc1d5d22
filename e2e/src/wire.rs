//! Just enough of MQTT 5 to see on the wire what a client acknowledges and publishes.

/// What a client has sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// It acknowledges a message.
    PubAck,
    /// It publishes one.
    Publish {
        /// The topic.
        topic: String,
        /// The payload.
        payload: Vec<u8>,
    },
    /// Anything else: the type's number.
    Other(u8),
}

/// Cuts the bytes of one connection into packets.
#[derive(Default, Debug)]
pub struct Packets {
    rest: Vec<u8>,
}

impl Packets {
    /// The packets that are complete with these bytes.
    ///
    /// # Panics
    /// If they are no MQTT.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Packet> {
        self.rest.extend_from_slice(bytes);
        let mut packets = Vec::new();
        while let Some((length, size)) = self.rest.get(1..).and_then(varint) {
            let end = 1 + size + length;
            if self.rest.len() < end {
                break;
            }
            let packet: Vec<u8> = self.rest.drain(..end).collect();
            packets.push(read(packet[0], &packet[1 + size..]));
        }
        packets
    }
}

fn read(first: u8, body: &[u8]) -> Packet {
    match first >> 4 {
        3 => {
            let (topic, rest) =
                body[2..].split_at(usize::from(u16::from_be_bytes([body[0], body[1]])));
            // With QoS 1 or 2 there is a packet id.
            let rest = if first & 0b0110 == 0 { rest } else { &rest[2..] };
            let (properties, size) = varint(rest).expect("properties");
            let topic = String::from_utf8(topic.to_vec()).expect("UTF-8");
            Packet::Publish { topic, payload: rest[size + properties..].to_vec() }
        }
        4 => Packet::PubAck,
        other => Packet::Other(other),
    }
}

/// A number of MQTT's, of seven bits in each byte, and how many bytes it takes; none if more must come.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (place, byte) in bytes.iter().enumerate() {
        assert!(place < 4, "a length of MQTT has four bytes at most");
        value |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, place + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_however_the_bytes_come() {
        let long = vec![b'x'; 200];
        let mut bytes = vec![0x40, 2, 0, 1, 0xC0, 0];
        // QoS 0: topic "a", one property of two bytes, 200 bytes of payload; and QoS 1 with a packet id.
        bytes.extend([0x30, 0xCE, 0x01, 0, 1, b'a', 2, 1, 1]);
        bytes.extend(&long);
        bytes.extend([0x32, 7, 0, 1, b'b', 0, 9, 0, b'y']);
        let publish = |topic: &str, payload: &[u8]| Packet::Publish {
            topic: topic.into(),
            payload: payload.to_vec(),
        };
        let expected = [Packet::PubAck, Packet::Other(12), publish("a", &long), publish("b", b"y")];
        assert_eq!(Packets::default().push(&bytes), expected);
        let mut packets = Packets::default();
        let singly: Vec<_> = bytes.iter().flat_map(|byte| packets.push(&[*byte])).collect();
        assert_eq!(singly, expected);
    }
}
