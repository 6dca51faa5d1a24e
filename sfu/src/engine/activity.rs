//! How active one speaker is, packet by packet, and how its packets are numbered once silence is left out.
//!
//! Loudness comes from the audio level that the sender measured (RFC 6464). Bots and other native clients send none: then it
//! is estimated from how many bytes a packet spends on its time, because an encoder spends few on silence. The estimate stays
//! below the level of common speech, so that a measured voice is preferred to an assumed one.
//!
//! Silence is not forwarded beyond a short tail. What was left out leaves no hole: later packets are numbered as if it had
//! never been sent, so a listener sees a timestamp that jumped and no lost packets, which is what Opus' own discontinuous
//! transmission looks like. Losses of the network stay visible.
//!
//! Pure, one per speaker. [`super::speakers`] ranks what this measures.

/// Ticks of the RTP clock (48 kHz) in the usual 20 ms packet.
const PACKET_TICKS: u32 = 960;

/// The longest packet of Opus, 120 ms: a larger step of the clock is a pause, not a packet.
const LONGEST_PACKET_TICKS: u32 = 6 * PACKET_TICKS;

/// A pause after which what was measured before says nothing any more: 400 ms.
const FORGET_TICKS: u32 = 20 * PACKET_TICKS;

/// Loudness from which a packet counts as voice: -60 dBov. Speech lies between -20 and -50, what noise suppression leaves of a
/// room below -70.
pub const VOICE: u8 = 127 - 60;

/// Loudness up to which a packet is silence: -100 dBov, below the last bit of a 16-bit sample.
const SILENT: u8 = 127 - 100;

/// A payload up to this long is silence whatever else it says: `F8 FF FE` is what native clients send when they pause, and
/// Opus' discontinuous transmission sends one or two bytes.
const SILENT_LEN: usize = 3;

/// Silent packets that are forwarded at the end of speech: enough for the decoders of the listeners to fade out instead of
/// concealing a loss, and one more than the five that native clients send at a pause.
pub const SILENT_TAIL: u8 = 6;

/// Bytes per 20 ms from which a packet without a level counts as voice: 8 kbit/s, above what silence costs an encoder even
/// when it is encrypted end to end.
const VOICE_LEN: u32 = 20;

/// Bytes per 20 ms that make the estimate no louder any more: 24 kbit/s is full speech.
const FULL_LEN: u32 = 60;

/// What one packet adds to the estimate: between [`VOICE`] and ten decibels above.
const LEN_PER_DECIBEL: u32 = 4;

/// A packet that is to be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// Rollover count and sequence number, counted without what was left out.
    pub index: u64,
    /// Smoothed, 0 to 127; every unit is a decibel.
    pub loudness: u8,
    /// Whether this packet itself is voice.
    pub is_voice: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Activity {
    /// The newest packet, once there was one.
    newest: Option<(u64, u32)>,
    /// Smoothed loudness in sixteenths.
    loudness: u16,
    /// Silent packets since the last that was not.
    silent_run: u8,
    numbering: Numbering,
}

impl Activity {
    /// Takes an authentic packet: its index (rollover count and sequence number), its RTP timestamp, its audio level as the
    /// extension's byte has it, and its payload's length. `None`: it is silence that nobody needs.
    #[inline]
    pub fn hear(&mut self, index: u64, timestamp: u32, level: Option<u8>, len: usize) -> Option<Spoken> {
        if let Some((newest, _)) = self.newest
            && index <= newest
        {
            // Late: its time is over for everything but the listener's jitter buffer.
            let index = self.numbering.number(index)?;
            return Some(Spoken { index, loudness: (self.loudness / 16) as u8, is_voice: false });
        }
        let ticks = self.newest.map_or(PACKET_TICKS, |(newest, before)| {
            let ticks = timestamp.wrapping_sub(before);
            if index == newest + 1 || ticks > FORGET_TICKS { ticks } else { PACKET_TICKS }
        });
        self.newest = Some((index, timestamp));
        let loudness = loudness(level, len, ticks);
        self.smooth(loudness, ticks);
        if len <= SILENT_LEN || loudness <= SILENT {
            self.silent_run = self.silent_run.saturating_add(1);
            if self.silent_run > SILENT_TAIL {
                self.numbering.leave_out(index);
                return None;
            }
        } else {
            self.silent_run = 0;
        }
        let index = self.numbering.take(index);
        Some(Spoken { index, loudness: (self.loudness / 16) as u8, is_voice: loudness >= VOICE })
    }

    /// The newest packet is not forwarded after all, to nobody.
    pub fn leave_out_newest(&mut self) {
        if let Some((index, _)) = self.newest {
            self.numbering.leave_out(index);
        }
    }

    /// Up fast, so that a first syllable counts; down slowly (half in 220 ms), so that a pause between words does not.
    fn smooth(&mut self, loudness: u8, ticks: u32) {
        let target = u16::from(loudness) * 16;
        if ticks > FORGET_TICKS {
            self.loudness = target;
        } else if target > self.loudness {
            self.loudness += (target - self.loudness).div_ceil(2);
        } else {
            self.loudness -= (self.loudness - target) / 16;
        }
    }
}

/// 127 is the loudest. The level's highest bit is the sender's own idea of voice, which many never set.
fn loudness(level: Option<u8>, len: usize, ticks: u32) -> u8 {
    if len <= SILENT_LEN {
        return 0;
    }
    if let Some(level) = level {
        return 127 - (level & 0x7F);
    }
    let ticks = if (1..=LONGEST_PACKET_TICKS).contains(&ticks) { ticks } else { PACKET_TICKS };
    // A payload is at most a datagram, so this stays far below 2^32.
    let len = len as u32 * PACKET_TICKS / ticks;
    if len < VOICE_LEN { (SILENT + VOICE) / 2 } else { VOICE + ((len.min(FULL_LEN) - VOICE_LEN) / LEN_PER_DECIBEL) as u8 }
}

/// Indices without the packets that were left out. Injective over what is forwarded: no number is given twice.
///
/// Two runs are remembered by their ends, which is enough for packets that come late by less than a pause; what comes later
/// than that is left out as well.
#[derive(Clone, Debug, Default)]
struct Numbering {
    /// The newest run of left-out packets, half-open; nothing in it is forwarded any more.
    run: (u64, u64),
    /// Whether the newest packet belongs to it.
    is_open: bool,
    /// What is taken off behind the run, and what was before it.
    shift: u64,
    shift_before: u64,
    /// The end of the run before.
    floor: u64,
}

impl Numbering {
    fn leave_out(&mut self, index: u64) {
        // What follows the run without anything forwarded in between belongs to it.
        if !self.is_open && self.run.1 != index {
            self.floor = self.run.1;
            self.shift_before = self.shift;
            self.run.0 = index;
        }
        self.is_open = true;
        self.run.1 = index + 1;
        self.shift = self.shift_before + (self.run.1 - self.run.0);
    }

    /// The number of the newest packet.
    fn take(&mut self, index: u64) -> u64 {
        self.is_open = false;
        index - self.shift
    }

    /// The number of a late packet.
    fn number(&self, index: u64) -> Option<u64> {
        if index >= self.run.1 {
            Some(index - self.shift)
        } else if (self.floor..self.run.0).contains(&index) {
            Some(index - self.shift_before)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
