//! Clients with RSA certificates, as GStreamer before 1.28 makes them. dimpl asks for ECDSA alone and verifies nothing else, and
//! has no setting for it; but what it hashes and what it verifies goes through a provider that can be replaced. So:
//!
//! - the CertificateRequest that leaves ([`send`]) offers RSA as well,
//! - every hash over the handshake, and the signature that proves who the client is, cover the request as it was sent
//!   ([`Transcript`], [`Verifier`]): to both sides the handshake is one in which RSA was asked for,
//! - the proof of an RSA key (PKCS #1 v1.5, RFC 5246 §7.4.8) is verified by aws-lc.
//!
//! If dimpl begins to frame its request differently, the two sides' hashes differ and no handshake succeeds: this fails closed.
//! For DTLS 1.2 as its server, which is all that this node is.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, UnparsedPublicKey};
use dimpl::crypto::aws_lc_rs::default_provider;
use dimpl::crypto::{Buf, CryptoProvider, HashAlgorithm, HashContext, HashProvider, SignatureAlgorithm, SignatureVerifier};
use dimpl::{CryptoError, CryptoOperation};
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;

const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// RFC 5246 §7.4.
const CERTIFICATE_REQUEST: u8 = 13;

/// Type, length, number, offset and length of the fragment (RFC 6347 §4.2.2).
const MESSAGE_HEADER: usize = 12;

/// Type, version, epoch, number and length (RFC 6347 §4.1).
const RECORD_HEADER: usize = 13;

/// The content type of a handshake's records.
const HANDSHAKE: u8 = 22;

/// What we ask for (RFC 5246 §7.4.4): certificates with ECDSA or RSA keys, which sign with SHA-256 or SHA-384; from any authority,
/// because the fingerprint in the offer says which certificate it is.
const REQUEST: [u8; 15] = [2, 64, 1, 0, 8, 4, 3, 5, 3, 4, 1, 5, 1, 0, 0];

/// dimpl's own cryptography, which also takes RSA.
pub fn provider() -> CryptoProvider {
    CryptoProvider { hash_provider: &Hashes, signature_verification: &Verifier, ..default_provider() }
}

/// Copies a datagram of dimpl's into `out`, its request for a certificate as we mean it. Returns the length; `out` has to have
/// room for [`REQUEST`] more.
pub fn send(datagram: &[u8], out: &mut [u8]) -> usize {
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        out[len..len + bytes.len()].copy_from_slice(bytes);
        len += bytes.len();
    };
    let mut rest = datagram;
    while let Some((header, record)) = rest.split_first_chunk::<RECORD_HEADER>() {
        let body = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let is_plain = header[0] == HANDSHAKE && header[3..5] == [0, 0];
        let Some((body, after)) = record.split_at_checked(body).filter(|_| is_plain) else { break };
        let sent: usize = Transcript(body).map(|part| part.len()).sum();
        put(&header[..11]);
        put(&u16::try_from(sent).expect("a record is cut to the MTU").to_be_bytes());
        Transcript(body).for_each(|part| put(part.bytes()));
        rest = after;
    }
    put(rest);
    len
}

/// Handshake messages, one after the other, as they were sent and received.
struct Transcript<'a>(&'a [u8]);

/// Some bytes of a transcript.
enum Part<'a> {
    AsItIs(&'a [u8]),
    Request([u8; MESSAGE_HEADER + REQUEST.len()]),
}

impl Part<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Part::AsItIs(bytes) => bytes,
            Part::Request(bytes) => bytes,
        }
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }
}

impl<'a> Iterator for Transcript<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let all = std::mem::take(&mut self.0);
        let whole = |header: &[u8; MESSAGE_HEADER]| {
            let number = |at: usize| u32::from_be_bytes([0, header[at], header[at + 1], header[at + 2]]) as usize;
            // A fragment of a message has a length of its own.
            (number(6) == 0 && number(1) == number(9)).then(|| MESSAGE_HEADER + number(1))
        };
        let split = all.first_chunk().and_then(|header| Some((*header, all.split_at_checked(whole(header)?)?)));
        let Some((header, (message, rest))) = split else { return (!all.is_empty()).then_some(Part::AsItIs(all)) };
        self.0 = rest;
        if header[0] != CERTIFICATE_REQUEST {
            return Some(Part::AsItIs(message));
        }
        let length = [0, 0, REQUEST.len() as u8];
        let mut request = [0; MESSAGE_HEADER + REQUEST.len()];
        request[..MESSAGE_HEADER].copy_from_slice(&header);
        request[1..4].copy_from_slice(&length);
        request[9..12].copy_from_slice(&length);
        request[MESSAGE_HEADER..].copy_from_slice(&REQUEST);
        Some(Part::Request(request))
    }
}

/// Hashes of transcripts. dimpl hashes a whole transcript at once.
#[derive(Debug)]
struct Hashes;

impl HashProvider for Hashes {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(Hash(default_provider().hash_provider.create_hash(algorithm)))
    }
}

#[derive(Debug)]
struct Hash(Box<dyn HashContext>);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        Transcript(data).for_each(|part| self.0.update(part.bytes()));
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

/// Proofs of possession: signatures over the transcript, with the key of the client's certificate.
#[derive(Debug)]
struct Verifier;

impl SignatureVerifier for Verifier {
    fn verify_signature(
        &self,
        certificate: &[u8],
        transcript: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        let signed = Transcript(transcript).fold(Vec::with_capacity(transcript.len() + REQUEST.len()), |mut signed, part| {
            signed.extend_from_slice(part.bytes());
            signed
        });
        if algorithm != SignatureAlgorithm::RSA {
            let ecdsa = default_provider().signature_verification;
            return ecdsa.verify_signature(certificate, &signed, signature, hash, algorithm);
        }
        let scheme = match hash {
            HashAlgorithm::SHA256 => &RSA_PKCS1_2048_8192_SHA256,
            HashAlgorithm::SHA384 => &RSA_PKCS1_2048_8192_SHA384,
            _ => return Err(CryptoError::UnsupportedSignatureAlgorithm(algorithm)),
        };
        let certificate = x509_cert::Certificate::from_der(certificate).map_err(|_| CryptoError::CertificateParseFailed)?;
        let key = certificate.tbs_certificate().subject_public_key_info();
        if key.algorithm.oid != OID_RSA {
            return Err(CryptoError::UnsupportedPublicKeyAlgorithm);
        }
        let key = key.subject_public_key.as_bytes().ok_or(CryptoError::InvalidSubjectPublicKey)?;
        UnparsedPublicKey::new(scheme, key)
            .verify(&signed, signature)
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::VerifySignature))
    }
}

#[cfg(test)]
mod tests;
