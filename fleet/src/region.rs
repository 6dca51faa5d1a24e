//! Regions, and how far a member is from each.

pub use guildhall_protocol::fleet::RegionId;

/// Regions that one client reports on; more are ignored. The largest operators have some forty.
pub const MAX_REACHES: usize = 64;

/// A round-trip time that is never believed to be longer: beyond a second a client measured its own trouble.
const MAX_RTT_MS: u16 = 1000;

/// One member's round-trip times to regions, in milliseconds: measured by its client, or estimated from where its address is.
/// Empty when nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    times: Vec<(RegionId, u16)>,
    is_estimated: bool,
}

impl Reach {
    /// What a client measured. The first word on a region counts; zero and absurd times are brought into 1..=1000.
    pub fn new(times: impl IntoIterator<Item = (RegionId, u16)>) -> Self {
        let mut reach: Vec<(RegionId, u16)> = Vec::new();
        for (region, rtt_ms) in times {
            if reach.len() < MAX_REACHES && !reach.iter().any(|(known, _)| *known == region) {
                reach.push((region, rtt_ms.clamp(1, MAX_RTT_MS)));
            }
        }
        Self { times: reach, is_estimated: false }
    }

    /// The same of times that nobody measured.
    pub fn estimated(times: impl IntoIterator<Item = (RegionId, u16)>) -> Self {
        Self { is_estimated: true, ..Self::new(times) }
    }

    /// Whether its times are estimates. What is not known is none.
    pub fn is_estimated(&self) -> bool {
        self.is_estimated && self.is_known()
    }

    pub fn is_known(&self) -> bool {
        !self.times.is_empty()
    }

    /// To this region, if anything is known of it.
    pub fn to(&self, region: &RegionId) -> Option<u16> {
        self.times.iter().find(|(known, _)| known == region).map(|(_, rtt_ms)| *rtt_ms)
    }

    /// To the farthest region that is known.
    pub fn farthest(&self) -> Option<u16> {
        self.times.iter().map(|(_, rtt_ms)| *rtt_ms).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_report_is_bounded_and_its_first_word_counts() {
        let region = |n: usize| format!("r{n}").parse::<RegionId>().unwrap();
        let reach = Reach::new((0..200).map(|n| (region(n % 100), 10 + n as u16)).chain([(region(0), 1)]));
        assert_eq!(reach.times.len(), MAX_REACHES);
        assert_eq!(reach.to(&region(0)), Some(10));
        assert_eq!(reach.to(&region(99)), None);
        assert_eq!(Reach::new([(region(1), 0), (region(2), u16::MAX)]).farthest(), Some(MAX_RTT_MS));
        assert_eq!(Reach::new([(region(1), 0)]).to(&region(1)), Some(1));
        assert!(!Reach::default().is_known() && !Reach::estimated([]).is_estimated());
        assert!(Reach::estimated([(region(1), 5)]).is_estimated() && !Reach::new([(region(1), 5)]).is_estimated());
    }
}
