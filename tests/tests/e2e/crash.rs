//! The process is killed in the middle of a stream of sends, again and again. Every acknowledged message is there afterwards,
//! once and in order; one that was not acknowledged may be sent again and is there once too.

use std::time::Duration;

use guildhall_loadtest::{Rest, rest::Account};
use guildhall_protocol::{ChannelId, MessageId, model::ChannelType};
use guildhall_tests::{server::Server, world::World};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinHandle};

/// Kills in one run.
const ROUNDS: usize = 20;

/// Writers, each in a channel of its own and all in a shared one, so that both orders are checked: one writer's and a channel's.
const WRITERS: usize = 6;

/// At least so many acknowledgements come between two kills, so that a round without any cannot pass for a success.
const ACKNOWLEDGED: std::ops::Range<usize> = 5..150;

/// How long the kill may lag behind the last counted acknowledgement: it should hit transactions at every stage.
const LAG_MICROS: std::ops::Range<u64> = 0..4_000;

/// What one writer knows: messages that the server acknowledged, in order, and the one that it did not answer.
#[derive(Default)]
struct Written {
    acknowledged: Vec<(MessageId, String)>,
    unanswered: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_message_is_lost_doubled_or_moved_when_the_process_is_killed() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let mut world = World::on(Server::start_with(&["--rate-limits", "off"])).await;
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let account = world.member(&format!("writer{n}")).await;
        let own =
            world.owner.rest.create_channel(world.guild, &format!("desk-{n}"), ChannelType::Text).await.expect("a channel").id;
        writers.push((account, [own, world.text]));
    }
    let mut history: Vec<Written> = (0..WRITERS * 2).map(|_| Written::default()).collect();

    for round in 0..ROUNDS {
        let (acknowledge, mut acknowledged) = mpsc::unbounded_channel();
        let streams: Vec<JoinHandle<Written>> = writers
            .iter()
            .flat_map(|(account, channels)| channels.map(|channel| (account, channel)))
            .enumerate()
            .map(|(n, (account, channel))| {
                let retry = history[n].unanswered.take();
                tokio::spawn(write_until_it_dies(
                    account.rest.clone(),
                    channel,
                    format!("r{round}w{n}"),
                    retry,
                    acknowledge.clone(),
                ))
            })
            .collect();
        for _ in 0..random.random_range(ACKNOWLEDGED) {
            acknowledged.recv().await.expect("the writers write");
        }
        tokio::time::sleep(Duration::from_micros(random.random_range(LAG_MICROS))).await;
        world.server.kill_9();
        for (stream, known) in streams.into_iter().zip(&mut history) {
            let Written { acknowledged, unanswered } = stream.await.expect("a writer does not panic");
            known.acknowledged.extend(acknowledged);
            known.unanswered = unanswered;
        }
        world.restart().await;
        check(&world, &writers, &history).await;
    }
}

/// Sends numbered messages until the server is gone. `retry` is the one that it left unanswered the last time.
async fn write_until_it_dies(
    rest: Rest,
    channel: ChannelId,
    tag: String,
    retry: Option<String>,
    acknowledge: mpsc::UnboundedSender<()>,
) -> Written {
    let mut written = Written::default();
    let mut next = 0;
    let mut content = retry.unwrap_or_else(|| format!("{tag}#first"));
    loop {
        // The content is its own nonce (25 characters at most), so that a retry is recognized as the same message.
        match rest.send_once(channel, &content, &content).await {
            Ok(message) => {
                assert_eq!(message.content, content);
                written.acknowledged.push((message.id, content));
                // The kill may have stopped the counting.
                let _ = acknowledge.send(());
            }
            Err(_) => {
                written.unanswered = Some(content);
                return written;
            }
        }
        content = format!("{tag}#{next}");
        next += 1;
    }
}

async fn check(world: &World, writers: &[(Account, [ChannelId; 2])], history: &[Written]) {
    let channels = writers.iter().map(|(_, [own, _])| *own).chain([world.text]);
    for channel in channels {
        let stored = world.owner.rest.history(channel).await.expect("the owner reads everything");
        assert!(stored.windows(2).all(|pair| pair[0].id < pair[1].id), "ids ascend in {channel}");
        let mut contents: Vec<&str> = stored.iter().map(|message| message.content.as_str()).collect();
        contents.sort_unstable();
        assert!(contents.windows(2).all(|pair| pair[0] != pair[1]), "no message is there twice in {channel}");

        let streams = history.iter().enumerate().filter(|(n, _)| writers[n / 2].1[n % 2] == channel);
        for (n, Written { acknowledged, unanswered }) in streams {
            let author = writers[n / 2].0.user.id;
            let by_author: Vec<_> = stored.iter().filter(|message| message.author.id == author).collect();
            let extra = by_author.len().checked_sub(acknowledged.len());
            assert!(
                extra.is_some_and(|extra| extra <= usize::from(unanswered.is_some())),
                "{} acknowledged, {} stored",
                acknowledged.len(),
                by_author.len()
            );
            for ((id, content), message) in acknowledged.iter().zip(&by_author) {
                assert_eq!((message.id, &message.content), (*id, content), "acknowledged messages stay as they were, in order");
            }
            // Stored but never answered: only the one that was on its way, and at the end.
            if let Some(last) = by_author.get(acknowledged.len()) {
                assert_eq!(Some(&last.content), unanswered.as_ref());
            }
        }
    }
    // The sequence numbers go on too: a session that starts now hears the next message.
    let mut session = world.session(&world.owner).await;
    let said = world.owner.rest.send_message(world.voice, "still here").await.expect("the owner may write");
    session.next_named("MESSAGE_CREATE", |message| message["id"] == json!(said.id)).await.expect("events flow after the restart");
}
