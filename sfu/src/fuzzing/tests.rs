use super::*;
use std::path::{Path, PathBuf};

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    assert!(fuzz.join("fuzz_targets").join(name).with_extension("rs").is_file(), "{name} is no target of fuzz/");
    let folder = fuzz.join("corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<_> = files
        .map(|file| file.expect("a file").path())
        .map(|path| (path.clone(), std::fs::read(path).expect("it is there")))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "the corpus of {name} is empty");
    found
}

#[test]
fn every_input_that_fuzzing_kept_is_still_taken() {
    for (name, target) in TARGETS {
        for (path, data) in corpus(name) {
            // Shown when the target panics.
            println!("{}", path.display());
            target(&data);
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// A child of one or two inputs: bytes changed, cut, doubled, or taken from the other.
fn mutate(random: &mut Random, one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut child = one.to_vec();
    for _ in 0..1 + random.below(6) {
        let at = random.below(child.len().max(1));
        match random.below(6) {
            0 if !child.is_empty() => child[at] = random.below(256) as u8,
            1 if !child.is_empty() => child[at] ^= 1 << random.below(8),
            2 => child.insert(at.min(child.len()), random.below(256) as u8),
            3 if !child.is_empty() => child.truncate(at),
            4 if child.len() < 2048 => {
                let end = (at + 1 + random.below(24)).min(child.len());
                let part = child.get(at..end).unwrap_or_default().to_vec();
                child.extend(part);
            }
            _ => {
                let from = random.below(other.len().max(1)).min(other.len());
                let end = (from + 1 + random.below(48)).min(other.len());
                child.extend(&other[from..end]);
            }
        }
    }
    child
}

/// A little fuzzing in every test run, from a fixed seed; `GUILDHALL_FUZZ_SECONDS=60` goes on from a seed of the time.
#[test]
fn children_of_the_corpora_are_taken_too() {
    let seconds: Option<u64> = std::env::var("GUILDHALL_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let seed = seconds.map_or(7, |_| std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64);
    println!("seed {seed}");
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        let mut random = Random(seed);
        let start = Instant::now();
        let mut runs = 0u64;
        while seconds.map_or(runs < 150, |seconds| start.elapsed() < Duration::from_secs(seconds)) {
            let (one, other) = (&corpus[random.below(corpus.len())].1, &corpus[random.below(corpus.len())].1);
            let child = mutate(&mut random, one, other);
            if std::panic::catch_unwind(|| target(&child)).is_err() {
                panic!("{name} does not take {child:?}");
            }
            runs += 1;
        }
        println!("{name}: {runs} runs");
    }
}

#[test]
fn the_engine_script_reaches_media_on_both_transports() {
    // Two bots join, connect where discovery comes from, and one speaks; then a browser's check proves its address.
    let script = |instructions: &[&[u8]]| instructions.concat();
    let identity = Identity::generate().expect("randomness");
    let data = script(&[
        &[0, 0, 1],
        &[0, 2, 1],
        &[1, 0, 3],
        &[1, 1, 4],
        &[8, 0, 3],
        &[8, 1, 4],
        &[7, 0, 3],
        b"abc",
        &[0, 4, 1],
        &[2, 2, 5],
        &[9, 2, 9],
    ]);
    let mut run = Script {
        engine: Engine::new(SocketAddr::from(([198, 51, 100, 1], 50_000)), identity),
        now: Instant::now(),
        rest: &data,
        peers: Vec::new(),
        outbox: Outbox { slot: [0; 1536], sent: 0 },
    };
    while run.step().is_some() {}
    assert_eq!(run.engine.drops().total(), 0, "{:?}", run.engine.drops());
    assert_eq!(run.engine.traffic().audio_out, 1);
    assert!(run.outbox.sent > 0);
}
