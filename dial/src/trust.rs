//! Who believes whom on the line: what a node shows and whom it believes ([`Badge`]), and whom a control plane lets in ([`Gate`]).
//!
//! A node shows a join secret, or a certificate that is for its name. Both sides are values that are made anew when a file
//! changes: the next line goes by the new one, and a control plane ends the lines that it would not begin any more.

use crate::secret::{JoinSecret, JoinSecrets};
use guildhall_protocol::fleet::NodeId;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError, RootCertStore, ServerConfig};
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// HTTP/2, and nothing else, is spoken on the line.
const ALPN: &[u8] = b"h2";

/// A node's certificate and those up to its authority, as it showed them.
pub(crate) type Chain = Arc<[CertificateDer<'static>]>;

/// What a node shows to control planes, and whom it believes to be one.
pub struct Badge {
    pub(crate) secret: Option<JoinSecret>,
    pub(crate) tls: Arc<ClientConfig>,
}

impl Badge {
    /// `authorities` is a PEM file; whoever has a certificate below one of them is a control plane, and without the file below a
    /// public one. `own` are the PEM files of the node's own certificate and of its key.
    pub fn new(secrets: Option<&JoinSecrets>, authorities: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<Self, String> {
        let roots = match authorities {
            Some(path) => read_authorities(path)?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?.with_root_certificates(roots);
        let mut config = match own {
            Some((certificate, key)) => {
                let chain = read_chain(certificate)?;
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
                let unfit = |error| format!("{} and {} do not fit: {error}", certificate.display(), key.display());
                config.with_client_auth_cert(chain, private).map_err(unfit)?
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { secret: secrets.map(|secrets| secrets.first().clone()), tls: Arc::new(config) })
    }
}

/// Whom a control plane lets in.
pub struct Gate {
    secrets: Option<JoinSecrets>,
    /// Of nodes' certificates.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    pub(crate) tls: Arc<ServerConfig>,
}

/// How a node came in.
#[derive(Clone)]
pub(crate) enum Pass {
    Secret(JoinSecret),
    Certificate(Chain),
}

impl Gate {
    /// `tls` has the control plane's own certificate. Nodes show one of the secrets, or a certificate below an authority in the PEM
    /// file.
    pub fn new(tls: &ServerConfig, secrets: Option<JoinSecrets>, authorities: Option<&Path>) -> Result<Self, String> {
        let verifier = match authorities {
            Some(path) => {
                let roots = Arc::new(read_authorities(path)?);
                // Who shows none is told so in words, by `admit`.
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).allow_unauthenticated().build();
                Some(verifier.map_err(|error| format!("{}: {error}", path.display()))?)
            }
            None => None,
        };
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?;
        let config = match &verifier {
            Some(verifier) => config.with_client_cert_verifier(Arc::clone(verifier)),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(Arc::clone(&tls.cert_resolver));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A session that goes on would carry a certificate over that is looked at no more.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { secrets, verifier, tls: Arc::new(config) })
    }

    /// `header` is the `authorization` of the request. A certificate has been verified by the handshake, and its name is the node's
    /// to fit ([`Pass::fits`]); who shows one comes by it. The error is told to the node.
    pub(crate) fn admit(&self, header: Option<&[u8]>, chain: Option<&Chain>) -> Result<Pass, &'static str> {
        if let Some(chain) = chain {
            return Ok(Pass::Certificate(Arc::clone(chain)));
        }
        match (&self.secrets, header) {
            (Some(secrets), Some(header)) => {
                secrets.find(header).cloned().map(Pass::Secret).ok_or("the join secret is not one of the control plane's")
            }
            (Some(_), None) if self.verifier.is_none() => {
                Err("the control plane takes nodes by a join secret (--join-secret-file), and by no certificate")
            }
            (Some(_), None) => Err("neither a join secret nor a certificate was shown"),
            (None, _) => Err("the control plane takes nodes by a certificate (--control-plane-cert), and by no join secret"),
        }
    }

    /// Whether who came in by this still would.
    pub(crate) fn still_admits(&self, pass: &Pass) -> bool {
        match pass {
            Pass::Secret(secret) => self.secrets.as_ref().is_some_and(|secrets| secrets.has(secret)),
            Pass::Certificate(chain) => {
                let verify = |verifier: &Arc<dyn ClientCertVerifier>| {
                    verifier.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).is_ok()
                };
                self.verifier.as_ref().is_some_and(verify)
            }
        }
    }
}

impl Pass {
    /// Whether a node of this name may come by it: a certificate is for the names in it (RFC 6125 §6.4), a secret for any.
    pub(crate) fn fits(&self, node: &NodeId) -> Result<(), String> {
        let Self::Certificate(chain) = self else { return Ok(()) };
        let no = |why: &dyn Display| format!("the certificate is not for the node's name, {node}: {why}");
        let name = ServerName::try_from(node.as_str()).map_err(|error| no(&error))?;
        let certificate = ParsedCertificate::try_from(&chain[0]).map_err(|error| no(&error))?;
        verify_server_name(&certificate, &name).map_err(|error| match error {
            TlsError::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
                format!("the certificate is not for the node's name, {node}, but for {}", presented.join(", "))
            }
            error => no(&error),
        })
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match chain {
        Ok(chain) if chain.is_empty() => Err(format!("{}: there is no certificate in it", path.display())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn read_authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(path)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(roots)
}

/// What the TLS library says, in words that name what to do. An alert is what the other side says of us.
pub(crate) fn explain(error: io::Error) -> io::Error {
    let told = match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(reason)) => match reason {
            CertificateError::UnknownIssuer => "its certificate is below no authority that is trusted here",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "its certificate is not valid yet",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "its certificate is not for this side of a line (extended key usage)"
            }
            _ => return error,
        },
        Some(TlsError::AlertReceived(alert)) => match alert {
            AlertDescription::UnknownCA => "it trusts no authority that our certificate is below",
            AlertDescription::CertificateExpired => "it takes our certificate for expired",
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            // It knows an authority of that name, which is another one.
            | AlertDescription::DecryptError => "it does not take our certificate",
            _ => return error,
        },
        _ => return error,
    };
    io::Error::new(error.kind(), told)
}
