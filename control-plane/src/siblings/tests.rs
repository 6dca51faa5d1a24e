use super::words::{Message, Name, Shown, Word};
use super::{Change, Item, LEASE, Siblings, VOICE_LEASE, WAITING};
use guildhall_protocol::gateway::Status;
use guildhall_protocol::model::VoiceState;
use guildhall_protocol::{ChannelId, GuildId, UserId};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

const GUILD: GuildId = GuildId::new(1);
const ANN: UserId = UserId::new(10);

fn shown(status: Status) -> Shown {
    Shown { status, activities: Vec::new() }
}

fn state(user: UserId, channel: u64, session: &str) -> VoiceState {
    VoiceState {
        guild_id: GUILD,
        channel_id: Some(ChannelId::new(channel)),
        user_id: user,
        member: None,
        session_id: session.to_owned(),
        deaf: false,
        mute: false,
        self_deaf: false,
        self_mute: false,
        self_video: false,
        self_stream: false,
        suppress: false,
        request_to_speak_timestamp: None,
    }
}

fn message(from: u64, number: u64, words: Vec<Word>) -> Message {
    Message { from: Name(from), issuer: from, number, words }
}

fn shows(user: UserId, status: Status) -> Word {
    Word::Shows { user_id: user, shown: shown(status) }
}

fn voice(user: UserId, channel: u64, number: u64) -> Word {
    Word::Voice { state: Box::new(state(user, channel, "s")), number, is_bot: false }
}

/// One that has met a sibling, whose words are complete.
fn met(now: Instant) -> Siblings {
    let mut siblings = Siblings::default();
    siblings.meet(Name(1), 1);
    hear(&mut siblings, now, 2, 1, vec![Word::Anew, shows(ANN, Status::Idle), voice(ANN, 5, 100), Word::Whole]);
    siblings
}

fn hear(siblings: &mut Siblings, now: Instant, from: u64, number: u64, words: Vec<Word>) -> Vec<Change> {
    let mut out = Vec::new();
    siblings.hear(message(from, number, words), now, &mut out);
    out
}

fn tick(siblings: &mut Siblings, now: Instant, is_up: bool) -> Vec<Change> {
    let mut out = Vec::new();
    siblings.tick(now, is_up, &mut out);
    out
}

fn said(siblings: &mut Siblings, now: Instant) -> Vec<Word> {
    std::iter::from_fn(|| siblings.next_message(now)).flat_map(|message| message.words).collect()
}

fn is_asked_of(words: &[Word], of: u64) -> bool {
    words.contains(&Word::Ask { of: Some(Name(of)) })
}

#[test]
fn whoever_is_alone_says_and_hears_nothing() {
    let (mut siblings, now) = (Siblings::default(), Instant::now());
    siblings.say(Word::Gone { user_id: ANN });
    assert!(!siblings.has_words() && siblings.next_message(now).is_none() && siblings.next_items().is_none());
    assert_eq!(hear(&mut siblings, now, 2, 1, vec![shows(ANN, Status::Idle)]), []);
    assert_eq!((siblings.count(), siblings.is_anywhere(ANN)), (0, false));
}

#[test]
fn a_lost_message_is_noticed_with_the_next_and_everything_is_asked_for() {
    let now = Instant::now();
    let mut siblings = met(now);
    assert_eq!(said(&mut siblings, now), [], "it has told everything");
    hear(&mut siblings, now, 2, 2, vec![]);
    assert_eq!(said(&mut siblings, now), [], "a beat is no loss");
    hear(&mut siblings, now, 2, 4, vec![shows(ANN, Status::Dnd)]);
    assert!(is_asked_of(&said(&mut siblings, now), 2));
    assert_eq!(siblings.shown(ANN).next(), Some(&shown(Status::Dnd)), "what is heard counts nevertheless");
    // Something of the answer is lost, too: it is asked again, and nothing is forgotten on its word.
    hear(&mut siblings, now, 2, 5, vec![Word::Anew]);
    let changes = hear(&mut siblings, now, 2, 7, vec![Word::Whole]);
    assert_eq!((changes, siblings.is_anywhere(ANN)), (vec![], true));
    assert_eq!(said(&mut siblings, now), [], "not at once");
    tick(&mut siblings, now + Duration::from_secs(2), true);
    assert!(is_asked_of(&said(&mut siblings, now + Duration::from_secs(2)), 2));
    let changes = hear(&mut siblings, now, 2, 8, vec![Word::Anew, Word::Whole]);
    assert_eq!(changes, [Change::Person(ANN, None), Change::Voice(GUILD, ANN)], "nobody is there any more");
}

#[test]
fn a_process_that_is_silent_takes_its_people_with_it_and_later_its_voice_states() {
    let now = Instant::now();
    let mut siblings = met(now);
    assert_eq!(tick(&mut siblings, now + LEASE - Duration::from_millis(1), true), []);
    let changes = tick(&mut siblings, now + LEASE, true);
    assert_eq!(changes, [Change::Voice(GUILD, ANN), Change::Stranded(ANN)]);
    assert!(!siblings.is_anywhere(ANN));
    let claim = siblings.claim(GUILD, ANN).unwrap().clone();
    assert!(siblings.is_orphan(&claim), "those who sit there are heard there");
    let changes = tick(&mut siblings, now + VOICE_LEASE, true);
    assert_eq!(changes, [Change::Abandoned(Box::new(state(ANN, 5, "s")))]);
    assert_eq!((siblings.claim(GUILD, ANN), siblings.count()), (None, 0));
}

#[test]
fn while_the_bus_is_away_nobody_is_gone() {
    let now = Instant::now();
    let mut siblings = met(now);
    let later = now + VOICE_LEASE * 2;
    assert_eq!(tick(&mut siblings, later, false), []);
    assert_eq!(tick(&mut siblings, later, true), [], "silence counts from now");
    assert!(siblings.is_anywhere(ANN));
    siblings.bus_is_back();
    assert_eq!(said(&mut siblings, later), [Word::Ask { of: None }]);
    assert_eq!(tick(&mut siblings, later + LEASE, true).len(), 2);
}

#[test]
fn the_newest_claim_holds_and_that_of_a_silent_process_against_nobody() {
    let now = Instant::now();
    let mut siblings = met(now);
    let owner = |siblings: &Siblings| siblings.claim(GUILD, ANN).map(|claim| claim.owner.0);
    hear(&mut siblings, now, 3, 1, vec![voice(ANN, 6, 99)]);
    assert_eq!((owner(&siblings), siblings.newest_claim(ANN)), (Some(2), 100));
    hear(&mut siblings, now, 3, 2, vec![voice(ANN, 6, 101)]);
    assert_eq!(owner(&siblings), Some(3));
    let later = now + LEASE;
    hear(&mut siblings, later, 2, 2, vec![]);
    tick(&mut siblings, later, true);
    assert_eq!(owner(&siblings), Some(2), "the other is not heard any more");
    // Its machine has started anew: what the process of before said is of less weight at once.
    let mut again = message(4, 1, vec![voice(ANN, 5, 1)]);
    again.issuer = 2;
    siblings.hear(again, later, &mut Vec::new());
    assert_eq!(owner(&siblings), Some(4));
}

#[test]
fn a_copied_issuer_key_is_reported_once() {
    let now = Instant::now();
    let mut siblings = met(now);
    let mut twin = message(5, 1, vec![]);
    twin.issuer = 1;
    let mut out = Vec::new();
    siblings.hear(twin.clone(), now, &mut out);
    twin.number = 2;
    siblings.hear(twin, now, &mut out);
    assert_eq!(out, [Change::Twin]);
}

#[test]
fn more_words_than_can_wait_are_said_as_everything_anew() {
    let now = Instant::now();
    let mut siblings = met(now);
    for _ in 0..=WAITING {
        siblings.say(Word::Gone { user_id: ANN });
    }
    assert_eq!(said(&mut siblings, now).len(), 1);
    assert!(siblings.is_asked(now));
    siblings.begin_retelling(now, VecDeque::from([Item::Person(ANN)]));
    assert_eq!(siblings.next_items(), Some(vec![Item::Person(ANN)]));
    assert_eq!(siblings.next_items(), Some(vec![]));
    assert_eq!(siblings.next_items(), None);
    assert_eq!(said(&mut siblings, now), [Word::Anew, Word::Whole]);
    assert!(!siblings.is_asked(now));
}

#[test]
fn words_survive_their_encoding_and_unknown_ones_are_passed_over() {
    use super::words::{Deed, StageChange, Wish};
    let stage = |request_to_speak| Deed::Stage(StageChange { suppress: Some(true), request_to_speak });
    let please = |deed| Word::Please { to: Name(u64::MAX), number: 7, wish: Wish { guild_id: GUILD, user_id: ANN, deed } };
    let words = vec![
        Word::Anew,
        shows(ANN, Status::Invisible),
        voice(ANN, 5, 3),
        please(Deed::Move(None)),
        please(stage(None)),
        please(stage(Some(None))),
        please(stage(Some(Some("2026-01-01T00:00:00+00:00".to_owned())))),
        Word::Direct { user_id: ANN, guild_id: None, name: "X".to_owned(), d: "{}".to_owned() },
    ];
    let told = message(2, 9, words);
    assert_eq!(Message::decode(&told.encode(), Name(1)), Some(told.clone()));
    assert_eq!(Message::decode(&told.encode(), Name(2)), None, "our own");
    let newer = br#"{"from":2,"issuer":2,"number":3,"words":[{"t":"wave","d":{"hand":1}},{"t":"whole"}],"mood":"good"}"#;
    assert_eq!(Message::decode(newer, Name(1)), Some(message(2, 3, vec![Word::Whole])));
    assert_eq!(Message::decode(b"noise", Name(1)), None);
}

/// A process with what it would have others know.
struct Process {
    siblings: Siblings,
    people: BTreeMap<UserId, Status>,
}

impl Process {
    /// As the hub does it.
    fn messages(&mut self, now: Instant) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            if self.siblings.is_asked(now) {
                let items = self.people.keys().map(|user| Item::Person(*user)).collect();
                self.siblings.begin_retelling(now, items);
            }
            while let Some(items) = self.siblings.next_items() {
                for item in items {
                    if let Item::Person(user) = item
                        && let Some(status) = self.people.get(&user)
                    {
                        self.siblings.say(shows(user, *status));
                    }
                }
            }
            let Some(message) = self.siblings.next_message(now) else { return messages };
            messages.push(message);
        }
    }
}

/// Three processes whose people come, change and go, over a bus that loses what it likes; when it stops losing, all agree.
fn agree_after_losses(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut now = Instant::now();
    let mut processes: Vec<Process> = (1..=3)
        .map(|name| {
            let mut siblings = Siblings::default();
            siblings.meet(Name(name), name);
            Process { siblings, people: BTreeMap::new() }
        })
        .collect();
    for step in 0..150 {
        let is_calm = step >= 125;
        now += Duration::from_millis(random.random_range(300..1000));
        for _ in 0..if is_calm { 0 } else { random.random_range(0..4) } {
            let process = &mut processes[random.random_range(0..3_usize)];
            let user = UserId::new(100 + random.random_range(0..20_u64));
            let status = [Status::Online, Status::Idle, Status::Dnd, Status::Invisible][random.random_range(0..4_usize)];
            let is_gone = random.random_range(0..4) == 0;
            let word = if is_gone { Word::Gone { user_id: user } } else { shows(user, status) };
            match is_gone {
                true => process.people.remove(&user),
                false => process.people.insert(user, status),
            };
            process.siblings.say(word);
        }
        for from in 0..3 {
            for message in processes[from].messages(now) {
                let message = Message::decode(&message.encode(), Name(0)).unwrap();
                for to in (0..3).filter(|to| *to != from) {
                    if is_calm || random.random_range(0..5) > 0 {
                        processes[to].siblings.hear(message.clone(), now, &mut Vec::new());
                    }
                }
            }
            processes[from].siblings.tick(now, true, &mut Vec::new());
        }
    }
    for (at, process) in processes.iter().enumerate() {
        for user in (100..120).map(UserId::new) {
            let told = processes.iter().enumerate().filter(|(other, _)| *other != at);
            let told: Vec<Status> = told.filter_map(|(_, other)| other.people.get(&user).copied()).collect();
            let known: Vec<Status> = process.siblings.shown(user).map(|shown| shown.status).collect();
            assert_eq!(known, told, "seed {seed}: {user} at process {at}");
        }
    }
}

#[test]
fn whatever_is_lost_all_agree_in_the_end() {
    for seed in 0..20 {
        agree_after_losses(seed);
    }
}
