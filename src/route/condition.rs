//! What a route asks of a request besides its path.

use crate::config;
use crate::http::field::FieldId;
use crate::http::head::{Method, RequestHead};

/// A route's methods and headers.
#[derive(Debug)]
pub(super) struct Condition {
    methods: Methods,
    headers: Box<[Header]>,
}

impl Condition {
    /// `None`: every request meets it. Most routes are such, and aren't looked up.
    pub(super) fn new(route: &config::Route) -> Option<Box<Self>> {
        if route.methods.is_empty() && route.headers.is_empty() {
            return None;
        }
        Some(Box::new(Self {
            methods: Methods::new(&route.methods),
            headers: route.headers.iter().map(Header::new).collect(),
        }))
    }

    pub(super) fn holds(&self, head: &RequestHead) -> bool {
        self.methods.contain(head) && self.headers.iter().all(|header| header.holds(head))
    }
}

/// A set of methods: one bit for each that [`Method`] knows, the others by name.
#[derive(Debug)]
struct Methods {
    known: u16,
    others: Box<[Box<[u8]>]>,
}

impl Methods {
    /// No names: any method. GET stands for HEAD as well, as in nginx's `limit_except`.
    fn new(names: &[String]) -> Self {
        if names.is_empty() {
            return Self { known: u16::MAX, others: Box::default() };
        }
        let mut known = 0;
        let mut others = Vec::new();
        for name in names {
            match Method::of(name.as_bytes()) {
                Method::Other => others.push(name.as_bytes().into()),
                Method::Get => known |= bit(Method::Get) | bit(Method::Head),
                method => known |= bit(method),
            }
        }
        Self { known, others: others.into() }
    }

    fn contain(&self, head: &RequestHead) -> bool {
        self.known & bit(head.method) != 0
            || head.method == Method::Other && self.others.iter().any(|name| **name == *head.method_bytes())
    }
}

const _: () = assert!(Method::COUNT <= 16);

fn bit(method: Method) -> u16 {
    1 << method as u16
}

/// One header that has to be there: any of its lines may hold the value.
#[derive(Debug)]
struct Header {
    id: FieldId,
    name: Box<[u8]>,
    value: Option<Box<[u8]>>,
}

impl Header {
    fn new(wanted: &config::HeaderMatch) -> Self {
        Self {
            id: FieldId::of(wanted.name.as_bytes()),
            name: wanted.name.as_bytes().into(),
            value: wanted.value.as_ref().map(|value| value.as_bytes().into()),
        }
    }

    fn holds(&self, head: &RequestHead) -> bool {
        head.fields.iter().any(|(id, name, value)| {
            id == self.id
                && (id != FieldId::Other || name.eq_ignore_ascii_case(&self.name))
                && self.value.as_deref().is_none_or(|wanted| wanted == value)
        })
    }
}
