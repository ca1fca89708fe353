//! Chunked framing, both ways.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use tidegate::http::http1::{BodyLength, BodyReader, Step};
use tidegate::proxy::upload::push_chunk_size;

/// Reads a body of 64 KiB that came in chunks of this size.
#[divan::bench(args = [64, 1024, 16384])]
fn read(bencher: Bencher<'_, '_>, size: usize) {
    const BODY: usize = 64 << 10;
    let mut wire = Vec::new();
    for _ in 0..BODY / size {
        push_chunk_size(size, &mut wire);
        wire.resize(wire.len() + size, b'x');
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    bencher.counter(BytesCount::new(BODY)).bench_local(|| {
        let mut reader = BodyReader::new(BodyLength::Chunked);
        let (mut at, mut data) = (0, 0);
        loop {
            match reader.next(black_box(&wire[at..])).unwrap() {
                Step::Data(n) => {
                    reader.advance(n);
                    at += n;
                    data += n;
                }
                Step::Skip(n) => at += n,
                Step::More | Step::End => break,
            }
        }
        assert_eq!(data, BODY);
    });
}

#[divan::bench]
fn write_size_line(bencher: Bencher<'_, '_>) {
    let mut out = Vec::with_capacity(32);
    bencher.bench_local(|| {
        out.clear();
        push_chunk_size(black_box(16 << 10), &mut out);
    });
}
