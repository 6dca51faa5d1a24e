//! What a session is told first: READY, and each guild whole.

use super::core::{Account, Admission, Core, Session};
use super::private::Belongings;
use super::seats::Room;
use super::threads::Told;
use crate::gateway::mailbox::Dispatch;
use crate::guild::Viewers;
use guildhall_protocol::gateway::Intents;
use guildhall_protocol::model::{Channel, CurrentUser, Empty, Guild, Member, UnavailableGuild, VoiceState};
use guildhall_protocol::{GuildId, Permissions, UserId};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// READY: who one is, and which guilds follow.
pub fn ready(admission: &Admission, guilds: impl Iterator<Item = GuildId>, presences: Vec<Value>) -> Arc<Dispatch> {
    let Belongings { private_channels, relationships, read_states, settings, guild_settings } = &admission.belongings;
    let private_channels = private_channels.iter().map(|channel| channel.seen_by(admission.user.id));
    let guilds: Vec<UnavailableGuild> = guilds.map(|id| UnavailableGuild { id, unavailable: true }).collect();
    let user = CurrentUser::new(admission.user.clone(), admission.email.clone());
    let mut ready = json!({
        "v": admission.version,
        "user": user,
        "user_settings": {},
        "guilds": guilds,
        "session_id": admission.session_id,
        "resume_gateway_url": admission.resume_url,
        "shard": [admission.shard.id, admission.shard.count],
        "session_type": "normal",
        "private_channels": private_channels.collect::<Vec<_>>(),
        "relationships": relationships,
        "presences": presences,
        "guild_join_requests": [],
        "geo_ordered_rtc_regions": [],
        "_trace": [],
    });
    // People have no application, and their clients do not look for one; bots have no list of what they read.
    if let Some((id, flags)) = admission.application {
        ready["application"] = json!({ "id": id, "flags": flags });
    } else {
        ready["user_settings"] = settings.clone();
        ready["user_guild_settings"] = json!({ "entries": guild_settings, "version": 0, "partial": false });
        ready["read_state"] = json!({ "entries": read_states, "version": 0, "partial": false });
    }
    Dispatch::new("READY", &ready)
}

/// GUILD_DELETE for someone who is no member any more, or for everyone when the guild is deleted.
pub fn guild_gone(id: GuildId) -> Arc<Dispatch> {
    Dispatch::new("GUILD_DELETE", &UnavailableGuild { id, unavailable: false })
}

/// USER_UPDATE, and what READY says of oneself.
pub fn user_update(account: &Account) -> Arc<Dispatch> {
    Dispatch::new("USER_UPDATE", &CurrentUser::new(account.user.clone(), account.email.clone()))
}

/// [`guildhall_protocol::model::GuildCreate`] over borrowed parts: a guild is not copied for every session that opens.
#[derive(Serialize)]
struct GuildCreate<'a> {
    #[serde(flatten)]
    guild: &'a Guild,
    joined_at: &'a str,
    large: bool,
    unavailable: bool,
    member_count: usize,
    voice_states: Vec<&'a VoiceState>,
    members: Vec<&'a Member>,
    channels: Vec<&'a Channel>,
    threads: Vec<Told<'a>>,
    presences: Vec<Value>,
    stage_instances: Empty,
    guild_scheduled_events: Empty,
    soundboard_sounds: Empty,
}

impl Core {
    /// The guild as this session may see it: only visible channels, and who is in them.
    pub(super) fn guild_create(&self, session: &Session, room: &Room) -> Arc<Dispatch> {
        let state = &room.state;
        let user = session.user_id;
        let sees = |channel| Viewers::of(state, channel, Permissions::VIEW_CHANNEL).include(user);
        let channels: Vec<&Channel> = state.channels().filter(|channel| sees(channel.id)).collect();
        let is_listed = |voice: &&VoiceState| channels.iter().any(|channel| Some(channel.id) == voice.channel_id);
        let wants_voice = session.intents.contains(Intents::GUILD_VOICE_STATES);
        let voice_states: Vec<&VoiceState> = state.voice_states().filter(|_| wants_voice).filter(is_listed).collect();
        let threads = state.threads_seen_by(user, |parent| channels.iter().any(|channel| channel.id == parent));
        let threads = threads.into_iter().map(|active| Told::to(user, active)).collect();
        let members = self.listed_members(session, room);
        let wants_presences = session.intents.contains(Intents::GUILD_PRESENCES);
        let presences =
            members.iter().filter(|_| wants_presences).filter_map(|member| self.presence_in(state.id(), member.user.id));
        Dispatch::new(
            "GUILD_CREATE",
            &GuildCreate {
                guild: state.guild(),
                joined_at: state.member(user).map_or("", |member| &member.joined_at),
                large: state.member_count() > session.large_threshold,
                unavailable: false,
                member_count: state.member_count(),
                voice_states,
                presences: presences.collect(),
                members,
                channels,
                threads,
                stage_instances: [],
                guild_scheduled_events: [],
                soundboard_sounds: [],
            },
        )
    }

    /// Everyone in a small guild. In a large one, or without the intents: oneself, who is in voice, and (with the intent) as
    /// many of those online as the threshold allows; the rest comes by op 8.
    fn listed_members<'a>(&self, session: &Session, room: &'a Room) -> Vec<&'a Member> {
        let state = &room.state;
        let asks_for = |intent| session.intents.contains(intent);
        let is_small = state.member_count() <= session.large_threshold;
        let mut ids: BTreeSet<UserId> = BTreeSet::from([session.user_id]);
        if is_small && (asks_for(Intents::GUILD_PRESENCES) || asks_for(Intents::GUILD_MEMBERS)) {
            ids.extend(state.members().map(|member| member.user.id));
        } else {
            ids.extend(state.voice_states().map(|voice| voice.user_id));
            // People's clients ask for the lines of the member list that they show.
            if asks_for(Intents::GUILD_PRESENCES) && session.is_bot {
                let count = self.siblings.count_people();
                let is_short = state.member_count() < count;
                // Whichever of the two are fewer is looked through.
                let elsewhere =
                    self.siblings.people().filter(|user| state.is_member(*user)).take(if is_short { 0 } else { count });
                let members = state.members().map(|member| member.user.id).take(if is_short { usize::MAX } else { 0 });
                let present = room.seats.iter().map(|seat| seat.user_id).chain(elsewhere).chain(members);
                let online = present.filter(|user| self.is_online(*user));
                ids.extend(online.take(session.large_threshold));
            }
        }
        ids.into_iter().filter_map(|id| state.member(id)).collect()
    }

    /// `None`: offline, which is said by saying nothing.
    pub(super) fn presence_in(&self, guild: GuildId, user: UserId) -> Option<Value> {
        let shown = &self.accounts.get(&user)?.shown;
        shown.is_online().then(|| shown.object(guild, user))
    }
}
