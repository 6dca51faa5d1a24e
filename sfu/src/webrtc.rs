//! The handshake half of a WebRTC peer: ICE-lite, consent and DTLS by str0m. Media never passes through it: RTP and RTCP are
//! the engine's, and what str0m would like to send of them is not sent.
//!
//! str0m fails fast, so every call into it may panic; a panic ends this one session ([`Ended`]) and nothing else.

use crate::cipher::keys::TransportKeys;
use crate::dtls::{self, KeySlot};
use crate::engine::Secret;
use crate::sdp::Offer;
use crate::{Addresses, PeerId};
use std::fmt::Write;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;
use str0m::config::{DtlsCert, Fingerprint};
use str0m::ice::{IceCreds, StunMessage};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, Output, Rtc, RtcConfig, RtcError};

/// Outputs that one input may cause. A handshake flight is under ten datagrams; beyond this the session is broken.
const MAX_OUTPUTS: usize = 256;

/// Random bytes at the end of a user name fragment.
const RANDOM_PART: usize = 4;

/// The node's certificate, made once.
pub struct Identity {
    certificate: DtlsCert,
    /// As SDP writes it.
    pub fingerprint: String,
}

impl Identity {
    /// `None` when the system has no randomness.
    pub fn generate() -> Option<Identity> {
        let certificate = dtls::generate_certificate()?;
        let digest = dtls::provider().sha256_provider.sha256(&certificate.certificate);
        let mut fingerprint = "sha-256 ".to_owned();
        for (index, byte) in digest.iter().enumerate() {
            let separator = if index > 0 { ":" } else { "" };
            write!(fingerprint, "{separator}{byte:02X}").expect("writing to a String does not fail");
        }
        Some(Identity { certificate, fingerprint })
    }
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client closed.
    Closed,
    /// The handshake failed, or the client's certificate is not the one of its offer; in words, for a log.
    Refused(String),
    /// str0m panicked.
    Panicked,
}

/// What a STUN datagram is, once its integrity holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// The client nominates this pair.
    pub is_nominating: bool,
    /// A client draws a new one for each check and repeats it only where it sent it first (RFC 8489 §6.2.1).
    pub transaction: [u8; 12],
}

/// One client's ICE and DTLS.
pub struct Session {
    rtc: Box<Rtc>,
    keys: KeySlot,
    addresses: Addresses,
    /// The user name that every check must carry: ours, colon, theirs.
    user_name: String,
    password: String,
    /// What the client's certificate must hash to, and its user name fragment.
    fingerprint: (String, Vec<u8>),
    client_ufrag: String,
    deadline: Instant,
}

impl Session {
    /// Prepares to answer checks and a handshake as `offer` describes. Nothing is sent before an authentic check came.
    pub fn new(
        now: Instant,
        addresses: Addresses,
        identity: &Identity,
        creds: IceCreds,
        offer: &Offer,
    ) -> Result<Session, Ended> {
        let build = || -> Option<(Rtc, KeySlot)> {
            let config = RtcConfig::new()
                .set_ice_lite(true)
                .set_rtp_mode(true)
                .set_dtls_cert(identity.certificate.clone())
                .set_crypto_provider(dtls::provider())
                .set_local_ice_credentials(creds.clone());
            let (mut rtc, keys) = dtls::capture(|| config.build(now));
            for address in addresses.iter() {
                rtc.add_local_candidate(Candidate::host(address, "udp").ok()?)?;
            }
            let mut api = rtc.direct_api();
            api.set_ice_controlling(false);
            api.set_remote_ice_credentials(IceCreds { ufrag: offer.ufrag.clone(), pass: offer.password.clone() });
            let (hash_func, bytes) = offer.fingerprint.clone();
            api.set_remote_fingerprint(Fingerprint { hash_func, bytes });
            api.start_dtls(false).ok()?;
            Some((rtc, keys))
        };
        let (rtc, keys) = catch_unwind(AssertUnwindSafe(build)).map_err(|_| Ended::Panicked)?.ok_or(Ended::Closed)?;
        let user_name = format!("{}:{}", creds.ufrag, offer.ufrag);
        Ok(Session {
            rtc: Box::new(rtc),
            keys,
            addresses,
            user_name,
            password: creds.pass,
            fingerprint: offer.fingerprint.clone(),
            client_ufrag: offer.ufrag.clone(),
            deadline: now,
        })
    }

    /// Whether an offer is of the same client with new ICE credentials.
    pub fn is_restarted_by(&self, offer: &Offer) -> bool {
        offer.fingerprint == self.fingerprint && offer.ufrag != self.client_ufrag
    }

    /// Takes new ICE credentials for both sides. The handshake and its keys stay; old checks are a stranger's from now on.
    pub fn restart_ice(&mut self, creds: IceCreds, offer: &Offer) -> Result<(), Ended> {
        let remote = IceCreds { ufrag: offer.ufrag.clone(), pass: offer.password.clone() };
        let (rtc, local) = (&mut self.rtc, creds.clone());
        let restart = AssertUnwindSafe(|| {
            let mut api = rtc.direct_api();
            api.set_local_ice_credentials(local);
            api.set_remote_ice_credentials(remote);
        });
        catch_unwind(restart).map_err(|_| Ended::Panicked)?;
        self.user_name = format!("{}:{}", creds.ufrag, offer.ufrag);
        self.password = creds.pass;
        self.client_ufrag.clone_from(&offer.ufrag);
        Ok(())
    }

    /// Whether a STUN datagram is an authentic check of this client. Pure: an address is only believed after this, and
    /// nothing reaches str0m before it.
    pub fn verify(&self, datagram: &[u8]) -> Option<Check> {
        let message = StunMessage::parse(datagram).ok()?;
        let hmac = dtls::provider().sha1_hmac_provider;
        let is_authentic = message.is_binding_request()
            && message.username() == Some(&self.user_name)
            && message.verify(self.password.as_bytes(), |key, parts| hmac.sha1_hmac(key, parts));
        let transaction = *datagram.get(8..20)?.first_chunk()?;
        is_authentic.then(|| Check { is_nominating: message.use_candidate(), transaction })
    }

    /// Takes a STUN datagram that [`Session::verify`] let through, or DTLS from an address that such a datagram came from.
    pub fn handle(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        send: impl FnMut(&[u8], SocketAddr),
    ) -> Result<(), Ended> {
        let Ok(receive) = Receive::new(Protocol::Udp, from, self.addresses.facing(from), datagram) else { return Ok(()) };
        self.drive(Input::Receive(now, receive), send)
    }

    pub fn handle_timeout(&mut self, now: Instant, send: impl FnMut(&[u8], SocketAddr)) -> Result<(), Ended> {
        self.drive(Input::Timeout(now), send)
    }

    /// When [`Session::handle_timeout`] wants to be called.
    pub fn next_timeout(&self) -> Instant {
        self.deadline
    }

    /// The SRTP keys, once ICE is up and the client's certificate was found to be the one of its offer.
    pub fn keys(&self) -> Option<&TransportKeys> {
        if self.rtc.is_connected() { self.keys.get() } else { None }
    }

    /// Gives an input to str0m and carries out what it answers.
    fn drive(&mut self, input: Input, mut send: impl FnMut(&[u8], SocketAddr)) -> Result<(), Ended> {
        let rtc = &mut self.rtc;
        let (deadline, keys) = (&mut self.deadline, &self.keys);
        let run = AssertUnwindSafe(|| -> Result<(), Ended> {
            // Broken and repeated records are no errors: they are ignored before. An error ends the handshake, once the client was
            // sent what is left to say (an alert); media that flows does without DTLS.
            let failed = rtc.handle_input(input).err().filter(|_| keys.get().is_none());
            for _ in 0..MAX_OUTPUTS {
                match rtc.poll_output() {
                    Ok(Output::Timeout(at)) => {
                        *deadline = at;
                        return match failed {
                            Some(RtcError::Dtls(error)) => Err(Ended::Refused(error.to_string())),
                            _ if rtc.is_alive() => Ok(()),
                            _ => Err(Ended::Closed),
                        };
                    }
                    Ok(Output::Transmit(transmit)) => {
                        if is_handshake(&transmit.contents) {
                            send(&transmit.contents, transmit.destination);
                        }
                    }
                    Ok(Output::Event(_)) => {}
                    Err(error) => return Err(Ended::Refused(error.to_string())),
                }
            }
            Err(Ended::Closed)
        });
        catch_unwind(run).unwrap_or(Err(Ended::Panicked))
    }
}

/// ICE credentials: a user name fragment that no other peer of this process has or had, and a password of 128 random bits
/// (RFC 8445 §5.3 asks for 24 and 128).
pub fn credentials(id: PeerId, secret: &Secret) -> (String, String) {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    (format!("{:x}{}", id.0, hex(&secret[16..16 + RANDOM_PART])), hex(&secret[..16]))
}

/// Whose user name fragment that may be.
pub fn peer_of(ufrag: &str) -> Option<PeerId> {
    let (id, _) = ufrag.split_at_checked(ufrag.len().checked_sub(2 * RANDOM_PART)?)?;
    u64::from_str_radix(id, 16).ok().map(PeerId)
}

/// The user name fragment that a STUN datagram is meant for: the part of its user name before the colon. Reads only what it
/// must, because anyone can send this; nothing is believed yet.
pub fn local_ufrag(datagram: &[u8]) -> Option<&str> {
    const USERNAME: u16 = 0x0006;
    const HEADER: usize = 20;
    /// Clients put the user name first or second; whoever sends a long list only wants us to read it.
    const ATTRIBUTES: usize = 16;
    let mut attributes = datagram.get(HEADER..)?;
    for _ in 0..ATTRIBUTES {
        let head: &[u8; 4] = attributes.first_chunk()?;
        let (kind, len) = (u16::from_be_bytes([head[0], head[1]]), usize::from(u16::from_be_bytes([head[2], head[3]])));
        let value = attributes.get(4..4 + len)?;
        if kind == USERNAME {
            return Some(std::str::from_utf8(value).ok()?.split_once(':')?.0);
        }
        attributes = attributes.get(4 + len.next_multiple_of(4)..)?;
    }
    None
}

/// STUN or DTLS by its first byte (RFC 7983).
fn is_handshake(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3 | 20..=63))
}
