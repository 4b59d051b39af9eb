//! A private CA, and what it vouches for: a broker on `localhost` and a client.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// PEM texts.
pub struct Certificates {
    /// The CA's certificate.
    pub root: String,
    /// The server's certificate and key.
    pub server: (String, String),
    /// A client's certificate and key.
    pub client: (String, String),
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    /// Makes all of them.
    ///
    /// # Panics
    /// Never in practice: nothing from outside goes in.
    pub fn make() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a private CA");
        let key = KeyPair::generate().expect("a key can be made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA can sign itself");
        let (server, client) = (issue(&issuer, "localhost"), issue(&issuer, "nightly-sync"));
        Self { root: issuer.pem(), server, client, issuer }
    }

    /// A certificate and key for a host of this name.
    ///
    /// # Panics
    /// It is no name.
    pub fn of_host(&self, name: &str) -> (String, String) {
        issue(&self.issuer, name)
    }

    /// Writes what a server reads: `ca.pem`, `server.pem`, `server-key.pem`.
    ///
    /// # Panics
    /// The folder cannot be written to.
    pub fn write(&self, folder: &Path) {
        let files =
            [("ca.pem", &self.root), ("server.pem", &self.server.0), ("server-key.pem", &self.server.1)];
        for (name, text) in files {
            std::fs::write(folder.join(name), text).expect("a certificate can be written");
        }
    }
}

fn issue(issuer: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key can be made");
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.signed_by(&key, issuer).expect("a CA can sign");
    (certificate.pem(), key.serialize_pem())
}
