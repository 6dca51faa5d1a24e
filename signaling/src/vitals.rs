//! What a node reports of itself each second, worked out from two snapshots of the media engine's counters.

use guildhall_protocol::fleet::Load;
use guildhall_sfu::{Delays, Stats, WorkerStats};
use std::time::Duration;

/// The load between two snapshots that were taken `window` apart. `workers` were started; who is missing in `now` hangs.
pub fn load(before: &Stats, now: &Stats, workers: usize, window: Duration) -> Load {
    let of_before = |worker: &WorkerStats| before.workers.iter().find(|older| older.address == worker.address);
    let mut load = Load::default();
    let mut delays = Vec::new();
    for worker in &now.workers {
        let (traffic, busy, drops, older_delays) = of_before(worker)
            .map_or_else(Default::default, |older| (older.traffic, older.busy, older.drops.total(), older.delays));
        let busy = worker.busy.saturating_sub(busy).as_secs_f32() / window.as_secs_f32().max(0.001);
        load.workers.push(busy.min(1.0));
        load.peers += worker.peers as u32;
        load.rooms += worker.rooms as u32;
        load.packets_in += rate(worker.traffic.packets_in - traffic.packets_in, window);
        load.packets_out += rate(worker.traffic.packets_out - traffic.packets_out, window);
        load.ingress_bps += u64::from(rate((worker.traffic.bytes_in - traffic.bytes_in) * 8, window));
        load.egress_bps += u64::from(rate((worker.traffic.bytes_out - traffic.bytes_out) * 8, window));
        load.drops += rate(worker.drops.total() - drops, window);
        delays.push((worker.delays, older_delays));
    }
    load.workers.resize(workers.max(load.workers.len()), 1.0);
    load.busy = load.workers.iter().copied().fold(0.0, f32::max);
    load.forward_p50_us = percentile(&delays, 50);
    load.forward_p99_us = percentile(&delays, 99);
    load
}

fn rate(count: u64, window: Duration) -> u32 {
    (count as f64 / window.as_secs_f64().max(0.001)) as u32
}

/// The bound under which so many percent of the delays between the snapshots lie, in microseconds; 0 when there were none.
fn percentile(delays: &[(Delays, Delays)], percent: u64) -> u32 {
    let count: u64 = delays.iter().map(|(now, before)| now.count() - before.count()).sum();
    let below = |at: usize| -> u64 {
        let one = |delays: &Delays| delays.cumulative().nth(at).map_or(0, |(_, below)| below);
        delays.iter().map(|(now, before)| one(now) - one(before)).sum()
    };
    let wanted = (count * percent).div_ceil(100);
    if count == 0 {
        return 0;
    }
    let bounds = Delays::BOUNDS.iter().enumerate();
    bounds.filter(|(at, _)| below(*at) >= wanted).map(|(_, bound)| *bound as u32).next().unwrap_or(2 * Delays::BOUNDS[13] as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(port: u16, busy_ms: u64, packets: u64, delays_us: &[u64]) -> WorkerStats {
        let mut delays = Delays::default();
        delays_us.iter().for_each(|us| delays.record(Duration::from_micros(*us)));
        let traffic = guildhall_sfu::stats::Traffic { packets_in: packets, bytes_out: packets * 100, ..Default::default() };
        WorkerStats {
            address: ([127, 0, 0, 1], port).into(),
            rooms: 1,
            branches: 0,
            peers: 3,
            traffic,
            drops: Default::default(),
            busy: Duration::from_millis(busy_ms),
            idle: Duration::ZERO,
            delays,
            opinions: Default::default(),
            audience: Default::default(),
            video_step: 0,
        }
    }

    #[test]
    fn the_last_window_is_reported_and_the_busiest_worker_speaks_for_the_node() {
        let before = Stats { workers: vec![worker(1, 1_000, 500, &[10; 50]), worker(2, 9_000, 100, &[])], ..Stats::default() };
        let mut late = vec![10; 50];
        late.extend([15; 98]);
        late.extend([900, 900]);
        let now = Stats { workers: vec![worker(1, 1_200, 700, &late), worker(2, 9_500, 300, &[])], ..Stats::default() };
        let load = load(&before, &now, 2, Duration::from_secs(1));
        assert_eq!((load.busy, &load.workers[..], load.peers, load.rooms), (0.5, &[0.2, 0.5][..], 6, 2));
        assert_eq!((load.packets_in, load.egress_bps), (400, 400 * 100 * 8));
        assert_eq!((load.forward_p50_us, load.forward_p99_us), (20, 1_000));
    }

    #[test]
    fn a_worker_that_does_not_answer_counts_as_fully_busy() {
        let stats = Stats { workers: vec![worker(1, 0, 0, &[])], ..Stats::default() };
        let load = load(&stats, &stats, 2, Duration::from_secs(1));
        assert_eq!((load.busy, &load.workers[..], load.forward_p99_us), (1.0, &[0.0, 1.0][..], 0));
    }
}
