//! Bad input to the voice gateway and the media port: documented close codes, and datagrams that change nothing while others
//! talk on.

use guildhall_loadtest::{
    VoiceGrant,
    voice::{Peer, signaling},
};
use guildhall_protocol::{GuildId, UserId};
use guildhall_tests::{
    DEADLINE,
    frames::distinct,
    room::{GCM, WEBRTC, XCHACHA},
    wire::Wire,
    world::World,
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::net::UdpSocket;

#[tokio::test]
async fn a_token_works_once_for_whom_it_was_made() {
    let world = World::start().await;
    let (ann, bob) = (world.member("ann").await, world.member("bob").await);
    let mut session = world.session(&ann).await;
    let grant = session.join_voice(world.guild, world.voice).await.expect("op 4 is answered");
    let other = world.session(&bob).await;

    let join = async |grant: VoiceGrant, what: &str| {
        let joined = Peer::join(&grant, &world.voice_options(GCM)).await;
        joined.err().unwrap_or_else(|| panic!("{what} must not join")).close_code()
    };
    let altered = |change: &dyn Fn(&mut VoiceGrant)| {
        let mut grant = grant.clone();
        change(&mut grant);
        grant
    };
    assert_eq!(join(altered(&|grant| grant.token = "nonsense".into()), "no token").await, Some(4004));
    assert_eq!(join(altered(&|grant| grant.token.insert(3, 'x')), "a changed token").await, Some(4004));
    assert_eq!(join(altered(&|grant| grant.token = String::new()), "an empty token").await, Some(4004));
    assert_eq!(join(altered(&|grant| grant.user_id = bob.user.id), "another user").await, Some(4004));
    assert_eq!(join(altered(&|grant| grant.user_id = UserId::new(1)), "nobody").await, Some(4004));
    assert_eq!(join(altered(&|grant| grant.guild_id = GuildId::new(1)), "another guild").await, Some(4004));
    let stolen = other.session_id().to_string();
    assert_eq!(join(altered(&|grant| grant.session_id = stolen.clone()), "another session").await, Some(4006));

    // None of that used it up; once it is used, it is.
    let mut peer = world.join(&grant, GCM).await;
    assert_eq!(join(grant.clone(), "a replayed token").await, Some(4006));

    // The replay did not touch who holds the place.
    let mut speaker = world.participant("sam", WEBRTC).await;
    let packets = distinct(5, 1);
    speaker.say(&packets).await;
    let heard = peer.hear_from(speaker.id(), packets.len()).await.expect("ann still hears");
    assert!(heard.iter().zip(&packets).all(|(heard, packet)| heard.payload[..] == packet[..]));
    // Nor is it of use after she left.
    session.set_voice(world.guild, None, false, false).await.expect("op 4 goes out");
    peer.signaling.end_within(DEADLINE).await.expect("the voice socket ends");
    assert_eq!(join(grant.clone(), "a token of a place that was left").await, Some(4006));
    speaker.peer.stop_speaking().await.expect("the room goes on");
    assert!(speaker.peer.heard_so_far().is_empty());
}

#[tokio::test]
async fn a_voice_client_that_breaks_the_protocol_is_closed_with_the_documented_code() {
    let world = World::start().await;
    let mut listener = world.participant("lou", GCM).await;
    let ann = world.member("ann").await;
    let mut session = world.session(&ann).await;

    let grant = session.join_voice(world.guild, world.voice).await.expect("op 4 is answered");
    let url = format!("ws://{}/?v=8", grant.endpoint);
    for (said, code) in [
        ("nonsense".to_string(), 4002),
        ("{}".to_string(), 4002),
        (json!({"op": "zero"}).to_string(), 4002),
        (json!({"op": 0, "d": {"server_id": {}, "token": 7}}).to_string(), 4002),
        (json!({"op": 77, "d": null}).to_string(), 4001),
        (json!({"op": 1, "d": {"protocol": "udp", "data": {"address": "127.0.0.1", "port": 9, "mode": "x"}}}).to_string(), 4003),
        (json!({"op": 5, "d": {"speaking": 1, "ssrc": 1, "delay": 0}}).to_string(), 4003),
    ] {
        let mut wire = Wire::open(&url).await;
        wire.hear_op(8).await;
        wire.text(said.clone()).await;
        assert_eq!(wire.close_code().await, code, "for {said}");
    }

    let udp = |data| json!({"op": 1, "d": {"protocol": "udp", "data": data}});
    let here = json!({"address": "127.0.0.1", "port": 9, "mode": "aead_aes256_gcm_rtpsize"});
    let identify = |grant: &VoiceGrant| json!({"op": 0, "d": {"server_id": grant.guild_id, "user_id": grant.user_id, "session_id": grant.session_id, "token": grant.token}});
    let mut grant = Some(grant);
    for (said, code) in [
        ("again".into(), 4005),
        (json!({"op": 1, "d": {"protocol": "carrier pigeon", "data": {}}}), 4012),
        (udp(json!({"address": "127.0.0.1", "port": 9, "mode": "xsalsa20_poly1305"})), 4016),
        (udp(json!({"address": "localhost", "port": 9, "mode": "aead_aes256_gcm_rtpsize"})), 4020),
        (json!({"op": 1, "d": {"protocol": "webrtc", "data": "v=0\r\nnonsense"}}), 4020),
        (json!({"op": 1, "d": {"protocol": "udp", "data": 5}}), 4002),
    ] {
        // Each try is a join of its own: a closed one has used its token.
        let grant = match grant.take() {
            Some(grant) => grant,
            None => session.join_voice(world.guild, world.voice).await.expect("op 4 is answered"),
        };
        let mut wire = Wire::open(&url).await;
        wire.json(identify(&grant)).await;
        wire.hear_op(2).await;
        wire.json(if said == "again" { identify(&grant) } else { said.clone() }).await;
        assert_eq!(wire.close_code().await, code, "for {said}");
        session.set_voice(world.guild, None, false, false).await.expect("op 4 goes out");
        session.next_named("VOICE_STATE_UPDATE", |state| state["channel_id"].is_null()).await.expect("she has left");
    }
    // Selecting a protocol twice is refused as well.
    let grant = session.join_voice(world.guild, world.voice).await.expect("op 4 is answered");
    let mut wire = Wire::open(&url).await;
    wire.json(identify(&grant)).await;
    wire.hear_op(2).await;
    wire.json(udp(here.clone())).await;
    wire.hear_op(4).await;
    wire.json(udp(here)).await;
    assert_eq!(wire.close_code().await, 4020);

    // Resumes of what never was.
    for (token, code) in [("nonsense", 4004), (grant.token.as_str(), 4006)] {
        let mut wire = Wire::open(&url).await;
        wire.json(json!({"op": 7, "d": {"server_id": world.guild, "session_id": "nobody", "token": token, "seq_ack": 0}})).await;
        assert!([code, 4006].contains(&wire.close_code().await), "a resume with {token}");
    }

    // The room did not notice.
    let speaker = world.participant("sam", WEBRTC).await;
    let packets = distinct(5, 1);
    speaker.say(&packets).await;
    listener.hears_exactly(speaker.id(), &packets).await;
}

#[tokio::test]
async fn datagrams_that_prove_nothing_change_nothing() {
    let world = World::start().await;
    let mut listener = world.participant("lou", XCHACHA).await;
    let mut browser = world.participant("webb", WEBRTC).await;
    let speaker = world.participant("sam", GCM).await;
    let victim = world.participant("vic", GCM).await;
    let native = speaker.peer.native().expect("a native peer");
    let (_, media) = native.addresses().expect("connected");
    let outside = UdpSocket::bind("127.0.0.1:0").await.expect("a loopback port");
    let mut random = StdRng::seed_from_u64(7);

    let packets = distinct(50, 1);
    speaker.peer.start_speaking().await.expect("op 5 goes out");
    for packet in &packets {
        for datagram in bad_datagrams(&mut random, speaker.peer.ssrc, victim.peer.native().expect("native").seal_opus(packet)) {
            outside.send_to(&datagram, media).await.expect("loopback takes it");
            // From an address that is known, too.
            native.send_datagram(&datagram).await.expect("loopback takes it");
        }
        speaker.peer.send_opus(packet).await.expect("a packet goes out");
        listener.hears_exactly(speaker.id(), std::slice::from_ref(packet)).await;
        browser.hears_exactly(speaker.id(), std::slice::from_ref(packet)).await;
    }

    // A packet that was already heard, again, from its own address and from another: dropped, and the peer's address stays.
    let repeated = native.seal_opus(&packets[0]);
    native.send_datagram(&repeated).await.expect("loopback takes it");
    listener.hears_exactly(speaker.id(), &packets[..1]).await;
    browser.hears_exactly(speaker.id(), &packets[..1]).await;
    native.send_datagram(&repeated).await.expect("loopback takes it");
    outside.send_to(&repeated, media).await.expect("loopback takes it");
    let after = distinct(5, 2);
    speaker.say(&after).await;
    listener.hears_exactly(speaker.id(), &after).await;
    browser.hears_exactly(speaker.id(), &after).await;

    // The one whose packets were forged is still where it was, and hears.
    let reply = distinct(3, 3);
    listener.say(&reply).await;
    let mut victim = victim;
    let heard = victim.peer.hear_from(listener.id(), reply.len()).await.expect("the victim hears");
    assert!(heard.iter().zip(&reply).all(|(heard, packet)| heard.payload[..] == packet[..]));
    let mut byte = [0; 2048];
    let echoed = outside.try_recv(&mut byte);
    assert!(echoed.is_err(), "the server answers nothing to an address that proved nothing: {echoed:?}");
}

/// Noise, cut headers, RTP without keys, forged STUN and DTLS, another peer's packet with a bit turned.
fn bad_datagrams(random: &mut StdRng, ssrc: u32, mut sealed: Vec<u8>) -> Vec<Vec<u8>> {
    let mut noise = vec![0; random.random_range(1..1400)];
    random.fill_bytes(&mut noise);
    let mut rtp = vec![0x80, 0x78, 0, 1, 0, 0, 0, 1];
    rtp.extend_from_slice(&ssrc.to_be_bytes());
    let bare = rtp.clone();
    rtp.extend_from_slice(&noise[..noise.len().min(100)]);
    let mut extension = rtp.clone();
    extension[0] |= 0x1f;
    let mut rtcp = rtp.clone();
    rtcp[1] = 203;
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    stun.extend_from_slice(&[7; 12]);
    let dtls = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, 0, 0];
    let last = sealed.len() - 5;
    sealed[last] ^= 1;
    vec![noise, bare, rtp, extension, rtcp, stun, dtls, sealed, Vec::new(), vec![0x80]]
}

#[tokio::test]
async fn rtp_before_keys_is_dropped_and_the_join_still_succeeds() {
    let world = World::start().await;
    let mut listener = world.participant("lou", GCM).await;
    let ann = world.member("ann").await;
    let mut session = world.session(&ann).await;
    let grant = session.join_voice(world.guild, world.voice).await.expect("op 4 is answered");
    let connect =
        signaling::Connect { version: Some(8), is_tls: false, trust: guildhall_loadtest::Trust::none(), wants_video: false };
    let (mut socket, ready) = signaling::Signaling::identify(&connect, &grant, Default::default()).await.expect("op 2 comes");

    let early = UdpSocket::bind("127.0.0.1:0").await.expect("a loopback port");
    let mut rtp = vec![0x80, 0x78, 0, 1, 0, 0, 0, 1];
    rtp.extend_from_slice(&ready.ssrc.to_be_bytes());
    rtp.extend_from_slice(&[0x5a; 60]);
    for _ in 0..20 {
        early.send_to(&rtp, (ready.ip, ready.port)).await.expect("loopback takes it");
    }
    let data =
        json!({"address": "127.0.0.1", "port": early.local_addr().expect("bound").port(), "mode": "aead_aes256_gcm_rtpsize"});
    socket.send(1, json!({"protocol": "udp", "data": data})).await.expect("op 1 goes out");
    socket.next(|signal| signal.op == 4).await.expect("op 4 comes all the same");
    for _ in 0..20 {
        early.send_to(&rtp, (ready.ip, ready.port)).await.expect("loopback takes it");
    }

    let speaker = world.participant("sam", GCM).await;
    let packets = distinct(5, 1);
    speaker.say(&packets).await;
    listener.hears_exactly(speaker.id(), &packets).await;
}
