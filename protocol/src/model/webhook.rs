//! Webhooks: addresses that messages can be posted to without an account.

use super::User;
use crate::{ApplicationId, ChannelId, GuildId, WebhookId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A webhook of a channel. Everything but `user` and `token` is always shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Webhook {
    pub id: WebhookId,
    /// 1: messages come in through it; there are no others here.
    #[serde(rename = "type")]
    pub kind: u8,
    pub guild_id: GuildId,
    pub channel_id: ChannelId,
    /// Who made it; not shown to who comes with the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    pub name: String,
    pub avatar: Option<String>,
    /// What it takes to post through it: shown to who may manage webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The application whose bot made it.
    pub application_id: Option<ApplicationId>,
}
