//! The header fields that some rule looks at, and how a name becomes one.

use std::sync::LazyLock;

use http::HeaderName;

macro_rules! fields {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A field that some rule looks at; all others are [`FieldId::Other`] and pass by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum FieldId {
            $(#[doc = $name] $variant,)+
            /// A field no rule knows.
            Other,
        }

        const NAMES: &[(FieldId, &str)] = &[$((FieldId::$variant, $name)),+];
    };
}

fields! {
    Host = "host",
    Connection = "connection",
    ContentLength = "content-length",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    Te = "te",
    Trailer = "trailer",
    KeepAlive = "keep-alive",
    ProxyConnection = "proxy-connection",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    Proxy = "proxy",
    Expect = "expect",
    Http2Settings = "http2-settings",
    Date = "date",
    Server = "server",
    ContentType = "content-type",
    Accept = "accept",
    UserAgent = "user-agent",
    Referer = "referer",
    Authorization = "authorization",
    Cookie = "cookie",
    SetCookie = "set-cookie",
    Location = "location",
    RetryAfter = "retry-after",
    Forwarded = "forwarded",
    XForwardedFor = "x-forwarded-for",
    XForwardedProto = "x-forwarded-proto",
    XForwardedHost = "x-forwarded-host",
    XRealIp = "x-real-ip",
    XRequestId = "x-request-id",
    XFrameOptions = "x-frame-options",
    XContentTypeOptions = "x-content-type-options",
    XXssProtection = "x-xss-protection",
    ReferrerPolicy = "referrer-policy",
    ContentSecurityPolicy = "content-security-policy",
    StrictTransportSecurity = "strict-transport-security",
    PermissionsPolicy = "permissions-policy",
    CacheControl = "cache-control",
    Etag = "etag",
    LastModified = "last-modified",
    Vary = "vary",
    Range = "range",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    ContentEncoding = "content-encoding",
    Origin = "origin",
}

impl FieldId {
    /// How many ids there are, [`FieldId::Other`] included. At most 64, so that a set of them is one word.
    pub const COUNT: usize = FieldId::Other as usize + 1;

    /// The id of a name, whatever its case.
    pub fn of(name: &[u8]) -> Self {
        let Some(&first) = name.first() else { return FieldId::Other };
        let bucket = BUCKETS[bucket(first, name.len())];
        let known = &NAMES_SORTED[bucket.0 as usize..bucket.1 as usize];
        if known.is_empty() || name.len() > LONGEST {
            return FieldId::Other;
        }
        let mut padded = [0; LONGEST];
        padded[..name.len()].copy_from_slice(name);
        known.iter().find(|known| known.length == name.len() && known.is(&padded)).map_or(FieldId::Other, |k| k.id)
    }

    /// The name in lower case; empty for [`FieldId::Other`].
    pub fn name(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |n| n.1)
    }

    /// The name as the `http` crate has it, without a look at its bytes; `None` for [`FieldId::Other`].
    pub fn header_name(self) -> Option<HeaderName> {
        static HEADER_NAMES: LazyLock<Vec<HeaderName>> =
            LazyLock::new(|| NAMES.iter().map(|(_, name)| HeaderName::from_static(name)).collect());
        HEADER_NAMES.get(self as usize).cloned()
    }

    /// This id's bit in a [`FieldSet`].
    const fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// A set of known fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u64);

impl FieldSet {
    pub const fn of(ids: &[FieldId]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < ids.len() {
            bits |= ids[i].bit();
            i += 1;
        }
        Self(bits)
    }

    pub fn insert(&mut self, id: FieldId) {
        self.0 |= id.bit();
    }

    pub const fn contains(self, id: FieldId) -> bool {
        self.0 & id.bit() != 0
    }

    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const _: () = assert!(FieldId::COUNT <= 64);

const BUCKET_COUNT: usize = 256;

/// Length and first letter tell nearly all known names apart.
const fn bucket(first: u8, len: usize) -> usize {
    (((first | 0x20) as usize) * 37 + len * 11) % BUCKET_COUNT
}

/// The bytes that a known name may have, in whole blocks.
const LONGEST: usize = 32;

/// A known name, so that one of any case is compared without looking at its bytes one by one.
#[derive(Clone, Copy)]
struct Known {
    id: FieldId,
    length: usize,
    /// In lower case, zeros behind it.
    text: [u8; LONGEST],
    /// The bit that makes a letter lower case, where a letter stands; so that no other byte passes for another.
    case: [u8; LONGEST],
}

impl Known {
    const fn new(id: FieldId, name: &str) -> Self {
        let name = name.as_bytes();
        let mut known = Self { id, length: name.len(), text: [0; LONGEST], case: [0; LONGEST] };
        let mut i = 0;
        while i < name.len() {
            known.text[i] = name[i];
            known.case[i] = if name[i].is_ascii_alphabetic() { 0x20 } else { 0 };
            i += 1;
        }
        known
    }

    fn is(&self, padded: &[u8; LONGEST]) -> bool {
        let pairs = padded.iter().zip(&self.case).zip(&self.text);
        pairs.fold(0, |different, ((byte, case), text)| different | ((byte | case) ^ text)) == 0
    }
}

static NAMES_SORTED: [Known; NAMES.len()] = {
    let mut sorted = [Known::new(FieldId::Other, ""); NAMES.len()];
    let mut at = 0;
    let mut b = 0;
    while b < BUCKET_COUNT {
        let mut i = 0;
        while i < NAMES.len() {
            let (id, name) = NAMES[i];
            if bucket(name.as_bytes()[0], name.len()) == b {
                sorted[at] = Known::new(id, name);
                at += 1;
            }
            i += 1;
        }
        b += 1;
    }
    sorted
};

static BUCKETS: [(u8, u8); BUCKET_COUNT] = {
    let mut buckets = [(0, 0); BUCKET_COUNT];
    let mut at = 0;
    let mut b = 0;
    while b < BUCKET_COUNT {
        let start = at;
        while at < NAMES_SORTED.len() {
            let known = &NAMES_SORTED[at];
            if bucket(known.text[0], known.length) != b {
                break;
            }
            at += 1;
        }
        buckets[b] = (start as u8, at as u8);
        b += 1;
    }
    buckets
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for &(id, name) in NAMES {
            assert_eq!(FieldId::of(name.as_bytes()), id);
            assert_eq!(FieldId::of(name.to_ascii_uppercase().as_bytes()), id);
            assert_eq!(id.name(), name);
        }
    }

    #[test]
    fn header_names_are_the_same_names() {
        for &(id, name) in NAMES {
            assert_eq!(id.header_name().unwrap(), name);
        }
        assert_eq!(FieldId::Other.header_name(), None);
    }

    #[test]
    fn unknown_and_empty_names_are_other() {
        let long = "x".repeat(200);
        // The last three are known names but for one bit, the one that is a letter's case.
        for name in
            ["", "x", "hosts", "x-forwarded-fo", "content_length", &long, "user\ragent", "http2\rsettings", "hos\u{14}"]
        {
            assert_eq!(FieldId::of(name.as_bytes()), FieldId::Other, "{name:?}");
        }
    }
}
