//! Sections for the sound of screens: what a computer plays, in stereo and without what is good for voices. They are audio
//! sections that name their content (RFC 4796) `slides`, as the presentation role is called there; others are voices.

use super::{Offer, Opus, Section, Upstream, direction};
use crate::video::Source;
use std::fmt::{self, Write};

/// Screens that one listener may hear at a time: sections beyond these are answered as inactive.
pub const MAX_SOUNDS: usize = 4;

/// What music in stereo is worth: beyond, hardly anyone hears a difference.
pub const BITRATE_BPS: u32 = 128_000;

/// Whether a list of contents has this one.
pub(super) fn is_named(contents: &str) -> bool {
    contents.split(',').any(|content| content.trim() == "slides")
}

/// Everything of an answered section but its transport. `slot`: its number and our SSRC.
pub(super) fn write(out: &mut String, payload_type: u8, is_received: bool, slot: Option<(usize, u32)>) -> fmt::Result {
    let direction = direction(slot.is_some(), is_received);
    write!(out, "a=content:slides\r\na={direction}\r\na=rtcp-mux\r\na=rtpmap:{payload_type} opus/48000/2\r\n")?;
    write!(out, "a=fmtp:{payload_type} minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1;maxaveragebitrate={BITRATE_BPS}\r\n")?;
    if let Some((number, ssrc)) = slot {
        let stream = format!("sound-{number} sound-{number}-audio");
        write!(out, "a=msid:{stream}\r\na=ssrc:{ssrc} cname:sound-{number}\r\na=ssrc:{ssrc} msid:{stream}\r\n")?;
    }
    Ok(())
}

impl Offer {
    /// The sound of the screen that the client would send. It must name its SSRC, which nothing else tells from the voice's, and
    /// there must be a screen, as whoever watches that hears it.
    pub fn sound(&self) -> Option<Upstream> {
        let section = &self.sections[self.sound_section()?];
        Some(Upstream { opus: section.opus.clone()?, ssrc: section.ssrc })
    }

    /// How the slots for others' sounds are to be sent, in the order of their sections.
    pub fn sound_slots(&self) -> impl Iterator<Item = &Opus> {
        let receiving = self.sounds().filter(|(_, section)| section.direction.receives());
        receiving.filter_map(|(_, section)| section.opus.as_ref()).take(MAX_SOUNDS)
    }

    /// Where the sound is in the offer that the client would send.
    pub(super) fn sound_section(&self) -> Option<usize> {
        let has_screen = self.video_tracks().any(|track| track.source == Source::Screen);
        let voice = self.upstream().and_then(|upstream| upstream.ssrc);
        let is_taken = |(_, section): &(usize, &Section)| section.ssrc.is_some() && section.ssrc != voice;
        self.sounds().filter(|(_, section)| has_screen && section.direction.sends()).find(is_taken).map(|(index, _)| index)
    }

    fn sounds(&self) -> impl Iterator<Item = (usize, &Section)> {
        let is_usable =
            |section: &Section| section.is_sound && section.opus.is_some() && section.direction != super::Direction::Inactive;
        self.sections.iter().enumerate().filter(move |(_, section)| is_usable(section))
    }
}
