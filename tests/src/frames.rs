//! Opus packets for the tests that compare them bit for bit, and the file in which a library gets them.

use std::path::{Path, PathBuf};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// What a client sends at a pause; no packet of a test equals it.
pub const SILENCE: [u8; 3] = guildhall_loadtest::voice::SILENCE;

/// The lengths of what encoders make of 20 ms: from a comfort noise frame to 510 kbit/s.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=1275;

/// The first byte of a packet (RFC 6716 §3.1): one 20 ms fullband CELT frame, stereo.
const TOC: u8 = 31 << 3 | 1 << 2;

/// `count` packets that differ from each other, the same for the same seed. Nothing on their way may look into them, so only
/// their first byte means something.
pub fn distinct(count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count)
        .map(|number| {
            let mut packet = vec![0; random.random_range(LENGTHS)];
            random.fill_bytes(&mut packet);
            packet[0] = TOC;
            packet[1..3].copy_from_slice(&(number as u16).to_be_bytes());
            packet
        })
        .collect()
}

/// Writes packets as the scripts read them: for each a little-endian u16 length and that many bytes.
pub fn write(folder: &Path, name: &str, packets: &[Vec<u8>]) -> PathBuf {
    let path = folder.join(name);
    let mut file = Vec::new();
    for packet in packets {
        file.extend_from_slice(&u16::try_from(packet.len()).expect("a packet is short").to_le_bytes());
        file.extend_from_slice(packet);
    }
    std::fs::write(&path, file).expect("a temporary folder is writable");
    path
}
