//! What a ClientHello says, from a real client and from hostile ones.

use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::tls::client_hello::{HelloFault, MAX_HELLO_BYTES, read_hello};

/// What rustls sends first.
fn real(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

fn vector8(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn vector16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(value)].concat()
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(0, &vector16(&[&[0], &vector16(name)[..]].concat()))
}

/// A message with these extensions, and what stands behind them.
fn message(extensions: &[u8], behind: &[u8]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &vector8(&[1; 32]),
        &vector16(&[0x13, 1]),
        &vector8(&[0]),
        &vector16(extensions),
        behind,
    ]
    .concat();
    [&[1, 0], &vector16(&body)[..]].concat()
}

/// In records of at most `size` bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|piece| [&[22, 3, 1], &vector16(piece)[..]].concat()).collect()
}

fn name_of(bytes: &[u8]) -> Result<Option<Option<String>>, HelloFault> {
    read_hello(bytes).map(|hello| hello.map(|hello| hello.server_name.map(String::from)))
}

fn named(name: &str) -> Result<Option<Option<String>>, HelloFault> {
    Ok(Some(Some(name.to_owned())))
}

#[test]
fn the_name_of_a_real_hello_is_read_in_lower_case() {
    assert_eq!(name_of(&real("Db.Example.com")), named("db.example.com"));
    // RFC 6066 3: an address is never asked for.
    assert_eq!(name_of(&real("192.0.2.1")), Ok(Some(None)));
}

#[test]
fn a_hello_may_come_in_records_of_any_size_and_with_more_behind_it() {
    let message =
        message(&[&extension(65281, &[0]), &sni(b"a.example.")[..], &extension(43, &[2, 3, 4])].concat(), &[]);
    for size in [1, 3, 4, 5, 100, 16384] {
        let mut bytes = records(&message, size);
        assert_eq!(name_of(&bytes), named("a.example"), "{size}");
        assert_eq!(name_of(&bytes[..bytes.len() - 1]), Ok(None), "{size}");
        bytes.extend_from_slice(&[23, 3, 3, 0, 1, 0]);
        assert_eq!(name_of(&bytes), named("a.example"), "{size}");
    }
}

#[test]
fn what_is_no_tls_is_known_by_its_first_bytes() {
    for bytes in [&b"GET / HTTP/1.1"[..], b"*1\r\n$4\r\nPING\r\n", b"\x80\x2e\x01\x03\x01", b"\x16\x02", b"\x00"] {
        assert_eq!(name_of(bytes), Err(HelloFault::NotTls), "{bytes:?}");
    }
}

#[test]
fn malformed_hellos_are_refused() {
    let twice = [sni(b"a"), sni(b"b")].concat();
    let two_names = extension(0, &vector16(&[&[0], &vector16(b"a")[..], &[0], &vector16(b"b")].concat()));
    let other_type = extension(0, &vector16(&[&[1], &vector16(b"a")[..]].concat()));
    let short = extension(0, &[0, 9, 0, 0, 1, b'a']);
    let mut truncated = message(&sni(b"a"), &[]);
    let last = truncated.len() - 1;
    truncated.truncate(last);
    truncated[3] -= 1;
    let cases = [
        message(&twice, &[]),
        message(&two_names, &[]),
        message(&other_type, &[]),
        message(&short, &[]),
        message(&extension(0, &[]), &[]),
        message(&sni(b""), &[]),
        message(&sni(b"a b"), &[]),
        message(&sni(b"a\0.example"), &[]),
        message(&sni("m\u{fc}nchen".as_bytes()), &[]),
        message(&sni(&[b'a'; 254]), &[]),
        message(&sni(b"a"), &[0]),
        truncated,
    ];
    for message in cases {
        assert_eq!(name_of(&records(&message, 16384)), Err(HelloFault::Malformed), "{message:x?}");
    }
    assert_eq!(name_of(&[22, 3, 1, 0, 0]), Err(HelloFault::Malformed));
    assert_eq!(name_of(&[22, 3, 1, 0x40, 1]), Err(HelloFault::Malformed));
    assert_eq!(name_of(&[22, 3, 1, 0, 9, 2]), Err(HelloFault::Malformed), "a ServerHello");
}

#[test]
fn a_hello_is_bounded_whatever_it_says() {
    assert_eq!(name_of(&[22, 3, 1, 0, 9, 1, 0xff, 0xff, 0xff]), Err(HelloFault::TooLong));
    // A byte a record.
    let drip = records(&[&[1, 0, 0x3f, 0xff][..], &[0; 16000]].concat(), 1);
    assert_eq!(name_of(&drip[..MAX_HELLO_BYTES - 1]), Ok(None));
    assert_eq!(name_of(&drip[..MAX_HELLO_BYTES]), Err(HelloFault::TooLong));
}

#[test]
fn a_hello_without_extensions_asks_for_no_name() {
    let body = [&[3, 1][..], &[7; 32], &vector8(&[]), &vector16(&[0, 47]), &vector8(&[0])].concat();
    assert_eq!(name_of(&records(&[&[1, 0], &vector16(&body)[..]].concat(), 16384)), Ok(Some(None)));
}

/// Hellos, and bytes that are nearly some.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let extensions = prop::collection::vec((0u16..4, prop::collection::vec(any::<u8>(), 0..12)), 0..4)
        .prop_map(|list| list.iter().flat_map(|(kind, value)| extension(*kind, value)).collect::<Vec<u8>>());
    let made = (extensions, "[a-z.]{0,20}", 1usize..80, any::<bool>()).prop_map(|(extensions, name, size, with)| {
        let name = if with { sni(name.as_bytes()) } else { Vec::new() };
        records(&message(&[extensions, name].concat(), &[]), size)
    });
    let changed = (made, any::<prop::sample::Index>(), any::<u8>(), any::<prop::sample::Index>()).prop_map(
        |(mut bytes, at, byte, cut)| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(cut.index(bytes.len() + 1));
            bytes
        },
    );
    prop_oneof![prop::collection::vec(any::<u8>(), 0..80), changed]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_every_split_reads_the_same(bytes in nearly()) {
        let whole = name_of(&bytes);
        let first = (0..=bytes.len()).map(|end| name_of(&bytes[..end])).find(|answer| *answer != Ok(None));
        prop_assert_eq!(first.unwrap_or(Ok(None)), whole);
    }

    #[test]
    fn the_name_that_is_asked_for_is_the_one_that_is_read(
        name in "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z]{1,10}){1,4}",
        size in 1usize..3000,
    ) {
        let bytes = real(&name);
        let message: Vec<u8> = bytes[5..].to_vec();
        prop_assert_eq!(name_of(&records(&message, size)), named(&name));
    }
}
