use std::process::ExitCode;

/// How a command ended, and the exit code for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done; for comparisons: equivalent.
    Done,
    /// It could not be done.
    Failed,
    /// Finished, but with loss, or a run is invalid.
    Loss,
    /// The sides differ beyond what was asked for.
    Differs,
    /// The data does not decide it.
    Inconclusive,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        // 2 is usage, which clap returns by itself.
        ExitCode::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::Loss => 3,
            Outcome::Differs => 4,
            Outcome::Inconclusive => 5,
        })
    }
}
