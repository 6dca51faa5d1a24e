//! IP discovery: how a native voice client learns which address of its own the media node sees.
//!
//! Question and answer are one form, all in network byte order: kind (2 bytes), length of what follows (2), SSRC (4), an
//! address as text that zeros fill up (64), a port (2).

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// Bytes of the question and of the answer.
pub const LEN: usize = 74;
/// What the length field says: all that follows it.
const REST: u16 = LEN as u16 - 4;
const QUESTION: u16 = 1;
const ANSWER: u16 = 2;
const ADDRESS: Range<usize> = 8..72;

/// Asks for the sender's address, as the peer with this SSRC.
pub fn question(ssrc: u32) -> [u8; LEN] {
    let mut question = [0; LEN];
    question[..2].copy_from_slice(&QUESTION.to_be_bytes());
    question[2..4].copy_from_slice(&REST.to_be_bytes());
    question[4..8].copy_from_slice(&ssrc.to_be_bytes());
    question
}

/// The address in an answer to this SSRC's question; `None` for any other datagram.
pub fn read_answer(datagram: &[u8], ssrc: u32) -> Option<SocketAddr> {
    let datagram: &[u8; LEN] = datagram.try_into().ok()?;
    let word = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
    if word(0) != ANSWER || word(2) != REST || datagram[4..8] != ssrc.to_be_bytes() {
        return None;
    }
    let text = datagram[ADDRESS].split(|byte| *byte == 0).next()?;
    let ip: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(SocketAddr::new(ip, word(ADDRESS.end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_the_ssrc_and_nothing_else() {
        let question = question(9);
        assert_eq!((&question[..8], &question[8..]), (&[0, 1, 0, 70, 0, 0, 0, 9][..], &[0; 66][..]));
    }

    #[test]
    fn only_a_complete_answer_to_our_question_is_believed() {
        let mut answer = [0; LEN];
        answer[..8].copy_from_slice(&[0, 2, 0, 70, 0, 0, 0, 9]);
        answer[8..17].copy_from_slice(b"127.0.0.1");
        answer[72..].copy_from_slice(&4242u16.to_be_bytes());
        assert_eq!(read_answer(&answer, 9), Some(SocketAddr::from(([127, 0, 0, 1], 4242))));
        assert_eq!(read_answer(&answer, 8), None, "another SSRC");
        assert_eq!(read_answer(&answer[..73], 9), None, "cut off");
        for (at, what) in [(1, "a question"), (3, "another length")] {
            let mut other = answer;
            other[at] -= 1;
            assert_eq!(read_answer(&other, 9), None, "{what}");
        }
    }
}
