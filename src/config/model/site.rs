//! Sites, their routes, and what is done to a message's header fields.

use std::path::PathBuf;
use std::sync::Arc;

use super::SiteAcme;

/// Host names that share routes and certificates.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Metric label and log field. Default: the first host.
    pub name: Arc<str>,
    pub hosts: Vec<HostPattern>,
    /// Serves what no other site names. At most one; without one, an unknown host is a 404 `no_site`.
    pub default: bool,
    pub certificates: Vec<CertificateFiles>,
    /// Its certificate is got by ACME; then there are none in files.
    pub acme: Option<SiteAcme>,
    pub response_headers: Vec<HeaderRule>,
    pub replies: Vec<CustomReply>,
    pub routes: Vec<Route>,
}

/// A host as nginx's `server_name` writes it. Lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `example.com`
    Exact(String),
    /// `*.example.com`: holds `.example.com`; matches one or more labels before it.
    LeadingWildcard(String),
    /// `www.example.*`: holds `www.example.`; matches one or more labels after it.
    TrailingWildcard(String),
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// A match and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Metric label and log field. Default: the path as written.
    pub name: Arc<str>,
    pub path: PathMatch,
    /// Empty: any method. Otherwise upper-case tokens.
    pub methods: Vec<String>,
    /// All must hold.
    pub headers: Vec<HeaderMatch>,
    pub action: Action,
    /// Indices into [`Config::limits`], checked in this order, charged only if all pass. Empty: exempt.
    pub limits: Vec<usize>,
    /// Default 1 MiB; `None` is no bound.
    pub max_body_size: Option<u64>,
    pub request_headers: Vec<HeaderRule>,
    pub response_headers: Vec<HeaderRule>,
}

/// How a route's path is matched: on the decoded, normalized path, as nginx does.
#[derive(Clone, Debug, PartialEq)]
pub enum PathMatch {
    /// nginx `location = /path`.
    Exact(String),
    /// A prefix that ends on a segment border: `/api` matches `/api` and `/api/x`, not `/apix`. `/` matches all.
    Prefix {
        path: String,
        /// nginx `^~`: if this is the longest prefix, no regex is tried.
        before_regex: bool,
    },
    /// nginx `~`: searched for in the path, in file order, after prefixes; `(?i)` for `~*`.
    Regex(String),
}

/// One condition on a request header.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    /// `None`: present with any value.
    pub value: Option<String>,
}

/// Where a route goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Forward {
        /// Index into [`Config::upstreams`].
        upstream: usize,
    },
    /// `to` may hold `{scheme}`, `{host}`, `{uri}` (raw path and query), `{path}`, `{query}`.
    Redirect {
        status: u16,
        to: String,
    },
    Reply {
        status: u16,
        content_type: String,
        body: Arc<[u8]>,
    },
}

/// One change to a message's header fields. Rules run in order; listener, then site, then route.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderRule {
    /// Replaces every field of this name.
    Set {
        name: String,
        value: String,
    },
    /// Appends one more field.
    Add {
        name: String,
        value: String,
    },
    /// Only when no field of this name is there.
    Default {
        name: String,
        value: String,
    },
    Remove {
        name: String,
    },
}

/// The body of a reply that Tidegate makes itself, by status.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomReply {
    pub status: u16,
    pub content_type: String,
    /// `{status}`, `{reason}` and `{request_id}` are filled in.
    pub body: String,
}
