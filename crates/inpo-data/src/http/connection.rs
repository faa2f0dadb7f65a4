//! How connections are made: whom they trust, through what they go, how long they take to open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;

use super::address::is_this_machine;
use crate::DataError;

/// The environment variable that names the file of trusted authorities where no setting does.
pub const CA_FILE_VARIABLE: &str = "INPO_CA_FILE";

/// The longest wait for a connection: a host that does not take one within this time is not there.
const LONGEST_CONNECT: Duration = Duration::from_secs(30);

/// The start of an agent for `url`. No redirect is followed by itself, no status is an error, and what goes to this machine
/// goes through no proxy.
///
/// It trusts the authorities of the PEM file `ca_file`, else of `INPO_CA_FILE`, and no others; without either, those of
/// Mozilla.
///
/// # Errors
///
/// A file that cannot be read or holds no certificate.
pub fn agent(url: &str, ca_file: Option<&Path>) -> Result<ConfigBuilder<AgentScope>, DataError> {
    let mut builder = Agent::config_builder()
        .http_status_as_error(false)
        // A redirect is looked at first: neither key nor prompts go to another host.
        .max_redirects(0)
        .timeout_connect(Some(LONGEST_CONNECT));
    let of_environment = || std::env::var_os(CA_FILE_VARIABLE).filter(|file| !file.is_empty());
    let ca_file = ca_file.map(Path::to_owned);
    if let Some(file) = ca_file.or_else(|| of_environment().map(PathBuf::from)) {
        let tls = TlsConfig::builder().root_certs(authorities(&file)?).build();
        builder = builder.tls_config(tls);
    }
    if is_this_machine(url) {
        builder = builder.proxy(None);
    }
    Ok(builder)
}

fn authorities(file: &Path) -> Result<RootCerts, DataError> {
    let pem = std::fs::read(file).map_err(|source| {
        DataError::artefact(file)(format!(
            "the certificates of `ca_file` (or {CA_FILE_VARIABLE}) cannot be read: {source}"
        ))
    })?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(DataError::artefact(file)(error.to_string())),
        }
    }
    if certificates.is_empty() {
        let reason = "there is no certificate in it; give a PEM file, which has `-----BEGIN CERTIFICATE-----`";
        return Err(DataError::artefact(file)(reason.to_owned()));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}
