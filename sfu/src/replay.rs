//! Which packets of a stream were seen already, and how a 16-bit sequence number becomes a packet index (RFC 3711 §3.3).

/// How far behind the newest packet a late one may come, one bit each.
const WIDTH: u64 = u128::BITS as u64;

/// The index of a stream's first packet has this rollover count when the count never reaches the wire (native transport), so
/// that a packet from before it, arriving late, still has an index.
pub const NATIVE_FIRST_ROLLOVER: u32 = 1;

/// A sliding window over the last [`WIDTH`] indices.
#[derive(Clone, Copy, Debug)]
pub struct ReplayWindow {
    highest: Option<u64>,
    /// Bit `n` is set when `highest - n` was seen.
    seen: u128,
    first_rollover: u32,
}

impl ReplayWindow {
    pub const fn new(first_rollover: u32) -> ReplayWindow {
        ReplayWindow { highest: None, seen: 0, first_rollover }
    }

    /// The index (rollover count, sequence number) that a packet with this sequence number most likely has: the one nearest
    /// to the newest authentic packet. `None` when that would be before the stream began.
    #[inline]
    pub fn estimate(&self, sequence: u16) -> Option<u64> {
        let Some(highest) = self.highest else {
            return Some(u64::from(self.first_rollover) << 16 | u64::from(sequence));
        };
        let distance = sequence.wrapping_sub(highest as u16) as i16;
        highest.checked_add_signed(i64::from(distance))
    }

    /// Whether a packet with this index may be new. Asked before decrypting, because it is cheaper.
    #[inline]
    pub fn is_fresh(&self, index: u64) -> bool {
        match self.highest {
            Some(highest) if index <= highest => {
                let age = highest - index;
                age < WIDTH && self.seen >> age & 1 == 0
            }
            _ => true,
        }
    }

    /// Remembers an index. Only after the packet proved authentic.
    #[inline]
    pub fn accept(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {
                let age = highest - index;
                if age < WIDTH {
                    self.seen |= 1 << age;
                }
            }
            Some(highest) => {
                let step = index - highest;
                self.seen = if step < WIDTH { self.seen << step | 1 } else { 1 };
                self.highest = Some(index);
            }
            None => {
                self.highest = Some(index);
                self.seen = 1;
            }
        }
    }

    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests;
