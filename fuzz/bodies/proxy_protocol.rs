//! PROXY headers: no prefix of one is one, no continuation mends a fault, and what is read can be written and read again.

use tidegate::proxy_protocol::{Header, MAX_HEADER_BYTES, Version, encode, parse};

pub fn run(data: &[u8]) {
    let whole = parse(data);
    let needed = match &whole {
        Ok(Some((_, used))) => *used,
        _ => data.len(),
    };
    assert!(needed <= MAX_HEADER_BYTES || !matches!(whole, Ok(Some(_))));
    for end in 0..needed.min(300) {
        match parse(&data[..end]) {
            Ok(None) => {}
            // A fault in the front is one of the whole.
            Err(_) => assert!(whole.is_err(), "{whole:?}"),
            Ok(Some(early)) => panic!("{early:?} from {end} of {needed} bytes"),
        }
    }
    if whole == Ok(None) {
        assert!(data.len() < MAX_HEADER_BYTES, "more is waited for without a bound");
    }
    let Ok(Some((Header::Ip { source, destination }, _))) = whole else { return };
    for version in [Version::V1, Version::V2] {
        let mut written = Vec::new();
        encode(version, Some((source, destination)), &mut written);
        let again = parse(&written);
        assert_eq!(again, Ok(Some((Header::Ip { source, destination }, written.len()))), "{version:?}");
    }
}
