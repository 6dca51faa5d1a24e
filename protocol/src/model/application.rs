//! Applications: what a bot belongs to.

use super::User;
use crate::ApplicationId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /applications/@me` and `GET /oauth2/applications/@me`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Application {
    pub id: ApplicationId,
    pub name: String,
    pub icon: Option<String>,
    pub description: String,
    #[serde(rename = "type")]
    pub kind: Option<u8>,
    pub bot: Option<User>,
    pub bot_public: bool,
    pub bot_require_code_grant: bool,
    /// Hex Ed25519 public key with which interaction webhooks are signed; libraries require the key to exist.
    pub verify_key: String,
    pub flags: u64,
    pub flags_new: String,
    pub redirect_uris: Vec<String>,
    pub interactions_endpoint_url: Option<String>,
    pub role_connections_verification_url: Option<String>,
    pub owner: User,
    pub approximate_guild_count: u32,
    pub approximate_user_install_count: u32,
    pub approximate_user_authorization_count: u32,
    pub explicit_content_filter: u8,
    pub team: Option<()>,
    pub eligible_oauth2_scopes: Vec<String>,
    pub tags: Vec<String>,
    pub summary: String,
}
