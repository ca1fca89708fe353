//! The decoder and the encoder against the examples of RFC 7541 Appendix C, and against each other.

use proptest::prelude::*;

use super::*;
use crate::http::field::FieldId;

type Lines = Vec<(String, String)>;

fn read(decoder: &mut Decoder, mut bytes: &[u8]) -> Result<Lines, BadSection> {
    let mut lines = Vec::new();
    while let Some(line) = decoder.next(&mut bytes)? {
        let (name, value) = (line.name.decode()?, line.value.decode()?);
        let kind = Kind::of(&name);
        assert!(line.kind.is_none_or(|known| known == kind), "{line:?}");
        assert!(line.is_valid.is_none_or(|known| known == Line::keeps_grammar(kind, &name, &value)), "{line:?}");
        lines.push((String::from_utf8_lossy(&name).into_owned(), String::from_utf8_lossy(&value).into_owned()));
    }
    Ok(lines)
}

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.replace(' ', "").as_bytes()).unwrap()
}

fn lines(list: &[(&str, &str)]) -> Lines {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// RFC 7541 C.2.
#[test]
fn each_representation_decodes() {
    for (bytes, name, value, size) in [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key", "custom-header", 55),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path", "/sample/path", 0),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password", "secret", 0),
        ("82", ":method", "GET", 0),
    ] {
        let mut decoder = Decoder::default();
        assert_eq!(read(&mut decoder, &hex(bytes)), Ok(lines(&[(name, value)])));
        assert_eq!(decoder.size(), size);
    }
}

/// RFC 7541 C.3 and C.4: the same three requests on one connection, without Huffman's code and with it.
#[test]
fn the_requests_of_the_rfc_decode() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    let (method, authority) = ((":method", "GET"), (":authority", "www.example.com"));
    let expected = [
        (lines(&[method, (":scheme", "http"), (":path", "/"), authority]), 57),
        (lines(&[method, (":scheme", "http"), (":path", "/"), authority, ("cache-control", "no-cache")]), 110),
        (
            lines(&[method, (":scheme", "https"), (":path", "/index.html"), authority, ("custom-key", "custom-value")]),
            164,
        ),
    ];
    for sections in [plain, coded] {
        let mut decoder = Decoder::default();
        for (section, (lines, size)) in sections.iter().zip(&expected) {
            assert_eq!(read(&mut decoder, &hex(section)).as_ref(), Ok(lines));
            assert_eq!(decoder.size(), *size);
        }
    }
}

/// RFC 7541 C.5 and C.6: a table of 256 bytes, from which entries are evicted.
#[test]
fn the_responses_of_the_rfc_decode() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d \
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f \
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b \
         2076 6572 7369 6f6e 3d31",
    ];
    let coded = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 \
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 \
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    let date = |second| format!("Mon, 21 Oct 2013 20:13:{second} GMT");
    let (first, last) = (date(21), date(22));
    let location = ("location", "https://www.example.com");
    let cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let private = ("cache-control", "private");
    let expected = [
        (lines(&[(":status", "302"), private, ("date", &first), location]), 222),
        (lines(&[(":status", "307"), private, ("date", &first), location]), 222),
        (
            lines(&[
                (":status", "200"),
                private,
                ("date", &last),
                location,
                ("content-encoding", "gzip"),
                ("set-cookie", cookie),
            ]),
            215,
        ),
    ];
    for sections in [plain, coded] {
        let mut decoder = Decoder::with_table(256);
        for (section, (lines, size)) in sections.iter().zip(&expected) {
            assert_eq!(read(&mut decoder, &hex(section)).as_ref(), Ok(lines));
            assert_eq!(decoder.size(), *size);
        }
    }
}

#[test]
fn what_is_outside_the_grammar_is_refused() {
    for (bytes, what) in [
        ("80", "index 0"),
        ("be", "an index behind the table"),
        ("7f00", "a name behind the table"),
        ("0803 34", "a value cut short"),
        ("3fe2 1f", "a table larger than offered"),
        ("ffff ffff ff01", "an integer of too many bytes"),
        ("0081 00 00", "padding of zeros in a name"),
        ("0001 61 81 00", "a code that ends in the middle, in a value"),
    ] {
        assert!(read(&mut Decoder::default(), &hex(bytes)).is_err(), "{what}");
    }
}

#[test]
fn an_entry_larger_than_the_table_empties_it_and_is_read_all_the_same() {
    let mut decoder = Decoder::with_table(64);
    assert_eq!(read(&mut decoder, b"\x40\x01a\x01b"), Ok(lines(&[("a", "b")])));
    let mut large = b"\x40\x01c\x28".to_vec();
    large.extend([b'x'; 40]);
    assert_eq!(read(&mut decoder, &large), Ok(lines(&[("c", &"x".repeat(40))])));
    assert_eq!((decoder.size(), read(&mut decoder, &[0xbe])), (0, Err(BadSection)));
}

fn write(encoder: &mut Encoder, status: u16, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    encoder.status(status, &mut out);
    for (name, value) in fields {
        let id = FieldId::of(name.as_bytes());
        encoder.field(id, name.as_bytes(), value.as_bytes(), Repeats::Perhaps, &mut out);
    }
    out
}

#[test]
fn what_repeats_is_one_byte_the_second_time() {
    let mut encoder = Encoder::default();
    let fields = [("Server", "origin"), ("X-Frame-Options", "DENY"), ("Content-Length", "5"), ("Content-Type", "a/b")];
    let first = write(&mut encoder, 200, &fields);
    let second = write(&mut encoder, 200, &fields);
    assert_eq!(second, [&[0x88, 0xc0, 0xbf][..], b"\x0f\x0d\x015", &[0xbe]].concat());
    let mut decoder = Decoder::default();
    let expected = lines(&[
        (":status", "200"),
        ("server", "origin"),
        ("x-frame-options", "DENY"),
        ("content-length", "5"),
        ("content-type", "a/b"),
    ]);
    assert_eq!(read(&mut decoder, &first).as_ref(), Ok(&expected));
    assert_eq!(read(&mut decoder, &second).as_ref(), Ok(&expected));
}

#[test]
fn values_in_turn_stay_in_the_table() {
    let mut encoder = Encoder::default();
    let html = [("Content-Type", "text/html")];
    let json = [("Content-Type", "application/json")];
    write(&mut encoder, 200, &html);
    write(&mut encoder, 200, &json);
    assert_eq!(write(&mut encoder, 200, &html), [0x88, 0xbf]);
    assert_eq!(write(&mut encoder, 200, &json), [0x88, 0xbe]);
}

#[test]
fn a_secret_enters_no_table() {
    let mut encoder = Encoder::default();
    let section = write(&mut encoder, 200, &[("Set-Cookie", "id=1")]);
    assert_eq!(section, [&[0x88, 0x1f, 0x28][..], b"\x04id=1"].concat());
}

#[test]
fn a_table_made_smaller_and_larger_again_is_said_as_both() {
    let mut encoder = Encoder::default();
    write(&mut encoder, 200, &[("Server", "origin")]);
    encoder.resize(0);
    encoder.resize(100);
    let section = write(&mut encoder, 404, &[("Server", "origin")]);
    assert_eq!(section[..4], [0x20, 0x3f, 69, 0x8d]);
    let mut decoder = Decoder::default();
    assert_eq!(read(&mut decoder, &section), Ok(lines(&[(":status", "404"), ("server", "origin")])));
    assert_eq!(write(&mut encoder, 404, &[("Server", "origin")]), [0x8d, 0xbe]);
}

#[test]
fn a_table_of_nothing_is_not_used() {
    let mut encoder = Encoder::default();
    encoder.resize(0);
    write(&mut encoder, 200, &[]);
    let section = write(&mut encoder, 200, &[("Server", "a")]);
    assert_eq!(section, [&[0x88, 0x0f, 0x27][..], b"\x01a"].concat());
}

proptest! {
    #[test]
    fn what_was_encoded_decodes(
        sections in prop::collection::vec((100u16..600, prop::collection::vec((0usize..8, "[a-z]{0,40}"), 0..12)), 1..12),
        sizes in prop::collection::vec(prop::option::of(0usize..5000), 12),
    ) {
        const NAMES: [&str; 8] = ["date", "server", "vary", "x-own", "etag", "set-cookie", "content-type", "location"];
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for ((status, fields), size) in sections.iter().zip(sizes) {
            if let Some(size) = size {
                encoder.resize(size);
            }
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (NAMES[*name], value.as_str())).collect();
            let section = write(&mut encoder, *status, &fields);
            let mut expected = vec![(":status".to_owned(), status.to_string())];
            expected.extend(lines(&fields));
            prop_assert_eq!(read(&mut decoder, &section), Ok(expected));
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(sections in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
        let mut decoder = Decoder::default();
        for section in sections {
            if read(&mut decoder, &section).is_err() {
                break;
            }
            prop_assert!(decoder.size() <= TABLE_BYTES);
        }
    }
}
