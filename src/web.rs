//! The web client, built into the binary. Unknown paths of a page are the page: it routes by itself.

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Assets;

/// The page talks to its own origin only, but files may lie at an address of their own, and a WebSocket to the voice endpoint
/// may have another host or port. No inline script, no foreign script, no framing.
fn content_security_policy(files: Option<&str>) -> HeaderValue {
    let files = files.map(|origin| format!(" {origin}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:{files}; font-src 'self'; \
         media-src 'self' blob:{files}; worker-src 'self' blob:; manifest-src 'self'; connect-src 'self' https: ws: wss:; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    );
    HeaderValue::from_str(&policy).expect("an origin is made of characters that a header may have")
}

/// Scheme and authority of an address, as a policy names it. An authority of other characters than those of names, numbers and
/// ports would end the list that it stands in.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.authority()?.as_str();
    let is_plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    is_plain.then(|| format!("{}://{host}", uri.scheme_str().unwrap_or("https")))
}

const PERMISSIONS_POLICY: (HeaderName, HeaderValue) = (
    HeaderName::from_static("permissions-policy"),
    HeaderValue::from_static("microphone=(self), camera=(self), display-capture=(self)"),
);

/// Files whose name has a hash of their content never change.
const HASHED: &str = "assets/";

/// Answers everything that no other route takes.
#[derive(Clone)]
pub struct Page {
    policy: HeaderValue,
}

impl Page {
    /// `cdn_url`: where links to files lead, if not to `/cdn` here.
    pub fn new(cdn_url: Option<&str>) -> Self {
        Self { policy: content_security_policy(cdn_url.and_then(origin).as_deref()) }
    }

    pub fn show(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
        if method != Method::GET && method != Method::HEAD {
            return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
        }
        let path = uri.path().trim_start_matches('/');
        if let Some(file) = Assets::get(path) {
            return self.answer(path, file, headers);
        }
        // A path whose last part has an extension means a file, which is not there; anything else is a place in the page.
        let is_place = path.rsplit('/').next().is_none_or(|name| !name.contains('.'));
        match Assets::get("index.html").filter(|_| is_place) {
            Some(index) => self.answer("index.html", index, headers),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }

    fn answer(&self, path: &str, file: EmbeddedFile, request: &HeaderMap) -> Response {
        let hash: String = file.metadata.sha256_hash()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        let etag = format!("\"{hash}\"");
        let cache = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
        let known = request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let is_known = known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag));
        let (status, body) = match is_known {
            true => (StatusCode::NOT_MODIFIED, Body::empty()),
            false => (StatusCode::OK, Body::from(file.data)),
        };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_str(file.metadata.mimetype()).expect("type names are ASCII")),
            (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
            (header::ETAG, HeaderValue::from_str(&etag).expect("hexadecimal digits are ASCII")),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            PERMISSIONS_POLICY,
        ];
        (status, headers, body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, etag: Option<&str>) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag {
            headers.insert(header::IF_NONE_MATCH, etag.parse().unwrap());
        }
        page(None).show(&Method::GET, &path.parse().unwrap(), &headers)
    }

    fn page(cdn_url: Option<&str>) -> Page {
        Page::new(cdn_url)
    }

    #[test]
    fn files_may_lie_at_an_address_of_their_own() {
        let policy = |cdn_url| {
            let shown = page(cdn_url).show(&Method::GET, &"/".parse().unwrap(), &HeaderMap::new());
            text(&shown, header::CONTENT_SECURITY_POLICY).to_owned()
        };
        let with = policy(Some("https://files.example:8443/some/where"));
        assert!(with.contains("img-src 'self' data: blob: https://files.example:8443;"), "{with}");
        assert!(with.contains("media-src 'self' blob: https://files.example:8443;"), "{with}");
        assert!(policy(None).contains("img-src 'self' data: blob:; "));
        // What could add to the policy is left out of it.
        assert_eq!(policy(Some("https://a;script-src/")), policy(None));
        assert_eq!(policy(Some("https://user@files.example/")), policy(None));
    }

    fn text(response: &Response, name: HeaderName) -> &str {
        response.headers()[name].to_str().unwrap()
    }

    #[test]
    fn every_place_of_the_page_is_the_page_and_missing_files_are_missing() {
        for path in ["/", "/index.html", "/channels/1/2", "/invite/abc"] {
            let response = get(path, None);
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(text(&response, header::CONTENT_TYPE), "text/html");
            assert_eq!(text(&response, header::CACHE_CONTROL), "no-cache");
            assert!(text(&response, header::CONTENT_SECURITY_POLICY).contains("connect-src 'self' https: ws: wss:"));
        }
        assert_eq!(get("/assets/gone.js", None).status(), StatusCode::NOT_FOUND);
        let posted = page(None).show(&Method::POST, &"/".parse().unwrap(), &HeaderMap::new());
        assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn hashed_files_are_kept_for_ever_and_known_ones_are_not_sent_again() {
        let script =
            Assets::iter().find(|path| path.starts_with(HASHED) && path.ends_with(".js")).expect("the page has a script");
        let first = get(&format!("/{script}"), None);
        assert!(text(&first, header::CACHE_CONTROL).contains("immutable"));
        assert_eq!(text(&first, header::CONTENT_TYPE), "text/javascript");
        let etag = text(&first, header::ETAG).to_owned();
        let again = get(&format!("/{script}"), Some(&format!("\"x\", W/{etag}")));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(axum::body::to_bytes(again.into_body(), 1).await.unwrap().is_empty());
    }
}
