//! The bandwidth machines on simulated networks, against a committed scoreboard.
//!
//! `GUILDHALL_WRITE_DOCS=1` writes the scoreboard anew; `GUILDHALL_TRACE=<part of a plan's name>` shows one run in steps of a
//! quarter of a second (`GUILDHALL_SEED=<n>`: with another seed).

mod allocations;
#[path = "../counting/mod.rs"]
mod counting;
mod flow;
mod link;
mod plans;
mod rival;
mod scoreboard;
mod source;

use plans::{Figures, Plan, plans, run};
use std::path::Path;

/// Runs of each plan: more would take longer, fewer would judge one throw of the dice.
const SEEDS: [u64; 3] = [1, 2, 3];

fn mean(plan: &Plan) -> Figures {
    let runs = SEEDS.map(|seed| run(plan, seed, false));
    let of = |read: fn(&Figures) -> f64| runs.iter().map(read).sum::<f64>() / runs.len() as f64;
    let maybe = |read: fn(&Figures) -> Option<f64>| runs.iter().map(read).sum::<Option<f64>>().map(|sum| sum / runs.len() as f64);
    Figures {
        utilisation: of(|f| f.utilisation),
        queue_mean: of(|f| f.queue_mean),
        queue_p95: of(|f| f.queue_p95),
        overshoot: of(|f| f.overshoot),
        dropped: of(|f| f.dropped),
        fall: maybe(|f| f.fall),
        recover: maybe(|f| f.recover),
        share: maybe(|f| f.share),
        switches: maybe(|f| f.switches),
        padding: of(|f| f.padding),
    }
}

#[test]
fn no_figure_of_the_scoreboard_is_worse() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bandwidth/scoreboard.md");
    let plans = plans();
    if let Ok(part) = std::env::var("GUILDHALL_TRACE") {
        let plan = plans.iter().find(|plan| plan.name.contains(&part)).expect("a plan with that name");
        let seed = std::env::var("GUILDHALL_SEED").map_or(SEEDS[0], |seed| seed.parse().expect("a number"));
        println!("{:#?}", run(plan, seed, true));
        return;
    }
    let half = plans.len() / 2;
    let rows: Vec<(&'static str, Figures)> = std::thread::scope(|scope| {
        let halves = [&plans[..half], &plans[half..]]
            .map(|plans| scope.spawn(move || plans.iter().map(|plan| (plan.name, mean(plan))).collect::<Vec<_>>()));
        halves.into_iter().flat_map(|half| half.join().expect("no run panics")).collect()
    });
    let page = scoreboard::write(&rows);
    println!("{page}");
    if std::env::var_os("GUILDHALL_WRITE_DOCS").is_some() {
        std::fs::write(&path, page).expect("the scoreboard can be written");
        return;
    }
    let committed = std::fs::read_to_string(&path).expect("the scoreboard is committed");
    let worse = scoreboard::worse(&committed, &rows);
    assert!(worse.is_empty(), "worse than {}:\n{}", path.display(), worse.join("\n"));
}

#[test]
fn a_figure_that_is_worse_by_more_than_a_little_is_named() {
    let good = Figures { utilisation: 95.0, queue_p95: 50.0, fall: Some(0.5), ..Figures::default() };
    let page = scoreboard::write(&[("a link", good)]);
    assert!(scoreboard::worse(&page, &[("a link", good)]).is_empty());
    let better = Figures { utilisation: 99.0, queue_p95: 20.0, fall: Some(0.1), ..good };
    assert!(scoreboard::worse(&page, &[("a link", better)]).is_empty());
    let hardly = Figures { utilisation: 94.0, queue_p95: 53.0, fall: Some(0.6), ..good };
    assert!(scoreboard::worse(&page, &[("a link", hardly)]).is_empty());
    let worse = [
        (Figures { utilisation: 90.0, ..good }, "a link: used % was 95.0 and is 90.0"),
        (Figures { queue_p95: 80.0, ..good }, "a link: p95 ms was 50 and is 80"),
        (Figures { fall: Some(2.0), ..good }, "a link: fall s was 0.5 and is 2.0"),
        (Figures { fall: None, ..good }, "a link: fall s was 0.5 and is –"),
    ];
    for (figures, named) in worse {
        assert_eq!(scoreboard::worse(&page, &[("a link", figures)]), [named]);
    }
    assert_eq!(scoreboard::worse(&page, &[("another", good)]), ["another: not on the scoreboard"]);
}
