//! Records rooms: what the media engine hears in one becomes a file for each user ([`reel`]), which goes to the control plane
//! piece by piece. Nothing is kept here, so what a node's death costs is the last seconds.
//!
//! A recording lives by being asked for again and again ([`RECORDING_LEASE`]): whichever control plane asks, its line gets the
//! pieces from then on. What a line does not take waits for the next question.

mod ogg;
mod opus;
mod reel;

use crate::node::{Node, unix_ms};
use guildhall_protocol::RecordingId;
use guildhall_protocol::fleet::{FromNode, RECORDING_LEASE, Recorded, RecordingOrder};
use guildhall_sfu::{Heard, RoomId};
use opus::PER_MS;
use reel::{Packet, Piece, Reel};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Recordings of this node at once. What more is asked for is not begun, and ends for want of an answer.
const RECORDINGS: usize = 32;

/// Packets that wait for a recorder: a second and a half of fifty speakers. Beyond: they are lost, and counted.
const TAPE: usize = 4_096;

/// Packets that are taken at once.
const BATCH: usize = 256;

/// How often files are written on.
const TICK: Duration = Duration::from_secs(1);

/// Pieces that wait for a control plane: those of a full room for as long as a recording goes on without one. Beyond: it ends.
const PENDING: usize = 1_024;

/// Questions that wait for a recorder. Beyond: they are passed over, and asked again.
const QUESTIONS: usize = 4;

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
    let (tape, heard) = mpsc::channel(TAPE);
    match node.sfu.tape(RoomId(record.room.get()), tape).await {
        Ok(()) => Recorder::new(&node, line, record).run(heard, &mut asked).await,
        Err(error) => tracing::warn!(%recording, %error, "a room cannot be recorded"),
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
    pending: VecDeque<FromNode>,
    /// When it was last asked for.
    asked: Instant,
}

impl<'a> Recorder<'a> {
    fn new(node: &'a Node, line: u64, record: RecordingOrder) -> Self {
        let now = Instant::now();
        let base = (now, unix_ms().saturating_sub(record.since_ms) * PER_MS);
        let mut recorder = Self { node, line, record, base, reel: Reel::default(), pending: VecDeque::new(), asked: now };
        recorder.answer(false);
        recorder
    }

    async fn run(mut self, mut heard: mpsc::Receiver<Heard>, asked: &mut mpsc::Receiver<(u64, RecordingOrder)>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.node.stop.subscribe();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                taken = heard.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    batch.drain(..).for_each(|heard| self.hear(heard));
                }
                Some((line, record)) = asked.recv() => {
                    (self.line, self.asked) = (line, Instant::now());
                    if record.is_over {
                        break;
                    }
                    self.answer(false);
                }
                _ = ticks.tick() => {
                    let pieces = self.reel.tick(self.samples(Instant::now()));
                    self.send(pieces);
                    if self.asked.elapsed() > RECORDING_LEASE || self.pending.len() > PENDING {
                        tracing::warn!(recording = %self.record.recording, "no control plane takes a recording any more");
                        break;
                    }
                }
                _ = stop.wait_for(|is_stopping| *is_stopping) => break,
            }
        }
        heard.close();
        while heard.recv_many(&mut batch, BATCH).await > 0 {
            batch.drain(..).for_each(|heard| self.hear(heard));
        }
        let pieces = self.reel.end(self.samples(Instant::now()));
        self.send(pieces);
        self.answer(true);
    }

    fn samples(&self, at: Instant) -> u64 {
        let (then, samples) = self.base;
        samples + at.saturating_duration_since(then).as_micros() as u64 * PER_MS / 1_000
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
            let Piece { user, start_ms, number, length_ms, lost, bytes } = piece;
            FromNode::Recorded(Recorded { recording, user, start_ms, number, length_ms, lost, bytes })
        }));
        while let Some(message) = self.pending.pop_front() {
            if let Some(message) = self.node.report_to(self.line, message) {
                return self.pending.push_front(message);
            }
        }
    }
}
