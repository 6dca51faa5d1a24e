//! twilight, as released: its models refuse what does not fit, so each answer and event it reads is one of the documented shape.

use guildhall_protocol::Permissions;
use guildhall_tests::{
    DEADLINE,
    compatibility::{Client, Feature, Report},
    proxy::Proxy,
    world::World,
};
use serde_json::json;
use std::{future::Future, net::SocketAddr};
use twilight_gateway::{ConfigBuilder, Event, EventTypeFlags, Intents, Shard, ShardId, StreamExt};
use twilight_http::{
    Client as Http,
    api_error::ApiError,
    error::ErrorType,
    request::{AuditLogReason, channel::reaction::RequestReactionType},
};
use twilight_model::{
    channel::{
        message::Embed,
        permission_overwrite::{PermissionOverwrite, PermissionOverwriteType},
    },
    gateway::payload::{incoming::GuildCreate, outgoing::RequestGuildMembers},
    guild::{Permissions as Allowed, audit_log::AuditLogEventType},
    http::attachment::Attachment,
    id::{
        Id,
        marker::{ChannelMarker, GuildMarker, UserMarker},
    },
};
use twilight_standby::Standby;

/// The response of a call that must succeed.
macro_rules! ok {
    ($call:expr) => {
        $call.await.unwrap_or_else(|error| panic!("{}: {error:?}", stringify!($call)))
    };
}

/// What twilight makes of the body of such a response: one object, or a list.
macro_rules! model {
    ($call:expr) => {
        ok!($call).model().await.unwrap_or_else(|error| panic!("{}: {error:?}", stringify!($call)))
    };
}

mod commands;
mod guild;

/// Reads events, each of which must fit its model, until one is picked.
async fn next<T>(shard: &mut Shard, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    let wait = async {
        loop {
            let event = shard.next_event(EventTypeFlags::all()).await.expect("the gateway goes on");
            if let Some(found) = pick(event.unwrap_or_else(|error| panic!("while waiting for {what}: {error:?}"))) {
                return found;
            }
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("waited {DEADLINE:?} for {what}"))
}

/// Reads events for those who stand by, until the one that waits has its event.
async fn stand_by<T, E: std::fmt::Debug>(
    shard: &mut Shard,
    standby: &Standby,
    what: &str,
    wait: impl Future<Output = Result<T, E>>,
) -> T {
    let mut wait = std::pin::pin!(wait);
    let wait = async {
        loop {
            tokio::select! {
                found = &mut wait => return found.expect("nobody takes the wait back"),
                event = shard.next_event(EventTypeFlags::all()) => {
                    let event = event.expect("the gateway goes on").unwrap_or_else(|error| panic!("while waiting for {what}: {error:?}"));
                    standby.process(&event);
                }
            }
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("waited {DEADLINE:?} for {what}"))
}

/// The status and the number that a call is refused with.
fn refusal(error: &twilight_http::Error) -> (u16, Option<u64>) {
    match error.kind() {
        ErrorType::Response { status, error: ApiError::General(error), .. } => (status.get(), Some(error.code)),
        ErrorType::Response { status, .. } => (status.get(), None),
        _ => panic!("no refusal: {error:?}"),
    }
}

fn connect(address: SocketAddr, token: &str) -> (Http, Shard) {
    // Its loaders of certificates are not compiled in: this talks plainly.
    let http = Http::builder().token(format!("Bot {token}")).proxy(address.to_string(), true).build();
    let intents = Intents::all();
    let config = ConfigBuilder::new(format!("Bot {token}"), intents).proxy_url(format!("ws://{address}/gateway")).build();
    (http, Shard::with_config(ShardId::ONE, config))
}

#[tokio::test]
async fn twilight_serves_a_community() {
    let report = Report::of(Client::Twilight, "community");
    let world = World::start().await;
    let (ann, robin) = (world.member("ann").await, world.member("robin").await);
    let bot = world.bot("dusk", Permissions::ADMINISTRATOR).await;
    let (http, mut shard) = connect(world.server.address(), &bot.token);
    let me: Id<UserMarker> = Id::new(bot.user.id.get());
    let guild: Id<GuildMarker> = Id::new(world.guild.get());
    let text: Id<ChannelMarker> = Id::new(world.text.get());
    let (ann_id, robin_id): (Id<UserMarker>, Id<UserMarker>) = (Id::new(ann.user.id.get()), Id::new(robin.user.id.get()));

    let ready = next(&mut shard, "READY", |event| if let Event::Ready(ready) = event { Some(ready) } else { None }).await;
    assert_eq!((ready.version, ready.user.id), (10, me));
    assert_eq!(ready.guilds.iter().map(|guild| guild.id).collect::<Vec<_>>(), [guild]);
    let created = next(&mut shard, "GUILD_CREATE", |event| match event {
        Event::GuildCreate(created) => Some(*created),
        _ => None,
    })
    .await;
    let GuildCreate::Available(seen) = created else { panic!("the guild is there") };
    assert_eq!((seen.id, seen.name.as_str(), seen.member_count), (guild, "The hall", Some(4)));
    assert!(seen.channels.iter().any(|channel| channel.id == text && channel.name.as_deref() == Some("stories")));
    assert!(seen.roles.iter().any(|role| role.id == guild.cast() && role.name == "@everyone"));

    shard.command(&RequestGuildMembers::builder(guild).nonce("everyone").query("", None));
    let chunk = next(&mut shard, "a member chunk", |event| match event {
        Event::MemberChunk(chunk) => Some(chunk),
        _ => None,
    })
    .await;
    assert_eq!((chunk.nonce.as_deref(), chunk.chunk_count, chunk.members.len()), (Some("everyone"), 1, 4));

    let session = world.session(&ann).await;
    let appears = |event: Event| matches!(event, Event::PresenceUpdate(now) if now.user.id() == ann_id).then_some(());
    next(&mut shard, "ann's presence", appears).await;
    session.close(1000).await;

    // Messages: sent, answered, edited, listed, deleted; each is an event too.
    let sent = model!(http.create_message(text).content("good evening"));
    let event = next(&mut shard, "the message", |event| match event {
        Event::MessageCreate(created) => Some(created.message),
        _ => None,
    })
    .await;
    assert_eq!((event.id, event.content.as_str(), event.author.id), (sent.id, "good evening", me));
    let answer = model!(http.create_message(text).content("indeed").reply(sent.id));
    assert_eq!(answer.referenced_message.map(|message| message.id), Some(sent.id));
    let edited = model!(http.update_message(text, sent.id).content(Some("good night")));
    assert_eq!((edited.content.as_str(), edited.edited_timestamp.is_some()), ("good night", true));
    next(&mut shard, "the edit", |event| matches!(event, Event::MessageUpdate(now) if now.id == sent.id).then_some(())).await;
    let history: Vec<_> = model!(http.channel_messages(text)).iter().map(|message| message.id).collect();
    assert_eq!(history, [answer.id, sent.id]);

    let thumb = RequestReactionType::Unicode { name: "👍" };
    ok!(http.create_reaction(text, sent.id, &thumb));
    let by = next(&mut shard, "the reaction", |event| match event {
        Event::ReactionAdd(added) => Some(added.user_id),
        _ => None,
    })
    .await;
    assert_eq!(by, me);
    assert_eq!(model!(http.reactions(text, sent.id, &thumb)).iter().map(|user| user.id).collect::<Vec<_>>(), [me]);
    assert_eq!(
        model!(http.message(text, sent.id)).reactions.first().map(|reaction| (reaction.count, reaction.me)),
        Some((1, true))
    );
    ok!(http.delete_all_reactions(text, sent.id));

    ok!(http.create_pin(text, sent.id));
    next(&mut shard, "the pin", |event| matches!(event, Event::ChannelPinsUpdate(_)).then_some(())).await;
    let pinned: Vec<_> = model!(http.pins(text)).items.iter().map(|pin| pin.message.id).collect();
    assert_eq!(pinned, [sent.id]);
    ok!(http.delete_pin(text, sent.id));

    let bytes: Vec<u8> = (0..=255).collect();
    let files = [Attachment::from_bytes("map.bin".to_owned(), bytes.clone(), 0)];
    let embed = json!({"type": "rich", "title": "The map", "color": 0x336699, "fields": [{"name": "scale", "value": "1:100", "inline": true}]});
    let embeds = [serde_json::from_value::<Embed>(embed).expect("an embed")];
    let message = model!(http.create_message(text).attachments(&files).embeds(&embeds));
    assert_eq!((&message.embeds[0].title, &message.embeds[0].fields), (&embeds[0].title, &embeds[0].fields));
    let fetched = world.rest.download(&message.attachments[0].url).await.expect("the file's address works");
    assert_eq!((message.attachments[0].filename.as_str(), fetched), ("map.bin", bytes));
    ok!(http.delete_message(text, sent.id));
    next(&mut shard, "the end of it", |event| matches!(event, Event::MessageDelete(gone) if gone.id == sent.id).then_some(()))
        .await;

    // Roles, channels, overwrites, moderation, with reasons.
    let role = model!(http.create_role(guild).name("warden").permissions(Allowed::MANAGE_MESSAGES).reason("for the feast"));
    assert_eq!((role.name.as_str(), role.permissions), ("warden", Allowed::MANAGE_MESSAGES));
    ok!(http.add_guild_member_role(guild, robin_id, role.id));
    assert_eq!(model!(http.guild_member(guild, robin_id)).roles, [role.id]);
    let hidden = [PermissionOverwrite {
        allow: Allowed::empty(),
        deny: Allowed::VIEW_CHANNEL,
        id: guild.cast(),
        kind: PermissionOverwriteType::Role,
    }];
    let vault = model!(http.create_guild_channel(guild, "vault").topic("secrets").permission_overwrites(&hidden));
    assert_eq!((vault.topic.as_deref(), vault.permission_overwrites.as_deref()), (Some("secrets"), Some(&hidden[..])));
    next(&mut shard, "the channel", |event| matches!(event, Event::ChannelCreate(new) if new.id == vault.id).then_some(())).await;
    let invite = model!(http.create_invite(vault.id).max_age(3600).max_uses(2));
    let found = model!(http.invite(&invite.code));
    assert_eq!((found.guild.map(|found| found.id), found.channel.map(|found| found.id)), (Some(guild), Some(vault.id)));
    ok!(http.delete_channel(vault.id));
    ok!(http.create_ban(guild, robin_id).delete_message_seconds(3600).reason("ni"));
    next(&mut shard, "the ban", |event| matches!(event, Event::BanAdd(ban) if ban.user.id == robin_id).then_some(())).await;
    assert_eq!(model!(http.ban(guild, robin_id)).reason.as_deref(), Some("ni"));
    ok!(http.delete_ban(guild, robin_id).reason("forgiven"));
    let log = model!(http.audit_log(guild).limit(2));
    let lines: Vec<_> = log.entries.iter().map(|entry| (entry.action_type, entry.user_id, entry.reason.as_deref())).collect();
    let expected = [
        (AuditLogEventType::MemberBanRemove, Some(me), Some("forgiven")),
        (AuditLogEventType::MemberBanAdd, Some(me), Some("ni")),
    ];
    assert_eq!(lines, expected);
    next(&mut shard, "the entry", |event| {
        matches!(event, Event::GuildAuditLogEntryCreate(entry) if entry.reason.as_deref() == Some("forgiven")).then_some(())
    })
    .await;

    report.proves(&[
        Feature::Login,
        Feature::Members,
        Feature::Presence,
        Feature::Messages,
        Feature::Reactions,
        Feature::Pins,
        Feature::Files,
        Feature::Administration,
        Feature::AuditLog,
    ]);
}

/// Each is followed by messages that only a replay can deliver.
const CUTS: usize = 3;

#[tokio::test]
async fn twilight_resumes_and_misses_nothing() {
    let report = Report::of(Client::Twilight, "resume");
    let world = World::start().await;
    let proxy = Proxy::start(world.server.address()).await;
    let bot = world.bot("dusk", Permissions::VIEW_CHANNEL).await;
    let (_, mut shard) = connect(proxy.address(), &bot.token);
    next(&mut shard, "GUILD_CREATE", |event| matches!(event, Event::GuildCreate(_)).then_some(())).await;
    let (mut sent, mut seen) = (Vec::new(), Vec::new());
    let write = async |sent: &mut Vec<u64>| {
        for _ in 0..2 {
            let message = world.owner.rest.send_message(world.text, "still there?").await.expect("the owner may write");
            sent.push(message.id.get());
        }
    };
    for cut in 1..=CUTS {
        write(&mut sent).await;
        // Half of the cuts come when everything was delivered, the others while events are on their way.
        if cut % 2 == 1 {
            read_until(&mut shard, &mut seen, |_, seen| seen.last() == sent.last()).await;
        }
        proxy.cut_and_hold();
        write(&mut sent).await;
        proxy.release();
        read_until(&mut shard, &mut seen, |event, _| matches!(event, Event::Resumed)).await;
        write(&mut sent).await;
        read_until(&mut shard, &mut seen, |_, seen| seen.last() == sent.last()).await;
    }
    assert_eq!(seen, sent, "every message once and in order");
    report.proves(&[Feature::Resume]);
}

/// Reads on, over the errors that a cut connection is, and notes the messages. The session must stay the one of the start.
async fn read_until(shard: &mut Shard, seen: &mut Vec<u64>, is_it: impl Fn(&Event, &[u64]) -> bool) {
    let read = async {
        loop {
            let Ok(event) = shard.next_event(EventTypeFlags::all()).await.expect("the gateway goes on") else { continue };
            assert!(!matches!(event, Event::Ready(_) | Event::GatewayInvalidateSession(_)), "the session is lost");
            if let Event::MessageCreate(message) = &event {
                seen.push(message.id.get());
            }
            if is_it(&event, seen) {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.expect("in time");
}
