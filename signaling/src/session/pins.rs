//! Whom a WebRTC client hears whoever else talks: those it names by an opcode of our own, and those it shows large.

use super::{Output, Session, Transport};
use crate::rooms::Occupant;
use guildhall_protocol::UserId;
use guildhall_protocol::voice_gateway::Pins as Named;

#[derive(Default)]
pub(super) struct Pins {
    named: Vec<UserId>,
    /// What the media engine was told.
    told: Vec<UserId>,
}

impl Session {
    /// The client names them, in place of those it named before.
    pub(super) fn pin(&mut self, named: Named, out: &mut Vec<Output>) {
        if self.transport == Some(Transport::WebRtc) {
            self.pins.named = named.user_ids.into_iter().map(UserId).take(guildhall_sfu::MAX_PINS).collect();
            self.tell_pins(out);
        }
    }

    /// Tells the media engine if they are others than before: the first [`guildhall_sfu::MAX_PINS`] of them.
    pub(super) fn tell_pins(&mut self, out: &mut Vec<Output>) {
        let mut pinned = self.pins.named.clone();
        pinned.extend(self.videos.focused());
        let mut all = Vec::with_capacity(guildhall_sfu::MAX_PINS);
        for user in pinned {
            if !all.contains(&user) && all.len() < guildhall_sfu::MAX_PINS {
                all.push(user);
            }
        }
        if all != self.pins.told {
            self.pins.told.clone_from(&all);
            out.push(Output::Pin(all));
        }
    }

    /// Somebody came. Whoever came back is another peer of the media engine, which is asked again.
    pub(super) fn pinned_entered(&mut self, other: Occupant, out: &mut Vec<Output>) {
        if self.pins.told.contains(&other.user_id) {
            out.push(Output::Pin(self.pins.told.clone()));
        }
    }
}
