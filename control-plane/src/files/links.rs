//! Where clients find a file.
//!
//! Ids are no secret and can be guessed from when something was sent; so the link to an attachment carries a signature of
//! its place, and nothing is sent without it. It does not expire: whoever was given a link may use it until the attachment is
//! deleted, as browsers' and proxies' caches would allow anyway.

use super::Files;
use crate::gateway::Origin;
use aws_lc_rs::hmac;
use guildhall_protocol::model::{Attachment, Message};
use guildhall_protocol::{AttachmentId, ChannelId};
use serde_json::Value;

/// Bytes of a signature in a link: guessing one is out of reach.
const SIGNATURE_BYTES: usize = 16;
/// Characters of a file's name.
const NAME_CHARACTERS: usize = 200;
/// Where embeds may name a file.
const EMBED_URLS: [&str; 5] = ["/image/url", "/thumbnail/url", "/video/url", "/footer/icon_url", "/author/icon_url"];

/// Makes links that begin as this client, or everyone, reaches this server.
#[derive(Clone)]
pub struct Links {
    pub(super) files: Files,
    pub(super) base: String,
}

impl Files {
    /// Links as a client is given them that reached this server so.
    pub fn links(&self, origin: &Origin) -> Links {
        let base = self.0.config.cdn_url.clone().unwrap_or_else(|| {
            let host = self.0.public_host.as_deref().unwrap_or(&origin.host);
            format!("{}://{host}/cdn", if origin.is_tls { "https" } else { "http" })
        });
        Links { files: self.clone(), base }
    }

    fn sign(&self, channel: ChannelId, id: AttachmentId) -> [u8; SIGNATURE_BYTES] {
        let tag = hmac::sign(&self.0.signing_key, format!("attachments/{channel}/{id}").as_bytes());
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(&tag.as_ref()[..SIGNATURE_BYTES]);
        signature
    }

    /// Whether the link's `hm` belongs to the attachment.
    pub fn is_signed(&self, channel: ChannelId, id: AttachmentId, signature: &str) -> bool {
        let expected = hex(&self.sign(channel, id));
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), signature.as_bytes()).is_ok()
    }
}

impl Links {
    /// The link to an attachment. It ends with `&`, so that clients may append to its query.
    pub fn attachment(&self, channel: ChannelId, id: AttachmentId, filename: &str) -> String {
        let signature = hex(&self.files.sign(channel, id));
        format!("{}/attachments/{channel}/{id}/{}?hm={signature}&", self.base, percent_encoded(filename))
    }

    /// Lets the links of stored messages begin as this client reaches this server; their senders may have come another way.
    pub fn renew(&self, messages: &mut [Message]) {
        for message in messages {
            let channel = message.channel_id;
            for attachment in &mut message.attachments {
                self.renew_attachment(channel, attachment);
            }
            self.renew_embeds(&mut message.embeds);
            for snapshot in &mut message.message_snapshots {
                for attachment in &mut snapshot.message.attachments {
                    self.renew_attachment(channel, attachment);
                }
                self.renew_embeds(&mut snapshot.message.embeds);
            }
            if let Some(Some(original)) = &mut message.referenced_message {
                self.renew(std::slice::from_mut(original));
            }
        }
    }

    fn renew_embeds(&self, embeds: &mut [Value]) {
        for embed in embeds {
            for place in EMBED_URLS.iter().copied().chain(["/image/proxy_url", "/thumbnail/proxy_url"]) {
                if let Some(Value::String(link)) = embed.pointer_mut(place)
                    && let Some(path) = self.own_path(link)
                {
                    *link = format!("{}{path}", self.base);
                }
            }
        }
    }

    fn renew_attachment(&self, channel: ChannelId, attachment: &mut Attachment) {
        attachment.url = self.attachment(channel, attachment.id, &attachment.filename);
        attachment.proxy_url.clone_from(&attachment.url);
    }

    /// The path of a link to an attachment here.
    fn own_path<'a>(&self, link: &'a str) -> Option<&'a str> {
        let at = link.find("/attachments/")?;
        let mut parts = link[at..].split('/').skip(2);
        let (channel, id, rest) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        let (_, query) = rest.split_once("?hm=")?;
        let signature = query.split('&').next()?;
        self.files.is_signed(channel, id, signature).then_some(&link[at..])
    }
}

/// Lets embeds that name `attachment://…` show the attachment of that name, which then is not shown beside them.
pub fn place_in_embeds(embeds: &mut [Value], attachments: &mut Vec<Attachment>) {
    let mut placed = Vec::new();
    for embed in embeds {
        for place in EMBED_URLS {
            let Some(Value::String(link)) = embed.pointer_mut(place) else { continue };
            let Some(name) = link.strip_prefix("attachment://") else { continue };
            let name = clean_name(name);
            let Some(attachment) = attachments.iter().find(|attachment| attachment.filename == name) else { continue };
            link.clone_from(&attachment.url);
            placed.push(attachment.id);
            let (holder, field) = place.rsplit_once('/').expect("every place has two parts");
            if let Some(Value::Object(holder)) = embed.pointer_mut(holder) {
                holder.insert(format!("proxy_{field}"), attachment.proxy_url.clone().into());
                for (field, pixels) in [("width", attachment.width), ("height", attachment.height)] {
                    if let (Some(pixels), "/image" | "/thumbnail" | "/video") = (pixels, place.trim_end_matches("/url")) {
                        holder.insert(field.to_owned(), pixels.into());
                    }
                }
            }
        }
    }
    attachments.retain(|attachment| !placed.contains(&attachment.id));
}

/// A file's name as messages show it: no folder, nothing that a shell or a URL would stumble over.
pub fn clean_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept = name.chars().filter_map(|character| match character {
        ' ' => Some('_'),
        '.' | '-' | '_' => Some(character),
        character if character.is_alphanumeric() => Some(character),
        _ => None,
    });
    let kept: Vec<char> = kept.skip_while(|character| *character == '.').collect();
    // The end, where the extension is, is worth more than the middle.
    let (start, end) = match kept.len().checked_sub(NAME_CHARACTERS) {
        None | Some(0) => (kept.as_slice(), &[][..]),
        Some(excess) => {
            let half = NAME_CHARACTERS / 2;
            (&kept[..half], &kept[half + excess..])
        }
    };
    let name: String = start.iter().chain(end).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path segment (RFC 3986 §2.3: what is not unreserved is escaped).
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_cleaned_and_keep_their_extension() {
        for (given, cleaned) in [
            ("cat.png", "cat.png"),
            ("my cat (1).png", "my_cat_1.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\cats\\ä.PNG", "ä.PNG"),
            (".bashrc", "bashrc"),
            ("\r\nSet-Cookie: a", "Set-Cookie_a"),
            ("\"<>?", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(clean_name(given), cleaned, "{given:?}");
        }
        let long = clean_name(&format!("{}.png", "ä".repeat(999)));
        assert_eq!(long.chars().count(), NAME_CHARACTERS);
        assert!(long.ends_with("ä.png"));
    }

    #[test]
    fn an_embed_shows_the_attachment_that_it_names_and_the_message_does_not() {
        let attachment = |id: u64, filename: &str| Attachment {
            id: AttachmentId::new(id),
            filename: filename.to_owned(),
            url: format!("https://x/{id}"),
            proxy_url: format!("https://y/{id}"),
            width: Some(3),
            height: Some(4),
            ..Attachment::default()
        };
        let mut attachments = vec![attachment(1, "a_b.png"), attachment(2, "b.txt"), attachment(3, "icon.png")];
        let mut embeds = vec![
            json!({ "image": { "url": "attachment://a b.png" }, "footer": { "text": "x", "icon_url": "attachment://icon.png" } }),
            json!({ "thumbnail": { "url": "attachment://other.png" }, "author": { "icon_url": "https://z/" } }),
        ];
        place_in_embeds(&mut embeds, &mut attachments);
        let expected = json!([
            {
                "image": { "url": "https://x/1", "proxy_url": "https://y/1", "width": 3, "height": 4 },
                "footer": { "text": "x", "icon_url": "https://x/3", "proxy_icon_url": "https://y/3" },
            },
            { "thumbnail": { "url": "attachment://other.png" }, "author": { "icon_url": "https://z/" } },
        ]);
        assert_eq!(json!(embeds), expected);
        assert_eq!(attachments.iter().map(|attachment| attachment.id.get()).collect::<Vec<_>>(), [2]);
    }
}
