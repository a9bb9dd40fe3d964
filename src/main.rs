//! The `kubereel` command. Everything is in the library; this file only turns an outcome into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubereel::cli::main()
}
