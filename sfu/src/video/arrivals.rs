//! When a publisher's packets arrived, told back to it as transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1), from which it estimates what its network carries.

use std::time::{Duration, Instant};

/// Packets between two pieces of feedback: 50 ms of 20,000 packets a second. What is beyond counts as lost.
const WINDOW: usize = 1024;

/// The units of times in feedback.
const REFERENCE_UNIT: Duration = Duration::from_millis(64);
const DELTA_UNIT_US: i64 = 250;

/// Packets told about in one piece of feedback: with two bytes each and chunks it stays below an Ethernet frame.
const TOLD: u64 = 400;

/// The longest feedback that is written.
pub const MAX_FEEDBACK: usize = 20 + 2 * (TOLD as usize).div_ceil(7) + 2 * TOLD as usize + 3;

const TRANSPORT_FEEDBACK: u8 = 205;
const FORMAT: u8 = 15;

/// The symbols of a packet in feedback.
const LOST: u16 = 0;
const SMALL: u16 = 1;
const LARGE: u16 = 2;

pub struct Arrivals {
    start: Instant,
    /// Time of arrival since `start` in µs plus one, by number; zero for what has not arrived.
    times: Box<[u64]>,
    /// The first that was not told yet, and the one after the newest.
    next: u64,
    end: u64,
    count: u8,
}

impl Arrivals {
    pub fn new(start: Instant) -> Arrivals {
        Arrivals { start, times: vec![0; WINDOW].into(), next: 0, end: 0, count: 0 }
    }

    /// A packet with this transport-wide number came.
    #[inline]
    pub fn on_packet(&mut self, now: Instant, sequence: u16) {
        if self.end == 0 {
            // The first in the middle of a rollover, so that one that it overtook has a place.
            self.next = 1 << 16 | u64::from(sequence);
            self.end = self.next;
        }
        let distance = sequence.wrapping_sub(self.end as u16) as i16;
        let index = self.end.wrapping_add_signed(i64::from(distance));
        if index < self.next {
            return;
        }
        if index >= self.end {
            // What is between is missing, until it comes.
            let fresh = (index - self.end + 1).min(WINDOW as u64);
            (index + 1 - fresh..=index).for_each(|index| self.times[index as usize % WINDOW] = 0);
            self.end = index + 1;
            self.next = self.next.max(self.end.saturating_sub(WINDOW as u64));
        }
        let time = now.saturating_duration_since(self.start).as_micros() as u64;
        self.times[index as usize % WINDOW] = time + 1;
    }

    /// Whether there is anything to tell.
    pub fn is_due(&self) -> bool {
        self.next < self.end
    }

    /// Writes feedback about what came since the last, and returns its length; zero when nothing did. `out` holds
    /// [`MAX_FEEDBACK`] bytes. What does not fit waits for the next.
    pub fn write(&mut self, from: u32, about: u32, out: &mut [u8]) -> usize {
        let last = self.end.min(self.next + TOLD);
        let arrived = |times: &[u64], index: u64| times[index as usize % WINDOW].checked_sub(1);
        let Some(first_time) = (self.next..last).find_map(|index| arrived(&self.times, index)) else {
            self.next = last;
            return 0;
        };
        let unit = REFERENCE_UNIT.as_micros() as u64;
        let reference = first_time / unit;
        let mut clock = (reference * unit) as i64;
        let mut end = self.next;
        // Deltas are written behind the chunks, whose length is known only then.
        let mut deltas = [0; 2 * TOLD as usize];
        let mut deltas_len = 0;
        let mut symbols = [LOST; TOLD as usize];
        for index in self.next..last {
            let Some(time) = arrived(&self.times, index) else {
                end = index + 1;
                continue;
            };
            let delta = (time as i64 - clock).div_euclid(DELTA_UNIT_US);
            // Too far from the one before: the next piece begins here, with a reference of its own.
            let Ok(wide) = i16::try_from(delta) else { break };
            end = index + 1;
            clock += delta * DELTA_UNIT_US;
            symbols[(index - self.next) as usize] = match u8::try_from(delta) {
                Ok(short) => {
                    deltas[deltas_len] = short;
                    deltas_len += 1;
                    SMALL
                }
                Err(_) => {
                    deltas[deltas_len..deltas_len + 2].copy_from_slice(&wide.to_be_bytes());
                    deltas_len += 2;
                    LARGE
                }
            };
        }
        let told = (end - self.next) as usize;
        let mut at = 20;
        for seven in symbols[..told].chunks(7) {
            // A vector of seven symbols of two bits.
            let vector = seven.iter().enumerate().fold(0xC000, |word, (place, symbol)| word | symbol << (12 - 2 * place));
            out[at..at + 2].copy_from_slice(&vector.to_be_bytes());
            at += 2;
        }
        out[at..at + deltas_len].copy_from_slice(&deltas[..deltas_len]);
        at += deltas_len;
        let len = at.next_multiple_of(4);
        out[at..len].fill(0);
        out[..4].copy_from_slice(&[0x80 | FORMAT, TRANSPORT_FEEDBACK, 0, 0]);
        out[2..4].copy_from_slice(&((len / 4 - 1) as u16).to_be_bytes());
        out[4..8].copy_from_slice(&from.to_be_bytes());
        out[8..12].copy_from_slice(&about.to_be_bytes());
        out[12..14].copy_from_slice(&(self.next as u16).to_be_bytes());
        out[14..16].copy_from_slice(&(told as u16).to_be_bytes());
        out[16..20].copy_from_slice(&((reference as u32) << 8 | u32::from(self.count)).to_be_bytes());
        self.count = self.count.wrapping_add(1);
        self.next = end;
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use str0m::rtp::rtcp::Twcc;

    /// What feedback says of each packet, read by str0m: its number, and when it arrived in µs.
    fn read(zero: Instant, feedback: &[u8]) -> Vec<(u16, Option<i64>)> {
        if feedback.is_empty() {
            return Vec::new();
        }
        let twcc = Twcc::try_from(&feedback[4..]).expect("str0m reads it");
        let micros = |at: Instant| {
            let after = at.saturating_duration_since(zero).as_micros() as i64;
            if after > 0 { after } else { -(zero.saturating_duration_since(at).as_micros() as i64) }
        };
        twcc.into_iter(zero, (1 << 20).into()).map(|(number, _, at)| (*number as u16, at.map(micros))).collect()
    }

    fn feedback(arrivals: &mut Arrivals) -> Vec<u8> {
        let mut out = vec![0xFF; MAX_FEEDBACK];
        let len = arrivals.write(1, 2, &mut out);
        out.truncate(len);
        out
    }

    #[test]
    fn everything_that_came_is_told_once_with_its_time() {
        let zero = Instant::now();
        let mut arrivals = Arrivals::new(zero);
        let came: Vec<(u16, u64)> = (0..1000u64)
            .filter(|n| n % 7 != 3)
            .map(|n| (65_000u16.wrapping_add(n as u16), 1000 + n * n % 9000 + 3000 * n))
            .collect();
        let mut told = Vec::new();
        for some in came.chunks(90) {
            for &(number, at) in some {
                arrivals.on_packet(zero + Duration::from_micros(at), number);
            }
            while arrivals.is_due() {
                told.extend(read(zero, &feedback(&mut arrivals)));
            }
        }
        let (got, lost): (Vec<_>, Vec<_>) = told.iter().partition(|(_, at)| at.is_some());
        assert_eq!(got.len(), came.len());
        assert_eq!(lost.len(), 143, "what lies between is told as lost");
        for ((number, at), (expected, came_at)) in got.iter().zip(&came) {
            assert_eq!(number, expected);
            let off = at.expect("it arrived") - *came_at as i64;
            assert!((-250..250).contains(&off), "{number} is {off} µs off");
        }
        assert!(feedback(&mut arrivals).is_empty());
    }

    #[test]
    fn pauses_and_jumps_are_bounded() {
        let zero = Instant::now();
        let mut arrivals = Arrivals::new(zero);
        arrivals.on_packet(zero, 1);
        arrivals.on_packet(zero + Duration::from_secs(60), 2);
        // A minute does not fit into a delta: two pieces.
        let pieces = [read(zero, &feedback(&mut arrivals)), read(zero, &feedback(&mut arrivals))];
        assert_eq!(pieces.map(|piece| piece.len()), [1, 1]);
        arrivals.on_packet(zero + Duration::from_secs(61), 30_000);
        let mut told = 0;
        while arrivals.is_due() {
            told += read(zero, &feedback(&mut arrivals)).len();
        }
        assert!(told <= WINDOW, "{told}");
        arrivals.on_packet(zero + Duration::from_secs(61), 29_999);
        assert!(!arrivals.is_due(), "too late");
    }
}
