use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use super::dirs::{Layout, write_private};
use super::install::find;
use super::logs::last_lines;
use super::{ClusterError, Component, Dirs, Source, Version, flags, pki};

/// How long a scheduler may take to complete a configuration: hundreds of times what it takes.
const WITHIN: Duration = Duration::from_mins(1);

/// How many of its last lines an error shows.
const SHOWN: usize = 5;

/// A `KubeSchedulerConfiguration` as the scheduler of this version completes it: every plugin that it would run, given
/// or there by default, with its weight. The scheduler itself says so (`--write-config-to`), without an API server.
///
/// # Errors
/// [`ClusterError::SchedulerConfig`] where the scheduler does not take the configuration; others where it is not in
/// reach or does not run.
pub async fn complete_config(
    version: &Version,
    config: Option<&Value>,
    dirs: &Dirs,
) -> Result<Value, ClusterError> {
    let component = Component::Scheduler;
    let found = find(version, &[component], &Source::Auto, dirs).await?;
    let Some(program) = found.into_iter().next().map(|program| program.path) else {
        return Err(ClusterError::NotFound { component, version: version.clone(), tried: String::new() });
    };
    let temporary = std::env::temp_dir();
    let folder = tempfile::tempdir().map_err(ClusterError::io("make a folder in", &temporary))?;
    let layout = Layout { root: folder.path().to_owned() };
    let given = flags::scheduler_config(&layout, config);
    write_private(&layout.scheduler_config(), pki::pretty(&given).as_bytes())?;
    write_private(&layout.component_kubeconfig(component), pki::pretty(&nowhere()).as_bytes())?;
    let written = folder.path().join("complete.yaml");
    let command = Command::new(&program)
        .args(["--authentication-skip-lookup", "--secure-port=0"])
        .arg(format!("--config={}", layout.scheduler_config().display()))
        .arg(format!("--write-config-to={}", written.display()))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let spawn = |source| ClusterError::Spawn { component, program: program.clone(), source };
    let refused = |said: String| ClusterError::SchedulerConfig { version: version.clone(), said };
    let output = tokio::time::timeout(WITHIN, command)
        .await
        .map_err(|_| refused(format!("nothing within {WITHIN:?}")))?
        .map_err(spawn)?;
    let Ok(text) = std::fs::read_to_string(&written) else {
        return Err(refused(last_lines(&String::from_utf8_lossy(&output.stderr), SHOWN)));
    };
    let mut complete: Value = serde_saphyr::from_str(&text).map_err(|error| refused(error.to_string()))?;
    // The cluster that will run with it has a kubeconfig of its own.
    if let Some(connection) = complete["clientConnection"].as_object_mut() {
        connection.remove("kubeconfig");
    }
    Ok(complete)
}

/// A kubeconfig that leads to no server.
fn nowhere() -> Value {
    json!({"apiVersion": "v1", "kind": "Config", "current-context": "none",
        "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": ""}}]})
}
