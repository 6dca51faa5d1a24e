//! The run second by second, and how what should be flat slopes.

use serde::Serialize;

/// A soak of a day at one sample a second.
const MOST_SAMPLES: usize = 86_400;

/// What the second half of a run is cut into for its slopes: more than a minute each in a soak of half an hour.
const STRETCHES: usize = 12;

/// One moment. What could not be read is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the first sample.
    pub at: f64,
    /// Per second since the sample before.
    pub sent_per_s: f64,
    pub received_per_s: f64,
    /// Part of one core since the sample before.
    pub media_share: Option<f64>,
    pub process_share: Option<f64>,
    pub memory_mib: Option<f64>,
    pub fds: Option<f64>,
    pub threads: Option<f64>,
    pub peers: Option<f64>,
    /// Of the sends since the sample before, those that were late.
    pub late_part: f64,
    /// Longest delay since the sample before.
    pub worst_delay_ms: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Series(Vec<Sample>);

impl Series {
    /// Beyond the limit nothing is kept: the figures are complete without.
    pub fn push(&mut self, sample: Sample) {
        if self.0.len() < MOST_SAMPLES {
            self.0.push(sample);
        }
    }

    pub fn samples(&self) -> &[Sample] {
        &self.0
    }

    /// Growth per hour of one value over the second half: what a start fills once is not growth. Least squares through the
    /// lowest value of each stretch, because what comes and goes (pooled connections) is not growth either.
    pub fn slope_per_hour(&self, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let half = &self.0[self.0.len() / 2..];
        let low = |stretch: &[Sample]| {
            let known = stretch.iter().filter_map(|sample| Some((sample.at, value(sample)?)));
            known.min_by(|one, other| one.1.total_cmp(&other.1))
        };
        let points: Vec<(f64, f64)> = half.chunks(half.len().div_ceil(STRETCHES).max(1)).filter_map(low).collect();
        if points.len() < 3 {
            return None;
        }
        let count = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
        let (top, bottom) = points
            .iter()
            .fold((0.0, 0.0), |(top, bottom), point| (top + (point.0 - x) * (point.1 - y), bottom + (point.0 - x).powi(2)));
        (bottom > 0.0).then(|| top / bottom * 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_second_half() {
        let mut series = Series::default();
        for at in 0..100 {
            // A steep start, then one MiB in ten seconds.
            let memory = if at < 50 { f64::from(at) * 5.0 } else { 250.0 + f64::from(at) / 10.0 };
            series.push(Sample { at: f64::from(at), memory_mib: Some(memory), ..Sample::default() });
        }
        let slope = series.slope_per_hour(|sample| sample.memory_mib).expect("enough points");
        assert!((slope - 360.0).abs() < 1e-6, "{slope}");
        assert_eq!(series.slope_per_hour(|sample| sample.fds), None);
    }

    #[test]
    fn what_comes_and_goes_is_no_slope() {
        let mut series = Series::default();
        for at in 0..1_200 {
            // Always 500, and more and more on top that is gone again after a while.
            let pooled = if at % 40 < 30 { f64::from(at) / 20.0 } else { 0.0 };
            series.push(Sample { at: f64::from(at), fds: Some(500.0 + pooled), ..Sample::default() });
        }
        assert_eq!(series.slope_per_hour(|sample| sample.fds), Some(0.0));
    }
}
