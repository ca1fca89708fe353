//! `[[site]]` → [`Site`].

use std::collections::HashMap;

use super::acme::Offered;
use super::{Checker, Names, headers, listener};
use crate::config::diagnostic::{Diagnostic, Mark, Place, quote};
use crate::config::file::{CertificateChoice, CertificateFile, ConfigFile, CustomReplyFile, SiteFile};
use crate::config::model::{CertificateFiles, CustomReply, HostPattern, Site};
use crate::config::read::At;
use crate::config::value::SecurityHeaders;

/// What sites may claim only once.
#[derive(Default)]
struct Claims {
    hosts: HashMap<HostPattern, Place>,
    names: HashMap<String, Place>,
    default: Option<Place>,
}

impl Checker<'_> {
    pub(super) fn sites(
        &mut self,
        file: &ConfigFile,
        upstreams: &mut Names,
        limits: &mut Names,
        mut acme: Option<&mut Offered>,
    ) -> Vec<Site> {
        let mut claims = Claims::default();
        let serves_http = !file.listener.items.is_empty() || file.tcp.items.is_empty();
        let outside = listener::strongest_bundle(file);
        let mut sites = Vec::with_capacity(file.site.items.len());
        for site in &file.site.items {
            self.claim(site, site.place, &mut claims);
            let (mut checked, by_acme) = self.site(site, serves_http, outside, upstreams, limits);
            checked.acme = self.site_acme(file, site, &checked, acme.as_deref_mut(), by_acme);
            sites.push(checked);
        }
        let only_redirects = file.listener.items.iter().all(|l| l.redirect.is_some());
        if sites.is_empty() && file.site.complete && file.listener.complete && !only_redirects {
            self.tell(Diagnostic::error("there is no site"))
                .help("say what to serve: `[[site]]`, and below it a `[[site.route]]` with `path` and `upstream`");
        }
        sites
    }

    fn site(
        &mut self,
        file: &At<SiteFile>,
        serves_http: bool,
        outside: SecurityHeaders,
        upstreams: &mut Names,
        limits: &mut Names,
    ) -> (Site, Option<Place>) {
        let hosts: Vec<HostPattern> = file.hosts.items.iter().flat_map(|h| h.0.iter().cloned()).collect();
        let bundle = file.security_headers.as_ref().map(|b| b.value);
        let mut response_headers = headers::security_rules(bundle, outside);
        response_headers.extend(headers::rules(&file.response_headers));
        // Without a listener for HTTP, sites are there for their certificates.
        if serves_http && file.route.items.is_empty() && file.route.complete {
            self.warn("this site has no route", file.place, "it answers 404 to everything")
                .help("add a `[[site.route]]` with `path` and `upstream`");
        }
        let (certificates, written, by_acme) = self.certificates(file);
        let site = Site {
            name: site_name(file).into(),
            default: is_default(file),
            certificates,
            acme: None,
            response_headers,
            replies: self.custom_replies(&file.reply.items),
            routes: self.routes(file, bundle.unwrap_or(outside), upstreams, limits),
            hosts,
        };
        self.certificate_files(&site, &written);
        (site, by_acme)
    }

    /// Complains about what stands in the files of certificates, where their paths are `written`.
    fn certificate_files(&mut self, site: &Site, written: &[&CertificateFile]) {
        for fault in self.outside.machine.certificates(site) {
            let (certificate, file) = (&site.certificates[fault.certificate], written[fault.certificate]);
            let of_key = fault.path == certificate.key && fault.path != certificate.chain;
            let place = if of_key { file.key.as_ref() } else { file.chain.as_ref() }.map(|path| path.place);
            let mark = place.map(|place| Mark { place, label: String::new() });
            let (severity, title) = (fault.severity, fault.message);
            self.tell(Diagnostic { severity, title, mark, related: Vec::new(), help: None });
        }
    }

    fn claim(&mut self, file: &SiteFile, place: Place, claims: &mut Claims) {
        for host in &file.hosts.items {
            for pattern in &host.0 {
                if let Some(&first) = claims.hosts.get(pattern) {
                    self.error(format!("host {} is served twice", quote(&written(pattern))), host.place, "again")
                        .also(first, "first here");
                } else {
                    claims.hosts.insert(pattern.clone(), host.place);
                }
            }
        }
        if is_default(file) {
            let place = if file.default.0 { file.default.place } else { place };
            match claims.default {
                Some(first) => {
                    self.error("two sites serve what no other site names", place, "this one too")
                        .also(first, "the first")
                        .help("give one of them `hosts`, and `default = true` to one at most");
                }
                None => claims.default = Some(place),
            }
        }
        let name = site_name(file);
        let place = file.name.as_ref().map_or(place, |n| n.place);
        match claims.names.get(&name) {
            // Unnamed sites of one host have been complained about as such.
            Some(&first) if file.name.is_some() => {
                self.error(format!("two sites are named {}", quote(&name)), place, "again").also(first, "the first");
            }
            Some(_) => {}
            None => {
                claims.names.insert(name, place);
            }
        }
    }

    /// A site's certificates, each with how it is written; and where it says that it is got by ACME.
    fn certificates<'f>(
        &mut self,
        file: &'f SiteFile,
    ) -> (Vec<CertificateFiles>, Vec<&'f CertificateFile>, Option<Place>) {
        let by_acme = file.certificate.items.iter().find(|choice| matches!(choice.value, CertificateChoice::Acme));
        if let Some(by_acme) = by_acme.filter(|_| file.certificate.items.len() > 1) {
            self.error("a certificate got by ACME stands alone", by_acme.place, "not beside another")
                .help("keep `certificate = \"acme\"`, or the files");
        }
        let by_acme = by_acme.map(|choice| choice.place);
        let mut certificates: Vec<CertificateFiles> = Vec::new();
        let mut written = Vec::new();
        for certificate in &file.certificate.items {
            let CertificateChoice::Files(file) = &certificate.value else { continue };
            let (Some(chain), Some(key)) = (&file.chain, &file.key) else { continue };
            let files =
                CertificateFiles { chain: self.resolve(&chain.0, chain.place), key: self.resolve(&key.0, key.place) };
            if certificates.contains(&files) {
                self.error("the same certificate stands here twice", certificate.place, "again");
            } else {
                certificates.push(files);
                written.push(file);
            }
        }
        (certificates, written, by_acme)
    }

    fn custom_replies(&mut self, files: &[At<CustomReplyFile>]) -> Vec<CustomReply> {
        let mut replies = Vec::new();
        let mut seen: HashMap<u32, Place> = HashMap::new();
        for file in files {
            let body = self.body(file.body.as_ref(), file.file.as_ref());
            if file.body.is_none() && file.file.is_none() && !file.wrong {
                self.error("this reply has no body", file.place, "").help("write `body` or `file`");
            }
            let body = match String::from_utf8(body.unwrap_or_default()) {
                Ok(body) => body,
                Err(_) => {
                    self.error("this body is not UTF-8", file.file.as_ref().map_or(file.place, |f| f.place), "");
                    continue;
                }
            };
            for status in file.status.iter().flat_map(|s| &s.items) {
                if let Some(&first) = seen.get(&status.0) {
                    self.error(format!("two bodies for {}", status.0), status.place, "again").also(first, "the first");
                }
                seen.insert(status.0, status.place);
                replies.push(CustomReply {
                    status: status.0 as u16,
                    content_type: file.content_type.0.clone(),
                    body: body.clone(),
                });
            }
        }
        replies
    }
}

fn is_default(file: &SiteFile) -> bool {
    file.default.0 || (file.hosts.items.is_empty() && file.hosts.complete)
}

fn site_name(file: &SiteFile) -> String {
    match (&file.name, file.hosts.items.first().and_then(|h| h.0.first())) {
        (Some(name), _) => name.0.clone(),
        (None, Some(host)) => written(host),
        (None, None) => "default".to_owned(),
    }
}

/// A pattern as a user writes it.
fn written(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(host) => host.clone(),
        HostPattern::LeadingWildcard(tail) => format!("*{tail}"),
        HostPattern::TrailingWildcard(head) => format!("{head}*"),
    }
}
