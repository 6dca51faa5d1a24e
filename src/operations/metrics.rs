//! The metrics page: Prometheus' text format 0.0.4. The names are a promise to dashboards: deploy/README.md lists them.

use guildhall_control_plane::KeeperStats;
use guildhall_control_plane::files::FileStats;
use guildhall_control_plane::fleet::views::{FleetCensus, Standing};
use guildhall_control_plane::histogram::{BOUNDS_MS, Durations};
use guildhall_control_plane::hub::Census;
use guildhall_control_plane::probes::{OUTCOMES, ProbeStats};
use guildhall_control_plane::requests::{ClassStats, STATUSES};
use guildhall_control_plane::store::WriterStats;
use guildhall_sfu::{Audience, Delays, Stats, WorkerStats};
use guildhall_signaling::RecorderStats;
use std::fmt::{Display, Write};
use std::time::Duration;

/// Clock ticks per second in /proc: 100 on every architecture that Linux shows to programs (`USER_HZ`).
const TICKS: f64 = 100.0;

/// What the system says of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    pub resident_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
    pub open_files: Option<u64>,
}

/// What the control plane says of itself.
#[derive(Clone, Debug)]
pub struct Control {
    pub census: Census,
    pub fleet: FleetCensus,
    pub probes: ProbeStats,
    pub writer: WriterStats,
    pub requests: Vec<ClassStats>,
    pub files: FileStats,
    pub recordings: KeeperStats,
    /// What all attachments take together; `None`: the database did not say.
    pub attachment_bytes: Option<u64>,
}

impl Process {
    /// What /proc does not say is left out.
    pub fn read() -> Self {
        let read = |name| std::fs::read_to_string(name).unwrap_or_default();
        Self {
            resident_bytes: resident_bytes(&read("/proc/self/status")),
            cpu_seconds: cpu_seconds(&read("/proc/self/stat")),
            open_files: std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
        }
    }
}

/// From the line `VmRSS:     1234 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// User and system time, fields 14 and 15. The second field is the program's name, which may contain anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / TICKS)
}

/// The whole page.
pub fn page(media: Option<&Stats>, recorders: Option<&RecorderStats>, control: Option<&Control>, process: Process) -> String {
    let mut page = Page::default();
    page.gauge("guildhall_build_info", "Always 1; the version is the label.");
    page.sample(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1);
    if let Some(media) = media {
        page.media(media);
    }
    if let Some(recorders) = recorders {
        page.recorders(recorders);
    }
    if let Some(control) = control {
        page.control(control);
    }

    // These have the names that every Prometheus client library gives them.
    if let Some(bytes) = process.resident_bytes {
        page.gauge("process_resident_memory_bytes", "Resident memory of the server.");
        page.sample("", bytes);
    }
    if let Some(seconds) = process.cpu_seconds {
        page.counter("process_cpu_seconds_total", "User and system time of the server.");
        page.sample("", seconds);
    }
    if let Some(files) = process.open_files {
        page.gauge("process_open_fds", "Open files and connections of the server.");
        page.sample("", files);
    }
    page.text
}

/// A worker is known by its UDP port: it stays the same when another worker does not answer.
fn label(worker: &WorkerStats) -> String {
    format!("worker=\"{}\"", worker.address.port())
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Families one after another, each with its samples. Label values are our own words and numbers: nothing needs escaping.
#[derive(Default)]
struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    /// What the media engine counts.
    fn media(&mut self, media: &Stats) {
        self.gauge("guildhall_media_workers", "Media workers that answered this scrape.");
        self.sample("", media.workers.len());
        self.gauge("guildhall_media_tcp_connections", "Connections that carry media of browsers without UDP.");
        self.sample("", media.tcp.open);
        self.counter(
            "guildhall_media_tcp_dropped_packets_total",
            "Datagrams for or from them that were dropped, mostly by slow readers.",
        );
        self.sample("", media.tcp.dropped);
        self.gauge("guildhall_media_rooms", "Voice rooms with somebody in them.");
        self.per_worker(media, |worker| worker.rooms);
        self.gauge("guildhall_media_room_branches", "Parts of large voice rooms that sit apart from their home.");
        self.per_worker(media, |worker| worker.branches);
        self.gauge("guildhall_media_peers", "Participants of voice rooms.");
        self.per_worker(media, |worker| worker.peers);
        self.counter("guildhall_media_received_packets_total", "Datagrams received.");
        self.per_worker(media, |worker| worker.traffic.packets_in);
        self.counter("guildhall_media_received_bytes_total", "Bytes of the datagrams received.");
        self.per_worker(media, |worker| worker.traffic.bytes_in);
        self.counter("guildhall_media_sent_packets_total", "Datagrams sent, each listener's copy by itself.");
        self.per_worker(media, |worker| worker.traffic.packets_out);
        self.counter("guildhall_media_sent_bytes_total", "Bytes of the datagrams sent.");
        self.per_worker(media, |worker| worker.traffic.bytes_out);
        self.counter(
            "guildhall_media_received_audio_packets_total",
            "Authentic audio packets that were let through to their room.",
        );
        self.per_worker(media, |worker| worker.traffic.audio_in);
        self.counter("guildhall_media_sent_audio_packets_total", "Copies of audio packets sealed for listeners.");
        self.per_worker(media, |worker| worker.traffic.audio_out);
        self.counter(
            "guildhall_media_repeated_audio_packets_total",
            "Copies of audio packets sent again for listeners that missed them.",
        );
        self.per_worker(media, |worker| worker.traffic.audio_repeated);
        self.counter(
            "guildhall_media_received_video_packets_total",
            "Authentic video packets that were let through to their room.",
        );
        self.per_worker(media, |worker| worker.traffic.video_in);
        self.counter("guildhall_media_sent_video_packets_total", "Copies of video packets sealed for listeners.");
        self.per_worker(media, |worker| worker.traffic.video_out);
        self.counter(
            "guildhall_media_repeated_video_packets_total",
            "Copies of video packets sent again for listeners that missed them.",
        );
        self.per_worker(media, |worker| worker.traffic.video_repeated);
        self.counter(
            "guildhall_media_padding_packets_total",
            "Packets that only ask a listener's network whether it carries more.",
        );
        self.per_worker(media, |worker| worker.traffic.padding_out);
        self.gauge("guildhall_media_viewers", "Listeners that are shown video.");
        self.per_worker(media, |worker| worker.audience.listeners);
        self.gauge(
            "guildhall_media_viewer_estimate_bits_per_second",
            "What the viewers' networks carry, as estimated, all together.",
        );
        self.per_worker(media, |worker| worker.audience.estimate_bps);
        self.gauge("guildhall_media_viewer_slots", "Videos shown to viewers, by what their networks make of them.");
        for worker in &media.workers {
            let Audience { slots, narrowed, paused, .. } = worker.audience;
            for (state, count) in [("full", slots.saturating_sub(narrowed + paused)), ("narrowed", narrowed), ("paused", paused)]
            {
                self.sample(&format!("{},state=\"{state}\"", label(worker)), count);
            }
        }
        self.gauge(
            "guildhall_media_video_step",
            "How far pictures are lowered because a worker has too much to do: 0 (not at all) to 3.",
        );
        self.per_worker(media, |worker| worker.video_step);
        self.counter("guildhall_media_dropped_packets_total", "Datagrams, or one listener's copies, that were dropped.");
        for worker in &media.workers {
            for (reason, count) in worker.drops.iter() {
                self.sample(&format!("{},reason=\"{}\"", label(worker), reason.name()), count);
            }
        }
        self.counter("guildhall_media_busy_seconds_total", "Time that a worker spent working.");
        self.per_worker(media, |worker| seconds(worker.busy));
        self.counter("guildhall_media_idle_seconds_total", "Time that a worker spent waiting.");
        self.per_worker(media, |worker| seconds(worker.idle));

        self.histogram(
            "guildhall_media_delay_seconds",
            "From an audio packet's arrival in the kernel until its copies were sent.",
        );
        for worker in &media.workers {
            self.buckets(&label(worker), &worker.delays);
        }

        self.counter(
            "guildhall_media_scored_intervals_total",
            "Intervals of browsers' calls, of a few seconds each, that were given a score.",
        );
        self.per_worker(media, |worker| worker.opinions.count);
        self.counter("guildhall_media_score_points_total", "Sum of the mean opinion scores (1 to 4.4) of those intervals.");
        self.per_worker(media, |worker| worker.opinions.sum as f64 / 100.0);
        self.counter("guildhall_media_poor_intervals_total", "Intervals with a score below 3.6, which dissatisfies many.");
        self.per_worker(media, |worker| worker.opinions.poor);
    }

    /// What the node's recorders count.
    fn recorders(&mut self, recorders: &RecorderStats) {
        let RecorderStats { running, bytes, pictures, video_lost, failures } = *recorders;
        self.gauge("guildhall_recorders", "Recordings that this voice node makes.");
        self.sample("", running);
        self.counter("guildhall_recorder_sent_bytes_total", "Bytes of recordings given to control planes.");
        self.sample("", bytes);
        self.counter("guildhall_recorder_pictures_total", "Pictures of cameras and screens that were recorded.");
        self.sample("", pictures);
        self.counter(
            "guildhall_recorder_lost_video_packets_total",
            "Packets of video that are not in recordings, because they or others that they need did not come.",
        );
        self.sample("", video_lost);
        self.counter(
            "guildhall_recorder_failures_total",
            "Recordings that could not begin, or ended because no control plane took them.",
        );
        self.sample("", failures);
    }

    /// What the control plane counts.
    fn control(&mut self, control: &Control) {
        let Control { census, fleet, probes, writer, requests, files, recordings, attachment_bytes } = control;
        self.gauge("guildhall_gateway_sessions", "Gateway sessions, those that may still be resumed included.");
        self.sample("", census.sessions);
        self.gauge("guildhall_gateway_connections", "Open gateway WebSockets, those that have not identified included.");
        self.sample("", census.connections);
        self.gauge("guildhall_gateway_starts_waiting", "Clients that wait for their turn to start a session.");
        self.sample("", census.starts_waiting);
        self.counter("guildhall_gateway_events_total", "Committed events that were applied.");
        self.sample("", census.events);
        self.counter("guildhall_gateway_dispatches_total", "Dispatches that clients' sockets took.");
        self.sample("", census.dispatches);
        self.counter("guildhall_gateway_slow_closes_total", "Connections closed because their clients did not read.");
        self.sample("", census.slow);
        self.gauge("guildhall_control_planes_heard", "Other control planes that are heard over the bus.");
        self.sample("", census.siblings);
        self.counter(
            "guildhall_outbox_reads_total",
            "Times that the database was asked for events that nobody had told: once a second, and more while the bus loses some.",
        );
        self.sample("", census.outbox_reads);
        self.gauge("guildhall_guilds_loaded", "Guilds that are held in memory.");
        self.sample("", census.guilds);

        self.gauge("guildhall_nodes", "Voice nodes that are known, by their state.");
        for (standing, count) in Standing::ALL.iter().zip(fleet.nodes) {
            self.sample(&format!("state=\"{}\"", standing.name()), count);
        }
        self.gauge("guildhall_rooms", "Voice rooms that have a node.");
        self.sample("", fleet.rooms);
        self.gauge("guildhall_rooms_waiting", "Voice rooms that wait for a node.");
        self.sample("", fleet.waiting_rooms);
        self.gauge("guildhall_calls_waiting", "People who are about to be told where their room is now.");
        self.sample("", fleet.calls);
        self.counter("guildhall_room_moves_total", "Voice rooms that went from one node to another.");
        self.sample("", fleet.moves);
        self.counter("guildhall_node_losses_total", "Voice nodes that were lost.");
        self.sample("", fleet.losses);

        self.gauge("guildhall_nodes_strained", "Voice nodes with too much to do, which rooms leave one by one.");
        self.sample("", fleet.strained);
        self.counter("guildhall_room_reliefs_total", "Voice rooms that left such a node for one with headroom.");
        self.sample("", fleet.reliefs);
        self.counter("guildhall_probe_calls_total", "Short calls that were made at voice nodes, by how they ended.");
        for (outcome, count) in OUTCOMES.iter().zip(probes.calls) {
            self.sample(&format!("outcome=\"{outcome}\""), count);
        }
        self.histogram("guildhall_probe_first_audio_seconds", "From such a call's first step until both sides heard the other.");
        self.durations("", &probes.media);
        self.gauge("guildhall_probe_deaf", "1 while nobody is heard by such a call at any voice node.");
        self.sample("", u8::from(fleet.is_deaf));

        self.counter("guildhall_database_commits_total", "Committed transactions that carried changes.");
        self.sample("", writer.commits);
        self.counter("guildhall_database_jobs_total", "Changes that were committed, many to a transaction under load.");
        self.sample("", writer.jobs);
        self.counter("guildhall_database_failures_total", "Transactions that could not be committed.");
        self.sample("", writer.failures);
        self.gauge("guildhall_database_waiting_jobs", "Changes that wait for the writer.");
        self.sample("", writer.waiting);

        self.histogram("guildhall_database_commit_seconds", "How long committed transactions took, to the disk.");
        self.durations("", &writer.durations);

        self.counter("guildhall_http_requests_total", "Requests to the API and for files, by class of route and status.");
        for class in requests {
            for (status, count) in STATUSES.iter().zip(class.counts) {
                self.sample(&format!("class=\"{}\",status=\"{status}\"", class.class), count);
            }
        }
        self.histogram("guildhall_http_request_seconds", "From a request's head to its answer's.");
        for class in requests {
            self.durations(&format!("class=\"{}\"", class.class), &class.durations);
        }
        self.counter("guildhall_files_received_bytes_total", "Bytes of attachments received.");
        self.sample("", files.received);
        self.counter("guildhall_files_sent_bytes_total", "Bytes of files sent.");
        self.sample("", files.sent);
        self.gauge("guildhall_files_uploads", "Uploads that run.");
        self.sample("", files.uploads);
        self.gauge("guildhall_recordings", "Recordings that run.");
        self.sample("", recordings.running);
        self.counter("guildhall_recordings_stored_pieces_total", "Pieces of recordings that were stored.");
        self.sample("", recordings.pieces);
        self.counter("guildhall_recordings_stored_bytes_total", "Bytes of recordings that were stored.");
        self.sample("", recordings.bytes);
        self.counter(
            "guildhall_recordings_lost_pieces_total",
            "Pieces of recordings that came faster than they could be stored, or could not be stored.",
        );
        self.sample("", recordings.lost);
        self.counter(
            "guildhall_recordings_interrupted_total",
            "Recordings that ended because no voice node spoke of them any more.",
        );
        self.sample("", recordings.interrupted);
        if let Some(bytes) = attachment_bytes {
            self.gauge("guildhall_attachments_bytes", "What all attachments take together.");
            self.sample("", bytes);
        }
    }

    fn counter(&mut self, name: &'static str, help: &str) {
        self.begin(name, help, "counter");
    }

    fn gauge(&mut self, name: &'static str, help: &str) {
        self.begin(name, help, "gauge");
    }

    fn histogram(&mut self, name: &'static str, help: &str) {
        self.begin(name, help, "histogram");
    }

    fn buckets(&mut self, labels: &str, delays: &Delays) {
        let name = self.family;
        for (bound, count) in delays.cumulative() {
            self.line(format_args!("{name}_bucket{{{labels},le=\"{}\"}} {count}", seconds(bound)));
        }
        let (count, sum) = (delays.count(), seconds(delays.sum()));
        self.line(format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
        self.line(format_args!("{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}"));
    }

    /// The samples of one histogram of the family.
    fn durations(&mut self, labels: &str, durations: &Durations) {
        let name = self.family;
        let (before, inside) = if labels.is_empty() { ("", String::new()) } else { (",", format!("{{{labels}}}")) };
        for (bound, count) in BOUNDS_MS.iter().zip(durations.within) {
            let bound = *bound as f64 / 1_000.0;
            self.line(format_args!("{name}_bucket{{{labels}{before}le=\"{bound}\"}} {count}"));
        }
        self.line(format_args!("{name}_bucket{{{labels}{before}le=\"+Inf\"}} {}", durations.count));
        self.line(format_args!("{name}_sum{inside} {}", seconds(durations.sum)));
        self.line(format_args!("{name}_count{inside} {}", durations.count));
    }

    fn begin(&mut self, name: &'static str, help: &str, kind: &str) {
        self.family = name;
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn sample(&mut self, labels: &str, value: impl Display) {
        let name = self.family;
        match labels {
            "" => self.line(format_args!("{name} {value}")),
            labels => self.line(format_args!("{name}{{{labels}}} {value}")),
        }
    }

    fn per_worker<V: Display>(&mut self, media: &Stats, value: impl Fn(&WorkerStats) -> V) {
        for worker in &media.workers {
            self.sample(&label(worker), value(worker));
        }
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_control_plane::histogram::Histogram;
    use guildhall_sfu::Reason;

    fn stats() -> Stats {
        let worker = |port: u16| WorkerStats {
            address: ([127, 0, 0, 1], port).into(),
            rooms: 1,
            branches: 2,
            peers: 2,
            traffic: Default::default(),
            drops: Default::default(),
            busy: Duration::from_millis(1_500),
            idle: Duration::from_secs(10),
            delays: Delays::default(),
            opinions: guildhall_sfu::Opinions { count: 4, sum: 1_650, poor: 1 },
            video_step: 2,
            audience: Audience { listeners: 3, estimate_bps: 4_500_000, slots: 6, narrowed: 2, paused: 1 },
        };
        let mut workers = vec![worker(50_000), worker(50_001)];
        workers[1].traffic.bytes_out = u64::MAX;
        workers[1].drops.add(Reason::WrongTag, 7);
        workers[1].delays.record(Duration::from_micros(15));
        workers[1].delays.record(Duration::from_secs(1));
        Stats { workers, ..Stats::default() }
    }

    fn example() -> String {
        let census = Census {
            guilds: 3,
            sessions: 4,
            connections: 5,
            events: 10,
            dispatches: 11,
            slow: 12,
            siblings: 27,
            outbox_reads: 28,
            starts_waiting: 29,
        };
        let durations = Histogram::default();
        durations.count(Duration::from_millis(4));
        durations.count(Duration::from_secs(20));
        let writer = WriterStats { commits: 6, jobs: 7, failures: 8, waiting: 9, durations: durations.read() };
        let class = ClassStats { class: "channels", counts: [1, 2, 3, 4, 5], durations: durations.read() };
        let files = FileStats { received: 13, sent: 14, uploads: 15 };
        let recordings = KeeperStats { running: 30, pieces: 31, bytes: 32, lost: 33, interrupted: 34 };
        let recorders = RecorderStats { running: 35, bytes: 36, pictures: 37, video_lost: 38, failures: 39 };
        let fleet = FleetCensus {
            nodes: [18, 19, 20, 40, 21],
            rooms: 22,
            waiting_rooms: 23,
            calls: 24,
            moves: 25,
            losses: 26,
            reliefs: 41,
            strained: 42,
            is_deaf: true,
        };
        let probes = ProbeStats { calls: [43, 44, 45, 46, 47, 48, 49, 50, 51], media: durations.read() };
        let control =
            Control { census, fleet, probes, writer, requests: vec![class], files, recordings, attachment_bytes: Some(16) };
        page(
            Some(&stats()),
            Some(&recorders),
            Some(&control),
            Process { resident_bytes: Some(4_096), cpu_seconds: Some(0.25), open_files: Some(17) },
        )
    }

    #[test]
    fn every_number_stands_under_its_name_and_worker() {
        let page = example();
        for line in [
            "guildhall_media_workers 2",
            "guildhall_media_room_branches{worker=\"50001\"} 2",
            "guildhall_media_peers{worker=\"50000\"} 2",
            "guildhall_media_sent_bytes_total{worker=\"50001\"} 18446744073709551615",
            "guildhall_media_viewers{worker=\"50000\"} 3",
            "guildhall_media_viewer_estimate_bits_per_second{worker=\"50000\"} 4500000",
            "guildhall_media_viewer_slots{worker=\"50000\",state=\"full\"} 3",
            "guildhall_media_viewer_slots{worker=\"50000\",state=\"narrowed\"} 2",
            "guildhall_media_viewer_slots{worker=\"50000\",state=\"paused\"} 1",
            "guildhall_media_dropped_packets_total{worker=\"50001\",reason=\"wrong_tag\"} 7",
            "guildhall_media_dropped_packets_total{worker=\"50000\",reason=\"wrong_tag\"} 0",
            "guildhall_media_busy_seconds_total{worker=\"50000\"} 1.5",
            "guildhall_media_delay_seconds_bucket{worker=\"50001\",le=\"0.00001\"} 0",
            "guildhall_media_delay_seconds_bucket{worker=\"50001\",le=\"0.00002\"} 1",
            "guildhall_media_delay_seconds_bucket{worker=\"50001\",le=\"+Inf\"} 2",
            "guildhall_media_delay_seconds_sum{worker=\"50001\"} 1.000015",
            "guildhall_media_delay_seconds_count{worker=\"50001\"} 2",
            "guildhall_media_scored_intervals_total{worker=\"50000\"} 4",
            "guildhall_media_score_points_total{worker=\"50000\"} 16.5",
            "guildhall_media_poor_intervals_total{worker=\"50000\"} 1",
            "guildhall_guilds_loaded 3",
            "guildhall_gateway_sessions 4",
            "guildhall_gateway_connections 5",
            "guildhall_control_planes_heard 27",
            "guildhall_outbox_reads_total 28",
            "guildhall_gateway_starts_waiting 29",
            "guildhall_nodes{state=\"serving\"} 18",
            "guildhall_nodes{state=\"lost\"} 21",
            "guildhall_nodes{state=\"failing\"} 40",
            "guildhall_room_reliefs_total 41",
            "guildhall_nodes_strained 42",
            "guildhall_probe_calls_total{outcome=\"heard\"} 43",
            "guildhall_probe_calls_total{outcome=\"silent\"} 50",
            "guildhall_probe_calls_total{outcome=\"starved\"} 51",
            "guildhall_probe_first_audio_seconds_count 2",
            "guildhall_probe_deaf 1",
            "guildhall_media_video_step{worker=\"50001\"} 2",
            "guildhall_rooms 22",
            "guildhall_rooms_waiting 23",
            "guildhall_calls_waiting 24",
            "guildhall_room_moves_total 25",
            "guildhall_node_losses_total 26",
            "guildhall_database_commits_total 6",
            "guildhall_database_jobs_total 7",
            "guildhall_database_failures_total 8",
            "guildhall_database_waiting_jobs 9",
            "guildhall_database_commit_seconds_bucket{le=\"0.002\"} 0",
            "guildhall_database_commit_seconds_bucket{le=\"0.005\"} 1",
            "guildhall_database_commit_seconds_bucket{le=\"+Inf\"} 2",
            "guildhall_database_commit_seconds_sum 20.004",
            "guildhall_database_commit_seconds_count 2",
            "guildhall_gateway_events_total 10",
            "guildhall_gateway_dispatches_total 11",
            "guildhall_gateway_slow_closes_total 12",
            "guildhall_http_requests_total{class=\"channels\",status=\"429\"} 4",
            "guildhall_http_request_seconds_bucket{class=\"channels\",le=\"10\"} 1",
            "guildhall_http_request_seconds_count{class=\"channels\"} 2",
            "guildhall_files_received_bytes_total 13",
            "guildhall_files_sent_bytes_total 14",
            "guildhall_files_uploads 15",
            "guildhall_attachments_bytes 16",
            "guildhall_recordings 30",
            "guildhall_recordings_stored_pieces_total 31",
            "guildhall_recordings_stored_bytes_total 32",
            "guildhall_recordings_lost_pieces_total 33",
            "guildhall_recordings_interrupted_total 34",
            "guildhall_recorders 35",
            "guildhall_recorder_sent_bytes_total 36",
            "guildhall_recorder_pictures_total 37",
            "guildhall_recorder_lost_video_packets_total 38",
            "guildhall_recorder_failures_total 39",
            "process_open_fds 17",
            "process_resident_memory_bytes 4096",
            "process_cpu_seconds_total 0.25",
        ] {
            assert!(page.lines().any(|written| written == line), "{line} is missing in\n{page}");
        }
    }

    #[test]
    fn every_family_is_described_once_typed_by_its_name_and_documented() {
        let page = example();
        let documentation = include_str!("../../deploy/README.md");
        let mut families = std::collections::BTreeSet::new();
        let mut family = "";
        for line in page.lines() {
            if let Some(described) = line.strip_prefix("# HELP ") {
                family = described.split_once(' ').expect("a help text").0;
                assert!(families.insert(family), "{family} is described twice");
                assert!(documentation.contains(&format!("`{family}`")), "{family} is not in deploy/README.md");
            } else if let Some(kind) = line.strip_prefix(&format!("# TYPE {family} ")) {
                let expected = match () {
                    () if family.ends_with("_total") => "counter",
                    // Durations are never gauges here.
                    () if family.starts_with("guildhall_") && family.ends_with("_seconds") => "histogram",
                    () => "gauge",
                };
                assert_eq!(kind, expected, "{family}");
            } else {
                let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
                let name = name.split('{').next().unwrap_or_default();
                let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                assert!(name == family || bare == Some(family), "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        // What dashboards and alerts go by is that table: nothing is in it that is not printed.
        let documented = crate::deployment::documented_metrics();
        assert!(documented.iter().all(|name| families.contains(name.as_str())), "{families:?}");
        assert!(families.len() > 15, "{families:?}");
    }

    #[test]
    fn proc_is_read_whatever_the_program_is_called() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   12 kB\nThreads:\t3\n"), Some(12 * 1024));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 3 0 99 1 2";
        assert_eq!(cpu_seconds(stat), Some(1.75));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
        let here = Process::read();
        assert!(here.resident_bytes.is_some_and(|bytes| bytes > 1 << 20) && here.cpu_seconds.is_some(), "{here:?}");
    }
}
