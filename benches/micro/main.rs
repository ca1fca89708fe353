//! What the parts of a request's way cost, one by one: `make micro`, or `make micro PART=limit`.
//!
//! Times are for comparing two versions on one quiet machine; nothing decides by them. The number of allocations is
//! exact, and what has none should stay so. What a whole request costs, `benches/budget` counts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that can't go on has failed")]

mod chunk;
mod head;
mod limit;
mod log;
mod metrics;
mod policy;
mod route;
mod stage;

/// The allocator of the program, counting.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler<mimalloc::MiMalloc> = divan::AllocProfiler::new(mimalloc::MiMalloc);

fn main() {
    divan::main();
}
