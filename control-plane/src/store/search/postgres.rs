//! The same questions put to PostgreSQL: one `tsquery` over one column that holds a message's words and its facets.
//!
//! What differs from FTS5: several words with a slop must each be that near to the one typed next to it, rather than all within
//! one stretch; a file's, host's or provider's name is compared as it is written, but for its case; the order of relevance is
//! `ts_rank`'s, not BM25's.

use super::index::Entry;
use super::terms::{Facet, Question, bare, typed_parts};
use super::{MATCHES, Order, Search, SearchOutcome, found};
use crate::store::Result;
use crate::store::engine::Connection;
use guildhall_protocol::MessageId;
use std::fmt::Write;

/// Between the facets of one message on their way to the index; no facet has it.
const SEPARATOR: char = '\u{1}';
/// Bytes of a name that count; a lexeme may have 2,046.
const NAME: usize = 512;
/// The largest slop that is looked at, and the most words: each neighbour costs two terms for each place in between. Beyond
/// either, the words may stand anywhere.
const SLOP: u8 = 20;
const NEAR_WORDS: usize = 16;

/// A question as two texts: input of `to_tsquery`, and a `tsquery`. Either may be empty, not both.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    words: String,
    facets: String,
}

/// The words of a text: lower case, nothing between them but a space. Accents stay on; the database takes them off.
fn words_of(text: &str) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c);
    let text = bare(text).to_lowercase();
    text.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The facet as one lexeme. No word begins with `=`.
fn lexeme(facet: &Facet) -> String {
    let named = |kind: &str, name: &str| {
        let mut name: String = name.to_lowercase().chars().filter(|c| !c.is_control()).collect();
        name.truncate(name.floor_char_boundary(NAME));
        format!("={kind} {name}")
    };
    match facet {
        Facet::LinkHost(name) => named("host", name),
        Facet::EmbedProvider(name) => named("provider", name),
        Facet::EmbedType(name) => named("type", name),
        Facet::FileName(name) => named("file", name),
        Facet::FileExtension(name) => named("extension", name),
        other => format!("={}", other.token()),
    }
}

fn any_of(facets: &[Facet]) -> String {
    let quote = |facet| format!("'{}'", lexeme(facet).replace('\\', "\\\\").replace('\'', "''"));
    let any: Vec<String> = facets.iter().map(quote).collect();
    format!("({})", any.join(" | "))
}

/// What was typed as input of `to_tsquery`. `None`: there is no word in it.
fn typed(text: &str, slop: Option<u8>) -> Option<String> {
    let phrase = |part: &str| {
        let words: Vec<String> = words_of(part).iter().map(|word| format!("'{word}'")).collect();
        (!words.is_empty()).then(|| format!("({})", words.join(" <-> ")))
    };
    let parts: Vec<String> = typed_parts(text).into_iter().filter_map(phrase).collect();
    if parts.is_empty() {
        return None;
    }
    let mut query = parts.join(" & ");
    if let Some(slop) = slop.filter(|slop| *slop <= SLOP && parts.len() <= NEAR_WORDS) {
        for pair in parts.windows(2) {
            let (a, b) = (&pair[0], &pair[1]);
            let near: Vec<String> = (1..=slop + 1).map(|places| format!("{a} <{places}> {b} | {b} <{places}> {a}")).collect();
            let _ = write!(query, " & ({})", near.join(" | "));
        }
    }
    Some(query)
}

impl Asked {
    /// `None`: nothing can match it.
    fn of(question: &Question) -> Option<Self> {
        let words = match &question.text {
            Some(text) => typed(text, question.slop)?,
            None => String::new(),
        };
        let mut facets = Vec::new();
        for group in &question.groups {
            if group.is_empty() {
                return None;
            }
            facets.push(any_of(group));
        }
        if words.is_empty() && facets.is_empty() {
            return None;
        }
        if !question.without.is_empty() {
            facets.push(format!("!{}", any_of(&question.without)));
        }
        Some(Self { words, facets: facets.join(" & ") })
    }
}

macro_rules! matching {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " FROM search WHERE document @@ CASE WHEN $1 = '' THEN CAST($2 AS TSQUERY) ",
            "WHEN $2 = '' THEN to_tsquery('guildhall', without_accents($1)) ",
            "ELSE to_tsquery('guildhall', without_accents($1)) && CAST($2 AS TSQUERY) END AND id > $3 AND id < $4 ",
            $after
        )
    };
}

pub async fn search(connection: &mut Connection, search: &Search) -> Result<SearchOutcome> {
    const COUNT: &str = matching!("SELECT COUNT(*) FROM (SELECT 1", "LIMIT $5) AS counted");
    const NEWEST: &str = matching!("SELECT id, channel_id", "ORDER BY id DESC LIMIT $5 OFFSET $6");
    const OLDEST: &str = matching!("SELECT id, channel_id", "ORDER BY id LIMIT $5 OFFSET $6");
    const RELEVANCE: &str = matching!(
        "SELECT id, channel_id FROM (SELECT id, channel_id, document",
        "ORDER BY id DESC LIMIT $7) AS newest \
         ORDER BY ts_rank(document, to_tsquery('guildhall', without_accents($1)), 1) DESC, id DESC LIMIT $5 OFFSET $6"
    );
    let Some(Asked { words, facets }) = Asked::of(&search.question) else {
        return Ok(SearchOutcome::Found { total: 0, messages: Vec::new() });
    };
    // How rare the words are decides how they are best looked for, so each search is planned by itself.
    connection.run("SET LOCAL plan_cache_mode = force_custom_plan").await?;
    let after = search.after.map_or(0, MessageId::to_sql);
    let before = search.before.map_or(i64::MAX, MessageId::to_sql);
    let total: i64 = sqlx::query_scalar(COUNT)
        .bind(&words)
        .bind(&facets)
        .bind(after)
        .bind(before)
        .bind(MATCHES)
        .fetch_one(&mut *connection)
        .await?;
    let page = match search.order {
        Order::Newest => NEWEST,
        Order::Oldest => OLDEST,
        Order::Relevance => RELEVANCE,
    };
    let mut page = sqlx::query(page).bind(words).bind(facets).bind(after).bind(before).bind(search.limit).bind(search.offset);
    if search.order == Order::Relevance {
        page = page.bind(MATCHES);
    }
    let rows = page.fetch_all(&mut *connection).await?;
    found(connection, total, rows).await
}

/// Takes entries out of the index and puts others in.
pub async fn replace(connection: &mut Connection, known: Vec<i64>, entries: Vec<Entry>) -> Result<()> {
    if !known.is_empty() {
        sqlx::query("DELETE FROM search WHERE id = ANY($1)").bind(known).execute(&mut *connection).await?;
    }
    if entries.is_empty() {
        return Ok(());
    }
    let (mut ids, mut channels, mut words, mut facets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        ids.push(entry.id);
        channels.push(entry.channel);
        words.push(words_of(&entry.words).join(" "));
        let lexemes: Vec<String> = entry.facets.iter().map(lexeme).collect();
        facets.push(lexemes.join(SEPARATOR.encode_utf8(&mut [0; 4])));
    }
    sqlx::query(
        "INSERT INTO search (id, channel_id, document) \
         SELECT e.id, e.channel_id, to_tsvector('guildhall', without_accents(e.words)) || array_to_tsvector(string_to_array(e.facets, chr(1))) \
         FROM unnest($1, $2, $3, $4) AS e (id, channel_id, words, facets)",
    )
    .bind(ids)
    .bind(channels)
    .bind(words)
    .bind(facets)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::terms::{Facet, Question, Sender};
    use super::{Asked, typed, words_of};
    use guildhall_protocol::{ChannelId, UserId};

    #[test]
    fn what_was_typed_becomes_a_query_that_only_words_are_in() {
        assert_eq!(
            words_of("Don't <b>STOP</b> e\u{301}t\u{e9} 東京\0"),
            ["don", "t", "b", "stop", "b", "e\u{301}t\u{e9}", "東", "京"]
        );
        for (text, slop, expected) in [
            ("hello", None, Some("('hello')")),
            (r#"Hello, "as it stands" x"#, None, Some("('hello') & ('as' <-> 'it' <-> 'stands') & ('x')")),
            ("foo-bar'); DROP", None, Some("('foo' <-> 'bar') & ('drop')")),
            ("a b", Some(1), Some("('a') & ('b') & (('a') <1> ('b') | ('b') <1> ('a') | ('a') <2> ('b') | ('b') <2> ('a'))")),
            ("!!! \u{1f600}", None, None),
        ] {
            assert_eq!(typed(text, slop).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn filters_are_lexemes_that_no_word_is() {
        let question = Question {
            text: Some("hi".to_owned()),
            slop: None,
            groups: vec![
                vec![Facet::Author(UserId::new(1)), Facet::Author(UserId::new(2))],
                vec![Facet::Channel(ChannelId::new(3))],
            ],
            without: vec![Facet::By(Sender::Bot), Facet::FileName("It's\\A.txt".to_owned())],
        };
        let asked = Asked::of(&question).unwrap();
        assert_eq!(asked.words, "('hi')");
        assert_eq!(asked.facets, r"('=a1' | '=a2') & ('=c3') & !('=bybot' | '=file it''s\\a.txt')");
        assert_eq!(Asked::of(&Question { groups: vec![vec![]], ..Question::default() }), None, "nowhere to look");
        assert_eq!(Asked::of(&Question::default()), None);
    }
}
