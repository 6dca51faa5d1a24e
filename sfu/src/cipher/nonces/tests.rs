use super::*;
use std::collections::HashSet;

/// A client that counts from `first`, heard after we sent `before` packets; then both send `n`. No nonce may repeat unless we
/// said that the key is used up.
fn check(first: u32, before: u32, n: u32) -> bool {
    let mut nonces = Nonces::new();
    let mut used: HashSet<u32> = (0..before).map(|_| nonces.take()).collect();
    assert_eq!(used.len(), before as usize);
    for i in 0..n {
        let client = first.wrapping_add(i);
        let is_usable = nonces.observe(client);
        if !is_usable {
            return false;
        }
        assert!(used.insert(client), "the client's nonce {client:#x} was ours");
        assert!(used.insert(nonces.take()), "a nonce repeats after the client's {client:#x}");
    }
    true
}

#[test]
fn the_two_counts_never_meet_wherever_the_client_starts() {
    for first in [0, 1, 5, NEAR - 1, NEAR, NEAR + 1, AWAY - NEAR, 3 << 30, (3 << 30) + 700, u32::MAX, u32::MAX - 500] {
        assert!(check(first, 0, 2000), "start {first:#x}, nothing sent before");
        assert!(check(first, 600, 2000), "start {first:#x}, 600 sent before");
    }
}

#[test]
fn a_client_that_starts_where_we_were_uses_the_key_up_before_a_nonce_repeats() {
    for first in [AWAY - 100, AWAY, AWAY + 599] {
        assert!(!check(first, 600, 2000), "start {first:#x}");
        assert!(check(first, 0, 2000), "start {first:#x}, nothing sent before");
    }
}

#[test]
fn the_count_starts_half_a_circle_above_the_clients_first() {
    let mut nonces = Nonces::new();
    assert!(nonces.observe(7));
    assert_eq!(nonces.take(), 7 + AWAY);
    assert_eq!(Nonces::new().take(), AWAY);
}
