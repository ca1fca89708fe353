//! `[[site]]` and what stands in it.

use serde_json::{Value as Json, json};

use super::{CertificateChoice, SiteAcmeFile};
use crate::config::diagnostic::Diagnostic;
use crate::config::read::{At, Many, Read, Reader, Value};
use crate::config::schema::Definitions;
use crate::config::table::table;
use crate::config::value::{
    ByteSize, ContentType, FieldName, FieldValue, FilePath, Flag, HostName, MethodName, Name, Number, OffOr, PathText,
    RedirectStatus, RedirectTarget, RuleFieldName, SecurityHeaders, Text, Words,
};

table! {
    /// Host names that share routes and certificates. A host that no site names gets a 404, unless there is a site
    /// without `hosts` or with `default = true`.
    ///
    /// ```toml
    /// [[site]]
    /// hosts = ["example.com", "*.example.com"]
    /// certificate = { chain = "tls/cert.pem", key = "tls/key.pem" }
    /// security_headers = "guide"
    ///
    /// [[site.route]]
    /// path = "/"
    /// upstream = "backend"
    /// ```
    pub(crate) struct SiteFile {
        /// Its name in logs and metrics. Without one: the first host, or `default`.
        name: Name,
        /// The hosts served. A site without any serves what no other site names.
        hosts: Many<HostName> = [],
        /// Serve what no other site names, too. At most one site may.
        default: Flag = false,
        /// One certificate or several, such as ECDSA and RSA side by side. The names are those inside the certificate.
        /// `"acme"`: one that Tidegate gets and renews by itself, for all hosts of the site; see [`[acme]`](#acme).
        certificate: Many<CertificateChoice> = [],
        /// How this site's certificate is got, in place of what `[acme]` says.
        acme: SiteAcmeFile,
        /// A set of fields for every response of this site; see [security headers](#security-headers).
        security_headers: SecurityHeaders,
        /// Changes to the header of every request that goes to an upstream.
        request_headers: HeaderRulesFile = {},
        /// Changes to the header of every response, Tidegate's own among them.
        response_headers: HeaderRulesFile = {},
        /// The largest request body: else 413. Routes may say otherwise.
        max_body_size: OffOr<ByteSize> = "1m",
        /// Rate limits, by name, for the routes that don't say otherwise.
        limit: Many<Name> = [],
        /// Where requests go, by path.
        route: Many<RouteFile> = [],
        /// Bodies for the errors that Tidegate answers with itself.
        reply: Many<CustomReplyFile> = [],
    }
}

table! {
    /// A certificate and its key, as PEM files.
    ///
    /// ```toml
    /// [[site]]
    /// hosts = "example.com"
    /// certificate = { chain = "/etc/tidegate/tls/cert.pem", key = "/etc/tidegate/tls/key.pem" }
    /// ```
    pub(crate) struct CertificateFile {
        /// The certificate, then those that lead to the root.
        chain: FilePath = required,
        /// The private key.
        key: FilePath = required,
    }
}

table! {
    /// Requests for a path, and where they go: exactly one of `upstream`, `redirect` and `reply`. The order of routes
    /// matters only among regexes, and among routes of the same path that differ in `methods` or `headers`.
    ///
    /// ```toml
    /// [[site.route]]
    /// path = "/api"
    /// methods = ["GET", "POST"]
    /// upstream = "backend"
    /// limit = "api"
    ///
    /// [[site.route]]
    /// path = "= /old"
    /// redirect = { to = "/new", status = 301 }
    ///
    /// [[site.route]]
    /// path = "= /robots.txt"
    /// reply = { body = "User-agent: *\nDisallow: /\n" }
    /// ```
    pub(crate) struct RouteFile {
        /// Its name in logs and metrics. Without one: the path as written.
        name: Name,
        /// The paths, with nginx's signs: `/x` is a prefix that ends on a segment border, `= /x` this path only, `^~ /x`
        /// a prefix that no regex is tried after, `~ x` a regex, `~* x` a regex in any case.
        path: PathText = required,
        /// Only these methods. Without any: all.
        methods: Many<MethodName> = [],
        /// Only requests that have all of these header fields: `{ X-Version = "2" }` with this value, `{ X-Debug = true }`
        /// with any.
        headers: Conditions = {},
        /// Go to this upstream, by name.
        upstream: Name,
        /// Answer with a redirect: a URL, or a table.
        redirect: RedirectFile,
        /// Answer with a fixed body: a string, or a table.
        reply: ReplyFile,
        /// Rate limits, by name, in place of the site's; `[]` exempts the route. A request is charged only if all let it
        /// pass.
        limit: Many<Name>,
        /// The largest request body, in place of the site's: else 413.
        max_body_size: OffOr<ByteSize>,
        /// A set of fields for every response of this route; see [security headers](#security-headers).
        security_headers: SecurityHeaders,
        /// Changes to the header of requests that go to the upstream, after the site's.
        request_headers: HeaderRulesFile = {},
        /// Changes to the header of responses, after the listener's and the site's.
        response_headers: HeaderRulesFile = {},
    }
}

table! {
    /// A redirect: the URL alone, or a table.
    ///
    /// ```toml
    /// [[site.route]]
    /// path = "/"
    /// redirect = { to = "https://www.example.com{uri}", status = 308 }
    /// ```
    pub(crate) struct RedirectFile shorthand to {
        /// Where to. `{scheme}`, `{host}`, `{uri}` (raw path and query), `{path}` and `{query}` are the request's.
        to: RedirectTarget = required,
        /// 301 and 308 are permanent, 302, 303 and 307 are not; 307 and 308 keep the method.
        status: RedirectStatus = 302,
    }
}

table! {
    /// A fixed answer: the body alone, or a table.
    ///
    /// ```toml
    /// [[site.route]]
    /// path = "= /maintenance"
    /// reply = { status = 503, content_type = "text/html", file = "pages/maintenance.html" }
    /// ```
    pub(crate) struct ReplyFile shorthand body {
        /// 200 to 599; 204, 205 and 304 have no body.
        status: Number<200, 599> = 200,
        /// The body, in place.
        body: Words,
        /// The body, from a file (at most 1 MiB) that is read when the configuration is loaded.
        file: FilePath,
        /// The type of the body.
        content_type: ContentType = "text/plain; charset=utf-8",
    }
}

table! {
    /// A body of your own for errors that Tidegate answers with itself: a refused request, an upstream that is gone.
    /// What an upstream answers is never replaced.
    ///
    /// ```toml
    /// [[site]]
    /// hosts = "example.com"
    ///
    /// [[site.reply]]
    /// status = [502, 503, 504]
    /// body = "<h1>We will be back</h1><p>{status} {request_id}</p>"
    /// ```
    pub(crate) struct CustomReplyFile {
        /// One status or several.
        status: Many<Number<400, 599>> = required,
        /// The body, in place. `{status}`, `{reason}` and `{request_id}` are filled in.
        body: Words,
        /// The body, from a UTF-8 file (at most 1 MiB) that is read when the configuration is loaded.
        file: FilePath,
        /// The type of the body.
        content_type: ContentType = "text/html; charset=utf-8",
    }
}

table! {
    /// Changes to a message's header: first `remove`, then `set`, `default`, `add`. Responses go through the listener's
    /// changes, then the site's, then the route's; an inner `set` wins. Fields that frame the message or belong to a
    /// connection can't be changed.
    ///
    /// ```toml
    /// [site.response_headers]
    /// set = { X-Frame-Options = "DENY" }
    /// default = { Cache-Control = "no-store" }
    /// add = { Link = ["</a.css>; rel=preload", "</b.js>; rel=preload"] }
    /// remove = ["Server", "X-Powered-By"]
    /// ```
    pub(crate) struct HeaderRulesFile {
        /// Put in the place of every field of this name.
        set: FieldValues = {},
        /// One more field, whatever is there.
        add: FieldValues = {},
        /// Only if there is no field of this name.
        default: FieldValues = {},
        /// Take out every field of this name.
        remove: Many<RuleFieldName> = [],
    }
}

/// Field names and their values, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct FieldValues(pub(crate) Vec<(At<RuleFieldName>, Vec<At<FieldValue>>)>);

impl Read for FieldValues {
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let fields = read_fields::<RuleFieldName, Many<FieldValue>>(value, reader)?;
        Some(Self(fields.into_iter().map(|(name, values)| (name, values.value.items)).collect()))
    }

    fn schema(definitions: &mut Definitions) -> Json {
        let values = Many::<FieldValue>::schema(definitions);
        json!({ "type": "object", "additionalProperties": values })
    }
}

/// Field names and what a request's must be: a value, or `true` for any.
#[derive(Clone, Debug)]
pub(crate) struct Conditions(pub(crate) Vec<(At<FieldName>, At<Condition>)>);

/// What a request's field must be.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Present,
    Is(FieldValue),
}

impl Read for Conditions {
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        read_fields(value, reader).map(Self)
    }

    fn schema(definitions: &mut Definitions) -> Json {
        let value = FieldValue::schema(definitions);
        json!({ "type": "object", "additionalProperties": { "anyOf": [{ "const": true }, value] } })
    }
}

impl Read for Condition {
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref().as_bool() {
            Some(true) => Some(Condition::Present),
            Some(false) => {
                let place = reader.place(value);
                reader.complain(
                    Diagnostic::error("`false` is no condition").at(place, "").help("write `true` for \"present\""),
                );
                None
            }
            None => FieldValue::read(value, reader).map(Condition::Is),
        }
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({})
    }
}

/// The entries of a table whose keys are field names, which are the same in any case.
fn read_fields<N: Text + AsRef<str>, V: Read>(
    value: &Value<'_>,
    reader: &mut Reader<'_>,
) -> Option<Vec<(At<N>, At<V>)>> {
    let table = reader.table(value, "a table of header fields")?;
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut fields: Vec<(At<N>, At<V>)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let place = reader.place(key);
        let read = V::read(value, reader);
        match N::parse(key.get_ref()) {
            Err(complaint) => {
                let diagnostic = Diagnostic::error(complaint.title).at(place, complaint.label);
                reader.complain(Diagnostic { help: complaint.help, ..diagnostic });
            }
            Ok(name) => {
                if let Some((first, _)) =
                    fields.iter().find(|(n, _)| n.value.as_ref().eq_ignore_ascii_case(name.as_ref()))
                {
                    let title = format!("the field `{}` stands here twice", name.as_ref());
                    let twice = Diagnostic::error(title).at(place, "again, in another case").also(first.place, "first");
                    reader.complain(twice);
                } else if let Some(read) = read {
                    fields.push((At::new(name, place), At::new(read, reader.place(value))));
                }
            }
        }
    }
    Some(fields)
}

impl AsRef<str> for RuleFieldName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for FieldName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
