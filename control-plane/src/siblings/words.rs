//! What control planes say to each other, as JSON. A word that a newer version says and this one does not know is passed over.

pub use crate::presence::Shown;
use guildhall_protocol::model::{User, VoiceState};
use guildhall_protocol::{ChannelId, GuildId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;

/// A process: a random number that no restart repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Name(pub u64);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub from: Name,
    /// Of the issuer key, which outlives the process.
    pub issuer: u64,
    /// Counts messages.
    pub number: u64,
    /// None: a beat.
    pub words: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "d", rename_all = "snake_case")]
pub enum Word {
    /// Everything follows; what is not repeated before `Whole` is no more.
    Anew,
    Whole,
    /// Wants to hear everything, of one or of all.
    Ask {
        of: Option<Name>,
    },
    /// A person has a session here, and shows this by all their sessions here.
    Here {
        user: Box<User>,
        shown: Shown,
    },
    /// Something else from now on.
    Shows {
        user_id: UserId,
        shown: Shown,
    },
    /// A person has no session here any more.
    Gone {
        user_id: UserId,
    },
    /// Somebody whose session is here is connected to voice; [`super::Claim`].
    Voice {
        state: Box<VoiceState>,
        number: u64,
        is_bot: bool,
    },
    Left {
        guild_id: GuildId,
        user_id: UserId,
    },
    /// In a private channel: with those who are in it.
    Typing {
        guild_id: Option<GuildId>,
        channel_id: ChannelId,
        user_id: UserId,
        recipients: Vec<UserId>,
    },
    /// A dispatch for an account's sessions, wherever they are; `d` is JSON.
    Direct {
        user_id: UserId,
        guild_id: Option<GuildId>,
        name: String,
        d: String,
    },
    /// Asks for something that only the owner of a voice state can do. It is answered with `Done`.
    Please {
        to: Name,
        number: u64,
        wish: Wish,
    },
    Done {
        to: Name,
        number: u64,
        is_done: bool,
    },
}

/// What is to be done to somebody who is connected to voice. Whoever asks has authorized it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    pub guild_id: GuildId,
    pub user_id: UserId,
    pub deed: Deed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// `None`: out of voice.
    Move(Option<ChannelId>),
    Stage(StageChange),
}

/// On a stage: who speaks and who would like to. `None` changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageChange {
    pub suppress: Option<bool>,
    /// `Some(None)`: the request is taken back.
    #[serde(default, with = "twice")]
    pub request_to_speak: Option<Option<String>>,
}

impl StageChange {
    pub fn apply(self, state: &mut VoiceState) {
        state.suppress = self.suppress.unwrap_or(state.suppress);
        if let Some(request) = self.request_to_speak {
            state.request_to_speak_timestamp = request;
        }
    }
}

/// JSON has one `null` for two kinds of nothing, so the outer one is an empty list.
mod twice {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<Option<String>>, to: S) -> Result<S::Ok, S::Error> {
        value.iter().collect::<Vec<_>>().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
        Ok(Vec::<Option<String>>::deserialize(from)?.pop())
    }
}

#[derive(Serialize)]
struct Spoken<'a> {
    from: Name,
    issuer: u64,
    number: u64,
    words: &'a [Word],
}

#[derive(Deserialize)]
struct Heard<'a> {
    from: Name,
    issuer: u64,
    number: u64,
    #[serde(borrow)]
    words: Vec<&'a RawValue>,
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let Self { from, issuer, number, words } = self;
        let spoken = Spoken { from: *from, issuer: *issuer, number: *number, words };
        serde_json::to_vec(&spoken).expect("its keys are strings")
    }

    /// `None`: not what a control plane says. `own` name: our own words are not read.
    pub fn decode(payload: &[u8], own: Name) -> Option<Self> {
        let Heard { from, issuer, number, words } = serde_json::from_slice(payload).ok()?;
        if from == own {
            return None;
        }
        let words = words.into_iter().filter_map(|word| serde_json::from_str(word.get()).ok()).collect();
        Some(Self { from, issuer, number, words })
    }
}
