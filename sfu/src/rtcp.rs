//! The RTCP we need (RFC 3550 §6.4), with WebRTC clients: reports about what they send us and about what we send them, with the
//! round-trip fields, and reading theirs.

use std::time::{Duration, Instant};

/// A receiver report with one block.
pub const REPORT_LEN: usize = 32;

/// A sender report without blocks.
pub const SENDER_REPORT_LEN: usize = 28;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;

const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

/// Formats of feedback (RFC 4585 §6.1, RFC 5104 §4.3).
const NACK: u8 = 1;
const TRANSPORT_WIDE: u8 = 15;
const PICTURE_LOSS: u8 = 1;
const FULL_INTRA: u8 = 4;

/// A request for a key frame.
pub const PICTURE_LOSS_LEN: usize = 12;

/// The longest request for packets that is written: a header and one word for each packet.
pub const fn nack_len(packets: usize) -> usize {
    12 + 4 * packets
}

/// The RTP clock of Opus.
pub const AUDIO_CLOCK_HZ: u32 = 48_000;

/// What a receiver knows about one stream.
#[derive(Clone, Debug)]
pub struct Reception {
    start: Instant,
    clock_hz: i64,
    first_index: u64,
    highest_index: u64,
    received: u64,
    /// Expected and received at the last report.
    reported: (u64, u64),
    /// Arrival minus timestamp of the newest packet, in clock ticks; only differences mean anything.
    transit: i64,
    /// Interarrival jitter times 16 (RFC 3550 A.8).
    jitter: i64,
    /// The middle half of the newest sender report's NTP time, and when it came.
    sender_report: Option<(u32, Instant)>,
}

impl Reception {
    /// Begins with the first authentic packet.
    pub fn new(now: Instant, clock_hz: u32, index: u64, timestamp: u32) -> Reception {
        let mut reception = Reception {
            start: now,
            clock_hz: i64::from(clock_hz),
            first_index: index,
            highest_index: index,
            received: 1,
            reported: (0, 0),
            transit: 0,
            jitter: 0,
            sender_report: None,
        };
        reception.transit = reception.transit_of(now, timestamp);
        reception
    }

    /// Counts an authentic packet.
    #[inline]
    pub fn on_packet(&mut self, now: Instant, index: u64, timestamp: u32) {
        self.received += 1;
        self.highest_index = self.highest_index.max(index);
        let transit = self.transit_of(now, timestamp);
        // A talkspurt that jumps the clock would dominate the estimate for seconds; a jump is not jitter.
        let difference = i64::from((transit as i32).wrapping_sub(self.transit as i32)).abs();
        self.transit = transit;
        if difference < self.clock_hz {
            self.jitter += difference - ((self.jitter + 8) >> 4);
        }
    }

    /// Remembers a sender report for the round-trip fields.
    pub fn on_sender_report(&mut self, now: Instant, ntp_middle: u32) {
        self.sender_report = Some((ntp_middle, now));
    }

    /// How much the packets' spacing varies.
    pub fn jitter(&self) -> Duration {
        ticks((self.jitter >> 4) as u32, self.clock_hz as u32)
    }

    /// Writes a receiver report of `from` about `about` and begins the next interval. Returns how many packets were expected
    /// in the one that ends, and how many of them are missing.
    pub fn write_report(&mut self, now: Instant, from: u32, about: u32, out: &mut [u8]) -> (u64, u64) {
        let expected = self.highest_index - self.first_index.min(self.highest_index) + 1;
        let (expected_before, received_before) = self.reported;
        let (expected_now, received_now) = (expected - expected_before.min(expected), self.received - received_before);
        self.reported = (expected, self.received);
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now << 8).checked_div(expected_now).unwrap_or(0).min(255) as u8;
        let lost = expected.saturating_sub(self.received).min(0x7F_FFFF) as u32;
        let (last, delay) = self.sender_report.map_or((0, Duration::ZERO), |(ntp, at)| (ntp, now.saturating_duration_since(at)));
        let delay = (delay.as_micros() as u64 * 65_536 / 1_000_000) as u32;

        out[..4].copy_from_slice(&[0x81, RECEIVER_REPORT, 0, (REPORT_LEN / 4 - 1) as u8]);
        out[4..8].copy_from_slice(&from.to_be_bytes());
        out[8..12].copy_from_slice(&about.to_be_bytes());
        out[12..16].copy_from_slice(&(u32::from(fraction) << 24 | lost).to_be_bytes());
        out[16..20].copy_from_slice(&(self.highest_index as u32).to_be_bytes());
        out[20..24].copy_from_slice(&((self.jitter >> 4) as u32).to_be_bytes());
        out[24..28].copy_from_slice(&last.to_be_bytes());
        out[28..32].copy_from_slice(&delay.to_be_bytes());
        (expected_now, lost_now)
    }

    fn transit_of(&self, now: Instant, timestamp: u32) -> i64 {
        let arrival = (now.saturating_duration_since(self.start).as_micros() as i64 * self.clock_hz / 1_000_000) as u32;
        i64::from(arrival.wrapping_sub(timestamp) as i32)
    }
}

/// The sender and the middle half of the NTP time of the first sender report in a compound packet.
pub fn find_sender_report(mut compound: &[u8]) -> Option<(u32, u32)> {
    while let Some(head) = compound.first_chunk::<8>() {
        let len = 4 * (1 + usize::from(u16::from_be_bytes([head[2], head[3]])));
        let packet = compound.get(..len)?;
        if head[1] == SENDER_REPORT && packet.len() >= 28 {
            let ssrc = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            return Some((ssrc, u32::from_be_bytes([packet[10], packet[11], packet[12], packet[13]])));
        }
        compound = &compound[len..];
    }
    None
}

/// What one block of the other side's reports says of a stream of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub about: u32,
    /// Of 256.
    pub fraction_lost: u8,
    /// Of a stream of audio; others have another clock.
    pub jitter: Duration,
    /// The middle half of the NTP time of our sender report, zero when none arrived, and how long ago that was (1/65,536 s).
    last_report: u32,
    delay: u32,
}

impl Block {
    /// The round trip, if the block answers a sender report of the last minute. `ntp` is the time of arrival ([`ntp`]).
    pub fn round_trip(&self, ntp: u64) -> Option<Duration> {
        const MINUTE: u32 = 60 << 16;
        let taken = ((ntp >> 16) as u32).wrapping_sub(self.last_report).wrapping_sub(self.delay);
        (self.last_report != 0 && taken < MINUTE).then(|| Duration::from_micros(u64::from(taken) * 1_000_000 / 65_536))
    }
}

/// Reads every report block of a compound packet.
pub fn for_each_block(mut compound: &[u8], mut each: impl FnMut(Block)) {
    while let Some(head) = compound.first_chunk::<8>() {
        let len = 4 * (1 + usize::from(u16::from_be_bytes([head[2], head[3]])));
        let Some(packet) = compound.get(..len) else { return };
        let blocks = match head[1] {
            SENDER_REPORT => packet.get(SENDER_REPORT_LEN..),
            RECEIVER_REPORT => packet.get(8..),
            _ => None,
        };
        for block in blocks.unwrap_or_default().chunks_exact(24).take(usize::from(head[0] & 0x1F)) {
            let word = |at: usize| u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
            let (about, jitter) = (word(0), ticks(word(12), AUDIO_CLOCK_HZ));
            each(Block { about, fraction_lost: block[4], jitter, last_report: word(16), delay: word(20) });
        }
        compound = &compound[len..];
    }
}

/// What we sent on one stream, for a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentStream {
    pub ssrc: u32,
    /// What the stream's clock shows now.
    pub timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

/// Writes a sender report without blocks. All streams of one listener are told in one clock, so that it can align them.
pub fn write_sender_report(stream: &SentStream, ntp: u64, out: &mut [u8]) {
    out[..4].copy_from_slice(&[0x80, SENDER_REPORT, 0, (SENDER_REPORT_LEN / 4 - 1) as u8]);
    out[4..8].copy_from_slice(&stream.ssrc.to_be_bytes());
    out[8..16].copy_from_slice(&ntp.to_be_bytes());
    out[16..20].copy_from_slice(&stream.timestamp.to_be_bytes());
    out[20..24].copy_from_slice(&stream.packets.to_be_bytes());
    out[24..28].copy_from_slice(&stream.octets.to_be_bytes());
}

/// Where our NTP time begins: 2026-01-01. It is no date, because nobody needs one; but clients exist that take a time before
/// 1970 for none.
const EPOCH_SECONDS: u64 = 3_976_214_400;

/// NTP's fixed-point seconds of a time since some moment, which is the same for all streams of a listener.
pub fn ntp(since_epoch: Duration) -> u64 {
    ((EPOCH_SECONDS + since_epoch.as_secs()) << 32) + (u64::from(since_epoch.subsec_nanos()) << 32) / 1_000_000_000
}

fn ticks(ticks: u32, clock_hz: u32) -> Duration {
    Duration::from_micros(u64::from(ticks) * 1_000_000 / u64::from(clock_hz))
}

/// What a receiver of video says about a stream of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback<'a> {
    /// This packet did not come.
    Lost { about: u32, sequence: u16 },
    /// It cannot decode without a key frame.
    KeyFrame { about: u32 },
    /// What came when, in transport-wide numbers: the whole packet, 8 bytes or more.
    Transport(&'a [u8]),
}

/// Reads all feedback of a compound packet.
pub fn for_each_feedback<'a>(mut compound: &'a [u8], mut each: impl FnMut(Feedback<'a>)) {
    while let Some(head) = compound.first_chunk::<8>() {
        let len = 4 * (1 + usize::from(u16::from_be_bytes([head[2], head[3]])));
        let Some(packet) = compound.get(..len) else { return };
        let about = |bytes: &[u8]| bytes.first_chunk().map(|word| u32::from_be_bytes(*word));
        match (head[1], head[0] & 0x1F) {
            (TRANSPORT_FEEDBACK, NACK) => {
                let Some(about) = packet.get(8..).and_then(about) else { return };
                for entry in packet[12..].chunks_exact(4) {
                    let (first, more) = (u16::from_be_bytes([entry[0], entry[1]]), u16::from_be_bytes([entry[2], entry[3]]));
                    each(Feedback::Lost { about, sequence: first });
                    let following = (0..16).filter(|bit| more >> bit & 1 == 1).map(|bit| first.wrapping_add(bit + 1));
                    following.for_each(|sequence| each(Feedback::Lost { about, sequence }));
                }
            }
            (TRANSPORT_FEEDBACK, TRANSPORT_WIDE) if packet.len() >= head.len() => each(Feedback::Transport(packet)),
            (PAYLOAD_FEEDBACK, PICTURE_LOSS) => {
                if let Some(about) = packet.get(8..).and_then(about) {
                    each(Feedback::KeyFrame { about });
                }
            }
            (PAYLOAD_FEEDBACK, FULL_INTRA) => {
                packet.get(12..).unwrap_or_default().chunks_exact(8).filter_map(about).for_each(|about| {
                    each(Feedback::KeyFrame { about });
                });
            }
            _ => {}
        }
        compound = &compound[len..];
    }
}

/// Asks the sender of `about` for a key frame.
pub fn write_picture_loss(from: u32, about: u32, out: &mut [u8]) -> usize {
    write_feedback_head(PAYLOAD_FEEDBACK, PICTURE_LOSS, from, about, PICTURE_LOSS_LEN, out);
    PICTURE_LOSS_LEN
}

/// Asks the sender of `about` for packets again, in ascending order; `out` holds [`nack_len`] of them. Returns the length.
pub fn write_nack(from: u32, about: u32, sequences: &[u16], out: &mut [u8]) -> usize {
    let mut len = 12;
    let mut rest = sequences;
    while let [first, more @ ..] = rest {
        let mut mask = 0u16;
        let near = more.iter().take_while(|sequence| (1..=16).contains(&sequence.wrapping_sub(*first))).count();
        more[..near].iter().for_each(|sequence| mask |= 1 << (sequence.wrapping_sub(*first) - 1));
        out[len..len + 2].copy_from_slice(&first.to_be_bytes());
        out[len + 2..len + 4].copy_from_slice(&mask.to_be_bytes());
        len += 4;
        rest = &more[near..];
    }
    write_feedback_head(TRANSPORT_FEEDBACK, NACK, from, about, len, out);
    len
}

fn write_feedback_head(kind: u8, format: u8, from: u32, about: u32, len: usize, out: &mut [u8]) {
    out[..4].copy_from_slice(&[0x80 | format, kind, 0, 0]);
    out[2..4].copy_from_slice(&((len / 4 - 1) as u16).to_be_bytes());
    out[4..8].copy_from_slice(&from.to_be_bytes());
    out[8..12].copy_from_slice(&about.to_be_bytes());
}

#[cfg(test)]
mod tests;
