//! The numbers, as a table to read and as JSON to keep.

use super::sends::Run;
use crate::cores::Cores;
use crate::server::Server;
use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// A measurement in which more than this part of the packets was lost measured something else.
const MOST_LOST: f64 = 0.02;

#[derive(Debug, Serialize)]
pub struct Report {
    pub server_cores: Vec<usize>,
    pub generator_cores: Vec<usize>,
    pub cores_are_separate: bool,
    pub is_private_server: bool,
    pub fanout: Vec<FanoutRow>,
    pub sends: Option<Sends>,
    pub sessions: Option<Sessions>,
    pub hot: Option<Hot>,
    pub ready: Option<Ready>,
    pub history: Option<History>,
}

/// One speaker to `listeners`: medians over the rounds.
#[derive(Debug, Serialize)]
pub struct FanoutRow {
    pub listeners: usize,
    pub floor: Measured,
    pub native: Measured,
    pub webrtc: Measured,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    /// Thread CPU per packet that reached a listener.
    pub cpu_ns_per_packet: f64,
    /// Of one core.
    pub cpu_share: f64,
    pub expected: u64,
    pub received: u64,
    /// From the speaker's send call to the listener's receive, the generator's own scheduling included.
    pub delay: Latency,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

#[derive(Debug, Serialize)]
pub struct Sends {
    /// `false`: a memory file system, where "durable" means nothing.
    pub data_is_on_disk: Option<bool>,
    pub senders: u32,
    pub rate: u32,
    pub closed: Run,
    pub open: Run,
}

#[derive(Debug, Serialize)]
pub struct Sessions {
    pub sessions: usize,
    /// Growth of the server's resident memory; the kernel's socket buffers are not in it.
    pub bytes_per_session: f64,
    /// Growth of the server's CPU use, per session.
    pub cpu_us_per_session_second: f64,
    /// Of one core, with hardly any session.
    pub base_cpu_share: f64,
    pub connects_per_second: f64,
    pub server_bytes: u64,
}

/// One channel with many listeners.
#[derive(Debug, Serialize)]
pub struct Hot {
    pub sessions: usize,
    pub messages: u64,
    /// By all of the server's threads.
    pub deliveries_per_cpu_second: f64,
    /// Until the last had arrived, the generator's own reading included.
    pub deliveries_per_second: f64,
}

/// From the first byte of the connection to the last GUILD_CREATE.
#[derive(Debug, Serialize)]
pub struct Ready {
    pub guilds: usize,
    /// Of JSON.
    pub bytes: usize,
    /// The first log-in after the server's start.
    pub cold_ms: f64,
    pub warm: Latency,
}

#[derive(Debug, Serialize)]
pub struct History {
    pub messages: u64,
    /// Pages of 50 at random places.
    pub pages: Latency,
    /// Searches by a word that a thousandth of the messages have.
    pub one_word: Latency,
    /// By two words that a few have together.
    pub two_words: Latency,
    /// By a word that all of them have.
    pub common_word: Latency,
}

impl Report {
    pub fn new(cores: &Cores, server: &Server) -> Self {
        Self {
            server_cores: cores.server.clone(),
            generator_cores: cores.generator.clone(),
            cores_are_separate: cores.are_separate(),
            is_private_server: server.data.is_some(),
            fanout: Vec::new(),
            sends: None,
            sessions: None,
            hot: None,
            ready: None,
            history: None,
        }
    }
}

impl Latency {
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |ns: u64| if histogram.is_empty() { 0.0 } else { ns as f64 / 1e6 };
        Self {
            p50_ms: ms(histogram.value_at_quantile(0.5)),
            p99_ms: ms(histogram.value_at_quantile(0.99)),
            max_ms: ms(histogram.max()),
        }
    }
}

impl Measured {
    pub fn new(expected: u64, received: u64, cpu_ns: u64, elapsed: Duration, delays: &Histogram<u64>) -> Result<Self> {
        let is_sound = received as f64 >= expected as f64 * (1.0 - MOST_LOST) && received > 0;
        ensure!(is_sound, "only {received} of {expected} packets arrived: the machine is too busy to measure");
        ensure!(cpu_ns > 0, "the media threads used no CPU: are they named sfu-…?");
        Ok(Self {
            cpu_ns_per_packet: cpu_ns as f64 / received as f64,
            cpu_share: cpu_ns as f64 / elapsed.as_nanos() as f64,
            expected,
            received,
            delay: Latency::of(delays),
        })
    }

    /// The round in the middle by CPU per packet.
    pub fn median(mut rounds: Vec<Self>) -> Self {
        rounds.sort_by(|a, b| a.cpu_ns_per_packet.total_cmp(&b.cpu_ns_per_packet));
        rounds[rounds.len() / 2]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        if !self.cores_are_separate {
            writeln!(f, "Server and generator share a core: read the ratios only.\n")?;
        }
        if !self.fanout.is_empty() {
            self.write_fanout(f)?;
        }
        if let Some(sends) = &self.sends {
            sends.write(f)?;
        }
        if let Some(sessions) = &self.sessions {
            sessions.write(f)?;
        }
        if let Some(hot) = &self.hot {
            hot.write(f)?;
        }
        if let Some(ready) = &self.ready {
            ready.write(f)?;
        }
        if let Some(history) = &self.history {
            history.write(f)?;
        }
        Ok(())
    }
}

impl Report {
    fn write_fanout(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "CPU per forwarded Opus packet, one speaker at 50 packets/s (the floor only receives, seals and sends)")?;
        writeln!(f, "  listeners  way      µs/packet  × floor  core    lost    delay p50 / p99 ms")?;
        for row in &self.fanout {
            for (way, measured) in [("floor", &row.floor), ("native", &row.native), ("webrtc", &row.webrtc)] {
                let ratio = measured.cpu_ns_per_packet / row.floor.cpu_ns_per_packet;
                let lost = 100.0 * (1.0 - measured.received as f64 / measured.expected.max(measured.received) as f64);
                writeln!(
                    f,
                    "  {:>9}  {way:<7}  {:>9.2}  {ratio:>7.2}  {:>4.1} %  {lost:>4.2} %  {:>9.3} / {:.3}",
                    row.listeners,
                    measured.cpu_ns_per_packet / 1000.0,
                    measured.cpu_share * 100.0,
                    measured.delay.p50_ms,
                    measured.delay.p99_ms,
                )?;
            }
        }
        writeln!(f)
    }
}

impl Sends {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = match self.data_is_on_disk {
            Some(true) => "",
            Some(false) => " (on a memory file system: not durable!)",
            None => " (a server that was running)",
        };
        let (closed, open) = (&self.closed, &self.open);
        writeln!(f, "Durable sends{disk}")?;
        writeln!(
            f,
            "  {} senders awaiting their acknowledgement: {:.0} messages/s, ack p50 {:.1} ms, p99 {:.1} ms",
            self.senders, closed.per_second, closed.ack.p50_ms, closed.ack.p99_ms
        )?;
        writeln!(
            f,
            "  open loop at {} messages/s: {:.0}/s acknowledged, ack p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; delivered p99 {:.1} ms after the ack",
            self.rate, open.per_second, open.ack.p50_ms, open.ack.p99_ms, open.ack.max_ms, open.delivery_after_ack.p99_ms
        )?;
        if open.refused > 0 {
            writeln!(f, "  {} of them were turned away while the disk or the machine stood still", open.refused)?;
        }
        writeln!(f)
    }
}

impl Sessions {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Idle gateway sessions ({} of them, connected at {:.0}/s)", self.sessions, self.connects_per_second)?;
        writeln!(
            f,
            "  {:.1} KiB of server memory each (resident, {:.0} MiB in all), {:.2} µs of CPU per second each; {:.2} % of a core without them",
            self.bytes_per_session / 1024.0,
            self.server_bytes as f64 / 1024.0 / 1024.0,
            self.cpu_us_per_session_second,
            self.base_cpu_share * 100.0
        )
    }
}

impl Hot {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nOne channel with {} listening sessions, {} messages", self.sessions, self.messages)?;
        writeln!(
            f,
            "  {:.0} deliveries per second of CPU, {:.2} µs each; {:.0}/s arrived",
            self.deliveries_per_cpu_second,
            1e6 / self.deliveries_per_cpu_second,
            self.deliveries_per_second
        )
    }
}

impl Ready {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nA log-in with {} guilds ({:.0} KiB of JSON)", self.guilds, self.bytes as f64 / 1024.0)?;
        writeln!(
            f,
            "  everything is there after {:.1} ms (p50), {:.1} ms (p99); {:.1} ms right after the server's start",
            self.warm.p50_ms, self.warm.p99_ms, self.cold_ms
        )
    }
}

impl History {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nA channel of {} messages (p50 / p99, one request at a time)", self.messages)?;
        for (what, times) in [
            ("a page of 50 at a random place", self.pages),
            ("a search for a rare word", self.one_word),
            ("a search for two words", self.two_words),
            ("a search for a word that all have", self.common_word),
        ] {
            writeln!(f, "  {what:<34} {:>7.2} / {:.2} ms", times.p50_ms, times.p99_ms)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(cpu_ns: u64) -> Measured {
        let mut delays = Histogram::new(3).expect("three digits");
        delays.record(2_000_000).expect("it resizes");
        Measured::new(1000, 1000, cpu_ns, Duration::from_secs(1), &delays).expect("a sound measurement")
    }

    #[test]
    fn the_median_round_counts_and_ratios_are_to_the_floor() {
        let rounds = [30_000_000, 10_000_000, 20_000_000].map(measured).to_vec();
        let native = Measured::median(rounds);
        assert_eq!(native.cpu_ns_per_packet, 20_000.0);
        let row = FanoutRow { listeners: 100, floor: measured(10_000_000), native, webrtc: measured(25_000_000) };
        let cores = Cores { server: vec![0], generator: vec![1] };
        let report = Report { fanout: vec![row], ..Report::new(&cores, &Server::running("http://localhost", 1)) };
        let text = report.to_string();
        assert!(text.contains("native       20.00     2.00   2.0 %"), "{text}");
        assert!(text.contains("webrtc       25.00     2.50"), "{text}");
    }

    #[test]
    fn a_measurement_that_lost_its_packets_is_no_measurement() {
        assert!(Measured::new(1000, 900, 1, Duration::from_secs(1), &Histogram::new(3).expect("three digits")).is_err());
    }
}
