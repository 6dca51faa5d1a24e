//! The figures of a run by name: what objectives judge, what the JSON holds, what the summary shows.

use serde::Serialize;
use std::collections::BTreeMap;

/// Name, unit, meaning. A run sets those that it could measure; an objective on one that is missing is not met.
pub const FIGURES: &[(&str, &str, &str)] = &[
    ("audio.sent", "packets", "stamped packets that speakers put on the wire in the windows"),
    ("audio.received", "packets", "copies that reached listeners"),
    ("audio.missing", "part", "of the copies due, lost anywhere, the emulated networks' losses included"),
    ("audio.loss", "part", "of the copies due, lost beyond what the emulated networks lost on the way down"),
    (
        "audio.unselected",
        "part",
        "of the copies due to listeners with fewer slots than talkers: not forwarded, by the server's choice",
    ),
    ("audio.duplicates", "packets", "came twice"),
    ("audio.reordered", "part", "came after a later one"),
    ("audio.misrouted", "packets", "came into a room where their speaker was not"),
    ("audio.forbidden", "packets", "heard although the server had said that their speaker is muted"),
    ("audio.echoed", "packets", "came back to their speaker"),
    ("audio.damaged", "packets", "opened, but were not what was sent"),
    ("audio.unopened", "packets", "did not open: a wrong tag"),
    ("audio.stale", "packets", "were for a caller that had vanished from the port a moment before, provably by its key"),
    ("audio.unannounced", "streams", "native streams whose audio came before the voice gateway had said whose it is"),
    ("audio.concealed", "part", "of the frames that a player with a jitter buffer of 60 ms would have had to make up"),
    ("decoded.streams", "streams", "decoded by the sample of listeners"),
    ("decoded.undecodable", "packets", "of those, not 20 ms of audio"),
    ("decoded.quiet_streams", "streams", "of those, decoded to silence"),
    ("decoded.longest_silence_ms", "ms", "longest run of silent decoded frames"),
    ("delay.p50_ms", "ms", "from the speaker's wire to the listener's kernel"),
    ("delay.p99_ms", "ms", "the same"),
    ("delay.p999_ms", "ms", "the same"),
    ("delay.max_ms", "ms", "the same"),
    ("delay.direct_p50_ms", "ms", "the same without a server, socket to socket in the same run: what machine and generator add"),
    ("delay.direct_p99_ms", "ms", "the same"),
    ("delay.direct_p999_ms", "ms", "the same"),
    ("delay.added_p50_ms", "ms", "delay.p50_ms without the direct path's"),
    ("delay.added_p99_ms", "ms", "delay.p99_ms without the direct path's p99"),
    ("delay.added_p999_ms", "ms", "delay.p999_ms without the direct path's p99.9"),
    ("gap.longest_ms", "ms", "longest silence within a talk spurt (0: none as long as measure.gap_ms)"),
    ("gap.count", "gaps", "silences of at least measure.gap_ms within talk spurts"),
    ("gap.seconds_per_listener_hour", "s/h", "sum of the gaps per hour of listening"),
    ("onset.count", "spurts", "heard only after their begin"),
    ("onset.longest_ms", "ms", "longest lost beginning of a spurt"),
    ("video.packets", "packets", "of pictures that reached viewers"),
    ("video.bitrate_bps", "bit/s", "of payload per picture that was shown, without the viewers whose network changed"),
    ("video.best", "part", "of the time in which those pictures were of the layer that fits the size they were shown at"),
    ("video.poorest_second", "part", "of the middle second's bytes that reached those viewers in the poorest second"),
    (
        "video.freezes",
        "freezes",
        "of those pictures: the next frame came 150 ms and more after its turn, by what the 30 before took",
    ),
    ("video.frozen_ms", "ms", "sum of those freezes, each from frame to frame"),
    ("video.blank", "pictures", "of theirs that were not shown in the whole window"),
    ("video.delay_p50_ms", "ms", "from the publisher's wire to the viewer's kernel, of those pictures' packets"),
    ("video.delay_p99_ms", "ms", "the same"),
    ("shifted.frozen_ms", "ms", "sum of the freezes of viewers whose network changed"),
    ("shifted.longest_freeze_ms", "ms", "the longest of them"),
    ("shifted.fall_ms", "ms", "from their network's fall to the first frame of a smaller layer (the slowest)"),
    ("shifted.rise_ms", "ms", "from its recovery to the first frame of the layer that fits (the slowest)"),
    (
        "shifted.made_up_ms",
        "ms",
        "of the voices that a player whose delay follows the network would have had to make up for them",
    ),
    ("shifted.longest_made_up_ms", "ms", "the longest of it at a time"),
    ("shifted.blank", "pictures", "of theirs that were not shown in the whole window"),
    ("join.p50_ms", "ms", "from op 4 to a connected media path, gateway up already"),
    ("join.p99_ms", "ms", "the same"),
    (
        "join.per_second",
        "joins/s",
        "of the set-up, or of a join storm if there was one: from the first op 4 to the last connected path",
    ),
    ("join.failed", "joins", "did not come to an end"),
    ("join.count", "joins", "came to an end"),
    ("first_audio.p50_ms", "ms", "from op 4 to the first packet, where somebody talked all the while"),
    ("first_audio.p99_ms", "ms", "the same"),
    ("first_audio.max_ms", "ms", "the same"),
    ("first_audio.count", "joins", "that could be judged so"),
    (
        "return_audio.p50_ms",
        "ms",
        "from coming back after losing everything to the first packet, in talk without pauses that of others who come back included",
    ),
    ("return_audio.p99_ms", "ms", "the same"),
    ("return_audio.max_ms", "ms", "the same"),
    ("voice.ended", "sockets", "voice connections that the server ended or that broke"),
    ("server.us_per_packet", "µs", "CPU of the media threads per forwarded packet (needs the server's process on this machine)"),
    ("server.core_share", "part", "of one core, used by the media threads"),
    ("server.process_share", "part", "of one core, used by the whole server"),
    ("server.forwarded_per_s", "packets/s", "copies that reached listeners"),
    ("server.memory_mib", "MiB", "resident memory at the end"),
    (
        "server.idle_peer_kib",
        "KiB",
        "growth of resident memory from before the joins to everybody connected and silent, per participant",
    ),
    ("server.active_peer_kib", "KiB", "the same to the end of the talk"),
    ("server.memory_slope", "MiB/h", "of resident memory over the second half of the window"),
    ("server.fds_slope", "1/h", "of open file descriptors (their lows) over the second half of the window"),
    ("server.threads_slope", "1/h", "of threads over the second half of the window"),
    ("server.peers_slope", "1/h", "of voice participants as the server counts them, over the second half of the window"),
    ("server.dropped", "packets", "that the media engine counts as dropped, of all reasons"),
    ("floor.us_per_packet", "µs", "CPU of the bare forwarder per packet: it receives, opens, seals, sends and does nothing else"),
    ("floor.ratio", "×", "server.us_per_packet by floor.us_per_packet, the median of the rounds"),
    ("text.sent", "messages", "at their moments, whatever the answers"),
    ("text.acknowledged", "messages", "were answered with success"),
    ("text.refused", "messages", "were turned away (503) and not stored"),
    ("text.per_second", "1/s", "acknowledged"),
    ("text.ack_p50_ms", "ms", "from the moment it should have been sent to its answer"),
    ("text.ack_p99_ms", "ms", "the same"),
    ("text.ack_max_ms", "ms", "the same"),
    ("text.delivery_p50_ms", "ms", "from the answer to a reader's event"),
    ("text.delivery_p99_ms", "ms", "the same"),
    ("text.lost", "deliveries", "of acknowledged messages that a reader never got"),
    ("text.duplicates", "deliveries", "came twice to one reader"),
    ("text.disordered", "deliveries", "came after a later one of their channel"),
    ("text.resumed", "resumes", "of readers that lost their connection"),
    ("text.page_p50_ms", "ms", "a page of 50"),
    ("text.page_p99_ms", "ms", "the same"),
    ("generator.late", "part", "of the packets that left more than 5 ms after their moment"),
    ("generator.late_p99_ms", "ms", "how late packets left"),
    ("generator.late_max_ms", "ms", "the same"),
    ("generator.core_share", "part", "of one core, used by the busiest media thread of the generator"),
    ("generator.socket_drops", "packets", "lost in the generator's own receive buffers"),
];

pub fn is_known(name: &str) -> bool {
    FIGURES.iter().any(|(known, ..)| *known == name)
}

/// What a run measured. Names without a value were not measurable.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Figures(BTreeMap<&'static str, f64>);

impl Figures {
    pub fn set(&mut self, name: &'static str, value: f64) {
        debug_assert!(is_known(name), "{name} is not in the list of figures");
        if value.is_finite() {
            self.0.insert(name, value);
        }
    }

    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Name, value and unit, in the list's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, f64, &'static str)> {
        FIGURES.iter().filter_map(|(name, unit, _)| Some((*name, self.get(name)?, *unit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_nothing_infinite_is_kept() {
        for (at, (name, ..)) in FIGURES.iter().enumerate() {
            assert!(FIGURES[..at].iter().all(|(other, ..)| other != name), "{name} twice");
        }
        let mut figures = Figures::default();
        figures.set("audio.loss", f64::NAN);
        figures.set("gap.count", 2.0);
        assert_eq!((figures.get("audio.loss"), figures.get("gap.count")), (None, Some(2.0)));
        assert_eq!(figures.iter().collect::<Vec<_>>(), [("gap.count", 2.0, "gaps")]);
    }
}
