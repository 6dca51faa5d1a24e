//! Every number that bounds signaling, with its reason.

use std::time::Duration;

/// What op 8 asks for. Short enough that a vanished client frees its seat soon, long enough to cost nothing.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(13_750);

/// Silence after which a socket is given up: two missed heartbeats and a slow network.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(2 * 13_750 + 7_500);

/// A socket that has not identified by then is closed; nothing else frees what it holds.
pub const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a participant whose socket broke keeps its seat, keys and media while it may resume.
pub const RESUME_WINDOW: Duration = Duration::from_secs(30);

/// Client frames per [`RATE_WINDOW`]; a push-to-talk user sends a few per second. Beyond: close 4021.
pub const FRAMES_PER_WINDOW: u32 = 600;
pub const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Replayable messages kept for a resume. In a full room of 99 everyone may start and stop speaking once. Beyond: the oldest
/// is forgotten, and a resume that needs it is refused with 4006.
pub const REPLAY_MESSAGES: usize = 256;

/// Slots whose speaker a WebRTC listener is told about; an offer with more receiving sections gets no names for the rest.
pub const SLOTS: usize = 64;

/// The largest client frame: a browser's full SDP offer with many sections is some 20 KiB. Beyond: the socket closes.
pub const FRAME_BYTES: usize = 64 * 1024;

/// The longest offer of a program: as much as a browser's on a voice socket. Beyond: 413.
pub const OFFER_BYTES: usize = 64 * 1024;

/// The longest fragment of a PATCH: credentials and a few dozen candidates. Beyond: 413.
pub const FRAGMENT_BYTES: usize = 16 * 1024;

/// Requests that wait for one program's session, which answers them one after another. Beyond: they wait for a place.
pub const STREAM_ERRANDS: usize = 4;

/// Read and write buffers of a socket. The WebSocket library's default of 128 KiB each would be most of a peer's memory.
pub const SOCKET_BUFFER_BYTES: usize = 2 * 1024;

/// Frames waiting for a socket that does not read, and beside them those of one event. Beyond: at the next event the socket is
/// dropped, and the client may resume.
pub const OUTGOING_FRAMES: usize = 256;

/// Notes waiting for a session's task. Beyond: the session is evicted with 4015, because it missed what it must know.
pub const MAILBOX_NOTES: usize = 256;

/// Events from the media engine waiting for a session's task; the engine gives a peer up when it is full.
pub const PEER_EVENTS: usize = 64;

/// Voice sockets of this node, identified or not, and programs. Beyond: the upgrade, or the offer, is answered 503.
pub const SOCKETS: usize = 20_000;

/// Used tokens remembered until they expire (a minute): a thousand joins per second. Beyond: 4021.
pub const USED_TOKENS: usize = 65_536;

/// Participants disconnected within the last token lifetime, whose unused tokens are void. Beyond: the oldest are forgotten
/// early; the control plane's answer to the join still refuses them.
pub const VOIDED_PARTICIPANTS: usize = 65_536;

/// The media engine answers in microseconds; this bounds a worker that hangs.
pub const ENGINE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a closing socket may take to deliver its close frame.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the socket of somebody who was moved or put out, and whose media has ended, waits for the client to close it.
pub const DISCONNECT_PAUSE: Duration = Duration::from_millis(250);

/// Lines to control planes. Beyond: the oldest is cut off.
pub const LINES: usize = 32;

/// Keys that voice tokens are signed with: one for each control plane at worst. Beyond: the oldest is forgotten.
pub const VOICE_KEYS: usize = LINES;

/// Messages to one control plane that wait to be taken: seconds of the busiest node. Beyond: the line is cut.
pub const LINE_QUEUE: usize = 4_096;

/// How long a room stays this node's after the last has left, or after it was opened and nobody came: a token may wait for a
/// minute, and people who come back soon find the room where it was.
pub const VACANCY: Duration = Duration::from_secs(90);
