//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): reading what a listener
//! tells of the packets we sent it, and telling a publisher of the packets it sent us. And the older message that a receiver
//! without it may send, REMB (draft-alvestrand-rmcat-remb-03).
//!
//! Times in these messages are the receiver's: only differences mean anything to the other side.

use std::time::{Duration, Instant};

/// Generic RTP feedback (RFC 4585 §6.1) and its format number for this message.
const TRANSPORT_FEEDBACK: u8 = 205;
const TRANSPORT_WIDE: u8 = 15;
/// Payload-specific feedback, and its format number for application messages, of which REMB is one.
const PAYLOAD_FEEDBACK: u8 = 206;
const APPLICATION: u8 = 15;

/// RTCP header, both SSRCs, and the four fields before the chunks.
const FIXED_LEN: usize = 20;

/// Reference times count 64 ms, in 24 bits with a sign.
const REFERENCE_MICROS: i64 = 64_000;
const REFERENCE_WRAP: i64 = 1 << 24;

/// In µs.
const FARTHEST: i64 = 1_000_000_000_000_000;

/// Deltas count 250 µs.
const TICK_MICROS: i64 = 250;

/// One feedback message, checked to be whole, not yet unpacked.
#[derive(Clone, Copy, Debug)]
pub struct Feedback<'a> {
    /// Who sent it.
    pub from: u32,
    /// Any stream of the transport that it is about.
    pub about: u32,
    /// Sequence number of the first packet it tells of.
    pub base: u16,
    /// How many packets it tells of, at least one.
    pub count: u16,
    /// The receiver's time in units of 64 ms, 24 bits, signed.
    pub reference: i32,
    /// Counts the messages, modulo 256.
    pub number: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

/// What a message says of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub sequence: u16,
    /// When it arrived, after the message's reference time; `None` when it did not. May be negative: packets overtake.
    pub arrived: Option<i64>,
}

impl<'a> Feedback<'a> {
    /// Reads one RTCP packet, header included. `None` for every other kind of packet, and for one of this kind that does not
    /// hold what it announces.
    pub fn parse(packet: &'a [u8]) -> Option<Feedback<'a>> {
        let head = packet.first_chunk::<FIXED_LEN>()?;
        if head[0] >> 6 != 2 || head[0] & 0x1F != TRANSPORT_WIDE || head[1] != TRANSPORT_FEEDBACK {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let end = padded_end(packet)?;
        let body = packet.get(FIXED_LEN..end)?;
        let count = word(12) as u16;
        if count == 0 {
            return None;
        }

        // The chunks say how long they are and how long the deltas must be.
        let (mut left, mut at, mut delta_len) = (usize::from(count), 0, 0);
        while left > 0 {
            let chunk = Chunk::read(body.get(at..at + 2)?);
            at += 2;
            let covered = chunk.len().min(left);
            delta_len += chunk.delta_len(covered)?;
            left -= covered;
        }
        let (chunks, deltas) = body.split_at(at);
        let deltas = deltas.get(..delta_len)?;
        // Eight bits up and an arithmetic shift down extend the sign.
        let reference = (word(16) & 0xFFFF_FF00) as i32 >> 8;
        Some(Feedback {
            from: word(4),
            about: word(8),
            base: (word(12) >> 16) as u16,
            count,
            reference,
            number: head[19],
            chunks,
            deltas,
        })
    }

    /// Every packet of the message, in order of sequence numbers.
    pub fn statuses(&self) -> Statuses<'a> {
        Statuses {
            next: self.base,
            left: self.count,
            chunk: Chunk::Run { symbol: 0, len: 0 },
            at: 0,
            chunks: self.chunks,
            deltas: self.deltas,
            time: 0,
        }
    }

    /// The reference time in µs of the receiver's clock, of which only 12 days are distinguished.
    pub fn reference_micros(&self) -> i64 {
        i64::from(self.reference) * REFERENCE_MICROS
    }
}

/// Hands on every feedback message of a compound RTCP packet.
pub fn for_each_feedback(mut compound: &[u8], mut each: impl FnMut(Feedback)) {
    while let Some(head) = compound.first_chunk::<4>() {
        let len = 4 * (1 + usize::from(u16::from_be_bytes([head[2], head[3]])));
        let Some(packet) = compound.get(..len) else { return };
        if let Some(feedback) = Feedback::parse(packet) {
            each(feedback);
        }
        compound = &compound[len..];
    }
}

/// The bitrate in bit/s of the first REMB message in a compound RTCP packet.
pub fn find_remb(mut compound: &[u8]) -> Option<u64> {
    while let Some(head) = compound.first_chunk::<4>() {
        let len = 4 * (1 + usize::from(u16::from_be_bytes([head[2], head[3]])));
        let packet = compound.get(..len)?;
        if head[0] & 0x1F == APPLICATION && head[1] == PAYLOAD_FEEDBACK && packet.len() >= 20 && &packet[12..16] == b"REMB" {
            let exponent = packet[17] >> 2;
            let mantissa = u64::from(packet[17] & 3) << 16 | u64::from(packet[18]) << 8 | u64::from(packet[19]);
            // 18 bits of mantissa leave room for 46 of shift; more than that nobody means.
            return (exponent <= 45).then(|| mantissa << exponent);
        }
        compound = &compound[len..];
    }
    None
}

/// Where a packet's content ends: before the padding that its header announces.
fn padded_end(packet: &[u8]) -> Option<usize> {
    let padding = if packet[0] & 0x20 != 0 { usize::from(*packet.last()?) } else { 0 };
    packet.len().checked_sub(padding)
}

/// Two bytes that tell of up to 8191 packets.
#[derive(Clone, Copy, Debug)]
enum Chunk {
    /// So many packets with the same symbol.
    Run { symbol: u8, len: u16 },
    /// 14 packets, one bit each: missing, or arrived with a short delta.
    Bits { bits: u16, len: u16 },
    /// Seven packets, two bits each.
    Pairs { bits: u16, len: u16 },
}

/// Bytes of a delta by symbol; the fourth symbol is reserved.
const DELTA_LEN: [Option<usize>; 4] = [Some(0), Some(1), Some(2), None];

impl Chunk {
    fn read(bytes: &[u8]) -> Chunk {
        let word = u16::from_be_bytes([bytes[0], bytes[1]]);
        match word >> 14 {
            0 | 1 => Chunk::Run { symbol: (word >> 13 & 3) as u8, len: word & 0x1FFF },
            2 => Chunk::Bits { bits: word << 2, len: 14 },
            _ => Chunk::Pairs { bits: word << 2, len: 7 },
        }
    }

    fn len(&self) -> usize {
        match *self {
            Chunk::Run { len, .. } | Chunk::Bits { len, .. } | Chunk::Pairs { len, .. } => usize::from(len),
        }
    }

    /// Bytes of deltas for the first so many packets; `None` when one has the reserved symbol.
    fn delta_len(&self, first: usize) -> Option<usize> {
        match *self {
            Chunk::Run { symbol, .. } => Some(DELTA_LEN[usize::from(symbol)]? * first),
            Chunk::Bits { bits, .. } => Some((bits & !(0xFFFF >> first)).count_ones() as usize),
            Chunk::Pairs { bits, .. } => (0..first).map(|n| DELTA_LEN[usize::from(bits >> (14 - 2 * n) & 3)]).sum(),
        }
    }

    /// The next symbol.
    fn take(&mut self) -> Option<u8> {
        match self {
            Chunk::Run { len: 0, .. } | Chunk::Bits { len: 0, .. } | Chunk::Pairs { len: 0, .. } => None,
            Chunk::Run { symbol, len } => {
                *len -= 1;
                Some(*symbol)
            }
            Chunk::Bits { bits, len } => {
                let symbol = (*bits >> 15) as u8;
                (*bits, *len) = (*bits << 1, *len - 1);
                Some(symbol)
            }
            Chunk::Pairs { bits, len } => {
                let symbol = (*bits >> 14) as u8;
                (*bits, *len) = (*bits << 2, *len - 1);
                Some(symbol)
            }
        }
    }
}

/// Unpacks a message.
pub struct Statuses<'a> {
    next: u16,
    left: u16,
    chunk: Chunk,
    at: usize,
    chunks: &'a [u8],
    deltas: &'a [u8],
    time: i64,
}

impl Iterator for Statuses<'_> {
    type Item = Status;

    fn next(&mut self) -> Option<Status> {
        if self.left == 0 {
            return None;
        }
        let symbol = loop {
            match self.chunk.take() {
                Some(symbol) => break symbol,
                None => {
                    self.chunk = Chunk::read(self.chunks.get(self.at..self.at + 2)?);
                    self.at += 2;
                }
            }
        };
        let ticks = match symbol {
            0 => None,
            1 => {
                let (delta, rest) = self.deltas.split_first_chunk::<1>()?;
                self.deltas = rest;
                Some(i64::from(delta[0]))
            }
            _ => {
                let (delta, rest) = self.deltas.split_first_chunk::<2>()?;
                self.deltas = rest;
                Some(i64::from(i16::from_be_bytes(*delta)))
            }
        };
        let arrived = ticks.map(|ticks| {
            self.time += ticks * TICK_MICROS;
            self.time
        });
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        self.left -= 1;
        Some(Status { sequence, arrived })
    }
}

/// Makes one line of time of the reference times, which return after 12 days.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeline {
    last: Option<(i32, i64)>,
}

impl Timeline {
    /// The message's reference time in µs since some moment, the same for all messages.
    pub fn place(&mut self, feedback: &Feedback) -> i64 {
        let base = match self.last {
            None => 0,
            Some((last, placed)) => {
                let step = (i64::from(feedback.reference) - i64::from(last)).rem_euclid(REFERENCE_WRAP);
                let step = if step >= REFERENCE_WRAP / 2 { step - REFERENCE_WRAP } else { step };
                placed + step * REFERENCE_MICROS
            }
        };
        // Thirty years of a clock that jumps are made up; a new line begins.
        let base = if base.abs() > FARTHEST { 0 } else { base };
        self.last = Some((feedback.reference, base));
        base
    }
}

/// Packets whose arrival is remembered until it is told: 2 s of 500 packets a second, far more than between two messages.
const REMEMBERED: usize = 1024;

/// Packets in one message, so that one datagram always holds it.
const MOST_STATUSES: usize = 400;

/// A buffer for a message must be so long.
pub const FEEDBACK_LEN: usize = FIXED_LEN + 2 * MOST_STATUSES.div_ceil(7) + 2 * MOST_STATUSES + 4;

/// Messages come between so often and so rarely, and take at most a twentieth of what is told about, as browsers do it.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(250);

/// Which packets of one publisher arrived when, by the sequence number of its transport, to be told to it.
#[derive(Clone, Debug)]
pub struct Arrivals {
    start: Instant,
    /// Ticks of 250 µs since the start plus one, by sequence number; zero for a packet that did not arrive.
    ticks: Box<[u32]>,
    /// The newest packet, unwrapped.
    newest: Option<i64>,
    /// The first packet that no message told of.
    next: i64,
    number: u8,
    told: Instant,
    bytes: usize,
    interval: Duration,
}

impl Arrivals {
    pub fn new(now: Instant) -> Arrivals {
        let ticks = vec![0; REMEMBERED].into_boxed_slice();
        Arrivals { start: now, ticks, newest: None, next: 0, number: 0, told: now, bytes: 0, interval: SHORTEST }
    }

    /// An authentic packet of `bytes` on the wire came. One that came before, or too long ago to be remembered, changes nothing.
    #[inline]
    pub fn record(&mut self, now: Instant, sequence: u16, bytes: usize) {
        let tick = (now.saturating_duration_since(self.start).as_micros() / TICK_MICROS as u128) as u32 + 1;
        let newest = self.newest.unwrap_or_else(|| {
            (self.next, self.told) = (i64::from(sequence), now);
            i64::from(sequence) - 1
        });
        let at = newest + i64::from(sequence.wrapping_sub(newest as u16) as i16);
        self.bytes += bytes;
        if at > newest {
            if at - newest >= REMEMBERED as i64 {
                self.ticks.fill(0);
            } else {
                (newest + 1..at).for_each(|gap| self.ticks[place(gap)] = 0);
            }
            self.newest = Some(at);
            self.next = self.next.max(at - REMEMBERED as i64 + 1);
        } else if newest - at >= REMEMBERED as i64 || self.ticks[place(at)] != 0 {
            return;
        } else {
            // It was told as missing, or is about to be: the next message begins with it.
            self.next = self.next.min(at);
        }
        self.ticks[place(at)] = tick;
    }

    /// When the next message is due; `None` while there is nothing to tell.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.newest.filter(|&newest| self.next <= newest).map(|_| self.told + self.interval)
    }

    /// Writes the next message, if one is due, into `out` (at least [`FEEDBACK_LEN`] long) and returns its length. To be asked
    /// again until there is none: a message tells of a limited number of packets.
    pub fn write(&mut self, now: Instant, from: u32, about: u32, out: &mut [u8]) -> Option<usize> {
        if self.next_timeout().is_none_or(|due| due > now) {
            return None;
        }
        let newest = self.newest?;
        let first = (self.next..=newest).find(|&at| self.ticks[place(at)] != 0)?;
        // A gap that fills a message would leave no room for what came after it.
        let base = self.next.max(first - MOST_STATUSES as i64 / 2);
        let reference = i64::from(self.ticks[place(first)] - 1) * TICK_MICROS / REFERENCE_MICROS;

        let mut symbols = [0u8; MOST_STATUSES];
        let mut deltas = [0u8; 2 * MOST_STATUSES];
        let (mut count, mut delta_len, mut time) = (0, 0, reference * REFERENCE_MICROS / TICK_MICROS);
        for at in base..=newest.min(base + MOST_STATUSES as i64 - 1) {
            let tick = self.ticks[place(at)];
            if tick != 0 {
                let Ok(delta) = i16::try_from(i64::from(tick) - 1 - time) else { break };
                time += i64::from(delta);
                match u8::try_from(delta) {
                    Ok(short) => {
                        symbols[count] = 1;
                        deltas[delta_len] = short;
                        delta_len += 1;
                    }
                    Err(_) => {
                        symbols[count] = 2;
                        deltas[delta_len..delta_len + 2].copy_from_slice(&delta.to_be_bytes());
                        delta_len += 2;
                    }
                }
            }
            count += 1;
        }
        let chunks_end = FIXED_LEN + write_chunks(&symbols[..count], &mut out[FIXED_LEN..]);
        let end = chunks_end + delta_len;
        out[chunks_end..end].copy_from_slice(&deltas[..delta_len]);
        let len = end.next_multiple_of(4);
        let mut padding = 0;
        if len > end {
            out[end..len].fill(0);
            out[len - 1] = (len - end) as u8;
            padding = 0x20;
        }
        out[..4].copy_from_slice(&[0x80 | padding | TRANSPORT_WIDE, TRANSPORT_FEEDBACK, 0, 0]);
        out[2..4].copy_from_slice(&((len / 4 - 1) as u16).to_be_bytes());
        out[4..8].copy_from_slice(&from.to_be_bytes());
        out[8..12].copy_from_slice(&about.to_be_bytes());
        out[12..14].copy_from_slice(&(base as u16).to_be_bytes());
        out[14..16].copy_from_slice(&(count as u16).to_be_bytes());
        out[16..20].copy_from_slice(&((reference as u32) << 8 | u32::from(self.number)).to_be_bytes());

        self.number = self.number.wrapping_add(1);
        self.next = base + count as i64;
        if self.next > newest {
            let share = Duration::from_micros(20 * len as u64 * self.interval.as_micros() as u64 / self.bytes.max(1) as u64);
            self.interval = share.clamp(SHORTEST, LONGEST);
            (self.told, self.bytes) = (now, 0);
        }
        Some(len)
    }
}

fn place(at: i64) -> usize {
    at.rem_euclid(REMEMBERED as i64) as usize
}

/// Packs symbols and returns the length: a run where one says more than bits would, one bit each where that is enough.
fn write_chunks(mut symbols: &[u8], out: &mut [u8]) -> usize {
    let mut len = 0;
    while let Some(&first) = symbols.first() {
        let run = symbols.iter().take_while(|&&symbol| symbol == first).count();
        let short = symbols.iter().take(14).take_while(|&&symbol| symbol < 2).count();
        let (word, taken) = if run >= 14 || run >= 7 && short < 14 || run == symbols.len() {
            (u16::from(first) << 13 | run as u16, run)
        } else if short == 14.min(symbols.len()) {
            let bits = symbols.iter().take(14).enumerate().fold(0, |bits, (n, &symbol)| bits | u16::from(symbol) << (13 - n));
            (0x8000 | bits, short)
        } else {
            let bits = symbols.iter().take(7).enumerate().fold(0, |bits, (n, &symbol)| bits | u16::from(symbol) << (12 - 2 * n));
            (0xC000 | bits, 7.min(symbols.len()))
        };
        out[len..len + 2].copy_from_slice(&word.to_be_bytes());
        len += 2;
        symbols = &symbols[taken..];
    }
    len
}

#[cfg(test)]
mod tests;
