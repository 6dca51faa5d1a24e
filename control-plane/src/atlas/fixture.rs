//! Writes small databases in MaxMind's format for tests, as its specification says (MaxMind DB file format 2.0): a binary tree over
//! the bits of IPv6 addresses, IPv4 below `::/96`, then the entries, then what describes the file.

use std::net::IpAddr;

/// Between tree and entries.
const SEPARATOR: usize = 16;

#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    /// Where its entry begins among the entries.
    Entry(usize),
}

/// A database of this kind that says where each of the networks is (latitude and longitude), or only in which country.
pub fn database(kind: &str, networks: &[(&str, Option<(f64, f64)>)]) -> Vec<u8> {
    let mut tree = vec![[Record::Nothing; 2]];
    let mut entries = Vec::new();
    for (network, location) in networks {
        let (base, length) = network.split_once('/').expect("a network has a length");
        let length: u32 = length.parse().expect("a number");
        let (bits, length) = match base.parse().expect("an address") {
            IpAddr::V4(base) => (u128::from(base.to_bits()), 96 + length),
            IpAddr::V6(base) => (base.to_bits(), length),
        };
        let side = |depth: u32| (bits >> (127 - depth) & 1) as usize;
        let mut at = 0;
        for depth in 0..length - 1 {
            at = match tree[at][side(depth)] {
                Record::Node(next) => next,
                _ => {
                    tree.push([Record::Nothing; 2]);
                    tree[at][side(depth)] = Record::Node(tree.len() - 1);
                    tree.len() - 1
                }
            };
        }
        tree[at][side(length - 1)] = Record::Entry(entries.len());
        entries.extend(entry(*location));
    }
    let mut file = Vec::new();
    for record in tree.iter().flatten() {
        let value = match record {
            Record::Nothing => tree.len(),
            Record::Node(number) => *number,
            Record::Entry(offset) => tree.len() + SEPARATOR + offset,
        };
        file.extend(&u32::try_from(value).expect("a small file").to_be_bytes()[1..]);
    }
    file.extend([0; SEPARATOR]);
    file.extend(entries);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    file.extend(description(kind, tree.len() as u32));
    file
}

fn entry(location: Option<(f64, f64)>) -> Vec<u8> {
    match location {
        Some((latitude, longitude)) => {
            let point = [("latitude", double(latitude)), ("longitude", double(longitude))];
            map(&[("country", map(&[("iso_code", text("XX"))])), ("location", map(&point))])
        }
        None => map(&[("country", map(&[("iso_code", text("XX"))]))]),
    }
}

fn description(kind: &str, nodes: u32) -> Vec<u8> {
    let (short, number) = (|value: u16| control(5, &value.to_be_bytes()), control(6, &nodes.to_be_bytes()));
    // Of these types beyond 7 the number follows the length: an array of none, and eight bytes.
    let (none, time) = (vec![0, 4], [&[8, 2][..], &1_700_000_000_u64.to_be_bytes()].concat());
    map(&[
        ("binary_format_major_version", short(2)),
        ("binary_format_minor_version", short(0)),
        ("build_epoch", time),
        ("database_type", text(kind)),
        ("description", map(&[("en", text("made by a test"))])),
        ("ip_version", short(6)),
        ("languages", none),
        ("node_count", number),
        ("record_size", short(24)),
    ])
}

/// A value of a type below 8, of fewer than 29 bytes.
fn control(kind: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 29, "longer ones are written otherwise");
    [&[kind << 5 | bytes.len() as u8][..], bytes].concat()
}

fn text(value: &str) -> Vec<u8> {
    control(2, value.as_bytes())
}

fn double(value: f64) -> Vec<u8> {
    control(3, &value.to_be_bytes())
}

fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![7 << 5 | pairs.len() as u8];
    pairs.iter().for_each(|(name, value)| bytes.extend([text(name), value.clone()].concat()));
    bytes
}
