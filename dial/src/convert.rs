//! Between our values and those of the wire. What does not fit (a newer message, an impossible name) is `None`, and passed
//! over by the reader.

use crate::wire;
use crate::wire::from_node::Message as From;
use crate::wire::to_node::Message as To;
use guildhall_protocol::fleet::{
    Epoch, FromNode, Hello, Load, Medium, Participant, Policy, Recorded, RecordingOrder, Secret, Sitting, ToNode,
};
use guildhall_protocol::{ChannelId, GuildId, RecordingId, UserId};

pub fn to_node(message: ToNode) -> wire::ToNode {
    let message = match message {
        ToNode::Welcome { voice_key } => To::Welcome(wire::Welcome { voice_key: voice_key.0.to_vec() }),
        ToNode::Open { room, epoch } => To::Open(room_epoch(room, epoch)),
        ToNode::Close { room, epoch } => To::Close(room_epoch(room, epoch)),
        ToNode::SetPolicy { participant, policy } => {
            To::SetPolicy(wire::SetPolicy { participant: Some(participant_out(participant)), policy: Some(policy_out(policy)) })
        }
        ToNode::Disconnect { participant, as_of_ms } => {
            To::Disconnect(wire::Disconnect { participant: Some(participant_out(participant)), as_of_ms })
        }
        ToNode::Record(RecordingOrder { recording, room, since_ms, is_over, video }) => {
            To::Record(wire::Record { recording: recording.get(), room: room.get(), since_ms, is_over, video })
        }
    };
    wire::ToNode { message: Some(message) }
}

pub fn read_to_node(message: wire::ToNode) -> Option<ToNode> {
    Some(match message.message? {
        To::Welcome(welcome) => ToNode::Welcome { voice_key: Secret(welcome.voice_key.try_into().ok()?) },
        To::Open(open) => ToNode::Open { room: ChannelId::new(open.room), epoch: Epoch(open.epoch) },
        To::Close(close) => ToNode::Close { room: ChannelId::new(close.room), epoch: Epoch(close.epoch) },
        To::SetPolicy(set) => ToNode::SetPolicy { participant: participant_in(set.participant?), policy: policy_in(set.policy?) },
        To::Disconnect(wire::Disconnect { participant, as_of_ms }) => {
            ToNode::Disconnect { participant: participant_in(participant?), as_of_ms }
        }
        To::Record(wire::Record { recording, room, since_ms, is_over, video }) => {
            let (recording, room) = (RecordingId::new(recording), ChannelId::new(room));
            ToNode::Record(RecordingOrder { recording, room, since_ms, is_over, video })
        }
    })
}

pub fn from_node(message: FromNode) -> wire::FromNode {
    let message = match message {
        FromNode::Hello { hello, rooms, sittings } => From::Hello(hello_out(hello, rooms, sittings)),
        FromNode::Alive => From::Alive(wire::Alive {}),
        FromNode::Load(load) => From::Load(load_out(load)),
        FromNode::Opened { room, epoch } => From::Opened(room_epoch(room, epoch)),
        FromNode::Ended { room, epoch } => From::Ended(room_epoch(room, epoch)),
        FromNode::Joined(sitting) => From::Joined(sitting_out(sitting)),
        FromNode::Left(sitting) => From::Left(sitting_out(sitting)),
        FromNode::Leaving { within_ms } => From::Leaving(wire::Leaving { within_ms }),
        FromNode::Recorded(recorded) => From::Recorded(recorded_out(recorded)),
        FromNode::Recording { recording, is_over } => From::Recording(wire::Recording { recording: recording.get(), is_over }),
        FromNode::Goodbye => From::Goodbye(wire::Goodbye {}),
    };
    wire::FromNode { message: Some(message) }
}

pub fn read_from_node(message: wire::FromNode) -> Option<FromNode> {
    Some(match message.message? {
        From::Hello(hello) => hello_in(hello)?,
        From::Alive(_) => FromNode::Alive,
        From::Load(load) => FromNode::Load(load_in(load)),
        From::Opened(it) => FromNode::Opened { room: ChannelId::new(it.room), epoch: Epoch(it.epoch) },
        From::Ended(it) => FromNode::Ended { room: ChannelId::new(it.room), epoch: Epoch(it.epoch) },
        From::Joined(sitting) => FromNode::Joined(sitting_in(sitting)?),
        From::Left(sitting) => FromNode::Left(sitting_in(sitting)?),
        From::Leaving(leaving) => FromNode::Leaving { within_ms: leaving.within_ms },
        From::Recorded(recorded) => FromNode::Recorded(recorded_in(recorded)?),
        From::Recording(it) => FromNode::Recording { recording: RecordingId::new(it.recording), is_over: it.is_over },
        From::Goodbye(_) => FromNode::Goodbye,
    })
}

fn recorded_out(recorded: Recorded) -> wire::Recorded {
    let Recorded { recording, user, medium, start_ms, number, length_ms, lost, bytes } = recorded;
    let (recording, user, medium) = (recording.get(), user.get(), medium.number());
    wire::Recorded { recording, user, start_ms, number, length_ms, lost, bytes, medium }
}

fn recorded_in(recorded: wire::Recorded) -> Option<Recorded> {
    let wire::Recorded { recording, user, start_ms, number, length_ms, lost, bytes, medium } = recorded;
    let (recording, user, medium) = (RecordingId::new(recording), UserId::new(user), Medium::from_number(medium)?);
    Some(Recorded { recording, user, medium, start_ms, number, length_ms, lost, bytes })
}

fn room_epoch(room: ChannelId, epoch: Epoch) -> wire::RoomEpoch {
    wire::RoomEpoch { room: room.get(), epoch: epoch.0 }
}

fn participant_out(participant: Participant) -> wire::Participant {
    let Participant { guild_id, channel_id, user_id, session_id } = participant;
    wire::Participant { guild_id: guild_id.get(), channel_id: channel_id.get(), user_id: user_id.get(), session_id }
}

fn participant_in(participant: wire::Participant) -> Participant {
    let wire::Participant { guild_id, channel_id, user_id, session_id } = participant;
    Participant {
        guild_id: GuildId::new(guild_id),
        channel_id: ChannelId::new(channel_id),
        user_id: UserId::new(user_id),
        session_id,
    }
}

fn policy_out(policy: Policy) -> wire::Policy {
    let Policy { can_speak, self_mute, is_deafened, is_priority, bitrate_bps, can_stream } = policy;
    wire::Policy { can_speak, self_mute, is_deafened, is_priority, bitrate_bps, can_stream }
}

fn policy_in(policy: wire::Policy) -> Policy {
    let wire::Policy { can_speak, self_mute, is_deafened, is_priority, bitrate_bps, can_stream } = policy;
    Policy { can_speak, self_mute, is_deafened, is_priority, bitrate_bps, can_stream }
}

fn sitting_out(sitting: Sitting) -> wire::Sitting {
    let Sitting { participant, token_id, epoch, issuer, policy } = sitting;
    let (participant, policy) = (Some(participant_out(participant)), Some(policy_out(policy)));
    wire::Sitting { participant, token_id, epoch: epoch.0, issuer, policy }
}

fn sitting_in(sitting: wire::Sitting) -> Option<Sitting> {
    let wire::Sitting { participant, token_id, epoch, issuer, policy } = sitting;
    let (participant, policy) = (participant_in(participant?), policy_in(policy?));
    Some(Sitting { participant, token_id, epoch: Epoch(epoch), issuer, policy })
}

fn hello_out(hello: Hello, rooms: Vec<(ChannelId, Epoch)>, sittings: Vec<Sitting>) -> wire::Hello {
    let Hello { id, region, endpoint, media, version, software, egress_cap_bps, incarnation } = hello;
    wire::Hello {
        id: id.into(),
        region: region.into(),
        endpoint,
        media: media.iter().map(ToString::to_string).collect(),
        version: version.into(),
        software,
        egress_cap_bps,
        incarnation,
        rooms: rooms.into_iter().map(|(room, epoch)| room_epoch(room, epoch)).collect(),
        sittings: sittings.into_iter().map(sitting_out).collect(),
    }
}

fn hello_in(hello: wire::Hello) -> Option<FromNode> {
    let rooms = hello.rooms.into_iter().map(|it| (ChannelId::new(it.room), Epoch(it.epoch))).collect();
    let sittings = hello.sittings.into_iter().filter_map(sitting_in).collect();
    let hello = Hello {
        id: hello.id.parse().ok()?,
        region: hello.region.parse().ok()?,
        // A node elsewhere is reached at an address of its own.
        endpoint: Some(hello.endpoint).filter(|endpoint| !endpoint.is_empty())?,
        media: hello.media.iter().filter_map(|address| address.parse().ok()).collect(),
        version: hello.version.try_into().ok()?,
        software: hello.software,
        egress_cap_bps: hello.egress_cap_bps,
        incarnation: hello.incarnation,
    };
    Some(FromNode::Hello { hello, rooms, sittings })
}

fn load_out(load: Load) -> wire::Load {
    wire::Load {
        busy: load.busy,
        workers: load.workers,
        peers: load.peers,
        rooms: load.rooms,
        packets_in: load.packets_in,
        packets_out: load.packets_out,
        ingress_bps: load.ingress_bps,
        egress_bps: load.egress_bps,
        drops: load.drops,
        forward_p50_us: load.forward_p50_us,
        forward_p99_us: load.forward_p99_us,
    }
}

fn load_in(load: wire::Load) -> Load {
    // What is no share would win or lose every comparison.
    let share = |busy: f32| if busy.is_finite() { busy.clamp(0.0, 1.0) } else { 1.0 };
    Load {
        busy: share(load.busy),
        workers: load.workers.into_iter().map(share).collect(),
        peers: load.peers,
        rooms: load.rooms,
        packets_in: load.packets_in,
        packets_out: load.packets_out,
        ingress_bps: load.ingress_bps,
        egress_bps: load.egress_bps,
        drops: load.drops,
        forward_p50_us: load.forward_p50_us,
        forward_p99_us: load.forward_p99_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn sitting() -> Sitting {
        let (guild_id, channel_id, user_id) = (GuildId::new(1), ChannelId::new(u64::MAX), UserId::new(3));
        let participant = Participant { guild_id, channel_id, user_id, session_id: "s".into() };
        let policy = Policy {
            can_speak: true,
            self_mute: false,
            is_deafened: true,
            is_priority: false,
            bitrate_bps: Some(64_000),
            can_stream: true,
        };
        Sitting { participant, token_id: u64::MAX, epoch: Epoch(5), issuer: 6, policy }
    }

    fn hello() -> FromNode {
        let hello = Hello {
            id: "voice-1".into(),
            region: "eu".parse().unwrap(),
            endpoint: "voice.example:443".into(),
            media: vec!["192.0.2.1:50000".parse().unwrap(), "[2001:db8::1]:50000".parse().unwrap()],
            version: 1,
            software: "0.1".into(),
            egress_cap_bps: 1 << 40,
            incarnation: u64::MAX,
        };
        FromNode::Hello { hello, rooms: vec![(ChannelId::new(2), Epoch(5))], sittings: vec![sitting()] }
    }

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let (room, epoch) = (ChannelId::new(2), Epoch(5));
        let load = Load { busy: 0.5, workers: vec![0.25, 0.5], peers: 7, drops: 3, forward_p99_us: 150, ..Load::default() };
        let reports = [
            hello(),
            FromNode::Alive,
            FromNode::Load(load),
            FromNode::Opened { room, epoch },
            FromNode::Ended { room, epoch },
            FromNode::Joined(sitting()),
            FromNode::Left(sitting()),
            FromNode::Leaving { within_ms: 5 },
            FromNode::Recording { recording: RecordingId::new(6), is_over: true },
            FromNode::Recorded(Recorded {
                recording: RecordingId::new(6),
                user: UserId::new(3),
                medium: Medium::ALL[4],
                start_ms: 40,
                number: 2,
                length_ms: 9_000,
                lost: 1,
                bytes: vec![1, 2, 3],
            }),
            FromNode::Goodbye,
        ];
        for report in reports {
            let bytes = from_node(report.clone()).encode_to_vec();
            assert_eq!(read_from_node(wire::FromNode::decode(&bytes[..]).unwrap()), Some(report));
        }
        let Sitting { participant, policy, .. } = sitting();
        let orders = [
            ToNode::Welcome { voice_key: Secret([9; 32]) },
            ToNode::Open { room, epoch },
            ToNode::Close { room, epoch },
            ToNode::SetPolicy { participant: participant.clone(), policy },
            ToNode::Disconnect { participant, as_of_ms: 1_800_000_000_000 },
            ToNode::Record(RecordingOrder { recording: RecordingId::new(6), room, since_ms: 7, is_over: false, video: true }),
        ];
        for order in orders {
            let bytes = to_node(order.clone()).encode_to_vec();
            assert_eq!(read_to_node(wire::ToNode::decode(&bytes[..]).unwrap()), Some(order));
        }
    }

    #[test]
    fn what_does_not_fit_is_passed_over() {
        assert_eq!(read_from_node(wire::FromNode { message: None }), None, "of a newer version");
        for (id, region, endpoint) in [("a b", "eu", "x"), ("a", "E U", "x"), ("a", "eu", "")] {
            let FromNode::Hello { mut hello, .. } = hello() else { unreachable!() };
            hello.id = id.into();
            let mut sent = hello_out(hello, Vec::new(), Vec::new());
            (sent.region, sent.endpoint) = (region.into(), endpoint.into());
            assert_eq!(hello_in(sent), None, "{id} {region} {endpoint}");
        }
        let load = load_in(wire::Load { busy: f32::NAN, workers: vec![7.0], ..load_out(Load::default()) });
        assert_eq!((load.busy, &load.workers[..]), (1.0, &[1.0][..]));
    }
}
