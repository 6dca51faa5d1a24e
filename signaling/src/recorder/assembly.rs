//! Pictures out of the packets of one stream, which come in any order, late, or never. What goes on is decodable: after a
//! picture that misses a packet nothing is given until a key frame.
//!
//! Pure: times are ticks of 90 kHz since the recording began.

use super::depacketize::{self, Depacketizer, Picture};
use guildhall_sfu::video::Codec;
use std::collections::BTreeMap;

/// How long a packet is waited for: the media engine asks eight times in two thirds of a second.
const PATIENCE: u64 = 90_000;

/// Packets of one stream that wait, and their bytes: more than a second of a screen in motion and one large key frame. Beyond:
/// all are left out until a key frame.
const WAITING: usize = 2_048;
const WAITING_BYTES: usize = 2 * 1024 * 1024;

/// A number so far from the expected one is another stream's: its publisher began anew.
const FAR: u64 = 1 << 15;

/// A packet as it arrived.
#[derive(Clone, Debug)]
pub struct Packet {
    pub index: u64,
    /// RTP time.
    pub timestamp: u32,
    /// The last of its picture.
    pub marker: bool,
    pub at: u64,
    pub payload: Box<[u8]>,
}

/// A whole picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    pub timestamp: u32,
    /// When its first packet arrived.
    pub at: u64,
    pub picture: Picture,
}

pub struct Assembly {
    depacketizer: Depacketizer,
    /// The packet that comes next; `None`: a key frame must.
    next: Option<u64>,
    /// From here on things are left out.
    lost_since: Option<u64>,
    lost: u32,
    waiting: BTreeMap<u64, Packet>,
    bytes: usize,
}

impl Assembly {
    pub fn new(codec: Codec) -> Self {
        Self { depacketizer: Depacketizer::new(codec), next: None, lost_since: None, lost: 0, waiting: BTreeMap::new(), bytes: 0 }
    }

    pub fn codec(&self) -> Codec {
        self.depacketizer.codec
    }

    /// Whether nothing is given until a key frame comes.
    pub fn needs_key_frame(&self) -> bool {
        self.next.is_none()
    }

    /// How many packets are missing or were left out, since the last call.
    pub fn take_lost(&mut self) -> u32 {
        std::mem::take(&mut self.lost)
    }

    pub fn push(&mut self, packet: Packet) {
        if let Some(next) = self.next {
            if packet.index.abs_diff(next) > FAR {
                self.waiting.clear();
                (self.bytes, self.next, self.lost_since) = (0, None, None);
            } else if packet.index < next {
                // It came twice, or was given up.
                return;
            }
        }
        let len = packet.payload.len();
        if self.waiting.len() >= WAITING || self.bytes + len > WAITING_BYTES {
            self.lost_since = self.lost_since.or(self.next).or_else(|| self.waiting.first_key_value().map(|(index, _)| *index));
            self.waiting.clear();
            (self.bytes, self.next) = (0, None);
        }
        if let Some(before) = self.waiting.insert(packet.index, packet) {
            self.bytes -= before.payload.len();
        }
        self.bytes += len;
    }

    /// The next picture, if it is whole by now.
    pub fn pop(&mut self, now: u64) -> Option<Whole> {
        loop {
            let Some(next) = self.next else {
                self.find_key_frame(now)?;
                continue;
            };
            let Some((last, content)) = self.end_of(next) else {
                let oldest = self.waiting.first_key_value()?.1.at;
                if now.saturating_sub(oldest) <= PATIENCE {
                    return None;
                }
                // What came of the picture goes too: it may be a key frame, and would be found again.
                let whole = (next..).take_while(|index| self.waiting.contains_key(index)).count() as u64;
                (next..next + whole).for_each(|index| _ = self.remove(index));
                self.miss(next);
                continue;
            };
            let packets: Vec<Packet> = (next..=last).filter_map(|index| self.remove(index)).collect();
            self.next = Some(last + 1);
            if !content {
                continue;
            }
            let payloads = packets.iter().map(|packet| &*packet.payload).filter(|payload| !payload.is_empty());
            match self.depacketizer.picture(payloads) {
                Some(picture) => {
                    let timestamp = packets.iter().find(|packet| !packet.payload.is_empty())?.timestamp;
                    let at = packets.iter().map(|packet| packet.at).min()?;
                    return Some(Whole { timestamp, at, picture });
                }
                None => self.miss(next),
            }
        }
    }

    /// The last packet of the picture that begins here, and whether there is anything in it; `None`: it is not whole.
    fn end_of(&self, next: u64) -> Option<(u64, bool)> {
        let mut timestamp = None;
        for index in next.. {
            let packet = self.waiting.get(&index)?;
            if timestamp.is_some_and(|timestamp| timestamp != packet.timestamp) {
                // The mark of its end is missing, and nothing else.
                return Some((index - 1, true));
            }
            if packet.payload.is_empty() {
                // It only filled the publisher's network; within a picture the picture goes on.
                if timestamp.is_none() {
                    return Some((index, false));
                }
            } else {
                timestamp = Some(packet.timestamp);
            }
            if packet.marker && timestamp.is_some() {
                return Some((index, true));
            }
        }
        None
    }

    /// Goes to the next key frame, if one has begun to come.
    fn find_key_frame(&mut self, now: u64) -> Option<()> {
        let begins = |packet: &&Packet| depacketize::begins(self.depacketizer.codec, &packet.payload);
        let Some(key) = self.waiting.values().find(begins).map(|packet| packet.index) else {
            // What lies behind a key frame that is yet to come may have overtaken it.
            while let Some((&index, packet)) = self.waiting.first_key_value()
                && now.saturating_sub(packet.at) > PATIENCE
            {
                self.lost_since.get_or_insert(index);
                self.remove(index);
            }
            return None;
        };
        while let Some((&index, _)) = self.waiting.first_key_value()
            && index < key
        {
            self.remove(index);
        }
        let lost = self.lost_since.take().map_or(0, |since| key.saturating_sub(since));
        self.lost = self.lost.saturating_add(u32::try_from(lost).unwrap_or(u32::MAX));
        self.next = Some(key);
        Some(())
    }

    fn miss(&mut self, from: u64) {
        self.lost_since.get_or_insert(from);
        self.next = None;
    }

    fn remove(&mut self, index: u64) -> Option<Packet> {
        let packet = self.waiting.remove(&index)?;
        self.bytes -= packet.payload.len();
        Some(packet)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Packets of a VP8 picture: its number is in it, so that it is known again. Key frames are 160x90.
    pub fn picture(first: u64, number: u32, is_key: bool, packets: u64, at: u64) -> Vec<Packet> {
        (0..packets)
            .map(|place| {
                let mut payload = vec![if place == 0 { 0x10 } else { 0 }];
                match (place == 0, is_key) {
                    (true, true) => payload.extend([0x10, 0, 0, 0x9D, 0x01, 0x2A, 160, 0, 90, 0]),
                    (true, false) => payload.push(0x11),
                    _ => {}
                }
                payload.extend(number.to_be_bytes());
                let marker = place + 1 == packets;
                // Its clock wraps after a second.
                let timestamp = u32::MAX.wrapping_sub(90_000).wrapping_add(3_000 * number);
                Packet { index: first + place, timestamp, marker, at, payload: payload.into() }
            })
            .collect()
    }

    fn number(whole: &Whole) -> u32 {
        u32::from_be_bytes(*whole.picture.bytes.last_chunk().expect("its number"))
    }

    /// What comes of packets that each arrive when they say, and the numbers of what came with the packets that were lost.
    fn check(packets: Vec<Packet>, until: u64) -> (Vec<u32>, u32) {
        let mut assembly = Assembly::new(Codec::Vp8);
        let mut pictures = Vec::new();
        for packet in packets {
            let now = packet.at;
            assembly.push(packet);
            pictures.extend(std::iter::from_fn(|| assembly.pop(now)));
        }
        pictures.extend(std::iter::from_fn(|| assembly.pop(until)));
        assert!(
            assembly.bytes <= WAITING_BYTES
                && assembly.waiting.values().map(|p| p.payload.len()).sum::<usize>() == assembly.bytes
        );
        (pictures.iter().map(number).collect(), assembly.take_lost())
    }

    /// Seven pictures of three packets, the first and the sixth of them key frames; from 100 on.
    fn seven() -> Vec<Packet> {
        (0..7)
            .flat_map(|number| picture(100 + 3 * u64::from(number), number, number % 5 == 0, 3, 3_000 * u64::from(number)))
            .collect()
    }

    #[test]
    fn what_came_whole_is_given_in_order_and_nothing_that_needs_what_is_missing() {
        let all = vec![0, 1, 2, 3, 4, 5, 6];
        type Change = fn(&mut Vec<Packet>);
        let cases: [(&str, Change, Vec<u32>, u32); 9] = [
            ("as it was sent", |_| {}, all.clone(), 0),
            ("out of order", |packets| (packets[..3].reverse(), packets[3..15].reverse()).0, all.clone(), 0),
            (
                "twice",
                |packets| *packets = packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect(),
                all.clone(),
                0,
            ),
            ("from the middle", |packets| _ = packets.drain(..7), vec![5, 6], 0),
            ("without the middle of one", |packets| _ = packets.remove(7), vec![0, 1, 5, 6], 9),
            ("without the beginning of one", |packets| _ = packets.remove(9), vec![0, 1, 2, 5, 6], 6),
            ("without the end of a key frame", |packets| _ = packets.remove(17), vec![0, 1, 2, 3, 4], 0),
            ("without a mark", |packets| packets[5].marker = false, all.clone(), 0),
            (
                "with nothing in between",
                |packets| {
                    packets.iter_mut().skip(6).for_each(|packet| packet.index += 2);
                    let filler = |index| Packet { index, timestamp: 0, marker: false, at: 0, payload: [].into() };
                    packets.splice(6..6, [filler(106), filler(107)]);
                },
                all,
                0,
            ),
        ];
        for (what, change, expected, lost) in cases {
            let mut packets = seven();
            change(&mut packets);
            assert_eq!(check(packets, 10 * PATIENCE), (expected, lost), "{what}");
        }
    }

    #[test]
    fn a_packet_is_waited_for_and_no_longer_than_that() {
        for (late, expected) in [(PATIENCE - 21_000, vec![0, 1, 2, 3, 4, 5, 6]), (PATIENCE + 3_001, vec![0, 1, 5, 6])] {
            let mut packets = seven();
            let mut missing = packets.remove(7);
            missing.at += late;
            // Others go on meanwhile.
            let now = missing.at;
            let mut after = picture(121, 7, false, 1, now - 1);
            packets.append(&mut after);
            packets.push(missing);
            let (mut given, _) = check(packets, now);
            given.retain(|number| *number < 7);
            assert_eq!(given, expected, "{late}");
        }
    }

    #[test]
    fn a_pause_is_not_a_loss_and_a_stream_that_begins_anew_is_found() {
        let mut packets = seven();
        let hour = 3_600 * 90_000;
        packets.extend(picture(121, 7, false, 3, hour));
        // Elsewhere: its first picture is no key frame.
        packets.extend(picture(1 << 40, 8, false, 3, hour));
        packets.extend(picture((1 << 40) + 3, 9, true, 3, hour));
        assert_eq!(check(packets, hour), (vec![0, 1, 2, 3, 4, 5, 6, 7, 9], 0));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut packets = picture(0, 0, true, 1, 0);
        // A picture without end, of packets as large as they come.
        packets.extend((2..5_000).map(|index| Packet {
            index,
            timestamp: 5,
            marker: false,
            at: 1,
            payload: vec![0; 1_200].into(),
        }));
        packets.extend(picture(5_000, 1, true, 2, 2));
        let (given, lost) = check(packets, 3);
        assert_eq!((given, lost), (vec![0, 1], 4_999));
    }

    /// Whatever the network does: what is given is whole, in order, and follows the one before it or begins anew.
    #[test]
    fn whatever_is_lost_every_picture_that_is_given_can_be_decoded() {
        let mut state = 1u64;
        let mut draw = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        for seed in 0..300 {
            let (mut packets, mut keys, mut index) = (Vec::new(), Vec::new(), 60_000);
            for number in 0..120 {
                let (is_key, count) = (number == 0 || draw(15) == 0, 1 + draw(5));
                keys.push((is_key, count));
                packets.extend(picture(index, number, is_key, count, 3_000 * u64::from(number)));
                index += count;
            }
            let loss = draw(100);
            packets.retain(|_| draw(1_000) >= loss);
            packets.iter_mut().for_each(|packet| packet.at += draw(8) * draw(8) * draw(1_500));
            packets.sort_by_key(|packet| packet.at);
            let last = packets.last().expect("most came").at;
            let mut assembly = Assembly::new(Codec::Vp8);
            let mut given: Vec<Whole> = Vec::new();
            for packet in packets {
                let now = packet.at;
                assembly.push(packet);
                given.extend(std::iter::from_fn(|| assembly.pop(now)));
            }
            given.extend(std::iter::from_fn(|| assembly.pop(last + 2 * PATIENCE)));
            let mut before = None;
            for whole in &given {
                let number = number(whole);
                let (is_key, packets) = keys[number as usize];
                assert!(is_key || before == number.checked_sub(1), "{seed}: {number} after {before:?}");
                assert!(before.is_none_or(|before| before < number), "{seed}: {number} after {before:?}");
                let head = if is_key { 10 } else { 1 };
                assert_eq!(whole.picture.bytes.len() as u64, head + 4 * packets, "{seed}: {number}");
                before = Some(number);
            }
            assert!(loss > 0 || given.len() == 120, "{seed}: {} of 120", given.len());
        }
    }
}
