//! How long a message's body is: RFC 9112 6.3, without its leniencies.

use crate::http::field::FieldId;
use crate::http::head::{Fields, Version};
use crate::reason::Reason;

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Content-Length, or none at all (0).
    Known(u64),
    Chunked,
    /// Responses only: the connection's end is the body's.
    UntilClose,
}

impl BodyLength {
    pub fn is_empty(self) -> bool {
        self == BodyLength::Known(0)
    }
}

/// The length of a request's body.
///
/// # Errors
/// [`Reason::AmbiguousFraming`] for whatever could be read in two ways, [`Reason::UnknownTransferCoding`].
pub fn request_length(version: Version, fields: &Fields) -> Result<BodyLength, Reason> {
    let (coded, length) = framing_fields(fields)?;
    match (coded, length) {
        (true, Some(_)) => Err(Reason::AmbiguousFraming),
        (true, None) if version == Version::Http10 => Err(Reason::AmbiguousFraming),
        (true, None) => Ok(BodyLength::Chunked),
        (false, length) => Ok(BodyLength::Known(length.unwrap_or(0))),
    }
}

/// The length of a response's body; `head_only` for the answer to HEAD.
///
/// # Errors
/// [`Reason::BadUpstreamHead`] for whatever could be read in two ways.
pub fn response_length(status: u16, head_only: bool, version: Version, fields: &Fields) -> Result<BodyLength, Reason> {
    let (coded, length) = framing_fields(fields).map_err(|_| Reason::BadUpstreamHead)?;
    if coded && (length.is_some() || version == Version::Http10) {
        return Err(Reason::BadUpstreamHead);
    }
    if head_only || status < 200 || status == 204 || status == 304 {
        return Ok(BodyLength::Known(0));
    }
    Ok(match (coded, length) {
        (true, _) => BodyLength::Chunked,
        (false, Some(length)) => BodyLength::Known(length),
        (false, None) => BodyLength::UntilClose,
    })
}

/// Whether the body is chunked, and the Content-Length.
fn framing_fields(fields: &Fields) -> Result<(bool, Option<u64>), Reason> {
    let mut coding = None;
    let mut length = None;
    for (id, _, value) in fields.iter() {
        match id {
            FieldId::TransferEncoding if coding.replace(value).is_some() => return Err(Reason::AmbiguousFraming),
            FieldId::ContentLength if length.replace(parse_length(value)?).is_some() => {
                return Err(Reason::AmbiguousFraming);
            }
            _ => {}
        }
    }
    if let Some(value) = coding {
        check_coding(value)?;
    }
    Ok((coding.is_some(), length))
}

/// Digits and nothing else: no sign, no list, no overflow.
fn parse_length(value: &[u8]) -> Result<u64, Reason> {
    if value.is_empty() || value.len() > 19 {
        return Err(Reason::AmbiguousFraming);
    }
    value.iter().try_fold(0u64, |sum, byte| match byte {
        b'0'..=b'9' => {
            sum.checked_mul(10).and_then(|s| s.checked_add(u64::from(byte - b'0'))).ok_or(Reason::AmbiguousFraming)
        }
        _ => Err(Reason::AmbiguousFraming),
    })
}

/// Only `chunked`, alone, is a coding that this side can relay and that everyone reads the same way.
fn check_coding(value: &[u8]) -> Result<(), Reason> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    let well_formed =
        codings.clone().all(|c| !c.is_empty() && c.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-'));
    let last_is_chunked = codings.next_back().is_some_and(|c| c.eq_ignore_ascii_case(b"chunked"));
    let repeated = codings.clone().any(|c| c.eq_ignore_ascii_case(b"chunked"));
    let known = |c: &[u8]| {
        [&b"gzip"[..], b"deflate", b"compress", b"identity", b"x-gzip"].iter().any(|k| c.eq_ignore_ascii_case(k))
    };
    if !well_formed || repeated || (!last_is_chunked && value.split(|b| *b == b',').all(|c| known(c.trim_ascii()))) {
        return Err(Reason::AmbiguousFraming);
    }
    Err(Reason::UnknownTransferCoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in list {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn request(list: &[(&str, &str)]) -> Result<BodyLength, Reason> {
        request_length(Version::Http11, &fields(list))
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_ambiguous() {
        const TE: &str = "Transfer-Encoding";
        const CL: &str = "Content-Length";
        for list in [
            &[(CL, "5"), (TE, "chunked")][..],
            &[(CL, "5"), (CL, "6")],
            &[(CL, "5"), (CL, "5")],
            &[(CL, "+5")],
            &[(CL, "5,5")],
            &[(CL, "0x5")],
            &[(CL, "5 5")],
            &[(CL, "")],
            &[(CL, "99999999999999999999")],
            &[(TE, "chunked, chunked")],
            &[(TE, "chunked"), (TE, "chunked")],
            &[(TE, "chunked, gzip")],
            &[(TE, "gzip")],
            &[(TE, "identity")],
            &[(TE, "chu nked")],
            &[(TE, "\u{b}chunked")],
            &[(TE, "chunked;q=1")],
            &[(TE, "")],
            &[(TE, ",chunked")],
        ] {
            assert_eq!(request(list), Err(Reason::AmbiguousFraming), "{list:?}");
        }
        assert_eq!(request_length(Version::Http10, &fields(&[(TE, "chunked")])), Err(Reason::AmbiguousFraming));
    }

    #[test]
    fn a_coding_this_side_does_not_know_is_named_so() {
        assert_eq!(request(&[("Transfer-Encoding", "gzip, chunked")]), Err(Reason::UnknownTransferCoding));
        assert_eq!(request(&[("Transfer-Encoding", "xchunked")]), Err(Reason::UnknownTransferCoding));
    }

    #[test]
    fn plain_lengths_are_read() {
        assert_eq!(request(&[]), Ok(BodyLength::Known(0)));
        assert_eq!(request(&[("content-length", "0012")]), Ok(BodyLength::Known(12)));
        assert_eq!(request(&[("transfer-encoding", "Chunked")]), Ok(BodyLength::Chunked));
    }

    #[test]
    fn responses_without_a_body_have_none_whatever_they_say() {
        let with = fields(&[("Content-Length", "7")]);
        for (status, head_only, expected) in [(200, false, 7), (200, true, 0), (204, false, 0), (304, false, 0)] {
            assert_eq!(response_length(status, head_only, Version::Http11, &with), Ok(BodyLength::Known(expected)));
        }
        assert_eq!(response_length(200, false, Version::Http11, &fields(&[])), Ok(BodyLength::UntilClose));
    }
}
