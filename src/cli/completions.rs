use clap::Args;
use clap_complete::Shell;

use super::{Outcome, output};

/// Prints the completion script of a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubereel completions bash > /etc/bash_completion.d/kubereel")]
pub(super) struct CompletionsArgs {
    /// Which shell.
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "kubereel", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
