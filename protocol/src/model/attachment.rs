//! Files that a message carries.

use crate::AttachmentId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An attachment as messages list it. What was not told or could not be found out is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Attachment {
    pub id: AttachmentId,
    pub filename: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Text for those who do not see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// By its content, not by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Bytes.
    pub size: u64,
    pub url: String,
    /// The same, and with `width` and `height` in its query a smaller picture.
    pub proxy_url: String,
    /// Pixels, of pictures, as they are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Voice messages: how long it is …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_secs: Option<f64>,
    /// … and how loud: base64 of at most 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waveform: Option<String>,
    pub flags: u32,
}
