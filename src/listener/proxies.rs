//! Proxies that are believed when they say for whom they ask.
//!
//! Anybody can write `X-Forwarded-For` into a request. What it says counts only when the request comes from one of the proxies that
//! the operator named, and only as far as those have written it themselves: read from the right, past the named ones.

use axum::http::HeaderMap;
use axum::http::header::{FORWARDED, HeaderName};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Ranges that may be named. Content delivery networks publish some twenty.
const RANGES: usize = 64;

/// The addresses of proxies; none is believed by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Range>);

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    base: IpAddr,
    /// How many bits are alike.
    bits: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProxies {
    #[error("{0:?} is no address and no range like 10.0.0.0/8 or 2001:db8::/32")]
    Range(String),
    #[error("{RANGES} ranges are possible")]
    TooMany,
}

impl Proxies {
    pub fn include(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.holds(address))
    }

    /// Who asks, when the connection is of a proxy that is believed: the last address in the headers that is not of such a proxy
    /// itself. The peer, when they name nobody, or when the two headers disagree: then one of them is the client's own words, which
    /// the proxy let through.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lists = |name: HeaderName| {
            let lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default()).collect();
            (!lines.is_empty()).then(|| lines.join(","))
        };
        let by_x = lists(X_FORWARDED_FOR).map(|list| self.last_stranger(list.split(',').map(address)));
        let by_standard = lists(FORWARDED).map(|list| self.last_stranger(list.split(',').map(forwarded_for)));
        match (by_x, by_standard) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => one.or(other).flatten(),
        }
        .unwrap_or(peer)
    }

    /// From the right, which is where each proxy writes. What cannot be read ends what can be believed.
    fn last_stranger(&self, hops: impl DoubleEndedIterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        let mut known = None;
        for hop in hops.rev() {
            known = Some(hop?);
            if !known.is_some_and(|hop| self.include(hop)) {
                break;
            }
        }
        known
    }
}

/// One entry of `X-Forwarded-For`: an address, from some proxies with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let found = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    found.map(|found: IpAddr| found.to_canonical())
}

/// One element of `Forwarded` (RFC 7239 §4): `for=192.0.2.60;proto=http`, `for="[2001:db8::1]:4711"`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for")).map(|(_, value)| value);
    address(named.next()?.trim().trim_matches('"'))
}

impl Range {
    fn holds(self, address: IpAddr) -> bool {
        let is_alike = |one: u128, other: u128, width: u32| (one ^ other).checked_shr(width - self.bits).unwrap_or(0) == 0;
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => is_alike(base.to_bits().into(), address.to_bits().into(), 32),
            (IpAddr::V6(base), IpAddr::V6(address)) => is_alike(base.to_bits(), address.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Range {
    type Err = BadProxies;

    fn from_str(text: &str) -> Result<Self, BadProxies> {
        let bad = || BadProxies::Range(text.to_owned());
        let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).ok().filter(|bits| *bits <= most).ok_or_else(bad)?;
        Ok(Self { base, bits })
    }
}

impl FromStr for Proxies {
    type Err = BadProxies;

    fn from_str(text: &str) -> Result<Self, BadProxies> {
        let ranges: Vec<Range> = text.split(',').map(|range| range.trim().parse()).collect::<Result<_, _>>()?;
        if ranges.len() > RANGES { Err(BadProxies::TooMany) } else { Ok(Self(ranges)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const PROXY: &str = "10.0.0.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn proxies() -> Proxies {
        "10.0.0.0/8, 2001:db8:1::/48,192.0.2.7".parse().unwrap()
    }

    #[test]
    fn ranges_hold_what_begins_alike() {
        let proxies = proxies();
        for inside in ["10.0.0.0", "10.255.1.2", "::ffff:10.1.2.3", "2001:db8:1:ffff::1", "192.0.2.7"] {
            assert!(proxies.include(ip(inside)), "{inside}");
        }
        for outside in ["11.0.0.0", "9.255.255.255", "2001:db8:2::1", "192.0.2.6", "::1", "127.0.0.1"] {
            assert!(!proxies.include(ip(outside)), "{outside}");
        }
        let everybody: Proxies = "0.0.0.0/0,::/0".parse().unwrap();
        assert!(everybody.include(ip("203.0.113.1")) && everybody.include(ip("2001:db8::1")));
        assert!(!Proxies::default().include(ip("127.0.0.1")));
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0", "10.0.0.0/8,", "host", "10.0.0.0/-1"] {
            assert!(matches!(bad.parse::<Proxies>(), Err(BadProxies::Range(_))), "{bad}");
        }
        assert_eq!(["192.0.2.1"; RANGES + 1].join(",").parse::<Proxies>(), Err(BadProxies::TooMany));
    }

    /// Who asks, by these headers of a request that [`PROXY`] passed on.
    fn client(headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        proxies().client(ip(PROXY), &map).to_string()
    }

    #[test]
    fn a_client_is_whom_the_last_believed_proxy_saw() {
        const X: &str = "x-forwarded-for";
        #[rustfmt::skip]
        let cases: &[(&[(&'static str, &str)], &str)] = &[
            (&[], PROXY),
            (&[(X, "203.0.113.9")], "203.0.113.9"),
            (&[(X, "203.0.113.9, 10.2.0.1, 2001:db8:1::5")], "203.0.113.9"),
            (&[(X, "203.0.113.9"), (X, "10.2.0.1")], "203.0.113.9"),
            (&[(X, "203.0.113.9:4711")], "203.0.113.9"),
            (&[(X, "[2001:db8::1]:4711")], "2001:db8::1"),
            (&[(X, "[2001:db8::1]")], "2001:db8::1"),
            (&[(X, "::ffff:203.0.113.9")], "203.0.113.9"),
            (&[("forwarded", "for=203.0.113.9;proto=https, for=10.2.0.1")], "203.0.113.9"),
            (&[("forwarded", "proto=https;FOR=\"[2001:db8::1]:4711\"")], "2001:db8::1"),
            (&[(X, "203.0.113.9"), ("forwarded", "for=203.0.113.9")], "203.0.113.9"),
            // Everyone on the way is a proxy: the first of them asks for itself.
            (&[(X, "10.3.0.1, 10.2.0.1")], "10.3.0.1"),
        ];
        for (headers, expected) in cases {
            assert_eq!(client(headers), *expected, "{headers:?}");
        }
    }

    #[test]
    fn what_a_client_writes_itself_is_not_believed() {
        const X: &str = "x-forwarded-for";
        #[rustfmt::skip]
        let cases: &[(&[(&'static str, &str)], &str)] = &[
            // The proxy appends whom it saw.
            (&[(X, "127.0.0.1, 203.0.113.9")], "203.0.113.9"),
            (&[(X, "127.0.0.1"), (X, "203.0.113.9")], "203.0.113.9"),
            (&[(X, "10.9.9.9, 203.0.113.9, 10.2.0.1")], "203.0.113.9"),
            (&[("forwarded", "for=192.0.2.99, for=203.0.113.9")], "203.0.113.9"),
            (&[("forwarded", "for=\"192.0.2.99, for=192.0.2.98\", for=203.0.113.9")], "203.0.113.9"),
            // The proxy writes one header and lets the other through.
            (&[(X, "203.0.113.9"), ("forwarded", "for=192.0.2.99")], PROXY),
            (&[(X, "192.0.2.99"), ("forwarded", "for=unknown")], PROXY),
            // What cannot be read names nobody, and nobody left of it.
            (&[(X, "192.0.2.99, unknown")], PROXY),
            (&[(X, "192.0.2.99, nonsense, 10.2.0.1")], PROXY),
            (&[(X, "")], PROXY),
            (&[("forwarded", "for=_hidden")], PROXY),
            (&[("forwarded", "by=192.0.2.99")], PROXY),
        ];
        for (headers, expected) in cases {
            assert_eq!(client(headers), *expected, "{headers:?}");
        }
    }
}
