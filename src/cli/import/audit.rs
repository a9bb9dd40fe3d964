use std::path::PathBuf;

use clap::Args;

use super::target::TargetArgs;
use crate::cli::Outcome;
use crate::import::audit::Audit;

/// Audit logs of API servers, audit.k8s.io/v1 or Google's Cloud Audit Logs, one event a line.
///
/// Rotated files and files of several API servers may be given in any order. docs/import.md has the smallest audit policy
/// that will do, and says what each level costs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubectl get nodes,pods,priorityclasses,pdb -A -o json > initial.json     when the log begins
  kubereel import audit /var/log/kubernetes/audit*.log* --initial initial.json -o prod.reel
  gcloud logging read 'protoPayload.serviceName=\"k8s.io\"' --format json | jq -c '.[]' \\
      | kubereel import audit - -o prod.reel")]
pub(super) struct AuditArgs {
    /// The logs; - for standard input.
    #[arg(required = true)]
    logs: Vec<PathBuf>,
    /// The state of the cluster when the logs begin: files or folders as of `import dump`.
    #[arg(long, value_name = "PATH")]
    initial: Vec<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: AuditArgs) -> anyhow::Result<Outcome> {
    let audit = Audit { logs: args.logs, initial: args.initial };
    args.target.tell(&audit.run(&args.target.target())?)
}
