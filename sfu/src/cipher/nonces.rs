//! Nonces of our direction under a native key, which the client uses too.
//!
//! An AEAD must never see one nonce twice under one key. Clients count up from 0, from 1 or from a random number; nobody
//! agreed on what the server does, so it keeps out of the way: it counts from 2^31 above the client's first nonce, and if it
//! has to send before it has seen one, from 2^31 above zero. A client whose start turns out to be too near makes it move.

/// Where we begin relative to the client's first nonce: as far away as a circle of 2^32 allows.
const AWAY: u32 = 1 << 31;

/// A client's start that is nearer than this to our nonces makes us move.
const NEAR: u32 = 1 << 30;

/// Packets that one key may seal in our direction, 248 days of one speaker: then the two counts could meet.
const BUDGET: u32 = 1 << 30;

/// A client whose count comes this near to nonces that we used has used up its key.
const GUARD: u32 = 1 << 16;

/// A run of nonces we used: `len` from `start`, on the circle.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    start: u32,
    len: u32,
}

impl Run {
    /// Whether `nonce` lies in the run or less than [`GUARD`] before it.
    fn is_near(&self, nonce: u32) -> bool {
        self.len > 0 && nonce.wrapping_sub(self.start.wrapping_sub(GUARD)) < self.len + GUARD
    }
}

#[derive(Clone, Debug)]
pub struct Nonces {
    now: Run,
    /// What was used before we moved.
    before: Run,
    has_seen_client: bool,
}

impl Nonces {
    pub fn new() -> Nonces {
        Nonces { now: Run { start: AWAY, len: 0 }, before: Run::default(), has_seen_client: false }
    }

    /// The next nonce. The caller asks [`Nonces::is_used_up`] now and then; 2^30 packets take days.
    #[inline]
    pub fn take(&mut self) -> u32 {
        let nonce = self.now.start.wrapping_add(self.now.len);
        self.now.len += 1;
        nonce
    }

    pub fn is_used_up(&self) -> bool {
        self.now.len >= BUDGET || self.before.len >= BUDGET
    }

    /// Learns a nonce of an authentic packet of the client; `false` when the key must not be used any more.
    #[inline]
    pub fn observe(&mut self, client: u32) -> bool {
        if !self.has_seen_client {
            self.has_seen_client = true;
            let ahead = self.now.start.wrapping_sub(client);
            let behind = client.wrapping_sub(self.now.start.wrapping_add(self.now.len));
            if self.now.len == 0 || ahead < NEAR || behind < NEAR {
                self.before = self.now;
                self.now = Run { start: client.wrapping_add(AWAY), len: 0 };
            }
        }
        !self.now.is_near(client) && !self.before.is_near(client)
    }
}

impl Default for Nonces {
    fn default() -> Nonces {
        Nonces::new()
    }
}

#[cfg(test)]
mod tests;
