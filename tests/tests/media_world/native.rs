//! A native client (a bot): IP discovery, one key for both directions, RTP with payload type 120.

use guildhall_sfu::NativeSuite;
use guildhall_sfu::cipher::{Inbound, Outbound};
use guildhall_sfu::rtp::{Header, NATIVE_OPUS, Outgoing};

pub struct NativeClient {
    pub ssrc: u32,
    keys: Option<(Inbound, Outbound)>,
    /// Bots begin anywhere; near the end, so that the sequence number wraps while they speak.
    sequence: u64,
    pub discovered: Option<std::net::SocketAddr>,
    /// What came: a network that doubles a datagram is not a server that says something twice, which has another nonce.
    arrived: std::collections::HashSet<Vec<u8>>,
}

impl NativeClient {
    pub fn new(ssrc: u32) -> NativeClient {
        NativeClient { ssrc, keys: None, sequence: 0xFFF0, discovered: None, arrived: Default::default() }
    }

    pub fn discovery(&self) -> Vec<u8> {
        let mut request = vec![0; 74];
        request[..4].copy_from_slice(&[0, 1, 0, 70]);
        request[4..8].copy_from_slice(&self.ssrc.to_be_bytes());
        request
    }

    /// The client's own count of nonces begins at zero, as that of discord.py.
    pub fn use_key(&mut self, suite: NativeSuite, key: &[u8; 32]) {
        let mut outbound = Outbound::native(suite, key);
        // Our type counts from 2^31 above what it observes: that is zero for 2^31.
        outbound.observe(1 << 31);
        self.keys = Some((Inbound::native(suite, key), outbound));
    }

    pub fn is_ready(&self) -> bool {
        self.keys.is_some()
    }

    pub fn seal(&mut self, payload: &[u8]) -> Vec<u8> {
        let (_, outbound) = self.keys.as_mut().expect("the client has its key");
        let outgoing = Outgoing {
            marker: false,
            payload_type: NATIVE_OPUS,
            sequence: self.sequence as u16,
            timestamp: (self.sequence * 960) as u32,
            ssrc: self.ssrc,
            audio_level: None,
            transport: None,
        };
        let mut datagram = vec![0; 1500];
        let header_len = outgoing.write(&mut datagram);
        let len = outbound.seal(&mut datagram, header_len, self.sequence, payload);
        self.sequence += 1;
        datagram.truncate(len);
        datagram
    }

    /// The SSRC and payload of a datagram of audio; anything else is an answer to discovery or a keep-alive.
    pub fn open(&mut self, mut datagram: Vec<u8>) -> Option<(u32, Vec<u8>)> {
        if datagram.len() == 74 && datagram[..4] == [0, 2, 0, 70] {
            let text: Vec<u8> = datagram[8..72].iter().copied().take_while(|&byte| byte != 0).collect();
            let ip = std::str::from_utf8(&text).expect("discovery answers with text").parse().expect("and an address");
            self.discovered = Some(std::net::SocketAddr::new(ip, u16::from_be_bytes([datagram[72], datagram[73]])));
            return None;
        }
        // The answer to a keep-alive, or to someone who forged one.
        if datagram.len() == 8 {
            return None;
        }
        if !self.arrived.insert(datagram.clone()) {
            return None;
        }
        let header = Header::parse(&datagram).expect("the server sends RTP to native clients");
        assert_eq!((header.payload_type, header.extension), (NATIVE_OPUS, None));
        let (inbound, _) = self.keys.as_ref().expect("nobody sends audio before the key");
        let opened = inbound.open(&mut datagram, &header, 0).expect("what the server sealed opens");
        Some((header.ssrc, datagram[opened.payload].to_vec()))
    }
}
