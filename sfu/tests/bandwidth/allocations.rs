//! The bandwidth machines allocate nothing once they know the rate: a minute of video, feedback, layers and pacing, with a counting
//! allocator on this thread.

use crate::counting::allocations;
use crate::source::CAMERA;
use guildhall_sfu::bandwidth::allocator::{Allocator, MOST_SLOTS, Wish};
use guildhall_sfu::bandwidth::estimator::{Bounds, Estimator};
use guildhall_sfu::bandwidth::feedback::{Arrivals, FEEDBACK_LEN, for_each_feedback};
use guildhall_sfu::bandwidth::ledger::Class;
use guildhall_sfu::bandwidth::pacer::{Departure, Pacer};
use std::time::{Duration, Instant};

#[test]
fn nothing_is_allocated_once_the_rate_is_known() {
    let start = Instant::now();
    let mut estimator = Estimator::new(start, Bounds::default());
    let mut pacer: Pacer<u32> = Pacer::new(start);
    let mut allocator = Allocator::default();
    let mut receiver = Arrivals::new(start);
    let mut grants = Vec::with_capacity(MOST_SLOTS);
    let mut buffer = [0; FEEDBACK_LEN];
    let wishes: [Wish; 3] =
        std::array::from_fn(|slot| Wish { slot: slot as u8, pixels: 921_600, is_focus: slot == 1, layers: &CAMERA });
    let (mut sent, mut told, mut free) = (0, 0, start);
    let mut minute = |range: std::ops::Range<u64>| {
        for ms in range {
            let now = start + Duration::from_millis(ms);
            estimator.handle_timeout(now);
            let estimate = estimator.estimate();
            pacer.set(estimate.pace_bps, estimator.probe(), estimator.burst(now));
            if ms % 33 == 0 {
                let sum = allocator.allocate(now, estimate.bps, 0, &wishes, &mut grants);
                estimator.set_wanted(sum.next_bps);
                for n in 0..sum.video_bps / 300_000 {
                    // A full queue gives the packet back, which is part of what is counted.
                    let _ = pacer.push_video(now, n as u32, 1_100);
                }
            }
            while let Some(departure) = pacer.pop(now) {
                let (bytes, class, cluster) = match departure {
                    Departure::Packet { bytes, class, cluster, .. } => (bytes, class, cluster),
                    Departure::Padding { bytes, cluster } => {
                        pacer.padded(now, bytes);
                        (bytes, Class::Padding, Some(cluster))
                    }
                };
                let sequence = estimator.sent(now, bytes, class, cluster);
                sent += 1;
                // 2 Mbit/s, and a second of silence in each twenty; each packet is received when it leaves the bottleneck.
                free = free.max(now) + Duration::from_micros(bytes as u64 * 4);
                if ms % 20_000 > 1_000 && sent % 50 != 0 {
                    receiver.record(free, sequence, bytes);
                }
            }
            while let Some(len) = receiver.write(now, 1, 2, &mut buffer) {
                for_each_feedback(&buffer[..len], |feedback| estimator.feedback(now, &feedback));
                told += 1;
            }
        }
    };
    // The first twenty seconds have everything that comes again later.
    let at_first = allocations(|| minute(0..20_000));
    let later = allocations(|| minute(20_000..60_000));
    assert!(sent > 4_000 && told > 500, "{sent} packets, {told} messages");
    assert!(at_first <= 6, "{at_first} allocations: what is remembered and what waits grow by doubling");
    assert_eq!(later, 0, "allocations for {sent} packets");

    // The counter counts: an estimator allocates.
    assert!(allocations(|| drop(Estimator::new(start, Bounds::default()))) > 0);
}
