//! The `kubereel` command. Everything is in the library; this file only turns an outcome into an exit code.

use std::process::ExitCode;

/// Objects are many small blocks of memory: a reel is read faster with an allocator made for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kubereel::cli::main()
}
