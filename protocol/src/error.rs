//! The numbered errors of the REST API: code, HTTP status and message.
//!
//! Client libraries branch on the number (and on the status), people read the message. A code appears here when some
//! handler returns it.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $message:literal;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// Every code, for tests and documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The number in the body.
            pub const fn number(self) -> u32 {
                match self { $(Self::$name => $code,)* }
            }
            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }
        }
    };
}

codes! {
    /// No such route; also any object for which no more precise code exists.
    NotFound = 0, 404, "404: Not Found";
    MethodNotAllowed = 0, 405, "405: Method Not Allowed";
    /// No token, or one that is unknown or revoked.
    Unauthorized = 0, 401, "401: Unauthorized";
    Internal = 0, 500, "500: Internal Server Error";
    /// The writer's queue is full or the disk refuses a commit: nothing was stored, a retry is safe.
    Unavailable = 0, 503, "503: Service Unavailable";

    UnknownStreamKey = 0, 404, "Unknown Stream Key";
    UnknownRecording = 0, 404, "Unknown Recording";
    /// Whoever runs this server wants no recordings.
    RecordingIsOff = 0, 403, "Recording is switched off on this server";
    NobodyToRecord = 0, 409, "Nobody is in the voice channel";
    AlreadyRecorded = 0, 409, "The voice channel is being recorded";
    StillRecording = 0, 409, "Stop the recording first";
    TooManyRecordings = 0, 400, "Maximum number of recordings at a time reached (3)";
    TooManyStreamKeys = 0, 400, "Maximum number of stream keys reached (25)";

    UnknownApplication = 10002, 404, "Unknown Application";
    UnknownChannel = 10003, 404, "Unknown Channel";
    UnknownGuild = 10004, 404, "Unknown Guild";
    UnknownInvite = 10006, 404, "Unknown Invite";
    UnknownMember = 10007, 404, "Unknown Member";
    UnknownMessage = 10008, 404, "Unknown Message";
    UnknownOverwrite = 10009, 404, "Unknown Permission Overwrite";
    UnknownRole = 10011, 404, "Unknown Role";
    UnknownUser = 10013, 404, "Unknown User";
    UnknownEmoji = 10014, 404, "Unknown Emoji";
    UnknownWebhook = 10015, 404, "Unknown Webhook";
    UnknownBan = 10026, 404, "Unknown Ban";
    UnknownTag = 10087, 404, "Unknown tag";
    UnknownVoiceState = 10065, 404, "Unknown Voice State";
    /// Also: it was not answered in time, or its token has expired.
    UnknownInteraction = 10062, 404, "Unknown interaction";
    UnknownCommand = 10063, 404, "Unknown application command";
    UnknownCommandPermissions = 10066, 404, "Unknown application command permissions";

    BotsOnly = 20002, 403, "Only bots can use this endpoint";
    PeopleOnly = 20001, 403, "Bots cannot use this endpoint";
    NotYourApplication = 20012, 403, "You are not authorized to perform this action on this application";
    SlowMode = 20016, 429, "This action cannot be performed due to slowmode rate limit";

    TooManyGuilds = 30001, 400, "Maximum number of guilds reached (100)";
    TooManyPins = 30003, 400, "Maximum number of pins reached for the channel (250)";
    TooManyFriends = 30002, 400, "Maximum number of friends reached (1000)";
    TooManyRecipients = 30004, 400, "Maximum number of recipients reached (100)";
    TooManyRoles = 30005, 400, "Maximum number of guild roles reached (250)";
    TooManyWebhooks = 30007, 400, "Maximum number of webhooks reached (15)";
    TooManyEmojis = 30008, 400, "Maximum number of emojis reached (50)";
    TooManyReactions = 30010, 400, "Maximum number of reactions reached (20)";
    TooManyChannels = 30013, 400, "Maximum number of guild channels reached (500)";
    TooManyAttachments = 30015, 400, "Maximum number of attachments in a message reached (10)";
    TooManyAnimatedEmojis = 30018, 400, "Maximum number of animated emojis reached (50)";
    TooManyInvites = 30016, 400, "Maximum number of invites reached (1000)";
    TooManyCommands = 30032, 400, "Maximum number of application commands reached (100)";
    TooManyCommandCreates = 30034, 429, "Maximum number of daily application command creates reached (200)";
    TooManyThreadMembers = 30033, 400, "Maximum number of thread participants reached (1000)";
    TooManyPinnedPosts = 30047, 400, "Maximum number of pinned threads in a forum channel has been reached";
    TooManyOverwrites = 30060, 400, "Maximum number of channel permission overwrites reached (1000)";
    TooManyApplications = 30090, 400, "Maximum number of applications reached (50)";

    RequestTooLarge = 40005, 413, "Request entity too large. Try sending something smaller in size";
    UserIsBanned = 40007, 403, "The user is banned from this guild";
    OwnsGuilds = 40011, 400, "You must transfer ownership of any owned guilds before deleting your account";
    NotConnectedToVoice = 40032, 400, "Target user is not connected to voice.";
    TagNamesNotUnique = 40061, 400, "Tag names must be unique";
    /// A forum whose posts need a tag needs one that everyone may use.
    NoTagForEveryone = 40066, 400, "There are no tags available that can be set by non-moderators";
    TagRequired = 40067, 400, "A tag is required to create a forum post in this channel";
    InteractionAnswered = 40060, 400, "Interaction has already been acknowledged.";

    MissingAccess = 50001, 403, "Missing Access";
    /// An action that needs a guild.
    NotInDms = 50003, 403, "Cannot execute action on a DM channel";
    CannotEditOthersMessage = 50005, 403, "Cannot edit a message authored by another user";
    EmptyMessage = 50006, 400, "Cannot send an empty message";
    CannotMessageUser = 50007, 403, "Cannot send messages to this user";
    NotATextChannel = 50008, 400, "Cannot send messages in a non-text channel";
    MissingPermissions = 50013, 403, "You lack permissions to perform that action";
    BulkDeleteCount = 50016, 400, "Provided too few or too many messages to delete. Must provide at least 2 and at most 100 messages to delete";
    SystemMessage = 50021, 403, "Cannot execute action on a system message";
    WrongChannelType = 50024, 400, "Cannot execute action on this channel type";
    InvalidOauthToken = 50025, 403, "Invalid OAuth2 access token provided";
    InvalidWebhookToken = 50027, 401, "Invalid Webhook Token";
    InvalidRole = 50028, 400, "Invalid Role";
    InvalidRecipients = 50033, 400, "Invalid Recipient(s)";
    TooOldToBulkDelete = 50034, 400, "A message provided was too old to bulk delete";
    InvalidForm = 50035, 400, "Invalid Form Body";
    InvalidApiVersion = 50041, 400, "Invalid API version provided";
    FileTooLarge = 50045, 413, "File uploaded exceeds the maximum size";
    InvalidFile = 50046, 400, "Invalid file uploaded";
    OwnerCannotLeave = 50055, 400, "Invalid Guild";
    ArchivedThread = 50083, 400, "Thread is archived";
    VoiceMessageWithMore = 50159, 400, "Voice messages do not support additional content.";
    VoiceMessageWithoutSound = 50160, 400, "Voice messages must have a single audio attachment.";
    VoiceMessageWithoutMetadata = 50161, 400, "Voice messages must have supporting metadata.";
    CannotEditVoiceMessage = 50162, 400, "Voice messages cannot be edited.";
    InvalidJson = 50109, 400, "The request body contains invalid JSON.";

    FriendRequestRefused = 80001, 403, "Friend request blocked";
    BotsHaveNoFriends = 80002, 400, "Bots cannot have friends";
    NoFriendOfOneself = 80003, 400, "Cannot send friend request to self";
    NobodyOfThatName = 80004, 400, "No users with that username exist";
    AlreadyFriends = 80007, 400, "You are already friends with that user";
    /// By somebody whom the message's author has blocked.
    ReactionBlocked = 90001, 403, "Reaction was blocked";
    ReplyNeedsHistory = 160002, 400, "Cannot reply without permission to read message history";

    ForwardWithMore = 160011, 400, "Forward messages cannot have additional content";
    FailedToBan = 500000, 400, "Failed to ban users";
    WebhookNeedsThread = 220001, 400, "Webhooks posted to forum channels must have a thread_name or thread_id";
    WebhookWithTwoThreads = 220002, 400, "Webhooks posted to forum channels cannot have both a thread_name and thread_id";
    WebhookThreadsInForums = 220003, 400, "Webhooks can only create threads in forum channels";
    ThreadExists = 160004, 400, "A thread has already been created for this message";
    ThreadLocked = 160005, 400, "Thread is locked";
    TooManyThreads = 160006, 400, "Maximum number of active threads reached";
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn statuses_are_errors_and_numbered_codes_are_unique() {
        let mut seen = std::collections::HashSet::new();
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&code.status()), "{code:?}");
            assert!(!code.message().is_empty());
            assert!(code.number() == 0 || seen.insert(code.number()), "{code:?} is numbered twice");
        }
    }
}
