//! Keeps the index: in the transaction that changes a message, and for messages older than the index, bit by bit.
//!
//! Nobody has to remember to index: triggers on the writer's connection note every message row that is added, changed or
//! deleted, whoever does it, and the writer asks for [`index_touched`] before each commit. That is once per group of jobs,
//! because FTS5 writes a segment at every savepoint: 64 messages cost one segment this way instead of 64.

use super::postgres;
use super::terms::{Facet, Sender, Thing, bare, link_hosts};
use crate::store::Result;
use crate::store::engine::{Connection, Engine, Row};
use guildhall_protocol::model::MessageReference;
use guildhall_protocol::{ChannelId, RoleId, UserId};
use serde::Deserialize;
use serde_json::Value;
use sqlx::Row as _;
use std::fmt::Write;

/// Messages that one step of the backlog indexes: about 20 ms, during which a sender waits.
const BACKLOG_STEP: i64 = 512;
/// Kinds that someone wrote: 0, replies and what commands say. What the system says about joins and pins is not looked for.
const WRITTEN: [u8; 4] = [0, 19, 20, 23];
/// Characters of a message that are indexed: its text, and embeds of the documented size.
const WORDS_CHARACTERS: usize = 16_384;

/// Sets the triggers up. In SQLite they and what they note are temporary: they live in this connection's memory, belong to its
/// transactions like any row (a job that fails takes its notes back), and are gone with it. In PostgreSQL they are a part of
/// the schema.
pub async fn watch(connection: &mut Connection) -> Result<(), sqlx::Error> {
    if connection.engine() == Engine::Postgres {
        return Ok(());
    }
    for statement in [
        "PRAGMA temp_store = MEMORY",
        // `is_new`: the message was added in this transaction, so the index does not know it yet.
        "CREATE TEMP TABLE touched (channel_id INTEGER NOT NULL, id INTEGER NOT NULL, is_new INTEGER NOT NULL) STRICT",
        "CREATE TEMP TRIGGER touched_by_insert AFTER INSERT ON main.messages \
         BEGIN INSERT INTO touched VALUES (new.channel_id, new.id, 1); END",
        "CREATE TEMP TRIGGER touched_by_update AFTER UPDATE ON main.messages \
         BEGIN INSERT INTO touched VALUES (new.channel_id, new.id, 0); END",
        "CREATE TEMP TRIGGER touched_by_delete AFTER DELETE ON main.messages \
         BEGIN INSERT INTO touched VALUES (old.channel_id, old.id, 0); END",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// What the index wants to know of messages: what comes before it, two fields of the JSON of a reference, and whose.
macro_rules! select_indexed {
    ($before:literal, $channel:literal, $message:literal, $tail:literal) => {
        concat!(
            $before,
            "SELECT t.id, t.is_new, m.channel_id, m.kind, m.content, m.embeds, m.mentions, m.mention_roles, m.mention_everyone, ",
            "m.reference, m.attachments, m.snapshots, m.webhook_id, m.application_id, m.author_id, m.pinned_at, u.is_bot, c.kind AS channel_kind, ",
            "c.parent_id, (SELECT o.author_id FROM messages o WHERE o.channel_id = ",
            $channel,
            " AND o.id = ",
            $message,
            ") AS original_author_id ",
            $tail
        )
    };
}

macro_rules! select_indexed_sqlite {
    ($tail:literal) => {
        select_indexed!(
            "",
            "CAST(m.reference ->> 'channel_id' AS INTEGER)",
            "CAST(m.reference ->> 'message_id' AS INTEGER)",
            $tail
        )
    };
}

macro_rules! select_indexed_postgres {
    ($before:literal, $tail:literal) => {
        select_indexed!(
            $before,
            "CAST(CAST(m.reference AS JSON) ->> 'channel_id' AS BIGINT)",
            "CAST(CAST(m.reference AS JSON) ->> 'message_id' AS BIGINT)",
            $tail
        )
    };
}

/// Brings the index up to what the transaction made of the messages. To be called right before a commit.
pub async fn index_touched(connection: &mut Connection) -> Result<()> {
    const SQLITE: &str = select_indexed_sqlite!(
        "FROM (SELECT channel_id, id, MAX(is_new) AS is_new FROM touched GROUP BY id, channel_id) t \
         LEFT JOIN messages m ON m.channel_id = t.channel_id AND m.id = t.id LEFT JOIN users u ON u.id = m.author_id \
         LEFT JOIN channels c ON c.id = m.channel_id ORDER BY t.id"
    );
    const POSTGRES: &str = select_indexed_postgres!(
        "WITH noted AS (DELETE FROM touched RETURNING channel_id, id, is_new) ",
        "FROM (SELECT channel_id, id, MAX(is_new) AS is_new FROM noted GROUP BY id, channel_id) t \
         LEFT JOIN messages m ON m.channel_id = t.channel_id AND m.id = t.id LEFT JOIN users u ON u.id = m.author_id \
         LEFT JOIN channels c ON c.id = m.channel_id ORDER BY t.id"
    );
    match connection.engine() {
        Engine::Sqlite => {
            let rows = sqlx::query(SQLITE).fetch_all(&mut *connection).await?;
            if !rows.is_empty() {
                replace(connection, &rows).await?;
                sqlx::query("DELETE FROM touched").execute(connection).await?;
            }
        }
        Engine::Postgres => {
            let rows = sqlx::query(POSTGRES).fetch_all(&mut *connection).await?;
            replace(connection, &rows).await?;
        }
    }
    Ok(())
}

/// Indexes some of the messages that were there before the index. Whether there may be more of them.
pub async fn index_backlog(connection: &mut Connection) -> Result<bool> {
    const SQLITE: &str = select_indexed_sqlite!(
        "FROM (SELECT channel_id, id, 0 AS is_new FROM messages WHERE (channel_id, id) > ($1, $2) ORDER BY channel_id, id LIMIT $3) t \
         JOIN messages m ON m.channel_id = t.channel_id AND m.id = t.id JOIN users u ON u.id = m.author_id \
         LEFT JOIN channels c ON c.id = m.channel_id ORDER BY t.id"
    );
    const POSTGRES: &str = select_indexed_postgres!(
        "",
        "FROM (SELECT channel_id, id, 0 AS is_new FROM messages WHERE (channel_id, id) > ($1, $2) ORDER BY channel_id, id LIMIT $3) t \
         JOIN messages m ON m.channel_id = t.channel_id AND m.id = t.id JOIN users u ON u.id = m.author_id \
         LEFT JOIN channels c ON c.id = m.channel_id ORDER BY t.id"
    );
    let next = match connection.engine() {
        Engine::Sqlite => SQLITE,
        Engine::Postgres => POSTGRES,
    };
    let Some(place) = sqlx::query("SELECT channel_id, message_id FROM search_backlog").fetch_optional(&mut *connection).await?
    else {
        return Ok(false);
    };
    let (channel, message): (i64, i64) = (place.try_get("channel_id")?, place.try_get("message_id")?);
    let rows = sqlx::query(next).bind(channel).bind(message).bind(BACKLOG_STEP).fetch_all(&mut *connection).await?;
    let mut last = (channel, message);
    for row in &rows {
        last = last.max((row.try_get("channel_id")?, row.try_get("id")?));
    }
    replace(connection, &rows).await?;
    let has_more = rows.len() as i64 == BACKLOG_STEP;
    if has_more {
        sqlx::query("UPDATE search_backlog SET channel_id = $1, message_id = $2, indexed = indexed + $3")
            .bind(last.0)
            .bind(last.1)
            .bind(BACKLOG_STEP)
            .execute(connection)
            .await?;
    } else {
        sqlx::query("DELETE FROM search_backlog").execute(connection).await?;
    }
    Ok(has_more)
}

/// Takes the old entries out and puts the present ones in: two statements, however many messages. The rows come in the order
/// of their ids, in which FTS5 collects them in memory.
async fn replace(connection: &mut Connection, rows: &[Row]) -> Result<()> {
    let mut known: Vec<i64> = Vec::new();
    let mut entries: Vec<Entry> = Vec::new();
    for row in rows {
        let id: i64 = row.try_get("id")?;
        if row.try_get::<i64, _>("is_new")? == 0 {
            known.push(id);
        }
        let Some(channel) = row.try_get::<Option<i64>, _>("channel_id")? else { continue };
        if WRITTEN.contains(&row.try_get("kind")?) {
            let message = Indexed::of(row)?;
            entries.push(Entry { id, channel, words: message.words(), facets: message.facets() });
        }
    }
    match connection.engine() {
        Engine::Sqlite => replace_sqlite(connection, &known, &entries).await,
        Engine::Postgres => postgres::replace(connection, known, entries).await,
    }
}

async fn replace_sqlite(connection: &mut Connection, known: &[i64], entries: &[Entry]) -> Result<()> {
    if !known.is_empty() {
        sqlx::query("DELETE FROM search WHERE rowid IN (SELECT value FROM json_each($1))")
            .bind(serde_json::to_string(known)?)
            .execute(&mut *connection)
            .await?;
    }
    if !entries.is_empty() {
        let entry = |entry: &Entry| {
            let tokens: Vec<String> = entry.facets.iter().map(Facet::token).collect();
            serde_json::json!([entry.id, entry.words, tokens.join(" "), entry.channel])
        };
        let entries: Vec<Value> = entries.iter().map(entry).collect();
        sqlx::query(
            "INSERT INTO search (rowid, words, facets, channel_id) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1)",
        )
        .bind(serde_json::to_string(&entries)?)
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// One message of the index.
pub struct Entry {
    pub id: i64,
    pub channel: i64,
    pub words: String,
    pub facets: Vec<Facet>,
}

/// What is indexed of a message.
struct Indexed {
    channel: ChannelId,
    seen_with: ChannelId,
    author: UserId,
    sender: Sender,
    content: String,
    embeds: Vec<Value>,
    attachments: Vec<Attachment>,
    mentions: Vec<UserId>,
    mention_roles: Vec<RoleId>,
    mention_everyone: bool,
    reference: Option<MessageReference>,
    /// Who wrote the original of a reply, if that is still there.
    original_author: Option<UserId>,
    is_forward: bool,
    is_pinned: bool,
}

#[derive(Default, Deserialize)]
struct Attachment {
    #[serde(default)]
    filename: String,
    #[serde(default)]
    content_type: Option<String>,
}

fn list<T: for<'de> Deserialize<'de>>(row: &Row, column: &str) -> Result<Vec<T>> {
    let text: Option<&str> = row.try_get(column)?;
    Ok(text.map(serde_json::from_str).transpose()?.unwrap_or_default())
}

impl Indexed {
    fn of(row: &Row) -> Result<Self> {
        /// Announcement and public threads: whoever may see the parent may see them.
        const PUBLIC_THREADS: [u8; 2] = [10, 11];
        let channel = ChannelId::from_sql(row.try_get("channel_id")?);
        let is_public_thread = row.try_get::<Option<u8>, _>("channel_kind")?.is_some_and(|kind| PUBLIC_THREADS.contains(&kind));
        let parent: Option<i64> = row.try_get("parent_id")?;
        // What an application answers comes through a webhook with its own number: a bot said it.
        let webhook: Option<i64> = row.try_get("webhook_id")?;
        let is_webhook = webhook.is_some() && webhook != row.try_get("application_id")?;
        let reference: Option<&str> = row.try_get("reference")?;
        Ok(Self {
            channel,
            seen_with: parent.filter(|_| is_public_thread).map_or(channel, ChannelId::from_sql),
            author: UserId::from_sql(row.try_get("author_id")?),
            sender: match (is_webhook, row.try_get("is_bot")?) {
                (true, _) => Sender::Webhook,
                (false, true) => Sender::Bot,
                (false, false) => Sender::Person,
            },
            content: row.try_get("content")?,
            embeds: list(row, "embeds")?,
            attachments: list(row, "attachments")?,
            mentions: list(row, "mentions")?,
            mention_roles: list(row, "mention_roles")?,
            mention_everyone: row.try_get("mention_everyone")?,
            reference: reference.map(serde_json::from_str).transpose()?,
            original_author: row.try_get::<Option<i64>, _>("original_author_id")?.map(UserId::from_sql),
            is_forward: row.try_get::<Option<&str>, _>("snapshots")?.is_some(),
            is_pinned: row.try_get::<Option<i64>, _>("pinned_at")?.is_some(),
        })
    }

    fn words(&self) -> String {
        let mut words = bare(&self.content);
        let mut add = |text: &Value| {
            if let Some(text) = text.as_str() {
                let _ = write!(words, "\n{}", bare(text));
            }
        };
        for embed in &self.embeds {
            [&embed["title"], &embed["description"], &embed["author"]["name"], &embed["footer"]["text"]]
                .into_iter()
                .for_each(&mut add);
            for field in embed["fields"].as_array().into_iter().flatten() {
                [&field["name"], &field["value"]].into_iter().for_each(&mut add);
            }
        }
        if words.len() > WORDS_CHARACTERS {
            words = words.chars().take(WORDS_CHARACTERS).collect();
        }
        words
    }

    fn facets(&self) -> Vec<Facet> {
        let mut facets = vec![
            Facet::Channel(self.channel),
            Facet::SeenWith(self.seen_with),
            Facet::Author(self.author),
            Facet::By(self.sender),
        ];
        facets.extend(self.mentions.iter().map(|id| Facet::Mentions(*id)));
        facets.extend(self.mention_roles.iter().map(|id| Facet::MentionsRole(*id)));
        facets.extend(self.mention_everyone.then_some(Facet::MentionsEveryone));
        facets.extend(self.is_pinned.then_some(Facet::Pinned));
        if self.is_forward {
            facets.push(Facet::Has(Thing::Snapshot));
        } else if let Some(original) = self.reference {
            facets.extend(original.message_id.map(Facet::RepliesTo));
            facets.extend(self.original_author.map(Facet::RepliesToUser));
        }
        let hosts = link_hosts(&self.content);
        facets.extend((!hosts.is_empty()).then_some(Facet::Has(Thing::Link)));
        facets.extend(hosts.into_iter().map(Facet::LinkHost));
        facets.extend((!self.embeds.is_empty()).then_some(Facet::Has(Thing::Embed)));
        for embed in &self.embeds {
            facets.extend(embed["provider"]["name"].as_str().map(|name| Facet::EmbedProvider(name.to_owned())));
            facets.extend(embed["type"].as_str().map(|name| Facet::EmbedType(name.to_owned())));
        }
        facets.extend((!self.attachments.is_empty()).then_some(Facet::Has(Thing::File)));
        for attachment in &self.attachments {
            facets.extend(attachment.content_type.as_deref().and_then(Facet::thing).map(Facet::Has));
            let extension = attachment.filename.rsplit_once('.').map(|(_, extension)| extension.to_owned());
            facets.extend(extension.map(Facet::FileExtension));
            facets.push(Facet::FileName(attachment.filename.clone()));
        }
        facets
    }
}

/// How many messages of the backlog are indexed. `None`: there is no backlog, the index is complete.
pub async fn backlog(connection: &mut Connection) -> Result<Option<u64>> {
    let indexed: Option<i64> = sqlx::query_scalar("SELECT indexed FROM search_backlog").fetch_optional(connection).await?;
    Ok(indexed.map(|indexed| indexed as u64))
}
