//! A control plane ends on purpose, and its sessions go on at another.

use super::super::{Session, World};
use super::siblings::{Two, two};
use crate::gateway::Origin;
use crate::gateway::link::Mail;
use crate::gateway::session::Refusal;
use crate::hub::core::Attached;
use crate::store::testing::Place;
use guildhall_protocol::gateway::Resume;
use serde_json::{Value, json};

/// What the session's socket would send now.
fn numbered(session: &Attached) -> Vec<(u64, &'static str, Value)> {
    let Mail::Dispatches(dispatches) = session.link.take(session.connection, usize::MAX) else { panic!("the connection ended") };
    dispatches.iter().map(|(seq, it)| (*seq, it.name, serde_json::from_slice(&it.body).unwrap())).collect()
}

impl World {
    /// Ends it as an operator would. The database stays.
    async fn shut_down(self) -> Place {
        let Self { control_plane, place, .. } = self;
        control_plane.shutdown().await;
        place
    }

    async fn resume(&self, who: &Session, session_id: &str, seq: u64) -> Result<Attached, Refusal> {
        let resume = Resume { token: who.token.clone(), session_id: session_id.to_owned(), seq };
        let origin = Origin { host: "hall.example".to_owned(), is_tls: false, address: None };
        self.control_plane.hub().resume(resume, &origin).await
    }
}

fn contents(heard: &[(u64, &'static str, Value)]) -> Vec<String> {
    let messages = heard.iter().filter(|(_, name, _)| *name == "MESSAGE_CREATE");
    messages.map(|(_, _, d)| d["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_session_goes_on_at_another_control_plane_without_loss_or_repetition() {
    let Two { a, b, ann, bob, ann_at_a, bob_at_b, redis, folder: _folder } = two().await;
    a.join_voice(&ann_at_a, &a.voice);
    super::siblings::hears(&bob_at_b, "VOICE_STATE_UPDATE", |d| d["user_id"] == ann.id.as_str()).await;
    let voice = b.get(&bob, &format!("/guilds/{}/voice-states/{}", b.guild, ann.id)).await.ok();
    let session_id = voice["session_id"].as_str().unwrap().to_owned();
    a.say(&bob, "one").await;
    let heard = numbered(&ann_at_a);
    let (seq, name, _) = heard.last().unwrap();
    assert_eq!(*name, "MESSAGE_CREATE");
    // It is sent, and the client has not seen it.
    a.say(&bob, "two").await;
    assert_eq!(contents(&numbered(&ann_at_a)), ["two"]);
    a.say(&bob, "three").await;
    a.befriend(&ann, &bob).await;
    let dm = a.dm(&bob, &ann).await;
    // A conversation that begins is more than what is said in it: it has begun before.
    a.post(&bob, &format!("{dm}/messages"), json!({ "content": "hello" })).await.ok();
    numbered(&ann_at_a);
    a.say(&bob, "four").await;
    let place = a.shut_down().await;
    for content in ["five", "six"] {
        b.say(&bob, content).await;
    }
    b.post(&bob, &format!("{dm}/messages"), json!({ "content": "between us" })).await.ok();
    b.say(&bob, "seven").await;
    assert_eq!(b.resume(&bob, &session_id, *seq).await.err(), Some(Refusal::Invalid), "it is not his");
    let resumed = b.resume(&ann, &session_id, *seq).await.expect("it waits");
    let heard = numbered(&resumed);
    assert_eq!(contents(&heard), ["two", "three", "hello", "four", "five", "six", "between us", "seven"]);
    assert!(heard.iter().zip(seq + 1..).all(|((number, ..), expected)| *number == expected), "numbers go on");
    assert_eq!(heard.last().unwrap().1, "RESUMED");
    // What she does there counts.
    b.say(&bob, "eight").await;
    assert_eq!(contents(&numbered(&resumed)), ["eight"]);
    let path = format!("/guilds/{}/voice-states/{}", b.guild, ann.id);
    assert_eq!(b.get(&bob, &path).await.ok()["session_id"], session_id.as_str());
    b.patch(&b.owner, &format!("/guilds/{}/members/{}", b.guild, ann.id), json!({ "channel_id": null })).await.ok();
    b.get(&bob, &path).await.refused(404, 10065);
    drop((redis, place));
}

#[tokio::test]
async fn a_session_that_missed_more_than_can_be_told_starts_anew() {
    let Two { a, b, ann, redis, folder: _folder, .. } = two().await;
    let sessions = [a.listen(&ann, None).await, a.listen(&ann, None).await];
    a.say(&ann, "hello").await;
    let known = sessions
        .each_ref()
        .map(|(session, ready)| (ready["session_id"].as_str().unwrap().to_owned(), numbered(session).last().unwrap().0));
    let place = a.shut_down().await;
    b.say(&b.owner, "there").await;
    assert!(b.resume(&ann, &known[0].0, known[0].1).await.is_ok());
    b.role("new", 0).await;
    assert_eq!(b.resume(&ann, &known[1].0, known[1].1).await.err(), Some(Refusal::Invalid), "rights may have changed");
    drop((redis, place));
}
