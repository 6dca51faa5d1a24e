//! An Ogg file of one Opus stream (RFC 7845), written from its beginning to its end without looking back: what was taken of it at
//! any moment is a file that plays.

use super::opus;
use ogg::{PacketWriteEndInfo, PacketWriter};

/// Samples that a decoder needs to get going, and that players leave out: what encoders of speech look ahead.
const PRE_SKIP: u16 = 312;

/// The vendor of the comment header.
const VENDOR: &str = "Guildhall";

pub struct OpusFile {
    writer: PacketWriter<'static, Vec<u8>>,
    serial: u32,
    /// The newest packet, until it is known whether a page or the file ends with it.
    newest: Option<Box<[u8]>>,
    /// Behind the newest packet.
    samples: u64,
}

impl OpusFile {
    /// Writes the headers. `comments` are pairs of a name and a value, such as `TITLE`.
    pub fn new(serial: u32, comments: &[(&str, String)]) -> Self {
        let mut file = Self { writer: PacketWriter::new(Vec::new()), serial, newest: None, samples: 0 };
        let mut head = b"OpusHead".to_vec();
        // Version 1, two channels (mono packets are played on both), no gain, mapping family 0.
        head.extend([1, 2]);
        head.extend(PRE_SKIP.to_le_bytes());
        head.extend(48_000u32.to_le_bytes());
        head.extend([0, 0, 0]);
        file.write(head.into(), PacketWriteEndInfo::EndPage);
        let mut tags = b"OpusTags".to_vec();
        let text = |tags: &mut Vec<u8>, text: &str| {
            tags.extend((text.len() as u32).to_le_bytes());
            tags.extend(text.as_bytes());
        };
        text(&mut tags, VENDOR);
        tags.extend((comments.len() as u32).to_le_bytes());
        comments.iter().for_each(|(name, value)| text(&mut tags, &format!("{name}={value}")));
        file.write(tags.into(), PacketWriteEndInfo::EndPage);
        file
    }

    /// Adds a packet of so many samples.
    pub fn push(&mut self, packet: Box<[u8]>, samples: u64) {
        if let Some(before) = self.newest.replace(packet) {
            self.write(before, PacketWriteEndInfo::NormalPacket);
        }
        self.samples += samples;
    }

    /// Ends the page, so that what was pushed can be taken.
    pub fn end_page(&mut self) {
        if let Some(newest) = self.newest.take() {
            self.write(newest, PacketWriteEndInfo::EndPage);
        }
    }

    /// Ends the file, and says how many samples that took.
    pub fn end(&mut self) -> u64 {
        let before = self.samples;
        if self.newest.is_none() {
            // Something has to bear the mark of the end.
            let (samples, packet) = opus::silence(opus::QUANTUM).expect("there is silence of one quantum");
            self.push(packet.into(), samples);
        }
        if let Some(newest) = self.newest.take() {
            self.write(newest, PacketWriteEndInfo::EndStream);
        }
        self.samples - before
    }

    /// What was written since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    /// Bytes that wait to be taken.
    pub fn written(&self) -> usize {
        self.writer.inner().len()
    }

    /// The packet that `samples` is behind.
    fn write(&mut self, packet: Box<[u8]>, end: PacketWriteEndInfo) {
        let written = self.writer.write_packet(packet.into_vec(), self.serial, end, self.samples);
        written.expect("memory takes what is written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ogg::PacketReader;
    use std::io::Cursor;

    /// Every packet with the time that stands behind its page.
    fn read(bytes: &[u8]) -> Vec<(Vec<u8>, u64, bool)> {
        let mut reader = PacketReader::new(Cursor::new(bytes));
        let next = || reader.read_packet().expect("a file that can be read");
        let packets = std::iter::from_fn(next);
        packets.map(|packet| (packet.data.clone(), packet.absgp_page(), packet.last_in_stream())).collect()
    }

    #[test]
    fn every_beginning_of_a_file_is_a_file() {
        let mut file = OpusFile::new(7, &[("TITLE", "Ann".to_owned())]);
        let mut all = file.take();
        let headers = read(&all);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers[0].0, b"OpusHead\x01\x02\x38\x01\x80\xBB\0\0\0\0\0");
        assert_eq!(headers[1].0, b"OpusTags\x09\0\0\0Guildhall\x01\0\0\0\x09\0\0\0TITLE=Ann");
        for round in 1..=3u64 {
            for packet in 0..60u8 {
                file.push([0xF8, packet].into(), 960);
            }
            file.end_page();
            all.extend(file.take());
            let packets = read(&all);
            assert_eq!((packets.len() as u64, packets.last().unwrap().1), (2 + 60 * round, 60 * 960 * round));
        }
        assert_eq!(file.end(), 120);
        all.extend(file.take());
        let packets = read(&all);
        assert_eq!((packets.len(), packets.last().unwrap().1), (183, 180 * 960 + 120));
        assert_eq!(packets.iter().map(|packet| packet.2).collect::<Vec<_>>(), [vec![false; 182], vec![true]].concat());
    }

    #[test]
    fn a_page_that_is_full_bears_the_time_of_its_last_packet() {
        let mut file = OpusFile::new(7, &[]);
        for _ in 0..300 {
            file.push(vec![0xF8; 100].into(), 960);
        }
        assert_eq!(file.end(), 0);
        let times: Vec<u64> = read(&file.take()).into_iter().map(|packet| packet.1).collect();
        assert_eq!((times[2], times[301]), (255 * 960, 300 * 960));
    }
}
