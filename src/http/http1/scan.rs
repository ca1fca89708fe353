//! Where a head ends, looked for only in bytes not looked at before, so that a head sent byte by byte costs its length.

use crate::reason::Reason;

/// Progress through a head that is still arriving.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    /// Bytes looked at.
    seen: usize,
    /// Where the current line starts.
    line: usize,
    /// Lines that have ended, leading empty ones left out.
    lines: usize,
}

/// What a look at the buffered bytes found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The head is this long, its empty line included.
    End(usize),
    /// The first line has just become complete; the rest is still to come.
    FirstLine,
    More,
}

impl Scan {
    /// A line feed without its carriage return is refused here: RFC 9112 2.2 lets a recipient accept it, and two
    /// recipients that differ are how requests are smuggled.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Found, Reason> {
        let had_first = self.lines > 0;
        while let Some(at) = bytes.get(self.seen..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let feed = self.seen + at;
            if feed == 0 || bytes[feed - 1] != b'\r' {
                return Err(Reason::MalformedHead);
            }
            self.seen = feed + 1;
            let empty = feed - self.line == 1;
            self.line = feed + 1;
            match (empty, self.lines) {
                (true, 0) if feed > 2 => return Err(Reason::MalformedHead),
                (true, 0) => {}
                (true, _) => return Ok(Found::End(feed + 1)),
                (false, _) => self.lines += 1,
            }
        }
        self.seen = bytes.len();
        Ok(if self.lines > 0 && !had_first { Found::FirstLine } else { Found::More })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_whole_or_byte_by_byte() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        assert_eq!(Scan::default().advance(head), Ok(Found::End(head.len() - 4)));
        let mut scan = Scan::default();
        let found: Vec<_> = (1..=head.len())
            .map(|n| scan.advance(&head[..n]).unwrap())
            .take_while(|f| !matches!(f, Found::End(_)))
            .collect();
        assert_eq!(found.iter().filter(|f| **f == Found::FirstLine).count(), 1);
        assert_eq!(found.len(), head.len() - 5);
    }

    #[test]
    fn a_bare_line_feed_is_refused() {
        for head in [&b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..], b"\nGET", b"GET / HTTP/1.1\r\nHost: a\n\n"] {
            assert_eq!(Scan::default().advance(head), Err(Reason::MalformedHead));
        }
    }

    #[test]
    fn more_than_one_empty_line_before_a_request_is_refused() {
        assert_eq!(Scan::default().advance(b"\r\n\r\nGET"), Err(Reason::MalformedHead));
    }
}
