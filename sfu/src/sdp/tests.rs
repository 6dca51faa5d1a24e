use super::*;
use crate::video::Codec;

/// An offer in the shape that Chrome writes: one section that sends, `slots` that receive, then whatever `extra` says.
fn offer(slots: usize, extra: &str) -> String {
    let section = |mid: usize, direction: &str, ssrc: &str| {
        format!(
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=ice-options:trickle\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\na=mid:{mid}\r\n\
             a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
             a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na={direction}\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
             a=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n{ssrc}",
            ["AB"; 32].join(":")
        )
    };
    let mut text =
        String::from("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\n");
    text += &section(0, "sendonly", "a=ssrc:4242 cname:x\r\na=ssrc:4242 msid:- y\r\n");
    for slot in 0..slots {
        text += &section(slot + 1, "recvonly", "");
    }
    text + extra
}

fn local() -> Local<'static> {
    Local {
        addresses: Addresses::of(&["192.0.2.7".parse().expect("an address"), "2001:db8::7".parse().expect("another")], 50_000)
            .expect("both"),
        ufrag: "server",
        password: "server-password-of-24-chars",
        fingerprint: "sha-256 01:02",
        session: (9, 2),
        bitrate_bps: Some(64_000),
    }
}

#[test]
fn an_offer_of_one_sender_and_four_slots_is_answered_section_by_section() {
    let offer = Offer::parse(&offer(4, "")).expect("a good offer");
    assert_eq!(offer.upstream().map(|up| (up.opus.payload_type, up.opus.audio_level, up.ssrc)), Some((111, Some(1), Some(4242))));
    assert_eq!(offer.slots().count(), 4);
    assert_eq!(offer.fingerprint, ("sha-256".to_owned(), vec![0xAB; 32]));
    let answer = offer.answer(&local(), &Ssrcs { slots: &[10, 11, 12, 13], videos: &[], ..Ssrcs::default() });
    assert_eq!(answer.matches("m=audio 50000 UDP/TLS/RTP/SAVPF 111 63\r\n").count(), 5);
    assert_eq!(answer.matches("a=setup:passive").count(), 5);
    assert_eq!(answer.matches("a=recvonly").count(), 1);
    assert_eq!(answer.matches("a=sendonly").count(), 4);
    assert_eq!(answer.matches("a=ssrc:12 cname:slot-2").count(), 1);
    assert!(answer.contains("a=group:BUNDLE 0 1 2 3 4\r\n") && answer.contains("a=ice-lite\r\n"));
    assert!(answer.contains("a=candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host"));
    assert!(answer.contains("a=candidate:2 1 udp 2130706175 2001:db8::7 50000 typ host"));
    assert!(!answer.contains("transport"), "no transport-wide feedback on audio");
    assert!(answer.lines().all(|line| line.len() > 2 && line.as_bytes()[1] == b'='), "every line is an SDP line");
}

/// Video sections in the shape that Chrome writes: simulcast that is sent, a stream that is sent, one that is received.
fn chrome_video() -> String {
    let codecs = "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
         a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
         a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
         a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
         a=rtpmap:103 H264/90000\r\na=fmtp:103 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f\r\n\
         a=rtpmap:104 rtx/90000\r\na=fmtp:104 apt=103\r\n\
         a=rtpmap:107 H264/90000\r\na=fmtp:107 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
         a=rtpmap:108 rtx/90000\r\na=fmtp:108 apt=107\r\na=rtpmap:39 AV1/90000\r\na=rtpmap:114 red/90000\r\n";
    let section = |mid: &str, direction: &str, rest: &str| {
        format!("m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 108 39 114\r\na=mid:{mid}\r\na={direction}\r\n{codecs}{rest}")
    };
    let simulcast = "a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n";
    let single = "a=ssrc-group:FID 77 78\r\na=ssrc:77 cname:x\r\na=ssrc:78 cname:x\r\n";
    section("c", "sendonly", simulcast) + &section("s", "sendonly", single) + &section("r", "recvonly", "")
}

#[test]
fn video_is_answered_with_the_codecs_that_we_forward() {
    let offer = Offer::parse(&offer(1, &chrome_video())).expect("a good offer");
    let tracks: Vec<_> = offer.video_tracks().map(|track| (track.source, track.mid, track.video.clone())).collect();
    let [(camera, "c", simulcast), (screen, "s", single)] = &tracks[..] else { panic!("{tracks:?}") };
    assert_eq!((*camera, *screen), (Source::Camera, Source::Screen));
    assert_eq!(simulcast.rids.iter().map(|rid| rid.as_str()).collect::<Vec<_>>(), ["q", "h", "f"]);
    assert_eq!((simulcast.ssrc, single.ssrc), (None, Some((77, Some(78)))));
    let formats: Vec<_> = single.formats.iter().map(|format| (format.codec, format.payload_type, format.rtx)).collect();
    assert_eq!(formats, [(Codec::Vp8, 96, Some(97)), (Codec::H264, 107, Some(108))]);
    let answer = offer.answer(&local(), &Ssrcs { slots: &[10], videos: &[(20, 21)], ..Ssrcs::default() });
    assert_eq!(answer.matches("m=video 50000 UDP/TLS/RTP/SAVPF 96 97 107 108\r\n").count(), 3);
    assert_eq!(answer.matches("a=simulcast:recv q;h;f\r\n").count(), 1);
    assert_eq!(answer.matches("a=ssrc-group:FID 20 21\r\n").count(), 1);
    assert_eq!(answer.matches("a=rtcp-fb:96 transport-cc\r\n").count(), 3);
    assert_eq!(answer.matches("a=extmap:10 ").count(), 2, "nothing that we send has a rid");
    assert!(answer.contains("a=group:BUNDLE 0 1 c s r\r\n"));
    assert!(answer.lines().all(|line| line.len() > 2 && line.as_bytes()[1] == b'='), "every line is an SDP line");
}

#[test]
fn clients_without_transport_wide_numbers_are_asked_for_the_older_estimate() {
    let answer = |video: &str| {
        Offer::parse(&offer(1, video))
            .expect("a good offer")
            .answer(&local(), &Ssrcs { slots: &[10], videos: &[(20, 21)], ..Ssrcs::default() })
    };
    let older = answer(&chrome_video().replace("transport-wide-cc-extensions", "no-such-extensions"));
    assert_eq!((older.matches("goog-remb").count(), older.matches("transport").count()), (6, 0));
    assert!(!answer(&chrome_video()).contains("goog-remb"));
}

#[test]
fn layered_codecs_are_answered_last_and_with_their_descriptors() {
    let layered = "m=video 9 UDP/TLS/RTP/SAVPF 45 46 100 98 99 96\r\na=mid:v\r\na=sendrecv\r\n\
        a=extmap:13 https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension\r\n\
        a=rtpmap:45 AV1/90000\r\na=fmtp:45 level-idx=5;profile=0;tier=0\r\na=rtpmap:46 rtx/90000\r\na=fmtp:46 apt=45\r\n\
        a=rtpmap:100 VP9/90000\r\na=fmtp:100 profile-id=2\r\na=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0\r\n\
        a=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\na=rtpmap:96 VP8/90000\r\na=ssrc:7 cname:x\r\n";
    let answer = |offer: &str| {
        let offer = Offer::parse(offer).expect("a good offer");
        let formats = offer.video_slots().next().map(|video| video.formats.clone()).unwrap_or_default();
        let codecs: Vec<Codec> = formats.iter().map(|format| format.codec).collect();
        (codecs, offer.answer(&local(), &Ssrcs { slots: &[10], videos: &[(20, 21)], ..Ssrcs::default() }))
    };
    let whole = offer(1, layered);
    let (codecs, text) = answer(&whole);
    assert_eq!(codecs, [Codec::Vp8, Codec::Av1, Codec::Vp9]);
    assert!(text.contains("m=video 50000 UDP/TLS/RTP/SAVPF 96 45 46 98 99\r\n"), "{text}");
    assert!(
        text.contains("a=extmap:13 https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension\r\n")
    );
    assert!(text.contains("a=fmtp:98 profile-id=0\r\n") && !text.contains("profile-id=2"));
    // Without descriptors nobody could be sent a layer of AV1, and those of VP9 say it themselves.
    for changed in [whole.replace("a=extmap:13", "a=extmap:15"), whole.replace("a=extmap-allow-mixed\r\n", "")] {
        let (codecs, text) = answer(&changed);
        assert_eq!(codecs, [Codec::Vp8, Codec::Vp9]);
        assert!(!text.contains("dependency-descriptor"), "{text}");
    }
    let only = whole.replace("VP9", "H266").replace("VP8", "H267").replace("a=extmap:13", "a=extmap:15");
    assert!(answer(&only).1.contains("m=video 0 UDP/TLS/RTP/SAVPF 45\r\n"));
}

#[test]
fn video_beyond_the_limits_is_inactive() {
    let sections = chrome_video().repeat(2)
        + &chrome_video()
            .split("a=mid:r")
            .last()
            .map_or(String::new(), |rest| format!("m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:r{rest}").repeat(MAX_VIDEO_SLOTS));
    let offer = Offer::parse(&offer(1, &sections)).expect("a good offer");
    assert_eq!((offer.video_tracks().count(), offer.video_slots().count()), (2, MAX_VIDEO_SLOTS));
    let ssrcs: Vec<(u32, u32)> = (0..MAX_VIDEO_SLOTS as u32).map(|slot| (100 + 2 * slot, 101 + 2 * slot)).collect();
    let answer = offer.answer(&local(), &Ssrcs { slots: &[10], videos: &ssrcs, ..Ssrcs::default() });
    assert_eq!(answer.matches("a=inactive").count(), 4, "two that are sent, two that are received");
}

#[test]
fn sections_we_cannot_serve_are_rejected_in_their_place() {
    let video = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:v\r\na=sendrecv\r\na=rtpmap:96 H266/90000\r\n";
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\na=sctp-port:5000\r\n";
    let offer = Offer::parse(&offer(1, &format!("{video}{data}"))).expect("a good offer");
    let answer = offer.answer(&local(), &Ssrcs { slots: &[10], videos: &[], ..Ssrcs::default() });
    let media: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(media[2..], ["m=video 0 UDP/TLS/RTP/SAVPF 96", "m=application 0 UDP/DTLS/SCTP webrtc-datachannel"]);
    assert!(answer.contains("a=group:BUNDLE 0 1\r\n"));
}

#[test]
fn slots_beyond_the_limit_are_inactive() {
    let offer = Offer::parse(&offer(MAX_SLOTS + 3, "")).expect("a good offer");
    assert_eq!(offer.slots().count(), MAX_SLOTS);
    let answer =
        offer.answer(&local(), &Ssrcs { slots: &(1..=MAX_SLOTS as u32).collect::<Vec<_>>(), videos: &[], ..Ssrcs::default() });
    assert_eq!(answer.matches("a=sendonly").count(), MAX_SLOTS);
    assert_eq!(answer.matches("a=inactive").count(), 3);
}

#[test]
fn a_section_that_sends_and_receives_is_both_upstream_and_slot() {
    let offer = Offer::parse(&offer(1, "").replace("a=sendonly", "a=sendrecv")).expect("a good offer");
    assert_eq!((offer.slots().count(), offer.upstream().is_some()), (2, true));
    let answer = offer.answer(&local(), &Ssrcs { slots: &[10, 11], videos: &[], ..Ssrcs::default() });
    assert_eq!((answer.matches("a=sendrecv").count(), answer.matches("a=sendonly").count()), (1, 1));
}

#[test]
fn a_listener_that_sends_nothing_has_no_upstream() {
    let offer = Offer::parse(&offer(1, "").replace("a=sendonly", "a=inactive")).expect("a good offer");
    assert_eq!((offer.slots().count(), offer.upstream()), (1, None));
}

#[test]
fn a_section_without_a_port_is_stopped_unless_it_has_the_first_ones_transport() {
    // As GStreamer writes what is bundled (RFC 8843 §6).
    let (first, second) = ("m=audio 9", "m=audio 0");
    let text = offer(1, "").replacen(first, "m=first 9", 1).replacen(first, second, 1).replacen("m=first 9", first, 1);
    assert_eq!(Offer::parse(&text).expect("one section is left").slots().count(), 0);
    let bundled = text + "a=bundle-only\r\n";
    let offer = Offer::parse(&bundled).expect("both are good");
    assert_eq!((offer.upstream().is_some(), offer.slots().count()), (true, 1));
    assert!(offer.answer(&local(), &Ssrcs { slots: &[10], videos: &[], ..Ssrcs::default() }).contains("a=group:BUNDLE 0 1\r\n"));
}

#[test]
fn offers_that_cannot_be_answered_say_why() {
    let good = offer(1, "");
    let table = [
        (String::new(), "no section offers Opus, VP8, H.264, VP9 or AV1"),
        ("x".repeat(MAX_OFFER + 1), "the offer is too long"),
        ("m=audio 9\r\n".to_owned(), "a media section is cut short"),
        (good.replace("opus", "opera"), "no section offers Opus, VP8, H.264, VP9 or AV1"),
        (good.replace("a=ice-ufrag:abcd", "a=x:y"), "a=ice-ufrag is missing"),
        (good.replace("a=ice-ufrag:abcd", "a=ice-ufrag:abc"), "a=ice-ufrag has an impossible length"),
        (good.replace("a=ice-pwd:", "a=x:"), "a=ice-pwd is missing"),
        (good.replace("sha-256", "sha-512"), "a=fingerprint with sha-256 is missing"),
        (good.replace("AB:AB", "AB:XY"), "a=fingerprint is not a sha-256 digest"),
        (good.replace("actpass", "passive"), "the client must be able to start DTLS (a=setup:actpass or active)"),
        (good + &"m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(MAX_SECTIONS), "the offer has too many media sections"),
    ];
    for (text, expected) in table {
        assert_eq!(Offer::parse(&text).err(), Some(expected), "{}", &text[..text.len().min(60)]);
    }
}

#[test]
fn hostile_ids_are_not_taken() {
    let text = offer(1, "").replace("a=extmap:1 ", "a=extmap:15 ").replace("a=ssrc:4242", "a=ssrc:99999999999");
    let upstream = Offer::parse(&text).expect("still an offer").upstream().expect("still a sender");
    assert_eq!((upstream.opus.audio_level, upstream.ssrc), (None, None));
    let text = offer(1, "").replace("a=rtpmap:111 opus", "a=rtpmap:300 opus");
    assert_eq!(Offer::parse(&text).err(), Some("no section offers Opus, VP8, H.264, VP9 or AV1"));
}

#[test]
fn opus_is_asked_for_with_in_band_repair_silence_left_out_and_the_channels_bitrate() {
    let offer = Offer::parse(&offer(1, "")).expect("a good offer");
    let fmtp = |bitrate_bps| -> Vec<String> {
        let answer = offer.answer(&Local { bitrate_bps, ..local() }, &Ssrcs { slots: &[10], videos: &[], ..Ssrcs::default() });
        answer.lines().filter(|line| line.starts_with("a=fmtp:111 ")).map(str::to_owned).collect()
    };
    assert_eq!(fmtp(Some(64_000)), ["a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1;maxaveragebitrate=64000"; 2]);
    assert_eq!(fmtp(None), ["a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1"; 2]);
    assert!(
        fmtp(Some(1))[0].ends_with("maxaveragebitrate=6000") && fmtp(Some(u32::MAX))[0].ends_with("maxaveragebitrate=510000")
    );
}

#[test]
fn redundant_audio_is_taken_as_offered_and_in_the_offers_order() {
    let plain = offer(1, "");
    let opus = |text: &str| Offer::parse(text).expect("a good offer").upstream().expect("a sender").opus;
    assert_eq!((opus(&plain).red, opus(&plain).prefers_red), (Some(63), false));
    let preferred = plain.replace("SAVPF 111 63", "SAVPF 63 111");
    assert_eq!((opus(&preferred).red, opus(&preferred).prefers_red), (Some(63), true));
    let answer = Offer::parse(&preferred)
        .expect("a good offer")
        .answer(&local(), &Ssrcs { slots: &[10], videos: &[], ..Ssrcs::default() });
    assert_eq!(answer.matches("m=audio 50000 UDP/TLS/RTP/SAVPF 63 111\r\n").count(), 2);
    assert_eq!(answer.matches("a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n").count(), 2);
    // What carries anything but this Opus, or does not say what it carries, is not taken.
    for other in ["a=fmtp:63 111/0\r\n", "a=fmtp:63 \r\n", "a=fmtp:64 111/111\r\n", "", "a=fmtp:63 111/111/300\r\n"] {
        let text = plain.replace("a=fmtp:63 111/111\r\n", other);
        assert_eq!(opus(&text).red, None, "{other}");
        let answer =
            Offer::parse(&text).expect("a good offer").answer(&local(), &Ssrcs { slots: &[10], videos: &[], ..Ssrcs::default() });
        assert!(!answer.contains("red/") && answer.contains("SAVPF 111\r\n"));
    }
}

#[test]
fn who_would_ask_for_lost_audio_may_do_so_where_it_receives() {
    let plain = offer(2, "");
    assert!(
        !Offer::parse(&plain)
            .expect("a good offer")
            .answer(&local(), &Ssrcs { slots: &[10, 11], videos: &[], ..Ssrcs::default() })
            .contains("nack")
    );
    let asking = |value: &str| plain.replace("a=rtcp-fb:111 transport-cc", value);
    let answer = |text: &str| {
        Offer::parse(text).expect("a good offer").answer(&local(), &Ssrcs { slots: &[10, 11], videos: &[], ..Ssrcs::default() })
    };
    assert_eq!(answer(&asking("a=rtcp-fb:111 nack")).matches("a=rtcp-fb:111 nack\r\n").count(), 2, "not where it sends");
    for other in ["a=rtcp-fb:63 nack", "a=rtcp-fb:111 nack pli", "a=rtcp-fb:300 nack", "a=rtcp-fb:nack"] {
        assert!(!answer(&asking(other)).contains("nack"), "{other}");
    }
}

#[test]
fn sections_for_the_sound_of_screens_are_told_by_their_content() {
    let named = |text: String, mids: &[&str], content: &str| {
        mids.iter().fold(text, |text, mid| {
            text.replacen(&format!("a=mid:{mid}\r\n"), &format!("a=mid:{mid}\r\na=content:{content}\r\n"), 1)
        })
    };
    // A microphone and three slots, and behind them a section that sends.
    let sender =
        offer(0, "").split_once("m=audio").map(|(_, section)| section.replace("a=mid:0", "a=mid:9").replace("4242", "4343"));
    let all = offer(3, &format!("m=audio{}{}", sender.expect("a section"), chrome_video()));
    let read = |text: &str| {
        let offer = Offer::parse(text).expect("a good offer");
        let of = |upstream: Option<Upstream>| upstream.and_then(|upstream| upstream.ssrc);
        (of(offer.upstream()), offer.slots().count(), of(offer.sound()), offer.sound_slots().count())
    };
    let without_screen = |text: String| text.replace("a=mid:s\r\na=sendonly", "a=mid:s\r\na=inactive");
    for (what, text, expected) in [
        ("no content", all.clone(), (Some(4242), 3, None, 0)),
        ("another content", named(all.clone(), &["2", "9"], "speaker"), (Some(4242), 3, None, 0)),
        ("one slot and the sender", named(all.clone(), &["2", "9"], "slides"), (Some(4242), 2, Some(4343), 1)),
        ("among others", named(all.clone(), &["2", "9"], "main, slides"), (Some(4242), 2, Some(4343), 1)),
        ("the microphone's section", named(all.clone(), &["0"], "slides"), (Some(4343), 3, Some(4242), 0)),
        ("no screen", without_screen(named(all.clone(), &["2", "9"], "slides")), (Some(4242), 2, None, 1)),
        (
            "an SSRC that is not named",
            named(all.clone(), &["9"], "slides").replace("a=ssrc:4343", "a=x:"),
            (Some(4242), 3, None, 0),
        ),
        ("the voice's SSRC", named(all.clone(), &["9"], "slides").replace("4343", "4242"), (Some(4242), 3, None, 0)),
    ] {
        assert_eq!(read(&text), expected, "{what}");
    }
    let offer = Offer::parse(&named(all, &["2", "9"], "slides")).expect("a good offer");
    let answer = offer.answer(&local(), &Ssrcs { slots: &[10, 11], sounds: &[17], videos: &[(20, 21)] });
    let sections: Vec<&str> = answer.split("m=audio ").skip(1).collect();
    for (at, direction, ssrc) in [(2, "a=sendonly\r\n", "a=ssrc:17 msid:sound-0 sound-0-audio"), (4, "a=recvonly\r\n", "")] {
        let section = sections[at];
        assert!(section.starts_with("50000 UDP/TLS/RTP/SAVPF 111\r\n"), "plain Opus: {section}");
        assert!(section.contains(direction) && section.contains(ssrc) && section.contains("a=content:slides\r\n"), "{section}");
        assert!(section.contains(";stereo=1;sprop-stereo=1;maxaveragebitrate=128000\r\n"), "{section}");
        assert!(!section.contains("usedtx"), "silence between two notes is not sent anew: {section}");
    }
    assert!([0, 1, 3].iter().all(|&at| !sections[at].contains("stereo")), "voices stay as they are: {answer}");
    assert!(answer.contains("a=group:BUNDLE 0 1 2 3 9 c s r\r\n"));
}

#[test]
fn sounds_beyond_the_limit_are_inactive() {
    let text = offer(MAX_SOUNDS + 2, &chrome_video())
        .replace("a=recvonly\r\na=rtcp-mux\r\na=rtpmap:111", "a=recvonly\r\na=content:slides\r\na=rtpmap:111");
    let offer = Offer::parse(&text).expect("a good offer");
    assert_eq!((offer.slots().count(), offer.sound_slots().count()), (0, MAX_SOUNDS));
    let answer = offer.answer(&local(), &Ssrcs { sounds: &[17, 18, 19, 20], videos: &[(20, 21)], ..Ssrcs::default() });
    assert_eq!((answer.matches("msid:sound-3 ").count(), answer.matches("a=inactive").count()), (2, 2));
}
