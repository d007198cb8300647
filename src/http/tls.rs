//! TLS towards endpoints and the operator's own services: the system's trusted roots, and those of the
//! operator beside them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use thiserror::Error;

/// Why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read, or is not PEM.
    #[error("cannot read certificates from {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The file is PEM without a certificate, which would silently trust nobody.
    #[error("no certificate in {path}")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the file, or the provider, does not fit.
    #[error("cannot set up tls")]
    Setup(#[from] rustls::Error),
}

/// A client's configuration. The provider is named here, not installed for the process, so that
/// nothing depends on who was first.
pub(super) fn client_config(extra_roots: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = system_roots();
    if let Some(path) = extra_roots {
        add_file(&mut roots, path)?;
    }
    let mut config = builder(roots)?.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// For HTTP/1.1 with a service of the operator's own, which may ask for a certificate: the files of
/// `identity` hold it and its key.
///
/// # Errors
/// [`TlsError`].
pub fn client_tls(
    extra_roots: Option<&Path>,
    identity: Option<(&Path, &Path)>,
) -> Result<ClientConfig, TlsError> {
    let mut roots = system_roots();
    if let Some(path) = extra_roots {
        add_file(&mut roots, path)?;
    }
    let builder = builder(roots)?;
    let Some((certificate, key)) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::File {
        path: key.to_owned(),
        source,
    })?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

fn builder(
    roots: RootCertStore,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots))
}

/// A machine may have no roots (a minimal container): plain http works there, https fails with
/// [`super::ErrorClass::Tls`], and the log says why.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "cannot read some of the system's trusted certificates");
    }
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("the system has no trusted certificates: https works only with a ca file");
    }
    tracing::debug!(added, ignored, "trusted certificates of the system");
    roots
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::File {
        path: path.to_owned(),
        source,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect();
    match found.map_err(unreadable)? {
        none if none.is_empty() => Err(TlsError::NoCertificate {
            path: path.to_owned(),
        }),
        found => Ok(found),
    }
}
