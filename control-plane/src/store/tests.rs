//! The store on a real file: order, gaplessness, isolation, durability.

mod people;
mod probes;

use super::testing::{Place, is_on_postgres};
use super::{
    Conflict, Device, Left, NewApplication, NewGuild, NewMessage, Page, Publication, Result, Secrets, Sent, Store, StoreError,
    StoredInvite,
};
use crate::audit::By;
use crate::event::{Committed, Event, Topic};
use crate::guild::fixture;
use guildhall_protocol::model::{
    Channel, ChannelType, Guild, Invite, InviteChannel, InviteGuild, Member, Message, Nonce, Role, User, timestamp,
};
use guildhall_protocol::{ChannelId, GuildId, MessageId, Permissions, UserId};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// A store on a file of its own, with everything that it published.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) published: Arc<Mutex<Vec<Committed>>>,
    pub(super) alice: User,
    pub(super) guild: GuildId,
    pub(super) text: ChannelId,
    pub(super) place: Place,
    pub(super) folder: tempfile::TempDir,
}

fn publisher(mut publications: mpsc::Receiver<Publication>) -> Arc<Mutex<Vec<Committed>>> {
    let published = Arc::new(Mutex::new(Vec::new()));
    let list = published.clone();
    tokio::spawn(async move {
        while let Some(mut publication) = publications.recv().await {
            list.lock().unwrap().append(&mut publication.events);
            publication.complete();
        }
    });
    published
}

async fn open(place: &Place) -> (Store, Arc<Mutex<Vec<Committed>>>) {
    let (store, publications) = Store::open(&place.location).await.unwrap();
    (store, publisher(publications))
}

pub(super) fn channel(store: &Store, guild_id: GuildId, name: &str) -> Channel {
    Channel { guild_id, name: name.to_owned(), ..fixture::channel(store.make_id(), Vec::new()) }
}

pub(super) fn by(world: &World) -> By {
    By::user(world.alice.id)
}

pub(super) async fn person(store: &Store, name: &str) -> User {
    let user = User::new(store.make_id(), name.to_owned(), None, false);
    store.create_person(user.clone(), None, "hash".to_owned()).await.unwrap();
    user
}

impl World {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path()).await;
        let (store, published) = open(&place).await;
        let alice = person(&store, "alice").await;
        let guild: GuildId = store.make_id();
        let text = channel(&store, guild, "general");
        let mut new = Guild::new(guild, "Hall".to_owned(), alice.id);
        new.roles.push(Role::new(guild.everyone(), "@everyone".to_owned(), Permissions::VIEW_CHANNEL, 0));
        let owner = Member::new(alice.clone(), timestamp(1_700_000_000_000));
        store.create_guild(NewGuild { guild: new, channels: vec![text.clone()], owner }).await.unwrap();
        Self { store, published, alice, guild, text: text.id, place, folder }
    }

    pub(super) fn message(&self, content: &str) -> NewMessage {
        NewMessage {
            guild_id: Some(self.guild),
            message: message(self.text, self.alice.clone(), content),
            member: None,
            files: Vec::new(),
            enforced_nonce: None,
        }
    }

    pub(super) async fn send(&self, content: &str) -> Message {
        match self.store.create_message(self.message(content)).await.unwrap() {
            Sent::New(message) => *message,
            Sent::Before(message) => panic!("no nonce was given: {message:?}"),
        }
    }

    async fn send_once(&self, content: &str, nonce: &str) -> Result<Sent> {
        let mut new = self.message(content);
        new.message.nonce = Some(Nonce::Text(nonce.to_owned()));
        new.enforced_nonce = Some(nonce.to_owned());
        self.store.create_message(new).await
    }

    async fn history(&self) -> Vec<String> {
        let mut messages = self.store.messages(self.text, Page::Latest, 100).await.unwrap();
        messages.reverse();
        messages.into_iter().map(|message| message.content).collect()
    }

    fn published_in(&self, topic: Topic) -> Vec<Committed> {
        self.published.lock().unwrap().iter().filter(|committed| committed.topic == topic).cloned().collect()
    }

    /// Stops this store and opens its file again.
    pub(super) async fn reopen(self) -> Self {
        self.store.close().await;
        let (store, published) = open(&self.place).await;
        Self { store, published, ..self }
    }
}

fn message(channel_id: ChannelId, author: User, content: &str) -> Message {
    Message::new(channel_id, author, content.to_owned())
}

fn conflict<T: std::fmt::Debug>(result: Result<T>) -> Conflict {
    match result {
        Err(StoreError::Conflict(conflict)) => conflict,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

#[tokio::test]
async fn concurrent_writers_give_each_topic_a_gap_free_sequence_in_commit_order() {
    let world = World::new().await;
    let other = channel(&world.store, world.guild, "other");
    world.store.create_channel(by(&world), other.clone()).await.unwrap();
    let mut sends = tokio::task::JoinSet::new();
    for number in 0..300 {
        let mut new = world.message(&number.to_string());
        if number % 3 == 0 {
            new.message.channel_id = other.id;
        }
        let store = world.store.clone();
        sends.spawn(async move { store.create_message(new).await.unwrap() });
    }
    let answered: Vec<Sent> = sends.join_all().await;
    assert_eq!(answered.len(), 300);
    for (topic, count) in [(Topic::Channel(world.text), 200), (Topic::Channel(other.id), 100)] {
        let told = world.published_in(topic);
        assert_eq!(told.iter().map(|committed| committed.seq).collect::<Vec<_>>(), (1..=count).collect::<Vec<_>>());
        let ids: Vec<MessageId> = told
            .iter()
            .map(|committed| match &committed.event {
                Event::MessageCreate { message, .. } => message.id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(ids.is_sorted(), "ids ascend in the order of the sequence");
        let kept = world.store.outbox_after(topic, 0, 1000).await.unwrap();
        assert_eq!(kept.len(), told.len());
        assert!(kept.iter().zip(&told).all(|(kept, told)| kept.seq == told.seq && kept.event == told.event));
    }
    let tail = world.store.outbox_after(Topic::Channel(world.text), 198, 1000).await.unwrap();
    assert_eq!(tail.iter().map(|committed| committed.seq).collect::<Vec<_>>(), [199, 200]);
}

#[tokio::test]
async fn a_failing_job_leaves_no_trace_and_harms_no_other_in_its_group() {
    let world = World::new().await;
    let topic = Topic::Channel(world.text);
    // All of these wait in the queue together: the writer takes them as one group.
    let mut fate = Vec::new();
    for number in 0..30 {
        let (new, fails) = (world.message(&number.to_string()), number % 2 == 1);
        fate.push(world.store.write(move |tx| {
            Box::pin(async move {
                let message = super::messages::insert_message(tx, new).await?;
                if number == 7 {
                    panic!("a bug in a job");
                }
                if fails { Err(Conflict::Full.into()) } else { Ok(message) }
            })
        }));
    }
    let outcomes = futures_util::future::join_all(fate).await;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match number {
            7 => assert!(matches!(outcome, Err(StoreError::NotCommitted))),
            n if n % 2 == 1 => assert_eq!(conflict(outcome), Conflict::Full),
            n => assert_eq!(outcome.unwrap().content, n.to_string()),
        }
    }
    let expected: Vec<String> = (0..30).step_by(2).map(|number: i32| number.to_string()).collect();
    assert_eq!(world.history().await, expected);
    let seqs: Vec<u64> = world.published_in(topic).iter().map(|committed| committed.seq).collect();
    assert_eq!(seqs, (1..=15).collect::<Vec<_>>(), "a failed job's numbers are given again");
    // And alone: the whole transaction is its own.
    assert_eq!(
        conflict(world.store.write::<(), _>(|_| Box::pin(async { Err(Conflict::Missing.into()) })).await),
        Conflict::Missing
    );
    world.send("after").await;
    assert_eq!(world.published_in(topic).last().unwrap().seq, 16);
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening_and_numbers_go_on() {
    let world = World::new().await;
    let first = world.send("first").await;
    world.send("second").await;
    let guild = world.guild;
    let before = world.store.load_guild(guild).await.unwrap().unwrap();
    let world = world.reopen().await;
    assert_eq!(world.history().await, ["first", "second"]);
    assert_eq!(world.store.load_guild(guild).await.unwrap().unwrap(), before);
    assert_eq!((before.seq, before.members.len(), before.channels.len()), (2, 1, 1));
    assert_eq!(world.store.find_message(world.text, first.id).await.unwrap(), Some(first));
    let third = world.send("third").await;
    let told = world.published_in(Topic::Channel(world.text));
    assert_eq!((told.len(), told[0].seq), (1, 3));
    assert_eq!(world.store.load_guild(guild).await.unwrap().unwrap().channels[0].last_message_id, Some(third.id));
}

#[tokio::test]
async fn a_nonce_makes_a_retry_harmless_even_across_a_restart() {
    let world = World::new().await;
    let Sent::New(first) = world.send_once("hello", "n1").await.unwrap() else { panic!("it is the first") };
    // What concurrent retries look like.
    let retries = futures_util::future::join_all((0..5).map(|_| world.send_once("hello", "n1"))).await;
    for retry in retries {
        assert_eq!(retry.unwrap(), Sent::Before(first.clone()));
    }
    let world = world.reopen().await;
    assert_eq!(world.send_once("hello", "n1").await.unwrap(), Sent::Before(first.clone()));
    assert!(matches!(world.send_once("hello", "n2").await.unwrap(), Sent::New(_)));
    assert_eq!(world.history().await, ["hello", "hello"]);
    // A message that was deleted may be sent again under its nonce.
    world.store.delete_message(by(&world), Some(world.guild), world.text, first.id).await.unwrap();
    assert!(matches!(world.send_once("hello", "n1").await.unwrap(), Sent::New(_)));
}

#[tokio::test]
async fn sending_to_a_channel_that_was_just_deleted_is_refused() {
    let world = World::new().await;
    world.send("before").await;
    world.store.delete_channel(by(&world), world.text).await.unwrap();
    assert_eq!(conflict(world.store.create_message(world.message("after")).await), Conflict::Missing);
    assert_eq!(conflict(world.send_once("after", "n").await), Conflict::Missing);
    assert!(!world.history().await.contains(&"after".to_owned()));
}

#[tokio::test]
async fn pages_of_history_are_exclusive_and_newest_first() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..9 {
        ids.push(world.send(&number.to_string()).await.id);
    }
    let page = async |page, limit| {
        let messages = world.store.messages(world.text, page, limit).await.unwrap();
        messages.into_iter().map(|message| message.content).collect::<Vec<_>>().join("")
    };
    assert_eq!(page(Page::Latest, 3).await, "876");
    assert_eq!(page(Page::Before(ids[6]), 3).await, "543");
    assert_eq!(page(Page::After(ids[2]), 3).await, "543");
    assert_eq!(page(Page::Around(ids[4]), 5).await, "65432");
    assert_eq!(page(Page::Around(ids[0]), 4).await, "210");
    assert_eq!(page(Page::Before(ids[0]), 3).await, "");
}

#[tokio::test]
async fn a_token_is_known_until_it_is_revoked_and_a_renamed_user_at_once_by_the_new_name() {
    let world = World::new().await;
    let token = world.store.log_in(world.alice.id, Device::default()).await.unwrap().token;
    let caller = world.store.authenticate(&token).await.unwrap().unwrap();
    assert_eq!(caller.user, world.alice);
    let renamed = User { username: "alicia".to_owned(), ..world.alice.clone() };
    world.store.change_account(renamed.clone(), Secrets::default()).await.unwrap();
    assert_eq!(world.store.authenticate(&token).await.unwrap().unwrap().user, renamed);
    world.store.revoke_token(world.alice.id, caller.token_hash).await.unwrap();
    assert_eq!(world.store.authenticate(&token).await.unwrap(), None);
    assert_eq!(world.store.authenticate("").await.unwrap(), None);
    if is_on_postgres() {
        return; // what it has on its disk is its own
    }
    let stored: Vec<u8> = std::fs::read(world.folder.path().join("test.db-wal")).unwrap();
    assert!(!stored.windows(token.len()).any(|window| window == token.as_bytes()), "only hashes are stored");
}

#[tokio::test]
async fn names_and_addresses_are_unique_whatever_their_case() {
    let world = World::new().await;
    let user = |name: &str| User::new(world.store.make_id(), name.to_owned(), None, false);
    let taken = world.store.create_person(user("ALICE"), None, "hash".to_owned()).await;
    assert_eq!(conflict(taken), Conflict::UsernameTaken);
    world.store.create_person(user("bob"), Some("Bob@Example.org".to_owned()), "hash".to_owned()).await.unwrap();
    let taken = world.store.create_person(user("rob"), Some("bob@example.ORG".to_owned()), "hash".to_owned()).await;
    assert_eq!(conflict(taken), Conflict::EmailTaken);
    assert!(world.store.find_credentials("rob").await.unwrap().is_none(), "the refused account does not exist");
    assert!(world.store.find_credentials("BOB@example.org").await.unwrap().is_some());
    assert!(world.store.find_credentials("Bob").await.unwrap().is_some());
}

fn invite(world: &World, code: &str, max_uses: u32) -> Invite {
    Invite {
        kind: 0,
        code: code.to_owned(),
        guild_id: world.guild,
        guild: InviteGuild {
            id: world.guild,
            name: String::new(),
            icon: None,
            description: None,
            splash: None,
            banner: None,
            features: Vec::new(),
            verification_level: 0,
            vanity_url_code: None,
            nsfw: false,
            nsfw_level: 0,
            premium_subscription_count: 0,
            premium_tier: 0,
        },
        channel: InviteChannel { id: world.text, name: String::new(), kind: ChannelType::Text },
        inviter: Some(world.alice.clone()),
        expires_at: None,
        created_at: String::new(),
        uses: 0,
        max_uses,
        max_age: 0,
        temporary: false,
        flags: 0,
        approximate_member_count: None,
        approximate_presence_count: None,
    }
}

#[tokio::test]
async fn an_invite_lets_in_as_many_as_it_says_and_no_one_twice_and_no_one_banned() {
    let world = World::new().await;
    world.store.create_invite(by(&world), invite(&world, "two", 2)).await.unwrap();
    let guests: Vec<User> = futures_util::future::join_all((0..4).map(|n| {
        let store = world.store.clone();
        async move { person(&store, &format!("guest{n}")).await }
    }))
    .await;
    let enter = |user: &User| world.store.use_invite("two".to_owned(), user.clone());
    world
        .store
        .remove_member(world.guild, guests[3].id, Left::Banned { by: by(&world), delete_message_seconds: 0 })
        .await
        .unwrap();
    assert_eq!(conflict(enter(&guests[3]).await), Conflict::Banned);
    assert!(enter(&guests[0]).await.unwrap());
    assert!(!enter(&guests[0]).await.unwrap(), "a member already");
    let rest = futures_util::future::join_all([&guests[1], &guests[2]].map(enter)).await;
    assert_eq!(rest.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(world.store.find_invite("two").await.unwrap(), None);
    assert_eq!(world.store.load_guild(world.guild).await.unwrap().unwrap().members.len(), 3);
}

#[test]
fn an_invite_ends_with_its_age_or_its_uses() {
    let invite = StoredInvite {
        code: String::new(),
        guild_id: GuildId::new(1),
        channel_id: ChannelId::new(1),
        inviter: None,
        created_at_ms: 1_000,
        max_age: 60,
        max_uses: 2,
        uses: 1,
        temporary: false,
    };
    assert!(invite.is_usable(60_999));
    assert!(!invite.is_usable(61_000));
    assert!(!StoredInvite { uses: 2, ..invite.clone() }.is_usable(2_000));
    assert!(StoredInvite { max_age: 0, max_uses: 0, uses: 9, ..invite }.is_usable(u64::MAX));
}

#[tokio::test]
async fn roles_keep_their_places_dense_and_a_deleted_role_goes_everywhere() {
    let world = World::new().await;
    let everyone = world.guild.everyone();
    let mut made = Vec::new();
    for name in ["low", "middle", "high"] {
        // A new role comes in right above everyone, so make them from the top down.
        let role = Role::new(world.store.make_id(), name.to_owned(), Permissions::NONE, 1);
        made.insert(0, world.store.create_role(by(&world), world.guild, role).await.unwrap().id);
    }
    let order = async |moves: Vec<(_, i32)>| {
        let roles = world.store.move_roles(by(&world), world.guild, moves).await.unwrap();
        assert_eq!(roles.iter().map(|role| role.position).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(roles[0].id, everyone);
        roles.into_iter().skip(1).map(|role| role.name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(order(vec![]).await, "high middle low");
    assert_eq!(order(vec![(made[0], 3)]).await, "middle low high");
    assert_eq!(order(vec![(made[0], 1)]).await, "high middle low");
    assert_eq!(order(vec![(made[0], 3), (made[2], 1)]).await, "low middle high");
    let give = world.store.change_member(by(&world), world.guild, world.alice.id, {
        let made = made.clone();
        move |member| member.roles = made
    });
    assert_eq!(give.await.unwrap().roles.len(), 3);
    world.store.delete_role(by(&world), world.guild, made[1]).await.unwrap();
    let guild = world.store.load_guild(world.guild).await.unwrap().unwrap();
    assert_eq!((guild.guild.roles.len(), guild.members[0].roles.len()), (3, 2));
}

#[tokio::test]
async fn a_bot_comes_with_its_role_and_takes_it_along() {
    let world = World::new().await;
    let id = world.store.make_id();
    let new = NewApplication {
        id,
        owner_id: world.alice.id,
        name: "helper".to_owned(),
        description: String::new(),
        verify_key: "00".to_owned(),
        signing_key: vec![0],
        flags: 0,
    };
    world.store.create_application(new).await.unwrap();
    let (bot_id, first_token) = world.store.create_bot(id).await.unwrap();
    let bot = world.store.authenticate(&first_token).await.unwrap().unwrap();
    assert_eq!((bot.id(), bot.is_bot(), bot.application_id), (bot_id, true, Some(id)));
    let (_, token) = world.store.create_bot(id).await.unwrap();
    assert_eq!(world.store.authenticate(&first_token).await.unwrap(), None, "a new token replaces the old one");
    assert!(world.store.authenticate(&token).await.unwrap().is_some());
    for _ in 0..2 {
        world.store.add_bot(by(&world), world.guild, bot.user.clone(), Permissions::SEND_MESSAGES).await.unwrap();
    }
    let guild = world.store.load_guild(world.guild).await.unwrap().unwrap();
    let role = guild.guild.roles.iter().find(|role| role.managed).unwrap();
    assert_eq!((role.permissions, role.tags.unwrap().bot_id), (Permissions::SEND_MESSAGES, Some(bot_id)));
    let member = guild.members.iter().find(|member| member.user.id == bot_id).unwrap();
    assert_eq!(member.roles, [role.id]);
    world.store.remove_member(world.guild, bot_id, Left::Freely).await.unwrap();
    let guild = world.store.load_guild(world.guild).await.unwrap().unwrap();
    assert_eq!((guild.members.len(), guild.guild.roles.len()), (1, 1));
}

#[tokio::test]
async fn a_ban_takes_recent_messages_along() {
    let world = World::new().await;
    let mallory = person(&world.store, "mallory").await;
    world.store.create_invite(by(&world), invite(&world, "open", 0)).await.unwrap();
    world.store.use_invite("open".to_owned(), mallory.clone()).await.unwrap();
    world.send("kept").await;
    let mut spam = world.message("spam");
    spam.message.author = mallory.clone();
    world.store.create_message(spam).await.unwrap();
    let how = Left::Banned { by: By { reason: Some("spam".to_owned()), ..by(&world) }, delete_message_seconds: 3600 };
    world.store.remove_member(world.guild, mallory.id, how).await.unwrap();
    assert_eq!(world.history().await, ["kept"]);
    assert_eq!(world.store.find_ban(world.guild, mallory.id).await.unwrap().unwrap().reason.as_deref(), Some("spam"));
    assert_eq!(world.store.bans(world.guild, UserId::default(), 10).await.unwrap().len(), 1);
    world.store.lift_ban(by(&world), world.guild, mallory.id).await.unwrap();
    assert_eq!(conflict(world.store.lift_ban(by(&world), world.guild, mallory.id).await), Conflict::Missing);
    let told: Vec<&str> = world
        .published
        .lock()
        .unwrap()
        .iter()
        .filter_map(|committed| match &committed.event {
            Event::BanAdd { .. } => Some("banned"),
            Event::MessageDeleteBulk { .. } => Some("deleted"),
            Event::MemberRemove { .. } => Some("removed"),
            Event::BanRemove { .. } => Some("lifted"),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["banned", "deleted", "removed", "lifted"]);
}

#[tokio::test]
async fn deleting_a_channel_frees_its_children_and_the_guild_of_its_name() {
    let world = World::new().await;
    let category = Channel { kind: ChannelType::Category, ..channel(&world.store, world.guild, "Texts") };
    world.store.create_channel(by(&world), category.clone()).await.unwrap();
    let parent = category.id;
    world.store.change_channel(by(&world), world.text, move |channel| channel.parent_id = Some(parent)).await.unwrap();
    let text = world.text;
    world.store.change_guild(by(&world), world.guild, move |guild| guild.system_channel_id = Some(text)).await.unwrap();
    world.store.delete_channel(by(&world), parent).await.unwrap();
    assert_eq!(world.store.load_guild(world.guild).await.unwrap().unwrap().channels[0].parent_id, None);
    world.store.delete_channel(by(&world), text).await.unwrap();
    let guild = world.store.load_guild(world.guild).await.unwrap().unwrap();
    assert_eq!((guild.channels.len(), guild.guild.system_channel_id), (0, None));
    assert_eq!(world.store.find_channel_guild(text).await.unwrap(), None);
}

#[tokio::test]
async fn a_closed_store_refuses_and_a_full_queue_says_so() {
    let world = World::new().await;
    // The writer cannot run between these: this test's runtime has one thread and nothing here waits.
    let sends: Vec<_> =
        (0..1100).map(|number| Box::pin(world.store.create_message(world.message(&number.to_string())))).collect();
    let outcomes = futures_util::future::join_all(sends).await;
    let busy = outcomes.iter().filter(|outcome| matches!(outcome, Err(StoreError::Busy))).count();
    let stored = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!((stored, busy), (1024, 76));
    let told = world.published_in(Topic::Channel(world.text)).len();
    assert_eq!(told, stored, "what was refused was not stored");
    world.store.close().await;
    assert!(matches!(world.store.create_message(world.message("late")).await, Err(StoreError::NotCommitted)));
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_is_pruned_and_numbers_go_on() {
    let world = World::new().await;
    let topic = Topic::Channel(world.text);
    let Sent::New(first) = world.send_once("hello", "n1").await.unwrap() else { panic!("it is the first") };
    let prune_after = async |ms: u64| {
        let pruned = world.store.write(move |tx| {
            Box::pin(async move {
                let now_ms = tx.now_ms + ms;
                super::writer::prune(tx.sql(), now_ms).await
            })
        });
        pruned.await.unwrap();
    };
    prune_after(4 * 60_000).await;
    assert_eq!(world.send_once("hello", "n1").await.unwrap(), Sent::Before(first));
    prune_after(6 * 60_000).await;
    assert!(matches!(world.send_once("hello", "n1").await.unwrap(), Sent::New(_)), "after minutes the nonce is free");
    prune_after(59 * 60_000).await;
    assert_eq!(world.store.outbox_after(topic, 0, 10).await.unwrap().len(), 2);
    prune_after(61 * 60_000).await;
    assert_eq!(world.store.outbox_after(topic, 0, 10).await.unwrap().len(), 0);
    let world = world.reopen().await;
    world.send("after").await;
    assert_eq!(world.published_in(topic)[0].seq, 3);
}

#[tokio::test]
async fn a_full_disk_refuses_what_it_cannot_keep_and_nothing_else() {
    if is_on_postgres() {
        return; // its disk is full for all databases at once, and there is no knob for that
    }
    let world = World::new().await;
    world.send("before").await;
    let limit_pages = async |pages: &'static str| {
        let limited = world.store.write(move |tx| {
            Box::pin(async move {
                sqlx::query(pages).execute(tx.sql()).await?;
                Ok(())
            })
        });
        limited.await.unwrap();
    };
    // As many pages as there are now: growing any further fails as a full disk does. SQLite reads 1 as "no less than now".
    limit_pages("PRAGMA max_page_count = 1").await;
    let content = "x".repeat(2000);
    let sends = (0..300).map(|_| world.store.create_message(world.message(&content)));
    let outcomes = futures_util::future::join_all(sends).await;
    let stored = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(stored < outcomes.len(), "600 KB did not fit into the pages that are there");
    assert!(outcomes.iter().all(|outcome| !matches!(outcome, Err(StoreError::Conflict(_)))));
    limit_pages("PRAGMA max_page_count = 1000000").await;
    world.send("after").await;
    assert_eq!(world.store.messages(world.text, Page::Latest, 500).await.unwrap().len(), stored + 2);
    let seqs: Vec<u64> = world.published_in(Topic::Channel(world.text)).iter().map(|committed| committed.seq).collect();
    assert_eq!(seqs, (1..=stored as u64 + 2).collect::<Vec<_>>());
    let world = world.reopen().await;
    assert_eq!(world.store.messages(world.text, Page::Latest, 500).await.unwrap().len(), stored + 2);
}

#[tokio::test]
async fn a_deleted_channels_messages_go_a_few_at_a_time() {
    let world = World::new().await;
    let kept = channel(&world.store, world.guild, "kept");
    world.store.create_channel(by(&world), kept.clone()).await.unwrap();
    let mut elsewhere = world.message("stays");
    elsewhere.message.channel_id = kept.id;
    world.store.create_message(elsewhere).await.unwrap();
    for _ in 0..6 {
        let sends = (0..100).map(|_| world.store.create_message(world.message("goes")));
        assert!(futures_util::future::join_all(sends).await.iter().all(Result::is_ok));
    }
    world.store.delete_channel(by(&world), world.text).await.unwrap();
    let prune = async || world.store.write(|tx| Box::pin(async { super::writer::prune(tx.sql(), 0).await })).await.unwrap();
    // The writer may take a turn of its own meanwhile; more than three it cannot need.
    let turns = async {
        let mut turns = 0;
        while prune().await {
            turns += 1;
        }
        turns
    };
    assert!((1..=3).contains(&turns.await));
    assert_eq!(world.history().await, Vec::<String>::new());
    assert_eq!(world.store.messages(kept.id, Page::Latest, 10).await.unwrap().len(), 1);
    // The same for a guild as a whole.
    world.store.delete_guild(world.guild).await.unwrap();
    while prune().await {}
    assert_eq!(world.store.messages(kept.id, Page::Latest, 10).await.unwrap().len(), 0);
}

#[tokio::test]
async fn the_audit_log_is_never_rewritten_and_forgotten_after_45_days() {
    use crate::audit::Entry;
    use guildhall_protocol::model::AuditAction;
    let world = World::new().await;
    let log = async || world.store.audit_log(world.guild, super::AuditQuery { limit: 9, ..Default::default() }).await.unwrap().0;
    for _ in 0..2 {
        let entry = Entry::untargeted(AuditAction::MEMBER_DISCONNECT).counted(1);
        world.store.audit(world.guild, by(&world), entry).await.unwrap();
    }
    let [line] = &log().await[..] else { panic!("one line that counts") };
    assert_eq!(line.options["count"], "2");
    let rewritten = world
        .store
        .write(|tx| Box::pin(async move { Ok(sqlx::query("UPDATE audit_log SET reason = 'x'").execute(tx.sql()).await?) }));
    assert!(rewritten.await.is_err());
    let days = |days: u64| line.id.unix_ms() + days * 86_400_000;
    for (now_ms, left) in [(days(44), 1), (days(46), 0)] {
        let pruned = world.store.write(move |tx| Box::pin(async move { super::writer::prune(tx.sql(), now_ms).await }));
        pruned.await.unwrap();
        assert_eq!(log().await.len(), left);
    }
}

#[tokio::test]
async fn a_temporary_membership_ends_with_the_visit_unless_there_is_a_role() {
    let world = World::new().await;
    let mut temporary = invite(&world, "visit", 0);
    temporary.temporary = true;
    world.store.create_invite(by(&world), temporary).await.unwrap();
    let (guest, friend) = (person(&world.store, "guest").await, person(&world.store, "friend").await);
    for user in [&guest, &friend] {
        world.store.use_invite("visit".to_owned(), user.clone()).await.unwrap();
    }
    let role =
        world.store.create_role(by(&world), world.guild, Role::new(world.store.make_id(), "r".to_owned(), Permissions::NONE, 1));
    let role = role.await.unwrap().id;
    let give = move |member: &mut Member| member.roles.push(role);
    world.store.change_member(by(&world), world.guild, friend.id, give).await.unwrap();
    let take = |member: &mut Member| member.roles.clear();
    world.store.change_member(by(&world), world.guild, friend.id, take).await.unwrap();
    assert_eq!(world.store.temporary_members().await.unwrap(), [guest.id]);
    for user in [guest.id, friend.id, world.alice.id] {
        world.store.end_temporary_memberships(user).await.unwrap();
    }
    assert_eq!(world.store.guild_ids_of(guest.id).await.unwrap(), []);
    assert_eq!(world.store.guild_ids_of(friend.id).await.unwrap(), [world.guild]);
    assert_eq!(world.store.guild_ids_of(world.alice.id).await.unwrap(), [world.guild]);
    assert_eq!(world.store.temporary_members().await.unwrap(), []);
}
