//! Which files a configuration leads to: those stay open to the process.

use std::path::{Path, PathBuf};

use crate::config::load::Loaded;
use crate::config::{Address, Config, DnsHow, LogOutput};
use crate::privileges::{self, Access, Confinement};

/// Closes all other files to this thread and to those that it starts.
pub(super) fn confine(access: Option<&Access>) {
    let Some(access) = access else { return };
    match privileges::confine(access) {
        Ok(true) => {}
        Ok(false) => tracing::info!("the kernel has no Landlock: all files of this user stay open to the process"),
        Err(error) => tracing::warn!(%error, "all files of this user stay open to the process"),
    }
}

/// What to say of a failed reload beside its error, if it may be this that failed it.
pub(super) fn note_on(error: &str) -> String {
    // In the words of the system and in those of the configuration's reader.
    if !error.to_lowercase().contains("permission denied") {
        return String::new();
    }
    let Some(Confinement { readable, writable }) = privileges::confinement() else { return String::new() };
    let list: Vec<String> = readable.union(writable).map(|path| path.display().to_string()).collect();
    format!(
        "\nnote: since its start this process sees only {}, and the system's files; for others, restart it",
        list.join(", ")
    )
}

/// All that is read and written while the process runs, over reloads of the same files. `None`: nothing is to be closed.
pub(super) fn access(loaded: &Loaded) -> Option<Access> {
    let config = &loaded.config;
    let confine = config.privileges.confine.as_ref()?;
    let log = config.access_log.iter().filter_map(|log| match &log.output {
        LogOutput::File(path) => Some(path.as_path()),
        LogOutput::Stdout | LogOutput::Stderr => None,
    });
    let addresses = config.listeners.iter().map(|listener| &listener.address);
    let sockets = addresses.chain(config.tcp.iter().map(|tcp| &tcp.address)).filter_map(|address| match address {
        Address::Unix(path) => Some(&**path),
        Address::Ip(_) => None,
    });
    let mut writable: Vec<PathBuf> = log.chain(sockets).flat_map(directories).collect();
    writable.extend(config.acme.iter().map(|acme| acme.store.clone()));
    writable.extend(confine.writable.iter().cloned());
    let read = loaded.files.iter().map(PathBuf::as_path).chain(files(config));
    let mut readable: Vec<PathBuf> = read.flat_map(directories).collect();
    // Where the system's trust anchors are, if these say so.
    readable.extend(["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().filter_map(std::env::var_os).map(PathBuf::from));
    readable.extend(confine.readable.iter().cloned());
    let mut dns = config.sites.iter().filter_map(|site| site.acme.as_ref()?.dns.as_ref());
    Some(Access { readable, writable, programs: dns.any(|dns| matches!(dns.how, DnsHow::Exec { .. })) })
}

/// Files that the configuration names and that are read while the process runs.
fn files(config: &Config) -> impl Iterator<Item = &Path> {
    let chains = config.sites.iter().flat_map(|site| &site.certificates).flat_map(|files| [&files.chain, &files.key]);
    let tls = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let tls = tls.chain(config.tcp.iter().filter_map(|tcp| tcp.tls.as_ref()));
    let clients =
        tls.filter_map(|tls| tls.client_auth.as_ref()).flat_map(|auth| std::iter::once(&auth.ca).chain(&auth.crl));
    let upstreams = config.upstreams.iter();
    let endpoints = upstreams.clone().filter_map(|upstream| upstream.endpoints_file.as_ref());
    let towards = upstreams.filter_map(|upstream| upstream.tls.as_ref()).flat_map(|tls| {
        let own = tls.certificate.iter().flat_map(|files| [&files.chain, &files.key]);
        tls.ca.iter().chain(own)
    });
    let issuers = config.sites.iter().filter_map(|site| site.acme.as_ref()).flat_map(|acme| &acme.issuers);
    let roots = issuers.filter_map(|issuer| issuer.root.as_ref());
    let all = chains.chain(clients).chain(endpoints).chain(towards).chain(roots);
    all.chain(&config.ticket_keys).chain(&config.resolver.hosts_file).map(PathBuf::as_path)
}

/// The directory of a file, so that the file can be replaced, and that of what it is a link to. A file in the root
/// directory opens itself alone.
fn directories(path: &Path) -> Vec<PathBuf> {
    let ways = std::path::absolute(path).into_iter().chain(path.canonicalize());
    ways.map(|way| match way.parent() {
        Some(parent) if parent != Path::new("/") => parent.to_owned(),
        _ => way,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::load;
    use crate::config::machine::Nowhere;

    #[test]
    fn every_file_that_a_configuration_names_stays_open() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tidegate.toml");
        std::fs::write(&file, CONFIGURATION).unwrap();
        let loaded = load(&file, &Nowhere).unwrap();
        let Access { readable, writable, programs } = access(&loaded).unwrap();
        assert!(readable.iter().any(|path| path == directory.path()), "{readable:?}");
        for name in
            ["chain", "key", "ca", "crl", "endpoints", "roots", "tickets", "hosts", "own-chain", "own-key", "more"]
        {
            assert!(readable.contains(&PathBuf::from(format!("/x/{name}"))), "{name}: {readable:?}");
        }
        assert_eq!(writable, ["/x/log", "/x/http", "/x/tcp", "/x/more-logs"].map(PathBuf::from));
        assert!(!programs);
    }

    const CONFIGURATION: &str = r#"
        ticket_keys = "/x/tickets/1"
        confine = { readable = "/x/more", writable = "/x/more-logs" }
        resolver.hosts_file = "/x/hosts/hosts"
        [access_log]
        output = "/x/log/access.log"
        [[listener]]
        address = "unix:/x/http/socket"
        tls.client_auth = { ca = "/x/ca/ca.pem", crl = "/x/crl/crl.pem" }
        [[tcp]]
        address = "unix:/x/tcp/socket"
        upstream = "a"
        [[site]]
        hosts = "a.test"
        certificate = { chain = "/x/chain/chain.pem", key = "/x/key/key.pem" }
        [[site.route]]
        path = "/"
        upstream = "b"
        [upstream.a]
        endpoints_file = "/x/endpoints/a.toml"
        [upstream.b]
        endpoints = "127.0.0.1:1"
        tls = { ca = "/x/roots/ca.pem", certificate = { chain = "/x/own-chain/chain.pem", key = "/x/own-key/key.pem" } }
    "#;
}
