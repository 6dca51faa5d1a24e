//! Networks that people have, by name. The figures are typical medians of access networks, one way, not those of any
//! operator.

use super::{Burst, Profile};

/// Name, what it stands for, and both directions (up, down).
pub const PRESETS: [(&str, &str, Profile, Profile); 5] = [
    ("perfect", "no emulation", PERFECT, PERFECT),
    ("fibre", "5 ms, hardly any jitter", FIBRE, FIBRE),
    ("wifi", "a home's Wi-Fi: short bursts of loss, some jitter", WIFI, WIFI),
    ("lte", "a phone: 30 ms, jitter, a slower way up", LTE_UP, LTE_DOWN),
    ("hotel", "a bad hotel: bursts of loss, reordering, a full queue", HOTEL_UP, HOTEL_DOWN),
];

const NO_BURST: Burst = Burst { enter: 0.0, leave: 0.0, loss: 0.0 };
const PERFECT: Profile = Profile {
    delay_ms: 0.0,
    jitter_ms: 0.0,
    loss: 0.0,
    burst: NO_BURST,
    reorder: 0.0,
    reorder_ms: 0.0,
    bandwidth_kbps: 0.0,
    queue_ms: 0.0,
};
const FIBRE: Profile = Profile { delay_ms: 5.0, jitter_ms: 0.3, loss: 0.0001, ..PERFECT };
const WIFI: Profile =
    Profile { delay_ms: 8.0, jitter_ms: 4.0, loss: 0.001, burst: Burst { enter: 0.001, leave: 0.25, loss: 0.5 }, ..PERFECT };
const LTE_DOWN: Profile = Profile {
    delay_ms: 30.0,
    jitter_ms: 10.0,
    loss: 0.002,
    burst: Burst { enter: 0.0005, leave: 0.1, loss: 0.8 },
    bandwidth_kbps: 20_000.0,
    queue_ms: 300.0,
    ..PERFECT
};
const LTE_UP: Profile = Profile { bandwidth_kbps: 4_000.0, jitter_ms: 15.0, ..LTE_DOWN };
const HOTEL_DOWN: Profile = Profile {
    delay_ms: 45.0,
    jitter_ms: 25.0,
    loss: 0.01,
    burst: Burst { enter: 0.004, leave: 0.12, loss: 0.7 },
    reorder: 0.01,
    reorder_ms: 40.0,
    bandwidth_kbps: 1_500.0,
    queue_ms: 400.0,
};
const HOTEL_UP: Profile = Profile { bandwidth_kbps: 500.0, ..HOTEL_DOWN };

/// Up and down of a preset.
pub fn preset(name: &str) -> Option<(Profile, Profile)> {
    PRESETS.iter().find(|(known, ..)| *known == name).map(|(_, _, up, down)| (*up, *down))
}
