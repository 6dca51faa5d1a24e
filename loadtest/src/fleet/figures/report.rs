//! The figures, for machines and for the README.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// Empty where nothing was measured. Times are milliseconds.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub kills: Option<Gaps>,
    /// What the machine, or anything else that has nothing to do with it, does meanwhile: of voices in rooms of other nodes.
    pub kills_elsewhere: Option<Gaps>,
    /// Of clients that make before they break, and of those that cannot.
    pub drains_seamless: Option<Gaps>,
    pub drains_others: Option<Gaps>,
    pub drains_elsewhere: Option<Gaps>,
    pub outages: Vec<Outage>,
    pub storm: Option<Storm>,
    pub delivery: Option<Delivery>,
    pub growth: Vec<Growth>,
}

/// The longest silence of each voice at each listener, around each of so many events.
#[derive(Debug, Serialize)]
pub struct Gaps {
    pub events: u32,
    pub voices: usize,
    pub p50: f64,
    pub p99: f64,
    pub longest: f64,
}

#[derive(Debug, Serialize)]
pub struct Outage {
    pub what: String,
    pub seconds: u64,
    /// The longest silence of any voice while it lasted, and in ten seconds from its end.
    pub gap: f64,
    pub gap_afterwards: f64,
}

#[derive(Debug, Serialize)]
pub struct Storm {
    pub sessions: usize,
    /// From the kill until each was back, until half and all were.
    pub half: f64,
    pub all: f64,
    /// Attempts that failed on the way.
    pub failed_attempts: usize,
}

/// From the acknowledgement of a message at one control plane to its arrival at a session of the other, and of the same.
#[derive(Debug, Serialize)]
pub struct Delivery {
    pub messages: u64,
    pub across_p50: f64,
    pub across_p99: f64,
    pub within_p50: f64,
    pub within_p99: f64,
}

#[derive(Debug, Serialize)]
pub struct Growth {
    pub planes: usize,
    pub listeners: usize,
    pub messages: u64,
    pub deliveries_per_second: f64,
    /// By the CPU time of the control planes, together.
    pub deliveries_per_cpu_second: f64,
}

impl Gaps {
    /// Nothing of nobody.
    pub fn of(events: u32, mut gaps: Vec<Duration>) -> Option<Self> {
        gaps.sort_unstable();
        let last = gaps.len().checked_sub(1)?;
        let at = |share: f64| ms(gaps[(last as f64 * share).ceil() as usize]);
        Some(Self { events, voices: gaps.len(), p50: at(0.5), p99: at(0.99), longest: at(1.0) })
    }

    fn cells(&self) -> String {
        format!("{:.0} ms / {:.0} ms / {:.0} ms", self.p50, self.p99, self.longest)
    }
}

impl Outage {
    pub fn new(what: &str, seconds: u64, gap: Duration, afterwards: Duration) -> Self {
        Self { what: what.to_owned(), seconds, gap: ms(gap), gap_afterwards: ms(afterwards) }
    }
}

impl Delivery {
    pub fn of(across: &Histogram<u64>, within: &Histogram<u64>) -> Self {
        let at = |times: &Histogram<u64>, share: f64| times.value_at_quantile(share) as f64 / 1e6;
        Self {
            messages: across.len(),
            across_p50: at(across, 0.5),
            across_p99: at(across, 0.99),
            within_p50: at(within, 0.5),
            within_p99: at(within, 0.99),
        }
    }
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Report {
    /// In Markdown.
    pub fn table(&self) -> String {
        let mut table = "| what happens to a fleet on one machine | what its people notice |\n|---|---|\n".to_owned();
        let mut row = |what: String, noticed: String| {
            let _ = writeln!(table, "| {what} | {noticed} |");
        };
        if let Some(gaps) = &self.kills {
            let what = format!("`kill -9` of a voice node, {} times; {} voices in rooms of it", gaps.events, gaps.voices);
            row(
                what,
                format!("silence until audio is back, p50 / p99 / longest: {}{}", gaps.cells(), beside(&self.kills_elsewhere)),
            );
        }
        let drained = [
            (&self.drains_seamless, "clients that connect to the new node before they leave the old one"),
            (&self.drains_others, "clients that leave first"),
        ];
        for (gaps, who) in drained {
            if let Some(gaps) = gaps {
                let what = format!("`node drain`, {} times; {} voices, {who}", gaps.events, gaps.voices);
                let elsewhere = beside(&self.drains_elsewhere);
                row(what, format!("a voice's longest silence, p50 / p99 / longest: {}{elsewhere}", gaps.cells()));
            }
        }
        for Outage { what, seconds, gap, gap_afterwards } in &self.outages {
            let noticed =
                format!("running calls: longest silence {gap:.0} ms, {gap_afterwards:.0} ms in the ten seconds after it");
            row(format!("{what} down for {seconds} s"), noticed);
        }
        if let Some(Storm { sessions, half, all, failed_attempts }) = &self.storm {
            let what = format!("`kill -9` of a control plane with {sessions} sessions, which turn to the other");
            let times = format!("{:.1} s / {:.1} s", half / 1e3, all / 1e3);
            row(what, format!("half / all of them logged in again after {times}; {failed_attempts} attempts had to be repeated"));
        }
        if let Some(Delivery { messages, across_p50, across_p99, within_p50, within_p99 }) = &self.delivery {
            let times = format!("{across_p50:.1} ms / {across_p99:.1} ms");
            let same = format!("{within_p50:.1} ms / {within_p99:.1} ms at the same one");
            row(
                format!("{messages} messages from one control plane to the other"),
                format!("read after their acknowledgement, p50 / p99: {times} ({same})"),
            );
        }
        for Growth { planes, listeners, deliveries_per_second, deliveries_per_cpu_second, .. } in &self.growth {
            let planes = if *planes == 1 { "1 control plane".to_owned() } else { format!("{planes} control planes") };
            row(
                format!("{planes}, {listeners} listeners of one channel"),
                format!(
                    "{deliveries_per_second:.0} deliveries/s, {deliveries_per_cpu_second:.0} per second of CPU of all together"
                ),
            );
        }
        table
    }
}

fn beside(elsewhere: &Option<Gaps>) -> String {
    elsewhere.as_ref().map_or_else(String::new, |gaps| format!(" ({} in rooms of other nodes)", gaps.cells()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_are_ranked() {
        let gaps = (1..=200).rev().map(Duration::from_millis).collect();
        let gaps = Gaps::of(4, gaps).expect("there are some");
        assert_eq!((gaps.events, gaps.voices, gaps.longest), (4, 200, 200.0));
        assert!((gaps.p50 - 101.0).abs() < 1.5 && (gaps.p99 - 199.0).abs() < 1.5, "{gaps:?}");
        assert!(Gaps::of(1, Vec::new()).is_none());
    }

    #[test]
    fn only_what_was_measured_is_in_the_table() {
        assert_eq!(Report::default().table().lines().count(), 2);
        let storm = Storm { sessions: 2000, half: 1_234.0, all: 5_678.0, failed_attempts: 7 };
        let outages = vec![Outage::new("Redis", 60, Duration::from_millis(40), Duration::from_millis(21))];
        let table = Report { storm: Some(storm), outages, ..Report::default() }.table();
        assert!(table.contains("half / all of them logged in again after 1.2 s / 5.7 s; 7 attempts"), "{table}");
        assert!(table.contains("| Redis down for 60 s | running calls: longest silence 40 ms, 21 ms"), "{table}");
    }
}
