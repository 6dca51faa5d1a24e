//! A guild's daily life with twilight: moderation, waiting for answers, webhooks, threads, forums, and conversations in private.

use super::{connect, next, refusal, stand_by};
use guildhall_protocol::Permissions;
use guildhall_tests::{
    api::{get, post, put},
    compatibility::{Client, Feature, Report},
    world::{World, id},
};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use twilight_gateway::{Event, Shard};
use twilight_http::{
    Client as Http,
    request::{AuditLogReason, channel::reaction::RequestReactionType},
};
use twilight_model::{
    channel::{ChannelType, forum::ForumTag, thread::AutoArchiveDuration},
    gateway::payload::{
        incoming::{MessageCreate, ReactionAdd},
        outgoing::{RequestGuildMembers, UpdateVoiceState},
    },
    guild::VerificationLevel,
    id::{
        Id,
        marker::{ChannelMarker, GuildMarker, TagMarker, UserMarker},
    },
    util::Timestamp,
};
use twilight_standby::Standby;

/// A picture of one pixel.
const PIXEL: &str = "data:image/png;base64,\
    iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A bot of everything in a guild with two members.
struct Scene {
    world: World,
    http: Http,
    shard: Shard,
    bot: guildhall_loadtest::rest::Account,
    ann: guildhall_loadtest::rest::Account,
    robin: guildhall_loadtest::rest::Account,
    guild: Id<GuildMarker>,
    text: Id<ChannelMarker>,
    ann_id: Id<UserMarker>,
    robin_id: Id<UserMarker>,
}

#[tokio::test]
async fn twilight_keeps_a_guild() {
    let report = Report::of(Client::Twilight, "guild");
    let world = World::start().await;
    let (ann, robin) = (world.member("ann").await, world.member("robin").await);
    let bot = world.bot("dusk", Permissions::ADMINISTRATOR).await;
    let (http, mut shard) = connect(world.server.address(), &bot.token);
    next(&mut shard, "GUILD_CREATE", |event| matches!(event, Event::GuildCreate(_)).then_some(())).await;
    let mut scene = Scene {
        guild: Id::new(world.guild.get()),
        text: Id::new(world.text.get()),
        ann_id: Id::new(ann.user.id.get()),
        robin_id: Id::new(robin.user.id.get()),
        world,
        http,
        shard,
        bot,
        ann,
        robin,
    };
    scene.waits_for_answers().await;
    scene.sends_webhooks().await;
    scene.keeps_threads().await;
    scene.keeps_a_forum().await;
    scene.looks_around().await;
    scene.changes_what_there_is().await;
    scene.talks_in_private().await;
    scene.moderates().await;
    report.proves(&[Feature::Collectors, Feature::Webhooks, Feature::Threads, Feature::DirectMessages, Feature::Moderation]);
}

impl Scene {
    async fn waits_for_answers(&mut self) {
        let Self { world, http, shard, ann, robin, text, ann_id, .. } = self;
        let (standby, ann_id) = (Standby::new(), *ann_id);
        let question = model!(http.create_message(*text).content("who goes there?"));
        let answer = standby.wait_for_message(*text, move |said: &MessageCreate| said.author.id == ann_id);
        robin.rest.send_message(world.text, "not me").await.expect("a member may write");
        ann.rest.send_message(world.text, "a friend").await.expect("a member may write");
        assert_eq!(stand_by(shard, &standby, "an answer", answer).await.content, "a friend");

        let thumb = RequestReactionType::Unicode { name: "👍" };
        ok!(http.create_reaction(*text, question.id, &thumb));
        let vote = standby.wait_for_reaction(question.id, move |by: &ReactionAdd| by.user_id == ann_id);
        for emoji in ["%F0%9F%91%8D", "%F0%9F%8E%89"] {
            put(&ann.rest, &format!("/channels/{text}/messages/{}/reactions/{emoji}/@me", question.id), json!({})).await;
        }
        let voted = stand_by(shard, &standby, "a vote", vote).await;
        assert_eq!((voted.guild_id, voted.member.as_ref().map(|member| member.user.id)), (Some(self.guild), Some(ann_id)));
        ok!(http.delete_all_reaction(*text, question.id, &thumb));
        next(shard, "the end of the thumbs", |event| {
            matches!(event, Event::ReactionRemoveEmoji(gone) if gone.message_id == question.id).then_some(())
        })
        .await;
        let left: Vec<_> = model!(http.message(*text, question.id)).reactions.iter().map(|reaction| reaction.count).collect();
        assert_eq!(left, [1], "the other emoji stays");
    }

    async fn sends_webhooks(&mut self) {
        let Self { http, shard, text, .. } = self;
        let made = model!(http.create_webhook(*text, "courier").reason("news"));
        next(shard, "the webhook", |event| matches!(event, Event::WebhooksUpdate(now) if now.channel_id == *text).then_some(()))
            .await;
        let token = made.token.as_deref().expect("who makes a webhook is told its token");
        let sent = model!(http.execute_webhook(made.id, token).content("hear ye").username("Town crier").wait());
        assert_eq!((sent.author.name.as_str(), sent.webhook_id), ("Town crier", Some(made.id)));
        ok!(http.execute_webhook(made.id, token).content("oyez"));
        let listed: Vec<_> = model!(http.channel_webhooks(*text)).into_iter().map(|each| each.name).collect();
        assert_eq!(listed, [Some("courier".to_owned())]);
        let edited = model!(http.update_webhook_message(made.id, token, sent.id).content(Some("hear ye all")));
        assert_eq!((edited.content.as_str(), edited.edited_timestamp.is_some()), ("hear ye all", true));
        assert_eq!(model!(http.webhook_message(made.id, token, sent.id)).content, "hear ye all");
        ok!(http.delete_webhook_message(made.id, token, sent.id));

        let thread = model!(http.create_thread(*text, "news", ChannelType::PublicThread));
        let inside = model!(http.execute_webhook(made.id, token).thread_id(thread.id).content("extra").wait());
        assert_eq!((inside.channel_id, inside.content.as_str()), (thread.id, "extra"));
        let inside = model!(http.update_webhook_message(made.id, token, inside.id).thread_id(thread.id).content(Some("late")));
        assert_eq!(inside.content, "late");
        ok!(http.delete_channel(thread.id));
        assert_eq!(model!(http.update_webhook(made.id).name("herald")).name.as_deref(), Some("herald"));
        ok!(http.delete_webhook(made.id));
        assert_eq!(model!(http.channel_webhooks(*text)).len(), 0);
    }

    async fn keeps_threads(&mut self) {
        let Self { http, shard, bot, guild, text, ann_id, .. } = self;
        let me: Id<UserMarker> = Id::new(bot.user.id.get());
        let start = model!(http.create_message(*text).content("who brings what?"));
        let new = http.create_thread_from_message(*text, start.id, "the feast").auto_archive_duration(AutoArchiveDuration::Day);
        let thread = model!(new);
        assert_eq!(
            (thread.name.as_deref(), thread.parent_id, thread.kind),
            (Some("the feast"), Some(*text), ChannelType::PublicThread)
        );
        next(shard, "the thread", |event| matches!(event, Event::ThreadCreate(new) if new.id == thread.id).then_some(())).await;
        model!(http.create_message(thread.id).content("bread"));
        ok!(http.add_thread_member(thread.id, *ann_id));
        let added = next(shard, "ann in it", |event| match event {
            Event::ThreadMembersUpdate(now) if now.id == thread.id => Some(now),
            _ => None,
        })
        .await;
        assert_eq!(added.added_members.iter().map(|member| member.user_id).collect::<Vec<_>>(), [Some(*ann_id)]);
        let members = model!(http.thread_members(thread.id).with_member(true));
        let mut members: Vec<_> =
            members.into_iter().map(|member| (member.user_id, member.member.map(|member| member.user.id))).collect();
        members.sort();
        let mut expected = [(Some(me), Some(me)), (Some(*ann_id), Some(*ann_id))];
        expected.sort();
        assert_eq!(members, expected);
        assert_eq!(model!(http.thread_member(thread.id, *ann_id)).user_id, Some(*ann_id));
        let active = model!(http.active_threads(*guild));
        assert_eq!(active.threads.iter().map(|thread| thread.id).collect::<Vec<_>>(), [thread.id]);
        assert_eq!(active.members.iter().map(|member| member.user_id).collect::<Vec<_>>(), [Some(me)]);
        let said: Vec<_> = model!(http.channel_messages(thread.id)).into_iter().map(|message| message.content).collect();
        assert_eq!(said[0], "bread");

        let archived = model!(http.update_thread(thread.id).archived(true).locked(true));
        assert_eq!(archived.thread_metadata.map(|now| (now.archived, now.locked)), Some((true, true)));
        next(shard, "the end of the talk", |event| match event {
            Event::ThreadUpdate(now) if now.id == thread.id => {
                now.thread_metadata.as_ref().filter(|now| now.archived).map(|_| ())
            }
            _ => None,
        })
        .await;
        let listed = model!(http.public_archived_threads(*text));
        assert_eq!((listed.threads[0].id, listed.has_more), (thread.id, Some(false)));
        ok!(http.delete_channel(thread.id));
        next(shard, "the end of the thread", |event| {
            matches!(event, Event::ThreadDelete(gone) if gone.id == thread.id).then_some(())
        })
        .await;
        assert_eq!(model!(http.active_threads(*guild)).threads.len(), 0);
    }

    async fn keeps_a_forum(&mut self) {
        let Self { http, guild, .. } = self;
        // A new tag has no id yet; twilight's model wants one to send.
        let tag =
            |name: &str| ForumTag { emoji_id: None, emoji_name: None, id: Id::new(1), moderated: false, name: name.to_owned() };
        let tags = [tag("fruit"), tag("bread")];
        let forum = model!(http.create_guild_channel(*guild, "market").kind(ChannelType::GuildForum).available_tags(&tags));
        let tags: Vec<Id<TagMarker>> = forum.available_tags.unwrap_or_default().into_iter().map(|tag| tag.id).collect();
        assert!(tags.len() == 2 && tags[0] != tags[1], "{tags:?}");
        let new = http.create_forum_thread(forum.id, "apples").applied_tags(&tags[..1]).message().content("the red ones");
        let post = model!(new);
        assert_eq!((post.channel.applied_tags.as_deref(), post.message.content.as_str()), (Some(&tags[..1]), "the red ones"));
        assert_eq!(post.message.channel_id, post.channel.id);
        let retagged = model!(http.update_thread(post.channel.id).applied_tags(Some(&tags)));
        assert_eq!(retagged.applied_tags.as_deref(), Some(&tags[..]));

        let hook = model!(http.create_webhook(forum.id, "baker"));
        let token = hook.token.as_deref().expect("its token");
        let rolls = model!(http.execute_webhook(hook.id, token).thread_name("rolls").content("still warm").wait());
        assert_eq!(model!(http.channel(rolls.channel_id)).name.as_deref(), Some("rolls"));
        ok!(http.delete_channel(forum.id));
    }

    async fn looks_around(&mut self) {
        let Self { world, http, shard, ann, guild, text, ann_id, .. } = self;
        let said = model!(http.create_message(*text).content("worth telling"));
        let forwarded = model!(http.create_message(*text).forward(*text, said.id));
        assert_eq!(forwarded.message_snapshots.iter().map(|told| &*told.message.content).collect::<Vec<_>>(), ["worth telling"]);

        let session = world.session(ann).await;
        next(shard, "ann's presence", |event| {
            matches!(event, Event::PresenceUpdate(now) if now.user.id() == *ann_id).then_some(())
        })
        .await;
        let nobody = Id::new(1);
        let asked = RequestGuildMembers::builder(*guild).presences(true).nonce("two").user_ids(vec![*ann_id, nobody]);
        shard.command(&asked.expect("two are not too many"));
        let chunk = next(shard, "the chunk", |event| match event {
            Event::MemberChunk(chunk) if chunk.nonce.as_deref() == Some("two") => Some(chunk),
            _ => None,
        })
        .await;
        assert_eq!(chunk.members.iter().map(|member| member.user.id).collect::<Vec<_>>(), [*ann_id]);
        assert_eq!(chunk.presences.iter().map(|presence| presence.user.id()).collect::<Vec<_>>(), [*ann_id]);
        assert_eq!(chunk.not_found, [nobody]);
        session.close(1000).await;

        let seen = model!(http.guild(*guild).with_counts(true));
        assert_eq!((seen.approximate_member_count, seen.approximate_presence_count.is_some()), (Some(4), true));
        assert_eq!(model!(http.guild_members(*guild).limit(10)).len(), 4);
        assert_eq!(model!(http.search_guild_members(*guild, "an")).len(), 1);
        // What is not there is refused as what does not exist, in a form that the library understands.
        for error in [
            http.guild_scheduled_events(*guild).await.expect_err("there are no events"),
            http.guild_stickers(*guild).await.expect_err("there are no stickers"),
        ] {
            assert_eq!(refusal(&error), (404, Some(0)));
        }
    }

    /// The guild, its emojis, roles, invites, voice states and the bot itself: as answers and as events, each in its model.
    async fn changes_what_there_is(&mut self) {
        let Self { world, http, shard, bot, ann, guild, text, ann_id, .. } = self;
        let me: Id<UserMarker> = Id::new(bot.user.id.get());
        let emoji = model!(http.create_emoji(*guild, "dot", PIXEL).reason("dots"));
        next(shard, "the emoji", |event| {
            matches!(event, Event::GuildEmojisUpdate(now) if now.emojis.iter().any(|now| now.id == emoji.id)).then_some(())
        })
        .await;
        assert_eq!(model!(http.update_emoji(*guild, emoji.id).name("spot")).name, "spot");
        assert_eq!(model!(http.emojis(*guild)).into_iter().map(|emoji| emoji.name).collect::<Vec<_>>(), ["spot"]);
        let said = model!(http.create_message(*text).content("spotted"));
        ok!(http.create_reaction(*text, said.id, &RequestReactionType::Custom { id: emoji.id, name: Some("spot") }));
        next(shard, "the spot", |event| matches!(event, Event::ReactionAdd(by) if by.message_id == said.id).then_some(())).await;
        ok!(http.delete_emoji(*guild, emoji.id));

        let role = model!(http.create_role(*guild).name("squire").color(0x336699).mentionable(true));
        next(shard, "the role", |event| matches!(event, Event::RoleCreate(new) if new.role.id == role.id).then_some(())).await;
        ok!(http.add_guild_member_role(*guild, *ann_id, role.id));
        let dubbed = |event| matches!(event, Event::MemberUpdate(now) if now.roles == [role.id]).then_some(());
        next(shard, "a squire", dubbed).await;
        assert_eq!(model!(http.role_member_counts(*guild)).get(&role.id), Some(&1));
        let renamed = model!(http.update_role(*guild, role.id).name(Some("page")).hoist(true));
        assert_eq!((renamed.name.as_str(), renamed.hoist), ("page", true));
        assert!(model!(http.roles(*guild)).iter().any(|known| known.id == role.id));
        ok!(http.delete_role(*guild, role.id));
        next(shard, "the end of the role", |event| {
            matches!(event, Event::RoleDelete(gone) if gone.role_id == role.id).then_some(())
        })
        .await;

        let invite = model!(http.create_invite(*text).unique(true));
        next(shard, "the invite", |event| matches!(event, Event::InviteCreate(new) if new.code == invite.code).then_some(()))
            .await;
        assert_eq!(model!(http.guild_invites(*guild)).iter().filter(|known| known.code == invite.code).count(), 1);
        ok!(http.delete_invite(&invite.code));
        next(shard, "its end", |event| matches!(event, Event::InviteDelete(gone) if gone.code == invite.code).then_some(()))
            .await;

        model!(
            http.update_guild(*guild).name("The great hall").afk_timeout(300).verification_level(Some(VerificationLevel::Low))
        );
        next(shard, "the guild", |event| matches!(event, Event::GuildUpdate(now) if now.name == "The great hall").then_some(()))
            .await;
        ok!(http.update_current_member(*guild).nick(Some("Evening")));
        assert_eq!(model!(http.current_user_guild_member(*guild)).nick.as_deref(), Some("Evening"));
        model!(http.update_current_user().avatar(Some(PIXEL)));
        next(shard, "the new face", |event| matches!(event, Event::UserUpdate(now) if now.id == me).then_some(())).await;
        assert!(model!(http.current_user()).avatar.is_some() && model!(http.user(me)).avatar.is_some());
        assert_eq!(model!(http.current_user_guilds()).iter().map(|known| known.id).collect::<Vec<_>>(), [*guild]);
        assert_eq!(model!(http.guild_channels(*guild)).iter().filter(|channel| channel.id == *text).count(), 1);
        assert_eq!(model!(http.voice_regions()).len(), model!(http.guild_voice_regions(*guild)).len());
        assert_eq!(model!(http.guild_prune_count(*guild)).pruned, 0);
        assert_eq!(model!(http.gateway().authed()).shards, 1);

        let voice = Id::new(world.voice.get());
        shard.command(&UpdateVoiceState::new(*guild, Some(voice), false, true));
        let joined = next(shard, "the bot in the call", |event| match event {
            Event::VoiceStateUpdate(now) if now.user_id == me => Some(now),
            _ => None,
        })
        .await;
        assert_eq!((joined.channel_id, joined.self_mute), (Some(voice), true));
        next(shard, "where the call is", |event| {
            matches!(event, Event::VoiceServerUpdate(at) if at.guild_id == *guild).then_some(())
        })
        .await;
        assert_eq!(model!(http.current_user_voice_state(*guild)).channel_id, Some(voice));
        shard.command(&UpdateVoiceState::new(*guild, None, false, false));
        let left =
            |event| matches!(event, Event::VoiceStateUpdate(now) if now.user_id == me && now.channel_id.is_none()).then_some(());
        next(shard, "its end", left).await;
        ann.rest.typing(world.text).await.expect("a member may type");
        next(shard, "ann typing", |event| matches!(event, Event::TypingStart(by) if by.user_id == *ann_id).then_some(())).await;
    }

    async fn talks_in_private(&mut self) {
        let Self { http, shard, bot, ann, ann_id, .. } = self;
        let dm = id(&post(&ann.rest, "/users/@me/channels", json!({"recipient_id": bot.user.id})).await);
        let messages = format!("/channels/{dm}/messages");
        let asked = post(&ann.rest, &messages, json!({"content": "tell me a joke"})).await;
        let heard = next(shard, "the question", |event| match event {
            Event::MessageCreate(said) if said.author.id == *ann_id && said.guild_id.is_none() => Some(said),
            _ => None,
        })
        .await;
        assert_eq!(
            (heard.content.as_str(), heard.channel_id.to_string(), heard.id.to_string()),
            ("tell me a joke", dm.clone(), id(&asked))
        );
        let reply = model!(http.create_message(heard.channel_id).reply(heard.id).content("one moment"));
        ok!(http.create_reaction(heard.channel_id, heard.id, &RequestReactionType::Unicode { name: "👍" }));
        model!(http.update_message(heard.channel_id, reply.id).content(Some("here you are")));
        let said = get(&ann.rest, &messages).await;
        assert_eq!((&said[0]["content"], &said[0]["message_reference"]["message_id"]), (&json!("here you are"), &asked["id"]));
        assert_eq!(said[1]["reactions"][0]["count"], 1);
        put(&ann.rest, &format!("{messages}/{}/reactions/%F0%9F%98%84/@me", reply.id), json!({})).await;
        next(shard, "a smile", |event| {
            matches!(event, Event::ReactionAdd(by) if by.message_id == reply.id && by.user_id == *ann_id).then_some(())
        })
        .await;
        let history: Vec<_> = model!(http.channel_messages(heard.channel_id)).into_iter().map(|said| said.id).collect();
        assert_eq!(history, [reply.id, heard.id]);

        let opened = model!(http.create_private_channel(self.robin_id));
        assert_eq!((opened.kind, opened.recipients.map(|all| all[0].id)), (ChannelType::Private, Some(self.robin_id)));
        let first = model!(http.create_message(opened.id).content("psst"));
        let channels = get(&self.robin.rest, "/users/@me/channels").await;
        assert_eq!((id(&channels[0]), &channels[0]["last_message_id"]), (opened.id.to_string(), &json!(first.id)));
    }

    /// Robin rests, is asked to leave, comes back, and is told to leave.
    async fn moderates(&mut self) {
        let Self { world, http, shard, robin, guild, text, robin_id, .. } = self;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let until = Timestamp::from_secs(now as i64 + 60).expect("in a minute");
        let resting =
            model!(http.update_guild_member(*guild, *robin_id).communication_disabled_until(Some(until)).reason("enough"));
        assert_eq!(resting.communication_disabled_until.map(Timestamp::as_secs), Some(until.as_secs()));
        let changed = next(shard, "the timeout", |event| match event {
            Event::MemberUpdate(now) if now.user.id == *robin_id => Some(now),
            _ => None,
        })
        .await;
        assert_eq!(changed.communication_disabled_until.map(|until| until.as_secs()), Some(until.as_secs()));
        assert!(robin.rest.send_message(world.text, "ni").await.is_err(), "who rests does not write");
        let awake =
            model!(http.update_guild_member(*guild, *robin_id).communication_disabled_until(None).nick(Some("Sir Robin")));
        assert_eq!((awake.communication_disabled_until, awake.nick.as_deref()), (None, Some("Sir Robin")));

        for words in ["ni", "ni ni", "ni ni ni"] {
            robin.rest.send_message(world.text, words).await.expect("again");
        }
        let mut noise: Vec<_> =
            model!(http.channel_messages(*text)).iter().filter(|said| said.author.id == *robin_id).map(|said| said.id).collect();
        assert_eq!(noise.len(), 4, "and one from before");
        ok!(http.delete_messages(*text, &noise).reason("spring cleaning"));
        let mut gone = next(shard, "the purge", |event| match event {
            Event::MessageDeleteBulk(gone) => Some(gone.ids),
            _ => None,
        })
        .await;
        gone.sort();
        noise.sort();
        assert_eq!(gone, noise);
        ok!(http.remove_guild_member(*guild, *robin_id).reason("too loud"));
        next(shard, "robin leave", |event| matches!(event, Event::MemberRemove(gone) if gone.user.id == *robin_id).then_some(()))
            .await;
        let error = http.guild_member(*guild, *robin_id).await.expect_err("robin is gone");
        assert_eq!(refusal(&error), (404, Some(10007)));
        let code = world.owner.rest.invite(world.text).await.expect("the owner invites");
        robin.rest.join(&code).await.expect("who was kicked may come back");
        next(shard, "robin again", |event| matches!(event, Event::MemberAdd(new) if new.user.id == *robin_id).then_some(()))
            .await;

        ok!(http.create_ban(*guild, *robin_id).delete_message_seconds(3600).reason("ni"));
        next(shard, "the ban", |event| matches!(event, Event::BanAdd(ban) if ban.user.id == *robin_id).then_some(())).await;
        let bans: Vec<_> = model!(http.bans(*guild)).into_iter().map(|ban| (ban.user.id, ban.reason)).collect();
        assert_eq!(bans, [(*robin_id, Some("ni".to_owned()))]);
        assert!(robin.rest.join(&code).await.is_err(), "who is banned stays out");
        ok!(http.delete_ban(*guild, *robin_id).reason("forgiven"));
        next(shard, "mercy", |event| matches!(event, Event::BanRemove(ban) if ban.user.id == *robin_id).then_some(())).await;
        assert_eq!(model!(http.bans(*guild)).len(), 0);
        let history: Value = get(&world.owner.rest, &format!("/channels/{text}/messages")).await;
        let by_robin =
            history.as_array().expect("a list").iter().filter(|said| said["author"]["id"] == json!(robin.user.id)).count();
        assert_eq!(by_robin, 0);
    }
}
