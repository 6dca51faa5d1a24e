//! Keeps recordings: asks nodes for those that run, stores what comes, and ends those whose time is over.
//!
//! Which recordings run is in the database alone. Every control plane looks there every few seconds and asks the nodes to go on,
//! and a node sends to whoever asked last. So a recording survives the end of any control plane, follows its room to another
//! node, and ends by itself when nobody speaks of it any more: no state is anywhere that a crash could leave behind.
//!
//! A piece's file is durable before the row that shows it, and the janitor deletes files before rows.

use crate::audit::By;
use crate::files::Files;
use crate::hub::Hub;
use crate::ids::unix_ms;
use crate::store::{Conflict, Store, StoreError, StoredRecording};
use guildhall_protocol::RecordingId;
use guildhall_protocol::fleet::{FromNode, Medium, Recorded, RecordingOrder};
use guildhall_protocol::model::RecordingState;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

/// Pieces of all recordings that wait to be stored: some 16 MB of a few full rooms. Beyond: they are lost.
const QUEUE: usize = 1_024;
/// Of them pieces of videos, which are larger, some 32 MB: when as many wait, there is no place for more of those. Voices have
/// the rest for themselves.
const VIDEO_QUEUE: usize = QUEUE / 4;
/// How often it is looked which recordings run: several times in the time that a node records without being asked.
const ROUND: Duration = Duration::from_secs(3);
/// A recording that no node speaks of for this long is interrupted: nodes that come back do so within seconds, and a room that
/// lost its node has another long before.
const SILENCE_MS: u64 = 15_000;
/// How long a recording goes on in an empty room: people who lost their connection come back sooner.
const EMPTY: Duration = Duration::from_secs(30);
/// The longest recording.
const LENGTH_MS: u64 = 4 * 3_600_000;
/// How long a stopped recording waits for its last pieces.
const ENDING_MS: u64 = 20_000;
/// How often expired recordings are looked for, and how many at a time.
const SWEEP: Duration = Duration::from_secs(30);
const BATCH: u32 = 16;
const DAY_MS: u64 = 86_400_000;

/// What a recording's node is to be told.
pub fn order(recording: &StoredRecording) -> RecordingOrder {
    RecordingOrder {
        recording: recording.id,
        room: recording.channel_id,
        since_ms: recording.started_at,
        is_over: recording.state != RecordingState::Recording,
        video: recording.video,
    }
}

/// What became of recordings since the start, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeeperStats {
    /// Those that run, as all control planes know them.
    pub running: u64,
    /// Pieces that were stored here, and their bytes.
    pub pieces: u64,
    pub bytes: u64,
    /// Pieces that came faster than they could be stored, or could not be.
    pub lost: u64,
    /// Recordings that were interrupted, because no voice node spoke of them any more.
    pub interrupted: u64,
}

#[derive(Default)]
struct Counters {
    running: AtomicU64,
    pieces: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    interrupted: AtomicU64,
}

/// Where what nodes record is handed in. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    queue: mpsc::Sender<FromNode>,
    counters: Arc<Counters>,
}

impl Intake {
    /// With the other end, which the keeper takes.
    pub fn new() -> (Self, mpsc::Receiver<FromNode>) {
        let (queue, pieces) = mpsc::channel(QUEUE);
        (Self { queue, counters: Arc::default() }, pieces)
    }

    /// Never waits.
    pub fn take(&self, message: FromNode) {
        let is_video = matches!(&message, FromNode::Recorded(piece) if piece.medium != Medium::Voice);
        let waiting = QUEUE - self.queue.capacity().min(QUEUE);
        if is_video && waiting >= VIDEO_QUEUE || self.queue.try_send(message).is_err() {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("pieces of recordings come faster than they can be stored; one is lost");
        }
    }

    pub fn stats(&self) -> KeeperStats {
        let Counters { running, pieces, bytes, lost, interrupted } = &*self.counters;
        let [running, pieces, bytes, lost, interrupted] =
            [running, pieces, bytes, lost, interrupted].map(|counter| counter.load(Ordering::Relaxed));
        KeeperStats { running, pieces, bytes, lost, interrupted }
    }
}

/// What comes next for a recording that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Its node is asked again.
    Ask,
    End(RecordingState),
    /// Nothing more will come.
    Finish,
}

fn next(recording: &StoredRecording, now_ms: u64, is_empty_for_long: bool) -> Next {
    let since = |moment: u64| now_ms.saturating_sub(moment);
    match recording.state {
        RecordingState::Ending if since(recording.ended_at.unwrap_or_default()) > ENDING_MS => Next::Finish,
        RecordingState::Recording if since(recording.heard_at) > SILENCE_MS => Next::End(RecordingState::Interrupted),
        RecordingState::Recording if since(recording.started_at) > LENGTH_MS || is_empty_for_long => {
            Next::End(RecordingState::Ending)
        }
        _ => Next::Ask,
    }
}

pub struct Keeper {
    pub files: Files,
    pub store: Store,
    pub hub: Hub,
    pub intake: Intake,
    /// How long recordings are kept.
    pub days: u32,
}

impl Keeper {
    /// Runs until it is to stop, and then stores what has come.
    pub async fn run(self, mut recorded: mpsc::Receiver<FromNode>, mut stop: oneshot::Receiver<()>) {
        let (mut rounds, mut sweeps) = (interval(ROUND), interval(SWEEP));
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut empty = HashMap::new();
        loop {
            let done = tokio::select! {
                Some(message) = recorded.recv() => self.hear(message).await,
                _ = rounds.tick() => self.round(&mut empty).await,
                _ = sweeps.tick() => self.sweep(unix_ms()).await,
                _ = &mut stop => break,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "recordings cannot be looked after; it will be tried again");
            }
        }
        recorded.close();
        while let Some(message) = recorded.recv().await {
            if let Err(error) = self.hear(message).await {
                tracing::warn!(%error, "the end of a recording cannot be stored");
            }
        }
    }

    async fn hear(&self, message: FromNode) -> anyhow::Result<()> {
        match message {
            FromNode::Recorded(piece) => self.keep(piece).await?,
            FromNode::Recording { recording, is_over: false } => self.store.hear_of_recording(recording).await?,
            FromNode::Recording { recording, is_over: true } => match self.store.finish_recording(recording).await {
                Ok(()) | Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            },
            _ => {}
        }
        Ok(())
    }

    async fn keep(&self, piece: Recorded) -> anyhow::Result<()> {
        let recording = piece.recording;
        if !self.store.takes_pieces(recording).await? {
            return Ok(());
        }
        let counters = &self.intake.counters;
        let lose = |error: anyhow::Error| {
            counters.lost.fetch_add(1, Ordering::Relaxed);
            error
        };
        self.files.put_piece(piece.clone()).await.map_err(|error| lose(error.into()))?;
        match self.store.keep_piece(&piece).await {
            Ok(()) => {
                counters.pieces.fetch_add(1, Ordering::Relaxed);
                counters.bytes.fetch_add(piece.bytes.len() as u64, Ordering::Relaxed);
                Ok(())
            }
            // It was ended or deleted meanwhile; a deleted one's files are deleted together.
            Err(StoreError::Conflict(Conflict::Missing)) => Ok(()),
            Err(StoreError::Conflict(Conflict::Full)) => {
                tracing::warn!(%recording, "a recording ends because it is as large as one may be");
                self.end(recording, RecordingState::Ending).await
            }
            Err(error) => Err(lose(error.into())),
        }
    }

    async fn end(&self, recording: RecordingId, state: RecordingState) -> anyhow::Result<()> {
        match self.store.end_recording(By::nobody(), recording, state).await {
            Ok(ended) => self.hub.record(order(&ended)),
            Err(StoreError::Conflict(Conflict::Missing)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// `empty`: since when nobody is in the room of which recording.
    async fn round(&self, empty: &mut HashMap<RecordingId, Instant>) -> anyhow::Result<()> {
        let running = self.store.running_recordings().await?;
        let count = running.iter().filter(|recording| recording.state == RecordingState::Recording).count();
        self.intake.counters.running.store(count as u64, Ordering::Relaxed);
        empty.retain(|id, _| running.iter().any(|recording| recording.id == *id));
        for recording in running {
            if self.hub.is_deserted(recording.channel_id) {
                empty.entry(recording.id).or_insert_with(Instant::now);
            } else {
                empty.remove(&recording.id);
            }
            let is_empty_for_long = empty.get(&recording.id).is_some_and(|since| since.elapsed() > EMPTY);
            match next(&recording, unix_ms(), is_empty_for_long) {
                Next::Ask => self.hub.record(order(&recording)),
                Next::End(state) => {
                    let is_lost = state == RecordingState::Interrupted;
                    self.intake.counters.interrupted.fetch_add(u64::from(is_lost), Ordering::Relaxed);
                    self.end(recording.id, state).await?;
                }
                Next::Finish => self.store.finish_recording(recording.id).await?,
            }
        }
        Ok(())
    }

    /// Deletes everything whose time has come.
    pub async fn sweep(&self, now_ms: u64) -> anyhow::Result<()> {
        let before = now_ms.saturating_sub(u64::from(self.days) * DAY_MS);
        loop {
            let doomed = self.store.doomed_recordings(before, BATCH).await?;
            if doomed.is_empty() {
                return Ok(());
            }
            for recording in &doomed {
                self.files.delete_recording(*recording).await?;
            }
            self.store.forget_recordings(doomed).await?;
        }
    }
}

/// When a recording is deleted that has ended.
pub fn expires_at(recording: &StoredRecording, days: u32) -> Option<u64> {
    recording.ended_at.map(|ended| ended + u64::from(days) * DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use RecordingState::{Ending, Interrupted, Recording};
    use guildhall_protocol::{ChannelId, GuildId, UserId};

    #[test]
    fn videos_leave_most_of_the_queue_to_voices_and_what_finds_no_place_is_counted() {
        let (intake, _pieces) = Intake::new();
        let piece = |medium| {
            let (recording, user) = (RecordingId::new(1), UserId::new(4));
            let (start_ms, number, length_ms, lost, bytes) = (0, 0, 0, 0, vec![1]);
            FromNode::Recorded(Recorded { recording, user, medium, start_ms, number, length_ms, lost, bytes })
        };
        (0..VIDEO_QUEUE + 10).for_each(|_| intake.take(piece(Medium::ALL[1])));
        assert_eq!(intake.stats(), KeeperStats { lost: 10, ..KeeperStats::default() });
        (0..QUEUE - VIDEO_QUEUE + 5).for_each(|_| intake.take(piece(Medium::Voice)));
        assert_eq!(intake.stats().lost, 15);
    }

    #[test]
    fn a_recording_goes_on_until_its_node_its_people_or_its_time_are_gone() {
        let started_at = 1_000_000;
        let recording = |state, heard: u64, ended: Option<u64>| StoredRecording {
            id: RecordingId::new(1),
            guild_id: GuildId::new(2),
            channel_id: ChannelId::new(3),
            user_id: UserId::new(4),
            state,
            started_at,
            ended_at: ended.map(|ms| started_at + ms),
            heard_at: started_at + heard,
            bytes: 0,
            video: false,
        };
        for (state, heard, ended, now, is_empty, expected) in [
            (Recording, 0, None, SILENCE_MS, false, Next::Ask),
            (Recording, 0, None, SILENCE_MS + 1, false, Next::End(Interrupted)),
            // A node that is gone takes the people with it: that is not their leaving.
            (Recording, 0, None, SILENCE_MS + 1, true, Next::End(Interrupted)),
            (Recording, 40_000, None, 50_000, true, Next::End(Ending)),
            (Recording, LENGTH_MS, None, LENGTH_MS, false, Next::Ask),
            (Recording, LENGTH_MS, None, LENGTH_MS + 1, false, Next::End(Ending)),
            (Ending, 0, Some(100), 100 + ENDING_MS, false, Next::Ask),
            (Ending, 0, Some(100), 101 + ENDING_MS, false, Next::Finish),
        ] {
            let found = next(&recording(state, heard, ended), started_at + now, is_empty);
            assert_eq!(found, expected, "{state:?} {heard} {ended:?} {now} {is_empty}");
        }
    }
}
