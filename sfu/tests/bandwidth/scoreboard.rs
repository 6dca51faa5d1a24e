//! The committed figures, and whether new ones are worse.

use crate::plans::Figures;
use std::fmt::Write;

/// A column: its head, how it is read, and what is worse: how far a figure may move the wrong way, at least and as a part.
struct Column {
    head: &'static str,
    read: fn(&Figures) -> Option<f64>,
    digits: usize,
    more_is_better: bool,
    tolerance: (f64, f64),
}

const COLUMNS: [Column; 10] = [
    Column { head: "used %", read: |f| Some(f.utilisation), digits: 1, more_is_better: true, tolerance: (1.5, 0.0) },
    Column { head: "queue ms", read: |f| Some(f.queue_mean), digits: 0, more_is_better: false, tolerance: (3.0, 0.1) },
    Column { head: "p95 ms", read: |f| Some(f.queue_p95), digits: 0, more_is_better: false, tolerance: (6.0, 0.1) },
    Column { head: "above %", read: |f| Some(f.overshoot), digits: 0, more_is_better: false, tolerance: (6.0, 0.1) },
    Column { head: "dropped %", read: |f| Some(f.dropped), digits: 2, more_is_better: false, tolerance: (0.2, 0.15) },
    Column { head: "fall s", read: |f| f.fall, digits: 1, more_is_better: false, tolerance: (0.2, 0.1) },
    Column { head: "return s", read: |f| f.recover, digits: 1, more_is_better: false, tolerance: (0.5, 0.1) },
    Column { head: "share %", read: |f| f.share, digits: 0, more_is_better: true, tolerance: (5.0, 0.0) },
    Column { head: "switches", read: |f| f.switches, digits: 0, more_is_better: false, tolerance: (2.0, 0.2) },
    Column { head: "padding %", read: |f| Some(f.padding), digits: 1, more_is_better: false, tolerance: (0.7, 0.2) },
];

const INTRODUCTION: &str = "# Bandwidth estimation on simulated networks

Made by `GUILDHALL_WRITE_DOCS=1 cargo test -p guildhall-sfu --test bandwidth`; without the variable the same test fails when a
figure is worse than here by more than a little. Each figure is the mean of a few seeded runs of a minute. A listener gets audio
(64 kbit/s) and video over one bottleneck 25 ms away, unless a plan says otherwise; the plans are in `plans.rs`.

- **used**: what arrived of audio and video, of what the network carried and the source had (of a fair share beside others; of
  the best layers that fit into 92 % for cameras), after the first 4 s
- **queue**, **p95**: how long our packets waited in the bottleneck's queue, mean and 95th percentile
- **above**: the most that the estimate was above the capacity, except in the 2 s after that fell
- **dropped**: our packets that a full queue dropped
- **fall**, **return**: from a fall of the capacity until the estimate is below it, and from a rise until it is at 80 % of what is
  of use, the longest of each
- **share**: our part of what would be fair beside somebody else (100 is fair)
- **switches**: how often a camera got another resolution, the first one included
- **padding**: what probes cost, of all that was sent

";

/// The page for these figures.
pub fn write(rows: &[(&'static str, Figures)]) -> String {
    let mut page = INTRODUCTION.to_owned();
    let heads: Vec<&str> = COLUMNS.iter().map(|column| column.head).collect();
    let _ = writeln!(page, "| network | {} |\n|---|{}", heads.join(" | "), "---:|".repeat(COLUMNS.len()));
    for (name, figures) in rows {
        let cells: Vec<String> = COLUMNS.iter().map(|column| cell(column, figures)).collect();
        let _ = writeln!(page, "| {name} | {} |", cells.join(" | "));
    }
    page
}

fn cell(column: &Column, figures: &Figures) -> String {
    (column.read)(figures).map_or_else(|| "–".to_owned(), |figure| format!("{figure:.*}", column.digits))
}

/// What is worse than on the page, or not on it: a line each.
pub fn worse(page: &str, rows: &[(&'static str, Figures)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, figures) in rows {
        let Some(row) = page.lines().find_map(|line| line.strip_prefix(&format!("| {name} | "))) else {
            found.push(format!("{name}: not on the scoreboard"));
            continue;
        };
        let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        for (index, column) in COLUMNS.iter().enumerate() {
            let (then, now) = (cells.get(index).and_then(|cell| cell.parse::<f64>().ok()), (column.read)(figures));
            let is_worse = match (then, now) {
                (None, None) => false,
                (Some(then), Some(now)) => {
                    let worse = if column.more_is_better { then - now } else { now - then };
                    worse > column.tolerance.0.max(column.tolerance.1 * then)
                }
                _ => true,
            };
            if is_worse {
                found.push(format!(
                    "{name}: {} was {} and is {}",
                    column.head,
                    cells.get(index).unwrap_or(&"nothing"),
                    cell(column, figures)
                ));
            }
        }
    }
    found
}
