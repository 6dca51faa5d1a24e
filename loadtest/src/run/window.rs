//! The measured windows of a run: floor and server in turns, samples once a second, and what they come to.

use super::{Stage, bar};
use crate::bench::floor::Floor;
use crate::callers::shared::Stage as Talking;
use crate::callers::{Account, Callers};
use crate::crowd::{Crowd, Joins};
use crate::measure::book::{Book, Times};
use crate::measure::figures::Figures;
use crate::measure::probe::{Look, Probe};
use crate::measure::series::Sample;
use crate::report::{Report, Round};
use crate::run::text::Text;
use anyhow::Result;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// After the last packet was sent: the emulated networks' longest delay and a busy server's queue.
const DRAIN: Duration = Duration::from_millis(1_500);
/// Memory counts as settled when two readings this far apart differ by less than a hundredth.
const SETTLE: Duration = Duration::from_secs(1);
const SETTLE_TRIES: u32 = 10;
const MIB: f64 = 1024.0 * 1024.0;

pub async fn settled(probe: &Probe) -> Look {
    let mut last = probe.look().await;
    for _ in 0..SETTLE_TRIES {
        sleep(SETTLE).await;
        let now = probe.look().await;
        let (Some(a), Some(b)) = (last.memory, now.memory) else { return now };
        last = now;
        if a.abs_diff(b) < a / 100 {
            break;
        }
    }
    last
}

/// All windows of a run, into the report.
pub async fn measure(
    stage: &mut Stage<'_>,
    crowd: &mut Crowd,
    mut text: Option<Text>,
    has_floor: bool,
    (before, idle): (Look, Look),
    report: &mut Report,
) -> Result<()> {
    let time = stage.scenario.time;
    let set_up = stage.hall.take_joins();
    crowd.set_free();
    let bar = bar("seconds", stage.scenario.seconds() as u64);
    let (mut sum, mut joins) = (Account::default(), set_up);
    for round in 1..=time.rounds {
        bar.set_message(format!("round {round}"));
        let floor = match has_floor {
            true => Some(floor_window(stage, &bar).await?),
            false => None,
        };
        stage.callers.shared.set_stage(Talking::Server);
        let warm_up = Duration::from_secs_f64(time.warm_up);
        sleep(warm_up).await;
        bar.inc(warm_up.as_secs());
        let (cpu, ours, start) = (stage.probe.process(), Callers::cpu(), Instant::now());
        stage.callers.shared.open_window();
        let length = Duration::from_secs_f64(time.measure);
        let sampling = sample(stage, length, report, &bar);
        let talking = async {
            // Orders that are late at the end are no longer played.
            let _ = timeout(length, crowd.conduct(start)).await;
        };
        match text.take() {
            Some(text) => {
                let (_, _, outcome) = tokio::join!(sampling, talking, text.run(length));
                let outcome = outcome?;
                sum.health.add(&outcome.health);
                outcome.enter(&mut report.figures);
            }
            None => drop(tokio::join!(sampling, talking)),
        }
        let (elapsed, after, theirs) = (start.elapsed(), stage.probe.process(), Callers::cpu());
        stage.callers.shared.shut_window();
        stage.callers.shared.set_stage(Talking::Silence);
        sleep(DRAIN).await;
        let mut account = stage.callers.close().await?;
        let seconds = elapsed.as_secs_f64();
        let busiest = theirs.iter().map(|(thread, ns)| ns - ours.get(thread).copied().unwrap_or(0)).max().unwrap_or(0);
        account.health.core_share = busiest as f64 / 1e9 / seconds;
        report.rounds.push(Round::new(&account.server, cpu.cpu.zip(after.cpu), seconds, floor));
        sum.add(&account);
    }
    bar.finish_and_clear();
    let during = stage.hall.take_joins();
    // A storm's rate is the storm's; failures count wherever they happened.
    let has_storm = stage.scenario.storms.iter().any(|storm| storm.kind == crate::scenario::StormKind::Join);
    let rate = if has_storm { during.per_second() } else { joins.per_second() };
    joins.took.add(&during.took)?;
    (joins.failed, joins.ended) = (joins.failed + during.failed, joins.ended + during.ended);
    sum.health.socket_drops = own_socket_drops();
    let after = stage.probe.look().await;
    enter(&mut report.figures, stage, &sum, &joins, rate);
    enter_server(&mut report.figures, stage, report_rounds(&report.rounds), &before, &idle, &after);
    slopes(report);
    report.take_times(&sum);
    report.health = sum.health.fault(stage.scenario.measure.most_late);
    report.is_private_server = stage.is_private;
    Ok(())
}

/// The floor's turn: nanoseconds per packet.
async fn floor_window(stage: &Stage<'_>, bar: &indicatif::ProgressBar) -> Result<f64> {
    let time = stage.scenario.time;
    stage.callers.shared.set_stage(Talking::Floor);
    sleep(Duration::from_secs_f64(time.warm_up)).await;
    let cpu = Floor::cpu_ns()?;
    stage.callers.shared.open_window();
    sleep(Duration::from_secs_f64(time.measure)).await;
    let cpu = Floor::cpu_ns()? - cpu;
    stage.callers.shared.shut_window();
    stage.callers.shared.set_stage(Talking::Silence);
    sleep(DRAIN).await;
    bar.inc((time.warm_up + time.measure) as u64);
    let account = stage.callers.close().await?;
    Ok(cpu as f64 / account.floor.copies().max(1) as f64)
}

/// One sample a second until the window ends.
async fn sample(stage: &Stage<'_>, length: Duration, report: &mut Report, bar: &indicatif::ProgressBar) {
    let live = &stage.callers.shared.live;
    let read = || (live.sent.load(Relaxed), live.received.load(Relaxed), live.sends.load(Relaxed), live.late.load(Relaxed));
    let begin = Instant::now();
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let (mut last, mut last_at, mut last_look) = (read(), Instant::now(), stage.probe.look().await);
    live.worst_delay.store(0, Relaxed);
    while begin.elapsed() + Duration::from_millis(500) < length {
        tick.tick().await;
        let (now, at, look) = (read(), Instant::now(), stage.probe.look().await);
        let seconds = (at - last_at).as_secs_f64().max(1e-3);
        let share = |pick: fn(&crate::server::CpuTime) -> u64| {
            let (a, b) = last_look.cpu.zip(look.cpu)?;
            Some(pick(&b).saturating_sub(pick(&a)) as f64 / 1e9 / seconds)
        };
        report.series.push(Sample {
            at: begin.elapsed().as_secs_f64(),
            sent_per_s: (now.0 - last.0) as f64 / seconds,
            received_per_s: (now.1 - last.1) as f64 / seconds,
            media_share: share(|cpu| cpu.media_ns),
            process_share: share(|cpu| cpu.process_ns),
            memory_mib: look.memory.map(|bytes| bytes as f64 / MIB),
            fds: look.fds.map(|count| count as f64),
            threads: look.threads.map(|count| count as f64),
            peers: look.page.map(|page| page.peers),
            late_part: (now.3 - last.3) as f64 / (now.2 - last.2).max(1) as f64,
            worst_delay_ms: live.worst_delay.swap(0, Relaxed) as f64 / 1e6,
        });
        (last, last_at, last_look) = (now, at, look);
        bar.inc(1);
    }
    sleep(length.saturating_sub(begin.elapsed())).await;
}

fn ms(times: &Times, quantile: f64) -> f64 {
    if times.is_empty() { f64::NAN } else { times.value_at_quantile(quantile) as f64 / 1e6 }
}

fn longest(times: &Times) -> f64 {
    if times.is_empty() { 0.0 } else { times.max() as f64 / 1e6 }
}

fn enter(figures: &mut Figures, stage: &Stage<'_>, sum: &Account, joins: &Joins, joins_per_second: f64) {
    figures.set("generator.late", sum.health.late_part());
    figures.set("generator.late_p99_ms", ms(&sum.health.lateness, 0.99));
    figures.set("generator.late_max_ms", ms(&sum.health.lateness, 1.0));
    figures.set("generator.core_share", sum.health.core_share);
    figures.set("generator.socket_drops", sum.health.socket_drops as f64);
    let book: &Book = &sum.server;
    if stage.hall.plan.people.is_empty() {
        return;
    }
    let due = (book.received + book.missing).max(1) as f64;
    figures.set("audio.sent", book.sent as f64);
    figures.set("audio.received", book.received as f64);
    figures.set("audio.missing", book.missing as f64 / due);
    figures.set("audio.loss", book.unexplained() as f64 / due);
    figures.set("audio.unselected", book.unselected as f64 / (due + book.unselected as f64));
    figures.set("audio.duplicates", book.duplicates as f64);
    figures.set("audio.reordered", book.reordered as f64 / due);
    figures.set("audio.misrouted", book.misrouted as f64);
    figures.set("audio.forbidden", book.forbidden as f64);
    figures.set("audio.echoed", book.echoed as f64);
    figures.set("audio.damaged", book.damaged as f64);
    figures.set("audio.unopened", book.unopened as f64);
    figures.set("audio.stale", book.stale as f64);
    figures.set("audio.unannounced", book.unannounced as f64);
    figures.set("audio.concealed", book.concealed as f64 / book.played.max(1) as f64);
    if book.decoded > 0 {
        figures.set("decoded.streams", book.decoded as f64);
        figures.set("decoded.undecodable", book.undecodable as f64);
        figures.set("decoded.quiet_streams", book.quiet_streams as f64);
        figures.set("decoded.longest_silence_ms", book.longest_silence_ms as f64);
    }
    for (name, direct, added, quantile) in [
        ("delay.p50_ms", "delay.direct_p50_ms", "delay.added_p50_ms", 0.5),
        ("delay.p99_ms", "delay.direct_p99_ms", "delay.added_p99_ms", 0.99),
        ("delay.p999_ms", "delay.direct_p999_ms", "delay.added_p999_ms", 0.999),
    ] {
        let (through, past) = (ms(&book.delay, quantile), ms(&sum.direct.delay, quantile));
        figures.set(name, through);
        figures.set(direct, past);
        figures.set(added, through - past);
    }
    figures.set("delay.max_ms", ms(&book.delay, 1.0));
    figures.set("gap.longest_ms", longest(&book.gaps));
    figures.set("gap.count", book.gaps.len() as f64);
    figures.set("gap.seconds_per_listener_hour", book.gap_time() as f64 / 1e9 / (book.listened as f64 / 3.6e12));
    figures.set("onset.count", book.onsets.len() as f64);
    figures.set("onset.longest_ms", longest(&book.onsets));
    figures.set("join.p50_ms", ms(&joins.took, 0.5));
    figures.set("join.p99_ms", ms(&joins.took, 0.99));
    figures.set("join.per_second", joins_per_second);
    figures.set("join.failed", joins.failed as f64);
    figures.set("join.count", joins.took.len() as f64);
    figures.set("first_audio.count", book.first_audio.len() as f64);
    figures.set("first_audio.p50_ms", ms(&book.first_audio, 0.5));
    figures.set("first_audio.p99_ms", ms(&book.first_audio, 0.99));
    figures.set("first_audio.max_ms", ms(&book.first_audio, 1.0));
    figures.set("return_audio.p50_ms", ms(&book.return_audio, 0.5));
    figures.set("return_audio.p99_ms", ms(&book.return_audio, 0.99));
    figures.set("return_audio.max_ms", ms(&book.return_audio, 1.0));
    figures.set("voice.ended", joins.ended as f64);
    if stage.scenario.video.is_some() {
        enter_video(figures, book);
    }
}

fn enter_video(figures: &mut Figures, book: &Book) {
    let seen = &book.pictures;
    figures.set("video.packets", seen.packets as f64);
    figures.set("video.bitrate_bps", seen.bitrate());
    figures.set("video.best", seen.best_part());
    figures.set("video.poorest_second", seen.poorest_second());
    figures.set("video.freezes", seen.freezes.len() as f64);
    figures.set("video.frozen_ms", seen.frozen() as f64 / 1e6);
    figures.set("video.blank", seen.blank as f64);
    figures.set("video.delay_p50_ms", ms(&seen.delay, 0.5));
    figures.set("video.delay_p99_ms", ms(&seen.delay, 0.99));
    let shifted = &book.shifted;
    if shifted.packets > 0 {
        figures.set("shifted.frozen_ms", shifted.frozen() as f64 / 1e6);
        figures.set("shifted.longest_freeze_ms", longest(&shifted.freezes));
        figures.set("shifted.fall_ms", ms(&shifted.fall, 1.0));
        figures.set("shifted.rise_ms", ms(&shifted.rise, 1.0));
        figures.set("shifted.blank", shifted.blank as f64);
        figures.set("shifted.made_up_ms", book.made_up_ms as f64);
        figures.set("shifted.longest_made_up_ms", book.longest_made_up_ms as f64);
    }
}

/// The round in the middle by CPU per packet, and the middle of the ratios.
fn report_rounds(rounds: &[Round]) -> (Option<Round>, Option<f64>) {
    let mut known: Vec<Round> = rounds.iter().filter(|round| round.server_ns.is_some()).copied().collect();
    known.sort_by(|a, b| a.server_ns.unwrap_or(0.0).total_cmp(&b.server_ns.unwrap_or(0.0)));
    let mut ratios: Vec<f64> = known.iter().filter_map(|round| Some(round.server_ns? / round.floor_ns?)).collect();
    ratios.sort_by(f64::total_cmp);
    (known.get(known.len() / 2).copied(), ratios.get(ratios.len() / 2).copied())
}

fn enter_server(
    figures: &mut Figures,
    stage: &Stage<'_>,
    (middle, ratio): (Option<Round>, Option<f64>),
    before: &Look,
    idle: &Look,
    after: &Look,
) {
    if let Some(round) = middle {
        figures.set("server.us_per_packet", round.server_ns.unwrap_or(f64::NAN) / 1e3);
        figures.set("server.core_share", round.media_share);
        figures.set("server.process_share", round.process_share);
        figures.set("server.forwarded_per_s", round.forwarded_per_s);
        figures.set("floor.us_per_packet", round.floor_ns.unwrap_or(f64::NAN) / 1e3);
    }
    figures.set("floor.ratio", ratio.unwrap_or(f64::NAN));
    let people = stage.hall.plan.people.iter().filter(|person| !person.is_late).count() as f64;
    let growth = |look: &Look| {
        let (from, to) = before.memory.zip(look.memory)?;
        (people > 0.0).then(|| to.saturating_sub(from) as f64 / 1024.0 / people)
    };
    figures.set("server.memory_mib", after.memory.map_or(f64::NAN, |bytes| bytes as f64 / MIB));
    if stage.scenario.measure.memory {
        figures.set("server.idle_peer_kib", growth(idle).unwrap_or(f64::NAN));
        figures.set("server.active_peer_kib", growth(after).unwrap_or(f64::NAN));
    }
    let dropped = before.page.zip(after.page).map(|(from, to)| to.dropped - from.dropped);
    figures.set("server.dropped", dropped.unwrap_or(f64::NAN));
}

fn slopes(report: &mut Report) {
    let series = &report.series;
    let slopes = [
        ("server.memory_slope", series.slope_per_hour(|sample| sample.memory_mib)),
        ("server.fds_slope", series.slope_per_hour(|sample| sample.fds)),
        ("server.threads_slope", series.slope_per_hour(|sample| sample.threads)),
        ("server.peers_slope", series.slope_per_hour(|sample| sample.peers)),
    ];
    for (name, slope) in slopes {
        report.figures.set(name, slope.unwrap_or(f64::NAN));
    }
}

/// What the kernel dropped because a socket of this process was full: the last column of /proc/net/udp, for sockets whose
/// inode is ours.
fn own_socket_drops() -> u64 {
    let ours: std::collections::HashSet<String> = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let link = std::fs::read_link(entry.ok()?.path()).ok()?;
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let drops = |file: &str| -> u64 {
        let table = std::fs::read_to_string(file).unwrap_or_default();
        let lines = table.lines().skip(1).filter_map(|line| {
            let columns: Vec<&str> = line.split_ascii_whitespace().collect();
            ours.contains(*columns.get(9)?).then(|| columns.last()?.parse::<u64>().ok())?
        });
        lines.sum()
    };
    drops("/proc/net/udp") + drops("/proc/net/udp6")
}
