//! What program someone logs in with, by the family that its User-Agent names.

use super::routes::Describe;
use crate::store::Device;
use axum::extract::FromRequestParts;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use std::convert::Infallible;

/// In the order of looking: each browser also names those that it wants to be taken for, and those come later here.
const PLATFORMS: &[(&str, &str)] = &[
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Electron/", "Electron"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
];
const SYSTEMS: &[(&str, &str)] = &[
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

fn device_of(user_agent: &str) -> Device {
    let find =
        |known: &[(&str, &str)]| known.iter().find(|(part, _)| user_agent.contains(part)).map(|(_, name)| (*name).to_owned());
    Device { os: find(SYSTEMS), platform: find(PLATFORMS) }
}

/// The header is a hint: without it, or with one that says nothing known, the log-in is listed without.
pub struct From(pub Device);

impl Describe for From {}

impl<S: Send + Sync> FromRequestParts<S> for From {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let user_agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(Self(user_agent.map(device_of).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn families_are_told_apart_although_all_pretend_to_be_others() {
        let windows =
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
        let edge = format!("{windows} Edg/140.0.0.0");
        for (user_agent, os, platform) in [
            (windows, Some("Windows"), Some("Chrome")),
            (&edge, Some("Windows"), Some("Edge")),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Some("Linux"), Some("Firefox")),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1",
                Some("iOS"),
                Some("Safari"),
            ),
            ("curl/8.5.0", None, Some("curl")),
            ("something else", None, None),
        ] {
            let device = super::device_of(user_agent);
            assert_eq!((device.os.as_deref(), device.platform.as_deref()), (os, platform), "{user_agent}");
        }
    }
}
