//! Recordings of voice channels. Not a part of Discord's API.
//!
//! Who may change a channel (MANAGE_CHANNELS) and may listen in it (CONNECT) may record it, have what was recorded there and
//! delete it. Everyone else sees that it is recorded, and by whom: in the channel's object (`recording`, with CHANNEL_UPDATE when it
//! changes) and by a message in the channel's chat, which every client shows.

use super::access::ChannelAccess;
use super::body::{Body, Caller, Ids};
use super::error::{Refine, Result};
use super::form::{Form, Shape};
use super::routes::{Routes, get, post};
use crate::app::App;
use crate::audit::By;
use crate::files::links::Links;
use crate::files::recordings::TrackId;
use crate::gateway::Origin;
use crate::recordings::{expires_at, order};
use crate::store::{Conflict, StoredRecording, StoredTrack};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::{Recording, RecordingState, RecordingTrack, TrackKind, timestamp};
use guildhall_protocol::{ChannelId, ErrorCode, Permissions, RecordingId};

/// What it takes to record a channel, and to hear what was recorded.
const NEEDED: Permissions = Permissions(Permissions::MANAGE_CHANNELS.0 | Permissions::CONNECT.0);

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/channels/{channel_id}/recordings",
            get(list, "Lists the recordings of a voice channel, the newest first: MANAGE_CHANNELS and CONNECT.").post(
                begin,
                "Records a voice channel that somebody is in, with `video` its cameras and screens, too; everyone who sees it sees that: MANAGE_CHANNELS and CONNECT.",
            ),
        )
        .route(
            "/channels/{channel_id}/recordings/{recording_id}",
            get(read, "One recording, with links to its files that work for a day: MANAGE_CHANNELS and CONNECT.")
                .delete(remove, "Deletes a recording that has ended: MANAGE_CHANNELS and CONNECT."),
        )
        .route(
            "/channels/{channel_id}/recordings/{recording_id}/stop",
            post(stop, "Ends a recording; its last seconds follow within seconds: MANAGE_CHANNELS and CONNECT."),
        )
}

async fn authorize(app: &App, caller: &Caller, channel: ChannelId) -> Result<()> {
    app.in_channel(caller, channel, |access: ChannelAccess| {
        access.require(NEEDED)?;
        if access.channel.kind.is_voice() { Ok(()) } else { Err(ErrorCode::WrongChannelType.into()) }
    })
    .await
}

async fn find(app: &App, channel: ChannelId, id: RecordingId) -> Result<StoredRecording> {
    Ok(app.store().find_recording(channel, id).await?.ok_or(ErrorCode::UnknownRecording)?)
}

fn shown_track(recording: RecordingId, track: StoredTrack, links: &Links) -> RecordingTrack {
    let StoredTrack { user_id, medium, start_ms, length_ms, bytes, lost } = track;
    let kind = match medium.kind() {
        TrackKind::Voice => "",
        TrackKind::Camera => "-camera",
        TrackKind::Screen => "-screen",
    };
    let filename = format!("{recording}-{user_id}-{start_ms}{kind}.{}", medium.extension());
    let url = links.track(TrackId { recording, user: user_id, medium, start_ms }, &filename);
    RecordingTrack {
        user_id,
        kind: medium.kind(),
        start_ms,
        length_ms,
        size: bytes,
        lost_packets: lost,
        content_type: medium.content_type().to_owned(),
        filename,
        url,
    }
}

async fn shown(app: &App, origin: &Origin, recording: StoredRecording) -> Result<Recording> {
    let links = app.files().links(origin);
    let tracks = app.store().tracks_of(recording.id).await?;
    Ok(Recording {
        id: recording.id,
        guild_id: recording.guild_id,
        channel_id: recording.channel_id,
        user_id: recording.user_id,
        state: recording.state,
        started_at: timestamp(recording.started_at),
        ended_at: recording.ended_at.map(timestamp),
        expires_at: expires_at(&recording, app.config().recording_days).map(timestamp),
        video: recording.video,
        size: recording.bytes,
        tracks: tracks.into_iter().map(|track| shown_track(recording.id, track, &links)).collect(),
    })
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Ids(channel): Ids<ChannelId>,
) -> Result<Json<Vec<Recording>>> {
    authorize(&app, &caller, channel).await?;
    let mut recordings = Vec::new();
    for recording in app.store().recordings_of(channel).await? {
        recordings.push(shown(&app, &origin, recording).await?);
    }
    Ok(Json(recordings))
}

struct Begin {
    /// Cameras and screens, too.
    video: bool,
}

impl Shape for Begin {
    fn read(form: &Form) -> Self {
        Self { video: form.flag("video").value().unwrap_or_default() }
    }
}

async fn begin(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    by: By,
    Ids(channel): Ids<ChannelId>,
    Body(Begin { video }): Body<Begin>,
) -> Result<(StatusCode, Json<Recording>)> {
    authorize(&app, &caller, channel).await?;
    if app.config().recording_days == 0 {
        return Err(ErrorCode::RecordingIsOff.into());
    }
    if !app.hub().is_meeting(channel) {
        return Err(ErrorCode::NobodyToRecord.into());
    }
    let meanings = [
        (Conflict::Missing, ErrorCode::UnknownChannel),
        (Conflict::AlreadyThere, ErrorCode::AlreadyRecorded),
        (Conflict::Full, ErrorCode::TooManyRecordings),
    ];
    let recording = app.store().begin_recording(by, channel, caller.id(), video).await.refine(&meanings)?;
    // The keeper's next round would ask as well.
    app.hub().record(order(&recording));
    Ok((StatusCode::CREATED, Json(shown(&app, &origin, recording).await?)))
}

async fn read(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Ids((channel, id)): Ids<(ChannelId, RecordingId)>,
) -> Result<Json<Recording>> {
    authorize(&app, &caller, channel).await?;
    let recording = find(&app, channel, id).await?;
    Ok(Json(shown(&app, &origin, recording).await?))
}

async fn stop(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    by: By,
    Ids((channel, id)): Ids<(ChannelId, RecordingId)>,
) -> Result<Json<Recording>> {
    authorize(&app, &caller, channel).await?;
    find(&app, channel, id).await?;
    let meanings = [(Conflict::Missing, ErrorCode::UnknownRecording)];
    let recording = app.store().end_recording(by, id, RecordingState::Ending).await.refine(&meanings)?;
    app.hub().record(order(&recording));
    Ok(Json(shown(&app, &origin, recording).await?))
}

async fn remove(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids((channel, id)): Ids<(ChannelId, RecordingId)>,
) -> Result<StatusCode> {
    authorize(&app, &caller, channel).await?;
    find(&app, channel, id).await?;
    let meanings = [(Conflict::Missing, ErrorCode::UnknownRecording), (Conflict::AlreadyThere, ErrorCode::StillRecording)];
    app.store().delete_recording(by, id).await.refine(&meanings)?;
    Ok(StatusCode::NO_CONTENT)
}
