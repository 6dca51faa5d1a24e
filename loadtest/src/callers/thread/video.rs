//! Cameras and viewers of a media thread's legs.

use super::super::camera::{Camera, Packet};
use super::super::leg::{Leg, Media};
use super::super::shared::clock;
use super::{Thread, Timer};
use crate::measure::health::LATE;
use crate::measure::picture::Stamp;
use crate::net::Profile;
use crate::voice::rtp;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use str0m::Input;
use str0m::media::{KeyframeRequest, KeyframeRequestKind, Pt, Rid};
use str0m::rtp::{RtpWrite, SeqNo};

/// What pictures are sent under where nothing is negotiated: by the floor's publishers.
const SSRC: u32 = 2;
const PAYLOAD_TYPE: u8 = 96;

impl Thread {
    /// A frame's moment, and those that a late thread has missed.
    pub(super) fn film(&mut self, place: usize, leg: &mut Leg) {
        let Some(mut camera) = leg.camera.take() else { return };
        loop {
            let late = clock().saturating_sub(camera.due);
            if self.shared.is_on(leg.party) {
                if self.shared.counts(camera.due) {
                    self.account.health.note(late);
                }
                self.shared.live.sends.fetch_add(1, Relaxed);
                self.shared.live.late.fetch_add(u64::from(late > LATE), Relaxed);
                self.send_frame(place, leg, &mut camera);
            } else {
                camera.rest();
            }
            camera.due += camera.interval;
            if camera.due > clock() {
                break;
            }
        }
        self.wheel.insert(camera.due, (place, leg.id, Timer::Film));
        leg.camera = Some(camera);
    }

    fn send_frame(&mut self, place: usize, leg: &mut Leg, camera: &mut Camera) {
        match &mut leg.media {
            Media::Discovering { .. } => {}
            Media::WebRtc(web) => {
                let negotiated = &mut web.negotiated;
                let Some((camera_mid, payload)) = negotiated.video.and_then(|video| Some((video.camera?, video.payload))) else {
                    return;
                };
                let now = Instant::now();
                camera.film(clock(), |packet: &Packet<'_>| {
                    let mut api = negotiated.rtc.direct_api();
                    let Some(stream) = api.stream_tx_by_mid(camera_mid, packet.rid.map(Rid::from)) else { return };
                    let write = RtpWrite::new(payload, SeqNo::from(packet.sequence), packet.timestamp, now, packet.payload);
                    stream.write_rtp(write.marker(packet.marker).nackable(true));
                });
                // It fails only for an `Rtc` that is over, and then `drive` says so.
                let _ = negotiated.rtc.handle_input(Input::Timeout(now));
                self.drive(place, leg, 0);
            }
            Media::Native { .. } => {
                let mut sealed = std::mem::take(&mut self.sealed);
                camera.film(clock(), |packet: &Packet<'_>| {
                    let Media::Native { cipher, nonce, .. } = &mut leg.media else { return };
                    let header = rtp::Header {
                        payload_type: PAYLOAD_TYPE,
                        is_marked: packet.marker,
                        ..rtp::Header::opus(packet.sequence as u16, packet.timestamp, SSRC)
                    };
                    cipher.seal_into(*nonce, &header, packet.payload, &mut sealed);
                    *nonce = nonce.wrapping_add(1);
                    self.transmit(place, leg, &sealed, None);
                });
                self.sealed = sealed;
            }
        }
    }

    /// The other side cannot go on without a key frame.
    pub(super) fn refresh(leg: &mut Leg, request: &KeyframeRequest) {
        if let Some(camera) = &mut leg.camera {
            camera.need_key(request.rid.as_deref());
        }
    }

    /// Whether a packet that came by WebRTC is a picture's.
    pub(super) fn is_video(leg: &Leg, payload_type: Pt) -> bool {
        match &leg.media {
            Media::WebRtc(web) => web.negotiated.video.is_some_and(|video| video.payload == payload_type),
            Media::Native { .. } | Media::Discovering { .. } => false,
        }
    }

    /// A packet of a picture; `wire`: SSRC and number in the stream.
    pub(super) fn see(&mut self, leg: &mut Leg, wire: (u32, u64), payload: &[u8], arrival: u64) {
        let (shared, book) = (&self.shared, self.account.book(leg.party));
        let Some(stamp) = Stamp::read(payload).filter(|stamp| stamp.run == shared.run) else {
            // Before the first frame, a probe is nothing but padding.
            book.damaged += u64::from(!payload.is_empty());
            return;
        };
        if stamp.room != leg.room || stamp.speaker == leg.person {
            book.misrouted += u64::from(stamp.room != leg.room);
            book.echoed += u64::from(stamp.speaker == leg.person);
            return;
        }
        let counts = shared.counts(stamp.sent);
        shared.live.received.fetch_add(1, Relaxed);
        let pictures = if leg.is_shifted { &mut book.shifted } else { &mut book.pictures };
        if counts {
            let since = stamp.sent.saturating_sub(shared.window().0);
            pictures.note(since, arrival.saturating_sub(stamp.sent), payload.len());
        }
        let Some(viewer) = leg.viewers.iter_mut().find(|viewer| viewer.speaker == stamp.speaker) else { return };
        let is_stuck = viewer.see(&stamp, wire.1, arrival, counts, pictures);
        if let (true, Media::WebRtc(web)) = (is_stuck, &mut leg.media)
            && let Some(stream) = web.negotiated.rtc.direct_api().stream_rx(&wire.0.into())
        {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    pub(super) fn shift(leg: &mut Leg, up: Profile, down: Profile) {
        let capacity = |profile: &Profile| if profile.bandwidth_kbps > 0.0 { profile.bandwidth_kbps } else { f64::MAX };
        let is_worse = leg.down.as_ref().is_some_and(|path| capacity(&down) < capacity(path.profile()));
        for (path, profile) in [(&mut leg.up, up), (&mut leg.down, down)] {
            if let Some(path) = path {
                path.change(profile);
            }
        }
        let now = clock();
        leg.viewers.iter_mut().for_each(|viewer| viewer.change(now, is_worse));
    }

    /// At a window's end.
    pub(super) fn close_viewers(&mut self, leg: &mut Leg) {
        let (begin, end) = self.shared.window();
        if leg.ready_at == 0 || leg.ready_at > begin || !self.shared.was_on(leg.party) {
            return;
        }
        let book = self.account.book(leg.party);
        let pictures = if leg.is_shifted { &mut book.shifted } else { &mut book.pictures };
        leg.viewers.iter_mut().for_each(|viewer| viewer.close(begin, end, pictures));
    }
}
