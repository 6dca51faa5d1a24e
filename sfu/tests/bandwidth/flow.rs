//! One listener: estimator, pacer and source at our end, and at the other a receiver that tells what arrived, in real messages
//! over a way back with its own delays and losses.

use crate::link::{Link, Lost, Random};
use crate::source::{Content, Source};
use guildhall_sfu::bandwidth::estimator::{Bounds, Estimator};
use guildhall_sfu::bandwidth::feedback::{Arrivals, FEEDBACK_LEN, for_each_feedback};
use guildhall_sfu::bandwidth::ledger::Class;
use guildhall_sfu::bandwidth::pacer::{Departure, Pacer};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Opus at 64 kbit/s in 20 ms, on the wire.
const AUDIO: (i64, usize) = (20_000, 220);

/// The way back.
#[derive(Clone, Copy, Debug)]
pub struct Back {
    /// µs, and up to so many more.
    pub distance: i64,
    pub jitter: i64,
    pub loss: f64,
}

/// What one of our packets is, by its number on the link.
#[derive(Clone, Copy)]
struct Sent {
    sequence: Option<u16>,
    is_media: bool,
}

/// What is kept of every tenth of a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    pub estimate: f64,
    /// What the source makes of it: of cameras, the layers that were chosen.
    pub level: f64,
    /// Bits of audio and video that arrived, and of padding that was sent.
    pub media: f64,
    pub padding: f64,
}

pub const SAMPLE: i64 = 100_000;

pub struct Flow {
    number: usize,
    start: Instant,
    estimator: Estimator,
    pacer: Pacer<()>,
    pub source: Source,
    next_audio: i64,
    next_allocation: i64,
    sent: Vec<Sent>,
    frame: Vec<usize>,
    /// Under way to the receiver: when, bytes, which.
    arriving: VecDeque<(i64, usize, u64)>,
    receiver: Arrivals,
    back: Back,
    random: Random,
    messages: VecDeque<(i64, Vec<u8>)>,
    last_message: i64,
    pub samples: Vec<Sample>,
    /// µs in the bottleneck's queue, for each packet.
    pub waits: Vec<u32>,
    pub packets: usize,
    pub dropped: usize,
    /// Video packets that the pacer refused.
    pub refused: usize,
    pub trace: bool,
}

impl Flow {
    pub fn new(number: usize, content: Content, back: Back, seed: u64) -> Flow {
        let start = Instant::now();
        Flow {
            number,
            start,
            estimator: Estimator::new(start, Bounds::default()),
            pacer: Pacer::new(start),
            source: Source::new(content, seed ^ 0x50),
            next_audio: 0,
            next_allocation: 0,
            sent: Vec::new(),
            frame: Vec::new(),
            arriving: VecDeque::new(),
            receiver: Arrivals::new(start),
            back,
            random: Random(seed ^ 0xB0),
            messages: VecDeque::new(),
            last_message: 0,
            samples: Vec::new(),
            waits: Vec::new(),
            packets: 0,
            dropped: 0,
            refused: 0,
            trace: false,
        }
    }

    pub fn step(&mut self, time: i64, link: &mut Link) {
        let now = self.start + Duration::from_micros(time as u64);
        let is_due = time >= self.next_allocation.min(self.next_audio).min(self.source.next_frame)
            || self.messages.front().is_some_and(|message| message.0 <= time)
            || self.pacer.next_timeout().is_some_and(|due| due <= now)
            || self.estimator.next_timeout().is_some_and(|due| due <= now);
        if !is_due {
            return;
        }
        while self.messages.front().is_some_and(|message| message.0 <= time) {
            let (_, message) = self.messages.pop_front().expect("it was seen");
            for_each_feedback(&message, |feedback| self.estimator.feedback(now, &feedback));
        }
        self.estimator.handle_timeout(now);
        let estimate = self.estimator.estimate();
        if time >= self.next_allocation {
            self.next_allocation = time + 50_000;
            self.source.allocate(now, estimate.bps);
            self.estimator.set_wanted(self.source.wanted() as u64);
        }
        self.pacer.set(estimate.pace_bps, self.estimator.probe(), self.estimator.burst(now));

        if time >= self.next_audio {
            self.next_audio += AUDIO.0;
            self.transmit(time, AUDIO.1, None, true, link);
        }
        self.source.frame(time, 0.95 * estimate.bps as f64, &mut self.frame);
        for bytes in std::mem::take(&mut self.frame) {
            self.refused += usize::from(self.pacer.push_video(now, (), bytes).is_err());
        }
        while let Some(departure) = self.pacer.pop(now) {
            let (bytes, class, cluster) = match departure {
                Departure::Packet { bytes, class, cluster, .. } => (bytes, class, cluster),
                Departure::Padding { bytes, cluster } => {
                    self.pacer.padded(now, bytes);
                    (bytes, Class::Padding, Some(cluster))
                }
            };
            let sequence = self.estimator.sent(now, bytes, class, cluster);
            self.transmit(time, bytes, Some(sequence), class != Class::Padding, link);
        }

        let level = self.source.level(estimate.bps as f64);
        let sample = self.sample(time);
        (sample.estimate, sample.level) = (estimate.bps as f64, level);
        if self.trace && time % 250_000 == 0 {
            let capacity = link.capacity(time) as u64 / 1000;
            let probe = self.estimator.probe().map(|probe| probe.rate_bps / 1000);
            println!(
                "{:7.2} capacity {capacity:5} estimate {:5} {:?} {:?} queue {:4} ms rtt {:?} pacer {:3} ms probe {probe:?} loss {}",
                time as f64 / 1e6,
                estimate.bps / 1000,
                estimate.state,
                estimate.limit,
                estimate.queue.as_millis(),
                estimate.round_trip.map(|trip| trip.as_millis()),
                self.pacer.delay().as_millis(),
                estimate.random_loss_permille,
            );
        }
    }

    fn transmit(&mut self, time: i64, bytes: usize, sequence: Option<u16>, is_media: bool, link: &mut Link) {
        self.packets += 1;
        if !is_media {
            self.sample(time).padding += bytes as f64 * 8.0;
        }
        if link.send(time, self.number, self.sent.len() as u64, bytes) == Err(Lost::QueueFull) {
            self.dropped += 1;
        }
        self.sent.push(Sent { sequence, is_media });
    }

    pub fn on_arrival(&mut self, at: i64, bytes: usize, number: u64, waited: i64) {
        self.waits.push(waited as u32);
        self.arriving.push_back((at, bytes, number));
    }

    /// The receiver's end.
    pub fn receive(&mut self, time: i64) {
        while let Some(&(at, bytes, number)) = self.arriving.front().filter(|packet| packet.0 <= time) {
            self.arriving.pop_front();
            let sent = self.sent[number as usize];
            if sent.is_media {
                self.sample(at).media += bytes as f64 * 8.0;
            }
            if let Some(sequence) = sent.sequence {
                // Its clock is ahead by some days and runs 0.005 % fast.
                let clock = self.start + Duration::from_micros((at + at / 20_000) as u64);
                self.receiver.record(clock, sequence, bytes);
            }
        }
        let clock = self.start + Duration::from_micros((time + time / 20_000) as u64);
        if self.receiver.next_timeout().is_none_or(|due| due > clock) {
            return;
        }
        let mut buffer = [0; FEEDBACK_LEN];
        while let Some(len) = self.receiver.write(clock, 1, 2, &mut buffer) {
            if self.random.part() >= self.back.loss {
                let at = time + self.back.distance + (self.random.part() * self.back.jitter as f64) as i64;
                self.last_message = self.last_message.max(at);
                self.messages.push_back((self.last_message, buffer[..len].to_vec()));
            }
        }
    }

    fn sample(&mut self, time: i64) -> &mut Sample {
        let index = (time / SAMPLE) as usize;
        if self.samples.len() <= index {
            self.samples.resize(index + 1, Sample::default());
        }
        &mut self.samples[index]
    }
}
