//! Request paths: what routing matches on.
//!
//! [`normalize`] decodes `%XX`, merges slashes and resolves `.` and `..`, as nginx's `ngx_http_parse_complex_uri` does.
//! The request goes upstream as it was received, so an endpoint may read the path in another way than routing did. Three
//! bytes make that difference, and none of them may carry a request past the route that guards its path:
//!
//! - `%2f` is a separator, as in nginx; `%5c` is an ordinary byte. Servers differ on both, so where one stands in a path,
//!   every reading in [`READINGS`] has to lead to the same route; [`super::Router::find`] refuses the request otherwise.
//! - `;` is an ordinary byte, as in nginx; servlet containers drop what follows it in a segment. The same test holds, and
//!   `..;` and `.;` are refused outright: nobody sends them for another purpose.
//! - A raw `\` or `#` is not allowed in a target (RFC 9112 3.2, RFC 3986 3.3), and is refused.

/// The path that routes match on, or `None` for one that can't be normalized safely: a bad `%` escape, a control byte or
/// NUL (decoded or not), `..` above the root, a raw `\` or `#`, or no `/` at the start. `*` is returned as it is.
///
/// `raw` is the target without its query. A path that is normal already, the usual case, is returned without a copy.
pub fn normalize<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    if is_normal(raw) || raw == b"*" {
        return Some(raw);
    }
    read(raw, Reading::NGINX, scratch)?;
    Some(scratch)
}

/// Whether some server reads this raw path differently than [`normalize`] does.
pub(super) fn has_readings(raw: &[u8]) -> bool {
    let mut rest = raw;
    while let Some(at) = memchr::memchr2(b'%', b';', rest) {
        if rest[at] == b';' || is_separator(decode(&rest[at..]).unwrap_or_default()) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// A way in which servers are known to read `%2f`, `%5c` and `;`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    separators: Encoded,
    parameters: Parameters,
}

/// What becomes of a segment's parameters, from a raw `;` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameters {
    Kept,
    /// Dropped up to the next raw `/`: servers that split and drop before they decode.
    DroppedToSlash,
    /// Dropped up to the next separator, encoded or not: servers that decode first.
    DroppedToSeparator,
}

/// What an encoded `/` or `\` is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoded {
    /// `%2f` separates, `%5c` is a byte: nginx.
    SlashSeparates,
    /// Both stay as they are: servers that split before they decode.
    Opaque,
    /// Both separate: servers on Windows, and those that turn `\` into `/`.
    BothSeparate,
}

impl Reading {
    /// Whether parameters that were dropped so far end in front of `rest`.
    fn ends_parameters(self, rest: &[u8]) -> bool {
        let separates = |byte| match self.separators {
            Encoded::SlashSeparates => byte == b'/',
            Encoded::Opaque => false,
            Encoded::BothSeparate => is_separator(byte),
        };
        let decodes_first = self.parameters == Parameters::DroppedToSeparator;
        rest.starts_with(b"/") || decodes_first && decode(rest).is_some_and(separates)
    }

    const NGINX: Reading = Reading { separators: Encoded::SlashSeparates, parameters: Parameters::Kept };
}

/// The readings besides [`Reading::NGINX`].
pub(super) const READINGS: [Reading; 7] = [
    Reading { separators: Encoded::SlashSeparates, parameters: Parameters::DroppedToSlash },
    Reading { separators: Encoded::SlashSeparates, parameters: Parameters::DroppedToSeparator },
    Reading { separators: Encoded::Opaque, parameters: Parameters::Kept },
    Reading { separators: Encoded::Opaque, parameters: Parameters::DroppedToSlash },
    Reading { separators: Encoded::BothSeparate, parameters: Parameters::Kept },
    Reading { separators: Encoded::BothSeparate, parameters: Parameters::DroppedToSlash },
    Reading { separators: Encoded::BothSeparate, parameters: Parameters::DroppedToSeparator },
];

/// Writes a path into `out` as one kind of server reads it.
pub(super) fn read(raw: &[u8], reading: Reading, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let (b'/', mut rest) = raw.split_first()? else { return None };
    out.push(b'/');
    let mut segment = out.len();
    while let Some((&byte, after)) = rest.split_first() {
        let mut decoded = byte;
        let mut separates = byte == b'/';
        let mut opaque = false;
        let from = rest;
        rest = after;
        match byte {
            b'%' => {
                decoded = decode(from)?;
                rest = &from[3..];
                opaque = is_separator(decoded) && reading.separators == Encoded::Opaque;
                separates = match reading.separators {
                    Encoded::SlashSeparates => decoded == b'/',
                    Encoded::Opaque => false,
                    Encoded::BothSeparate => is_separator(decoded),
                };
            }
            b'\\' | b'#' => return None,
            b';' if reading.parameters != Parameters::Kept => {
                while !rest.is_empty() && !reading.ends_parameters(rest) {
                    rest = &rest[1..];
                }
                continue;
            }
            _ => {}
        }
        if decoded < 0x20 || decoded == 0x7f {
            return None;
        }
        if opaque {
            out.extend_from_slice(&from[..3]);
        } else if separates {
            segment = close_segment(out, segment, true)?;
        } else {
            out.push(decoded);
        }
    }
    close_segment(out, segment, false)?;
    Some(())
}

/// Ends the segment that starts at `start`: drops it if it is empty or `.`, and its parent too if it is `..`. Tells where
/// the next one starts.
fn close_segment(out: &mut Vec<u8>, start: usize, separated: bool) -> Option<usize> {
    match &out[start..] {
        b"" => {}
        b"." => out.truncate(start),
        b".." => {
            let parent = memchr::memrchr(b'/', &out[..start - 1])?;
            out.truncate(parent + 1);
        }
        [b'.', b';', ..] | [b'.', b'.', b';', ..] => return None,
        _ if separated => out.push(b'/'),
        _ => {}
    }
    Some(out.len())
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// The byte that the `%XX` at the start stands for.
fn decode(escape: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = escape else { return None };
    let digit = |b: u8| (b as char).to_digit(16);
    Some((digit(*high)? << 4 | digit(*low)?) as u8)
}

/// Whether normalizing would change nothing: `/`, then plain bytes, and no segment that is empty or starts with a dot.
fn is_normal(raw: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in raw {
        match CLASS[byte as usize] {
            Class::Plain => after_slash = false,
            Class::Slash if !after_slash => after_slash = true,
            Class::Dot if !after_slash => {}
            _ => return false,
        }
    }
    raw.first() == Some(&b'/')
}

#[derive(Clone, Copy)]
#[repr(u8)]
enum Class {
    Plain,
    Slash,
    Dot,
    /// Needs decoding or is refused.
    Special,
}

const CLASS: [Class; 256] = {
    let mut class = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'/' => Class::Slash,
            b'.' => Class::Dot,
            b'%' | b'\\' | b'#' | 0..=0x1f | 0x7f => Class::Special,
            _ => Class::Plain,
        };
        byte += 1;
    }
    class
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(raw: &str) -> Option<String> {
        let mut scratch = Vec::new();
        normalize(raw.as_bytes(), &mut scratch).map(|path| String::from_utf8_lossy(path).into_owned())
    }

    #[test]
    fn decodes_merges_and_resolves_as_nginx_does() {
        for (raw, path) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a%20b%7E", "/a b~"),
            ("//a///b/", "/a/b/"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../c", "/a/c"),
            ("/a/%2e%2E/c", "/c"),
            ("/a%2Fb", "/a/b"),
            ("/a%2f%2e%2e%2fb", "/b"),
            ("/a//../b", "/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a..", "/a.."),
            ("/%252e%252e", "/%2e%2e"),
            ("/a%5cb", "/a\\b"),
            ("/a;b=c/d", "/a;b=c/d"),
            ("/a%3fb%23", "/a?b#"),
            ("*", "*"),
        ] {
            assert_eq!(normal(raw).as_deref(), Some(path), "{raw}");
        }
    }

    #[test]
    fn refuses_what_can_not_be_normalized_safely() {
        for raw in [
            "",
            "a",
            "**",
            "%2fa",
            "/%",
            "/%1",
            "/%g0",
            "/%0",
            "/a%00",
            "/a%0a",
            "/%7f",
            "/\x01",
            "/\x7f",
            "/..",
            "/../a",
            "/a/../../b",
            "/%2e%2e",
            "/a\\b",
            "/a#b",
            "/a/..;/b",
            "/a/..;x",
            "/.;/a",
            "/a/%2e.;",
            "/a/..%3b/b",
        ] {
            assert_eq!(normal(raw), None, "{raw:?}");
        }
    }

    #[test]
    fn a_normal_path_is_not_copied() {
        let raw = b"/api/v1/things.json";
        let mut scratch = Vec::new();
        let path = normalize(raw, &mut scratch).unwrap();
        assert_eq!(path.as_ptr(), raw.as_ptr());
        assert_eq!(scratch.capacity(), 0);
    }

    #[test]
    fn only_encoded_separators_and_parameters_have_readings() {
        for raw in ["/a;b", "/a%2fb", "/a%2Fb", "/a%5Cb", "/%20/%5c"] {
            assert!(has_readings(raw.as_bytes()), "{raw}");
        }
        for raw in ["/a", "/a%20b", "/a%3bb", "/a%", "/a%2"] {
            assert!(!has_readings(raw.as_bytes()), "{raw}");
        }
    }

    #[test]
    fn each_reading_takes_separators_and_parameters_its_own_way() {
        let mut out = Vec::new();
        let mut seen = Vec::new();
        for reading in READINGS {
            read(b"/a;p%2fb;q%5cc;d/e", reading, &mut out).unwrap();
            seen.push(String::from_utf8(out.clone()).unwrap());
        }
        let wanted = ["/a/e", "/a/b/e", "/a;p%2fb;q%5cc;d/e", "/a/e", "/a;p/b;q/c;d/e", "/a/e", "/a/b/c/e"];
        assert_eq!(seen, wanted);
    }

    proptest! {
        #[test]
        fn the_result_is_rooted_and_has_no_empty_or_dot_segments(raw in "/([a./%25ef;]|%2[ef]|%5c|%[0-9a-f]{2}){0,24}") {
            let mut scratch = Vec::new();
            if let Some(path) = normalize(raw.as_bytes(), &mut scratch) {
                prop_assert_eq!(path[0], b'/');
                let mut segments: Vec<_> = path[1..].split(|&b| b == b'/').collect();
                let last = segments.pop().unwrap();
                prop_assert!(segments.iter().all(|s| !matches!(*s, b"" | b"." | b"..")), "{:?}", path);
                prop_assert!(!matches!(last, b"." | b".."));
                prop_assert!(path.len() <= raw.len());
            }
        }

        #[test]
        fn the_fast_scan_agrees_with_the_full_one(raw in "/[a./%2ef;#\\\\]{0,12}") {
            let mut out = Vec::new();
            let full = read(raw.as_bytes(), Reading::NGINX, &mut out).map(|()| out);
            let mut scratch = Vec::new();
            prop_assert_eq!(normalize(raw.as_bytes(), &mut scratch).map(<[u8]>::to_vec), full);
        }
    }
}
