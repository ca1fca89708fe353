//! Fields that end at this hop: RFC 9110 7.6.1.

use crate::http::field::{FieldId, FieldSet};
use crate::http::head::Fields;

/// Never forwarded upstream. Expect is answered here, as in nginx; what the upstream connection needs of these, the codec
/// writes itself. Proxy is no field of HTTP's: CGI and its descendants take it for the `HTTP_PROXY` that their own requests
/// go through (httpoxy, CVE-2016-5385).
pub const REQUEST: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::ProxyAuthorization,
    FieldId::Proxy,
    FieldId::Te,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
    FieldId::Expect,
    FieldId::Http2Settings,
]);

/// Never forwarded downstream.
pub const RESPONSE: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::ProxyAuthenticate,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
    FieldId::Te,
]);

/// What a message needs end to end, or what its framing rests on: naming them in Connection has no effect.
const KEPT: FieldSet = FieldSet::of(&[FieldId::Host, FieldId::ContentLength, FieldId::TransferEncoding]);

/// The most unknown names of one message that are looked at; the others are forwarded.
const MAX_OTHERS: usize = 32;

/// The fields that a message's own Connection field names. Allocates only if it names one that no rule knows.
#[derive(Clone, Debug, Default)]
pub struct Named<'a> {
    known: FieldSet,
    others: Vec<&'a [u8]>,
}

impl<'a> Named<'a> {
    pub fn of(fields: &'a Fields) -> Self {
        let mut named = Self::default();
        for value in fields.get_all(FieldId::Connection) {
            for option in value.split(|&byte| byte == b',') {
                named.insert(option.trim_ascii());
            }
        }
        named
    }

    /// Whether a field is dropped because Connection names it.
    pub fn drops(&self, id: FieldId, name: &[u8]) -> bool {
        match id {
            FieldId::Other => self.others.iter().any(|other| other.eq_ignore_ascii_case(name)),
            id => self.known.contains(id),
        }
    }

    fn insert(&mut self, option: &'a [u8]) {
        if option.is_empty() || option.eq_ignore_ascii_case(b"close") {
            return;
        }
        match FieldId::of(option) {
            FieldId::Other if self.others.len() < MAX_OTHERS => self.others.push(option),
            FieldId::Other => {}
            id if KEPT.contains(id) => {}
            id => self.known.insert(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(connection: &[&str]) -> Fields {
        let mut fields = Fields::default();
        for value in connection {
            fields.push(b"Connection", value.as_bytes());
        }
        fields
    }

    fn drops(named: &Named, name: &str) -> bool {
        named.drops(FieldId::of(name.as_bytes()), name.as_bytes())
    }

    #[test]
    fn fields_named_on_any_line_in_any_case_are_dropped() {
        let fields = fields(&["close, X-Custom ,,X-Real-IP", "\tte, x-more"]);
        let named = Named::of(&fields);
        for name in ["x-custom", "X-CUSTOM", "x-real-ip", "TE", "X-More"] {
            assert!(drops(&named, name), "{name}");
        }
        for name in ["X-Customs", "X-Other", "Cookie", ""] {
            assert!(!drops(&named, name), "{name}");
        }
    }

    #[test]
    fn what_framing_and_routing_rest_on_survives_being_named() {
        let fields = fields(&["Host, content-length, Transfer-Encoding, cookie"]);
        let named = Named::of(&fields);
        for name in ["Host", "Content-Length", "Transfer-Encoding"] {
            assert!(!drops(&named, name), "{name}");
        }
        assert!(drops(&named, "Cookie"));
    }

    #[test]
    fn common_options_allocate_nothing() {
        for value in ["close", "Close", "keep-alive", "Upgrade", "keep-alive, Upgrade, HTTP2-Settings", ""] {
            assert_eq!(Named::of(&fields(&[value])).others.capacity(), 0, "{value}");
        }
    }

    #[test]
    fn a_flood_of_names_is_looked_at_up_to_a_bound() {
        let names: Vec<_> = (0..1000).map(|n| format!("x-{n}")).collect();
        let fields = fields(&[&names.join(",")]);
        let named = Named::of(&fields);
        assert!(drops(&named, "x-31"));
        assert!(!drops(&named, "x-32"));
    }
}
