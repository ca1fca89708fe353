//! Heads from bytes, and back.

use divan::{Bencher, black_box};
use tidegate::config::HeaderRule;
use tidegate::filter::headers::HeaderRules;
use tidegate::filter::hop_by_hop::Named;
use tidegate::http::head::{RequestHead, Version};
use tidegate::http::http1::{BodyLength, HeadLimits, HeadReader};
use tidegate::proxy::headers::{Http1Framing, Response, encode_response};

pub(crate) const SMALL_REQUEST: &[u8] =
    b"GET /service/42/items?page=2 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n";

/// What a browser sends.
const BROWSER_REQUEST: &[u8] = b"GET /articles/2026/a-longer-title?utm_source=feed HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Dest: document\r\n\
    Referer: https://www.example.com/articles/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    Cookie: session=4f2a9c1e8b7d6053; theme=dark; consent=1\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\nContent-Length: 128\r\nETag: \"5e8c-61d\"\r\n\r\n";

const LIMITS: HeadLimits = HeadLimits { max_head_bytes: 32 << 10, max_fields: 100, max_target_bytes: 8 << 10 };

pub(crate) fn request(bytes: &[u8]) -> RequestHead {
    HeadReader::default().request(bytes, &LIMITS).unwrap().unwrap().0
}

#[divan::bench(args = [("small", SMALL_REQUEST), ("browser", BROWSER_REQUEST)].map(Sample))]
fn parse_request(sample: Sample) {
    drop(black_box(request(black_box(sample.0.1))));
}

#[divan::bench]
fn parse_response() {
    drop(black_box(HeadReader::default().response(black_box(RESPONSE), false, &LIMITS)));
}

#[divan::bench]
fn encode_response_with_security_headers(bencher: Bencher<'_, '_>) {
    let (head, length, _) = HeadReader::default().response(RESPONSE, false, &LIMITS).unwrap().unwrap();
    let security: Vec<HeaderRule> = security_headers();
    let rules = HeaderRules::compile(&[&security]);
    let framing = Http1Framing { length, version: Version::Http11, keep_alive: true };
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        let response = Response {
            status: head.status,
            fields: &head.fields,
            named: Named::of(&head.fields),
            rules: &rules,
            standing: None,
            length: BodyLength::Known(128),
            head_only: false,
            upgrade: None,
        };
        encode_response(black_box(&response), framing, &mut out);
        black_box(out.len())
    });
}

/// Those of `security_headers = "guide"`.
fn security_headers() -> Vec<HeaderRule> {
    let config = crate::stage::config();
    config.sites[0].response_headers.clone()
}

/// A request with its name.
#[derive(Clone, Copy)]
struct Sample((&'static str, &'static [u8]));

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.0)
    }
}
