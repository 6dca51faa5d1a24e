//! Gives fuzz targets every committed input, and seeded random changes to each: shared by the tests of the crates that have
//! targets, so that corpora never rot and `make test` fuzzes a little without the fuzzer.
//!
//! With `GUILDHALL_FUZZ_SECONDS` in the environment each target gets new changes for so long.

use std::path::Path;
use std::time::{Duration, Instant};

/// Changed inputs for each target in a usual run: it takes a few seconds for all targets.
const CHANGES: u64 = 300;
/// As the fuzzer's.
const MAX_LENGTH: usize = 4096;

/// The name of the file in `fuzz_targets` and of the corpus, and what is called.
type Target = (&'static str, fn(&[u8]));

pub fn replay(targets: &[Target]) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("fuzz"));
    let fuzz = fuzz.into_iter().find(|fuzz| fuzz.join("fuzz_targets").is_dir()).expect("the tests run in the repository");
    let seconds = std::env::var("GUILDHALL_FUZZ_SECONDS").ok().map(|seconds| seconds.parse().expect("a number of seconds"));
    for (name, target) in targets {
        assert!(fuzz.join("fuzz_targets").join(name).with_extension("rs").is_file(), "{name} is no target of fuzz/");
        let corpus = fuzz.join("corpus").join(name);
        let files = std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        let inputs: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        for (path, input) in paths.iter().zip(&inputs) {
            give(*target, input, path);
        }
        let started = Instant::now();
        let goes_on = |given| match seconds {
            Some(seconds) => started.elapsed() < Duration::from_secs(seconds),
            None => given < CHANGES,
        };
        let mut given = 0;
        while goes_on(given) {
            let index = given as usize % inputs.len();
            let changed = Random::new(given).change(&inputs[index], &inputs);
            give(*target, &changed, &paths[index]);
            given += 1;
        }
    }
}

/// Says what was given when the target panics.
fn give(target: fn(&[u8]), input: &[u8], path: &Path) {
    struct Given<'a>(&'a [u8], &'a Path);
    impl Drop for Given<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                println!("given (made of {}): b\"{}\"", self.1.display(), self.0.escape_ascii());
            }
        }
    }
    let given = Given(input, path);
    target(given.0);
}

/// xorshift64*: a run can be repeated, and no dependency is needed for it.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % most.max(1)
    }

    /// A few cuts, repetitions, flips, and pieces of other inputs.
    fn change(&mut self, input: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        const TELLING: &[u8] = b"\0\xff{}[]\"\\:,0-9e.\r\n;=%&!_/ \x7f\x80";
        let mut bytes = input.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(32)).min(bytes.len());
            match self.below(7) {
                0 => drop(bytes.drain(at..end)),
                1 => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                2 => bytes.insert(at, TELLING[self.below(TELLING.len())]),
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                4 if at < bytes.len() => bytes[at] = TELLING[self.below(TELLING.len())],
                5 => {
                    let other = &others[self.below(others.len())];
                    let from = self.below(other.len() + 1);
                    let piece = other[from..(from + self.below(64)).min(other.len())].to_vec();
                    bytes.splice(at..end, piece);
                }
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes.truncate(MAX_LENGTH);
        bytes
    }
}
