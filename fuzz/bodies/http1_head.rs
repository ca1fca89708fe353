//! HTTP/1 heads: whole and in pieces they say the same, and what is taken is what httparse reads.

use tidegate::http::head::Version;
use tidegate::http::http1::{BodyLength, HeadLimits, HeadReader};

use super::{model, splits};

const LIMITS: HeadLimits = HeadLimits { max_head_bytes: 2048, max_fields: 32, max_target_bytes: 512 };

pub fn run(data: &[u8]) {
    request(data);
    response(data);
}

fn request(data: &[u8]) {
    let whole = HeadReader::default().request(data, &LIMITS);
    let mut reader = HeadReader::default();
    let pieces = splits::ends(data).into_iter().map(|end| (end, reader.request(&data[..end], &LIMITS)));
    let first = pieces.into_iter().find(|(_, outcome)| !matches!(outcome, Ok(None)));
    match (&whole, &first) {
        (Ok(Some((_, length, used))), Some((end, Ok(Some((_, other, taken)))))) => {
            assert_eq!((length, used), (other, taken), "pieces change what is read");
            assert!(end >= used);
        }
        (Err(_), Some((_, Err(_)))) | (Ok(None), None) => {}
        (whole, first) => panic!("whole {whole:?}, in pieces {first:?}"),
    }
    let Ok(Some((head, length, used))) = whole else { return };
    assert!(used <= LIMITS.max_head_bytes && head.fields.len() <= LIMITS.max_fields);
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut second = httparse::Request::new(&mut fields);
    assert_eq!(second.parse(&data[..used]), Ok(httparse::Status::Complete(used)));
    assert_eq!(second.method.map(str::as_bytes), Some(head.method_bytes()));
    assert_eq!(second.path.map(str::as_bytes), Some(head.received_target()));
    assert_eq!(second.version, Some(u8::from(head.version == Version::Http11)));
    let fields = second.headers.iter().map(|field| (field.name.as_bytes(), field.value));
    assert!(fields.eq(head.fields.iter().map(|(_, name, value)| (name, value))), "{head:?}");
    assert!(!head.authority().is_empty() || head.version == Version::Http10);
    // The second reader needs a body; how long it would have to be is what is compared.
    let mut message = data[..used].to_vec();
    match length {
        BodyLength::Known(n) if n < 4096 => message.extend(std::iter::repeat_n(b'x', n as usize)),
        BodyLength::Chunked => message.extend_from_slice(b"0\r\n\r\n"),
        _ => return,
    }
    let other = model::request(&message).unwrap_or_else(|nothing| panic!("{nothing:?} in {head:?}"));
    assert_eq!(other.used, message.len());
}

fn response(data: &[u8]) {
    for head_only in [false, true] {
        let whole = HeadReader::default().response(data, head_only, &LIMITS);
        let mut reader = HeadReader::default();
        let pieces = splits::ends(data).into_iter().map(|end| reader.response(&data[..end], head_only, &LIMITS));
        let first = pieces.into_iter().find(|outcome| !matches!(outcome, Ok(None)));
        match (&whole, &first) {
            (Ok(Some((_, length, used))), Some(Ok(Some((_, other, taken))))) => {
                assert_eq!((length, used), (other, taken));
            }
            (Err(_), Some(Err(_))) | (Ok(None), None) => {}
            (whole, first) => panic!("whole {whole:?}, in pieces {first:?}"),
        }
        let Ok(Some((head, _, used))) = whole else { continue };
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut second = httparse::Response::new(&mut fields);
        assert_eq!(second.parse(&data[..used]), Ok(httparse::Status::Complete(used)));
        assert_eq!(second.code, Some(head.status));
        assert_eq!(second.headers.len(), head.fields.len());
    }
}
