use super::*;
use crate::{ChannelId, GuildId, UserId};

fn check(text: &str, expected: Result<ClientFrame, FrameError>) {
    assert_eq!(ClientFrame::read(text), expected, "{text}");
}

fn identify(intents: Option<Intents>, shard: Shard, presence: Option<PresenceUpdate>) -> ClientFrame {
    ClientFrame::Identify(Identify { token: "t".to_owned(), intents, large_threshold: 50, shard, presence })
}

#[test]
fn heartbeats_come_as_numbers_null_or_objects() {
    check(r#"{"op":1,"d":251}"#, Ok(ClientFrame::Heartbeat(Some(251))));
    check(r#"{"op":1,"d":null}"#, Ok(ClientFrame::Heartbeat(None)));
    check(r#"{"op":1}"#, Ok(ClientFrame::Heartbeat(None)));
    check(r#"{"op":1,"d":-1}"#, Ok(ClientFrame::Heartbeat(None)));
    check(r#"{"op":1,"d":{"seq":7,"qos":{}}}"#, Ok(ClientFrame::Heartbeat(Some(7))));
    check(r#"{"op":1,"d":"x"}"#, Err(FrameError::BadPayload(1)));
}

#[test]
fn an_identify_needs_a_token_and_forgives_the_rest() {
    check(r#"{"op":2,"d":{"token":"t","intents":513,"properties":{}}}"#, Ok(identify(Some(Intents(513)), Shard::WHOLE, None)));
    // twilight's null presence, Eris' offline status, serenity's object as `since`.
    check(
        r#"{"op":2,"d":{"token":"t","presence":null,"shard":[1,2],"compress":true}}"#,
        Ok(identify(None, Shard { id: 1, count: 2 }, None)),
    );
    let invisible = PresenceUpdate { status: Status::Invisible, activities: Vec::new() };
    check(
        r#"{"op":2,"d":{"token":"t","presence":{"status":"offline","activities":null,"since":{"secs_since_epoch":1}}}}"#,
        Ok(identify(None, Shard::WHOLE, Some(invisible))),
    );
    check(r#"{"op":2,"d":{"intents":513}}"#, Err(FrameError::BadPayload(2)));
    check(r#"{"op":2,"d":{"token":"t","shard":[1]}}"#, Err(FrameError::BadPayload(2)));
    check(r#"{"op":2,"d":{"token":"t","intents":"many"}}"#, Err(FrameError::BadPayload(2)));
}

#[test]
fn voice_states_take_ids_as_integers() {
    let update = |channel_id| {
        Ok(ClientFrame::VoiceStateUpdate(VoiceStateUpdate {
            guild_id: GuildId::new(1 << 60),
            channel_id,
            self_mute: true,
            ..VoiceStateUpdate::default()
        }))
    };
    check(
        r#"{"op":4,"d":{"guild_id":1152921504606846976,"channel_id":5,"self_mute":true,"self_deaf":null}}"#,
        update(Some(ChannelId::new(5))),
    );
    check(r#"{"op":4,"d":{"guild_id":"1152921504606846976","channel_id":null,"self_mute":true}}"#, update(None));
    check(r#"{"op":4,"d":{"channel_id":"5"}}"#, Err(FrameError::BadPayload(4)));
}

#[test]
fn voice_states_carry_distances_to_regions() {
    let rtts = |frame: &str| match ClientFrame::read(frame) {
        Ok(ClientFrame::VoiceStateUpdate(update)) => {
            update.region_rtts.into_iter().map(|(region, ms)| (region.as_str().to_owned(), ms)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let of = |pairs: &[(&str, u16)]| pairs.iter().map(|(region, ms)| ((*region).to_owned(), *ms)).collect::<Vec<_>>();
    assert_eq!(
        rtts(r#"{"op":4,"d":{"guild_id":"1","region_rtts":{"eu":12.7,"us":1e9,"Not a region":3,"x":"y"}}}"#),
        of(&[("eu", 12), ("us", 10_000)])
    );
    assert_eq!(rtts(r#"{"op":4,"d":{"guild_id":"1","preferred_regions":["eu",5,"us"]}}"#), of(&[("eu", 30), ("us", 60)]));
    assert_eq!(rtts(r#"{"op":4,"d":{"guild_id":"1","region_rtts":[],"preferred_regions":null}}"#), of(&[]));
}

#[test]
fn member_requests_ask_by_name_or_by_id() {
    let request = |wanted, nonce: Option<&str>| {
        let nonce = nonce.map(str::to_owned);
        Ok(ClientFrame::RequestMembers(RequestMembers { guild_id: GuildId::new(9), wanted, presences: false, nonce }))
    };
    check(
        r#"{"op":8,"d":{"guild_id":"9","query":"","limit":0,"nonce":"n"}}"#,
        request(WantedMembers::Query { query: String::new(), limit: 0 }, Some("n")),
    );
    check(
        r#"{"op":8,"d":{"guild_id":["9"],"user_ids":[1,"2"]}}"#,
        request(WantedMembers::Ids(vec![UserId::new(1), UserId::new(2)]), None),
    );
    check(r#"{"op":8,"d":{"guild_id":9,"user_ids":"3"}}"#, request(WantedMembers::Ids(vec![UserId::new(3)]), None));
    let long = "n".repeat(33);
    check(
        &format!(r#"{{"op":8,"d":{{"guild_id":9,"user_ids":[],"nonce":"{long}"}}}}"#),
        request(WantedMembers::Ids(vec![]), None),
    );
    let many = vec!["1"; 101].join(",");
    check(&format!(r#"{{"op":8,"d":{{"guild_id":9,"user_ids":[{many}]}}}}"#), Err(FrameError::BadPayload(8)));
}

#[test]
fn people_look_at_ranges_of_member_lists() {
    let looks = |channels| GuildSubscription { guild_id: GuildId::new(9), channels };
    check(
        r#"{"op":14,"d":{"guild_id":"9","typing":true,"channels":{"5":[[0,99],[100,199]],"x":[[0,99]],"6":[[5,1],[0,100]]}}}"#,
        Ok(ClientFrame::Subscribe(vec![looks(Some(vec![(ChannelId::new(5), vec![(0, 99), (100, 199)])]))])),
    );
    check(r#"{"op":14,"d":{"guild_id":9,"members":["1"]}}"#, Ok(ClientFrame::Subscribe(vec![looks(None)])));
    check(r#"{"op":14,"d":{}}"#, Ok(ClientFrame::Subscribe(Vec::new())));
    check(
        r#"{"op":37,"d":{"subscriptions":{"9":{"channels":{"5":[[0,99]]}},"none":{}}}}"#,
        Ok(ClientFrame::Subscribe(vec![looks(Some(vec![(ChannelId::new(5), vec![(0, 99)])]))])),
    );
}

#[test]
fn what_is_no_frame_is_an_error_and_an_unknown_opcode_is_not() {
    for text in ["", "null", "[]", "{}", r#"{"op":"1"}"#, r#"{"op":-1}"#, "{\"op\":1"] {
        check(text, Err(FrameError::NotAFrame));
    }
    check(r#"{"op":13,"d":{}}"#, Ok(ClientFrame::Unknown(13)));
    check(r#"{"op":4000}"#, Ok(ClientFrame::Unknown(4000)));
}

#[test]
fn every_guild_belongs_to_one_shard() {
    for raw in [1u64 << 22, (7 << 22) | 5, u64::MAX >> 1] {
        let holders = (0..3).filter(|&id| Shard { id, count: 3 }.holds(GuildId::new(raw))).count();
        assert_eq!(holders, 1);
        assert!(Shard::WHOLE.holds(GuildId::new(raw)));
    }
}
