//! The self-test: does a server, from where we stand, carry text and voice? Every transport must hear every other bit for bit.
//!
//! For operators, whose firewall may pass TCP and not UDP, and for us, as the shortest whole journey.

use crate::cores::Cores;
use crate::gateway::Gateway;
use crate::opus::{Speaker, judge};
use crate::rest::Account;
use crate::server::Server;
use crate::voice::{self, Peer, Suite, Transport};
use crate::world::{MESSAGE_INTENTS, World};
use crate::{Trust, progress};
use anyhow::{Context, Result, ensure};
use clap::Args;
use guildhall_protocol::ChannelId;
use guildhall_protocol::model::ChannelType;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{interval, timeout};

#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The server binary to start privately; by default `guildhall` beside this program
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    server: Option<PathBuf>,
    /// A running server to check instead (registration open), as in https://guildhall.example
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The authority behind an https server's certificate; for a server that made its own, tls/ca.pem in its data folder
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
}

/// A second and a half of speech per speaker.
const PACKETS: usize = 75;
const PACKET_INTERVAL: Duration = Duration::from_millis(20);
/// Loud enough to be speech; the speaker's own level is about −17.
const QUIETEST_DBFS: f32 = -35.0;

/// One way to take part.
struct Way {
    name: &'static str,
    transport: Transport,
    version: Option<u8>,
}

/// Every transport, and every version that libraries use.
const WAYS: [Way; 3] = [
    Way { name: "native AES-GCM, voice gateway v8", transport: Transport::Native(Suite::Aes256Gcm), version: Some(8) },
    Way { name: "native XChaCha20, voice gateway v4", transport: Transport::Native(Suite::XChaCha20Poly1305), version: Some(4) },
    Way { name: "WebRTC, voice gateway v8", transport: Transport::WebRtc, version: Some(8) },
];

pub fn run(options: &Options) -> Result<()> {
    let server = match &options.url {
        Some(url) => Server::running(url, std::process::id()),
        None => Server::start(options.server.clone(), None, &Cores::split()?)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(check(options, server))
}

async fn check(options: &Options, server: Server) -> Result<()> {
    // A private server's own authority shows that voice over TLS works; a running server is reached as its URL says.
    let ca = options.ca.clone().or_else(|| Some(server.data.as_ref()?.join("tls/ca.pem")));
    let trust = ca.map(|ca| Trust::file(&ca).with_context(|| format!("reading {}", ca.display()))).transpose()?;
    let world = &mut World::make(&server, trust.as_ref()).await?;
    text(world).await?;
    println!("text: sent, delivered, listed");
    let channel = world.channel("check", ChannelType::Voice).await?;
    let accounts = world.members(WAYS.len()).await?.to_vec();
    let mut room = Vec::new();
    for (account, way) in accounts.iter().zip(&WAYS) {
        room.push(join(world, channel, account, way, trust.as_ref()).await.with_context(|| format!("joining by {}", way.name))?);
        println!("joined by {}", way.name);
    }
    for (speaker, way) in WAYS.iter().enumerate() {
        speak(&mut room, speaker).await.with_context(|| format!("{} speaking", way.name))?;
        println!("{}: heard by all others bit for bit", way.name);
    }
    for (_, peer) in room {
        peer.leave().await;
    }
    server.stop().await
}

async fn text(world: &World) -> Result<()> {
    let channel = world.channel("check-text", ChannelType::Text).await?;
    let mut session = world.session(&world.owner, MESSAGE_INTENTS, true).await?;
    let sent = world.owner.rest.send_message(channel, "Is anybody here?").await?;
    session.next_named("MESSAGE_CREATE", |message| message["id"] == sent.id.to_string().as_str()).await?;
    let listed = world.owner.rest.history(channel).await?;
    ensure!(listed.iter().map(|message| message.id).eq([sent.id]), "the channel does not list the message once");
    Ok(())
}

async fn join(world: &World, channel: ChannelId, account: &Account, way: &Way, trust: Option<&Trust>) -> Result<(Gateway, Peer)> {
    let mut gateway = world.voice_session(account).await?;
    let grant = gateway.join_voice(world.guild, channel).await?;
    let options = voice::Options { version: way.version, ..voice::Options::new(way.transport) };
    let options = match trust {
        Some(trust) => options.with_tls(trust),
        None => options,
    };
    Ok((gateway, Peer::join(&grant, &options).await?))
}

/// One speaks, all others must hear exactly that.
async fn speak(room: &mut [(Gateway, Peer)], speaker: usize) -> Result<()> {
    let packets = Speaker::new(speaker as u64)?.packets(PACKETS)?;
    let (_, peer) = &room[speaker];
    let user = peer.user_id;
    peer.start_speaking().await?;
    // Receivers learn who speaks before the audio comes: a library drops what it cannot attribute.
    for (at, (_, listener)) in room.iter_mut().enumerate() {
        if at != speaker && listener.native().is_some() {
            listener.signaling.next_speaking(user).await?;
        }
    }
    let mut tick = interval(PACKET_INTERVAL);
    // A WebRTC listener learns whose voice is in a slot when the slot is filled, so silence goes first.
    timeout(voice::PATIENCE, async {
        let mut are_hearing = vec![false; room.len()];
        are_hearing[speaker] = true;
        while are_hearing.contains(&false) {
            tick.tick().await;
            room[speaker].1.send_opus(&voice::SILENCE).await?;
            for ((_, listener), hears) in room.iter_mut().zip(&mut are_hearing) {
                *hears |= listener.heard_so_far().iter().any(|packet| packet.user == Some(user));
            }
        }
        Ok::<_, voice::VoiceError>(())
    })
    .await
    .context("not everybody hears the speaker")??;
    for packet in &packets {
        tick.tick().await;
        room[speaker].1.send_opus(packet).await?;
    }
    room[speaker].1.stop_speaking().await?;
    for (at, (_, listener)) in room.iter_mut().enumerate().filter(|(at, _)| *at != speaker) {
        let mut heard = Vec::with_capacity(PACKETS);
        while heard.len() < PACKETS {
            let next =
                listener.hear_from(user, 1).await.with_context(|| format!("{} heard {} packets", WAYS[at].name, heard.len()))?;
            heard.extend(next.into_iter().filter(|packet| packet.payload[..] != voice::SILENCE));
        }
        let is_exact = heard.iter().map(|packet| &packet.payload[..]).eq(packets.iter().map(|packet| &packet[..]));
        let quality = judge(&heard)?;
        progress(&format!("{}: {quality:?}", WAYS[at].name));
        ensure!(is_exact, "{} heard something else", WAYS[at].name);
        let is_smooth = quality.lost + quality.out_of_order + quality.time_jumps + quality.undecodable == 0;
        ensure!(is_smooth && quality.level_dbfs > QUIETEST_DBFS, "{} heard it badly: {quality:?}", WAYS[at].name);
    }
    Ok(())
}
