//! A planned restart loses no session, also of a control plane that is alone (of several, another one takes them: `moving.rs`): what the sessions were told and not yet confirmed goes into a file when the process
//! ends, and the next process goes on from there.
//!
//! The file is written after the last event was told and the store is closed, and taken away as soon as it is read: it is
//! used once or never. It is not used when it is older than a session waits for its client, or when the database is not the
//! one that it was written with. Voice states are kept if their node runs elsewhere and goes on: it says who still sits there
//! when it dials again. A node in this process starts anew as well, so everyone leaves it first.

use super::Hub;
use super::core::{Core, Moment, Session};
use super::moment;
use crate::gateway::mailbox::KeptMail;
use guildhall_protocol::UserId;
use guildhall_protocol::gateway::Status;
use guildhall_protocol::model::{User, VoiceState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Below the data folder.
const FILE: &str = "sessions.json";
/// Most bytes of undelivered and unconfirmed dispatches that are kept; sessions beyond start anew. Some 10,000 sessions that
/// are a little behind.
const MAX_MAIL: usize = 64 << 20;
/// A file larger than this was not written by [`Hub::keep_sessions`], whose worst case is all mail and its escapes.
const MAX_FILE: u64 = 4 * MAX_MAIL as u64;

/// An account with what others were told of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptAccount {
    pub user: User,
    pub email: Option<String>,
    pub friends: HashSet<UserId>,
    pub status: Status,
    pub activities: Vec<Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptSession {
    pub id: String,
    pub user_id: UserId,
    pub token_hash: [u8; 32],
    pub intents: u64,
    pub shard: (u32, u32),
    pub large_threshold: usize,
    pub status: Status,
    pub activities: Vec<Value>,
    pub host: String,
    pub mail: KeptMail,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    unix_ms: u64,
    /// The database's last event.
    last_event: i64,
    pub accounts: Vec<KeptAccount>,
    pub sessions: Vec<KeptSession>,
    #[serde(default)]
    pub voice: Vec<VoiceState>,
}

impl Hub {
    /// The database's last event, to be asked before the store closes.
    pub async fn last_event(&self) -> Option<i64> {
        self.0.store.last_event().await.inspect_err(|error| tracing::error!(%error, "the outbox cannot be read")).ok()
    }

    /// Writes the sessions down. After [`Hub::shutdown`], when nothing is told any more.
    pub async fn keep_sessions(&self, data_dir: &Path, last_event: i64) {
        let at = moment();
        let (accounts, sessions, voice) = self.core_mut().keep(MAX_MAIL, at);
        let kept = Kept { unix_ms: at.unix_ms, last_event, accounts, sessions, voice };
        let count = kept.sessions.len();
        match write(data_dir.join(FILE), &kept).await {
            Ok(()) => tracing::info!(count, "sessions are kept for the next start"),
            Err(error) => tracing::error!(%error, "sessions cannot be kept: their clients start anew"),
        }
    }

    /// Takes up the sessions of the process before this one. Before anything is told.
    pub async fn take_up_sessions(&self, data_dir: &Path) {
        let Some(kept) = read(data_dir.join(FILE)).await else { return };
        let at = moment();
        let age_ms = at.unix_ms.saturating_sub(kept.unix_ms);
        if u128::from(age_ms) >= super::core::RESUME_WINDOW.as_millis() || self.last_event().await != Some(kept.last_event) {
            tracing::info!("sessions that were kept are too old: their clients start anew");
            return;
        }
        let mut guilds = Vec::new();
        for account in &kept.accounts {
            match self.0.store.guild_ids_of(account.user.id).await {
                Ok(ids) => guilds.extend(ids),
                Err(error) => return tracing::error!(%error, "kept sessions cannot be taken up"),
            }
        }
        guilds.sort_unstable();
        guilds.dedup();
        for guild in guilds {
            if !self.load(guild).await {
                return tracing::error!(%guild, "kept sessions cannot be taken up");
            }
        }
        let count = kept.sessions.len();
        self.change(|core, at| core.take_up(kept, at));
        tracing::info!(count, "sessions of the process before this one wait for their clients");
    }
}

async fn write(path: PathBuf, kept: &Kept) -> anyhow::Result<()> {
    let bytes = serde_json::to_vec(kept)?;
    tokio::task::spawn_blocking(move || {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        // What people wrote is in it.
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(&bytes)?;
        anyhow::Ok(())
    })
    .await?
}

/// The file's content, once. A file that is cut off, because the machine went down as well, is as good as none.
async fn read(path: PathBuf) -> Option<Kept> {
    let size = tokio::fs::metadata(&path).await.ok()?.len();
    let bytes = if size <= MAX_FILE { tokio::fs::read(&path).await.ok() } else { None };
    if let Err(error) = tokio::fs::remove_file(&path).await {
        tracing::error!(%error, "a file of kept sessions cannot be removed, so it is not used");
        return None;
    }
    serde_json::from_slice(&bytes?).ok()
}

impl Core {
    /// What is worth keeping, with at most this many bytes of mail.
    fn keep(&mut self, mut mail_bytes: usize, at: Moment) -> (Vec<KeptAccount>, Vec<KeptSession>, Vec<VoiceState>) {
        let guilds: Vec<_> = self.rooms.keys().copied().collect();
        let voice = self.lasting_voice();
        let stay: HashSet<_> = voice.iter().map(|state| (state.guild_id, state.user_id)).collect();
        for guild in guilds {
            let own: HashSet<UserId> =
                self.rooms.get(&guild).map(|room| room.seated.keys().copied().collect()).unwrap_or_default();
            let goes = |state: &VoiceState| own.contains(&state.user_id) && !stay.contains(&(guild, state.user_id));
            self.empty_voice(guild, at, goes);
        }
        self.sweep(at);
        let accounts = self.accounts.values().filter(|account| account.is_here()).map(|account| KeptAccount {
            user: account.user.clone(),
            email: account.email.clone(),
            friends: account.friends.clone(),
            status: account.shown.status,
            activities: account.shown.activities.clone(),
        });
        let accounts = accounts.collect();
        let mut sessions = Vec::with_capacity(self.sessions.len());
        for session in self.sessions.values().filter(|session| !session.has_left) {
            let kept = session.keep();
            if kept.mail.bytes() > mail_bytes {
                continue;
            }
            mail_bytes -= kept.mail.bytes();
            sessions.push(kept);
        }
        (accounts, sessions, voice)
    }
}

impl Session {
    pub(super) fn keep(&self) -> KeptSession {
        KeptSession {
            id: self.id.clone(),
            user_id: self.user_id,
            token_hash: self.token_hash,
            intents: self.intents.0,
            shard: (self.shard.id, self.shard.count),
            large_threshold: self.large_threshold,
            status: self.presence.status,
            activities: self.presence.activities.clone(),
            host: self.host.clone(),
            mail: self.link.keep(),
        }
    }
}
