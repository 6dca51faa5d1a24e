//! What people set for themselves.

use super::{Result, Tx};
use guildhall_protocol::{GuildId, UserId};

/// What someone set about a guild goes with the membership.
pub(super) async fn forget_guild_settings(tx: &mut Tx<'_>, guild: GuildId, user: UserId) -> Result<()> {
    for statement in [
        "DELETE FROM guild_settings WHERE guild_id = $1 AND user_id = $2",
        "DELETE FROM restricted_guilds WHERE guild_id = $1 AND user_id = $2",
    ] {
        sqlx::query(statement).bind(guild.to_sql()).bind(user.to_sql()).execute(tx.sql()).await?;
    }
    Ok(())
}
