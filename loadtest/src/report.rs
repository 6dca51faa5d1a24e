//! A run's result: figures, objectives, rounds and second-by-second samples; as text to read, as JSON to keep, and as a page
//! with plots ([`html`]).

pub mod html;
mod plot;

use crate::callers::Account;
use crate::cores::Cores;
use crate::measure::book::{Book, Times};
use crate::measure::figures::Figures;
use crate::measure::series::Series;
use crate::plan::Plan;
use crate::scenario::Scenario;
use crate::server::CpuTime;
use crate::voice::Transport;
use serde::Serialize;
use std::fmt;

/// The quantiles that are kept of each distribution: evenly on the scale of nines, as HdrHistogram plots it.
const QUANTILES: [f64; 14] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999, 1.0];

#[derive(Debug, Serialize)]
pub struct Report {
    pub scenario_name: String,
    pub about: String,
    pub seed: u64,
    pub people: usize,
    pub webrtc_people: usize,
    pub rooms: usize,
    pub server_cores: Vec<usize>,
    pub generator_cores: Vec<usize>,
    pub cores_are_separate: bool,
    pub is_private_server: bool,
    pub packet_ms: u32,
    pub figures: Figures,
    pub objectives: Vec<Judgement>,
    /// Why the generator trusts itself not, if so: then nothing is held against the server.
    pub health: Option<String>,
    pub rounds: Vec<Round>,
    pub distributions: Vec<Distribution>,
    pub series: Series,
    pub scenario: Scenario,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    pub figure: String,
    pub objective: String,
    /// Absent: it could not be measured.
    pub value: Option<f64>,
    pub is_met: bool,
}

/// One measured window.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Round {
    /// Per packet that reached a listener.
    pub server_ns: Option<f64>,
    pub floor_ns: Option<f64>,
    pub media_share: f64,
    pub process_share: f64,
    pub forwarded_per_s: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Distribution {
    pub name: &'static str,
    pub count: u64,
    /// Quantile and milliseconds.
    pub points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Met,
    Missed,
    /// The generator was not fit to judge.
    Unfit,
}

impl Round {
    pub fn new(book: &Book, cpu: Option<(CpuTime, CpuTime)>, seconds: f64, floor_ns: Option<f64>) -> Self {
        let spent =
            cpu.map(|(from, to)| (to.media_ns.saturating_sub(from.media_ns), to.process_ns.saturating_sub(from.process_ns)));
        let (media, process) = spent.unwrap_or((0, 0));
        Self {
            server_ns: spent.filter(|_| book.copies() > 0).map(|(media, _)| media as f64 / book.copies() as f64),
            floor_ns,
            media_share: media as f64 / 1e9 / seconds,
            process_share: process as f64 / 1e9 / seconds,
            forwarded_per_s: book.copies() as f64 / seconds,
        }
    }
}

impl Report {
    pub fn new(name: &str, scenario: &Scenario, cores: &Cores, plan: &Plan) -> Self {
        Self {
            scenario_name: name.to_owned(),
            about: scenario.about.clone(),
            seed: scenario.seed,
            people: plan.people.len(),
            webrtc_people: plan.people.iter().filter(|person| person.transport == Transport::WebRtc).count(),
            rooms: plan.rooms.len(),
            server_cores: cores.server.clone(),
            generator_cores: cores.generator.clone(),
            cores_are_separate: cores.are_separate(),
            is_private_server: false,
            packet_ms: scenario.speech.packet_ms,
            figures: Figures::default(),
            objectives: Vec::new(),
            health: None,
            rounds: Vec::new(),
            distributions: Vec::new(),
            series: Series::default(),
            scenario: scenario.clone(),
        }
    }

    pub fn take_times(&mut self, sum: &Account) {
        for (name, times) in [
            ("delay through the server", &sum.server.delay),
            ("delay on the direct path", &sum.direct.delay),
            ("delay through the floor", &sum.floor.delay),
            ("gaps", &sum.server.gaps),
            ("lost beginnings", &sum.server.onsets),
            ("join to first audio", &sum.server.first_audio),
            ("return to first audio", &sum.server.return_audio),
            ("delay of video through the server", &sum.server.pictures.delay),
            ("freezes", &sum.server.pictures.freezes),
            ("lateness of the generator", &sum.health.lateness),
        ] {
            self.distributions.extend(Distribution::of(name, times));
        }
    }

    /// Holds the figures against the scenario's objectives.
    pub fn judge(&mut self, scenario: &Scenario) {
        let judged = scenario.objectives.iter().map(|(figure, objective)| {
            let value = self.figures.get(figure);
            let is_met = value.is_some_and(|value| objective.holds(value));
            Judgement { figure: figure.clone(), objective: objective.to_string(), value, is_met }
        });
        self.objectives = judged.collect();
    }

    pub fn verdict(&self) -> Verdict {
        // What must be zero by the protocol is a fault of the server however busy we were.
        let is_wrong = |judged: &Judgement| !judged.is_met && judged.objective == "== 0" && judged.figure.starts_with("audio.");
        match &self.health {
            Some(_) if !self.objectives.iter().any(is_wrong) => Verdict::Unfit,
            _ if self.objectives.iter().all(|judged| judged.is_met) => Verdict::Met,
            _ => Verdict::Missed,
        }
    }
}

impl Distribution {
    fn of(name: &'static str, times: &Times) -> Option<Self> {
        let points = QUANTILES.iter().map(|quantile| (*quantile, times.value_at_quantile(*quantile) as f64 / 1e6)).collect();
        (!times.is_empty()).then(|| Self { name, count: times.len(), points })
    }
}

/// Short, and exact where it matters.
pub fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 && value.abs() < 1e15 => format!("{value:.0}"),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.01 => format!("{value:.3}"),
        _ => format!("{value:.6}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}: {}", self.scenario_name, self.about)?;
        writeln!(
            f,
            "  {} people ({} by WebRTC) in {} rooms, packets of {} ms, seed {}; server on core {:?}, generator on {:?}{}\n",
            self.people,
            self.webrtc_people,
            self.rooms,
            self.packet_ms,
            self.seed,
            self.server_cores,
            self.generator_cores,
            if self.cores_are_separate { "" } else { " (shared: read ratios only)" }
        )?;
        let mut family = "";
        for (name, value, unit) in self.figures.iter() {
            let head = name.split('.').next().unwrap_or_default();
            if head != family {
                family = head;
                writeln!(f, "  {family}")?;
            }
            writeln!(f, "    {:<24} {:>14} {unit}", &name[head.len() + 1..], number(value))?;
        }
        writeln!(f)?;
        for judged in &self.objectives {
            let mark = if judged.is_met { "met   " } else { "MISSED" };
            let value = judged.value.map_or_else(|| "not measured".to_owned(), number);
            writeln!(f, "  {mark} {} {} ({value})", judged.figure, judged.objective)?;
        }
        match (self.verdict(), &self.health) {
            (Verdict::Met, _) => writeln!(f, "\nAll objectives are met."),
            (Verdict::Missed, None) => writeln!(f, "\nThe server misses an objective."),
            (Verdict::Missed, Some(why)) => writeln!(f, "\nThe server did what it never may. (And {why}.)"),
            (Verdict::Unfit, Some(why)) => writeln!(f, "\nNobody is judged: {why}."),
            (Verdict::Unfit, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
