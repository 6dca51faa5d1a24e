//! Which servers a client believes over TLS: the public roots are of no use here, so exactly the authorities it is given.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use std::{path::Path, sync::Arc};

#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("the certificate authority cannot be read: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("the certificate authority is not usable: {0}")]
    Certificate(#[from] rustls::Error),
}

impl Trust {
    /// Believes nobody: enough for `http` and `ws`, and a test that an unknown authority is refused.
    pub fn none() -> Self {
        Self::roots(RootCertStore::empty())
    }

    /// Believes the authorities of a PEM text.
    pub fn pem(text: &[u8]) -> Result<Self, TrustError> {
        Self::certificates(CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>()?)
    }

    /// Believes the authorities of a PEM file, such as `tls/ca.pem` in the server's data folder.
    pub fn file(path: &Path) -> Result<Self, TrustError> {
        Self::certificates(CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?)
    }

    fn certificates(certificates: Vec<CertificateDer<'static>>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate)?;
        }
        Ok(Self::roots(roots))
    }

    fn roots(roots: RootCertStore) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::none()
    }
}
