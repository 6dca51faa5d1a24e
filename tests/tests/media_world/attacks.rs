//! What attackers on and off the wire try: to get in between a handshake, to speak as another, to use up another's budget or
//! the worker's time.

use super::network::{Random, Weather};
use super::world::World;
use guildhall_sfu::{NativeSuite, Reason};
use std::net::SocketAddr;
use std::time::Duration;

const GCM: NativeSuite = NativeSuite::Aes256GcmRtpsize;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn stranger(n: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, (n / 60_000) as u8], 1 + (n % 60_000) as u16))
}

/// IP discovery begins like STUN and has 74 bytes.
fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= 20 && bytes[0] < 4 && bytes.len() != 74
}

fn is_dtls(bytes: &[u8]) -> bool {
    (20..64).contains(&bytes[0])
}

/// What a browser sends until it is connected.
fn handshake(seed: u64) -> Vec<Vec<u8>> {
    let mut world = World::new(seed, Weather::FINE);
    world.is_tapped = true;
    world.add_browser(1, 1);
    world.settle();
    world.wiretap.into_iter().map(|(_, _, bytes)| bytes).collect()
}

#[test]
fn a_client_hello_before_the_peers_own_changes_nothing() {
    let foreign: Vec<_> = handshake(60).into_iter().filter(|bytes| is_dtls(bytes)).collect();
    assert!(!foreign.is_empty(), "a browser begins with a ClientHello");
    let mut world = World::new(61, Weather::FINE);
    let listener = world.add_native(1, GCM);
    world.is_tapped = true;
    let victim = world.add_browser(1, 1);
    // From elsewhere, before and after the victim's first check: nobody is asked, nothing is answered.
    for _ in 0..40 {
        for hello in &foreign {
            world.inject(stranger(7), hello);
        }
        world.run_for(millis(1));
    }
    assert!(world.drops(Reason::UnknownAddress) >= 40);
    world.settle();
    world.clients[victim].is_speaking = true;
    world.run_for(millis(1_000));
    assert!(world.clients[listener].heard_from(victim).len() >= 45);
    world.audit();
}

/// Whoever can forge the peer's own address and port, which no other peer is told, in the milliseconds between its first check
/// and its ClientHello ends that attempt (no DTLS peer can tell whose ServerHello it got); from then on it is too late.
#[test]
fn a_client_hello_under_a_connected_peers_own_address_changes_nothing() {
    let foreign: Vec<_> = handshake(67).into_iter().filter(|bytes| is_dtls(bytes)).collect();
    let mut world = World::new(68, Weather::FINE);
    let (listener, victim) = (world.add_native(1, GCM), world.add_browser(1, 1));
    world.settle();
    world.clients[victim].is_speaking = true;
    let address = world.network.public_of(world.clients[victim].private);
    for _ in 0..100 {
        for hello in &foreign {
            world.inject(address, hello);
        }
        world.run_for(millis(20));
    }
    world.clients[victim].is_speaking = false;
    world.run_for(millis(500));
    let said = world.clients[victim].said();
    assert_eq!(world.clients[listener].heard_from(victim), (0..said).collect::<Vec<_>>());
    assert!(said >= 95 && !world.clients[victim].is_lost());
    world.audit();
}

#[test]
fn checks_of_another_or_seen_before_prove_no_address() {
    let foreign: Vec<_> = handshake(62).into_iter().filter(|bytes| is_stun(bytes)).collect();
    let mut world = World::new(63, Weather::FINE);
    world.is_tapped = true;
    let (browser, bot) = (world.add_browser(1, 2), world.add_native(1, GCM));
    world.settle();
    world.run_for(millis(5_000));
    let own: Vec<_> = std::mem::take(&mut world.wiretap).into_iter().filter(|(_, _, bytes)| is_stun(bytes)).collect();
    world.is_tapped = false;
    assert!(!foreign.is_empty() && !own.is_empty());
    world.clients[bot].is_speaking = true;
    let before = world.drops(Reason::Replayed);
    for (n, (_, _, check)) in own.iter().enumerate() {
        world.inject(stranger(n as u64), check);
    }
    assert_eq!(world.drops(Reason::Replayed), before + own.len() as u64, "a transaction proves one address");
    for check in &foreign {
        world.inject(stranger(1), check);
    }
    let mut broken = own[0].2.clone();
    let last = broken.len() - 1;
    for at in [last, last - 10, 25] {
        broken[at] ^= 1;
        world.inject(stranger(2), &broken);
    }
    world.run_for(millis(2_000));
    let said = world.clients[bot].said();
    assert!(world.clients[browser].heard_from(bot).len() as u64 + 2 >= said, "audio goes where it went");
    world.audit();
}

#[test]
fn an_ssrc_that_two_claim_is_no_ones_disadvantage() {
    let mut world = World::new(64, Weather::FINE);
    let (victim, bot) = (world.add_browser(1, 3), world.add_native(1, GCM));
    world.settle();
    // In the same room and in another, a browser offers the SSRC that the victim sends with, and one the bot's.
    let of_victim = world.browser_ssrc(victim);
    let of_bot = 1_000_000 + bot as u32 * 1000;
    let attackers = [
        world.add_browser_claiming(1, 3, of_victim),
        world.add_browser_claiming(2, 3, of_victim),
        world.add_browser_claiming(1, 3, of_bot),
    ];
    world.settle();
    for index in 0..world.clients.len() {
        world.clients[index].is_speaking = true;
    }
    world.run_for(millis(2_000));
    world.network.rebind(world.clients[victim].private);
    world.network.rebind(world.clients[bot].private);
    world.run_for(millis(2_000));
    world.clients.iter_mut().for_each(|client| client.is_speaking = false);
    world.run_for(millis(500));
    for (speaker, listener) in [(victim, bot), (bot, victim)] {
        let missing = world.clients[speaker].said() - world.clients[listener].heard_from(speaker).len() as u64;
        assert!(missing <= 2, "client {listener} missed {missing} of {speaker}");
    }
    // What they really send is not what they said they would.
    assert!(world.drops(Reason::WrongSsrc) > 500);
    for attacker in attackers {
        assert_eq!(world.clients[bot].heard_from(attacker), [0; 0]);
    }
    world.audit();
}

#[test]
fn nobody_spends_anothers_budget() {
    let mut world = World::new(65, Weather::FINE);
    let (bot, browser, listener) = (world.add_native(1, GCM), world.add_browser(1, 3), world.add_native(1, GCM));
    world.settle();
    let mut random = Random::new(65);
    for speaker in [bot, browser] {
        world.clients[speaker].is_speaking = true;
    }
    for _ in 0..100 {
        world.run_for(millis(20));
        for victim in [bot, browser] {
            let address = world.network.public_of(world.clients[victim].private);
            let ssrc = if victim == bot { 1_000_000 + bot as u32 * 1000 } else { world.browser_ssrc(victim) };
            for _ in 0..50 {
                // RTP of the right form, from the victim's address and under its SSRC; and DTLS.
                let mut forged = vec![0; 80];
                random.fill(&mut forged);
                (forged[0], forged[1]) = (0x80, if victim == bot { 120 } else { forged[1] & 0x7F });
                forged[8..12].copy_from_slice(&ssrc.to_be_bytes());
                world.inject(address, &forged);
                world.inject(stranger(3), &forged);
                forged[..3].copy_from_slice(&[22, 254, 253]);
                world.inject(address, &forged);
            }
        }
    }
    world.clients.iter_mut().for_each(|client| client.is_speaking = false);
    world.run_for(millis(500));
    for speaker in [bot, browser] {
        let said = world.clients[speaker].said();
        assert_eq!(world.clients[listener].heard_from(speaker), (0..said).collect::<Vec<_>>(), "everything of {speaker}");
    }
    assert!(world.drops(Reason::OverBudget) > 1_000, "{:?}", world.all_drops());
    assert!(!world.clients[browser].is_lost());
}

#[test]
fn a_flood_delays_others_by_no_more_than_its_own_handling() {
    let mut world = World::new(66, Weather::FINE);
    let (bot, browser) = (world.add_native(1, GCM), world.add_browser(1, 3));
    world.is_tapped = true;
    world.settle();
    world.run_for(millis(3_000));
    let tapped = std::mem::take(&mut world.wiretap);
    world.is_tapped = false;
    let check = tapped.iter().find(|(_, _, bytes)| is_stun(bytes)).expect("browsers check").2.clone();
    let (bot_at, browser_at) = [bot, browser].map(|index| world.network.public_of(world.clients[index].private)).into();
    let mut random = Random::new(66);
    let mut strange_stun = check.clone();
    // Another user name of the same length: USERNAME is the first attribute of str0m's checks.
    strange_stun[24] ^= 0x55;

    // What an honest packet costs on this machine, in this build: opened and sealed for one listener.
    world.clients[bot].is_speaking = true;
    world.run_for(millis(200));
    let honest = {
        let before = world.busy;
        let (from, heard) = (world.clients[bot].said(), world.clients[browser].heard_from(bot).len());
        world.run_for(millis(10_000));
        assert!(world.clients[browser].heard_from(bot).len() >= heard + 490);
        (world.busy - before) / (world.clients[bot].said() - from) as u32
    };
    world.clients[bot].is_speaking = false;

    // 50,000 datagrams in one simulated second, of every kind that costs something. None may cost more than a look into a
    // table, one integrity check or one failed decryption, except those that a peer's own budget pays for.
    let before = world.all_drops();
    let mut spent = [Duration::ZERO; 8];
    for n in 0..50_000u64 {
        if n % 1_000 == 0 {
            world.run_for(millis(20));
        }
        let mut noise = vec![0; 20 + random.below(180) as usize];
        random.fill(&mut noise);
        let (from, bytes) = match n % 8 {
            0 => (stranger(n), noise),
            1 => (stranger(n), strange_stun.clone()),
            2 => {
                let mut broken = check.clone();
                let last = broken.len() - 1 - random.below(20) as usize;
                broken[last] ^= 1;
                (stranger(n), broken)
            }
            3 => (browser_at, [&[22, 254, 253][..], &noise].concat()),
            4 => (bot_at, [&[0x80, 120][..], &noise].concat()),
            5 => {
                noise.resize(74, 0);
                noise[..4].copy_from_slice(&[0, 1, 0, 70]);
                (stranger(n), noise)
            }
            6 => (bot_at, vec![7; 8]),
            _ => (stranger(n), check.clone()),
        };
        let busy = world.busy;
        world.inject(from, &bytes);
        spent[n as usize % 8] += world.busy - busy;
    }
    let mean = spent.map(|spent| spent / (50_000 / 8));
    println!("an honest packet {honest:?}, of the flood {mean:?}");
    // The dearest that no budget bounds is a check, a hash over it. Records of DTLS cost more, but few are looked at.
    assert!(mean.iter().all(|mean| *mean <= 4 * honest), "{mean:?} against {honest:?}");
    // So whoever is flooded by as many datagrams as it has honest packets has half of its time left at the least.
    assert!(spent.iter().sum::<Duration>() <= 50_000 * honest, "{spent:?} against {honest:?}");
    for (reason, least) in [
        (Reason::Noise, 100),
        (Reason::UnknownUfrag, 6_000),
        (Reason::BadStun, 3_000),
        (Reason::Replayed, 6_000),
        (Reason::UnknownSsrc, 6_000),
        (Reason::OverBudget, 6_000),
    ] {
        assert!(world.drops(reason) - before.of(reason) >= least, "{reason:?}: {:?}", world.all_drops());
    }

    // And those who were there before notice nothing.
    for index in [bot, browser] {
        world.clients[index].is_speaking = true;
    }
    world.run_for(millis(1_000));
    assert!(world.clients[bot].heard_from(browser).len() >= 45 && world.clients[browser].heard_from(bot).len() >= 45);
    world.audit();
}
