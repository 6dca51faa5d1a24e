//! What the index knows of a message, and how a question is put to it. Pure text; nothing here touches the database.
//!
//! A message has two columns: its *words*, and its *facets*: one token for each thing that a filter may ask about. A question
//! becomes one FTS5 expression over both. What people typed stands in it only as quoted strings.

use guildhall_protocol::{ChannelId, MessageId, RoleId, UserId};

/// Links and files of one message that the index knows by name.
const NAMES: usize = 10;

/// Something about a message that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Facet {
    Channel(ChannelId),
    /// The channel whose permissions decide who may see the message: a public thread's parent, else its own.
    SeenWith(ChannelId),
    Author(UserId),
    By(Sender),
    Mentions(UserId),
    MentionsRole(RoleId),
    MentionsEveryone,
    RepliesToUser(UserId),
    RepliesTo(MessageId),
    Has(Thing),
    Pinned,
    LinkHost(String),
    EmbedProvider(String),
    EmbedType(String),
    FileName(String),
    FileExtension(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Person,
    Bot,
    Webhook,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    Link,
    Embed,
    File,
    Image,
    Video,
    Sound,
    Sticker,
    Poll,
    Snapshot,
}

impl Facet {
    /// The token, or several that stand in this order: names are framed, so that only the whole name is found.
    pub fn token(&self) -> String {
        let framed = |kind: &str, name: &str| format!("{kind}begin {} {kind}end", bare(name));
        match self {
            Self::Channel(id) => format!("c{id}"),
            Self::SeenWith(id) => format!("s{id}"),
            Self::Author(id) => format!("a{id}"),
            Self::By(Sender::Person) => "byperson".to_owned(),
            Self::By(Sender::Bot) => "bybot".to_owned(),
            Self::By(Sender::Webhook) => "bywebhook".to_owned(),
            Self::Mentions(id) => format!("m{id}"),
            Self::MentionsRole(id) => format!("r{id}"),
            Self::MentionsEveryone => "everyone".to_owned(),
            Self::RepliesToUser(id) => format!("ra{id}"),
            Self::RepliesTo(id) => format!("rm{id}"),
            Self::Has(Thing::Link) => "haslink".to_owned(),
            Self::Has(Thing::Embed) => "hasembed".to_owned(),
            Self::Has(Thing::File) => "hasfile".to_owned(),
            Self::Has(Thing::Image) => "hasimage".to_owned(),
            Self::Has(Thing::Video) => "hasvideo".to_owned(),
            Self::Has(Thing::Sound) => "hassound".to_owned(),
            Self::Has(Thing::Sticker) => "hassticker".to_owned(),
            Self::Has(Thing::Poll) => "haspoll".to_owned(),
            Self::Has(Thing::Snapshot) => "hassnapshot".to_owned(),
            Self::Pinned => "pinned".to_owned(),
            Self::LinkHost(name) => framed("host", name),
            Self::EmbedProvider(name) => framed("provider", name),
            Self::EmbedType(name) => framed("type", name),
            Self::FileName(name) => framed("file", name),
            Self::FileExtension(name) => framed("extension", name),
        }
    }

    pub fn thing(content_type: &str) -> Option<Thing> {
        match content_type.split('/').next() {
            Some("image") => Some(Thing::Image),
            Some("video") => Some(Thing::Video),
            Some("audio") => Some(Thing::Sound),
            _ => None,
        }
    }
}

/// A text as the index takes it: without characters that end or open a string, and with space around every character of a
/// script that writes none between words, so that a part of such a sentence is found.
pub fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\0' | '"' => bare.push(' '),
            // Hiragana and Katakana, then the ideographs of the first planes.
            '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}' => {
                bare.extend([' ', character, ' ']);
            }
            _ => bare.push(character),
        }
    }
    bare
}

/// The names of the hosts that a text links to. Also says whether there is a link at all: an empty list is none.
pub fn link_hosts(text: &str) -> Vec<String> {
    let mut hosts = Vec::new();
    for (at, _) in text.match_indices("://") {
        let scheme = text[..at].to_ascii_lowercase();
        if !(scheme.ends_with("http") || scheme.ends_with("https")) {
            continue;
        }
        let host = text[at + 3..].split(|c: char| c.is_whitespace() || "/?#:<>()[]\"'`|*".contains(c)).next().unwrap_or_default();
        if !host.is_empty() && hosts.len() < NAMES {
            hosts.push(host.to_lowercase());
        }
    }
    hosts
}

/// A question: every group must be met by one of its facets, nothing of `without` may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// As someone typed it: all words must be there, a part in double quotes as it stands.
    pub text: Option<String>,
    /// How many other words may stand between the words; `None`: any number, in any order.
    pub slop: Option<u8>,
    pub groups: Vec<Vec<Facet>>,
    pub without: Vec<Facet>,
}

impl Question {
    /// The FTS5 expression. `None`: nothing can match it.
    pub fn expression(&self) -> Option<String> {
        let mut all = Vec::new();
        if let Some(text) = &self.text {
            let words = words(text)?;
            all.push(match self.slop {
                Some(slop) => format!("words : NEAR({words}, {slop})"),
                None => format!("words : ({words})"),
            });
        }
        for group in &self.groups {
            let any: Vec<String> = group.iter().map(|facet| quoted(&facet.token())).collect();
            if any.is_empty() {
                return None;
            }
            all.push(format!("facets : ({})", any.join(" OR ")));
        }
        if all.is_empty() {
            return None;
        }
        let mut expression = all.join(" AND ");
        if !self.without.is_empty() {
            let none: Vec<String> = self.without.iter().map(|facet| quoted(&facet.token())).collect();
            expression = format!("({expression}) NOT (facets : ({}))", none.join(" OR "));
        }
        Some(expression)
    }
}

/// A string of the expression. [`bare`] took out the only character that could end it.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// The typed text as strings side by side, which FTS5 reads as "all of them". `None`: there is no word in it.
fn words(text: &str) -> Option<String> {
    let strings: Vec<String> = typed_parts(text).into_iter().map(|part| quoted(&bare(part))).collect();
    (!strings.is_empty()).then(|| strings.join(" "))
}

/// The parts that must all be found: what stands between quotes, else each word. A quote that nobody closes counts as closed at
/// the end; what has no letter and no digit is left out.
pub fn typed_parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    // Between quotes are the odd parts.
    for (index, part) in text.split('"').enumerate() {
        if index % 2 == 1 { parts.push(part) } else { parts.extend(part.split_whitespace()) }
    }
    parts.retain(|part| part.chars().any(char::is_alphanumeric));
    parts
}

#[cfg(test)]
mod tests {
    use super::{Facet, Question, Sender, bare, link_hosts, words};
    use guildhall_protocol::{ChannelId, UserId};

    #[test]
    fn typed_words_become_strings() {
        for (typed, expected) in [
            ("hello", Some(r#""hello""#)),
            ("  Hello,   world ", Some(r#""Hello," "world""#)),
            ("no", Some(r#""no""#)),
            (r#""as it stands" or so"#, Some(r#""as it stands" "or" "so""#)),
            (r#"ends "in a phrase""#, Some(r#""ends" "in a phrase""#)),
            (r#"open "phrase here"#, Some(r#""open" "phrase here""#)),
            ("東京 tower", Some(r#"" 東  京 " "tower""#)),
            ("a OR b NOT c*", Some(r#""a" "OR" "b" "NOT" "c*""#)),
            ("words : (x", Some(r#""words" "(x""#)),
            ("nul\0byte", Some(r#""nul byte""#)),
            ("!!! \u{1f600}", None),
            (r#""" """#, None),
            ("", None),
        ] {
            assert_eq!(words(typed).as_deref(), expected, "{typed:?}");
        }
        assert_eq!(bare("a\"b\0c"), "a b c");
    }

    #[test]
    fn a_question_is_one_expression() {
        let (a, b, c) = (UserId::new(1), UserId::new(2), ChannelId::new(3));
        let question = Question {
            text: Some("hi".to_owned()),
            slop: None,
            groups: vec![vec![Facet::Author(a), Facet::Author(b)], vec![Facet::Channel(c)]],
            without: vec![Facet::By(Sender::Bot), Facet::Pinned],
        };
        let expected = r#"(words : ("hi") AND facets : ("a1" OR "a2") AND facets : ("c3")) NOT (facets : ("bybot" OR "pinned"))"#;
        assert_eq!(question.expression().as_deref(), Some(expected));
        assert_eq!(Question { groups: vec![vec![]], ..Question::default() }.expression(), None, "nowhere to look");
        let near = Question { text: Some("a b".to_owned()), slop: Some(2), ..Question::default() };
        assert_eq!(near.expression().as_deref(), Some(r#"words : NEAR("a" "b", 2)"#));
        assert_eq!(Question { text: Some("?".to_owned()), ..question }.expression(), None);
        assert_eq!(Facet::LinkHost("a\"b.example".to_owned()).token(), "hostbegin a b.example hostend");
    }

    #[test]
    fn links_are_found_by_their_host() {
        let text = "see https://Example.org/x?y, <http://b.example:80> (https://c.example) ftp://d.example HTTP://e.example";
        assert_eq!(link_hosts(text), ["example.org", "b.example", "c.example", "e.example"]);
        assert_eq!(link_hosts("http:// :// nothing"), Vec::<String>::new());
        assert_eq!(link_hosts(&"https://a.b ".repeat(50)).len(), super::NAMES);
    }
}
