//! `tls = …` → [`Tls`], and what TLS asks of other tables.

use super::Checker;
use crate::config::diagnostic::{Diagnostic, quote};
use crate::config::file::{ClientAuthFile, ConfigFile, TlsFile};
use crate::config::model::{CipherSuite, ClientAuth, HeaderRule, Listener, Site, Tls, TlsVersion};
use crate::config::read::At;
use crate::config::value::Ciphers;

impl Checker<'_> {
    pub(super) fn tls(&mut self, file: &TlsFile) -> Tls {
        Tls {
            min_version: file.min_version.value,
            suites: self.suites(&file.ciphers, file.min_version.value),
            suite_order: file.cipher_order.value,
            handshake_timeout: file.handshake_timeout.0,
            http2: file.http2.0,
            strict_sni: file.strict_sni.0,
            client_auth: file.client_auth.as_ref().and_then(|file| self.client_auth(file)),
        }
    }

    fn suites(&mut self, ciphers: &At<Ciphers>, min_version: TlsVersion) -> Vec<CipherSuite> {
        if !ciphers.left_out.is_empty() {
            let (these, are) = if ciphers.left_out.len() == 1 { ("this suite", "is") } else { ("these suites", "are") };
            self.warn(format!("{these} {are} not spoken"), ciphers.place, ciphers.left_out.join(", ")).help(
                "leave out what has no forward secrecy or no authenticated encryption; no client needs it any more",
            );
        }
        let of =
            |tls13: bool| ciphers.suites.iter().copied().filter(|suite| suite.is_tls13() == tls13).collect::<Vec<_>>();
        let (tls13, tls12) = (of(true), of(false));
        match min_version {
            TlsVersion::Tls12 if tls12.is_empty() => {
                self.error("no suite is left for TLS 1.2", ciphers.place, "only TLS 1.3 has any")
                    .help("name some, such as ECDHE+AESGCM, or write `min_version = \"1.3\"`");
            }
            _ if tls13.is_empty() => {
                self.error("no suite is left for TLS 1.3", ciphers.place, "only TLS 1.2 has any")
                    .help("name one, such as TLS_AES_128_GCM_SHA256");
            }
            _ => {}
        }
        [tls13, tls12].concat()
    }

    fn client_auth(&mut self, file: &ClientAuthFile) -> Option<ClientAuth> {
        let ca = file.ca.as_ref()?;
        let settings = ClientAuth {
            ca: self.resolve(&ca.0, ca.place),
            crl: file.crl.items.iter().map(|path| self.resolve(&path.0, path.place)).collect(),
            required: file.required.0,
            subject_header: file.subject_header.as_ref().map(|name| name.0.clone()),
        };
        for fault in self.outside.machine.client_auth(&settings) {
            let list = file.crl.items.iter().zip(&settings.crl).find(|(_, path)| Some(*path) == fault.path.as_ref());
            let place = list.map_or(ca.place, |(written, _)| written.place);
            self.tell(Diagnostic::error(fault.message).at(place, ""));
        }
        Some(settings)
    }

    pub(super) fn ticket_keys(&mut self, file: &ConfigFile) -> Vec<std::path::PathBuf> {
        let mut paths = Vec::new();
        for written in &file.ticket_keys.items {
            let path = self.resolve(&written.0, written.place);
            if let Err(why) = self.outside.machine.ticket_key(&path) {
                self.error(format!("{} is no ticket key", quote(&path.to_string_lossy())), written.place, why)
                    .help("make one with `openssl rand 80`");
            }
            paths.push(path);
        }
        paths
    }
}

/// Takes the fields that tell a client's subject from every request: on another listener, or without a certificate, they
/// would be the client's own word.
pub(super) fn guard_subject_headers(listeners: &[Listener], sites: &mut [Site]) {
    let certificates = listeners.iter().filter_map(|listener| listener.tls.as_ref()?.client_auth.as_ref());
    let mut names: Vec<&String> = certificates.filter_map(|certificate| certificate.subject_header.as_ref()).collect();
    names.sort();
    names.dedup();
    for route in sites.iter_mut().flat_map(|site| &mut site.routes) {
        route.request_headers.splice(0..0, names.iter().map(|name| HeaderRule::Remove { name: (*name).clone() }));
    }
}
