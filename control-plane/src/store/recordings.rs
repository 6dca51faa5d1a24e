//! Recordings of voice channels: which there are, and which pieces of them are stored.
//!
//! A recording and what its channel says of it begin and end in one transaction, with the message that tells so in the
//! channel's chat: whoever sees the channel, by whatever client, is told.

use super::channels::{emit_channel, find_channel};
use super::engine::Row;
use super::messages::{NewMessage, insert_message};
use super::users::find_user;
use super::{Conflict, Result, Store, Tx};
use crate::audit::{By, Entry};
use crate::files::recordings::TrackId;
use guildhall_protocol::fleet::{Medium, Recorded};
use guildhall_protocol::model::{AuditAction, ChannelRecording, Message, RecordingState, timestamp};
use guildhall_protocol::{ChannelId, GuildId, RecordingId, UserId};
use serde_json::json;
use sqlx::Row as _;

/// Recordings of one guild at a time.
const AT_ONCE: i64 = 3;
/// Bytes of one recording: ten people who talk for the four hours that it may last, and then some. Beyond: it ends.
const RECORDING_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// The same with cameras and screens: five of them at their best for an hour and a half.
const VIDEO_RECORDING_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// How many recordings of a channel are listed: the newest.
const LISTED: i64 = 100;

/// The message of the chat when it begins and when it ends.
const BEGUN: &str = "\u{1F534} I am recording this voice channel: whatever is said here is kept.";
const BEGUN_WITH_VIDEO: &str =
    "\u{1F534} I am recording this voice channel with its cameras and screens: whatever is said and shown here is kept.";
const ENDED: &str = "\u{23F9}\u{FE0F} The recording of this voice channel has ended.";

/// In the database; what has no name in the protocol is about to be deleted.
pub(super) const DELETED: i64 = 4;

fn number(state: RecordingState) -> i64 {
    match state {
        RecordingState::Recording => 0,
        RecordingState::Ending => 1,
        RecordingState::Done => 2,
        RecordingState::Interrupted => 3,
    }
}

/// A recording without its tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecording {
    pub id: RecordingId,
    pub guild_id: GuildId,
    pub channel_id: ChannelId,
    /// Who began it.
    pub user_id: UserId,
    pub state: RecordingState,
    /// Unix milliseconds, all of them.
    pub started_at: u64,
    pub ended_at: Option<u64>,
    pub heard_at: u64,
    pub bytes: u64,
    /// With cameras and screens.
    pub video: bool,
}

impl StoredRecording {
    /// How large it may become.
    pub fn most_bytes(&self) -> u64 {
        if self.video { VIDEO_RECORDING_BYTES } else { RECORDING_BYTES }
    }
}

/// What is stored of one user's voice, or of what they showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTrack {
    pub user_id: UserId,
    pub medium: Medium,
    pub start_ms: u64,
    pub length_ms: u64,
    pub bytes: u64,
    pub lost: u64,
}

/// A piece of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPiece {
    pub number: u32,
    pub bytes: u64,
    /// Of the track, with this piece.
    pub length_ms: u64,
}

/// Of the column; what a newer version wrote is shown as what every version knows.
pub(super) fn medium_of(number: i64) -> Medium {
    u32::try_from(number).ok().and_then(Medium::from_number).unwrap_or(Medium::Voice)
}

fn recording_of(row: &Row) -> Result<StoredRecording> {
    let moment = |column| row.try_get::<i64, _>(column).map(|ms| ms as u64);
    Ok(StoredRecording {
        id: RecordingId::from_sql(row.try_get("id")?),
        guild_id: GuildId::from_sql(row.try_get("guild_id")?),
        channel_id: ChannelId::from_sql(row.try_get("channel_id")?),
        user_id: UserId::from_sql(row.try_get("user_id")?),
        state: match row.try_get::<i64, _>("state")? {
            0 => RecordingState::Recording,
            1 => RecordingState::Ending,
            2 => RecordingState::Done,
            _ => RecordingState::Interrupted,
        },
        started_at: moment("started_at")?,
        ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(|ms| ms as u64),
        heard_at: moment("heard_at")?,
        bytes: moment("bytes")?,
        video: row.try_get::<i64, _>("video")? != 0,
    })
}

/// Shows, or shows no more, that the channel is recorded: in its object and its chat. A channel that is gone shows nothing.
async fn show(tx: &mut Tx<'_>, by: &By, recording: &StoredRecording, shown: Option<ChannelRecording>) -> Result<()> {
    let StoredRecording { channel_id, user_id, .. } = *recording;
    let text = shown.as_ref().map(serde_json::to_string).transpose()?;
    sqlx::query("UPDATE channels SET recording = $2 WHERE id = $1")
        .bind(channel_id.to_sql())
        .bind(text)
        .execute(tx.sql())
        .await?;
    let Some(channel) = find_channel(tx.sql(), channel_id).await? else { return Ok(()) };
    let (guild_id, is_begun) = (channel.guild_id, shown.is_some());
    emit_channel(tx, channel).await?;
    let fact = |is_running: bool| if is_running { json!({ "recording": recording.id }) } else { json!({}) };
    let entry = Entry::changed(AuditAction::CHANNEL_UPDATE, channel_id, fact(!is_begun), fact(is_begun));
    tx.audit(guild_id, by, entry).await?;
    let Some(author) = find_user(tx.sql(), user_id).await? else { return Ok(()) };
    let text = match (is_begun, recording.video) {
        (true, false) => BEGUN,
        (true, true) => BEGUN_WITH_VIDEO,
        (false, _) => ENDED,
    };
    let message = Message::new(channel_id, author, text.to_owned());
    let guild_id = Some(guild_id);
    insert_message(tx, NewMessage { guild_id, message, member: None, files: Vec::new(), enforced_nonce: None }).await?;
    Ok(())
}

async fn find(tx: &mut Tx<'_>, id: RecordingId) -> Result<StoredRecording> {
    let row = sqlx::query("SELECT * FROM recordings WHERE id = $1 AND state <> $2");
    let row = row.bind(id.to_sql()).bind(DELETED).fetch_optional(tx.sql()).await?;
    recording_of(&row.ok_or(Conflict::Missing)?)
}

async fn set_state(tx: &mut Tx<'_>, id: RecordingId, state: i64) -> Result<()> {
    let ended_at = tx.now_ms as i64;
    sqlx::query("UPDATE recordings SET state = $2, ended_at = COALESCE(ended_at, $3) WHERE id = $1")
        .bind(id.to_sql())
        .bind(state)
        .bind(ended_at)
        .execute(tx.sql())
        .await?;
    Ok(())
}

impl Store {
    /// Begins to record a voice channel, for whoever `user` is. [`Conflict::AlreadyThere`]: it is recorded;
    /// [`Conflict::Full`]: enough others of the guild are; [`Conflict::Missing`]: it is gone.
    pub async fn begin_recording(&self, by: By, channel: ChannelId, user: UserId, video: bool) -> Result<StoredRecording> {
        let id: RecordingId = self.make_id();
        self.write(move |tx| {
            Box::pin(async move {
                let channel = find_channel(tx.sql(), channel).await?.ok_or(Conflict::Missing)?;
                if channel.recording.is_some() {
                    return Err(Conflict::AlreadyThere.into());
                }
                let count = sqlx::query_scalar("SELECT count(*) FROM recordings WHERE guild_id = $1 AND state < 2");
                let count: i64 = count.bind(channel.guild_id.to_sql()).fetch_one(tx.sql()).await?;
                if count >= AT_ONCE {
                    return Err(Conflict::Full.into());
                }
                let recording = StoredRecording {
                    id,
                    guild_id: channel.guild_id,
                    channel_id: channel.id,
                    user_id: user,
                    state: RecordingState::Recording,
                    started_at: tx.now_ms,
                    ended_at: None,
                    heard_at: tx.now_ms,
                    bytes: 0,
                    video,
                };
                sqlx::query(
                    "INSERT INTO recordings (id, guild_id, channel_id, user_id, state, started_at, heard_at, video) \
                     VALUES ($1, $2, $3, $4, 0, $5, $5, $6)",
                )
                .bind(id.to_sql())
                .bind(channel.guild_id.to_sql())
                .bind(channel.id.to_sql())
                .bind(user.to_sql())
                .bind(tx.now_ms as i64)
                .bind(i64::from(video))
                .execute(tx.sql())
                .await?;
                let shown = ChannelRecording { id, user_id: user, started_at: timestamp(tx.now_ms), video };
                show(tx, &by, &recording, Some(shown)).await?;
                Ok(recording)
            })
        })
        .await
    }

    /// Ends a recording that runs: by being stopped ([`RecordingState::Ending`]: there is more to come) or for want of its node
    /// ([`RecordingState::Interrupted`]). One that has ended stays as it is. [`Conflict::Missing`]: there is no such recording.
    pub async fn end_recording(&self, by: By, id: RecordingId, state: RecordingState) -> Result<StoredRecording> {
        self.write(move |tx| {
            Box::pin(async move {
                let recording = find(tx, id).await?;
                if recording.state != RecordingState::Recording {
                    return Ok(recording);
                }
                set_state(tx, id, number(state)).await?;
                show(tx, &by, &recording, None).await?;
                find(tx, id).await
            })
        })
        .await
    }

    /// All that there is of a recording that is ending has come.
    pub async fn finish_recording(&self, id: RecordingId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                if find(tx, id).await?.state == RecordingState::Ending {
                    set_state(tx, id, number(RecordingState::Done)).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Its node says that it records.
    pub async fn hear_of_recording(&self, id: RecordingId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let heard_at = tx.now_ms as i64;
                let heard = sqlx::query("UPDATE recordings SET heard_at = $2 WHERE id = $1 AND state = 0");
                heard.bind(id.to_sql()).bind(heard_at).execute(tx.sql()).await?;
                Ok(())
            })
        })
        .await
    }

    /// Whether there is a recording that pieces are still taken of.
    pub async fn takes_pieces(&self, id: RecordingId) -> Result<bool> {
        let found = sqlx::query("SELECT id FROM recordings WHERE id = $1 AND state < 2").bind(id.to_sql());
        Ok(found.fetch_optional(self.readers()).await?.is_some())
    }

    /// After the piece's file is durable: from now on it can be played. A piece that came twice is there once.
    /// [`Conflict::Missing`]: nothing is taken any more; [`Conflict::Full`]: the recording is as large as it may be.
    pub async fn keep_piece(&self, piece: &Recorded) -> Result<()> {
        let Recorded { recording, user, medium, start_ms, number, length_ms, lost, ref bytes } = *piece;
        let bytes = bytes.len() as u64;
        self.write(move |tx| {
            Box::pin(async move {
                let found = find(tx, recording).await?;
                if !matches!(found.state, RecordingState::Recording | RecordingState::Ending) {
                    return Err(Conflict::Missing.into());
                }
                if found.bytes + bytes > found.most_bytes() {
                    return Err(Conflict::Full.into());
                }
                let insert = if medium == Medium::Voice {
                    "INSERT INTO recorded_pieces (recording_id, user_id, start_ms, number, bytes, length_ms, lost) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
                } else {
                    "INSERT INTO recorded_pictures (recording_id, user_id, start_ms, number, bytes, length_ms, lost, medium) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"
                };
                let kept = sqlx::query(insert)
                    .bind(recording.to_sql())
                    .bind(user.to_sql())
                    .bind(start_ms as i64)
                    .bind(i64::from(number))
                    .bind(bytes as i64)
                    .bind(length_ms as i64)
                    .bind(i64::from(lost));
                let kept = if medium == Medium::Voice { kept } else { kept.bind(i64::from(medium.number())) };
                let kept = kept.execute(tx.sql()).await?;
                if kept.rows_affected() > 0 {
                    let heard_at = tx.now_ms as i64;
                    sqlx::query("UPDATE recordings SET bytes = bytes + $2, heard_at = $3 WHERE id = $1")
                        .bind(recording.to_sql())
                        .bind(bytes as i64)
                        .bind(heard_at)
                        .execute(tx.sql())
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Those that run or are ending, the oldest first.
    pub async fn running_recordings(&self) -> Result<Vec<StoredRecording>> {
        let rows = sqlx::query("SELECT * FROM recordings WHERE state < 2 ORDER BY id").fetch_all(self.readers()).await?;
        rows.iter().map(recording_of).collect()
    }

    /// A channel's recordings, the newest first.
    pub async fn recordings_of(&self, channel: ChannelId) -> Result<Vec<StoredRecording>> {
        let rows = sqlx::query("SELECT * FROM recordings WHERE channel_id = $1 AND state <> $2 ORDER BY id DESC LIMIT $3")
            .bind(channel.to_sql())
            .bind(DELETED)
            .bind(LISTED)
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(recording_of).collect()
    }

    pub async fn find_recording(&self, channel: ChannelId, id: RecordingId) -> Result<Option<StoredRecording>> {
        let row = sqlx::query("SELECT * FROM recordings WHERE id = $1 AND channel_id = $2 AND state <> $3")
            .bind(id.to_sql())
            .bind(channel.to_sql())
            .bind(DELETED)
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(recording_of).transpose()
    }

    /// A recording's tracks, by their beginnings.
    pub async fn tracks_of(&self, recording: RecordingId) -> Result<Vec<StoredTrack>> {
        let rows = sqlx::query(
            "SELECT user_id, medium, start_ms, max(length_ms) AS length_ms, CAST(sum(bytes) AS BIGINT) AS bytes, \
             CAST(sum(lost) AS BIGINT) AS lost FROM all_pieces WHERE recording_id = $1 \
             GROUP BY user_id, medium, start_ms ORDER BY start_ms, user_id, medium",
        )
        .bind(recording.to_sql())
        .fetch_all(self.readers())
        .await?;
        let track = |row: &Row| {
            let count = |column| row.try_get::<i64, _>(column).map(|count| count as u64);
            Ok(StoredTrack {
                user_id: UserId::from_sql(row.try_get("user_id")?),
                medium: medium_of(row.try_get("medium")?),
                start_ms: count("start_ms")?,
                length_ms: count("length_ms")?,
                bytes: count("bytes")?,
                lost: count("lost")?,
            })
        };
        rows.iter().map(track).collect()
    }

    /// A track's pieces in order; none of a recording that was deleted.
    pub async fn pieces_of(&self, track: TrackId) -> Result<Vec<StoredPiece>> {
        let TrackId { recording, user, medium, start_ms } = track;
        let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
            "SELECT p.number, p.bytes, p.length_ms FROM all_pieces p JOIN recordings r ON r.id = p.recording_id \
             WHERE p.recording_id = $1 AND p.user_id = $2 AND p.start_ms = $3 AND r.state <> $4 AND p.medium = $5 ORDER BY p.number",
        )
        .bind(recording.to_sql())
        .bind(user.to_sql())
        .bind(start_ms as i64)
        .bind(DELETED)
        .bind(i64::from(medium.number()))
        .fetch_all(self.readers())
        .await?;
        let piece = |(number, bytes, length_ms): (i64, i64, i64)| StoredPiece {
            number: number as u32,
            bytes: bytes as u64,
            length_ms: length_ms as u64,
        };
        Ok(rows.into_iter().map(piece).collect())
    }

    /// Nobody gets a recording any more that has ended; its files go soon. [`Conflict::Missing`]: there is none;
    /// [`Conflict::AlreadyThere`]: it still runs.
    pub async fn delete_recording(&self, by: By, id: RecordingId) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                let recording = find(tx, id).await?;
                if matches!(recording.state, RecordingState::Recording | RecordingState::Ending) {
                    return Err(Conflict::AlreadyThere.into());
                }
                set_state(tx, id, DELETED).await?;
                let fact = json!({ "deleted_recording": id });
                let entry = Entry::deleted(AuditAction::CHANNEL_UPDATE, recording.channel_id, fact);
                tx.audit(recording.guild_id, &by, entry).await
            })
        })
        .await
    }

    /// Some of those whose files may go: deleted ones, those that ended before this moment, and those without a channel.
    pub async fn doomed_recordings(&self, ended_before_ms: u64, limit: u32) -> Result<Vec<RecordingId>> {
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM recordings r WHERE state = $1 OR (state IN (2, 3) AND (ended_at < $2 \
             OR NOT EXISTS (SELECT 1 FROM channels c WHERE c.id = r.channel_id))) ORDER BY id LIMIT $3",
        )
        .bind(DELETED)
        .bind(ended_before_ms as i64)
        .bind(limit)
        .fetch_all(self.readers())
        .await?;
        Ok(ids.into_iter().map(RecordingId::from_sql).collect())
    }

    /// After their files are gone.
    pub async fn forget_recordings(&self, ids: Vec<RecordingId>) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                for id in ids {
                    sqlx::query("DELETE FROM recordings WHERE id = $1").bind(id.to_sql()).execute(tx.sql()).await?;
                }
                Ok(())
            })
        })
        .await
    }
}
