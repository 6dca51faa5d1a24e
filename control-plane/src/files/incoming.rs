//! One file on its way into the store: looked at, stripped of what its taker may not know is in it, and written in pieces.

use super::sniff::{SNIFFED, content_type};
use super::strip::Stripper;
use super::{Files, attachment_key};
use bytes::Bytes;
use guildhall_protocol::{AttachmentId, ChannelId};
use object_store::ObjectStoreExt;
use object_store::buffered::BufWriter;
use object_store::path::Path as Key;
use std::io::Cursor;
use tokio::io::AsyncWriteExt;

/// So much of a picture is kept to read its size in pixels from: colour profiles come first, and may be large.
const HEAD_BYTES: usize = 128 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    #[error("the file is too large")]
    TooLarge,
    #[error("the file cannot be stored")]
    Store(#[from] object_store::Error),
    #[error("the file cannot be stored")]
    Write(#[from] std::io::Error),
}

/// A file that is durable in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub content_type: &'static str,
    /// As stored.
    pub size: u64,
    /// Pixels, as shown.
    pub dimensions: Option<(u32, u32)>,
}

pub struct Incoming {
    writer: BufWriter,
    /// The first bytes, until they say what it is.
    start: Vec<u8>,
    known: Option<(Stripper, &'static str)>,
    /// The beginning of what was written, of pictures.
    head: Vec<u8>,
    written: u64,
    taken: u64,
    limit: u64,
    files: Files,
}

impl Files {
    /// Begins to write an attachment. [`crate::store::Store::reserve_attachment`] comes before.
    pub fn receive(&self, channel: ChannelId, id: AttachmentId) -> Incoming {
        self.receive_at(attachment_key(channel, id), self.max_file())
    }

    /// Writes a picture that was sent in one piece. [`crate::store::Store::reserve_file`] comes before.
    pub async fn put_picture(&self, path: &str, picture: &[u8], kind: &str) -> Result<(), IncomingError> {
        let (mut stripper, mut out) = (Stripper::new(kind), Vec::with_capacity(picture.len()));
        stripper.push(picture, &mut out);
        stripper.finish(&mut out);
        self.store().put(&Key::from(path), Bytes::from(out).into()).await?;
        Ok(())
    }

    fn receive_at(&self, key: Key, limit: u64) -> Incoming {
        Incoming {
            writer: BufWriter::with_capacity(self.store().clone(), key, self.0.piece),
            start: Vec::new(),
            known: None,
            head: Vec::new(),
            written: 0,
            taken: 0,
            limit,
            files: self.clone(),
        }
    }
}

impl Incoming {
    /// Takes more of the file. After an error there is nothing left to do but [`Incoming::abort`].
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), IncomingError> {
        self.taken += bytes.len() as u64;
        self.files.count_received(bytes.len() as u64);
        if self.taken > self.limit {
            return Err(IncomingError::TooLarge);
        }
        if self.known.is_some() {
            return self.strip(bytes).await;
        }
        self.start.extend_from_slice(bytes);
        if self.start.len() >= SNIFFED { self.decide().await } else { Ok(()) }
    }

    async fn decide(&mut self) -> Result<(), IncomingError> {
        let start = std::mem::take(&mut self.start);
        let kind = content_type(&start);
        self.known = Some((Stripper::new(kind), kind));
        self.strip(&start).await
    }

    async fn strip(&mut self, bytes: &[u8]) -> Result<(), IncomingError> {
        let Some((stripper, _)) = &mut self.known else { return Ok(()) };
        let mut out = Vec::with_capacity(bytes.len());
        stripper.push(bytes, &mut out);
        self.write(out).await
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), IncomingError> {
        let is_picture = self.known.as_ref().is_some_and(|(_, kind)| kind.starts_with("image/"));
        if is_picture && self.head.len() < HEAD_BYTES {
            let room = HEAD_BYTES - self.head.len();
            self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        self.written += bytes.len() as u64;
        if !bytes.is_empty() {
            self.writer.put(Bytes::from(bytes)).await?;
        }
        Ok(())
    }

    /// Writes the rest. The file is durable when this returns.
    pub async fn finish(mut self) -> Result<Received, IncomingError> {
        if self.known.is_none() {
            self.decide().await?;
        }
        let (stripper, kind) = self.known.take().expect("it was decided just now");
        let mut out = Vec::new();
        let orientation = stripper.finish(&mut out);
        self.known = Some((Stripper::new(kind), kind));
        self.write(out).await?;
        self.writer.shutdown().await?;
        let dimensions = dimensions(&self.head).map(|(width, height)| match Stripper::is_on_its_side(orientation) {
            true => (height, width),
            false => (width, height),
        });
        Ok(Received { content_type: kind, size: self.written, dimensions })
    }

    /// Gives up. What is left behind is found by the janitor.
    pub async fn abort(mut self) {
        if let Err(error) = self.writer.abort().await {
            tracing::debug!(%error, "an upload was not taken back cleanly");
        }
    }
}

/// The size that a picture's head tells; nothing is decoded.
pub fn dimensions(head: &[u8]) -> Option<(u32, u32)> {
    image::ImageReader::new(Cursor::new(head)).with_guessed_format().ok()?.into_dimensions().ok()
}
