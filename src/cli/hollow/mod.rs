mod groups;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{interval, sleep};

use groups::Source;

use super::Outcome;
use super::args::ConnectArgs;
use super::shard::ShardArgs;
use super::signals::{Ending, ending_with};
use crate::expose::MetricsServer;
use crate::hollow::{Adopt, Counts, Defaults, Distribution, Host, HostOptions, Morph, NodeGroup, Profile};
use crate::k8s::connect;
use crate::model::{Taint, parse_quantity_milli};
use crate::pace::{Clock, Stop, SystemClock};

/// How often the file of node groups is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a process with nothing to do lets answers gather before it looks at them: waking up for each costs more than
/// an answer, and to a kubelet's work two milliseconds are nothing.
const GATHER: Duration = Duration::from_millis(2);

/// How often the log says how it goes, while nodes are being registered.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// The runtime for many who each do little.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().on_thread_park(|| std::thread::sleep(GATHER)).enable_all().build()
}

/// Runs hollow nodes: thousands in one process, which a control plane takes for kubelets.
///
/// Pods on them start, run, end and go as on real nodes, but have no containers. Annotations of a pod say otherwise than
/// the defaults: kubereel.dev/start-millis, run-seconds, exit-code, failures, init-seconds, init-exit-code,
/// termination-seconds. A node's annotation kubereel.dev/failure makes it fail: stop, not-ready, flap:2m,90s.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel cluster up --name lab --detach
  kubereel hollow --nodes 1000 --cluster lab
  kubereel hollow --nodes 1000 --name-prefix hollow- \\
      --capacity cpu=72,memory=256Gi,ephemeral-storage=15726578Mi,pods=110,nvidia.com/gpu=8 \\
      --labels zone=a --taints dedicated=test:NoSchedule --profile kubelet --morph kubelet,proxy
  kubereel hollow --config groups.yaml --shard 0/4      node groups of a file, a quarter of them
  kubereel hollow --nodes 0 --adopt annotation:kwok.x-k8s.io/node=fake
  kubectl annotate node hollow-3 kubereel.dev/failure=stop

A file of node groups, read again when it changes:
  groups:
    - {namePrefix: small-, nodes: 500, capacity: {cpu: \"4\", memory: 16Gi, pods: \"110\"}}
    - {namePrefix: gpu-, nodes: 20, capacity: {cpu: \"72\", memory: 512Gi, pods: \"110\", nvidia.com/gpu: \"8\"},
       labels: {accelerator: a100}, taints: [{key: gpu, effect: NoSchedule}]}")]
pub(super) struct HollowArgs {
    #[command(flatten)]
    target: ConnectArgs,
    /// How many nodes.
    #[arg(long, default_value_t = 1, value_name = "N")]
    nodes: u32,
    /// What their names begin with; a number from 0 follows.
    #[arg(long, default_value = "hollow-", value_name = "PREFIX")]
    name_prefix: String,
    /// Capacity by resource, extended resources included.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME=QUANTITY",
        value_parser = parse_quantity,
        default_value = "cpu=4,memory=32Gi,ephemeral-storage=100Gi,pods=110"
    )]
    capacity: Vec<(String, String)>,
    /// Allocatable by resource, where it differs from the capacity.
    #[arg(long, value_delimiter = ',', value_name = "NAME=QUANTITY", value_parser = parse_quantity)]
    allocatable: Vec<(String, String)>,
    /// Labels besides those that every kubelet sets.
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
    /// Annotations.
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE", value_parser = parse_pair)]
    annotations: Vec<(String, String)>,
    /// Taints that the nodes register with.
    #[arg(long, value_delimiter = ',', value_name = "KEY[=VALUE]:EFFECT", value_parser = parse_taint)]
    taints: Vec<Taint>,
    /// Node groups, YAML; in place of the options about nodes above.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nodes", "name_prefix", "capacity", "allocatable", "labels", "annotations", "taints"])]
    config: Option<PathBuf>,
    /// How faithfully the nodes send what kubelets send.
    #[arg(long, value_enum, default_value_t = ProfileArg::Light)]
    profile: ProfileArg,
    /// Which programs of a node are played: its kubelet, its kube-proxy, or both. Without kubelet the nodes are somebody
    /// else's.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "kubelet")]
    morph: Vec<MorphArg>,
    #[command(flatten)]
    shard: ShardArgs,
    /// Nodes made by others to keep as well: KEY=VALUE for a label, annotation:KEY=VALUE for an annotation.
    #[arg(long, value_name = "SELECTOR")]
    adopt: Option<Adopt>,
    /// From binding to the start of a pod: 2s, uniform:1s,5s, exp:3s or lognormal:2s,0.8.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    start_latency: Distribution,
    /// How long the containers of a Job's pod run.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    job_run_time: Distribution,
    /// How long containers take to stop; the grace period caps it.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    termination: Distribution,
    /// The kubelet version that the nodes show; default: the API server's.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "VERSION")]
    kubelet_version: String,
    /// The InternalIP of all nodes; default: a made-up one for each.
    #[arg(long, value_name = "IP")]
    node_ip: Option<IpAddr>,
    /// Where the kubelet's HTTPS endpoint of all nodes listens: `kubectl logs`, metrics-server.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10250")]
    kubelet_address: SocketAddr,
    /// Serve /metrics, /healthz and /readyz at this address, such as 127.0.0.1:9109.
    #[arg(long, value_name = "ADDRESS")]
    metrics_addr: Option<SocketAddr>,
    /// What happens to the nodes at the end.
    #[arg(long, value_enum, default_value_t = OnStop::Remove)]
    on_stop: OnStop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProfileArg {
    /// One watch for all nodes, no reads, no events: the least load.
    Light,
    /// What a kubelet sends: each node has its own watches, reads before it writes, asks for tokens, posts events.
    Kubelet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MorphArg {
    Kubelet,
    Proxy,
}

/// What happens to the nodes at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnStop {
    /// They are deleted.
    Remove,
    /// They stay, and turn NotReady; the next start takes them over.
    Keep,
}

/// What becomes of the nodes' process when it is asked to end, and asked again.
const NODES: Ending = Ending {
    first: "nodes are removed or kept as --on-stop says",
    second: "the nodes that are still there turn NotReady; the next start takes them over",
};

/// Runs `kubereel hollow`.
pub(super) async fn run(args: HollowArgs) -> anyhow::Result<Outcome> {
    let mut source = args.source();
    let groups = source.read()?;
    let kubelet = args.listen().await;
    let options = args.options(kubelet.as_ref())?;
    let target = connect(&args.target.choose()?.connect).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    tracing::info!("hollow nodes on {target}");
    ending_with(NODES, async |stop| {
        let host = Arc::new(Host::start(&target, &clock, options).await?);
        let _metrics = match args.metrics_addr {
            Some(address) => {
                let server = MetricsServer::start(address, host.clone()).await;
                let server = server.with_context(|| format!("cannot listen on {address} for metrics"))?;
                tracing::info!("metrics on http://{}/metrics", server.address);
                Some(server)
            }
            None => None,
        };
        let _endpoint = kubelet.map(|listener| host.serve(listener)).transpose()?;
        host.set_groups(&groups).await?;
        play(&host, &mut source, &stop).await?;
        if args.on_stop == OnStop::Remove {
            tracing::info!("removing the nodes");
            host.remove_nodes().await.context("the nodes could not be removed")?;
        }
        Ok(Outcome::Done)
    })
    .await
}

/// Until the end is asked for: follows the node groups and says how it goes.
async fn play(host: &Host, source: &mut Source, stop: &Stop) -> anyhow::Result<()> {
    let mut look = interval(LOOK_EVERY);
    let mut said = Counts::default();
    let mut quiet = Duration::ZERO;
    while !stop.is_stopped() {
        tokio::select! {
            _ = look.tick() => {
                match source.changed() {
                    Some(Ok(groups)) => {
                        tracing::info!("the node groups have changed");
                        host.set_groups(&groups).await?;
                    }
                    // A file that is being written; what was read before goes on.
                    Some(Err(error)) => tracing::warn!("{error:#}; the node groups stay as they are"),
                    None => {}
                }
                quiet += LOOK_EVERY;
                let counts = host.counts();
                if counts.registered != said.registered && quiet >= SAY_EVERY {
                    tracing::info!("{} of {} nodes registered, {} pods", counts.registered, counts.nodes, counts.pods);
                    said = counts;
                    quiet = Duration::ZERO;
                }
            }
            () = sleep(Duration::from_millis(100)) => {}
        }
    }
    Ok(())
}

impl HollowArgs {
    /// Where the node groups come from: a file, or the options.
    fn source(&self) -> Source {
        if let Some(path) = &self.config {
            return Source::file(path.clone());
        }
        let map = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
        Source::Fixed(NodeGroup {
            name_prefix: self.name_prefix.clone(),
            nodes: self.nodes,
            capacity: map(&self.capacity),
            allocatable: map(&self.allocatable),
            labels: map(&self.labels),
            annotations: map(&self.annotations),
            taints: self.taints.clone(),
            static_pods: Vec::new(),
        })
    }

    /// The kubelet's endpoint. The nodes do without it: another kubelet on this machine may have the port.
    async fn listen(&self) -> Option<TcpListener> {
        let address = self.kubelet_address;
        let listener = TcpListener::bind(address).await;
        listener
            .inspect_err(|error| {
                tracing::warn!("no kubelet endpoint: cannot listen on {address}: {error}; choose another --kubelet-address");
            })
            .ok()
    }

    fn options(&self, kubelet: Option<&TcpListener>) -> anyhow::Result<HostOptions> {
        Ok(HostOptions {
            profile: match self.profile {
                ProfileArg::Light => Profile::Light,
                ProfileArg::Kubelet => Profile::Kubelet,
            },
            morph: Morph {
                kubelet: self.morph.contains(&MorphArg::Kubelet),
                proxy: self.morph.contains(&MorphArg::Proxy),
            },
            shard: self.shard.choose()?.unwrap_or_default(),
            adopt: self.adopt.clone(),
            defaults: Defaults {
                start_latency: self.start_latency,
                job_run_time: self.job_run_time,
                termination: self.termination,
            },
            kubelet_version: self.kubelet_version.clone(),
            node_ip: self.node_ip,
            // Port 0 stands for one that the system chose.
            kubelet: kubelet.map_or(Ok(self.kubelet_address), TcpListener::local_addr)?,
        })
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?}: write KEY=VALUE"))?;
    if key.is_empty() { Err(format!("{text:?} has no key")) } else { Ok((key.to_owned(), value.to_owned())) }
}

fn parse_quantity(text: &str) -> Result<(String, String), String> {
    let (name, quantity) = parse_pair(text)?;
    if parse_quantity_milli(&quantity).is_none() {
        return Err(format!("{quantity:?} is no quantity: write 4, 500m, 256Gi"));
    }
    Ok((name, quantity))
}

fn parse_taint(text: &str) -> Result<Taint, String> {
    let (rest, effect) =
        text.rsplit_once(':').ok_or_else(|| format!("{text:?}: write KEY[=VALUE]:EFFECT"))?;
    if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        return Err(format!("{effect:?} is no effect: NoSchedule, PreferNoSchedule or NoExecute"));
    }
    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
    Ok(Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_as_kubectl_writes_them() {
        let taint = parse_taint("dedicated=test:NoSchedule").unwrap();
        assert_eq!((taint.key.as_str(), taint.value.as_str()), ("dedicated", "test"));
        assert_eq!(parse_taint("gpu:NoExecute").unwrap().value, "");
        assert!(parse_taint("gpu").is_err() && parse_taint("gpu:Never").is_err());
    }

    #[test]
    fn quantities_are_checked() {
        assert!(parse_quantity("cpu=72").is_ok() && parse_quantity("cpu=many").is_err());
        assert!(parse_quantity("cpu").is_err() && parse_pair("=x").is_err());
    }
}
