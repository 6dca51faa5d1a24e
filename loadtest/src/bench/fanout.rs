//! One speaker, N listeners: CPU per forwarded packet, native and WebRTC, beside the floor.

use super::Options;
use super::floor::Floor;
use super::report::{FanoutRow, Measured};
use crate::cores::Cores;
use crate::gateway::Gateway;
use crate::progress;
use crate::rest::Account;
use crate::server::Server;
use crate::voice::{self, Delivery, Peer, Suite, Tally, Transport};
use crate::world::World;
use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use guildhall_protocol::ChannelId;
use guildhall_protocol::model::ChannelType;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Opus at 50 packets a second, as every client sends it.
const PACKET_INTERVAL: Duration = Duration::from_millis(20);
/// A middling speech packet.
const PAYLOAD: usize = 120;
/// Load before the window opens, so that caches and batches are in their steady state.
const WARM_UP: Duration = Duration::from_secs(1);
/// Voice joins in flight at once; each is a handshake on both sides.
const JOINS_AT_ONCE: usize = 8;
/// Until every listener of a new room has heard the speaker once.
const FIRST_AUDIO: Duration = Duration::from_secs(30);

/// One room: its speaker, its listeners and what they received.
struct Room {
    transport: Transport,
    channel: ChannelId,
    accounts: Vec<Account>,
    speaker: Peer,
    listeners: Vec<(Gateway, Peer)>,
    tally: Arc<Tally>,
    /// Keeps the speaker's voice session.
    _gateway: Gateway,
}

/// Appends a row per number of listeners, so that a failure leaves the rows before it.
pub async fn measure(
    options: &Options,
    cores: &Cores,
    server: &Server,
    world: &mut World,
    rows: &mut Vec<FanoutRow>,
) -> Result<()> {
    let largest = options.listeners.last().copied().unwrap_or(0);
    let accounts = world.members(2 * (largest + 1)).await?.to_vec();
    let (native, webrtc) = accounts.split_at(largest + 1);
    let mut rooms = [
        Room::open(world, "native", Transport::Native(Suite::Aes256Gcm), native).await?,
        Room::open(world, "webrtc", Transport::WebRtc, webrtc).await?,
    ];
    let floor_tally = Tally::new();
    let mut floor = Floor::start(largest, &cores.server, &floor_tally).await?;
    let window = Duration::from_secs(options.window);
    for &count in &options.listeners {
        for room in &mut rooms {
            room.fill(world, count).await?;
        }
        // Floor and rooms alternate, so that a busy neighbour hits all of them.
        let mut rounds: [Vec<Measured>; 3] = Default::default();
        for round in 1..=options.rounds {
            progress(&format!("1 speaker, {count} listeners: round {round} of {}", options.rounds));
            rounds[0].push(run_floor(&mut floor, &floor_tally, count, window).await?);
            for (room, rounds) in rooms.iter_mut().zip(&mut rounds[1..]) {
                rounds.push(room.run(server, window).await?);
            }
        }
        let [floor, native, webrtc] = rounds.map(Measured::median);
        rows.push(FanoutRow { listeners: count, floor, native, webrtc });
    }
    for room in rooms {
        room.check()?;
    }
    Ok(())
}

impl Room {
    async fn open(world: &World, name: &str, transport: Transport, accounts: &[Account]) -> Result<Self> {
        let channel = world.channel(name, ChannelType::Voice).await?;
        let tally = Tally::new();
        // The speaker is native in both rooms: what differs is the way out.
        let options = voice::Options::new(Transport::Native(Suite::Aes256Gcm));
        let (gateway, speaker) = join(world, channel, &accounts[0], &options).await.context("joining as the speaker")?;
        speaker.start_speaking().await?;
        let accounts = accounts[1..].to_vec();
        Ok(Self { transport, channel, accounts, speaker, listeners: Vec::new(), tally, _gateway: gateway })
    }

    /// Joins listeners until there are `count`, and waits until all of them hear the speaker.
    async fn fill(&mut self, world: &World, count: usize) -> Result<()> {
        progress(&format!("{} listeners join by {:?}", count - self.listeners.len(), self.transport));
        let options = voice::Options { delivery: Delivery::Tally(self.tally.clone()), ..voice::Options::new(self.transport) };
        let (channel, options) = (self.channel, &options);
        let joined: Vec<_> = stream::iter(&self.accounts[self.listeners.len()..count])
            .map(|account| join(world, channel, account, options))
            .buffered(JOINS_AT_ONCE)
            .try_collect()
            .await
            .with_context(|| format!("joining as listeners by {:?}", self.transport))?;
        self.listeners.extend(joined);
        let before: Vec<u64> = self.listeners.iter().map(|(_, peer)| heard(peer)).collect();
        timeout(FIRST_AUDIO, async {
            let mut tick = interval(PACKET_INTERVAL);
            while self.listeners.iter().zip(&before).any(|((_, peer), before)| heard(peer) == *before) {
                tick.tick().await;
                self.speaker.send_opus(&payload(&self.tally)).await?;
            }
            Ok::<_, voice::VoiceError>(())
        })
        .await
        .with_context(|| format!("not all {:?} listeners hear the speaker", self.transport))??;
        Ok(())
    }

    async fn run(&mut self, server: &Server, window: Duration) -> Result<Measured> {
        self.speak(WARM_UP).await?;
        let (cpu, received) = (server.cpu()?, self.tally.received());
        self.tally.take_delays();
        let start = Instant::now();
        let sent = self.speak(window).await?;
        let (elapsed, after) = (start.elapsed(), server.cpu()?);
        let received = self.tally.received() - received;
        Measured::new(
            sent * self.listeners.len() as u64,
            received,
            after.media_ns - cpu.media_ns,
            elapsed,
            &self.tally.take_delays(),
        )
    }

    /// Sends for a while and lets the last packets arrive. Returns how many were sent.
    async fn speak(&self, duration: Duration) -> Result<u64> {
        let mut tick = interval(PACKET_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = Instant::now() + duration;
        let mut sent = 0;
        while tick.tick().await < end {
            self.speaker.send_opus(&payload(&self.tally)).await?;
            sent += 1;
        }
        Ok(sent)
    }

    /// What must hold after any load: nothing arrived that did not open, and no nonce came twice.
    fn check(&self) -> Result<()> {
        use std::sync::atomic::Ordering::Relaxed;
        for (_, peer) in &self.listeners {
            let counters = peer.counters();
            let (bad, reused) = (counters.bad.load(Relaxed), counters.reused_nonces.load(Relaxed));
            ensure!(bad == 0 && reused == 0, "a {:?} listener got {bad} bad packets and {reused} reused nonces", self.transport);
        }
        Ok(())
    }
}

async fn run_floor(floor: &mut Floor, tally: &Arc<Tally>, count: usize, window: Duration) -> Result<Measured> {
    let speaker = floor.speak_to(count);
    let mut speak = async |duration: Duration| {
        let mut tick = interval(PACKET_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = Instant::now() + duration;
        let mut sent = 0u64;
        while tick.tick().await < end {
            speaker.send(&payload(tally))?;
            sent += 1;
        }
        Ok::<_, std::io::Error>(sent)
    };
    speak(WARM_UP).await?;
    let (cpu, received) = (Floor::cpu_ns()?, tally.received());
    tally.take_delays();
    let start = Instant::now();
    let sent = speak(window).await?;
    let (elapsed, cpu) = (start.elapsed(), Floor::cpu_ns()? - cpu);
    Measured::new(sent * count as u64, tally.received() - received, cpu, elapsed, &tally.take_delays())
}

async fn join(world: &World, channel: ChannelId, account: &Account, options: &voice::Options) -> Result<(Gateway, Peer)> {
    let mut gateway = world.voice_session(account).await?;
    let grant = gateway.join_voice(world.guild, channel).await?;
    let peer = Peer::join(&grant, options).await?;
    Ok((gateway, peer))
}

fn heard(peer: &Peer) -> u64 {
    peer.counters().packets.load(std::sync::atomic::Ordering::Relaxed)
}

/// The moment of sending, then filler.
fn payload(tally: &Tally) -> [u8; PAYLOAD] {
    let mut payload = [0xa5; PAYLOAD];
    payload[..voice::STAMP].copy_from_slice(&tally.stamp());
    payload
}
