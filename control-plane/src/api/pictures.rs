//! Pictures in bodies: the faces of users, guilds and others, as `data:` URIs.
//!
//! ```text
//! avatar: pictures::read(form, "avatar", PICTURE_BYTES)                       // Patch<Picture>, in a Shape
//! let hash = app.keep_picture("avatars", user_id, picture).await?;            // the file is durable
//! tx.replace_picture("avatars", user_id, old.as_deref(), new.as_deref())      // in the job that stores the hash
//! ```
//!
//! The type of such a body says `const BODY_BYTES: usize = PICTURE_BODY_BYTES`.

use super::error::Result;
use super::form::{Errors, Form, Patch};
use crate::app::App;
use crate::files::data_uri::{self, DataUriError};
use crate::files::{PATIENCE_MS, picture_path, pictures};
use guildhall_protocol::{ErrorCode, Snowflake};

/// Bytes of a picture.
pub const PICTURE_BYTES: usize = 10 * 1024 * 1024;
/// Of a body with one: base64 is a third longer.
pub const PICTURE_BODY_BYTES: usize = PICTURE_BYTES / 3 * 4 + super::body::BODY_BYTES;
/// Pixels of a side. Nobody shows a face larger.
const SIDE: u32 = 8192;

/// A picture that someone sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    bytes: Vec<u8>,
    kind: &'static str,
}

impl Picture {
    /// Whether it is one that could move.
    pub fn is_animated(&self) -> bool {
        self.kind == "image/gif" && pictures::is_moving(&self.bytes)
    }
}

/// Reads a field that holds one, of at most so many bytes; `null` takes it away.
pub fn read(form: &Form, key: &str, most: usize) -> Patch<Picture> {
    // Spaces in it do no harm, and its length is checked by what it holds.
    match form.secret(key, 0..=most / 3 * 4 + 100) {
        Patch::Set(uri) => match data_uri::picture(&uri, most) {
            Ok((bytes, kind)) => Patch::Set(Picture { bytes, kind }),
            Err(DataUriError::TooLarge) => {
                let message = format!("File cannot be larger than {}.0 kb.", most / 1024);
                form.refuse(key, "BINARY_TYPE_MAX_SIZE", &message);
                Patch::Absent
            }
            Err(DataUriError::Malformed | DataUriError::Unsupported) => {
                form.refuse(key, "IMAGE_INVALID", "Invalid image data");
                Patch::Absent
            }
        },
        Patch::Null => Patch::Null,
        Patch::Absent => Patch::Absent,
    }
}

impl App {
    /// Stores the picture and answers with its hash: `a_` in front if it moves. What shows it must say so within the hour.
    pub async fn keep_picture(&self, folder: &'static str, owner: impl Into<Snowflake>, picture: Picture) -> Result<String> {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| ErrorCode::Internal)?;
        let hash: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let hash = if picture.is_animated() { format!("a_{hash}") } else { hash };
        self.keep_picture_at(picture_path(folder, owner.into(), &hash), picture).await?;
        Ok(hash)
    }

    /// The same for one that is found by its path.
    pub async fn keep_picture_at(&self, path: String, picture: Picture) -> Result<()> {
        let (picture, is_sound) = self
            .files()
            .workshop()
            .run(move || {
                let is_sound = pictures::is_sound(&picture.bytes, SIDE);
                (picture, is_sound)
            })
            .await
            .map_err(|_| ErrorCode::Unavailable)?;
        if !is_sound {
            return Err(Errors::of("image", "IMAGE_INVALID", "Invalid image data").into());
        }
        self.store().reserve_file(path.clone(), PATIENCE_MS).await?;
        Ok(self.files().put_picture(&path, &picture.bytes, picture.kind).await?)
    }
}
