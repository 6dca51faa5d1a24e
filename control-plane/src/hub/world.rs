//! A guild with fake sessions, for the tests of hub and voice: simulated time, no store, no socket.
//!
//! Everyone sees the hall and the stage of `PARLOR` (voice); the vault and the cellar (voice) are for keepers. Ann keeps.

use super::core::{Admission, Attached, Core, Missing, Moment};
use super::private::Belongings;
use crate::event::{Committed, Event, Topic};
use crate::fleet::lines::{Errand, LineId};
use crate::gateway::link::{Ending, Mail};
use crate::guild::Snapshot;
use crate::guild::fixture::{ANN, BOB, GUILD, NOW, OWNER, channel, member, overwrite, role, user, voice_channel};
use crate::siblings::words::{Message, Name};
use guildhall_protocol::fleet::{CONTRACT_VERSION, Epoch, FromNode, Hello, Secret, Sitting, ToNode};
use guildhall_protocol::gateway::{Intents, PresenceUpdate, Shard};
use guildhall_protocol::model::{Channel, Guild, Member, OverwriteKind};
use guildhall_protocol::{ApplicationId, ChannelId, GuildId, Permissions, RoleId, UserId};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

pub const HALL: ChannelId = ChannelId::new(200);
pub const VAULT: ChannelId = ChannelId::new(201);
pub const PARLOR: ChannelId = ChannelId::new(202);
pub const CELLAR: ChannelId = ChannelId::new(203);
pub const KEEPER: RoleId = RoleId::new(300);
/// Places in the parlor.
pub const PARLOR_LIMIT: u32 = 2;

pub struct World {
    pub core: Core,
    pub at: Moment,
    /// Of the one node that there is at first, in the control plane's own process.
    pub line: LineId,
    seqs: HashMap<Topic, u64>,
    sessions: u64,
}

pub fn vault(is_secret: bool) -> Channel {
    channel(VAULT, if is_secret { keepers_only() } else { Vec::new() })
}

fn keepers_only() -> Vec<guildhall_protocol::model::Overwrite> {
    vec![
        overwrite(GUILD.everyone(), OverwriteKind::Role, Permissions::NONE, Permissions::VIEW_CHANNEL),
        overwrite(KEEPER, OverwriteKind::Role, Permissions::VIEW_CHANNEL, Permissions::NONE),
    ]
}

pub fn everyone_may() -> Permissions {
    Permissions::VIEW_CHANNEL | Permissions::SEND_MESSAGES | Permissions::CONNECT | Permissions::SPEAK
}

pub fn snapshot(id: GuildId, members: Vec<Member>) -> Snapshot {
    let mut guild = Guild::new(id, "guild".to_owned(), OWNER);
    guild.roles = vec![role(id.everyone(), everyone_may()), role(KEEPER, Permissions::NONE)];
    let cellar = Channel { permission_overwrites: keepers_only(), ..voice_channel(CELLAR, 0) };
    let channels = if id == GUILD {
        vec![channel(HALL, Vec::new()), vault(true), voice_channel(PARLOR, PARLOR_LIMIT), cellar]
    } else {
        Vec::new()
    };
    Snapshot { guild, channels, threads: Vec::new(), members, seq: 0 }
}

impl World {
    pub fn new() -> Self {
        let at = Moment { now: Instant::now(), unix_ms: NOW };
        let mut core = Core::default();
        let line = arrive(&mut core, hello("local", "local", "", 1), Vec::new(), at);
        let mut world = Self { core, at, line, seqs: HashMap::new(), sessions: 0 };
        world.load(snapshot(GUILD, vec![member(OWNER, &[]), member(ANN, &[KEEPER]), member(BOB, &[])]));
        world
    }

    /// One of several control planes.
    pub fn named(name: u64) -> Self {
        let mut world = Self::new();
        world.core.siblings.meet(Name(name), name);
        world
    }

    /// What it says to others now.
    pub fn says(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            self.core.retell(self.at);
            let Some(message) = self.core.siblings.next_message(self.at.now) else { return messages };
            messages.push(message);
        }
    }

    pub fn hears(&mut self, message: &Message) {
        let (mut changes, mut said) = (Vec::new(), Vec::new());
        self.core.siblings.hear(message.clone(), self.at.now, &mut changes);
        self.core.follow_siblings(changes, self.at, &mut said);
        said.into_iter().for_each(|(_, word)| self.core.hear_word(word, self.at));
    }

    /// The bus carries everything both ways, until nobody has anything to say.
    pub fn meets(&mut self, other: &mut Self) {
        Self::meet(&mut [self, other]);
    }

    /// The bus carries what each says to all the others, until nobody has anything to say.
    pub fn meet(worlds: &mut [&mut Self]) {
        loop {
            let said: Vec<_> = worlds.iter_mut().map(|world| world.says()).collect();
            if said.iter().all(Vec::is_empty) {
                return;
            }
            for (from, messages) in said.iter().enumerate() {
                let others = worlds.iter_mut().enumerate().filter(|(to, _)| *to != from);
                others.for_each(|(_, world)| messages.iter().for_each(|message| world.hears(message)));
            }
        }
    }

    /// Time passes in which nobody else is heard.
    pub fn pass_alone(&mut self, time: Duration) {
        self.pass(time);
        let (mut changes, mut said) = (Vec::new(), Vec::new());
        self.core.siblings.tick(self.at.now, true, &mut changes);
        self.core.follow_siblings(changes, self.at, &mut said);
    }

    pub fn load(&mut self, snapshot: Snapshot) {
        self.core.begin_loading(snapshot.guild.id);
        self.core.end_loading(Some(snapshot), self.at);
    }

    pub fn pass(&mut self, time: Duration) {
        self.at.now += time;
        self.at.unix_ms += time.as_millis() as u64;
        self.core.tick(self.at);
    }

    /// Another node, which has been there for a while: what it holds is all that it ever had.
    pub fn node_arrives(&mut self, hello: Hello, sittings: Vec<Sitting>) -> LineId {
        arrive(&mut self.core, hello, sittings, self.at)
    }

    pub fn node_says(&mut self, line: &LineId, message: FromNode) {
        self.core.from_node(line, message, self.at);
    }

    pub fn admission(&mut self, id: UserId, intents: Intents) -> Admission {
        self.sessions += 1;
        Admission {
            user: user(id),
            email: Some("mail@example.org".to_owned()),
            application: Some((ApplicationId::new(id.get()), 0)),
            token_hash: [id.get() as u8; 32],
            intents,
            shard: Shard::WHOLE,
            large_threshold: 50,
            presence: PresenceUpdate::default(),
            version: 10,
            resume_url: "ws://localhost/gateway".to_owned(),
            host: "localhost:8080".to_owned(),
            session_id: format!("session{}", self.sessions),
            belongings: Belongings::default(),
        }
    }

    /// A session that is past its greeting.
    pub fn session(&mut self, id: UserId, intents: Intents) -> Attached {
        let admission = self.admission(id, intents);
        self.attach(admission)
    }

    pub fn attach(&mut self, admission: Admission) -> Attached {
        let attached = self.core.attach(admission, self.at).expect("not too many sessions");
        told(&attached);
        attached
    }

    pub fn number(&mut self, event: Event) -> Committed {
        let topic = event.topic();
        let seq = self.seqs.entry(topic).or_default();
        *seq += 1;
        Committed { topic, seq: *seq, event }
    }

    pub fn publish(&mut self, event: Event) {
        let committed = self.number(event);
        self.try_publish(committed).expect("nothing is missing");
    }

    pub fn try_publish(&mut self, committed: Committed) -> Result<(), Missing> {
        self.core.publish(committed, self.at).map_err(|(missing, _)| missing)
    }

    /// What the voice node would receive now.
    pub fn node(&mut self) -> Vec<ToNode> {
        let line = self.line.clone();
        let is_about_people = |message: &ToNode| !matches!(message, ToNode::Welcome { .. } | ToNode::Open { .. });
        self.errands(&line).into_iter().filter(is_about_people).collect()
    }

    /// What this node would receive now.
    pub fn errands(&mut self, line: &LineId) -> Vec<ToNode> {
        let next = || match self.core.errand(line) {
            Errand::Carry(message) => Some(message),
            Errand::Wait | Errand::HangUp => None,
        };
        std::iter::from_fn(next).collect()
    }
}

pub fn hello(id: &str, region: &str, endpoint: &str, incarnation: u64) -> Hello {
    Hello {
        id: id.into(),
        region: region.parse().expect("a region"),
        endpoint: endpoint.to_owned(),
        media: Vec::new(),
        version: CONTRACT_VERSION,
        software: "test".to_owned(),
        egress_cap_bps: 1_000_000_000,
        incarnation,
    }
}

fn arrive(core: &mut Core, hello: Hello, sittings: Vec<Sitting>, at: Moment) -> LineId {
    let mut rooms: Vec<(ChannelId, Epoch)> =
        sittings.iter().map(|sitting| (sitting.participant.channel_id, sitting.epoch)).collect();
    rooms.dedup();
    core.node_arrived(hello, &rooms, sittings, Secret([7; 32]), Default::default(), at).expect("a name of its own")
}

/// Everything that the session's socket would send now: names and bodies.
pub fn told(session: &Attached) -> Vec<(&'static str, Value)> {
    match session.link.take(session.connection, usize::MAX) {
        Mail::Dispatches(dispatches) => dispatches
            .iter()
            .map(|(_, dispatch)| (dispatch.name, serde_json::from_slice(&dispatch.body).expect("JSON")))
            .collect(),
        Mail::Ending(ending) => panic!("the connection was ended: {ending:?}"),
    }
}

/// The names of what the session is told, with whom or what it is about.
pub fn names(session: &Attached) -> Vec<String> {
    let about = |d: &Value| {
        let id = ["channel_id", "user", "id", "user_id"].iter().map(|key| &d[key]).find(|value| !value.is_null());
        id.map_or(String::new(), |id| id.as_str().or(id["id"].as_str()).unwrap_or_default().to_owned())
    };
    told(session).iter().map(|(name, d)| format!("{name} {}", about(d)).trim_end().to_owned()).collect()
}

pub fn ending(session: &Attached) -> Option<Ending> {
    match session.link.take(session.connection, 0) {
        Mail::Dispatches(_) => None,
        Mail::Ending(ending) => Some(ending),
    }
}

pub fn message(channel: ChannelId, author: UserId, mentions: &[UserId]) -> Box<guildhall_protocol::model::Message> {
    let mentions: Vec<_> = mentions.iter().map(|id| user(*id)).collect();
    let message = json!({
        "id": "900", "channel_id": channel, "author": user(author), "content": "words", "timestamp": "2026-01-01T00:00:00.000000+00:00",
        "edited_timestamp": null, "tts": false, "mention_everyone": false, "mentions": mentions, "mention_roles": [], "attachments": [{ "id": "901" }],
        "embeds": [{}], "pinned": false, "type": 0, "flags": 0, "components": [],
    });
    Box::new(serde_json::from_value(message).expect("a message"))
}
