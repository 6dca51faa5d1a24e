//! What a newcomer finds: an owner's account and a guild to be in.

use super::guilds::new_guild;
use crate::app::{App, OwnerCredentials};
use guildhall_protocol::model::User;

const OWNER_NAME: &str = "owner";
const OWNER_EMAIL: &str = "owner@guildhall.local";
const GUILD_NAME: &str = "Guildhall";
/// Without letters and digits that look alike; 20 of these are 98 bits.
const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
const PASSWORD_CHARACTERS: usize = 20;

pub async fn ensure_owner(app: &App) -> anyhow::Result<Option<OwnerCredentials>> {
    let store = app.store();
    if !store.has_no_people().await? {
        return Ok(None);
    }
    let password = random_text(ALPHABET, PASSWORD_CHARACTERS);
    let hash = app.passwords().hash(password.clone()).await?;
    let owner = User::new(store.make_id(), OWNER_NAME.to_owned(), None, false);
    // The token is of no use to anyone: the owner logs in.
    store.create_person(owner.clone(), Some(OWNER_EMAIL.to_owned()), hash).await?;
    store.create_guild(new_guild(app, GUILD_NAME.to_owned(), owner)).await?;
    Ok(Some(OwnerCredentials { login: OWNER_EMAIL.to_owned(), password }))
}

/// Draws characters uniformly.
pub fn random_text(alphabet: &[u8], length: usize) -> String {
    // Bytes above the largest multiple would make the first characters likelier; they are thrown away.
    let fair = 256 / alphabet.len() * alphabet.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
        let drawn = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        text.extend(drawn.map(|byte| char::from(alphabet[byte % alphabet.len()])).take(length - text.len()));
    }
    text
}
