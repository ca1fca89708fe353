//! `protocol`, `[upstream.NAME.http2]` and `[upstream.NAME.tls]` → [`UpstreamProtocol`] and [`UpstreamTls`].

use super::Checker;
use crate::config::diagnostic::{Diagnostic, Mark, Place, quote};
use crate::config::file::{EndpointFile, UpstreamFile, UpstreamTlsFile};
use crate::config::model::{Address, CertificateFiles, UpstreamHttp2, UpstreamProtocol, UpstreamTls};
use crate::config::read::At;
use crate::config::value::ProtocolName;

impl Checker<'_> {
    pub(super) fn upstream_protocol(&mut self, file: &UpstreamFile) -> UpstreamProtocol {
        let (protocol, tls) = (&file.protocol, &file.tls);
        match (protocol.value, tls.0.is_some()) {
            (ProtocolName::Http1, _) => {
                if let Some(http2) = &file.http2 {
                    self.warn("`http2` does nothing here", http2.place, "the endpoints are spoken to in HTTP/1.1")
                        .help("write `protocol = \"h2\"` or `\"h2c\"`, or leave it out");
                }
                return UpstreamProtocol::Http1;
            }
            (ProtocolName::H2, false) if !tls.wrong => {
                self.error("\"h2\" is agreed on within TLS", protocol.place, "but the upstream has no `tls`")
                    .help("write `tls = true`, or `protocol = \"h2c\"` for plain text");
            }
            (ProtocolName::H2c, true) => {
                self.error("\"h2c\" is plain text", protocol.place, "not over TLS")
                    .also(tls.place, "TLS is on")
                    .help("write `protocol = \"h2\"`");
            }
            _ => {}
        }
        if file.splice.0 && tls.0.is_none() {
            self.error("HTTP/2 can't be spliced", file.splice.place, "its frames have to pass through this process")
                .also(protocol.place, "HTTP/2 is spoken")
                .help("leave `splice` out");
        }
        if let Some(version) = &file.proxy_protocol {
            let label = "a connection is shared by many clients";
            self.error("HTTP/2 can't be announced by the PROXY protocol", version.place, label)
                .also(protocol.place, "HTTP/2 is spoken")
                .help("leave `proxy_protocol` out: X-Forwarded-For tells the endpoints who asked");
        }
        UpstreamProtocol::Http2(file.http2.as_ref().map_or_else(UpstreamHttp2::default, |http2| UpstreamHttp2 {
            max_streams: http2.max_streams.size(),
            max_lifetime: http2.max_lifetime.0.map(|time| time.0),
            ping_interval: http2.ping_interval.0.map(|time| time.0),
            ping_timeout: http2.ping_timeout.0,
        }))
    }

    pub(super) fn upstream_tls(&mut self, upstream: &At<String>, file: &UpstreamFile) -> Option<UpstreamTls> {
        let tls = file.tls.0.as_ref()?;
        if file.splice.0 {
            self.error("what is encrypted can't be spliced", file.splice.place, "it has to pass through this process")
                .also(file.tls.place, "TLS is on")
                .help("leave `splice` out");
        }
        self.verification(upstream, tls);
        for endpoint in file.endpoints.iter().flat_map(|endpoints| &endpoints.items) {
            self.tls_endpoint(endpoint, tls);
        }
        let certificate = tls.certificate.as_ref().and_then(|files| {
            let (chain, key) = (files.chain.as_ref()?, files.key.as_ref()?);
            Some(CertificateFiles { chain: self.resolve(&chain.0, chain.place), key: self.resolve(&key.0, key.place) })
        });
        let checked = UpstreamTls {
            ca: tls.ca.as_ref().map(|ca| self.resolve(&ca.0, ca.place)),
            server_name: tls.server_name.as_ref().map(|name| name.0.clone()),
            certificate,
            verify: tls.verify.0,
            min_version: tls.min_version.value,
        };
        self.tls_files(&checked, tls, file.tls.place);
        Some(checked)
    }

    /// Complains about what stands in the files, where their paths are `written`.
    fn tls_files(&mut self, checked: &UpstreamTls, written: &UpstreamTlsFile, place: Place) {
        for fault in self.outside.machine.upstream_tls(checked) {
            let shown = checked.certificate.as_ref().zip(written.certificate.as_ref());
            let of = |path| match shown {
                _ if checked.ca.as_ref() == Some(path) => written.ca.as_ref().map(|ca| ca.place),
                Some((files, written)) if files.key == *path => written.key.as_ref().map(|key| key.place),
                Some((_, written)) => written.chain.as_ref().map(|chain| chain.place),
                None => None,
            };
            let place = fault.path.as_ref().and_then(of).unwrap_or(place);
            let mark = Some(Mark { place, label: String::new() });
            let (severity, title) = (fault.severity, fault.message);
            self.tell(Diagnostic { severity, title, mark, related: Vec::new(), help: None });
        }
    }

    fn verification(&mut self, upstream: &At<String>, tls: &UpstreamTlsFile) {
        if tls.verify.0 {
            return;
        }
        let title = format!("upstream {} doesn't verify who answers", quote(upstream));
        self.warn(title, tls.verify.place, "anyone on the way can read and change what passes")
            .help("give `ca` the file of the authority, or the endpoint's own certificate if it is self-signed");
        if let Some(ca) = &tls.ca {
            self.error("`ca` is of no use if nothing is verified", ca.place, "")
                .also(tls.verify.place, "verification is off")
                .help("leave one of them out; with `verify` left out, the certificate has to come from this authority");
        }
    }

    fn tls_endpoint(&mut self, endpoint: &EndpointFile, tls: &UpstreamTlsFile) {
        let Some(address) = &endpoint.address else { return };
        let host = host_of(&address.0);
        // With `service` there is no port but the records'.
        if endpoint.service.is_none() && address.0.ends_with(":80") {
            self.warn(format!("port 80 of {} is expected to speak TLS", quote(host)), address.place, "")
                .help(format!("if it is the usual port of https, write {}", quote(&format!("{host}:443"))));
        }
        if tls.server_name.is_none() && rustls_pki_types::ServerName::try_from(bare(host)).is_err() {
            self.error(format!("no certificate can name {}", quote(host)), address.place, "")
                .help("write `server_name` in the upstream's `tls`");
        }
    }
}

/// An address without its port. A Unix socket has none, and nothing that a certificate could name.
fn host_of(address: &str) -> &str {
    if address.starts_with(Address::UNIX) {
        return address;
    }
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
