//! The certificate: whether it is one, fits its key, holds now and for some weeks, and has the names that clients use.

use super::Findings;
use crate::config::Config;
use crate::serve::names;
use crate::tls;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whoever renews certificates does so about a month before their end; two weeks before it, that has failed.
const NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

pub fn examine(config: &Config, findings: &mut Findings) {
    let now = SystemTime::now();
    let Some(files) = &config.tls else { return examine_own(config, now, findings) };
    if let Err(error) = tls::given(files) {
        let advice = "Give the PEM files of one certificate, with its chain, and of its key, readable for the server's user.";
        return findings.fail("certificate", format!("{error:#}."), advice);
    }
    let wanted: Vec<String> = config.public_host.iter().filter_map(|host| host_of(host)).collect();
    judge(&files.certificate, None, &wanted, now, findings);
}

/// The server makes and renews its own at each start.
fn examine_own(config: &Config, now: SystemTime, findings: &mut Findings) {
    let folder = config.data.join("tls");
    let leaf = folder.join("leaf.pem");
    if !leaf.exists() {
        return findings.good("certificate", "The first start makes one; clients must be told to trust its tls/ca.pem.");
    }
    let names: Vec<String> = names(config).into_iter().collect();
    judge(&leaf, Some(&tls::authority_path(&folder)), &names, now, findings);
}

fn host_of(host: &str) -> Option<String> {
    let authority = host.parse::<axum::http::uri::Authority>().ok()?;
    Some(authority.host().trim_matches(['[', ']']).to_ascii_lowercase())
}

/// `authority`: who signed it, if that is known; otherwise the last certificate of the file stands for it.
fn judge(file: &Path, authority: Option<&Path>, names: &[String], now: SystemTime, findings: &mut Findings) {
    let is_own = authority.is_some();
    let renew = match is_own {
        true => "Restart the server: it makes a new one.",
        false => "Renew it: a running server takes up the new files by itself.",
    };
    let chain = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let Some((leaf, above)) = chain.as_deref().ok().and_then(<[_]>::split_first) else {
        return findings.fail("certificate", format!("{} cannot be read.", file.display()), renew);
    };
    let anchor =
        authority.and_then(|path| CertificateDer::from_pem_file(path).ok()).unwrap_or(above.last().unwrap_or(leaf).clone());
    let Ok(parsed) = ParsedCertificate::try_from(leaf) else {
        return findings.fail("certificate", format!("{} is no certificate.", file.display()), renew);
    };
    let absent: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| ServerName::try_from(*name).is_ok_and(|name| verify_server_name(&parsed, &name).is_err()))
        .collect();
    let holds = |at: SystemTime| verify(&parsed, above, &anchor, at);
    match holds(now) {
        Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            findings.fail("certificate", format!("{} has expired.", file.display()), renew);
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })) => {
            let advice = "Set the clock, or wait.";
            findings.fail("certificate", format!("{} is not valid yet.", file.display()), advice);
        }
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) if above.is_empty() && !is_own => findings.warn(
            "certificate",
            format!("{} has no chain: clients that do not know who signed it refuse it.", file.display()),
            "Give the full chain (fullchain.pem), the server's own certificate first.",
        ),
        Err(error) => findings.fail("certificate", format!("{} does not hold: {error}.", file.display()), renew),
        Ok(()) if !absent.is_empty() => findings.warn(
            "certificate",
            format!("{} is not for {}.", file.display(), absent.join(", ")),
            if is_own { renew } else { "Get one for the name of --public-host." },
        ),
        Ok(()) if holds(now + NOTICE).is_err() => {
            findings.warn("certificate", format!("{} expires within two weeks.", file.display()), renew);
        }
        Ok(()) => findings.good("certificate", format!("{} holds for more than two weeks.", file.display())),
    }
}

fn verify(
    leaf: &ParsedCertificate<'_>,
    above: &[CertificateDer<'_>],
    anchor: &CertificateDer<'static>,
    at: SystemTime,
) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone())?;
    let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).unwrap_or_default());
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    verify_server_cert_signed_by_trust_anchor(leaf, &roots, above, at, algorithms.all)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use std::collections::BTreeSet;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn a_certificate_is_judged_by_its_time_its_names_and_its_chain() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        tls::own(folder.path(), &BTreeSet::from(["chat.example".to_owned()]), now).unwrap();
        let (leaf, authority) = (folder.path().join("leaf.pem"), folder.path().join("ca.pem"));
        let level = |authority: Option<&Path>, name: &str, at: SystemTime| {
            let mut findings = Findings::default();
            judge(&leaf, authority, &[name.to_owned()], at, &mut findings);
            (findings.0[0].level, findings.0[0].says.clone())
        };
        let own = Some(authority.as_path());
        assert_eq!(level(own, "chat.example", now).0, Level::Good);
        for (name, at, expected, says) in [
            ("other.example", now, Level::Warning, "is not for other.example"),
            ("chat.example", now + 390 * DAY, Level::Warning, "expires within two weeks"),
            ("chat.example", now + 400 * DAY, Level::Error, "has expired"),
            ("chat.example", now - 30 * DAY, Level::Error, "is not valid yet"),
        ] {
            let (level, said) = level(own, name, at);
            assert!(level == expected && said.contains(says), "{level:?} {said}");
        }
        let (level, said) = level(None, "chat.example", now);
        assert!(level == Level::Warning && said.contains("has no chain"), "{said}");
    }
}
