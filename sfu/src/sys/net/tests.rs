use super::*;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

fn send(sender: &mut Sender, bytes: &[u8], to: SocketAddr) {
    sender.slot()[..bytes.len()].copy_from_slice(bytes);
    sender.commit(bytes.len(), to);
}

/// Takes datagrams until `count` have come; loopback delivers before `sendmmsg` returns.
fn receive(receiver: &mut Receiver, socket: &UdpSocket, count: usize) -> Vec<(SocketAddr, Vec<u8>, bool)> {
    let mut all = Vec::new();
    while all.len() < count {
        let received = receiver.receive(socket.as_raw_fd()).expect("a good socket");
        assert!(received > 0, "{} of {count} arrived", all.len());
        for index in 0..received {
            let received = receiver.get(index).expect("an IP address");
            all.push((received.from, received.datagram.to_vec(), received.is_cut));
        }
    }
    all
}

#[test]
fn a_refused_destination_costs_only_its_own_datagram() {
    let (from, to) = (UdpSocket::bind("127.0.0.1:0").expect("a port"), UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let good = to.local_addr().expect("bound");
    let bad: SocketAddr = "127.0.0.1:0".parse().expect("an address"); // port 0 cannot be sent to
    let mut sender = Sender::new(false);
    for (n, to) in [bad, good, bad, bad, good, good, bad].into_iter().enumerate() {
        send(&mut sender, &[n as u8; 10], to);
    }
    let sent = sender.flush(from.as_raw_fd());
    assert_eq!(sent, Sent { packets: 3, bytes: 30, buffer_full: 0, refused: 4 });
    assert!(sender.is_empty());
    let mut receiver = Receiver::new();
    let got: Vec<u8> = receive(&mut receiver, &to, 3).into_iter().map(|(_, bytes, _)| bytes[0]).collect();
    assert_eq!(got, [1, 4, 5]);
    assert_eq!(receiver.receive(to.as_raw_fd()).expect("a good socket"), 0, "an empty socket is no error");
}

#[test]
fn batches_of_every_size_arrive_as_they_were_written() {
    let (from, to) = (UdpSocket::bind("127.0.0.1:0").expect("a port"), UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let address = to.local_addr().expect("bound");
    let (mut sender, mut receiver) = (Sender::new(false), Receiver::new());
    // What was cut by the kernel takes more of the receiving socket's buffer, whose bound is the system's: large ones are few.
    socket2::SockRef::from(&to).set_recv_buffer_size(1 << 20).expect("a larger buffer");
    for (count, len) in
        [(1, 1), (BATCH, 64), (BATCH + 1, 65), (SEND_BATCH / 2, 100), (SEND_BATCH / 2 + 1, 10), (40, 1000), (40, SEND_CAPACITY)]
    {
        let mut sent = 0;
        let mut got = Vec::new();
        while sent < count {
            while sent < count && !sender.is_full() {
                send(&mut sender, &vec![sent as u8; len], address);
                sent += 1;
            }
            let flushed = sender.flush(from.as_raw_fd());
            got.extend(receive(&mut receiver, &to, flushed.packets as usize));
        }
        assert_eq!(got.len(), count);
        for (n, (_, bytes, is_cut)) in got.into_iter().enumerate() {
            assert_eq!((bytes, is_cut), (vec![n as u8; len], false));
        }
    }
}

#[test]
fn a_datagram_longer_than_the_buffer_is_seen_to_be_cut() {
    let (from, to) = (UdpSocket::bind("127.0.0.1:0").expect("a port"), UdpSocket::bind("127.0.0.1:0").expect("a port"));
    from.send_to(&vec![1; RECV_CAPACITY + 1], to.local_addr().expect("bound")).expect("loopback");
    let (_, bytes, is_cut) = receive(&mut Receiver::new(), &to, 1).remove(0);
    assert_eq!((bytes.len(), is_cut), (RECV_CAPACITY, true));
}

#[test]
fn addresses_survive_the_way_through_the_kernels_form() {
    for text in ["192.0.2.1:5", "255.255.255.255:65535", "[2001:db8::1]:443", "[fe80::1%3]:9"] {
        let address: SocketAddr = text.parse().expect("an address");
        // SAFETY: zero is a valid sockaddr_storage.
        let mut name: libc::sockaddr_storage = unsafe { zeroed() };
        assert!(write_address(&mut name, address) > 0);
        assert_eq!(read_address(&name), Some(address));
    }
    // What a dual-stack socket shows of an IPv4 sender.
    // SAFETY: as above.
    let mut name: libc::sockaddr_storage = unsafe { zeroed() };
    write_address(&mut name, "[::ffff:192.0.2.1]:7".parse().expect("an address"));
    assert_eq!(read_address(&name), Some("192.0.2.1:7".parse().expect("an address")));
}

#[test]
fn what_goes_to_one_destination_keeps_its_order_whatever_its_lengths_and_what_lies_between() {
    let from = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to = [0; 3].map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let addresses = to.each_ref().map(|socket| socket.local_addr().expect("bound"));
    let (mut sender, mut receiver) = (Sender::new(false), Receiver::new());
    // Runs of one length, with a shorter end, longer again, a single one, an empty one.
    let lens = [200, 200, 200, 100, 300, 300, 299, 299, 50, 0, 50, 50];
    for round in 0..5 {
        for (number, len) in lens.into_iter().enumerate() {
            for (place, address) in addresses.iter().enumerate().take(if number % 4 == 3 { 2 } else { 3 }) {
                send(&mut sender, &vec![(number * 3 + place + round) as u8; len], *address);
            }
        }
        // The first with the second, the third; then the fourth with nothing but what is not longer, and so on.
        assert!(sender.runs.len() < sender.queued.len() * 2 / 3, "{} runs", sender.runs.len());
        let sent = sender.flush(from.as_raw_fd());
        assert_eq!((sent.packets, sent.refused, sent.buffer_full), (12 + 12 + 9, 0, 0));
        for (place, socket) in to.iter().enumerate() {
            let expected: Vec<Vec<u8>> = lens
                .into_iter()
                .enumerate()
                .filter(|(number, _)| place < 2 || number % 4 != 3)
                .map(|(number, len)| vec![(number * 3 + place + round) as u8; len])
                .collect();
            let got: Vec<Vec<u8>> =
                receive(&mut receiver, socket, expected.len()).into_iter().map(|(_, bytes, _)| bytes).collect();
            assert_eq!(got, expected);
        }
    }
    assert!(sender.is_cutting, "this system cuts");
}

#[test]
fn a_run_that_is_refused_is_tried_datagram_by_datagram() {
    let (from, to) = (UdpSocket::bind("127.0.0.1:0").expect("a port"), UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let mut sender = Sender::new(false);
    // Port zero is refused, cut or not.
    let bad: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    for (number, to) in [bad, bad, to.local_addr().expect("bound"), bad].into_iter().enumerate() {
        send(&mut sender, &[number as u8; 10], to);
    }
    assert_eq!(sender.runs.len(), 2);
    let sent = sender.flush(from.as_raw_fd());
    assert_eq!(sent, Sent { packets: 1, bytes: 10, buffer_full: 0, refused: 3 });
    assert!(sender.is_cutting, "for the others");
    let mut receiver = Receiver::new();
    assert_eq!(receive(&mut receiver, &to, 1).remove(0).1, [2; 10]);
}

/// Two sockets on one port, the second for RTCP, and somebody who sends to them.
fn shared(bind: &str, from: &str) -> (UdpSocket, UdpSocket, UdpSocket) {
    let bind: SocketAddr = bind.parse().expect("an address");
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::for_address(bind), socket2::Type::DGRAM, None).expect("a socket");
        if bind.is_ipv6() {
            socket.set_only_v6(false).expect("both");
        }
        socket
    };
    let (main, aside) = (open(), open());
    main.bind(&bind.into()).expect("a port");
    let bound = main.local_addr().expect("bound");
    assert!(open().bind(&bound).is_err(), "it is ours alone so far");
    main.set_reuse_port(true).expect("it may be shared");
    aside.set_reuse_port(true).expect("it may be shared");
    aside.bind(&bound).expect("it is shared");
    put_rtcp_aside(aside.as_raw_fd()).expect("the kernel can");
    main.set_nonblocking(true).expect("a socket");
    aside.set_nonblocking(true).expect("a socket");
    let sender = UdpSocket::bind((from, 0)).expect("a port");
    sender.connect((from, bound.as_socket().expect("IP").port())).expect("loopback");
    (main.into(), aside.into(), sender)
}

#[test]
fn the_kernel_puts_rtcp_aside_and_nothing_else() {
    for (bind, from) in [("127.0.0.1:0", "127.0.0.1"), ("[::]:0", "::1"), ("[::]:0", "127.0.0.1")] {
        if bind.contains('[') && UdpSocket::bind("[::1]:0").is_err() {
            eprintln!("skipped {bind}: this system has no IPv6");
            continue;
        }
        let (main, aside, sender) = shared(bind, from);
        for (first, second) in (0..=255u8).flat_map(|first| [0, 64, 191, 192, 200, 223, 224, 255].map(|second| (first, second))) {
            for datagram in [&[first, second, 0, 7][..], &[first, second], &[first]] {
                sender.send(datagram).expect("loopback");
                let is_rtcp = datagram.len() > 1 && (128..192).contains(&first) && (192..224).contains(&second);
                let (to, other) = if is_rtcp { (&aside, &main) } else { (&main, &aside) };
                let mut got = [0; 8];
                assert_eq!(to.recv(&mut got).expect("it came"), datagram.len());
                assert_eq!(&got[..datagram.len()], datagram, "{bind} {from}");
                assert!(other.recv(&mut got).is_err(), "nothing else came");
            }
        }
    }
}
