//! Those who try, and a guild for them to try in.

use super::{Role, With};
use crate::api::tests::interactions::Ear;
use crate::api::tests::{Session, World, text};
use crate::hub::core::Attached;
use crate::store::Device;
use guildhall_protocol::gateway::Shard;
use guildhall_protocol::model::User;
use guildhall_protocol::{Permissions, UserId};
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// Everything short of ADMINISTRATOR.
const MOST: Permissions = Permissions::ALL.without(Permissions::ADMINISTRATOR);
/// What those need whom things are done to, so that they have something that things can be done to.
const TARGETS: Permissions = Permissions(
    Permissions::VIEW_CHANNEL.0
        | Permissions::CONNECT.0
        | Permissions::SEND_MESSAGES.0
        | Permissions::CREATE_PUBLIC_THREADS.0
        | Permissions::CREATE_PRIVATE_THREADS.0
        | Permissions::SEND_MESSAGES_IN_THREADS.0
        | Permissions::READ_MESSAGE_HISTORY.0,
);

pub struct Cast {
    pub owner: Session,
    pub admin: Session,
    pub with: Session,
    pub without: Session,
    pub timed_out: Session,
    pub robot: Session,
    pub stranger: Session,
    pub banned: Session,
    /// Of the robot.
    pub application: String,
    /// Whom things are done to: someone low, someone high, and someone low on a stage.
    pub target: Session,
    pub superior: Session,
    pub speaker: Session,
    pub at_robot: Mutex<Ear>,
    /// The speaker's connection.
    at_speaker: Attached,
    names: AtomicU64,
    /// What the roles that change hold now, by guild.
    granted: Mutex<Vec<(String, Permissions)>>,
}

pub struct Stage {
    pub guild: String,
    pub text: String,
    pub voice: String,
    pub forum: String,
    /// A stage channel.
    pub stage: String,
    /// An invite without an end.
    pub invite: String,
    pub superior_role: String,
    pub target_role: String,
    /// Those of W and R, and of M.
    pub with_role: String,
    pub without_role: String,
}

impl World {
    /// Someone new, without the work that a password is.
    pub(super) async fn newcomer(&self, name: String) -> Session {
        let store = self.control_plane.app.store();
        let user = User::new(store.make_id(), name, None, false);
        let id = user.id.to_string();
        let token = store.register(user, None, "no hash".to_owned(), Device::default()).await.expect("the name is free");
        Session { token, id }
    }
}

impl Cast {
    pub async fn gather(world: &World) -> Self {
        let owner = world.owner.clone();
        let person = async |name: &str| world.newcomer(name.to_owned()).await;
        let application = text(&world.post(&owner, "/applications", json!({ "name": "robot" })).await.ok()["id"]);
        let bot = world.post(&owner, &format!("/applications/{application}/bot"), json!({})).await.ok();
        let robot = Session { token: format!("Bot {}", text(&bot["token"])), id: String::new() };
        let id = text(&world.get(&robot, "/users/@me").await.ok()["id"]);
        let robot = Session { id, ..robot };
        let speaker = person("speaker").await;
        Self {
            owner,
            admin: person("admin").await,
            with: person("with").await,
            without: person("without").await,
            timed_out: person("timed_out").await,
            stranger: person("stranger").await,
            banned: person("banned").await,
            target: person("target").await,
            superior: person("superior").await,
            at_robot: Mutex::new(Ear::of(world, &robot, Shard { id: 0, count: 1 }).await),
            at_speaker: world.connect(&speaker).await,
            robot,
            speaker,
            application,
            names: AtomicU64::new(0),
            granted: Mutex::default(),
        }
    }

    /// A name that nothing has.
    pub fn name(&self) -> String {
        format!("name{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    pub fn session(&self, role: Role) -> Session {
        let session = match role {
            Role::Owner => &self.owner,
            Role::Admin => &self.admin,
            Role::With => &self.with,
            Role::Without => &self.without,
            Role::TimedOut => &self.timed_out,
            Role::Robot => &self.robot,
            Role::Stranger => &self.stranger,
            Role::Banned => &self.banned,
            Role::Nobody => return Session { token: String::new(), id: String::new() },
        };
        session.clone()
    }

    /// Makes the roles of W, R and M what the next call wants.
    pub async fn grant(&self, world: &World, stage: &Stage, role: Role, bits: Permissions) {
        let (role, bits) = match role {
            With | Role::Robot => (&stage.with_role, bits | Permissions::VIEW_CHANNEL),
            Role::Without => (&stage.without_role, MOST.without(bits)),
            _ => return,
        };
        let mut granted = self.granted.lock().await;
        if granted.contains(&(role.clone(), bits)) {
            return;
        }
        let path = format!("/guilds/{}/roles/{role}", stage.guild);
        world.patch(&self.owner, &path, json!({ "permissions": bits.0.to_string() })).await.ok();
        granted.retain(|(known, _)| known != role);
        granted.push((role.clone(), bits));
    }
}

impl Stage {
    /// In the guild, or in a new one.
    pub async fn build(world: &World, cast: &Cast, guild: Option<&str>) -> Self {
        let owner = &cast.owner;
        let guild = match guild {
            Some(guild) => guild.to_owned(),
            None => text(&world.post(owner, "/guilds", json!({ "name": "a hall" })).await.ok()["id"]),
        };
        let channels = format!("/guilds/{guild}/channels");
        let there = world.get(owner, &channels).await.ok();
        let find = |kind: i64| text(&there.as_array().unwrap().iter().find(|channel| channel["type"] == kind).unwrap()["id"]);
        let (text_channel, voice) = (find(0), find(2));
        let make =
            async |kind: i64| text(&world.post(owner, &channels, json!({ "name": "made", "type": kind })).await.ok()["id"]);
        let (stage, forum) = (make(13).await, make(15).await);
        let roles = format!("/guilds/{guild}/roles");
        world.patch(owner, &format!("{roles}/{guild}"), json!({ "permissions": "0" })).await.ok();
        // The first stands highest.
        let role = async |name: &str, bits: Permissions| {
            let body = json!({ "name": name, "permissions": bits.0.to_string() });
            text(&world.post(owner, &roles, body).await.ok()["id"])
        };
        let admin_role = role("admin", Permissions::ADMINISTRATOR).await;
        let superior_role = role("superior", Permissions::VIEW_CHANNEL).await;
        let with_role = role("with", Permissions::VIEW_CHANNEL).await;
        let without_role = role("without", MOST).await;
        let most_role = role("most", MOST).await;
        let target_role = role("target", TARGETS).await;
        let invites = format!("/channels/{text_channel}/invites");
        let invite = text(&world.post(owner, &invites, json!({ "max_age": 0, "unique": true })).await.ok()["code"]);
        let consent = json!({ "guild_id": guild, "permissions": "0", "authorize": true });
        world.post(owner, &format!("/oauth2/authorize?client_id={}", cast.application), consent).await.ok();
        let made =
            Self { guild, text: text_channel, voice, forum, stage, invite, superior_role, target_role, with_role, without_role };
        made.give(world, owner, &cast.robot.id, &made.with_role).await;
        let members = [
            (&cast.admin, &admin_role),
            (&cast.superior, &made.superior_role),
            (&cast.with, &made.with_role),
            (&cast.without, &made.without_role),
            (&cast.timed_out, &most_role),
            (&cast.target, &made.target_role),
            (&cast.speaker, &made.target_role),
        ];
        for (who, role) in members {
            made.admit(world, who).await;
            made.give(world, owner, &who.id, role).await;
        }
        let soon = json!({ "communication_disabled_until": soon() });
        world.patch(owner, &format!("/guilds/{}/members/{}", made.guild, cast.timed_out.id), soon).await.ok();
        let ban = format!("/guilds/{}/bans/{}", made.guild, cast.banned.id);
        world.put(owner, &ban, json!({})).await.no_content();
        if made.guild == world.guild {
            world.join_voice(&cast.at_speaker, &made.stage);
        }
        made
    }

    pub async fn admit(&self, world: &World, who: &Session) {
        let store = world.control_plane.app.store();
        let id: UserId = super::things::id(&who.id);
        let user = store.find_user(id).await.unwrap().expect("registered");
        assert!(store.use_invite(self.invite.clone(), user).await.expect("the invite is good"));
    }

    pub async fn give(&self, world: &World, owner: &Session, user: &str, role: &str) {
        let path = format!("/guilds/{}/members/{user}/roles/{role}", self.guild);
        world.put(owner, &path, json!({})).await.no_content();
    }
}

pub fn soon() -> String {
    guildhall_protocol::model::timestamp(crate::ids::unix_ms() + 3_600_000)
}
