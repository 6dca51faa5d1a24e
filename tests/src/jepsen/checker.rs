//! What a round's history must satisfy, whatever happened meanwhile. Pure: it looks at what clients saw, and knows no server.
//!
//! - An acknowledged message is there, once, with the text of its last acknowledged edit, or deleted if that was acknowledged.
//! - What was not acknowledged is there once or not at all, and nothing is there that nobody sent.
//! - Nobody is refused for good, or told that it is their own fault.
//! - Messages have one order, everywhere, and it respects time: who was answered before another began to write stands before them.
//! - Readers see that order without a gap or a repetition, and in the end what the history says.

use guildhall_protocol::{ChannelId, MessageId};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the last message of each channel says: who has seen it has seen everything.
pub const END: &str = "the end";

/// One wish of a writer, which it repeated until it was answered. Times are microseconds since the round's begin.
#[derive(Clone, Debug, Serialize)]
pub struct Deed {
    pub writer: usize,
    pub channel: ChannelId,
    pub kind: Kind,
    /// What it is about; of a new message, since it was answered.
    pub message: Option<MessageId>,
    pub attempts: Vec<Attempt>,
    /// When it was answered with a yes.
    pub done_us: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    Create(String),
    Edit(String),
    Delete,
}

#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    pub plane: usize,
    pub begun_us: u64,
    pub ended_us: u64,
    /// Of the answer; `None` without one.
    pub status: Option<u16>,
    pub answer: String,
}

/// The messages of a channel, oldest first.
pub type Listing = Vec<(MessageId, String)>;

/// What a session told a reader of a channel's messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Seen {
    Created(ChannelId, MessageId, String),
    Edited(ChannelId, MessageId, String),
    Deleted(ChannelId, MessageId),
}

/// One session of a reader, from its log-in to its end; resumed ones go on.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Session {
    pub plane: usize,
    pub resumes: usize,
    /// The history, read after the log-in.
    pub before: HashMap<ChannelId, Listing>,
    pub seen: Vec<Seen>,
    /// Numbers of dispatches that did not follow on the one before.
    pub jumps: Vec<(u64, u64)>,
}

impl Session {
    /// What somebody knows who has read and heard this.
    pub fn view(&self) -> HashMap<ChannelId, BTreeMap<MessageId, String>> {
        let listed = |listing: &Listing| listing.iter().cloned().collect();
        let mut view: HashMap<ChannelId, BTreeMap<MessageId, String>> =
            self.before.iter().map(|(channel, listing)| (*channel, listed(listing))).collect();
        for seen in &self.seen {
            match seen {
                Seen::Created(channel, id, text) => {
                    // What was in the history already is there as it is now, which is as new or newer.
                    view.entry(*channel).or_default().entry(*id).or_insert_with(|| text.clone());
                }
                Seen::Edited(channel, id, text) => {
                    if let Some(known) = view.entry(*channel).or_default().get_mut(id) {
                        known.clone_from(text);
                    }
                }
                Seen::Deleted(channel, id) => {
                    view.entry(*channel).or_default().remove(id);
                }
            }
        }
        view
    }
}

/// Everything that clients saw in a round.
#[derive(Clone, Debug, Default, Serialize)]
pub struct History {
    pub deeds: Vec<Deed>,
    /// Of each reader, its sessions; the last one saw the end.
    pub readers: Vec<Vec<Session>>,
    /// Of each channel, as each control plane says it after the end.
    pub listings: HashMap<ChannelId, Vec<Listing>>,
}

/// Sentences on what is wrong; none if all is well.
pub fn check(history: &History) -> Vec<String> {
    let mut wrong = Vec::new();
    history.deeds.iter().for_each(|deed| check_answers(deed, &mut wrong));
    for (channel, listings) in &history.listings {
        let Some(listing) = listings.first() else { continue };
        if listings.iter().any(|other| other != listing) {
            wrong.push(format!("the control planes list channel {channel} differently"));
        }
        let deeds: Vec<&Deed> = history.deeds.iter().filter(|deed| deed.channel == *channel).collect();
        check_channel(&deeds, listing, &mut wrong);
        for (number, sessions) in history.readers.iter().enumerate() {
            check_reader(number, *channel, sessions, &deeds, listing, &mut wrong);
        }
    }
    wrong
}

/// Nothing that happens to the machines is the client's fault, and everything passes.
fn check_answers(deed: &Deed, wrong: &mut Vec<String>) {
    let Deed { writer, kind, attempts, .. } = deed;
    let is_blame = |status: u16| (400..500).contains(&status) && status != 429 && (status, kind) != (404, &Kind::Delete);
    for attempt in attempts.iter().filter(|attempt| attempt.status.is_some_and(is_blame)) {
        wrong.push(format!("writer {writer}'s {kind:?} was refused: {}", attempt.answer));
    }
    if deed.done_us.is_none() {
        let last = attempts.last().map(|attempt| attempt.answer.as_str()).unwrap_or_default();
        wrong.push(format!("writer {writer}'s {kind:?} was never acknowledged in {} attempts, the last: {last}", attempts.len()));
    }
}

fn check_channel(deeds: &[&Deed], listing: &Listing, wrong: &mut Vec<String>) {
    if !listing.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        wrong.push("the history is not in the order of its ids, or lists one twice".to_owned());
    }
    let there: HashMap<MessageId, &str> = listing.iter().map(|(id, text)| (*id, text.as_str())).collect();
    let mut times = Vec::new();
    let mut expected: BTreeSet<&str> = BTreeSet::from([END]);
    for deed in deeds {
        let Kind::Create(text) = &deed.kind else { continue };
        let texts = later_texts(deeds, deed);
        let copies = listing.iter().filter(|(_, stored)| stored == text || texts.contains(&stored.as_str())).count();
        if copies > 1 {
            wrong.push(format!("{text:?} is there {copies} times"));
        }
        expected.insert(text);
        expected.extend(texts);
        let Some(id) = deed.message else { continue };
        times.push((id, deed.attempts.first().map_or(0, |attempt| attempt.begun_us), deed.done_us.unwrap_or(u64::MAX)));
        let allowed = allowed(deeds, deed, text);
        if !allowed.contains(&there.get(&id).copied()) {
            wrong.push(format!("message {id} of {text:?} is {:?} and must be one of {allowed:?}", there.get(&id)));
        }
    }
    for (id, text) in listing {
        if !expected.contains(text.as_str()) {
            wrong.push(format!("message {id} says {text:?}, which nobody wrote"));
        }
    }
    times.sort_unstable();
    // From the last message to the first: the earliest answer to one that stands behind.
    let mut earliest = (u64::MAX, MessageId::default());
    for (id, begun, done) in times.into_iter().rev() {
        if earliest.0 < begun {
            wrong.push(format!("message {id} was begun after {} was acknowledged, and stands before it", earliest.1));
        }
        earliest = earliest.min((done, id));
    }
}

/// What edits of this new message say.
fn later_texts<'a>(deeds: &[&'a Deed], created: &Deed) -> Vec<&'a str> {
    let edits = deeds.iter().filter(|deed| deed.message.is_some() && deed.message == created.message);
    edits.filter_map(|deed| if let Kind::Edit(text) = &deed.kind { Some(text.as_str()) } else { None }).collect()
}

/// What the message may be in the end; `None` stands for its absence. What was acknowledged holds; after it, what was not may hold,
/// too: it may have come late.
fn allowed<'a>(deeds: &[&'a Deed], created: &Deed, text: &'a str) -> Vec<Option<&'a str>> {
    let mut allowed = vec![Some(text)];
    for deed in deeds.iter().filter(|deed| deed.message == created.message) {
        let state = match &deed.kind {
            Kind::Create(_) => continue,
            Kind::Edit(text) => Some(text.as_str()),
            Kind::Delete => None,
        };
        if deed.done_us.is_some() {
            allowed.clear();
        }
        allowed.push(state);
    }
    allowed
}

fn check_reader(
    number: usize,
    channel: ChannelId,
    sessions: &[Session],
    deeds: &[&Deed],
    listing: &Listing,
    wrong: &mut Vec<String>,
) {
    let who = |at: usize| format!("reader {number}, session {at} (control plane {}), channel {channel}", sessions[at].plane);
    let acknowledged: HashMap<MessageId, &Deed> = deeds
        .iter()
        .filter(|deed| matches!(deed.kind, Kind::Create(_)) && deed.done_us.is_some())
        .filter_map(|deed| Some((deed.message?, *deed)))
        .collect();
    for (at, session) in sessions.iter().enumerate() {
        for (before, after) in &session.jumps {
            wrong.push(format!("{}: dispatch {after} came after {before}", who(at)));
        }
        let created: Vec<MessageId> = session
            .seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Created(there, id, _) if *there == channel => Some(*id),
                _ => None,
            })
            .collect();
        for pair in created.windows(2).filter(|pair| pair[0] >= pair[1]) {
            wrong.push(format!("{}: message {} came after {}", who(at), pair[1], pair[0]));
        }
        let mut known: BTreeSet<MessageId> = created.iter().copied().collect();
        known.extend(session.before.get(&channel).into_iter().flatten().map(|(id, _)| *id));
        let last = created.last().copied().unwrap_or_default();
        // A message that was deleted before the reader read the history is in neither.
        let missed = listing.iter().filter(|(id, _)| *id <= last && !known.contains(id));
        wrong.extend(missed.map(|(id, text)| format!("{}: message {id} ({text:?}) never came", who(at))));
        for seen in &session.seen {
            if let Seen::Created(there, id, text) = seen
                && *there == channel
                && let Some(Deed { kind: Kind::Create(sent), .. }) = acknowledged.get(id)
                && sent != text
            {
                wrong.push(format!("{}: message {id} said {text:?} and was sent as {sent:?}", who(at)));
            }
        }
    }
    let Some(last) = sessions.last() else { return wrong.push(format!("reader {number} had no session")) };
    let view: Listing = last.view().remove(&channel).unwrap_or_default().into_iter().collect();
    if view != *listing {
        let differs = |one: &Listing, other: &Listing| {
            let other: BTreeSet<_> = other.iter().cloned().collect();
            one.iter().filter(|entry| !other.contains(*entry)).cloned().collect::<Listing>()
        };
        let (only_seen, only_listed) = (differs(&view, listing), differs(listing, &view));
        wrong
            .push(format!("{}: at the end it knows {only_seen:?} and the history says {only_listed:?}", who(sessions.len() - 1)));
    }
}

#[cfg(test)]
mod tests;
