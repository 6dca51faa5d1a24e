//! The server under test as it looks from outside: its process on this machine, and its metrics page where it shows one to us.

use crate::server::{CpuTime, cpu_of, memory_of};
use anyhow::Result;
use std::time::Duration;

/// A page that takes longer is not waited for: sampling must not stop.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Probe {
    pid: Option<u32>,
    page: String,
    http: reqwest::Client,
}

/// One look. What could not be read is absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    pub cpu: Option<CpuTime>,
    pub memory: Option<u64>,
    pub fds: Option<u64>,
    pub threads: Option<u64>,
    pub page: Option<Page>,
}

/// What we read from the metrics page, summed over workers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Page {
    pub peers: f64,
    pub audio_out: f64,
    pub dropped: f64,
    pub busy_s: f64,
}

impl Probe {
    pub fn new(url: &str, pid: Option<u32>, trust: &crate::Trust) -> Result<Self> {
        let http = reqwest::Client::builder().tls_backend_preconfigured((*trust.config()).clone()).no_proxy().timeout(PATIENCE);
        Ok(Self { pid, page: format!("{}/metrics", url.trim_end_matches('/')), http: http.build()? })
    }

    pub fn sees_process(&self) -> bool {
        self.pid.is_some()
    }

    /// `/proc` only: cheap enough for once a second and for the edges of a window.
    pub fn process(&self) -> Look {
        let Some(pid) = self.pid else { return Look::default() };
        let count = |folder: &str| std::fs::read_dir(format!("/proc/{pid}/{folder}")).ok().map(|entries| entries.count() as u64);
        Look { cpu: cpu_of(pid).ok(), memory: memory_of(pid).ok(), fds: count("fd"), threads: count("task"), page: None }
    }

    pub async fn look(&self) -> Look {
        let page = match self.http.get(&self.page).send().await {
            Ok(reply) if reply.status().is_success() => reply.text().await.ok().map(|text| Page::read(&text)),
            // Elsewhere the page is hidden from us.
            Ok(_) | Err(_) => None,
        };
        Look { page, ..self.process() }
    }
}

impl Page {
    fn read(text: &str) -> Self {
        let sum = |name: &str| -> f64 {
            let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
                let (labelled, value) = line.rsplit_once(' ')?;
                (labelled.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
            });
            samples.sum()
        };
        Self {
            peers: sum("guildhall_media_peers"),
            audio_out: sum("guildhall_media_sent_audio_packets_total"),
            dropped: sum("guildhall_media_dropped_packets_total"),
            busy_s: sum("guildhall_media_busy_seconds_total"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_summed_over_workers_and_reasons() {
        let page = "# HELP guildhall_media_peers x\n# TYPE guildhall_media_peers gauge\n\
                    guildhall_media_peers{worker=\"1\"} 3\nguildhall_media_peers{worker=\"2\"} 4\n\
                    guildhall_media_sent_audio_packets_total{worker=\"1\"} 100\n\
                    guildhall_media_dropped_packets_total{worker=\"1\",reason=\"noise\"} 1\n\
                    guildhall_media_dropped_packets_total{worker=\"1\",reason=\"muted\"} 2\n";
        assert_eq!(Page::read(page), Page { peers: 7.0, audio_out: 100.0, dropped: 3.0, busy_s: 0.0 });
    }
}
