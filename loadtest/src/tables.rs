//! `tables`: plays the scenarios behind the README's voice figures, each against a private server of its own, and writes them
//! down as Markdown. What stands there is what one command measured on one machine, missed objectives included.

use crate::measure::figures::Figures;
use crate::progress;
use crate::report::{Report, Verdict};
use crate::run::{self, Target};
use crate::scenario::Scenario;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const BEGIN: &str = "<!-- voice figures: made by `make figures` -->\n";
const END: &str = "<!-- /voice figures -->\n";

#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Put the tables into this file, between the marks that it has for them, rather than on stdout
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Only these scenarios, as in --only fanout-native,thousand; the other rows stay as they are in the file
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// How often a scenario is played again when the machine was too busy to judge it
    #[arg(long, value_name = "TIMES", default_value_t = 2)]
    again: u32,
}

/// One table: a row for each scenario.
struct Table {
    /// The heads of the columns; the first is the scenario.
    heads: &'static [&'static str],
    rows: &'static [(&'static str, &'static str)],
    cells: fn(&Figures) -> Vec<String>,
}

const FORWARDING: Table = Table {
    heads: &[
        "CPU of the media thread per forwarded packet",
        "packets/s",
        "bare forwarder¹",
        "Guildhall",
        "ratio (median of the rounds)",
    ],
    rows: &[
        ("fanout-native", "1 speaker → 100, native (UDP)"),
        ("fanout-webrtc", "1 speaker → 100, WebRTC"),
        ("rooms-native", "10 rooms of 1 → 50, native"),
        ("rooms-webrtc", "10 rooms of 1 → 50, WebRTC"),
    ],
    cells: |figures| {
        vec![
            show(figures, "server.forwarded_per_s", 0, ""),
            show(figures, "floor.us_per_packet", 2, " µs"),
            show(figures, "server.us_per_packet", 2, " µs"),
            show(figures, "floor.ratio", 2, " ×"),
        ]
    },
};

const VIDEO: Table = Table {
    heads: &[
        "video: CPU of the media thread per forwarded packet",
        "packets/s",
        "bare forwarder¹",
        "Guildhall",
        "ratio (median of the rounds)",
        "memory per participant",
    ],
    rows: &[
        ("video-single", "1 camera of 1.5 Mbit/s → 50"),
        ("video-simulcast", "the same with simulcast (three layers)"),
        ("video-call", "a call of 10, all with cameras"),
    ],
    cells: |figures| {
        let mut cells = (FORWARDING.cells)(figures);
        cells.push(show(figures, "server.active_peer_kib", 0, " KiB"));
        cells
    },
};

const DELAY: Table = Table {
    heads: &[
        "delay under load",
        "packets/s",
        "of a core",
        "added² p50 / p99 / p99.9",
        "direct path p99.9",
        "longest gap",
        "gaps per listener-hour",
        "lost",
    ],
    rows: &[("load-30", "about 30 % of a core"), ("load-50", "about 50 %"), ("load-70", "about 70 %")],
    cells: |figures| {
        let added = ["delay.added_p50_ms", "delay.added_p99_ms", "delay.added_p999_ms"];
        vec![
            show(figures, "server.forwarded_per_s", 0, ""),
            percent(figures, "server.core_share"),
            format!("{} ms", added.map(|name| show(figures, name, 2, "")).join(" / ")),
            show(figures, "delay.direct_p999_ms", 1, " ms"),
            show(figures, "gap.longest_ms", 0, " ms"),
            show(figures, "gap.seconds_per_listener_hour", 2, " s"),
            percent(figures, "audio.loss"),
        ]
    },
};

type Show = fn(&Figures) -> String;

/// Single figures: scenario, what it says, and how.
const SINGLE: &[(&str, &str, Show)] = &[
    ("first-audio", "from the wish to join to the first audio, p50 / p99", |figures| {
        format!("{} / {}", show(figures, "first_audio.p50_ms", 0, ""), show(figures, "first_audio.p99_ms", 0, " ms"))
    }),
    ("joins", "joins of a crowd, half of it WebRTC", |figures| show(figures, "join.per_second", 0, " per second")),
    ("memory-idle", "memory per participant who is connected and silent", |figures| {
        show(figures, "server.idle_peer_kib", 1, " KiB")
    }),
    ("memory-active", "memory per participant of lively rooms", |figures| show(figures, "server.active_peer_kib", 1, " KiB")),
    ("video-narrow", "a viewer's link, 100 ms away, falls to 300 kbit/s and comes back (two others beside it)", |figures| {
        let ms = |name| show(figures, name, 0, " ms");
        format!(
            "smaller picture after {}, frozen for {}, {} of the voices lost, longest silence {}, large picture again after {}; \
             the others: frozen for {}, poorest second {}",
            ms("shifted.fall_ms"),
            ms("shifted.frozen_ms"),
            percent(figures, "audio.missing"),
            ms("gap.longest_ms"),
            ms("shifted.rise_ms"),
            ms("video.frozen_ms"),
            percent(figures, "video.poorest_second")
        )
    }),
    ("thousand", "1,010 people in one room, ten take turns (packets of 60 ms)", |figures| {
        format!(
            "{} packets/s, {} misrouted, longest gap {}, longest lost beginning {}",
            show(figures, "server.forwarded_per_s", 0, ""),
            show(figures, "audio.misrouted", 0, ""),
            show(figures, "gap.longest_ms", 0, " ms"),
            show(figures, "onset.longest_ms", 0, " ms")
        )
    }),
];

pub fn run(options: &Options) -> Result<ExitCode> {
    let names = || {
        [&FORWARDING, &VIDEO, &DELAY]
            .into_iter()
            .flat_map(|table| table.rows)
            .map(|row| row.0)
            .chain(SINGLE.iter().map(|row| row.0))
    };
    if let Some(unknown) = options.only.iter().find(|wanted| !names().any(|name| name == wanted.as_str())) {
        bail!("no table has a row {unknown:?}; there are {}", names().collect::<Vec<_>>().join(", "));
    }
    let before = match &options.write {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
        None => String::new(),
    };
    let rows = Rows { options, before };
    let mut text = String::new();
    for table in [&FORWARDING, &VIDEO, &DELAY] {
        text += &table.measure(&rows)?;
        text += "\n";
    }
    text += "| | | `guildhall-loadtest run …` |\n|---|---|---|\n";
    for (name, meaning, show) in SINGLE {
        text += &rows.row(name, meaning, 1, |report| show(&report.figures))?;
    }
    match &options.write {
        Some(path) => put(path, (BEGIN, END), &text)?,
        None => print!("{text}"),
    }
    Ok(ExitCode::SUCCESS)
}

impl Table {
    fn measure(&self, rows: &Rows) -> Result<String> {
        let mut text = format!("| {} | `guildhall-loadtest run …` |\n", self.heads.join(" | "));
        text += &"|---".repeat(self.heads.len() + 1);
        text += "|\n";
        for (name, meaning) in self.rows {
            text += &rows.row(name, meaning, self.heads.len() - 1, |report| (self.cells)(&report.figures).join(" | "))?;
        }
        Ok(text)
    }
}

/// Where rows come from: a run, or the file as it is.
struct Rows<'a> {
    options: &'a Options,
    before: String,
}

impl Rows<'_> {
    /// A line of a table with its end.
    fn row(&self, name: &str, meaning: &str, cells: usize, show: impl Fn(&Report) -> String) -> Result<String> {
        if self.options.only.is_empty() || self.options.only.iter().any(|wanted| wanted == name) {
            let report = self.play(name)?;
            return Ok(format!("| {meaning} | {}{} | `{name}` |\n", show(&report), remark(&report)));
        }
        Ok(kept(&self.before, name).unwrap_or_else(|| format!("| {meaning} {}| `{name}` |\n", "| – ".repeat(cells))))
    }

    fn play(&self, name: &str) -> Result<Report> {
        let scenario = Scenario::load(name, self.options.target.settings())?;
        let mut tries = 0;
        loop {
            progress(&format!("scenario {name}"));
            let report = run::perform(name, &scenario, &self.options.target).with_context(|| format!("scenario {name}"))?;
            eprint!("{report}");
            if tries == self.options.again || report.verdict() != Verdict::Unfit {
                return Ok(report);
            }
            tries += 1;
        }
    }
}

/// The row of the scenario as a file has it.
fn kept(file: &str, name: &str) -> Option<String> {
    let end = format!("| `{name}` |");
    file.lines().find(|line| line.ends_with(&end)).map(|line| format!("{line}\n"))
}

/// What a reader must know of a run that was not plainly good.
fn remark(report: &Report) -> String {
    match report.verdict() {
        Verdict::Met => String::new(),
        Verdict::Unfit => " (the machine was too busy to judge)".to_owned(),
        Verdict::Missed => {
            let missed = report.objectives.iter().filter(|judged| !judged.is_met);
            let missed: Vec<_> = missed.map(|judged| format!("{} {}", judged.figure, judged.objective)).collect();
            format!(" (misses {})", missed.join(", "))
        }
    }
}

fn show(figures: &Figures, name: &str, digits: usize, unit: &str) -> String {
    figures.get(name).map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}{unit}"))
}

fn percent(figures: &Figures, name: &str) -> String {
    figures.get(name).map_or_else(|| "–".to_owned(), |value| format!("{:.2} %", value * 100.0))
}

/// Between the marks; the rest of the file stays.
pub(crate) fn put(path: &Path, marks: (&str, &str), text: &str) -> Result<()> {
    let file = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let replaced = replace(&file, marks, text).with_context(|| format!("{} has no place for the tables", path.display()))?;
    std::fs::write(path, replaced).with_context(|| format!("writing {}", path.display()))
}

fn replace(file: &str, (begin, end): (&str, &str), text: &str) -> Option<String> {
    let (before, rest) = file.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some([before, begin, text, end, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::figures::is_known;

    #[test]
    fn every_row_is_a_shipped_scenario() {
        let rows = [FORWARDING.rows, VIDEO.rows, DELAY.rows].concat().into_iter().map(|(name, _)| name);
        for name in rows.chain(SINGLE.iter().map(|(name, ..)| *name)) {
            Scenario::load(name, &[]).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
    }

    #[test]
    fn a_table_has_as_many_cells_as_heads() {
        for table in [&FORWARDING, &VIDEO, &DELAY] {
            assert_eq!((table.cells)(&Figures::default()).len() + 1, table.heads.len());
        }
    }

    #[test]
    fn a_row_that_is_not_measured_stays() {
        let file = "| 1 → 100 | 5 µs | `fanout-native` |\n| 9 | `thousand` |\n";
        assert_eq!(kept(file, "thousand").as_deref(), Some("| 9 | `thousand` |\n"));
        assert_eq!(kept(file, "joins"), None);
    }

    #[test]
    fn figures_are_shown_with_units_and_missing_ones_as_missing() {
        let mut figures = Figures::default();
        assert!(is_known("floor.ratio") && is_known("audio.loss"));
        figures.set("floor.ratio", 1.066);
        figures.set("audio.loss", 0.0041);
        assert_eq!(show(&figures, "floor.ratio", 2, " ×"), "1.07 ×");
        assert_eq!(show(&figures, "gap.longest_ms", 0, " ms"), "–");
        assert_eq!(percent(&figures, "audio.loss"), "0.41 %");
    }

    #[test]
    fn the_readme_has_its_place_and_only_that_changes() {
        let readme = include_str!("../../README.md");
        let changed = replace(readme, (BEGIN, END), "new\n").expect("the README has the marks");
        assert!(changed.contains(&[BEGIN, "new\n", END].concat()));
        assert_eq!(replace(&changed, (BEGIN, END), "newer\n").map(|text| text.len()), Some(changed.len() + 2));
        assert_eq!(replace("no marks", (BEGIN, END), "new"), None);
    }
}
