//! How many connections each address has open that nobody has logged in on.

use guildhall_protocol::connection::Lodging;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

/// Counts connections by where they come from.
pub struct Crowd {
    /// `None`: any number.
    most: Option<usize>,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

impl Crowd {
    pub fn new(most: Option<usize>) -> Arc<Self> {
        Arc::new(Self { most, counts: Mutex::default() })
    }

    /// Counts a connection for as long as what is returned is held; `None`: its address has as many as it may.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Lodging> {
        let Some(most) = self.most else { return Some(Lodging::new(())) };
        let home = home(address);
        let mut counts = self.counts.lock().expect("nothing panics while it counts");
        let count = counts.entry(home).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Lodging::new(Place { crowd: Arc::clone(self), home }))
    }
}

struct Place {
    crowd: Arc<Crowd>,
    home: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts.lock().expect("nothing panics while it counts");
        if let Some(count) = counts.get_mut(&self.home) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.home);
            }
        }
    }
}

/// One who asks: an IPv4 address, or the 64 bits of an IPv6 address that a household is given.
fn home(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::Crowd;
    use std::net::IpAddr;

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let crowd = Crowd::new(Some(2));
        let admit = |address: &str| crowd.admit(address.parse::<IpAddr>().unwrap());
        let held = [admit("192.0.2.1"), admit("192.0.2.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(admit("192.0.2.1").is_none() && admit("::ffff:192.0.2.1").is_none());
        assert!(admit("192.0.2.2").is_some(), "another address is not concerned");
        let neighbours = [admit("2001:db8::1"), admit("2001:db8::ffff:1")];
        assert!(neighbours.iter().all(Option::is_some) && admit("2001:db8::2").is_none(), "a /64 is one household");
        assert!(admit("2001:db8:0:1::1").is_some());
        drop((held, neighbours));
        assert!(admit("192.0.2.1").is_some());
        assert!(crowd.counts.lock().unwrap().is_empty(), "who has left is forgotten");
        let anyone = Crowd::new(None);
        assert!((0..100).all(|_| anyone.admit("192.0.2.1".parse().unwrap()).is_some()));
    }
}
