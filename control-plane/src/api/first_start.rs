//! What a newcomer finds: an owner's account and a guild to be in.

use super::codes;
use super::guilds::new_guild;
use crate::app::{App, OwnerCredentials};
use crate::store::{Conflict, StoreError};
use guildhall_protocol::model::User;

const OWNER_NAME: &str = "owner";
const OWNER_EMAIL: &str = "owner@guildhall.local";
const GUILD_NAME: &str = "Guildhall";

pub async fn ensure_owner(app: &App) -> anyhow::Result<Option<OwnerCredentials>> {
    let store = app.store();
    if !store.has_no_people().await? {
        return Ok(None);
    }
    let password = codes::password();
    let hash = app.passwords().hash(password.clone()).await?;
    let owner = User::new(store.make_id(), OWNER_NAME.to_owned(), None, false);
    match store.create_person(owner.clone(), Some(OWNER_EMAIL.to_owned()), hash).await {
        // Another control plane starts on the same database, and was first.
        Err(StoreError::Conflict(Conflict::UsernameTaken)) => return Ok(None),
        created => created?,
    }
    store.create_guild(new_guild(app, GUILD_NAME.to_owned(), owner)).await?;
    Ok(Some(OwnerCredentials { login: OWNER_EMAIL.to_owned(), password }))
}
