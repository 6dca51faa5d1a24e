//! Whether an account may open the session that it asks for.

use super::Origin;
use crate::hub::core::Admission;
use crate::hub::private::Belongings;
use crate::store::Caller;
use guildhall_protocol::gateway::{CloseCode, Identify, Intents};

/// Application flags (documented), each in its full and its limited form: which privileged intents a bot may ask for.
const PRESENCE: u64 = 1 << 12 | 1 << 13;
const GUILD_MEMBERS: u64 = 1 << 14 | 1 << 15;
const MESSAGE_CONTENT: u64 = 1 << 18 | 1 << 19;

/// Bots must name their intents and hold the switches of the privileged ones; people get everything unless they ask for less.
pub fn admit(
    caller: &Caller,
    identify: Identify,
    origin: &Origin,
    version: u8,
    session_id: String,
) -> Result<Admission, CloseCode> {
    let intents = match identify.intents {
        Some(intents) if caller.is_bot() => bot_intents(intents, caller.application_flags)?,
        None if caller.is_bot() => return Err(CloseCode::InvalidIntents),
        Some(intents) => intents.intersection(Intents::ALL),
        None => Intents::ALL,
    };
    Ok(Admission {
        user: caller.user.clone(),
        email: caller.email.clone(),
        application: caller.application_id.map(|id| (id, caller.application_flags)),
        token_hash: caller.token_hash,
        intents,
        shard: identify.shard,
        large_threshold: identify.large_threshold,
        presence: identify.presence.unwrap_or_default(),
        version,
        resume_url: origin.gateway_url(),
        host: origin.host.clone(),
        session_id,
        belongings: Belongings::default(),
    })
}

fn bot_intents(asked: Intents, application_flags: u64) -> Result<Intents, CloseCode> {
    if !asked.is_valid() {
        return Err(CloseCode::InvalidIntents);
    }
    let switches = [
        (PRESENCE, Intents::GUILD_PRESENCES),
        (GUILD_MEMBERS, Intents::GUILD_MEMBERS),
        (MESSAGE_CONTENT, Intents::MESSAGE_CONTENT),
    ];
    let is_refused = |(flags, intent): (u64, Intents)| asked.contains(intent) && application_flags & flags == 0;
    if switches.into_iter().any(is_refused) { Err(CloseCode::DisallowedIntents) } else { Ok(asked) }
}
