//! Where a worker is reached, and how that is found out when nobody configured it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Where one worker is reached: by IPv4, by IPv6, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// What clients that take only one address are told: the IPv4 one where there is one, which bots reach more often.
    pub first: SocketAddr,
    /// The other family's.
    pub second: Option<SocketAddr>,
    /// The TCP port of the same addresses where clients without UDP find us.
    pub tcp_port: Option<u16>,
}

impl Addresses {
    /// The first address of each family, under one port; `None` when there is none.
    pub fn of(ips: &[IpAddr], port: u16) -> Option<Addresses> {
        let v4 = ips.iter().find(|ip| ip.is_ipv4());
        let v6 = ips.iter().find(|ip| ip.is_ipv6());
        let at = |ip: &IpAddr| SocketAddr::new(*ip, port);
        Some(Addresses { first: v4.or(v6).map(at)?, second: v4.and(v6).map(at), tcp_port: None })
    }

    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.first).chain(self.second)
    }

    /// The one that `from` can have sent to.
    pub fn facing(&self, from: SocketAddr) -> SocketAddr {
        self.iter().find(|address| address.is_ipv4() == from.is_ipv4()).unwrap_or(self.first)
    }
}

impl From<SocketAddr> for Addresses {
    fn from(only: SocketAddr) -> Addresses {
        Addresses { first: only, second: None, tcp_port: None }
    }
}

/// What clients are told of a socket bound to `bound`: what was configured, else the bound address, else for an unspecified
/// one the source addresses of the default routes. An IPv4 socket is not reached by IPv6.
pub(crate) fn told(bound: SocketAddr, advertise: &[IpAddr]) -> Addresses {
    let reachable = |ip: &IpAddr| bound.is_ipv6() || ip.is_ipv4();
    let configured: Vec<IpAddr> = advertise.iter().copied().filter(reachable).collect();
    let found = || -> Vec<IpAddr> {
        if !bound.ip().is_unspecified() {
            return vec![bound.ip()];
        }
        // TEST-NET-1 (RFC 5737) and its IPv6 kin (RFC 3849): routed like any public address, owned by nobody.
        let v4 = source_towards((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into());
        let v6 = source_towards((Ipv6Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1), 9).into());
        let mut routes: Vec<IpAddr> = [v4, v6].into_iter().flatten().filter(reachable).collect();
        if routes.is_empty() {
            routes.push(Ipv4Addr::LOCALHOST.into());
        }
        routes
    };
    Addresses::of(&configured, bound.port()).or_else(|| Addresses::of(&found(), bound.port())).unwrap_or_else(|| bound.into())
}

/// The address that this machine would send from. Connecting a UDP socket sends nothing.
fn source_towards(any: SocketAddr, to: SocketAddr) -> Option<IpAddr> {
    let probe = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        Ok(socket.local_addr()?.ip())
    };
    probe().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_first_of_each_family_is_told_and_ipv4_leads() {
        let ips = [ip("2001:db8::1"), ip("192.0.2.7"), ip("192.0.2.8")];
        let both = Addresses::of(&ips, 5).expect("there are some");
        assert_eq!(both.iter().collect::<Vec<_>>(), ["192.0.2.7:5".parse().unwrap(), "[2001:db8::1]:5".parse().unwrap()]);
        assert_eq!(both.facing("[::5]:1".parse().unwrap()), "[2001:db8::1]:5".parse().unwrap());
        assert_eq!(both.facing("10.0.0.1:1".parse().unwrap()), both.first);
        let only = Addresses::of(&ips[..1], 5).expect("there is one");
        assert_eq!((only.first.is_ipv6(), only.second), (true, None));
        assert_eq!(only.facing("10.0.0.1:1".parse().unwrap()), only.first);
        assert_eq!(Addresses::of(&[], 5), None);
    }

    #[test]
    fn what_is_told_can_be_reached_at_the_socket() {
        let v4: SocketAddr = "192.0.2.1:7".parse().unwrap();
        assert_eq!(told(v4, &[]), v4.into());
        assert_eq!(told(v4, &[ip("2001:db8::1")]), v4.into(), "an IPv4 socket has no IPv6 address");
        let dual = told("[::]:7".parse().unwrap(), &[ip("2001:db8::1"), ip("198.51.100.2")]);
        assert_eq!(dual.iter().map(|address| address.ip()).collect::<Vec<_>>(), [ip("198.51.100.2"), ip("2001:db8::1")]);
        let unspecified = told("0.0.0.0:7".parse().unwrap(), &[]);
        assert!(unspecified.iter().all(|address| address.is_ipv4() && !address.ip().is_unspecified()), "{unspecified:?}");
    }
}
