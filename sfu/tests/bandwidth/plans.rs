//! The networks and what is sent over them, and one run of each with its figures.

use crate::flow::{Back, Flow, SAMPLE};
use crate::link::{Capacity, Conditions, Jitter, Link, Loss};
use crate::rival::Rival;
use crate::source::Content;

const STEP: i64 = 1_000;

/// Nothing is judged before: the estimate begins low.
const WARM: f64 = 4.0;

pub struct Plan {
    pub name: &'static str,
    pub seconds: f64,
    pub conditions: Conditions,
    pub contents: Vec<Content>,
    pub back: Back,
    /// From and to in seconds.
    pub rival: Option<(f64, f64)>,
}

/// What a run shows; nothing where there is nothing to show.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Audio and video that arrived, as part of what was of use, in %.
    pub utilisation: f64,
    /// In the bottleneck's queue, ms.
    pub queue_mean: f64,
    pub queue_p95: f64,
    /// The most that the estimate was above the capacity, in %, except in the two seconds after that fell and while little is
    /// sent.
    pub overshoot: f64,
    /// Packets that the full queue dropped, in %.
    pub dropped: f64,
    /// The longest time from a fall of the capacity until the estimate is below it, s.
    pub fall: Option<f64>,
    /// The longest time from a rise of the capacity until the estimate (of cameras, the layers chosen) is at 80 %
    /// of what is of use, s.
    pub recover: Option<f64>,
    /// The first flow's part of what would be fair, in %.
    pub share: Option<f64>,
    /// How often a camera got another resolution.
    pub switches: Option<f64>,
    /// Padding of probes, as part of everything that was sent, in %.
    pub padding: f64,
}

/// A usual network, to be changed by each plan.
fn link(capacity: Capacity, queue_ms: f64) -> Conditions {
    let bps = match &capacity {
        Capacity::Steps(steps) => steps.iter().map(|step| step.1).fold(0.0, f64::max),
        Capacity::Wave(mean, ..) => *mean,
    };
    Conditions {
        capacity,
        queue_bytes: (bps * queue_ms / 8e3) as usize,
        distance: 25_000,
        detour: None,
        loss: Loss::None,
        jitter: Jitter::None,
    }
}

fn steady(bps: f64) -> Capacity {
    Capacity::Steps(vec![(0.0, bps)])
}

fn plan(name: &'static str, conditions: Conditions, content: Content) -> Plan {
    let back = Back { distance: 25_000, jitter: 5_000, loss: 0.0 };
    Plan { name, seconds: 60.0, conditions, contents: vec![content], back, rival: None }
}

pub fn plans() -> Vec<Plan> {
    let video = Content::Elastic { most: 4e6, keyframes: 8.0 };
    let small = Content::Elastic { most: 2.5e6, keyframes: 8.0 };
    let wifi = Jitter::Wifi(90.0, 14.0, 60.0);
    let stalls = Jitter::Stalls(120.0, 50.0, 200.0);
    let there_and_back = |high, low| Capacity::Steps(vec![(0.0, high), (20.0, low), (40.0, high)]);
    vec![
        plan("steady 3 Mbit/s", link(steady(3e6), 200.0), video.clone()),
        plan("steady 1 Mbit/s, deep queue", link(steady(1e6), 1500.0), video.clone()),
        plan("steady 300 kbit/s, 100 ms away", Conditions { distance: 100_000, ..link(steady(3e5), 400.0) }, small.clone()),
        plan("steady 2 Mbit/s, policer", Conditions { queue_bytes: 6_000, ..link(steady(2e6), 0.0) }, video.clone()),
        plan("wide: 10 Mbit/s for 2.5", link(steady(1e7), 100.0), small.clone()),
        plan("steps 3, 1, 3 Mbit/s", link(there_and_back(3e6, 1e6), 200.0), video.clone()),
        plan("steps 3, 0.5, 3 Mbit/s, deep queue", link(there_and_back(3e6, 5e5), 800.0), video.clone()),
        plan("oscillation 1-3 Mbit/s in 12 s", link(Capacity::Wave(2e6, 1e6, 12.0), 300.0), video.clone()),
        plan("2 % random loss, 4 Mbit/s", Conditions { loss: Loss::Random(0.02), ..link(steady(4e6), 150.0) }, small.clone()),
        plan("10 % random loss, 10 Mbit/s", Conditions { loss: Loss::Random(0.1), ..link(steady(1e7), 150.0) }, small.clone()),
        plan("20 % random loss, 10 Mbit/s", Conditions { loss: Loss::Random(0.2), ..link(steady(1e7), 150.0) }, small.clone()),
        plan(
            "bursts of loss, 2 Mbit/s",
            Conditions { loss: Loss::Bursts(0.3, 3.0, 0.25), ..link(steady(2e6), 150.0) },
            video.clone(),
        ),
        plan("Wi-Fi, 2 Mbit/s", Conditions { jitter: wifi, ..link(steady(2e6), 200.0) }, video.clone()),
        plan("Wi-Fi, 20 Mbit/s for 2.5", Conditions { jitter: wifi, ..link(steady(2e7), 200.0) }, small.clone()),
        plan(
            "jitter of 30 ms, 2 Mbit/s",
            Conditions { jitter: Jitter::Uniform(30.0), ..link(steady(2e6), 200.0) },
            video.clone(),
        ),
        Plan {
            back: Back { distance: 25_000, jitter: 150_000, loss: 0.0 },
            ..plan(
                "a receiver without processor, 20 Mbit/s for 2.5",
                Conditions { jitter: stalls, ..link(steady(2e7), 200.0) },
                small.clone(),
            )
        },
        plan(
            "outage of 4 s, 2 Mbit/s",
            link(Capacity::Steps(vec![(0.0, 2e6), (20.0, 0.0), (24.0, 2e6), (40.0, 0.0), (41.0, 2e6)]), 400.0),
            video.clone(),
        ),
        plan(
            "80 ms more way from 20 s on, 2 Mbit/s",
            Conditions { detour: Some((20_000_000, 80_000)), ..link(steady(2e6), 200.0) },
            video.clone(),
        ),
        Plan { rival: Some((15.0, 45.0)), ..plan("beside TCP, 4 Mbit/s", link(steady(4e6), 150.0), video.clone()) },
        Plan { rival: Some((15.0, 45.0)), ..plan("beside TCP, 2 Mbit/s, deep queue", link(steady(2e6), 500.0), video.clone()) },
        Plan {
            contents: vec![video.clone(), video.clone()],
            ..plan("two of us, 4 Mbit/s", link(steady(4e6), 200.0), video.clone())
        },
        plan(
            "still screen, 3 Mbit/s",
            link(steady(3e6), 200.0),
            Content::Screen { most: 2.5e6, moving: vec![(0.0, 12.0), (32.0, 42.0), (52.0, 60.0)] },
        ),
        plan(
            "still screen, 3 then 1 Mbit/s",
            link(Capacity::Steps(vec![(0.0, 3e6), (20.0, 1e6)]), 200.0),
            Content::Screen { most: 2.5e6, moving: vec![(0.0, 12.0), (45.0, 60.0)] },
        ),
        Plan {
            back: Back { distance: 80_000, jitter: 60_000, loss: 0.2 },
            ..plan("feedback late and lost, 2 Mbit/s", link(steady(2e6), 200.0), video.clone())
        },
        plan("one camera, steps 2.5, 0.7, 2.5 Mbit/s", link(there_and_back(2.5e6, 7e5), 250.0), Content::Cameras(1)),
        plan(
            "one camera, 300 kbit/s for 20 s, 100 ms away",
            Conditions { distance: 100_000, ..link(there_and_back(5e6, 3e5), 100.0) },
            Content::Cameras(1),
        ),
        plan(
            "one camera, 300 kbit/s and 100 ms more at once",
            Conditions { detour: Some((20_000_000, 100_000)), ..link(there_and_back(5e6, 3e5), 100.0) },
            Content::Cameras(1),
        ),
        Plan {
            back: Back { distance: 25_000, jitter: 150_000, loss: 0.0 },
            ..plan(
                "one camera, a receiver without processor, 20 Mbit/s",
                Conditions { jitter: stalls, ..link(steady(2e7), 200.0) },
                Content::Cameras(1),
            )
        },
        plan(
            "one camera, outage of 4 s, 2.5 Mbit/s",
            link(Capacity::Steps(vec![(0.0, 2.5e6), (20.0, 0.0), (24.0, 2.5e6)]), 250.0),
            Content::Cameras(1),
        ),
        plan("four cameras, 4 Mbit/s", link(steady(4e6), 200.0), Content::Cameras(4)),
    ]
}

/// One run.
pub fn run(plan: &Plan, seed: u64, trace: bool) -> Figures {
    let mut link = Link::new(plan.conditions.clone(), seed);
    let flows = plan.contents.iter().enumerate();
    let mut flows: Vec<Flow> =
        flows.map(|(n, content)| Flow::new(n, content.clone(), plan.back, seed + 1000 * n as u64)).collect();
    flows[0].trace = trace;
    let mut rival = plan.rival.map(|(from, to)| Rival::new(flows.len(), from, to));
    let end = (plan.seconds * 1e6) as i64;
    let mut arrivals = Vec::new();
    // What the first flow could have used, in every sample.
    let mut useful = Vec::new();
    for time in (0..end).step_by(STEP as usize) {
        flows.iter_mut().for_each(|flow| flow.step(time, &mut link));
        if let Some(rival) = &mut rival {
            rival.step(time, &mut link);
        }
        link.serve(time, time + STEP, &mut arrivals);
        for arrival in arrivals.drain(..) {
            let packet = arrival.packet;
            match flows.get_mut(packet.flow) {
                Some(flow) => flow.on_arrival(arrival.at, packet.bytes, packet.number, arrival.waited),
                None => rival.as_mut().expect("whose else").on_arrival(arrival.at, packet.number, link.distance()),
            }
        }
        flows.iter_mut().for_each(|flow| flow.receive(time));
        if time % SAMPLE == 0 {
            let sharing = flows.len() + usize::from(rival.as_ref().is_some_and(|rival| rival.is_active(time)));
            useful.push(flows[0].source.useful(time, link.capacity(time) / sharing as f64));
        }
    }
    figures(plan, &link, &flows, rival.as_ref(), &useful)
}

fn figures(plan: &Plan, link: &Link, flows: &[Flow], rival: Option<&Rival>, useful: &[f64]) -> Figures {
    let flow = &flows[0];
    let from = (WARM * 1e6) as usize / SAMPLE as usize;
    let samples = flow.samples.len().min(useful.len());
    let seconds = SAMPLE as f64 / 1e6;
    let time = |index: usize| index as i64 * SAMPLE;
    // What is of use in times that have any; audio comes on top of cameras.
    let counted = || (from..samples).filter(|&index| useful[index] > 0.0);
    let media: f64 = counted().map(|index| flow.samples[index].media.min(2.0 * useful[index] * seconds)).sum();
    let utilisation = 100.0 * media / counted().map(|index| useful[index] * seconds).sum::<f64>();

    let mut waits: Vec<u32> = flow.waits.clone();
    waits.sort_unstable();
    let queue_mean = waits.iter().map(|&wait| f64::from(wait)).sum::<f64>() / waits.len() as f64 / 1e3;
    let queue_p95 = f64::from(waits[waits.len() * 95 / 100]) / 1e3;

    let capacity = |index: usize| link.capacity(time(index));
    let is_settled = |index: usize| {
        capacity(index) > 0.0 && (index.saturating_sub(20)..index).all(|before| capacity(before) <= 1.3 * capacity(index))
    };
    let above = |index: usize| flow.samples[index].estimate / capacity(index) - 1.0;
    let overshoot = 100.0 * counted().filter(|&index| is_settled(index)).map(above).fold(0.0, f64::max);

    let (mut fall, mut recover) = (None, None);
    if let Capacity::Steps(steps) = &plan.conditions.capacity {
        for pair in steps.windows(2) {
            let index = (pair[1].0 * 1e6) as usize / SAMPLE as usize;
            let until =
                |is_there: &dyn Fn(usize) -> bool| (index..samples).find(|&index| is_there(index)).unwrap_or(samples) - index;
            let is_falling = pair[1].1 < pair[0].1;
            if is_falling && pair[1].1 > 0.0 {
                let took = until(&|index| flow.samples[index].estimate <= capacity(index)) as f64 * seconds;
                fall = Some(took.max(fall.unwrap_or(0.0)));
            } else if !is_falling {
                let took = until(&|index| flow.samples[index].level >= 0.8 * useful[index]) as f64 * seconds;
                recover = Some(took.max(recover.unwrap_or(0.0)));
            }
        }
    }

    let share = match rival {
        Some(rival) => {
            let active = (10..samples).filter(|&index| rival.is_active(time(index)));
            let ours: f64 = active.map(|index| flow.samples[index].media + flow.samples[index].padding).sum();
            Some(200.0 * ours / (ours + rival.delivered as f64 * 8.0))
        }
        None if flows.len() > 1 => {
            let all = |flow: &Flow| flow.samples[samples / 2..].iter().map(|sample| sample.media).sum::<f64>();
            Some(100.0 * flows.len() as f64 * all(flow) / flows.iter().map(all).sum::<f64>())
        }
        None => None,
    };
    let padding: f64 = flow.samples.iter().map(|sample| sample.padding).sum();
    let all: f64 = flow.samples.iter().map(|sample| sample.padding + sample.media).sum();
    Figures {
        utilisation,
        queue_mean,
        queue_p95,
        overshoot,
        dropped: 100.0 * flow.dropped as f64 / flow.packets as f64,
        fall,
        recover,
        share,
        switches: matches!(plan.contents[0], Content::Cameras(_)).then_some(flow.source.switches as f64),
        padding: 100.0 * padding / all,
    }
}
