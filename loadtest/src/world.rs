//! A guild and its members, made over the public API for one run.

use crate::gateway::{self, Gateway};
use crate::rest::{Account, Rest};
use crate::server::Server;
use crate::{Trust, progress};
use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use guildhall_protocol::model::ChannelType;
use guildhall_protocol::{ChannelId, GuildId};
use tokio::sync::Mutex;

/// Registrations and connections in flight at once: password hashing keeps a core busy per registration.
const AT_ONCE: usize = 8;
/// Applications that one account may have.
const APPLICATIONS: usize = 50;
/// GUILDS, and GUILD_VOICE_STATES for one's own voice session.
pub const VOICE_INTENTS: u64 = 1 << 0 | 1 << 7;
/// GUILDS and GUILD_MESSAGES.
pub const MESSAGE_INTENTS: u64 = 1 << 0 | 1 << 9;
/// What needs no switch.
pub const UNPRIVILEGED: u64 = gateway::UNPRIVILEGED_INTENTS;

pub struct World {
    pub owner: Account,
    pub guild: GuildId,
    pub gateway_url: String,
    /// Members of the guild, made on demand.
    members: Vec<Account>,
    invite: String,
    /// Makes this run's names unlike another's.
    run: String,
    trust: Trust,
    maker: Mutex<Maker>,
}

/// The account that makes bots, until it has as many as it may; then another takes over.
struct Maker {
    rest: Rest,
    left: usize,
    number: usize,
}

impl World {
    /// `trust` for a server behind TLS.
    pub async fn make(server: &Server, trust: Option<&Trust>) -> Result<Self> {
        Self::at(&server.url, trust.cloned().unwrap_or_default(), None).await
    }

    /// On any server: with a token, as that user; without one, as a user who registers.
    pub async fn at(url: &str, trust: Trust, token: Option<&str>) -> Result<Self> {
        let run = format!("{:08x}", rand::random::<u32>());
        let rest = Rest::with_trust(url, &trust)?;
        let owner = match token {
            Some(token) => {
                let rest = rest.as_user(token);
                let user = rest.me().await.context("the token is not a user's")?;
                Account { rest, token: token.to_owned(), user }
            }
            None => rest.register(&format!("bench{run}owner"), &password(&run)).await.context("registering the owner")?,
        };
        let guild = owner.rest.create_guild(&format!("Benchmark {run}")).await?.id;
        let channel = owner.rest.create_channel(guild, "lobby", ChannelType::Text).await?.id;
        let invite = owner.rest.invite(channel).await?;
        let gateway_url = owner.rest.gateway_url().await?;
        let left = APPLICATIONS.saturating_sub(owner.rest.applications().await?);
        let maker = Mutex::new(Maker { rest: owner.rest.clone(), left, number: 0 });
        Ok(Self { owner, guild, gateway_url, members: Vec::new(), invite, run, trust, maker })
    }

    pub async fn channel(&self, name: &str, kind: ChannelType) -> Result<ChannelId> {
        Ok(self.owner.rest.create_channel(self.guild, name, kind).await?.id)
    }

    /// At least `count` members.
    pub async fn members(&mut self, count: usize) -> Result<&[Account]> {
        let missing = self.members.len()..count;
        if !missing.is_empty() {
            progress(&format!("registering {} members", missing.len()));
        }
        let (rest, run, invite) = (&self.owner.rest, &self.run, &self.invite);
        let made: Vec<Account> = stream::iter(missing)
            .map(|at| async move {
                let account = rest.register(&format!("bench{run}n{at}"), &password(run)).await?;
                account.rest.join(invite).await?;
                Ok::<_, crate::rest::Error>(account)
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .context("registering members")?;
        self.members.extend(made);
        Ok(&self.members[..count])
    }

    /// A bot in a guild of the owner's. Its making costs no password hash.
    pub async fn bot_in(&self, name: &str, guild: GuildId) -> Result<Account> {
        let maker = {
            let mut maker = self.maker.lock().await;
            if maker.left == 0 {
                let number = maker.number + 1;
                let rest = self.stranger(&format!("maker{number}")).await?.rest;
                *maker = Maker { rest, left: APPLICATIONS, number };
            }
            maker.left -= 1;
            maker.rest.clone()
        };
        Ok(maker.bot_in(name, guild, &self.owner.rest).await?)
    }

    /// An account that is in no guild.
    pub async fn stranger(&self, name: &str) -> Result<Account> {
        let name = format!("bench{}{name}", self.run);
        self.owner.rest.register(&name, &password(&self.run)).await.context("registering an account")
    }

    /// A session that only keeps what joining voice needs.
    pub async fn voice_session(&self, account: &Account) -> Result<Gateway> {
        self.session(account, VOICE_INTENTS, true).await
    }

    pub async fn session(&self, account: &Account, intents: u64, keeps_events: bool) -> Result<Gateway> {
        let keeps = if keeps_events { gateway::Keeps::All } else { gateway::Keeps::Nothing };
        Ok(Gateway::connect(&self.connect(account, intents, keeps)).await?)
    }

    pub fn connect(&self, account: &Account, intents: u64, keeps: gateway::Keeps) -> gateway::Connect {
        let trust = self.trust.clone();
        gateway::Connect { intents, keeps, trust, ..gateway::Connect::new(&self.gateway_url, &account.token) }
    }
}

fn password(run: &str) -> String {
    format!("correct horse {run}")
}
