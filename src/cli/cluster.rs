//! `kubereel cluster`: a local control plane.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use tokio::time::sleep;
use tracing::warn;

use super::args::Format;
use super::signals::interrupted;
use super::{Outcome, output};
use crate::cluster::{
    self, Cluster, ClusterInfo, ClusterSpec, Component, Dirs, SchedulerSpec, Settings, Source, Version,
};

const DEFAULT_NAME: &str = "kubereel";
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// Arguments of `kubereel cluster`.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Put the programs of Kubernetes versions into the cache.
    Install(InstallArgs),
    /// Start a control plane; in the foreground until Ctrl-C, unless --detach is given.
    Up(Box<UpArgs>),
    /// Stop a control plane and remove its folder.
    Down(DownArgs),
    /// Say which control planes there are.
    List(ListArgs),
    /// Print the path of a control plane's kubeconfig.
    Kubeconfig(KubeconfigArgs),
    /// Print the logs of a control plane's components.
    Logs(LogsArgs),
}

#[derive(Debug, Args)]
struct InstallArgs {
    /// Kubernetes versions, such as v1.37.2.
    #[arg(required = true)]
    versions: Vec<Version>,
    /// Only these components; all four if not given.
    #[arg(long = "component", value_name = "NAME")]
    components: Vec<Component>,
    /// Where to get them: auto, release, go, or a folder.
    #[arg(long, default_value = "auto")]
    from: Source,
}

#[derive(Debug, Args)]
struct UpArgs {
    /// Kubernetes version.
    #[arg(long, default_value_t)]
    version: Version,
    /// Version of the scheduler, if it differs.
    #[arg(long)]
    scheduler_version: Option<Version>,
    /// A scheduler to use instead of the stock one.
    #[arg(long, value_name = "PROGRAM")]
    scheduler_binary: Option<PathBuf>,
    /// A `KubeSchedulerConfiguration`, YAML or JSON.
    #[arg(long, value_name = "FILE")]
    scheduler_config: Option<PathBuf>,
    /// Verbosity of the scheduler's log.
    #[arg(long, default_value_t = 0, value_name = "N")]
    scheduler_verbosity: u8,
    /// Name of the cluster.
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
    /// Controllers to run, as the controller manager's --controllers takes them.
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    controllers: Vec<String>,
    /// Feature gates, Name=true or Name=false, for all components but etcd.
    #[arg(long, value_delimiter = ',')]
    feature_gates: Vec<String>,
    /// One more argument for a component, such as kube-apiserver=--runtime-config=api/all=true.
    #[arg(long, value_name = "COMPONENT=ARG", value_parser = parse_extra)]
    extra_arg: Vec<(Component, String)>,
    /// Port of the API server; a free one if not given.
    #[arg(long)]
    port: Option<u16>,
    /// Where to get the programs: auto, release, go, or a folder.
    #[arg(long, default_value = "auto")]
    from: Source,
    /// Leave it running; `cluster down` ends it.
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, Args)]
struct DownArgs {
    /// Name of the cluster; not needed if there is only one.
    #[arg(conflicts_with = "all")]
    name: Option<String>,
    /// All clusters.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, Args)]
struct KubeconfigArgs {
    /// Name of the cluster; not needed if there is only one.
    name: Option<String>,
    /// Print its content.
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, Args)]
struct LogsArgs {
    /// Name of the cluster or of a component; the cluster is not needed if there is only one.
    first: Option<String>,
    /// A component; all if not given.
    component: Option<Component>,
    /// How many lines of each.
    #[arg(long, default_value_t = 50, value_name = "N")]
    tail: usize,
}

/// Arguments of the hidden subcommand that becomes a component.
#[derive(Debug, Args)]
pub struct ComponentArgs {
    /// Let it outlive its parent.
    #[arg(long)]
    detach: bool,
    /// The process that asks for it.
    #[arg(long)]
    parent: u32,
    /// The program.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes a component. Returns only if that fails. Call it before a runtime is started.
pub fn run_component(args: &ComponentArgs) -> anyhow::Error {
    let Some((program, rest)) = args.command.split_first() else {
        return anyhow::anyhow!("no program given");
    };
    let program = PathBuf::from(program);
    let error = cluster::become_component(args.parent, args.detach, &program, rest);
    anyhow::Error::new(error).context(format!("cannot run {}", program.display()))
}

/// Runs `kubereel cluster`.
pub async fn run(args: ClusterArgs) -> anyhow::Result<Outcome> {
    let dirs = Dirs::from_env()?;
    match args.command {
        ClusterCommand::Install(args) => install(args, &dirs).await,
        ClusterCommand::Up(args) => up(*args, dirs).await,
        ClusterCommand::Down(args) => down(args, &dirs).await,
        ClusterCommand::List(args) => list(&args, &dirs),
        ClusterCommand::Kubeconfig(args) => kubeconfig(args, &dirs),
        ClusterCommand::Logs(args) => logs(args, &dirs),
    }
}

fn parse_extra(text: &str) -> Result<(Component, String), String> {
    let (component, arg) = text.split_once('=').ok_or("write it as COMPONENT=ARG")?;
    Ok((component.parse().map_err(|e: cluster::ClusterError| e.to_string())?, arg.to_owned()))
}

async fn install(args: InstallArgs, dirs: &Dirs) -> anyhow::Result<Outcome> {
    let components = if args.components.is_empty() { Component::ALL.to_vec() } else { args.components };
    for version in &args.versions {
        let installed = tokio::select! {
            installed = cluster::install(version, &components, &args.from, dirs) => installed?,
            signal = interrupted() => bail!("interrupted by {signal}"),
        };
        for program in installed {
            output::print(&program.path.display().to_string())?;
        }
    }
    Ok(Outcome::Done)
}

fn spec(args: UpArgs, dirs: Dirs) -> anyhow::Result<ClusterSpec> {
    let config = args.scheduler_config.map(|path| {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_saphyr::from_str(&text).with_context(|| format!("{} is no YAML", path.display()))
    });
    let mut settings = Settings {
        controllers: args.controllers,
        feature_gates: args.feature_gates.clone(),
        ..Settings::default()
    };
    for (component, arg) in args.extra_arg {
        settings.extra_args.entry(component).or_default().push(arg);
    }
    let scheduler = SchedulerSpec {
        binary: args.scheduler_binary,
        config: config.transpose()?,
        verbosity: args.scheduler_verbosity,
        feature_gates: args.feature_gates,
        ..SchedulerSpec::new(args.scheduler_version.unwrap_or_else(|| args.version.clone()))
    };
    Ok(ClusterSpec {
        scheduler,
        settings,
        port: args.port,
        detach: args.detach,
        source: args.from,
        ..ClusterSpec::new(args.name, args.version, dirs)
    })
}

async fn up(args: UpArgs, dirs: Dirs) -> anyhow::Result<Outcome> {
    let spec = spec(args, dirs)?;
    // Dropping the unfinished start takes down what it had started.
    let cluster = tokio::select! {
        cluster = cluster::up(&spec) => cluster?,
        signal = interrupted() => bail!("interrupted by {signal} while starting"),
    };
    let path = cluster.kubeconfig();
    output::print(&format!(
        "cluster {} is ready; to use it:\nexport KUBECONFIG={}",
        cluster.name(),
        path.display()
    ))?;
    if spec.detach {
        return Ok(Outcome::Done);
    }
    output::print("Ctrl-C takes it down")?;
    tokio::select! {
        _ = interrupted() => {}
        dead = ended(&cluster) => {
            if !cluster.exists() {
                return Ok(Outcome::Done);
            }
            let tail = cluster::tail(&cluster.log(dead), 15).unwrap_or_default();
            cluster.down().await?;
            bail!("{dead} has ended by itself; its last log lines:\n{tail}");
        }
    }
    cluster.down().await?;
    Ok(Outcome::Done)
}

/// Ctrl-C or SIGTERM.
async fn ended(cluster: &Cluster) -> Component {
    loop {
        if let Some(&dead) = cluster.dead().first() {
            return dead;
        }
        sleep(WATCH_EVERY).await;
    }
}

async fn down(args: DownArgs, dirs: &Dirs) -> anyhow::Result<Outcome> {
    let names: Vec<String> = if args.all {
        cluster::list(dirs)?.into_iter().map(|c| c.name).collect()
    } else {
        vec![chosen(args.name, dirs)?]
    };
    let mut outcome = Outcome::Done;
    for name in names {
        match cluster::remove(&name, dirs).await {
            Ok(()) => output::print(&format!("cluster {name} is down"))?,
            Err(error) if args.all => {
                warn!("{:#}", anyhow::Error::new(error));
                outcome = Outcome::Failed;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(outcome)
}

/// The cluster that was named, else the only one there is, else the default name for the error to name.
fn chosen(name: Option<String>, dirs: &Dirs) -> anyhow::Result<String> {
    if let Some(name) = name {
        return Ok(name);
    }
    let mut names: Vec<String> = cluster::list(dirs)?.into_iter().map(|c| c.name).collect();
    match names.len() {
        0 => Ok(DEFAULT_NAME.to_owned()),
        1 => Ok(names.remove(0)),
        _ if names.iter().any(|n| n == DEFAULT_NAME) => Ok(DEFAULT_NAME.to_owned()),
        _ => bail!("which cluster? there are: {}", names.join(", ")),
    }
}

fn list(args: &ListArgs, dirs: &Dirs) -> anyhow::Result<Outcome> {
    let clusters = cluster::list(dirs)?;
    match args.format {
        Format::Json => output::print(&serde_json::to_string_pretty(&clusters)?)?,
        Format::Table => output::print(&table(&clusters).to_string())?,
    }
    Ok(Outcome::Done)
}

fn table(clusters: &[ClusterInfo]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["NAME", "VERSION", "SCHEDULER", "STATE", "PORTS", "AGE"]);
    for cluster in clusters {
        let version = |v: &Option<Version>| v.as_ref().map_or_else(|| "-".to_owned(), Version::to_string);
        let mut state = cluster.status.to_string();
        if cluster.detached {
            state.push_str(" (detached)");
        }
        let ports: Vec<String> =
            cluster.components.iter().map(|c| format!("{}:{}", c.component, c.port)).collect();
        table.add_row([
            cluster.name.clone(),
            version(&cluster.version),
            version(&cluster.scheduler_version),
            state,
            ports.join(" "),
            cluster.age_seconds.map_or_else(|| "-".to_owned(), age),
        ]);
    }
    table
}

/// `45s`, `3m12s`, `2h5m`, `4d3h`.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let mut text = String::new();
    let _ = match (days, hours, minutes) {
        (0, 0, 0) => write!(text, "{seconds}s"),
        (0, 0, _) => write!(text, "{minutes}m{}s", seconds % 60),
        (0, _, _) => write!(text, "{hours}h{}m", minutes % 60),
        _ => write!(text, "{days}d{}h", hours % 24),
    };
    text
}

fn kubeconfig(args: KubeconfigArgs, dirs: &Dirs) -> anyhow::Result<Outcome> {
    let path = cluster::open(&chosen(args.name, dirs)?, dirs)?.kubeconfig();
    if args.raw {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        output::print(&text)?;
    } else {
        output::print(&path.display().to_string())?;
    }
    Ok(Outcome::Done)
}

fn logs(args: LogsArgs, dirs: &Dirs) -> anyhow::Result<Outcome> {
    let alone = args.first.as_deref().and_then(|first| first.parse::<Component>().ok());
    let (name, component) = match (alone, args.component) {
        (Some(component), None) => (None, Some(component)),
        (_, component) => (args.first, component),
    };
    let cluster = cluster::open(&chosen(name, dirs)?, dirs)?;
    let components = component.map_or_else(|| Component::ALL.to_vec(), |c| vec![c]);
    for component in &components {
        if components.len() > 1 {
            output::print(&format!("==> {component} <=="))?;
        }
        output::print(&cluster::tail(&cluster.log(*component), args.tail)?)?;
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        assert_eq!([45, 192, 7500, 356_400].map(age), ["45s", "3m12s", "2h5m", "4d3h"]);
    }

    #[test]
    fn an_extra_argument_names_its_component() {
        let (component, arg) = parse_extra("kube-apiserver=--runtime-config=api/all=true").unwrap();
        assert_eq!((component, arg.as_str()), (Component::ApiServer, "--runtime-config=api/all=true"));
        assert!(parse_extra("kubelet=--x").is_err());
        assert!(parse_extra("--x").is_err());
    }
}
