//! The index against the table of messages that it is about.

use super::{Facet, MATCHES, Order, Question, Search, SearchOutcome, Sender, Thing, index};
use crate::store::testing::is_on_postgres;
use crate::store::tests::{World, by, channel, person};
use crate::store::{FileChange, NewMessage, Store};
use guildhall_protocol::model::{Message, MessageReference};
use guildhall_protocol::{ChannelId, MessageId};
use serde_json::json;

fn ask(text: &str, groups: Vec<Vec<Facet>>, without: Vec<Facet>) -> Search {
    let text = (!text.is_empty()).then(|| text.to_owned());
    let question = Question { text, groups, without, slop: None };
    Search { question, after: None, before: None, order: Order::Newest, offset: 0, limit: 25 }
}

async fn search(store: &Store, search: Search) -> (u64, Vec<Message>) {
    match store.search(search).await.unwrap() {
        SearchOutcome::Found { total, messages } => (total, messages),
        SearchOutcome::NotReady(indexed) => panic!("only {indexed} are indexed"),
    }
}

async fn found(world: &World, text: &str) -> Vec<String> {
    contents(search(&world.store, ask(text, vec![vec![Facet::Channel(world.text)]], vec![])).await.1)
}

fn contents(messages: Vec<Message>) -> Vec<String> {
    messages.into_iter().map(|message| message.content).collect()
}

/// The index holds exactly the messages that there are, which FTS5 also finds consistent.
async fn check_index(world: &World) {
    let (indexed, stored): (i64, i64) = world
        .store
        .write(|tx| {
            Box::pin(async move {
                let count = if is_on_postgres() {
                    "SELECT COUNT(*) FROM search"
                } else {
                    sqlx::query("INSERT INTO search (search) VALUES ('integrity-check')").execute(tx.sql()).await?;
                    "SELECT COUNT(*) FROM search_docsize"
                };
                let indexed = sqlx::query_scalar(count).fetch_one(tx.sql()).await?;
                let stored = sqlx::query_scalar("SELECT COUNT(*) FROM messages WHERE kind IN (0, 19, 20, 23)");
                Ok((indexed, stored.fetch_one(tx.sql()).await?))
            })
        })
        .await
        .unwrap();
    assert_eq!(indexed, stored);
}

#[tokio::test]
async fn words_are_found_whatever_their_case_and_accents_and_the_newest_first() {
    let world = World::new().await;
    for text in ["The café is open", "a Cafe, closed", "unrelated", "an open question", "東京タワーに行く", "say \"hi\""]
    {
        world.send(text).await;
    }
    for (typed, expected) in [
        ("cafe", vec!["a Cafe, closed", "The café is open"]),
        ("CAFÉ open", vec!["The café is open"]),
        ("\"open question\"", vec!["an open question"]),
        ("\"question open\"", vec![]),
        ("questions opened", vec!["an open question"]),
        ("quest", vec![]),
        ("タワー", vec!["東京タワーに行く"]),
        ("京東", vec![]),
        ("cafe NOT closed", vec![]),
        ("facets : x", vec![]),
        ("\")) OR words : (\"cafe", vec![]),
        ("hi\" OR \"cafe", vec![]),
        ("cafe\0", vec!["a Cafe, closed", "The café is open"]),
        ("* ^ : - + () {}", vec![]),
    ] {
        assert_eq!(found(&world, typed).await, expected, "{typed:?}");
    }
    let mut near = ask("open CAFE", vec![vec![Facet::Channel(world.text)]], vec![]);
    near.question.slop = Some(1);
    assert_eq!(contents(search(&world.store, near.clone()).await.1), ["The café is open"]);
    near.question.slop = Some(0);
    assert_eq!(search(&world.store, near).await.0, 0);
    // As many words as fit into a request.
    assert_eq!(found(&world, &"a ".repeat(512)).await, ["a Cafe, closed"]);
    check_index(&world).await;
}

#[tokio::test]
async fn an_edited_or_deleted_message_is_found_as_it_is_now() {
    let world = World::new().await;
    let (first, second) = (world.send("apple").await, world.send("apple").await);
    let change = |message: &mut Message, _| message.content = "pear".to_owned();
    world.store.change_message(Some(world.guild), world.text, first.id, FileChange::default(), change).await.unwrap();
    assert_eq!((found(&world, "apple").await.len(), found(&world, "pear").await.len()), (1, 1));
    check_index(&world).await;
    world.store.delete_message(by(&world), Some(world.guild), world.text, second.id).await.unwrap();
    assert_eq!(found(&world, "apple").await.len(), 0);
    let more = futures_util::future::join_all((0..9).map(|_| world.send("plum"))).await;
    assert_eq!(found(&world, "plum").await.len(), 9);
    let ids = more[..7].iter().map(|message| message.id).collect();
    world.store.delete_messages(by(&world), Some(world.guild), world.text, ids).await.unwrap();
    assert_eq!(found(&world, "plum").await.len(), 2);
    check_index(&world).await;
    let world = world.reopen().await;
    assert_eq!((found(&world, "plum").await.len(), found(&world, "pear").await.len()), (2, 1));
    check_index(&world).await;
}

#[tokio::test]
async fn what_a_failed_job_wrote_is_not_indexed_and_its_neighbours_are() {
    let world = World::new().await;
    let jobs = (0..20).map(|number| {
        let new = world.message(&format!("fruit {number}"));
        world.store.write(move |tx| {
            Box::pin(async move {
                let message = crate::store::messages::insert_message(tx, new).await?;
                if number % 2 == 0 { Ok(message) } else { Err(crate::store::Conflict::Full.into()) }
            })
        })
    });
    let outcomes = futures_util::future::join_all(jobs).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10);
    assert_eq!(found(&world, "fruit").await.len(), 10);
    check_index(&world).await;
}

#[tokio::test]
async fn filters_narrow_and_their_negations_too() {
    let world = World::new().await;
    let bob = person(&world.store, "bob").await;
    let elsewhere = channel(&world.store, world.guild, "elsewhere");
    world.store.create_channel(by(&world), elsewhere.clone()).await.unwrap();
    let send = async |message: Message| {
        let new = NewMessage { guild_id: Some(world.guild), message, member: None, files: Vec::new(), enforced_nonce: None };
        match world.store.create_message(new).await.unwrap() {
            crate::store::Sent::New(message) | crate::store::Sent::Before(message) => *message,
        }
    };
    let plain = send(world.message("see https://example.org/page for news").message).await;
    let rich = Message {
        author: bob.clone(),
        embeds: vec![json!({ "type": "rich", "title": "Quarterly report", "fields": [{ "name": "n", "value": "revenue" }] })],
        ..world.message("").message
    };
    let rich = send(rich).await;
    let mention = Message {
        mentions: vec![bob.clone()],
        mention_everyone: true,
        channel_id: elsewhere.id,
        ..world.message("news").message
    };
    let mention = send(mention).await;
    let reference = MessageReference { kind: 0, message_id: Some(plain.id), channel_id: Some(world.text), guild_id: None };
    let reply = Message { kind: 19, message_reference: Some(reference), ..world.message("re").message };
    let reply = send(reply).await;
    let in_both = || vec![Facet::SeenWith(world.text), Facet::SeenWith(elsewhere.id)];
    let check = async |text: &str, any: Vec<Facet>, without: Vec<Facet>, expected: Vec<&Message>| {
        let mut groups = vec![in_both()];
        groups.extend((!any.is_empty()).then_some(any));
        let ids: Vec<MessageId> =
            search(&world.store, ask(text, groups, without)).await.1.iter().map(|message| message.id).collect();
        assert_eq!(ids, expected.iter().map(|message| message.id).collect::<Vec<_>>());
    };
    check("", vec![], vec![], vec![&reply, &mention, &rich, &plain]).await;
    check("news", vec![], vec![], vec![&mention, &plain]).await;
    check("news", vec![Facet::Channel(elsewhere.id)], vec![], vec![&mention]).await;
    check("", vec![Facet::Author(bob.id)], vec![], vec![&rich]).await;
    check("", vec![Facet::Author(bob.id), Facet::Author(world.alice.id)], vec![], vec![&reply, &mention, &rich, &plain]).await;
    check("", vec![Facet::Mentions(bob.id)], vec![], vec![&mention]).await;
    check("", vec![Facet::MentionsEveryone], vec![], vec![&mention]).await;
    check("", vec![Facet::RepliesToUser(world.alice.id)], vec![], vec![&reply]).await;
    check("", vec![Facet::RepliesToUser(bob.id)], vec![], vec![]).await;
    check("", vec![Facet::RepliesTo(plain.id)], vec![], vec![&reply]).await;
    check("", vec![Facet::Has(Thing::Link)], vec![], vec![&plain]).await;
    check("", vec![Facet::LinkHost("EXAMPLE.org".to_owned())], vec![], vec![&plain]).await;
    check("", vec![Facet::LinkHost("example".to_owned())], vec![], vec![]).await;
    check("", vec![Facet::Has(Thing::Embed)], vec![], vec![&rich]).await;
    check("revenue", vec![], vec![], vec![&rich]).await;
    check("", vec![Facet::EmbedType("rich".to_owned())], vec![], vec![&rich]).await;
    check("", vec![], vec![Facet::Has(Thing::Link), Facet::Author(bob.id)], vec![&reply, &mention]).await;
    check("", vec![Facet::By(Sender::Bot)], vec![], vec![]).await;
    check("", vec![], vec![Facet::By(Sender::Person)], vec![]).await;
    // Names of facets are no words.
    check("haslink", vec![], vec![], vec![]).await;
}

#[tokio::test]
async fn pages_bounds_and_orders() {
    let world = World::new().await;
    let mut sent = Vec::new();
    for text in ["tea", "tea with much milk and some sugar in it", "tea tea tea", "coffee", "tea"] {
        sent.push(world.send(text).await);
    }
    let base = || ask("tea", vec![vec![Facet::Channel(world.text)]], vec![]);
    let ids = async |asked: Search| -> (u64, Vec<usize>) {
        let (total, messages) = search(&world.store, asked).await;
        (total, messages.iter().map(|message| sent.iter().position(|known| known.id == message.id).unwrap()).collect())
    };
    assert_eq!(ids(base()).await, (4, vec![4, 2, 1, 0]));
    assert_eq!(ids(Search { order: Order::Oldest, ..base() }).await, (4, vec![0, 1, 2, 4]));
    assert_eq!(ids(Search { order: Order::Relevance, ..base() }).await, (4, vec![2, 4, 0, 1]));
    assert_eq!(ids(Search { limit: 2, offset: 1, ..base() }).await, (4, vec![2, 1]));
    assert_eq!(ids(Search { offset: 9, ..base() }).await, (4, vec![]));
    let between = Search { after: Some(sent[0].id), before: Some(sent[4].id), ..base() };
    assert_eq!(ids(between.clone()).await, (2, vec![2, 1]));
    assert_eq!(ids(Search { order: Order::Relevance, ..between }).await, (2, vec![2, 1]));
}

#[tokio::test]
async fn messages_older_than_the_index_come_into_it_while_others_are_written() {
    let world = World::new().await;
    for _ in 0..12 {
        assert!(
            futures_util::future::join_all((0..100).map(|_| world.store.create_message(world.message("old"))))
                .await
                .iter()
                .all(Result::is_ok)
        );
    }
    // What the migration leaves behind on a database that had messages before.
    let forget = world.store.write(|tx| {
        Box::pin(async move {
            sqlx::query("DELETE FROM search").execute(tx.sql()).await?;
            sqlx::query("INSERT INTO search_backlog VALUES (0, 0, 0)").execute(tx.sql()).await?;
            Ok(())
        })
    });
    forget.await.unwrap();
    let question = || ask("old", vec![vec![Facet::Channel(world.text)]], vec![]);
    let step = async || world.store.write(|tx| Box::pin(async { index::index_backlog(tx.sql()).await })).await.unwrap();
    let mut indexed = 0;
    for written in 0.. {
        match world.store.search(question()).await.unwrap() {
            SearchOutcome::NotReady(now) => assert!(now >= indexed && now <= 1200, "{now}"),
            SearchOutcome::Found { total, .. } => {
                assert_eq!(total, 1200 + written);
                break;
            }
        }
        if let SearchOutcome::NotReady(now) = world.store.search(question()).await.unwrap() {
            indexed = now;
        }
        world.send("old").await;
        step().await;
    }
    check_index(&world).await;
}

#[tokio::test]
async fn a_deleted_channel_leaves_nothing_in_the_index() {
    let world = World::new().await;
    for _ in 0..6 {
        assert!(
            futures_util::future::join_all((0..100).map(|_| world.store.create_message(world.message("goes"))))
                .await
                .iter()
                .all(Result::is_ok)
        );
    }
    world.store.delete_channel(by(&world), world.text).await.unwrap();
    while world.store.write(|tx| Box::pin(async { crate::store::writer::prune(tx.sql(), 0).await })).await.unwrap() {}
    assert_eq!(found(&world, "goes").await, Vec::<String>::new());
    check_index(&world).await;
}

/// A measurement: `cargo test -p guildhall-control-plane --lib --release -- --ignored --nocapture a_million`.
#[tokio::test]
#[ignore = "takes a minute: it measures"]
async fn a_million_messages() {
    use std::time::Instant;
    let world = World::new().await;
    let mut channels = vec![world.text];
    for number in 0..19 {
        let more = channel(&world.store, world.guild, &format!("channel-{number}"));
        world.store.create_channel(by(&world), more.clone()).await.unwrap();
        channels.push(more.id);
    }
    // Words by Zipf's law: the n-th most frequent word is as frequent as 1/n, out of 50,000.
    let mut state = 88172645463325252_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut word = move || {
        let uniform = (random() % 1_000_000) as f64 / 1_000_000.0;
        format!("word{}", (50_000_f64.powf(uniform)) as u64)
    };
    let mut id: i64 = world.store.make_id::<MessageId>().to_sql() - (1_000_000 << 32);
    let started = Instant::now();
    for batch in 0..1000 {
        let rows: Vec<(i64, i64, String)> = (0..1000)
            .map(|number| {
                id += 1 << 31;
                // Half of everything is said in one channel.
                let channel: ChannelId = channels[if number % 2 == 0 { 0 } else { number % channels.len() }];
                let words: Vec<String> = (0..10).map(|_| word()).collect();
                (channel.to_sql(), id, words.join(" "))
            })
            .collect();
        let (rows, alice) = (serde_json::to_string(&rows).unwrap(), world.alice.id.to_sql());
        let write = world.store.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO messages (channel_id, id, seq, author_id, kind, content, flags, is_tts, mention_everyone) \
                     SELECT value ->> 0, value ->> 1, 0, $2, 0, value ->> 2, 0, 0, 0 FROM json_each($1)",
                )
                .bind(rows)
                .bind(alice)
                .execute(tx.sql())
                .await?;
                Ok(())
            })
        });
        write.await.unwrap();
        if batch % 200 == 199 {
            println!("{} messages after {:?}", (batch + 1) * 1000, started.elapsed());
        }
    }
    let size = std::fs::metadata(world.folder.path().join("test.db")).unwrap().len() / 1_000_000;
    let size_of = "SELECT SUM(pgsize) / 1000000 FROM dbstat WHERE name LIKE 'search%'";
    let of_search: i64 = world
        .store
        .write(move |tx| Box::pin(async move { Ok(sqlx::query_scalar(size_of).fetch_one(tx.sql()).await?) }))
        .await
        .unwrap();
    println!("the database has {size} MB, the index {of_search} MB of them");
    let everywhere: Vec<Facet> = channels.iter().map(|id| Facet::SeenWith(*id)).collect();
    let quiet = vec![Facet::SeenWith(channels[3])];
    for (what, text, groups, order) in [
        ("a rare word", "word44321", vec![everywhere.clone()], Order::Newest),
        ("a common word", "word1", vec![everywhere.clone()], Order::Newest),
        ("a common word, oldest", "word1", vec![everywhere.clone()], Order::Oldest),
        ("a common word, relevance", "word1", vec![everywhere.clone()], Order::Relevance),
        ("a rare word, relevance", "word44321", vec![everywhere.clone()], Order::Relevance),
        ("two common words", "word1 word2", vec![everywhere.clone()], Order::Newest),
        ("common and rare", "word1 word40000", vec![everywhere.clone()], Order::Newest),
        ("a rare word in a quiet channel", "word5000", vec![quiet.clone()], Order::Newest),
        ("a phrase", "\"word1 word2\"", vec![everywhere.clone()], Order::Newest),
        ("by its author", "", vec![everywhere.clone(), vec![Facet::Author(world.alice.id)]], Order::Newest),
        ("links: none", "", vec![everywhere.clone(), vec![Facet::Has(Thing::Link)]], Order::Newest),
        ("nothing such", "nowhere", vec![everywhere.clone()], Order::Newest),
    ] {
        let mut times = Vec::new();
        let mut total = 0;
        for _ in 0..5 {
            let started = Instant::now();
            let asked = Search { order, ..ask(text, groups.clone(), vec![]) };
            total = search(&world.store, asked).await.0;
            times.push(started.elapsed());
        }
        times.sort();
        println!("{what}: {total} of at most {MATCHES}, {:?} (worst {:?})", times[2], times[4]);
    }
}
