//! What the integration tests are made of: origins, clients, and the proxies between them.
//!
//! Everything speaks through real sockets on free ports, every wait is bounded, and nothing sleeps but [`eventually`].
//! An [`Origin`] answers as its script says and keeps what it received, byte for byte. A [`Client`] writes raw bytes and
//! reads responses strictly. A [`Gate`] is Tidegate in this process, a [`Binary`] is the built program, a [`Peer`] runs
//! one case through Debian's nginx and through Tidegate.

mod answer;
mod binary;
mod certificate;
mod client;
mod dns;
mod gate;
mod h2_client;
mod h2_frames;
mod h2_origin;
mod haproxy;
mod latch;
mod message;
mod nginx;
mod origin;
mod peer;
mod tcp;
mod tls_front;
mod tool;
mod wire;

use std::time::{Duration, Instant};

pub use answer::Answer;
pub use binary::{Binary, Ended, program};
pub use certificate::Certificate;
pub use client::{Client, Tls, get};
pub use dns::{DnsServer, Fault};
pub use gate::{Gate, Setup, scrape, sum_of};
pub use h2_client::{H2Client, reason_of};
pub use h2_frames::{Fate, GET, RawH2, block, error, flag, frame, kind};
pub use h2_origin::{H2Origin, echo, raw_h2_origin, send_all, trailers};
pub use haproxy::Haproxy;
pub use latch::Latch;
pub use message::{Broken, Framing, Message, Response};
pub use nginx::Nginx;
pub use origin::{Blackhole, Origin, refusing_address};
pub use peer::{Peer, Proxy, Recipe, on_each, same_on_both};
pub use tcp::{TcpServer, dial, hear, hear_all, reset};
pub use tls_front::{Terms, TlsFront, backend_certificate};
pub use tool::{Ran, run, run_with_input};

/// The longest that anything here waits.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What [`eventually`] waits for: `true`, or `Some`.
pub trait Outcome {
    type Value;
    fn reached(self) -> Option<Self::Value>;
}

impl Outcome for bool {
    type Value = ();
    fn reached(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Outcome for Option<T> {
    type Value = T;
    fn reached(self) -> Option<T> {
        self
    }
}

/// Asks again until the answer is there; fails with `what` after [`PATIENCE`].
#[track_caller]
pub fn eventually<O: Outcome>(what: &str, mut ask: impl FnMut() -> O) -> O::Value {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ask().reached() {
            return value;
        }
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
