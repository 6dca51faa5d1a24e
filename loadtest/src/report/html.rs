//! The report as one HTML file that needs nothing else: no script, no font, no address.

use super::plot::{Line, Plot, Scale, escape};
use super::{Report, Verdict, number};
use crate::measure::figures::FIGURES;
use crate::measure::series::Sample;
use std::fmt::Write;

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1360px; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } .about { margin-top: .3rem; opacity: .8; }
.verdict { padding: .6rem 1rem; border-radius: 6px; color: #fff; font-weight: 600; }
.met { background: #1b7f4b; } .missed { background: #b3261e; } .unfit { background: #8a6d00; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; opacity: .75; } .rule { stroke: currentColor; opacity: .18; }
.legend { margin: 0; font-size: 13px; } table { border-collapse: collapse; margin: 1rem 0; }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #8884; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } td.bad { color: #b3261e; font-weight: 600; } .what { opacity: .7; font-size: 13px; }
";

pub fn page(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{0}</title><style>{STYLE}</style><h1>{0}</h1><p class=\"about\">{1}</p>",
        escape(&report.scenario_name),
        escape(&report.about)
    );
    let (class, words) = match (report.verdict(), &report.health) {
        (Verdict::Met, _) => ("met", "All objectives are met.".to_owned()),
        (Verdict::Missed, _) => ("missed", "An objective is missed.".to_owned()),
        (Verdict::Unfit, why) => ("unfit", format!("Nobody is judged: {}.", why.as_deref().unwrap_or_default())),
    };
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<p class=\"verdict {class}\">{}</p><p>{} people ({} by WebRTC) in {} rooms, packets of {} ms, seed {}. Server on core {:?}, \
         generator on {:?}.</p>",
        escape(&words),
        report.people,
        report.webrtc_people,
        report.rooms,
        report.packet_ms,
        report.seed,
        report.server_cores,
        report.generator_cores
    );
    page.push_str("<table><tr><th>objective</th><th>must be</th><th>is</th></tr>");
    for judged in &report.objectives {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"n{}\">{}</td></tr>",
            escape(&judged.figure),
            escape(&judged.objective),
            if judged.is_met { "" } else { " bad" },
            judged.value.map_or_else(|| "not measured".to_owned(), number)
        );
    }
    page.push_str("</table><div class=\"plots\">");
    page.push_str(&distributions(report, "Delay, wire to wire", "delay"));
    page.push_str(&distributions(report, "Audio after a join or a return", "first audio"));
    page.push_str(&distributions(report, "Silences within speech", "g"));
    for plot in series(report) {
        page.push_str(&plot.svg());
    }
    page.push_str("</div><table><tr><th>figure</th><th></th><th></th><th></th></tr>");
    for (name, unit, meaning) in FIGURES {
        if let Some(value) = report.figures.get(name) {
            let _ = write!(
                page,
                "<tr><td>{name}</td><td class=\"n\">{}</td><td>{}</td><td class=\"what\">{}</td></tr>",
                number(value),
                escape(unit),
                escape(meaning)
            );
        }
    }
    page + "</table></html>\n"
}

/// Quantiles on the scale of nines, where a tail is as wide as a middle.
fn distributions(report: &Report, title: &str, word: &str) -> String {
    let nines = |quantile: f64| -(1.0 - quantile.min(0.999_999)).log10();
    let is_of = |name: &str| match word {
        "g" => name == "gaps" || name == "lost beginnings",
        word => name.contains(word),
    };
    let of_this = report.distributions.iter().filter(|distribution| is_of(distribution.name));
    let lines: Vec<Line<'_>> = of_this
        .map(|distribution| {
            // Beyond the last packet there is no quantile.
            let known = 1.0 - 1.0 / distribution.count as f64;
            let points = distribution.points.iter().filter(|(quantile, _)| *quantile <= known.max(0.5));
            Line { name: distribution.name, points: points.map(|(quantile, ms)| (nines(*quantile), *ms)).collect() }
        })
        .collect();
    let last = lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x).fold(0.0, f64::max);
    let ticks = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"), (0.99999, "p99.999")];
    let ticks =
        ticks.into_iter().map(|(quantile, name)| (nines(quantile), name.to_owned())).filter(|(x, _)| *x <= last).collect();
    Plot { title, unit: "ms", lines, y: Scale::Log, ticks }.svg()
}

fn series(report: &Report) -> Vec<Plot<'_>> {
    let samples = report.series.samples();
    let line = |name, value: &dyn Fn(&Sample) -> Option<f64>| Line {
        name,
        points: samples.iter().filter_map(|sample| Some((sample.at, value(sample)?))).collect(),
    };
    let plot = |title, unit, lines| Plot { title, unit, lines, y: Scale::Linear, ticks: Vec::new() };
    vec![
        plot(
            "Audio packets",
            "per second",
            vec![line("said", &|s| Some(s.sent_per_s)), line("heard", &|s| Some(s.received_per_s))],
        ),
        plot("Longest delay of each second", "ms", vec![line("delay", &|s| Some(s.worst_delay_ms))]),
        plot(
            "CPU of the server",
            "part of one core",
            vec![line("media threads", &|s| s.media_share), line("whole process", &|s| s.process_share)],
        ),
        plot("Resident memory of the server", "MiB", vec![line("memory", &|s| s.memory_mib)]),
        plot(
            "Descriptors, threads, voice participants of the server",
            "count",
            vec![line("file descriptors", &|s| s.fds), line("threads", &|s| s.threads), line("participants", &|s| s.peers)],
        ),
        plot("Late sends of the generator", "part", vec![line("late", &|s| Some(s.late_part))]),
    ]
}
