//! Whether the generator itself was fit to measure. A generator that sends late or loses what arrives makes any server look
//! bad; then it says so and judges nobody.

use super::book::{Times, times};

/// A packet this late is counted as late: a quarter of a packet interval, well above any timer's error.
pub const LATE: u64 = 5_000_000;

#[derive(Clone, Debug)]
pub struct Health {
    /// How long after their moment packets left.
    pub lateness: Times,
    pub late: u64,
    pub sends: u64,
    /// CPU of the busiest media thread, part of one core.
    pub core_share: f64,
    /// Datagrams that our own sockets had no room for.
    pub socket_drops: u64,
}

impl Default for Health {
    fn default() -> Self {
        Self { lateness: times(), late: 0, sends: 0, core_share: 0.0, socket_drops: 0 }
    }
}

impl Health {
    pub fn note(&mut self, lateness: u64) {
        self.sends += 1;
        self.late += u64::from(lateness > LATE);
        self.lateness.saturating_record(lateness);
    }

    pub fn add(&mut self, other: &Self) {
        self.lateness.add(&other.lateness).expect("both have the same bounds");
        self.late += other.late;
        self.sends += other.sends;
        self.core_share = self.core_share.max(other.core_share);
        self.socket_drops += other.socket_drops;
    }

    pub fn late_part(&self) -> f64 {
        self.late as f64 / self.sends.max(1) as f64
    }

    /// Why nothing measured in this run may be held against the server, if so.
    pub fn fault(&self, most_late: f64) -> Option<String> {
        if self.late_part() > most_late {
            return Some(format!(
                "the generator sent {:.1} % of its packets more than {} ms late (allowed: {:.1} %): this machine is too busy",
                self.late_part() * 100.0,
                LATE / 1_000_000,
                most_late * 100.0
            ));
        }
        (self.socket_drops > 0).then(|| format!("the generator's own sockets dropped {} datagrams", self.socket_drops))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_or_leaky_generator_says_so() {
        let mut health = Health::default();
        for at in 0..100 {
            health.note(if at < 2 { 30_000_000 } else { 100_000 });
        }
        assert_eq!(health.fault(0.02), None);
        assert!(health.fault(0.01).expect("a fault").contains("2.0 % of its packets"));
        let leaky = Health { socket_drops: 3, ..Health::default() };
        assert!(leaky.fault(0.01).expect("a fault").contains("dropped 3"));
    }
}
