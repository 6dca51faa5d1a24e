//! DTLS for str0m, with three things its own provider lacks: one validated configuration for all peers (validating one per
//! peer costs five times the rest of a join), the SRTP keys handed out, because RTP and RTCP are ours, and clients with RSA
//! certificates ([`rsa`]).
//!
//! `DtlsProvider::new_dtls` runs inside `RtcConfig::build`, on the building thread, so a thread-local tells the new instance
//! where to put its keys.

mod rsa;

use crate::cipher::keys::{Profile, TransportKeys};
use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use str0m_proto::crypto::dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider};
use str0m_proto::crypto::dtls::{ProtocolVersion, SrtpProfile};
use str0m_proto::crypto::{CryptoError, CryptoProvider, DtlsVersion};

/// DTLS records are cut to this, which fits every path that carries WebRTC.
const MTU: usize = 1150;

/// Room for whatever an instance gives out at once: a datagram, or a client's certificate. str0m has as much.
const OUTPUT: usize = 2000;

/// Records that dimpl takes at once. OpenSSL puts more into a datagram: it cuts a long certificate into fragments of 200 bytes.
const RECORDS: usize = 8;

/// Where an instance leaves its keys when the handshake is done.
pub type KeySlot = Arc<OnceLock<TransportKeys>>;

thread_local! {
    /// The slot of the `Rtc` that this thread is building now.
    static BUILDING: RefCell<Option<KeySlot>> = const { RefCell::new(None) };
}

/// Builds something that makes one DTLS instance and returns the slot that will hold its keys.
pub fn capture<T>(build: impl FnOnce() -> T) -> (T, KeySlot) {
    let slot = KeySlot::default();
    BUILDING.set(Some(slot.clone()));
    let built = build();
    BUILDING.set(None);
    (built, slot)
}

/// str0m's own cryptography (aws-lc) with our DTLS.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    static DTLS: Provider = Provider;
    PROVIDER.get_or_init(|| Arc::new(CryptoProvider { dtls_provider: &DTLS, ..str0m_aws_lc_rs::default_provider() })).clone()
}

/// A self-signed certificate for a node; `None` when the system has no randomness.
pub fn generate_certificate() -> Option<DtlsCert> {
    provider().dtls_provider.generate_certificate()
}

#[derive(Debug)]
struct Provider;

impl Provider {
    fn config() -> Result<Arc<dimpl::Config>, CryptoError> {
        static CONFIG: OnceLock<Option<Arc<dimpl::Config>>> = OnceLock::new();
        CONFIG
            .get_or_init(|| {
                // Server cookies prove an address; here a STUN check with a password already did.
                let builder = dimpl::Config::builder().use_server_cookie(false).mtu(MTU);
                builder.with_crypto_provider(rsa::provider()).build().ok().map(Arc::new)
            })
            .clone()
            .ok_or_else(|| CryptoError::Other("the DTLS configuration was refused".to_owned()))
    }
}

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m_aws_lc_rs::default_provider().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let (config, certificate) = (Provider::config()?, certificate.clone());
        // What every WebRTC client speaks, and str0m's default; `rsa` knows its handshake.
        let dtls = dimpl::Dtls::new_12(config, certificate, now);
        Ok(Box::new(Instance { dtls, keys: BUILDING.with_borrow(Clone::clone) }))
    }
}

struct Instance {
    dtls: dimpl::Dtls,
    keys: Option<KeySlot>,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dtls::Instance")
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.dtls.set_active(active)
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        let mut rest = packet;
        loop {
            let (first, behind) = rest.split_at(end_of_records(rest));
            self.dtls.handle_packet(first)?;
            if behind.is_empty() {
                return Ok(());
            }
            rest = behind;
        }
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let mut output = [0; OUTPUT];
        let output = self.dtls.poll_output(&mut output);
        if let (DtlsOutput::KeyingMaterial(material, profile), Some(slot)) = (&output, &self.keys) {
            let profile = match *profile {
                SrtpProfile::AEAD_AES_256_GCM => Some(Profile::Aes256Gcm),
                SrtpProfile::AEAD_AES_128_GCM => Some(Profile::Aes128Gcm),
                SrtpProfile::AES128_CM_SHA1_80 => Some(Profile::Aes128CmSha1),
                _ => None,
            };
            if let Some(keys) = profile.and_then(|profile| TransportKeys::derive(profile, material)) {
                // A handshake exports once; a second export of the same instance would be a renegotiation, which dimpl refuses.
                let _ = slot.set(keys);
            }
        }
        let copied = |bytes: &[u8], buffer: &'a mut [u8]| -> &'a [u8] {
            buffer[..bytes.len()].copy_from_slice(bytes);
            &buffer[..bytes.len()]
        };
        match output {
            DtlsOutput::Packet(datagram) => {
                let len = rsa::send(datagram, buffer);
                DtlsOutput::Packet(&buffer[..len])
            }
            DtlsOutput::PeerCert(certificate) => DtlsOutput::PeerCert(copied(certificate, buffer)),
            DtlsOutput::ApplicationData(data) => DtlsOutput::ApplicationData(copied(data, buffer)),
            DtlsOutput::KeyingMaterial(material, profile) => DtlsOutput::KeyingMaterial(material, profile),
            DtlsOutput::BufferTooSmall { needed } => DtlsOutput::BufferTooSmall { needed },
            DtlsOutput::Timeout(at) => DtlsOutput::Timeout(at),
            DtlsOutput::Connected => DtlsOutput::Connected,
            // And whatever a later dimpl may say.
            _ => DtlsOutput::CloseNotify,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.dtls.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.dtls.close()
    }
}

/// Where the first [`RECORDS`] records of a datagram end: type, version, epoch and number, then a length (RFC 6347 §4.1). What is
/// no record belongs to the last of them.
fn end_of_records(datagram: &[u8]) -> usize {
    let mut end = 0;
    for _ in 0..RECORDS {
        let Some(&[high, low]) = datagram.get(end + 11..end + 13) else { return datagram.len() };
        end += 13 + usize::from(u16::from_be_bytes([high, low]));
    }
    end.min(datagram.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_given_on_in_as_many_records_as_fit() {
        let record = |len: u8| [&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, len][..], &vec![7; len.into()]].concat();
        let datagram: Vec<u8> = (0..10).flat_map(record).collect();
        let eight: usize = (0..8).map(|len| 13 + len).sum();
        assert_eq!(end_of_records(&datagram), eight);
        assert_eq!(end_of_records(&datagram[eight..]), datagram.len() - eight);
        assert_eq!(end_of_records(&datagram[..eight]), eight);
        for cut in [0, 1, 12, 13, 20, eight - 1] {
            assert_eq!(end_of_records(&datagram[..cut]), cut, "what is cut short is one piece");
        }
        assert_eq!(end_of_records(&[0xFF; 100]), 100, "a length that is beyond the end");
    }
}
