//! A checker that finds nothing must have been able to: each test takes a good history and does one wrong to it.

use super::*;

fn channel() -> ChannelId {
    "7".parse().expect("an id")
}

fn id(number: u64) -> MessageId {
    number.to_string().parse().expect("an id")
}

fn deed(kind: Kind, message: Option<u64>, begun_us: u64, done_us: Option<u64>) -> Deed {
    let attempt = Attempt { plane: 0, begun_us, ended_us: done_us.unwrap_or(begun_us), status: Some(200), answer: String::new() };
    Deed { writer: 0, channel: channel(), kind, message: message.map(id), attempts: vec![attempt], done_us }
}

fn create(text: &str, message: u64, begun_us: u64, done_us: u64) -> Deed {
    deed(Kind::Create(text.to_owned()), Some(message), begun_us, Some(done_us))
}

fn listing(entries: &[(u64, &str)]) -> Listing {
    entries.iter().map(|(number, text)| (id(*number), (*text).to_owned())).collect()
}

fn created(number: u64, text: &str) -> Seen {
    Seen::Created(channel(), id(number), text.to_owned())
}

/// Two messages, the second of which is edited, one that is deleted, and a reader who came before the second.
fn good() -> History {
    let deeds = vec![
        create("one", 1, 0, 10),
        create("two", 2, 20, 30),
        deed(Kind::Edit("two!".to_owned()), Some(2), 40, Some(50)),
        create("three", 3, 45, 55),
        deed(Kind::Delete, Some(3), 60, Some(70)),
    ];
    let session = Session {
        before: HashMap::from([(channel(), listing(&[(1, "one")]))]),
        seen: vec![
            created(2, "two"),
            Seen::Edited(channel(), id(2), "two!".to_owned()),
            created(3, "three"),
            Seen::Deleted(channel(), id(3)),
            created(9, END),
        ],
        ..Session::default()
    };
    let last = listing(&[(1, "one"), (2, "two!"), (9, END)]);
    History { deeds, readers: vec![vec![session]], listings: HashMap::from([(channel(), vec![last.clone(), last])]) }
}

fn lists(history: &mut History, entries: &[(u64, &str)]) {
    history.listings.insert(channel(), vec![listing(entries); 2]);
}

#[test]
fn a_good_history_passes() {
    assert_eq!(check(&good()), Vec::<String>::new());
}

/// Does a wrong, and it must be told by a sentence with these words.
fn finds(words: &str, wrong: impl FnOnce(&mut History)) {
    let mut history = good();
    wrong(&mut history);
    let found = check(&history);
    assert!(found.iter().any(|sentence| sentence.contains(words)), "{words:?} is not in {found:?}");
}

#[test]
fn a_lost_message_is_found() {
    finds("message 1 of \"one\" is None", |history| lists(history, &[(2, "two!"), (9, END)]));
}

#[test]
fn a_message_that_is_there_twice_is_found() {
    finds("is there 2 times", |history| lists(history, &[(1, "one"), (2, "two!"), (4, "one"), (9, END)]));
    finds("is there 2 times", |history| lists(history, &[(1, "one"), (2, "two!"), (4, "two"), (9, END)]));
}

#[test]
fn a_message_of_nobody_is_found() {
    finds("which nobody wrote", |history| lists(history, &[(1, "one"), (2, "two!"), (5, "who?"), (9, END)]));
}

#[test]
fn a_lost_edit_and_a_lost_deletion_are_found() {
    finds("must be one of [Some(\"two!\")]", |history| lists(history, &[(1, "one"), (2, "two"), (9, END)]));
    finds("must be one of [None]", |history| lists(history, &[(1, "one"), (2, "two!"), (3, "three"), (9, END)]));
}

#[test]
fn an_edit_that_nobody_acknowledged_may_have_come_or_not() {
    for text in ["one", "one?"] {
        let mut history = good();
        history.deeds.push(deed(Kind::Edit("one?".to_owned()), Some(1), 80, None));
        lists(&mut history, &[(1, text), (2, "two!"), (9, END)]);
        history.readers[0][0].seen.push(Seen::Edited(channel(), id(1), text.to_owned()));
        let found = check(&history);
        assert!(found.len() == 1 && found[0].contains("was never acknowledged"), "{found:?}");
    }
}

#[test]
fn a_refusal_is_found() {
    finds("was refused", |history| history.deeds[0].attempts[0].status = Some(401));
    finds("was never acknowledged", |history| {
        history.deeds.push(deed(Kind::Create("four".to_owned()), None, 80, None));
    });
}

#[test]
fn an_order_against_time_is_found() {
    finds("stands before it", |history| history.deeds[0].attempts[0].begun_us = 35);
}

#[test]
fn control_planes_that_disagree_are_found() {
    finds("differently", |history| {
        history.listings.get_mut(&channel()).expect("it is listed")[1].pop();
    });
}

#[test]
fn a_gap_a_repetition_and_a_swap_at_a_reader_are_found() {
    finds("never came", |history| drop(history.readers[0][0].seen.remove(0)));
    finds("came after", |history| history.readers[0][0].seen.insert(1, created(2, "two")));
    finds("came after", |history| history.readers[0][0].seen.swap(0, 2));
    finds("dispatch 5 came after 3", |history| history.readers[0][0].jumps.push((3, 5)));
}

#[test]
fn a_reader_that_ends_with_another_state_is_found() {
    finds("at the end it knows", |history| drop(history.readers[0][0].seen.remove(1)));
    finds("at the end it knows", |history| drop(history.readers[0][0].seen.remove(3)));
    finds("was sent as", |history| history.readers[0][0].seen[0] = created(2, "to"));
    finds("had no session", |history| history.readers[0].clear());
}
