use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm as KeyKind};

/// A handshake message: its type, its number and what it says.
fn message(kind: u8, number: u8, body: &[u8]) -> Vec<u8> {
    let len = [0, 0, body.len() as u8];
    [&[kind][..], &len, &[0, number, 0, 0, 0], &len, body].concat()
}

fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 7, 0, body.len() as u8][..], body].concat()
}

/// As dimpl writes it.
fn asked() -> Vec<u8> {
    message(CERTIFICATE_REQUEST, 3, &[1, 64, 0, 4, 4, 3, 5, 3, 0, 0])
}

fn sent() -> Vec<u8> {
    message(CERTIFICATE_REQUEST, 3, &REQUEST)
}

fn transcript(data: &[u8]) -> Vec<u8> {
    Transcript(data).flat_map(|part| part.bytes().to_vec()).collect()
}

#[test]
fn a_request_offers_rsa_wherever_it_stands_and_nothing_else_changes() {
    let (before, after) = (message(12, 2, b"key"), message(14, 4, b""));
    assert_eq!(transcript(&[&before[..], &asked(), &after].concat()), [&before[..], &sent(), &after].concat());
    let fragment = [&asked()[..11], &[5], &asked()[12..17]].concat();
    for other in [&b""[..], b"\x0d", &asked()[..20], &fragment, b"the quick brown fox jumps over the lazy dog"] {
        assert_eq!(transcript(other), other);
    }
}

#[test]
fn a_datagram_is_sent_with_the_request_and_the_length_of_its_record() {
    let check = |datagram: &[u8], expected: &[u8]| {
        let mut out = vec![0; datagram.len() + REQUEST.len()];
        let len = send(datagram, &mut out);
        assert_eq!(&out[..len], expected);
    };
    let (hello, done) = (record(HANDSHAKE, 0, &message(2, 1, b"hello")), record(HANDSHAKE, 0, &message(14, 4, b"")));
    let asks = |request: &[u8]| [&hello[..], &record(HANDSHAKE, 0, request), &done].concat();
    check(&asks(&asked()), &asks(&sent()));
    let together = |request: &[u8]| record(HANDSHAKE, 0, &[request, &message(14, 4, b"")].concat());
    check(&together(&asked()), &together(&sent()));
    // Encrypted, no handshake, cut off.
    for other in [record(HANDSHAKE, 1, &asked()), record(23, 0, &asked()), asks(&asked())[..50].to_vec(), Vec::new()] {
        check(&other, &other);
    }
}

fn certificate(kind: &'static KeyKind) -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate_for(kind).expect("randomness");
    let certificate = CertificateParams::default().self_signed(&key).expect("a good certificate");
    (key, certificate.der().to_vec())
}

fn rsa_signature(key: &KeyPair, scheme: &'static dyn RsaEncoding, data: &[u8]) -> Vec<u8> {
    let key = RsaKeyPair::from_pkcs8(&key.serialize_der()).expect("an RSA key");
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(scheme, &SystemRandom::new(), data, &mut signature).expect("it signs");
    signature
}

#[test]
fn only_the_key_of_the_certificate_proves_possession_over_what_was_sent() {
    let (key, rsa) = certificate(&PKCS_RSA_SHA256);
    let (_, ecdsa) = certificate(&PKCS_ECDSA_P256_SHA256);
    let (_, another) = certificate(&PKCS_RSA_SHA256);
    let signature = rsa_signature(&key, &RSA_PKCS1_SHA256, &sent());
    let verify = |certificate: &[u8], transcript: &[u8], signature: &[u8], hash, algorithm| {
        Verifier.verify_signature(certificate, transcript, signature, hash, algorithm).is_ok()
    };
    let (sha256, rsa_key) = (HashAlgorithm::SHA256, SignatureAlgorithm::RSA);
    assert!(verify(&rsa, &asked(), &signature, sha256, rsa_key));
    assert!(!verify(&another, &asked(), &signature, sha256, rsa_key), "another key");
    assert!(!verify(&ecdsa, &asked(), &signature, sha256, rsa_key), "a key of another kind");
    assert!(!verify(&rsa, &asked(), &signature, sha256, SignatureAlgorithm::ECDSA), "said to be of another kind");
    assert!(!verify(&rsa, &asked(), &signature, HashAlgorithm::SHA384, rsa_key), "another hash");
    assert!(!verify(&rsa, &asked(), &signature, HashAlgorithm::SHA1, rsa_key), "a hash that is broken");
    assert!(!verify(&rsa, &message(14, 4, b""), &signature, sha256, rsa_key), "another handshake");
    assert!(
        !verify(&rsa, &asked(), &rsa_signature(&key, &RSA_PSS_SHA256, &sent()), sha256, rsa_key),
        "a scheme that was not asked for"
    );
    assert!(!verify(&rsa, &asked(), b"", sha256, rsa_key), "no signature");
    assert!(!verify(&rsa[1..], &asked(), &signature, sha256, rsa_key), "no certificate");
}
