//! Endpoints over TLS: a certificate that is made for a run, and trusted in it alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct PemFiles {
    /// The certificate, which signs itself.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The certificate of a run, in a folder that goes with it.
pub(super) struct Identity {
    folder: PathBuf,
    pub(super) files: PemFiles,
}

impl Identity {
    /// For 127.0.0.1, with a key that nobody else has ever had.
    pub(super) fn make() -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let made = made.map_err(io::Error::other)?;
        let name = format!("hooktide-bench-{:016x}", rand::random::<u64>());
        let folder = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let files = PemFiles {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        let identity = Self { folder, files };
        fs::write(&identity.files.certificate, made.cert.pem())?;
        write_secret(&identity.files.key, &made.signing_key.serialize_pem())?;
        Ok(identity)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        // Its key opens nothing, so one that stays is litter and no more.
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file: File = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// Accepts with this certificate.
pub(super) fn acceptor(files: &PemFiles) -> io::Result<TlsAcceptor> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&files.certificate)
        .map_err(io::Error::other)?
        .collect();
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain.map_err(io::Error::other)?, key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
