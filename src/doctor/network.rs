//! Ports and addresses: whether the server's are free or its own, and whether clients would reach them.
//!
//! Only this machine is asked. What a router or a firewall elsewhere does can only be seen from outside.

use super::Findings;
use crate::config::Config;
use crate::serve::{default_route, media_config};
use axum::http::uri::Authority;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server on this machine, or the resolver, may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a datagram takes through this machine at most.
const LOCAL_DELIVERY: Duration = Duration::from_millis(500);
/// What a health check answers with at most.
const ANSWER: u64 = 4_096;

pub async fn examine(config: &Config, is_running: bool, findings: &mut Findings) {
    examine_tcp(config.listen, is_running, findings).await;
    for bind in media_config(config, config.listen.port()).bind {
        examine_udp(bind, is_running, findings);
    }
    examine_media_address(config, is_running, findings);
    if let Some(host) = &config.public_host {
        examine_public_host(host, findings).await;
    }
}

async fn examine_tcp(listen: SocketAddr, is_running: bool, findings: &mut Findings) {
    if listen.port() == 0 {
        return findings.good("TCP port", "The system chooses one at each start.");
    }
    match (TcpListener::bind(listen), is_running) {
        (Ok(_), false) => findings.good("TCP port", format!("{listen} is free.")),
        (Ok(_), true) => findings.fail(
            "TCP port",
            format!("A server runs on the data, but it does not listen on {listen}."),
            "Give the doctor the flags that the server runs with, or restart the server with these.",
        ),
        (Err(error), _) if error.kind() == ErrorKind::PermissionDenied => findings.fail(
            "TCP port",
            format!("{listen} may not be opened by this user."),
            "Take a port from 1024 on, or let the unit have AmbientCapabilities=CAP_NET_BIND_SERVICE.",
        ),
        (Err(error), _) if error.kind() == ErrorKind::AddrNotAvailable => findings.fail(
            "TCP port",
            format!("{} is no address of this machine.", listen.ip()),
            "Listen on 0.0.0.0, on [::] or on one of `ip address`.",
        ),
        (Err(error), _) if error.kind() == ErrorKind::AddrInUse => match (ask_readiness(listen).await, is_running) {
            (Some(200), true) => findings.good("TCP port", format!("The server listens on {listen} and is ready.")),
            (Some(503), true) => findings.fail(
                "TCP port",
                format!("The server listens on {listen} and is not ready."),
                "See what /readyz names, and the server's log.",
            ),
            _ => findings.fail(
                "TCP port",
                format!("{listen} is taken, and not by a server on this data."),
                "Find who has it (`ss -ltnp`) and end it, or take another --listen.",
            ),
        },
        (Err(error), _) => findings.fail("TCP port", format!("{listen} cannot be opened: {error}."), "Take another --listen."),
    }
}

/// The status of `/readyz`, asked over this machine.
async fn ask_readiness(listen: SocketAddr) -> Option<u16> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let asked = async {
        let mut stream = TcpStream::connect(SocketAddr::new(ip, listen.port())).await.ok()?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {listen}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(ANSWER).read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8(answer).ok()?;
        // Another program's health check would not say it like this.
        let status = answer.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
        answer.contains("{\"ready\":").then_some(status)
    };
    timeout(PATIENCE, asked).await.ok().flatten()
}

fn examine_udp(bind: SocketAddr, is_running: bool, findings: &mut Findings) {
    if bind.port() == 0 {
        return findings
            .good("UDP port", "The system chooses one at each start: open all of them in firewalls, or set --media-port.");
    }
    match (UdpSocket::bind(bind), is_running) {
        (Ok(_), false) => findings.good("UDP port", format!("{bind} is free.")),
        (Ok(_), true) => findings.fail(
            "UDP port",
            format!("A server runs on the data, but it has no media on {bind}."),
            "Give the doctor the flags that the server runs with, or restart the server with these.",
        ),
        (Err(error), true) if error.kind() == ErrorKind::AddrInUse => {
            findings.good("UDP port", format!("{bind} is in use, as it is while the server runs."));
        }
        (Err(error), _) => findings.fail(
            "UDP port",
            format!("{bind} cannot be opened: {error}."),
            "Find who has it (`ss -lunp`), or take another --media-port or --media-listen.",
        ),
    }
}

/// Who can reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    ThisMachine,
    ThisNetwork,
    World,
}

fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Reach::ThisMachine,
        // 100.64.0.0/10 (RFC 6598) is behind a provider's NAT.
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64) => {
            Reach::ThisNetwork
        }
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => Reach::ThisNetwork,
        _ => Reach::World,
    }
}

/// The addresses that voice clients are told, as far as the settings and the routes say it.
fn examine_media_address(config: &Config, is_running: bool, findings: &mut Findings) {
    let listened = Some(config.media_listen).filter(|ip| !ip.is_unspecified());
    let told = match &config.media_ip[..] {
        [] => listened.or_else(default_route).into_iter().collect(),
        given => given.to_vec(),
    };
    if told.is_empty() {
        return findings.fail(
            "media address",
            "This machine has no route to anywhere, so clients would be told no address for media.",
            "Set --media-ip to the address that clients reach.",
        );
    }
    for ip in told {
        judge_media_address(config, ip, is_running, findings);
    }
}

fn judge_media_address(config: &Config, ip: IpAddr, is_running: bool, findings: &mut Findings) {
    let advice = "Set --media-ip to the address that the Internet has for this server, and let UDP through to it.";
    match reach(ip) {
        Reach::World => {}
        Reach::ThisMachine => {
            return findings.warn(
                "media address",
                format!("Media go to {ip}: only clients on this machine hear anything."),
                advice,
            );
        }
        Reach::ThisNetwork => {
            findings.warn("media address", format!("Media go to {ip}: only clients of this network hear anything."), advice);
        }
    }
    match datagram_arrives(config, ip, is_running) {
        Delivery::Arrived => findings.good("media address", format!("A datagram to {ip} arrives, sent from here.")),
        Delivery::Elsewhere => findings.warn(
            "media address",
            format!("{ip} is no address of this machine, so whether media reach it cannot be seen from here."),
            "Let the router send the UDP ports to this machine, and join a voice channel from outside.",
        ),
        Delivery::Lost => findings.fail(
            "media address",
            format!("A datagram from here to {ip} does not arrive."),
            "Let UDP in: look at `nft list ruleset`, ufw or firewalld.",
        ),
    }
}

enum Delivery {
    Arrived,
    Elsewhere,
    Lost,
}

/// Sends one to the first media port, or while the server has that, to another.
fn datagram_arrives(config: &Config, ip: IpAddr, is_running: bool) -> Delivery {
    let port = if is_running { 0 } else { config.media_port };
    let Ok(receiver) = UdpSocket::bind((ip, port)).or_else(|_| UdpSocket::bind((ip, 0))) else { return Delivery::Elsewhere };
    let unspecified = if ip.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let sent = (|| {
        let sender = UdpSocket::bind((unspecified, 0))?;
        receiver.set_read_timeout(Some(LOCAL_DELIVERY))?;
        sender.send_to(b"guildhall doctor", receiver.local_addr()?)?;
        receiver.recv_from(&mut [0; 32])
    })();
    if sent.is_ok() { Delivery::Arrived } else { Delivery::Lost }
}

async fn examine_public_host(host: &str, findings: &mut Findings) {
    let Ok(authority) = host.parse::<Authority>() else { return };
    let name = authority.host().trim_matches(['[', ']']);
    match timeout(PATIENCE, tokio::net::lookup_host((name, 0))).await {
        Ok(Ok(addresses)) => {
            let addresses: Vec<String> = addresses.map(|address| address.ip().to_string()).collect();
            findings.good("public host", format!("{name} is {}.", addresses.join(", ")));
        }
        _ => findings.fail(
            "public host",
            format!("{name} has no address: clients are sent to nowhere."),
            "Make an A or AAAA record for it, or correct --public-host.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn addresses_are_known_by_who_reaches_them() {
        for (ip, expected) in [
            ("127.0.0.1", Reach::ThisMachine),
            ("::1", Reach::ThisMachine),
            ("10.1.2.3", Reach::ThisNetwork),
            ("100.64.0.1", Reach::ThisNetwork),
            ("100.128.0.1", Reach::World),
            ("fd00::1", Reach::ThisNetwork),
            ("203.0.113.7", Reach::World),
            ("2001:db8::1", Reach::World),
        ] {
            assert_eq!(reach(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[tokio::test]
    async fn a_port_that_another_program_has_is_an_error_and_one_that_is_free_is_not() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let media = UdpSocket::bind("127.0.0.1:0").unwrap();
        let level = async |is_running| {
            let mut findings = Findings::default();
            examine_udp(media.local_addr().unwrap(), is_running, &mut findings);
            findings.0[0].level
        };
        assert_eq!((level(false).await, level(true).await), (Level::Error, Level::Good));
        // It hears the question and hangs up.
        let hangs_up = std::thread::spawn(move || drop(taken.accept()));
        let mut findings = Findings::default();
        examine_tcp(address, false, &mut findings).await;
        hangs_up.join().unwrap();
        assert_eq!(findings.0[0].level, Level::Error, "{findings:?}");
    }
}
