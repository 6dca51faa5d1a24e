use super::*;
use crate::cipher::tests::hex;

#[test]
fn session_keys_are_those_of_rfc_3711_b3() {
    let keys = DirectionKeys::derive(&hex("E1F97A0D3E018BE0D64FA32C06DE4139"), &hex("0EC675AD498AFEEBB6960B3AABE6"));
    assert_eq!(keys.rtp.key[..16], hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(keys.rtp.salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(keys.rtp.auth[..], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
}

#[test]
fn exported_material_of_another_length_is_refused() {
    for (profile, len) in [(Profile::Aes128CmSha1, 60), (Profile::Aes128Gcm, 56), (Profile::Aes256Gcm, 88)] {
        let material = vec![7; len];
        assert!(TransportKeys::derive(profile, &material).is_some());
        assert!(TransportKeys::derive(profile, &material[1..]).is_none());
        assert!(TransportKeys::derive(profile, &[]).is_none());
    }
}

#[test]
fn the_two_directions_are_cut_from_the_right_places() {
    let mut material = vec![0u8; 56];
    for (part, range) in [0..16, 16..32, 32..44, 44..56].into_iter().enumerate() {
        material[range].fill(part as u8);
    }
    let keys = TransportKeys::derive(Profile::Aes128Gcm, &material).expect("56 bytes");
    assert_eq!(keys.client.rtp.key, DirectionKeys::derive(&[0; 16], &[2; 12]).rtp.key);
    assert_eq!(keys.server.rtcp.salt, DirectionKeys::derive(&[1; 16], &[3; 12]).rtcp.salt);
}
