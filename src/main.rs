//! Arguments, verb, exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidegate::cli::crypto::install();
    tidegate::cli::run(std::env::args_os())
}
