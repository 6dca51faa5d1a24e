//! The certificate: a given one, or one that the server makes for itself below its own small authority.
//!
//! Every library speaks `wss://` to the voice gateway, so there is always a certificate. Users who have no real one trust
//! `tls/ca.pem` once; the certificate below it is made anew when the names change or its end is near. A certificate that was
//! renewed is shown to whoever connects from then on: nobody has to restart anything.

use crate::config::TlsFiles;
use crate::data::{write_private, write_public};
use crate::watched::watched;
use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The authority is installed by hand in trust stores: longer than anyone keeps a machine.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Browsers and Apple's systems refuse certificates that live longer than 398 days.
const LEAF_LIFETIME: Duration = Duration::from_secs(397 * 24 * 60 * 60);

/// With less than this left a new certificate is made.
const LEAF_RENEWAL: Duration = Duration::from_secs(200 * 24 * 60 * 60);

/// How often a running server looks whether it must renew its own certificate.
const LOOK: Duration = DAY;

/// Clocks differ; a certificate from the future is refused.
const BACKDATING: Duration = DAY;

/// What to show to clients: the given certificate as its files are at the time, or the server's own, made below `dir`.
pub fn current(
    given: Option<&TlsFiles>,
    dir: &Path,
    hosts: &BTreeSet<String>,
) -> anyhow::Result<watch::Receiver<Arc<CertifiedKey>>> {
    if let Some(files) = given {
        let files = files.clone();
        return watched(vec![files.certificate.clone(), files.key.clone()], move || self::given(&files));
    }
    let make = {
        let (dir, hosts) = (dir.to_owned(), hosts.clone());
        move || own(&dir, &hosts, SystemTime::now())
    };
    let shown = watched(vec![dir.join("leaf.pem"), dir.join("leaf.key")], make.clone())?;
    let ended = shown.clone();
    tokio::spawn(async move {
        let mut clock = tokio::time::interval(LOOK);
        while ended.has_changed().is_ok() {
            clock.tick().await;
            // What is written is seen by whoever watches the files.
            if let Err(error) = make() {
                tracing::error!(error = format!("{error:#}"), "the certificate cannot be renewed");
            }
        }
    });
    Ok(shown)
}

/// For a server that shows the newest of these certificates in each handshake.
pub fn config(shown: watch::Receiver<Arc<CertifiedKey>>) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(Newest(shown)));
    // WebSockets are opened over HTTP/1.1, and one protocol on the port is enough.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Newest(watch::Receiver<Arc<CertifiedKey>>);

impl ResolvesServerCert for Newest {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.borrow()))
    }
}

/// A certificate chain and key from PEM files.
pub fn given(files: &TlsFiles) -> anyhow::Result<CertifiedKey> {
    load(&files.certificate, &files.key)
}

/// The server's own certificate for these names and addresses, made or renewed in `dir` as needed.
pub fn own(dir: &Path, hosts: &BTreeSet<String>, now: SystemTime) -> anyhow::Result<CertifiedKey> {
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be created", dir.display()))?;
    let authority = authority(dir, now)?;
    let (certificate, key) = (dir.join("leaf.pem"), dir.join("leaf.key"));
    if !is_current(dir, hosts, now) {
        let leaf_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(hosts.iter().cloned().collect::<Vec<_>>())
            .with_context(|| format!("No certificate can be made for the names {hosts:?}"))?;
        params.distinguished_name.push(DnType::CommonName, "Guildhall");
        params.not_before = (now - BACKDATING).into();
        params.not_after = (now + LEAF_LIFETIME).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&leaf_key, &authority)?;
        write_private(&key, leaf_key.serialize_pem().as_bytes())?;
        write_public(&certificate, leaf.pem().as_bytes())?;
        // Last, so that a start that was cut short makes it all again.
        write_public(&leaf_note(dir), note(hosts, now + LEAF_LIFETIME).as_bytes())?;
        tracing::info!(authority = %authority_path(dir).display(), ?hosts, "made a certificate");
    }
    load(&certificate, &key)
}

/// What clients must trust.
pub fn authority_path(dir: &Path) -> PathBuf {
    dir.join("ca.pem")
}

fn authority(dir: &Path, now: SystemTime) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let (certificate, key_path) = (authority_path(dir), dir.join("ca.key"));
    let (key, is_new) = match fs::read_to_string(&key_path) {
        Ok(pem) => {
            let key = KeyPair::from_pem(&pem);
            (key.with_context(|| format!("{} is damaged. Remove it, and a new authority is made", key_path.display()))?, false)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => (KeyPair::generate()?, true),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", key_path.display())),
    };
    // Everything that a certificate below it depends on follows from the key, so the authority's own is never parsed.
    let mut params = CertificateParams::default();
    let id: String = params.key_identifier(&key).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name.push(DnType::CommonName, format!("Guildhall authority {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - BACKDATING).into();
    params.not_after = (now + AUTHORITY_LIFETIME).into();
    if is_new || !certificate.exists() {
        let own = params.self_signed(&key)?;
        write_private(&key_path, key.serialize_pem().as_bytes())?;
        write_public(&certificate, own.pem().as_bytes())?;
        // Whatever was below an earlier authority is not below this one.
        let _ = fs::remove_file(leaf_note(dir));
    }
    Ok(Issuer::new(params, key))
}

fn leaf_note(dir: &Path) -> PathBuf {
    dir.join("leaf.txt")
}

/// Names and end of the certificate beside it, in a form that needs no parser: the end in Unix seconds, then the names.
fn note(hosts: &BTreeSet<String>, ends: SystemTime) -> String {
    let ends = ends.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    hosts.iter().fold(ends.to_string(), |note, host| format!("{note}\n{host}"))
}

fn is_current(dir: &Path, hosts: &BTreeSet<String>, now: SystemTime) -> bool {
    let Ok(found) = fs::read_to_string(leaf_note(dir)) else { return false };
    let Some(ends) = found.lines().next().and_then(|line| line.parse().ok()).map(Duration::from_secs) else { return false };
    let ends = UNIX_EPOCH + ends;
    found == note(hosts, ends) && ends > now + LEAF_RENEWAL && dir.join("leaf.key").exists() && dir.join("leaf.pem").exists()
}

fn load(certificate: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("The certificate {} cannot be read", certificate.display()))?;
    let private =
        PrivateKeyDer::from_pem_file(key).with_context(|| format!("The private key {} cannot be read", key.display()))?;
    CertifiedKey::from_der(chain, private, &rustls::crypto::aws_lc_rs::default_provider())
        .with_context(|| format!("The certificate {} and the key {} do not fit", certificate.display(), key.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};
    use std::os::unix::fs::PermissionsExt;

    fn hosts(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// What a client that trusts `ca.pem` says to `leaf.pem` under a name and at a time.
    fn is_trusted(dir: &Path, name: &str, at: SystemTime) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority_path(dir)).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let leaf = CertificateDer::from_pem_file(dir.join("leaf.pem")).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).unwrap());
        verifier.verify_server_cert(&leaf, &[], &name, &[], at).is_ok()
    }

    #[test]
    fn clients_that_trust_the_authority_trust_the_certificate_for_its_names_only() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        own(dir.path(), &hosts(&["localhost", "127.0.0.1", "::1", "chat.example"]), now).unwrap();
        for name in ["localhost", "127.0.0.1", "::1", "chat.example"] {
            assert!(is_trusted(dir.path(), name, now), "{name}");
        }
        assert!(!is_trusted(dir.path(), "other.example", now));
        assert!(!is_trusted(dir.path(), "localhost", now + LEAF_LIFETIME + DAY));
        for key in ["ca.key", "leaf.key"] {
            assert_eq!(fs::metadata(dir.path().join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
        }
    }

    #[test]
    fn the_certificate_is_kept_until_names_or_time_ask_for_a_new_one_and_the_authority_stays() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let pem = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        own(dir.path(), &hosts(&["localhost"]), now).unwrap();
        let (authority, first) = (pem("ca.pem"), pem("leaf.pem"));
        own(dir.path(), &hosts(&["localhost"]), now + DAY).unwrap();
        assert_eq!(pem("leaf.pem"), first, "an accepted certificate stays accepted");
        own(dir.path(), &hosts(&["localhost", "chat.example"]), now).unwrap();
        let second = pem("leaf.pem");
        assert_ne!(second, first);
        let late = now + LEAF_LIFETIME - LEAF_RENEWAL;
        own(dir.path(), &hosts(&["localhost", "chat.example"]), late).unwrap();
        assert_ne!(pem("leaf.pem"), second);
        assert!(is_trusted(dir.path(), "chat.example", late + LEAF_RENEWAL + DAY));
        assert_eq!(pem("ca.pem"), authority);
    }

    #[test]
    fn a_lost_authority_is_replaced_with_what_is_below_it() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        own(dir.path(), &hosts(&["localhost"]), now).unwrap();
        fs::remove_file(dir.path().join("ca.key")).unwrap();
        own(dir.path(), &hosts(&["localhost"]), now).unwrap();
        assert!(is_trusted(dir.path(), "localhost", now));
    }

    #[test]
    fn given_files_that_do_not_serve_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        own(dir.path(), &hosts(&["localhost"]), now).unwrap();
        let path = |name: &str| dir.path().join(name);
        let refusal = |certificate: &str, key: &str| {
            given(&TlsFiles { certificate: path(certificate), key: path(key) }).err().map(|error| error.to_string())
        };
        assert_eq!(refusal("leaf.pem", "leaf.key"), None);
        assert!(refusal("none.pem", "leaf.key").unwrap().contains("none.pem cannot be read"));
        assert!(refusal("leaf.pem", "leaf.txt").unwrap().contains("leaf.txt cannot be read"));
        assert!(refusal("leaf.pem", "ca.key").unwrap().contains("do not fit"));
    }
}
