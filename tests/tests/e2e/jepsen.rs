//! Two control planes, PostgreSQL, Redis and the networks between them fail in ways that a seed draws, while people write and read. A few
//! rounds here; `make jepsen ROUNDS=200 SEED=1` runs as many as wanted.

use guildhall_tests::jepsen::Arena;

/// Enough to see each kind of fault once in a while, few enough for every `make test`.
const ROUNDS: u64 = 4;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_nothing_acknowledged_is_lost_doubled_or_moved_and_everyone_reads_one_order() {
    let rounds = setting("GUILDHALL_JEPSEN_ROUNDS").unwrap_or(ROUNDS);
    let first = setting("GUILDHALL_JEPSEN_SEED").unwrap_or_else(|| rand::random::<u32>().into());
    let mut arena = Arena::build().await;
    let mut failed = Vec::new();
    for seed in first..first + rounds {
        let outcome = arena.round(seed).await;
        println!(
            "seed {seed}: {} acknowledged, {} of them repeated, {} sessions with {} resumes; {}",
            outcome.acknowledged,
            outcome.repeated,
            outcome.sessions,
            outcome.resumes,
            outcome.faults.join("; ")
        );
        outcome.wrong.iter().for_each(|sentence| println!("    WRONG: {sentence}"));
        assert!(outcome.acknowledged > 0, "seed {seed}: a round in which nothing happens proves nothing");
        failed.extend((!outcome.wrong.is_empty()).then_some(seed));
    }
    assert!(failed.is_empty(), "{} of {rounds} rounds failed, those of the seeds {failed:?}", failed.len());
}
