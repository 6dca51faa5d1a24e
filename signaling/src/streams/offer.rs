//! The SDP of programs: what of an offer counts, the offer again with new ICE credentials, and the fragments of PATCH
//! (RFC 8840). Pure; the offer itself is read by the media engine.

use guildhall_protocol::fleet::Way;

const DIRECTIONS: [&str; 4] = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];

/// The direction that a line gives its section, with or without a value behind it, which means nothing.
fn direction(line: &str) -> Option<&str> {
    line.split(':').next().filter(|name| DIRECTIONS.contains(name))
}

/// The offer with its media in the one direction that this way is for. Programs may offer both (RFC 9725 §4.2), which means no
/// more than that they do not care.
pub fn facing(offer: &str, way: Way) -> String {
    let (own, other) = match way {
        Way::Whip => ("a=sendonly", "a=recvonly"),
        Way::Whep => ("a=recvonly", "a=sendonly"),
    };
    let mut out = String::with_capacity(offer.len() + 64);
    let mut push = |line: &str| {
        out.push_str(line);
        out.push_str("\r\n");
    };
    // Whether the present section has said nothing of its direction yet: that means both.
    let mut is_open = false;
    for line in offer.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            if std::mem::replace(&mut is_open, true) {
                push(own);
            }
            push(line);
        } else if let Some(direction) = direction(line) {
            is_open = false;
            push(match direction {
                "a=sendrecv" => own,
                _ if direction == other => "a=inactive",
                _ => direction,
            });
        } else {
            push(line);
        }
    }
    if is_open {
        push(own);
    }
    out
}

/// What a PATCH says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub ufrag: String,
    pub password: String,
}

impl Fragment {
    /// `None`: the credentials are missing. Candidates are passed over: this side only answers checks, and learns from them
    /// where the client is (ICE-lite, RFC 8445 §2.5).
    pub fn parse(text: &str) -> Option<Self> {
        let find = |name: &str| text.lines().find_map(|line| line.trim_end().strip_prefix(name)).map(str::to_owned);
        Some(Self { ufrag: find("a=ice-ufrag:")?, password: find("a=ice-pwd:")? })
    }

    /// An offer's own.
    pub fn is_of(&self, offer: &str) -> bool {
        Self::parse(offer).is_some_and(|own| own == *self)
    }

    /// The same offer with these credentials.
    pub fn put_into(&self, offer: &str) -> String {
        let line = |line: &str| match line.split_once(':') {
            Some(("a=ice-ufrag", _)) => format!("a=ice-ufrag:{}\r\n", self.ufrag),
            Some(("a=ice-pwd", _)) => format!("a=ice-pwd:{}\r\n", self.password),
            _ => format!("{line}\r\n"),
        };
        offer.lines().map(str::trim_end).map(line).collect()
    }
}

/// What of an answer a client needs after an ICE restart: our credentials and where we are, in the first section.
pub fn fragment_of(answer: &str) -> String {
    let wanted = ["a=mid:", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:", "a=end-of-candidates"];
    let (mut out, mut sections) = (String::from("a=ice-lite\r\n"), 0);
    for line in answer.lines() {
        sections += usize::from(line.starts_with("m="));
        let is_kept = line.starts_with("a=group:") || line.starts_with("m=") || wanted.iter().any(|name| line.starts_with(name));
        if sections < 2 && is_kept {
            out.push_str(line);
            out.push_str("\r\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_flows_one_way_only() {
        let offer = "v=0\na=group:BUNDLE 0 1 2 3\nm=audio 9\na=sendrecv\nm=video 9\na=mid:1\nm=video 9\na=recvonly\nm=video 9\na=sendonly\n";
        let directions = |way| {
            let faced = facing(offer, way);
            let of =
                |section: &str| section.lines().filter(|line| DIRECTIONS.contains(line)).map(str::to_owned).collect::<Vec<_>>();
            faced.split("m=").skip(1).map(|section| of(section).join("+")).collect::<Vec<_>>()
        };
        assert_eq!(directions(Way::Whip), ["a=sendonly", "a=sendonly", "a=inactive", "a=sendonly"]);
        assert_eq!(directions(Way::Whep), ["a=recvonly", "a=recvonly", "a=recvonly", "a=inactive"]);
    }

    #[test]
    fn a_fragment_is_told_from_the_offer_and_put_into_it() {
        let offer = "v=0\r\nm=audio 9\r\na=ice-ufrag:old1\r\na=ice-pwd:secret\r\na=mid:0\r\n";
        let own = Fragment::parse(offer).expect("both are there");
        let other = Fragment::parse("a=ice-ufrag:new1\na=ice-pwd:changed\na=candidate:1 1 udp 1 ::1 9 typ host\n").expect("both");
        assert!(own.is_of(offer) && !other.is_of(offer));
        assert_eq!(other.put_into(offer), "v=0\r\nm=audio 9\r\na=ice-ufrag:new1\r\na=ice-pwd:changed\r\na=mid:0\r\n");
        assert_eq!(Fragment::parse("a=ice-ufrag:only\r\n"), None);
    }

    #[test]
    fn a_restart_is_answered_with_the_first_sections_transport() {
        let section = "m=audio 9 X 1\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=candidate:1\r\na=rtpmap:1 opus/48000/2\r\n";
        let answer = format!("v=0\r\na=group:BUNDLE 0 1\r\na=ice-lite\r\n{section}a=mid:0\r\n{section}a=mid:1\r\n");
        let expected =
            "a=ice-lite\r\na=group:BUNDLE 0 1\r\nm=audio 9 X 1\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=candidate:1\r\na=mid:0\r\n";
        assert_eq!(fragment_of(&answer), expected);
    }
}
