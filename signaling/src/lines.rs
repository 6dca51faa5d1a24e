//! The lines to control planes. Each has a queue of its own; nothing here ever waits for one.

use crate::limits;
use guildhall_protocol::fleet::FromNode;
use tokio::sync::mpsc;

#[derive(Default)]
pub struct Lines {
    open: Vec<(u64, mpsc::Sender<FromNode>)>,
    last: u64,
}

impl Lines {
    /// A new line, with its first word. Its number is for [`Lines::close`].
    pub fn open(&mut self, line: mpsc::Sender<FromNode>, hello: FromNode) -> u64 {
        self.last += 1;
        if self.open.len() >= limits::LINES {
            // The oldest is the likeliest to be dead.
            self.open.remove(0);
        }
        if line.try_send(hello).is_ok() {
            self.open.push((self.last, line));
        }
        self.last
    }

    pub fn close(&mut self, number: u64) {
        self.open.retain(|(open, _)| *open != number);
    }

    /// To every control plane. One that does not take its messages any more loses its line: the next one begins with
    /// everything that it missed.
    pub fn tell(&mut self, message: FromNode) {
        self.open.retain(|(_, line)| line.try_send(message.clone()).is_ok());
    }
}

impl Lines {
    /// To one of them, if it keeps up: half of its queue stays free for what cannot wait. What it does not take comes back.
    pub fn tell_one(&mut self, number: u64, message: FromNode) -> Option<FromNode> {
        let found = self.open.iter().find(|(open, line)| *open == number && 2 * line.capacity() > line.max_capacity());
        let Some((_, line)) = found else { return Some(message) };
        line.try_send(message).err().map(|error| error.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_that_takes_nothing_loses_its_line_and_the_others_hear_on() {
        let mut lines = Lines::default();
        let (stuck, mut of_stuck) = mpsc::channel(2);
        let (quick, mut of_quick) = mpsc::channel(16);
        lines.open(stuck, FromNode::Goodbye);
        let quick = lines.open(quick, FromNode::Goodbye);
        for _ in 0..3 {
            lines.tell(FromNode::Alive);
        }
        let all = |line: &mut mpsc::Receiver<FromNode>| std::iter::from_fn(|| line.try_recv().ok()).count();
        assert_eq!((all(&mut of_stuck), all(&mut of_quick)), (2, 4));
        assert_eq!(of_stuck.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        lines.close(quick);
        assert_eq!(of_quick.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    }

    #[test]
    fn what_can_wait_takes_no_more_than_half_of_a_line() {
        let mut lines = Lines::default();
        let (line, mut other_end) = mpsc::channel(8);
        let number = lines.open(line, FromNode::Goodbye);
        let taken = (0..8).filter(|_| lines.tell_one(number, FromNode::Alive).is_none()).count();
        assert_eq!(taken, 3, "with the first word, half of it");
        assert_eq!(lines.tell_one(number + 1, FromNode::Alive), Some(FromNode::Alive), "there is no such line");
        while other_end.try_recv().is_ok() {}
        assert_eq!(lines.tell_one(number, FromNode::Alive), None);
    }
}
