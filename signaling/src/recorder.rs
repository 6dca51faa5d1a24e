//! Records rooms: what the media engine hears in one becomes a file for each user ([`reel`]), and what it sees, where that is
//! wanted, one for each camera and screen ([`film`]). They go to the control plane piece by piece; nothing is kept here, so what
//! a node's death costs is the last seconds.
//!
//! A recording lives by being asked for again and again ([`RECORDING_LEASE`]): whichever control plane asks, its line gets the
//! pieces from then on. What a line does not take waits for the next question.

mod assembly;
pub mod depacketize;
pub mod film;
mod matroska;
mod ogg;
mod opus;
mod reel;

use crate::node::{Node, unix_ms};
use film::Film;
use guildhall_protocol::fleet::{FromNode, RECORDING_LEASE, Recorded, RecordingOrder};
use guildhall_protocol::{RecordingId, UserId};
use guildhall_sfu::{Heard, PeerId, RoomId, Seen};
use opus::PER_MS;
use reel::{Packet, Piece, Reel};
use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Recordings of this node at once. What more is asked for is not begun, and ends for want of an answer.
const RECORDINGS: usize = 32;

/// Packets that wait for a recorder: a second and a half of fifty speakers. Beyond: they are lost, and counted.
const TAPE: usize = 4_096;

/// Packets of video that wait for a recorder: a second and a half of ten cameras. Beyond: they are lost, and counted.
const PICTURES: usize = 4_096;

/// Packets that are taken at once.
const BATCH: usize = 256;

/// How often files are written on.
const TICK: Duration = Duration::from_secs(1);

/// Pieces that wait for a control plane: those of a full room for as long as a recording goes on without one. Beyond: it ends.
const PENDING: usize = 1_024;

/// Bytes that wait for a control plane. Beyond: videos are not recorded until it takes some, so that voices are.
const PENDING_BYTES: usize = 16 * 1024 * 1024;

/// Questions that wait for a recorder. Beyond: they are passed over, and asked again.
const QUESTIONS: usize = 4;

/// What recordings of this node did since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderStats {
    /// Those that run.
    pub running: u64,
    /// Bytes of files that were given to control planes.
    pub bytes: u64,
    /// Pictures that were written.
    pub pictures: u64,
    /// Packets of videos that were left out, because they or others that they need are missing.
    pub video_lost: u64,
    /// Recordings that could not begin, or ended because no control plane took them.
    pub failures: u64,
}

/// Where they are counted.
#[derive(Default)]
pub struct Counters {
    running: AtomicU64,
    bytes: AtomicU64,
    pictures: AtomicU64,
    video_lost: AtomicU64,
    failures: AtomicU64,
}

impl Counters {
    pub fn stats(&self) -> RecorderStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Self { running, bytes, pictures, video_lost, failures } = self;
        let (running, bytes, pictures) = (read(running), read(bytes), read(pictures));
        RecorderStats { running, bytes, pictures, video_lost: read(video_lost), failures: read(failures) }
    }
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// The recordings of this node.
#[derive(Default)]
pub struct Recorders {
    running: HashMap<RecordingId, mpsc::Sender<(u64, RecordingOrder)>>,
}

impl Recorders {
    /// A control plane, on this line, wants a room to be recorded, or no more.
    pub fn hear(&mut self, node: &Arc<Node>, line: u64, record: RecordingOrder) {
        if let Some(running) = self.running.get(&record.recording) {
            let _ = running.try_send((line, record));
        } else if !record.is_over && self.running.len() < RECORDINGS {
            let (questions, asked) = mpsc::channel(QUESTIONS);
            self.running.insert(record.recording, questions);
            tokio::spawn(run(Arc::clone(node), line, record, asked));
        }
    }

    pub fn ended(&mut self, recording: RecordingId) {
        self.running.remove(&recording);
    }
}

/// Records until it is told to end, nobody asks for it any more, or the node stops.
async fn run(node: Arc<Node>, line: u64, record: RecordingOrder, mut asked: mpsc::Receiver<(u64, RecordingOrder)>) {
    let recording = record.recording;
    let (sound, heard) = mpsc::channel(TAPE);
    let (pictures, seen) = record.video.then(|| mpsc::channel(PICTURES)).unzip();
    match node.sfu.tape(RoomId(record.room.get()), sound, pictures).await {
        Ok(()) => {
            count(&node.recorded.running, 1);
            Recorder::new(&node, line, record).run(heard, seen, &mut asked).await;
            node.recorded.running.fetch_sub(1, Ordering::Relaxed);
        }
        Err(error) => {
            count(&node.recorded.failures, 1);
            tracing::warn!(%recording, %error, "a room cannot be recorded");
        }
    }
    node.recorder_ended(recording);
}

struct Recorder<'a> {
    node: &'a Node,
    /// Where the pieces go.
    line: u64,
    record: RecordingOrder,
    /// This moment is so many samples after the recording's beginning.
    base: (Instant, u64),
    reel: Reel,
    film: Film,
    /// Whose connections they are that show something: asked for anew each second.
    users: HashMap<PeerId, UserId>,
    pending: VecDeque<FromNode>,
    pending_bytes: usize,
    /// When it was last asked for.
    asked: Instant,
}

impl<'a> Recorder<'a> {
    fn new(node: &'a Node, line: u64, record: RecordingOrder) -> Self {
        let now = Instant::now();
        let base = (now, unix_ms().saturating_sub(record.since_ms) * PER_MS);
        let (reel, film, users, pending) = (Reel::default(), Film::default(), HashMap::new(), VecDeque::new());
        let mut recorder = Self { node, line, record, base, reel, film, users, pending, pending_bytes: 0, asked: now };
        recorder.answer(false);
        recorder
    }

    async fn run(
        mut self,
        mut heard: mpsc::Receiver<Heard>,
        mut seen: Option<mpsc::Receiver<Seen>>,
        asked: &mut mpsc::Receiver<(u64, RecordingOrder)>,
    ) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.node.stop.subscribe();
        let (mut batch, mut shots) = (Vec::with_capacity(BATCH), Vec::new());
        loop {
            tokio::select! {
                // What is said comes before what is shown.
                biased;
                taken = heard.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    batch.drain(..).for_each(|heard| self.hear(heard));
                }
                _ = stop.wait_for(|is_stopping| *is_stopping) => break,
                Some((line, record)) = asked.recv() => {
                    (self.line, self.asked) = (line, Instant::now());
                    if record.is_over {
                        break;
                    }
                    self.answer(false);
                }
                _ = ticks.tick() => {
                    let now = Instant::now();
                    let mut pieces = self.reel.tick(self.samples(now));
                    pieces.extend(self.film.tick(self.ticks(now)));
                    self.send(pieces);
                    self.wish(now);
                    if self.asked.elapsed() > RECORDING_LEASE || self.pending.len() > PENDING {
                        count(&self.node.recorded.failures, 1);
                        tracing::warn!(recording = %self.record.recording, "no control plane takes a recording any more");
                        break;
                    }
                }
                taken = take(&mut seen, &mut shots) => {
                    if taken == 0 {
                        seen = None;
                    }
                    self.see(&mut shots);
                }
            }
        }
        heard.close();
        while heard.recv_many(&mut batch, BATCH).await > 0 {
            batch.drain(..).for_each(|heard| self.hear(heard));
        }
        if let Some(seen) = &mut seen {
            seen.close();
            while seen.recv_many(&mut shots, BATCH).await > 0 {
                self.see(&mut shots);
            }
        }
        let now = Instant::now();
        let mut pieces = self.reel.end(self.samples(now));
        pieces.extend(self.film.end(self.ticks(now)));
        self.send(pieces);
        self.wish(now);
        self.answer(true);
    }

    fn samples(&self, at: Instant) -> u64 {
        let (then, samples) = self.base;
        samples + at.saturating_duration_since(then).as_micros() as u64 * PER_MS / 1_000
    }

    /// The same in the clock of video.
    fn ticks(&self, at: Instant) -> u64 {
        self.samples(at) * film::PER_MS / PER_MS
    }

    fn see(&mut self, shots: &mut Vec<Seen>) {
        let mut pieces = Vec::new();
        for seen in shots.drain(..) {
            let known = self.users.get(&seen.publisher).copied();
            let user = known.or_else(|| self.node.user_of(self.record.room, seen.publisher));
            match user.filter(|_| self.pending_bytes < PENDING_BYTES) {
                Some(user) => {
                    self.users.insert(seen.publisher, user);
                    let at = self.ticks(seen.at);
                    self.film.see(user, at, seen, &mut pieces);
                }
                None => count(&self.node.recorded.video_lost, 1),
            }
        }
        self.send(pieces);
    }

    /// Asks for the key frames that are needed, and counts.
    fn wish(&mut self, now: Instant) {
        self.users.clear();
        self.film.wishes(self.ticks(now)).for_each(|(peer, source)| self.node.sfu.refresh(peer, source));
        let film::Counts { pictures, lost } = self.film.take_counts();
        count(&self.node.recorded.pictures, pictures);
        count(&self.node.recorded.video_lost, lost);
    }

    fn hear(&mut self, heard: Heard) {
        self.reel.miss(heard.lost_before);
        match self.node.user_of(self.record.room, heard.speaker) {
            Some(user) => {
                let (peer, timestamp, at) = (heard.speaker, heard.timestamp, self.samples(heard.at));
                self.reel.hear(Packet { user, peer, timestamp, at, opus: heard.opus });
            }
            // Who has left meanwhile.
            None => self.reel.miss(1),
        }
    }

    fn answer(&mut self, is_over: bool) {
        self.pending.push_back(FromNode::Recording { recording: self.record.recording, is_over });
        self.send(Vec::new());
    }

    /// Sends what the line takes.
    fn send(&mut self, pieces: Vec<Piece>) {
        let recording = self.record.recording;
        self.pending.extend(pieces.into_iter().map(|piece| {
            let Piece { user, medium, start_ms, number, length_ms, lost, bytes } = piece;
            self.pending_bytes += bytes.len();
            FromNode::Recorded(Recorded { recording, user, medium, start_ms, number, length_ms, lost, bytes })
        }));
        while let Some(message) = self.pending.pop_front() {
            let bytes = if let FromNode::Recorded(piece) = &message { piece.bytes.len() } else { 0 };
            if let Some(message) = self.node.report_to(self.line, message) {
                return self.pending.push_front(message);
            }
            self.pending_bytes -= bytes;
            count(&self.node.recorded.bytes, bytes as u64);
        }
    }
}

/// Takes a batch of what is shown; never returns where nothing is filmed.
async fn take(seen: &mut Option<mpsc::Receiver<Seen>>, shots: &mut Vec<Seen>) -> usize {
    match seen {
        Some(seen) => seen.recv_many(shots, BATCH).await,
        None => pending().await,
    }
}
