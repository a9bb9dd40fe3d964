use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::args::{ConnectArgs, Format, parse_duration, parse_instant, parse_speed};
use super::shape::ShapeArgs;
use super::shard::ShardArgs;
use super::signals::stoppable;
use super::{Outcome, output, progress};
use crate::diff::{self, Facts, RunVerdict};
use crate::k8s::connect;
use crate::replay::{
    self, Existing, Left, Mode, OnError, OnErrorRule, Outlook, Plan, RunOptions, RunStatus, Severity,
};
use crate::trace::{Reader, RunInfo, Window, digest_of};

/// Plays a reel against a cluster: nodes and pods as inputs, decisions left to its scheduler.
///
/// The target wants a kube-controller-manager with the node-lifecycle-controller; nodes are hollow, made and kept
/// alive by this process. The run is recorded into a reel of its own. A lockstep run taints nodes by itself: it
/// repeats exactly only where that controller is off, as in the clusters of `kubereel compare`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubereel cluster up --name lab --detach
  kubereel replay prod.reel --dry-run
  kubereel replay prod.reel --dry-run --cluster lab
  kubereel replay prod.reel --cluster lab --speed 10x --out run.reel
  kubereel replay prod.reel --cluster lab --speed 10x --scale-pods 2 --skip-idle 30s --out run.reel
  kubereel replay prod.reel --cluster lab --mode lockstep --out run.reel
  kubereel replay prod.reel --cluster lab --mode flood --out run.reel
  kubereel replay prod.reel --context big --shard 0/4 --run-id r1 --start-at 2026-11-25T12:00:00Z --out run-0.reel
  kubereel replay prod.reel --cluster lab --out run.reel --max-lateness 20ms --on-error refused=stop

The summary ends with the run's verdict. A run is invalid, and the exit code 3, if it was late or held up, if events may
be missing, if actions failed for another reason than that the run has decided otherwise than the recording, if the API
server or the scheduler restarted, if a lockstep step found no rest, or if it was cut short. `diff` and `compare` say the same
of its reel.")]
pub(super) struct ReplayArgs {
    /// The reel to play.
    trace: PathBuf,
    /// Where the run's reel goes.
    #[arg(short, long, value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Only say what the plan is: inputs, peak rate, resources asked and there, pods that no node could hold. With
    /// --cluster, --context or --kubeconfig also what stands in its way there.
    #[arg(long)]
    dry_run: bool,
    /// Replace that file if it exists.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    target: ConnectArgs,
    #[command(flatten)]
    shape: ShapeArgs,
    /// How to pace.
    #[arg(long, value_enum, default_value_t = ModeArg::Open)]
    mode: ModeArg,
    /// Trace seconds per second, for mode open.
    #[arg(long, value_parser = parse_speed, default_value = "1x")]
    speed: f64,
    /// Address of the scheduler under test, for its metrics: lockstep needs it unless --cluster says it.
    #[arg(long, value_name = "URL")]
    scheduler_url: Option<String>,
    /// Play even though the target has nodes or pods of others; needs --context.
    #[arg(long, requires = "context")]
    allow_existing: bool,
    /// How long to wait after the end of the trace for pods that are still on their way.
    #[arg(long, value_parser = parse_duration, default_value = "30s")]
    drain: Duration,
    /// How late actions may be (99th percentile) in mode open before the run is invalid.
    #[arg(long, value_parser = parse_duration, default_value = "100ms", value_name = "TIME")]
    max_lateness: Duration,
    /// For how long a request is made again that gets no answer, 429 or 5xx; the server's Retry-After is kept to.
    #[arg(long, value_parser = parse_duration, default_value = "2m", value_name = "TIME")]
    retry: Duration,
    /// What to do when an action fails after all retries: `continue` or `stop`, or for one kind of failure (no-answer,
    /// throttled, server, refused, moot) such as `refused=stop`. Later ones overrule; the default is to continue.
    #[arg(long, value_name = "[KIND=]WHAT")]
    on_error: Vec<OnErrorRule>,
    #[command(flatten)]
    shard: ShardArgs,
    /// Id of the run, on everything that it makes; default: a new one. Parts of a run need the same.
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// When the play starts, such as 2026-11-25T12:00:00Z; default: right after the warm-up. Parts of a run need the same.
    #[arg(long, value_parser = parse_instant, value_name = "TIME")]
    start_at: Option<i64>,
    /// How often the metrics of the control plane are recorded, besides at the start and at the end.
    #[arg(long, value_parser = parse_duration, default_value = "15s", value_name = "TIME")]
    metrics_interval: Duration,
    /// How to print the summary.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How a replay is paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ModeArg {
    /// Trace time divided by the speed.
    Open,
    /// Each action waits for the scheduler to come to rest: repeatable decisions.
    Lockstep,
    /// As fast as the target takes it: throughput. Pods are deleted once they are decided on.
    Flood,
}

impl ModeArg {
    /// With the speed, which only open mode has.
    pub(super) fn with_speed(self, speed: f64) -> Mode {
        match self {
            ModeArg::Open => Mode::Open { speed },
            ModeArg::Lockstep => Mode::Lockstep,
            ModeArg::Flood => Mode::Flood,
        }
    }
}

pub(super) async fn run(args: ReplayArgs) -> anyhow::Result<Outcome> {
    let (plan, mut source) = read_plan(&args.trace, &args.shape)?;
    let Some(out) = args.out.clone().filter(|_| !args.dry_run) else {
        return dry_run(&args, &plan, source.plan_sha256).await;
    };
    source.max_lateness_ns = args.max_lateness.as_nanos() as u64;
    let shard = args.shard.choose()?;
    if shard.is_some() && (args.run_id.is_none() || args.start_at.is_none()) {
        bail!("a part of a run needs --run-id and --start-at, the same for all parts");
    }
    let chosen = args.target.choose()?;
    let target = connect(&chosen.connect).await?;
    tracing::info!("replaying {} against {target}", args.trace.display());
    let scheduler_url = args.scheduler_url.or(chosen.scheduler_url);
    let mut components = chosen.components;
    components.extend(scheduler_url.iter().map(|url| ("kube-scheduler".to_owned(), url.clone())));
    let status = RunStatus::default();
    let options = RunOptions {
        mode: args.mode.with_speed(args.speed),
        out: out.clone(),
        overwrite: args.overwrite,
        scheduler_url,
        scheduler_log: chosen.scheduler_log,
        score_point: 1,
        allow_existing: args.allow_existing,
        drain: args.drain,
        retry: args.retry,
        on_error: OnError::of(&args.on_error),
        components,
        metrics_every: args.metrics_interval,
        status: status.clone(),
        shard,
        run_id: args.run_id,
        start_at_wall_ns: args.start_at,
        command: std::env::args().collect(),
        source,
        scheduler_version: chosen.scheduler_version,
    };
    let left = plan.left.clone();
    let summary = stoppable(async |stop| {
        tokio::select! {
            ran = replay::run(&target, &chosen.connect, plan, &options, &stop) => Ok(ran?),
            never = progress::show(&status) => never,
        }
    })
    .await?;
    let facts = diff::load(&out)?;
    let verdict = RunVerdict::of(&facts);
    let text = match args.format {
        Format::Table => table(&facts, &verdict, &summary.id, &left, &out),
        Format::Json => json(&facts, &verdict, &summary.id, &left)?,
    };
    output::print(&text)?;
    Ok(if verdict.is_valid() { Outcome::Done } else { Outcome::Loss })
}

/// Says what the plan is, and what stands in its way where a target is named.
async fn dry_run(args: &ReplayArgs, plan: &Plan, plan_sha256: String) -> anyhow::Result<Outcome> {
    let findings = if args.target.is_given() {
        let target = connect(&args.target.choose()?.connect).await?;
        let mode = args.mode.with_speed(args.speed);
        let run = args.run_id.as_deref().unwrap_or_default();
        let existing = Existing { allowed: args.allow_existing, run };
        Some(replay::preflight(&target, plan, mode, existing).await?)
    } else {
        None
    };
    let seen = plan.outlook(plan_sha256);
    output::print(&match args.format {
        Format::Table => {
            let lines = findings.iter().flatten().map(|finding| format!("preflight  {finding}"));
            std::iter::once(outlook(&seen)).chain(lines).collect::<Vec<_>>().join("\n")
        }
        Format::Json => {
            let mut value = serde_json::to_value(&seen)?;
            if let Some(findings) = &findings {
                value["preflight"] = serde_json::to_value(findings)?;
            }
            serde_json::to_string_pretty(&value)?
        }
    })?;
    let fits = findings.iter().flatten().all(|finding| finding.severity == Severity::Warning);
    Ok(if fits { Outcome::Done } else { Outcome::Failed })
}

/// The plan of a reel, and what a run's header says about its source.
pub(super) fn read_plan(path: &Path, shape: &ShapeArgs) -> anyhow::Result<(Plan, RunInfo)> {
    let mut reader = Reader::open(path)?;
    let (from, to) = shape.span()?;
    let plan = Plan::build(Window::new(from, to).of(reader.by_ref()))?.shaped(&shape.shape()?);
    let source = RunInfo {
        source: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        source_sha256: digest_of(path)?,
        source_id: reader.header().id.clone(),
        plan_sha256: plan.digest(),
        shape: shape.described(),
        ..RunInfo::default()
    };
    for (reason, count) in &plan.left.0 {
        tracing::info!("left out: {count} {reason}");
    }
    Ok((plan, source))
}

fn outlook(plan: &Outlook) -> String {
    let inputs: Vec<String> = plan.inputs.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    let mut lines = vec![
        format!("plan       sha256 {}", plan.plan_sha256),
        format!(
            "start      {} nodes, {} bound pods, {} other objects",
            plan.nodes, plan.placed, plan.context
        ),
        format!(
            "inputs     {} over {:.0} s, at most {} in a second",
            if inputs.is_empty() { "none".to_owned() } else { inputs.join(", ") },
            plan.span_seconds,
            plan.peak_inputs_per_second
        ),
    ];
    lines.extend(plan.resources.iter().filter(|(_, demand)| demand.peak_asked > 0.0).map(
        |(name, demand)| {
            let share = 100.0 * demand.peak_asked / demand.there;
            let there = if demand.there > 0.0 {
                format!("{} there ({share:.0} %)", demand.there)
            } else {
                "none there".to_owned()
            };
            format!("resource   {name}: at most {} asked at once, {there}", demand.peak_asked)
        },
    ));
    if plan.refills > 0 {
        lines.push(format!(
            "loop       closed: places refilled as needed: {}; recorded replacements left out: {}",
            plan.refills, plan.replacements
        ));
    } else if plan.replacements > 0 {
        lines
            .push(format!("loop       open: recorded replacements of preempted pods: {}", plan.replacements));
    }
    lines.extend(plan.impossible.iter().map(|pod| format!("never      {}: {}", pod.pod, pod.reason)));
    let more = plan.impossible_pods - plan.impossible.len();
    lines.extend((more > 0).then(|| format!("never      and {more} more that no node could hold")));
    lines.extend(plan.left_out.0.iter().map(|(reason, count)| format!("left out   {count} {reason}")));
    lines.join("\n")
}

fn table(facts: &Facts, verdict: &RunVerdict, id: &str, left: &Left, out: &Path) -> String {
    let c = facts.counts;
    let late = &facts.lateness;
    let mut lines = vec![
        format!("pods       {} submitted, {} bound, {} never bound", c.pods, c.bound, c.never_bound),
        format!(
            "ends       {} succeeded, {} failed, {} deleted, {} preempted",
            c.succeeded, c.failed, c.deleted, c.preempted
        ),
        format!("warm-up    {} pods placed before the play", c.warm_up),
    ];
    // In lockstep an action is due when its turn comes: it cannot be late.
    let paced = late.late.as_ref().filter(|_| facts.run.is_paced());
    lines.extend(paced.map(|l| {
        format!("lateness   p50 {:.1?}, p99 {:.1?}, max {:.1?} over {} actions", l.p50, l.p99, l.max, l.n)
    }));
    lines.extend(late.rate().filter(|_| facts.run.is_flood()).map(|rate| {
        format!("flood      {rate:.0} actions a second, from the first sent to the last answered")
    }));
    if !late.failed.is_empty() {
        let errors: Vec<_> = late.failed.iter().map(|(status, n)| format!("{n} x {status}")).collect();
        lines.push(format!(
            "refused    {} actions by HTTP status: {}",
            late.failed.values().sum::<u64>(),
            errors.join(", ")
        ));
    }
    if late.retries > 0 {
        lines.push(format!("retries    {} requests were made again", late.retries));
    }
    for (reason, n) in &left.0 {
        lines.push(format!("left out   {n} {reason}"));
    }
    lines.push(format!("reel       {}", out.display()));
    lines.push(format!("target     keeps nodes and pods; `kubereel clean --run {id}` removes them"));
    if verdict.is_valid() {
        lines.push("verdict    valid".to_owned());
    }
    lines.extend(verdict.faults.iter().map(|fault| format!("INVALID    the run {fault}")));
    lines.join("\n")
}

fn json(facts: &Facts, verdict: &RunVerdict, id: &str, left: &Left) -> anyhow::Result<String> {
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let c = facts.counts;
    let late = &facts.lateness;
    let value = serde_json::json!({
        "schema": "kubereel.dev/run/v1",
        "pods": {"submitted": c.pods, "bound": c.bound, "never_bound": c.never_bound, "succeeded": c.succeeded,
                 "failed": c.failed, "deleted": c.deleted, "preempted": c.preempted, "warm_up": c.warm_up},
        "lateness_ms": late.late.as_ref().filter(|_| facts.run.is_paced()).map(|l| serde_json::json!(
            {"n": l.n, "p50": ms(l.p50), "p99": ms(l.p99), "max": ms(l.max)})),
        "actions_per_second": late.rate(),
        "refused": late.failed,
        "retries": late.retries,
        "id": id,
        "restless_steps": facts.unsettled,
        "complete": !facts.is_cut_short,
        "gaps": facts.gap_count(),
        "left_out": left.0,
        "valid": verdict.is_valid(),
        "faults": verdict.faults.iter().map(|fault| serde_json::json!(
            {"code": fault.code(), "text": fault.to_string()})).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&value).context("cannot write the summary as JSON")
}
