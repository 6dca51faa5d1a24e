//! The worker over real sockets on loopback: threads, batches, events, stopping.

use guildhall_protocol::fleet::Policy;
use guildhall_sfu::cipher::{Inbound, Outbound};
use guildhall_sfu::rtp::{Header, NATIVE_OPUS, Outgoing};
use guildhall_sfu::{Config, NativeSuite, PeerEvent, ROOM_SHARE, Reason, RoomId, Sfu, SfuError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

const OPEN: Policy =
    Policy { can_speak: true, self_mute: false, is_deafened: false, is_priority: false, bitrate_bps: None, can_stream: true };
const SUITE: NativeSuite = NativeSuite::XChaCha20Poly1305Rtpsize;
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

fn start(workers: usize) -> Sfu {
    start_sharing(workers, ROOM_SHARE)
}

/// With so many of a room on one worker.
fn start_sharing(workers: usize, room_share: usize) -> Sfu {
    let bind = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); workers];
    Sfu::start(Config { bind, advertise: Vec::new(), tcp_port: None, room_share }).expect("loopback has free ports")
}

struct Bot {
    socket: UdpSocket,
    ssrc: u32,
    inbound: Inbound,
    outbound: Outbound,
    events: mpsc::Receiver<PeerEvent>,
    peer: guildhall_sfu::PeerId,
    sequence: u16,
}

impl Bot {
    async fn join(sfu: &Sfu, room: u64) -> Bot {
        Bot::join_from(sfu, room, Ipv4Addr::LOCALHOST.into()).await
    }

    async fn join_from(sfu: &Sfu, room: u64, ip: IpAddr) -> Bot {
        let (sender, events) = mpsc::channel(16);
        let joined = sfu.join(RoomId(room), OPEN, sender).await.expect("there is room");
        let socket = UdpSocket::bind((ip, 0)).await.expect("a free port");
        socket.connect((ip, joined.address.port())).await.expect("loopback");
        let mut discovery = [0; 74];
        discovery[..4].copy_from_slice(&[0, 1, 0, 70]);
        discovery[4..8].copy_from_slice(&joined.ssrc.to_be_bytes());
        socket.send(&discovery).await.expect("loopback");
        let mut answer = [0; 100];
        let len = timeout(PATIENCE, socket.recv(&mut answer)).await.expect("in time").expect("loopback");
        let text = format!("{ip}\0");
        assert_eq!((len, &answer[8..8 + text.len()]), (74, text.as_bytes()));
        let own = socket.local_addr().expect("bound");
        assert_eq!(answer[72..74], own.port().to_be_bytes());
        let key = sfu.connect_native(joined.peer, SUITE, own).await.expect("the peer has a place");
        let mut outbound = Outbound::native(SUITE, &key);
        outbound.observe(1 << 31);
        let mut bot = Bot {
            socket,
            ssrc: joined.ssrc,
            inbound: Inbound::native(SUITE, &key),
            outbound,
            events,
            peer: joined.peer,
            sequence: 1,
        };
        assert_eq!(timeout(PATIENCE, bot.events.recv()).await.expect("in time"), Some(PeerEvent::Connected));
        bot
    }

    async fn say(&mut self, payload: &[u8]) {
        let outgoing = Outgoing {
            marker: false,
            payload_type: NATIVE_OPUS,
            sequence: self.sequence,
            timestamp: 960 * u32::from(self.sequence),
            ssrc: self.ssrc,
            audio_level: None,
            transport: None,
        };
        self.sequence += 1;
        let mut datagram = [0; 1500];
        let header_len = outgoing.write(&mut datagram);
        let len = self.outbound.seal(&mut datagram, header_len, 0, payload);
        self.socket.send(&datagram[..len]).await.expect("loopback");
    }

    async fn hear(&mut self) -> (u32, Vec<u8>) {
        let mut datagram = [0; 1500];
        let len = timeout(PATIENCE, self.socket.recv(&mut datagram)).await.expect("in time").expect("loopback");
        let header = Header::parse(&datagram[..len]).expect("RTP");
        let opened = self.inbound.open(&mut datagram[..len], &header, 0).expect("what the server sealed opens");
        (header.ssrc, datagram[opened.payload].to_vec())
    }
}

#[tokio::test]
async fn bots_hear_each_other_and_the_counters_say_so() {
    let sfu = start(1);
    let (mut a, mut b, mut c) = (Bot::join(&sfu, 1).await, Bot::join(&sfu, 1).await, Bot::join(&sfu, 1).await);
    for n in 0..200u32 {
        let payload = n.to_be_bytes().repeat(20);
        a.say(&payload).await;
        assert_eq!(b.hear().await, (a.ssrc, payload.clone()));
        assert_eq!(c.hear().await, (a.ssrc, payload));
    }
    let stats = sfu.stats().await;
    let worker = &stats.workers[0];
    assert_eq!((stats.peers(), stats.rooms()), (3, 1));
    assert_eq!((worker.traffic.audio_in, worker.traffic.audio_out), (200, 400));
    assert_eq!(worker.traffic.packets_out, 403, "the copies and three answers to discovery");
    assert!(worker.busy > Duration::ZERO && worker.idle > Duration::ZERO);
    assert_eq!(worker.delays.count(), 200, "the kernel said when each of them came");
    assert!(worker.delays.sum() > Duration::ZERO && worker.delays.sum() < PATIENCE);

    // A policy holds for what is said after it.
    sfu.set_policy(a.peer, Policy { can_speak: false, ..OPEN }).await.expect("the peer has a place");
    a.say(b"muted").await;
    b.say(b"heard").await;
    assert_eq!(c.hear().await.1, b"heard");
    assert_eq!(sfu.stats().await.dropped(Reason::Muted), 1);
    assert_eq!(a.hear().await.1, b"heard");

    sfu.leave(b.peer).await.expect("the peer has a place");
    assert_eq!(sfu.leave(b.peer).await, Err(SfuError::UnknownPeer));
    assert_eq!(timeout(PATIENCE, b.events.recv()).await.expect("in time"), None);
    sfu.shutdown();
    assert_eq!(sfu.set_policy(a.peer, OPEN).await, Err(SfuError::Stopped));
}

#[tokio::test]
async fn one_socket_serves_both_ip_versions() {
    // Containers without IPv6 exist; there the fallback to IPv4 is what can be shown.
    let has_ipv6 = std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let bind = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))];
    let advertise = vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
    let sfu = Sfu::start(Config { bind, advertise, tcp_port: None, room_share: ROOM_SHARE }).expect("there are free ports");
    let mut v4 = Bot::join(&sfu, 1).await;
    let other = if has_ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    let mut v6 = Bot::join_from(&sfu, 1, other).await;
    v4.say(b"from IPv4").await;
    assert_eq!(v6.hear().await.1, b"from IPv4");
    v6.say(b"from IPv6").await;
    assert_eq!(v4.hear().await.1, b"from IPv6");
    sfu.shutdown();
}

#[tokio::test]
async fn rooms_are_spread_over_the_workers_and_stay_whole() {
    let sfu = start(2);
    let mut bots = Vec::new();
    for room in [1, 2, 1, 2] {
        bots.push(Bot::join(&sfu, room).await);
    }
    let stats = sfu.stats().await;
    assert_eq!(stats.workers.iter().map(|worker| (worker.rooms, worker.peers)).collect::<Vec<_>>(), [(1, 2), (1, 2)]);
    bots[0].say(b"one").await;
    bots[1].say(b"two").await;
    assert_eq!(bots[2].hear().await.1, b"one");
    assert_eq!(bots[3].hear().await.1, b"two");
    sfu.shutdown();
}

#[tokio::test]
async fn a_room_larger_than_a_workers_share_is_heard_on_all_of_them() {
    let sfu = start_sharing(3, 2);
    let mut bots = Vec::new();
    for _ in 0..6 {
        bots.push(Bot::join(&sfu, 1).await);
    }
    let parts = |stats: &guildhall_sfu::Stats| -> Vec<_> {
        stats.workers.iter().map(|worker| (worker.rooms, worker.branches, worker.peers)).collect()
    };
    assert_eq!(parts(&sfu.stats().await), [(1, 0, 2), (0, 1, 2), (0, 1, 2)]);
    for round in 0..50u8 {
        for speaker in 0..bots.len() {
            let words = [round, speaker as u8].repeat(40);
            bots[speaker].say(&words).await;
            let ssrc = bots[speaker].ssrc;
            for listener in (0..bots.len()).filter(|&listener| listener != speaker) {
                assert_eq!(bots[listener].hear().await, (ssrc, words.clone()), "{speaker} to {listener}");
            }
        }
    }
    let stats = sfu.stats().await;
    assert_eq!(stats.workers.iter().map(|worker| worker.traffic.audio_out).collect::<Vec<_>>(), [500; 3]);
    assert_eq!(stats.workers.iter().map(|worker| worker.drops.total()).sum::<u64>(), 0);
    // Whoever is muted, or gone, is so for all of them, and the home outlives its own people.
    sfu.set_policy(bots[5].peer, Policy { can_speak: false, ..OPEN }).await.expect("the peer has a place");
    bots[5].say(b"muted").await;
    for bot in bots.drain(..2) {
        sfu.leave(bot.peer).await.expect("the peer has a place");
    }
    assert_eq!(parts(&sfu.stats().await), [(1, 0, 0), (0, 1, 2), (0, 1, 2)]);
    bots[0].say(b"still here").await;
    for bot in &mut bots[1..] {
        assert_eq!(bot.hear().await.1, b"still here");
    }
    for bot in &bots {
        sfu.leave(bot.peer).await.expect("the peer has a place");
    }
    // The home hears last of all that its branches are gone.
    let gone = async {
        while sfu.stats().await.rooms() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("an empty room is gone");
    sfu.shutdown();
}

#[tokio::test]
async fn a_burst_larger_than_every_batch_arrives_whole() {
    let sfu = start(1);
    let mut speaker = Bot::join(&sfu, 1).await;
    let mut listeners = Vec::new();
    for _ in 0..12 {
        listeners.push(Bot::join(&sfu, 1).await);
    }
    // 12 times 100 copies, more than one send batch of the worker.
    for n in 0..100u8 {
        speaker.say(&[n; 200]).await;
    }
    for listener in &mut listeners {
        for n in 0..100u8 {
            assert_eq!(listener.hear().await.1, [n; 200]);
        }
    }
    sfu.shutdown();
}

#[tokio::test]
async fn a_signaling_connection_that_does_not_read_is_given_up() {
    let sfu = start(1);
    let (sender, mut events) = mpsc::channel(1);
    let joined = sfu.join(RoomId(1), OPEN, sender).await.expect("there is room");
    let key = |address: SocketAddr| sfu.connect_native(joined.peer, SUITE, address);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let own = socket.local_addr().expect("bound");
    let mut discovery = [0; 74];
    discovery[..4].copy_from_slice(&[0, 1, 0, 70]);
    discovery[4..8].copy_from_slice(&joined.ssrc.to_be_bytes());
    socket.send_to(&discovery, joined.address).await.expect("loopback");
    timeout(PATIENCE, socket.recv(&mut [0; 100])).await.expect("in time").expect("loopback");
    // Each new key is an event; nobody reads them.
    key(own).await.expect("the first event fits");
    key(own).await.expect("the second does not, which shows afterwards");
    assert_eq!(key(own).await, Err(SfuError::UnknownPeer));
    assert_eq!(events.recv().await, Some(PeerEvent::Connected));
    assert_eq!(events.recv().await, None);
    assert_eq!(sfu.stats().await.dropped(Reason::EventsFull), 1);
    assert_eq!(sfu.leave(joined.peer).await, Ok(()));
    sfu.shutdown();
}

#[test]
fn a_taken_port_stops_the_start() {
    let taken = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bind = vec![free, taken.local_addr().expect("bound")];
    let config = |bind| Config { bind, advertise: Vec::new(), tcp_port: None, room_share: ROOM_SHARE };
    assert!(Sfu::start(config(bind)).is_err());
    // Nor is one taken that a worker of another server has, although a worker shares it with itself.
    let other = start(1);
    assert!(Sfu::start(config(other.addresses())).is_err());
    assert!(Sfu::start(config(vec![])).is_err());
}
