use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::crc32c::crc32c;
use super::*;

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn ends(source: &str, destination: &str) -> Header {
    Header::Ip { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn v2(command: u8, kind: u8, block: &[u8]) -> Vec<u8> {
    let mut header = [V2, &[command, kind]].concat();
    header.extend_from_slice(&(block.len() as u16).to_be_bytes());
    header.extend_from_slice(block);
    header
}

const IPV4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 0, 80];

#[test]
fn a_line_names_both_ends() {
    for (line, said) in [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 4660 80\r\n", ends("192.0.2.1:4660", "192.0.2.2:80")),
        ("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", ends("[2001:db8::1]:0", "[::1]:65535")),
        ("PROXY UNKNOWN\r\n", Header::Own),
        ("PROXY UNKNOWN whatever, it  is\r\n", Header::Own),
    ] {
        assert_eq!(parse(line.as_bytes()), Ok(Some((said, line.len()))), "{line}");
        let more = format!("{line}GET / HTTP/1.1\r\n\r\n");
        assert_eq!(parse(more.as_bytes()), Ok(Some((said, line.len()))), "{line}");
    }
}

#[test]
fn a_line_is_strict() {
    for line in [
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 +2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWN\rx\r\n",
        "PROXY \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.\u{e9} 1 2\r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(Fault::Malformed), "{line}");
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
    assert_eq!(parse(longest.as_bytes()), Ok(Some((Header::Own, 107))));
    let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 15));
    assert_eq!(parse(longer.as_bytes()), Err(Fault::TooLong));
}

#[test]
fn what_is_no_header_is_known_by_its_first_wrong_byte() {
    for bytes in [&b"G"[..], b"PROXX", b"PRI * HTTP/2.0", b"\x16\x03\x01", b"\r\n\r\n\0\r\nQUIX", b"\0"] {
        assert_eq!(parse(bytes), Err(Fault::Missing), "{bytes:?}");
    }
    for (at, byte) in [(12, 0x11), (12, 0x22), (13, 0x41), (13, 0x13)] {
        let mut header = v2(0x21, 0x11, &IPV4);
        header[at] = byte;
        assert_eq!(parse(&header[..=at]), Err(Fault::Malformed), "{at} {byte:#x}");
    }
}

#[test]
fn a_binary_header_names_both_ends() {
    let header = v2(0x21, 0x11, &IPV4);
    assert_eq!(parse(&header), Ok(Some((ends("192.0.2.1:4660", "192.0.2.2:80"), 28))));
    let mut block = [0; 36];
    (block[15], block[31], block[33], block[35]) = (1, 2, 7, 9);
    assert_eq!(parse(&v2(0x21, 0x21, &block)), Ok(Some((ends("[::1]:7", "[::2]:9"), 52))));
    assert_eq!(parse(&v2(0x21, 0x31, &[0; 216])), Ok(Some((Header::Unix, 232))));
}

#[test]
fn local_unspecified_and_datagrams_leave_the_connection_its_own_addresses() {
    for (command, kind, block) in [
        (0x20, 0x00, &[][..]),
        (0x20, 0x11, &IPV4),
        (0x20, 0x21, b"anything"),
        (0x21, 0x00, &[]),
        (0x21, 0x00, b"anything"),
        (0x21, 0x10, &IPV4),
        (0x21, 0x12, &IPV4),
    ] {
        let header = v2(command, kind, block);
        assert_eq!(parse(&header), Ok(Some((Header::Own, header.len()))), "{command:#x} {kind:#x}");
    }
}

#[test]
fn a_block_too_short_for_its_family_or_vectors_past_its_end_are_malformed() {
    let with = |vectors: &[u8]| v2(0x21, 0x11, &[&IPV4, vectors].concat());
    let cases = [
        v2(0x21, 0x11, &IPV4[..11]),
        v2(0x21, 0x21, &[0; 35]),
        v2(0x21, 0x31, &[0; 215]),
        with(&[4]),
        with(&[4, 0]),
        with(&[4, 0, 1]),
        with(&[4, 0xff, 0xff, 0]),
        with(&[3, 0, 3, 1, 2, 3]),
    ];
    for header in cases {
        assert_eq!(parse(&header), Err(Fault::Malformed), "{header:x?}");
    }
    assert!(parse(&with(&[4, 0, 2, 0, 0, 0xe0, 0, 0])).unwrap().is_some());
    let mut long = v2(0x21, 0x11, &IPV4);
    long[14..16].copy_from_slice(&4081u16.to_be_bytes());
    assert_eq!(parse(&long[..16]), Err(Fault::TooLong));
}

#[test]
fn a_checksum_is_verified_where_it_is_told() {
    let mut header = v2(0x21, 0x11, &[&IPV4[..], &[4, 0, 1, 0], &[3, 0, 4, 0, 0, 0, 0], &[0xe0, 0, 1, 9]].concat());
    let at = header.len() - 8;
    let checksum = crc32c(&header).to_be_bytes();
    header[at..at + 4].copy_from_slice(&checksum);
    assert!(parse(&header).unwrap().is_some());
    for wrong in 16..header.len() - 11 {
        let mut header = header.clone();
        header[wrong] ^= 1;
        assert!(parse(&header).is_err(), "{wrong}");
    }
    header[at] ^= 0x80;
    assert_eq!(parse(&header), Err(Fault::Checksum));
    let twice = v2(0x21, 0x11, &[&IPV4[..], &[3, 0, 4, 0, 0, 0, 0], &[3, 0, 4, 0, 0, 0, 0]].concat());
    assert!(parse(&twice).is_err());
}

#[test]
fn nobody_is_named_without_addresses() {
    let mut line = Vec::new();
    encode(Version::V1, None, &mut line);
    assert_eq!(line, b"PROXY UNKNOWN\r\n");
    let mut binary = Vec::new();
    encode(Version::V2, None, &mut binary);
    assert_eq!(parse(&binary), Ok(Some((Header::Own, 16))));
}

#[test]
fn two_families_become_one() {
    let (source, destination) = ("[::ffff:192.0.2.1]:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap());
    let mut line = Vec::new();
    encode(Version::V1, Some((source, destination)), &mut line);
    assert_eq!(line, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    line.clear();
    encode(Version::V1, Some(("[2001:db8::1]:1".parse().unwrap(), destination)), &mut line);
    assert_eq!(line, b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 1 2\r\n");
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

/// Headers, and bytes that are nearly some.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = prop::collection::vec(any::<u8>(), 0..64);
    let line = "PROXY (TCP4|TCP6|UNKNOWN)( [0-9a-f.:]{1,16}){0,5}(\r|\n|\r\n)?.{0,10}".prop_map(String::into_bytes);
    let binary = (0x1fu8..0x23, any::<u8>(), prop::collection::vec(any::<u8>(), 0..260), any::<prop::sample::Index>())
        .prop_map(|(command, kind, block, cut)| {
            let mut header = v2(command, kind, &block);
            header.extend_from_slice(b"more");
            header.truncate(cut.index(header.len() + 1));
            header
        });
    let vectors = prop::collection::vec((0u8..6, prop::collection::vec(any::<u8>(), 0..6)), 0..5).prop_map(|vectors| {
        let mut block = IPV4.to_vec();
        for (kind, value) in vectors {
            block.extend_from_slice(&[kind, 0, value.len() as u8]);
            block.extend_from_slice(&value);
        }
        v2(0x21, 0x11, &block)
    });
    prop_oneof![any_bytes, line, binary, vectors]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_read_past_its_bounds(bytes in nearly()) {
        if let Ok(Some((_, used))) = parse(&bytes) {
            prop_assert!(used <= bytes.len() && used <= MAX_HEADER_BYTES);
            // Nothing behind a header has a say in it.
            prop_assert_eq!(parse(&bytes[..used]), parse(&bytes));
        }
    }

    #[test]
    fn what_is_encoded_is_what_is_parsed(source in address(), destination in address(), v2: bool, rest: Vec<u8>) {
        let version = if v2 { Version::V2 } else { Version::V1 };
        let mut bytes = Vec::new();
        encode(version, Some((source, destination)), &mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(&rest);
        let (source, destination) = of_one_family(source, destination);
        prop_assert_eq!(parse(&bytes), Ok(Some((Header::Ip { source, destination }, length))));
    }

    /// Byte by byte, more is needed until the answer is there, and then it is the answer to the whole.
    #[test]
    fn every_split_reads_the_same(bytes in nearly()) {
        let whole = parse(&bytes);
        let first = (0..=bytes.len()).map(|end| parse(&bytes[..end])).find(|answer| *answer != Ok(None));
        prop_assert_eq!(first.unwrap_or(Ok(None)), whole);
    }
}
