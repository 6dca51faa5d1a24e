//! The gateway's session machine, driven as its shell drives it.

use crate::gateway::session::{Account, IDENTIFY_TIMEOUT, Input, MAX_FRAMES, Output, Refusal, Session};
use guildhall_protocol::gateway::{CloseCode, MAX_CLIENT_FRAME, PresenceUpdate, RequestMembers, WantedMembers};
use std::time::{Duration, Instant};

const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(41_250);

/// A connection's life: the first byte says how those who identify are answered, then each line is a frame, or, if it is a
/// short number, so many milliseconds in which nothing is said.
pub fn gateway_session(data: &[u8]) {
    let Some((answers, script)) = data.split_first() else { return };
    let mut connection = Connection::new(*answers);
    for line in script.split(|byte| *byte == b'\n') {
        match std::str::from_utf8(line).ok().filter(|text| text.len() <= 6).and_then(|text| text.parse().ok()) {
            Some(ms) => connection.wait(Duration::from_millis(ms)),
            None => connection.give(Input::Frame(line)),
        }
    }
    // Who never says anything again is gone after a while.
    for _ in 0..3 {
        connection.wait(IDENTIFY_TIMEOUT.max(2 * HEARTBEAT_INTERVAL));
    }
    assert!(connection.is_closed, "a silent client keeps its socket");
}

struct Connection {
    session: Session,
    now: Instant,
    answers: u8,
    is_closed: bool,
    /// Since the last time that the machine could forget.
    frames: u32,
}

impl Connection {
    fn new(answers: u8) -> Self {
        let (now, mut out) = (Instant::now(), Vec::new());
        let session = Session::new(now, HEARTBEAT_INTERVAL, &mut out);
        let mut connection = Self { session, now, answers, is_closed: false, frames: 0 };
        connection.check(out, 0);
        connection
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        if time >= crate::gateway::session::FRAME_WINDOW {
            self.frames = 0;
        }
        let mut timeouts = 0;
        while let Some(deadline) = self.session.next_timeout().filter(|deadline| *deadline <= end) {
            self.now = deadline;
            self.give(Input::Timeout);
            timeouts += 1;
            assert!(timeouts <= 2, "a heartbeat is asked for once, and then it is over");
        }
        self.now = end;
    }

    fn give(&mut self, input: Input) {
        let length = if let Input::Frame(frame) = &input { frame.len() } else { 0 };
        let is_frame = matches!(input, Input::Frame(_));
        let mut out = Vec::new();
        self.session.handle(self.now, input, &mut out);
        if self.is_closed {
            assert_eq!(out, [], "nothing follows a close");
            return;
        }
        self.frames += u32::from(is_frame);
        let is_over = self.frames > 2 * MAX_FRAMES || length > MAX_CLIENT_FRAME;
        assert!(!is_over || matches!(out[..], [Output::Close(_)]), "too much is refused");
        self.check(out, length);
    }

    /// What the machine asks for is bounded by what it was sent; the outcome of what it waits for comes at once.
    fn check(&mut self, out: Vec<Output>, length: usize) {
        assert!(out.len() <= 2, "{out:?}");
        assert_eq!(self.session.next_timeout().is_none(), out.iter().any(|output| matches!(output, Output::Close(_))));
        for output in out {
            match output {
                Output::Send(frame) => {
                    let frame: serde_json::Value = serde_json::from_str(&frame).expect("we send JSON");
                    assert!(frame["op"].is_u64());
                }
                Output::Identify(identify) => {
                    assert!(identify.shard.is_valid() && (50..=250).contains(&identify.large_threshold));
                    identify.presence.iter().for_each(|presence| check_presence(presence, length));
                    let answer = self.next_answer();
                    self.give(Input::Identified(answer));
                }
                Output::Resume(resume) => {
                    assert!(resume.token.len() + resume.session_id.len() <= length);
                    let answer = self.next_answer();
                    self.give(Input::Resumed(answer));
                }
                Output::Presence(presence) => check_presence(&presence, length),
                Output::RequestMembers(request) => {
                    assert!(request.nonce.is_none_or(|nonce| nonce.len() <= 32));
                    match request.wanted {
                        WantedMembers::Ids(ids) => assert!(ids.len() <= RequestMembers::MAX_IDS),
                        WantedMembers::Query { query, .. } => assert!(query.len() <= length),
                    }
                }
                Output::Subscribe(guilds) => {
                    assert!(guilds.len() <= length);
                    for (first, last) in
                        guilds.iter().flat_map(|guild| guild.channels.iter().flatten()).flat_map(|(_, lines)| lines)
                    {
                        assert!(last - first < 100);
                    }
                }
                Output::Voice(_) | Output::Acknowledge(_) => {}
                Output::Close(_) => self.is_closed = true,
            }
        }
    }

    /// One of the answers for each two bits of the byte, then the first again.
    fn next_answer(&mut self) -> Result<Account, Refusal> {
        let answer = self.answers & 3;
        self.answers = self.answers.rotate_right(2);
        match answer {
            0 => Ok(Account { is_bot: true }),
            1 => Ok(Account { is_bot: false }),
            2 => Err(Refusal::Invalid),
            _ => Err(Refusal::Close(CloseCode::AuthenticationFailed)),
        }
    }
}

fn check_presence(presence: &PresenceUpdate, length: usize) {
    assert!(presence.activities.len() <= PresenceUpdate::MAX_ACTIVITIES);
    let size: usize = presence.activities.iter().map(|activity| activity.to_string().len()).sum();
    // A control character that came escaped, or a number that came short, is written in at most six times its length.
    assert!(size <= 6 * length, "{size} of {length}");
}
