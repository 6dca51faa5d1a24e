//! Search in what was written, in one channel or in every channel of a guild that the caller may read.

use super::body::{Caller, Ids, Query};
use super::error::Result;
use super::form::{Form, Shape};
use super::routes::{Routes, get};
use crate::app::App;
use crate::store::{Facet, FoundThread, Order, PrivateThread, Question, Search, SearchOutcome, Sender, Thing};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use guildhall_protocol::model::ChannelType;
use guildhall_protocol::{ChannelId, GuildId, MessageId, Permissions};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

/// The documented bounds of a query.
const CONTENT: usize = 1024;
const LIMIT: i64 = 25;
const OFFSET: i64 = 9975;
const VALUES: usize = 100;
const CHANNELS: usize = 500;
/// What an index that is being filled answers: the documented code, and when to ask again.
const NOT_READY: u32 = 110_000;
const RETRY_SECONDS: u32 = 2;

pub fn routes() -> Routes {
    Routes::new()
        .route("/guilds/{guild_id}/messages/search", get(in_guild, "Searches the messages of a guild that you may read."))
        .route(
            "/channels/{channel_id}/messages/search",
            get(in_channel, "Searches the messages of a channel: READ_MESSAGE_HISTORY."),
        )
}

/// What is asked for, but for where.
struct Asked {
    search: Search,
    /// Empty: everywhere.
    channels: Vec<ChannelId>,
    include_nsfw: bool,
}

/// `-x` asks for messages without it.
fn negatable<T>(word: &str, known: impl Fn(&str) -> Option<T>) -> Option<(bool, T)> {
    let (is_wanted, word) = word.strip_prefix('-').map_or((true, word), |word| (false, word));
    Some((is_wanted, known(word)?))
}

fn sender(word: &str) -> Option<Sender> {
    match word {
        "user" => Some(Sender::Person),
        "bot" => Some(Sender::Bot),
        "webhook" => Some(Sender::Webhook),
        _ => None,
    }
}

fn thing(word: &str) -> Option<Thing> {
    match word {
        "link" => Some(Thing::Link),
        "embed" => Some(Thing::Embed),
        "file" => Some(Thing::File),
        "image" => Some(Thing::Image),
        "video" => Some(Thing::Video),
        "sound" => Some(Thing::Sound),
        "sticker" => Some(Thing::Sticker),
        "poll" => Some(Thing::Poll),
        "snapshot" => Some(Thing::Snapshot),
        _ => None,
    }
}

impl Shape for Asked {
    fn read(form: &Form) -> Self {
        let mut question = Question {
            text: form.text("content", 0..=CONTENT).value().filter(|text| !text.is_empty()),
            slop: form.integer("slop", 0..=100).value().map(|slop| slop as u8),
            ..Question::default()
        };
        // Of several values of one field one is enough …
        let mut any = |facets: Vec<Facet>| question.groups.extend((!facets.is_empty()).then_some(facets));
        any(form.each_id("author_id", VALUES).into_iter().map(Facet::Author).collect());
        any(form.each_id("mentions", VALUES).into_iter().map(Facet::Mentions).collect());
        any(form.each_id("mentions_role_id", VALUES).into_iter().map(Facet::MentionsRole).collect());
        any(form.each_id("replied_to_user_id", VALUES).into_iter().map(Facet::RepliesToUser).collect());
        any(form.each_id("replied_to_message_id", VALUES).into_iter().map(Facet::RepliesTo).collect());
        let name = |word: &str| (word.chars().count() <= CONTENT).then(|| word.to_owned());
        any(form.each_word("link_hostname", VALUES, name).into_iter().map(Facet::LinkHost).collect());
        any(form.each_word("embed_provider", VALUES, name).into_iter().map(Facet::EmbedProvider).collect());
        any(form.each_word("embed_type", VALUES, name).into_iter().map(Facet::EmbedType).collect());
        any(form.each_word("attachment_filename", VALUES, name).into_iter().map(Facet::FileName).collect());
        any(form.each_word("attachment_extension", VALUES, name).into_iter().map(Facet::FileExtension).collect());
        let senders = form.each_word("author_type", VALUES, |word| negatable(word, sender));
        any(senders.iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, sender)| Facet::By(*sender)).collect());
        // … but a message has all the things that are asked for.
        let things = form.each_word("has", VALUES, |word| negatable(word, thing));
        let things = things.into_iter().map(|(is_wanted, thing)| (is_wanted, Facet::Has(thing)));
        let flags = [("pinned", Facet::Pinned), ("mention_everyone", Facet::MentionsEveryone)]
            .into_iter()
            .filter_map(|(key, facet)| Some((form.flag(key).value()?, facet)));
        let unwanted = senders.iter().filter(|(is_wanted, _)| !is_wanted).map(|(_, sender)| (false, Facet::By(*sender)));
        for (is_wanted, facet) in things.chain(flags).chain(unwanted) {
            if is_wanted { question.groups.push(vec![facet]) } else { question.without.push(facet) }
        }
        let word = |key: &str, known: [&'static str; 2]| {
            let found = form.each_word(key, 1, |word| known.iter().find(|name| **name == word).copied());
            found.first().copied().unwrap_or(known[0])
        };
        let order = match (word("sort_by", ["timestamp", "relevance"]), word("sort_order", ["desc", "asc"])) {
            ("relevance", _) => Order::Relevance,
            (_, "asc") => Order::Oldest,
            _ => Order::Newest,
        };
        Self {
            search: Search {
                question,
                after: form.id("min_id").value(),
                before: form.id::<MessageId>("max_id").value(),
                order,
                offset: form.integer("offset", 0..=OFFSET).value().unwrap_or(0) as u32,
                limit: form.integer("limit", 1..=LIMIT).value().unwrap_or(LIMIT) as u32,
            },
            channels: form.each_id("channel_id", CHANNELS),
            include_nsfw: form.flag("include_nsfw").value().unwrap_or(false),
        }
    }
}

/// What the index would be asked, of all that a query says.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn expression(query: &Value) -> Option<String> {
    super::form::read::<Asked>(query).ok()?.search.question.expression()
}

async fn in_guild(
    State(app): State<App>,
    caller: Caller,
    Ids(guild): Ids<GuildId>,
    Query(Asked { mut search, channels, include_nsfw }): Query<Asked>,
) -> Result<Response> {
    let readable = app
        .in_guild(&caller, guild, |access| {
            let held = |id| access.state.channel_permissions(access.user, id, access.now_ms);
            let may_read = |held: Permissions| held.contains(Permissions::VIEW_CHANNEL | Permissions::READ_MESSAGE_HISTORY);
            // Forums hold no messages, but posts that do.
            let holds = |kind: ChannelType| kind.holds_messages() || kind == ChannelType::Forum;
            let channels = access.state.channels().filter(|channel| holds(channel.kind) && (include_nsfw || !channel.nsfw));
            let readable = channels.map(|channel| (channel.id, held(channel.id))).filter(|(_, held)| may_read(*held));
            Ok(readable.map(|(id, held)| (id, held.contains(Permissions::MANAGE_THREADS))).collect::<HashMap<_, _>>())
        })
        .await?;
    // Public threads are seen with their parents; private ones by who is in them, or manages the parent's threads.
    let is_manager = readable.values().any(|manages| *manages);
    let private = app.store().private_threads(guild, caller.id(), is_manager).await?;
    let may_read = |thread: &&PrivateThread| readable.get(&thread.parent_id).is_some_and(|manages| *manages || thread.is_joined);
    let private = private.iter().filter(may_read).map(|thread| thread.id);
    search.question.groups.push(readable.keys().copied().chain(private).map(Facet::SeenWith).collect());
    if !channels.is_empty() {
        search.question.groups.push(channels.into_iter().map(Facet::Channel).collect());
    }
    answer(&app, &caller, search).await
}

async fn in_channel(
    State(app): State<App>,
    caller: Caller,
    Ids(channel): Ids<ChannelId>,
    Query(Asked { mut search, .. }): Query<Asked>,
) -> Result<Response> {
    app.in_text_channel(&caller, channel, |access| access.require(Permissions::READ_MESSAGE_HISTORY)).await?;
    search.question.groups.push(vec![Facet::Channel(channel)]);
    answer(&app, &caller, search).await
}

async fn answer(app: &App, caller: &Caller, search: Search) -> Result<Response> {
    let (total, messages) = match app.store().search(search).await? {
        SearchOutcome::Found { total, messages } => (total, messages),
        SearchOutcome::NotReady(indexed) => {
            let body = json!({
                "message": "Index not yet available. Try again later",
                "code": NOT_READY,
                "documents_indexed": indexed,
                "retry_after": RETRY_SECONDS,
            });
            return Ok((StatusCode::ACCEPTED, Json(body)).into_response());
        }
    };
    // The threads that they are in, and the reader's memberships of these.
    let places: BTreeSet<ChannelId> = messages.iter().map(|message| message.channel_id).collect();
    let (mut threads, mut members) = (Vec::new(), Vec::new());
    for id in places {
        if let Some(FoundThread { thread, own }) = app.store().find_thread(id, caller.id()).await? {
            threads.push(thread);
            members.extend(own);
        }
    }
    // Each in a list of its own, which once held what was said around it.
    let hits: Vec<[Value; 1]> = messages
        .into_iter()
        .map(|message| {
            let mut message = serde_json::to_value(message).expect("a message is plain data");
            message["hit"] = true.into();
            [message]
        })
        .collect();
    let body = json!({
        "total_results": total,
        "messages": hits,
        "doing_deep_historical_index": false,
        "threads": threads,
        "members": members,
        "documents_indexed": null,
    });
    Ok(Json(body).into_response())
}
