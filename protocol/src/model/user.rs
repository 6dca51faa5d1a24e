//! Accounts: people and bots.

use crate::UserId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A user as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    pub id: UserId,
    pub username: String,
    /// Always `"0"`: names are unique, the four-digit tag is history that libraries still require.
    #[serde(default = "discriminator")]
    pub discriminator: String,
    #[serde(default)]
    pub global_name: Option<String>,
    #[serde(default)]
    pub avatar: Option<String>,
    #[serde(default)]
    pub bot: bool,
    #[serde(default)]
    pub system: bool,
    #[serde(default)]
    pub public_flags: u64,
    #[serde(default)]
    pub flags: u64,
    #[serde(default)]
    pub banner: Option<String>,
    #[serde(default)]
    pub accent_color: Option<u32>,
    #[serde(default)]
    pub avatar_decoration_data: Option<()>,
    #[serde(default)]
    pub collectibles: Option<()>,
    #[serde(default)]
    pub primary_guild: Option<()>,
}

fn discriminator() -> String {
    "0".to_owned()
}

impl User {
    pub fn new(id: UserId, username: String, global_name: Option<String>, bot: bool) -> Self {
        Self {
            id,
            username,
            discriminator: discriminator(),
            global_name,
            avatar: None,
            bot,
            system: false,
            public_flags: 0,
            flags: 0,
            banner: None,
            accent_color: None,
            avatar_decoration_data: None,
            collectibles: None,
            primary_guild: None,
        }
    }
}

/// A user as it sees itself (`GET /users/@me`, READY).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CurrentUser {
    #[serde(flatten)]
    pub user: User,
    pub mfa_enabled: bool,
    pub locale: String,
    pub verified: bool,
    /// `null` for bots.
    pub email: Option<String>,
    pub premium_type: u8,
}

impl CurrentUser {
    pub fn new(user: User, email: Option<String>) -> Self {
        Self { user, mfa_enabled: false, locale: "en-US".to_owned(), verified: true, email, premium_type: 0 }
    }
}
