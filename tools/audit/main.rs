//! Counts the requests in an API server's audit log by program, verb and resource, in all and by node:
//! `cargo run --example audit -- audit.log`. `--policy` prints the policy for such a log:
//!
//! ```text
//! cargo run --example audit -- --policy > policy.yaml
//! kubereel cluster up --extra-arg kube-apiserver=--audit-policy-file=$PWD/policy.yaml \
//!     --extra-arg kube-apiserver=--audit-log-path=$PWD/audit.log
//! ```
#![expect(clippy::print_stdout, reason = "a program, not a library")]

mod requests;

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Parser;
use comfy_table::{Table, presets};
use serde::Serialize;

use requests::{Class, Request};

/// Counts the requests in an API server's audit log.
#[derive(Debug, Parser)]
#[command(name = "audit")]
struct Args {
    /// The log.
    #[arg(required_unless_present = "policy")]
    log: Option<PathBuf>,
    /// Print an audit policy for such a log instead.
    #[arg(long)]
    policy: bool,
    /// Only requests of programs whose user agent begins so.
    #[arg(long, default_value = "", hide_default_value = true)]
    agent: String,
    /// Only requests from this time on: 2026-11-25T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Only requests before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
    /// Divide by so many nodes; by those that renew their leases in the log if not given.
    #[arg(long)]
    nodes: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A line of the result.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    class: Class,
    requests: u64,
    per_node: f64,
    per_node_second: f64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let Some(log) = args.log.as_ref().filter(|_| !args.policy) else {
        print!("{}", requests::POLICY);
        return Ok(());
    };
    let file = File::open(log).with_context(|| format!("cannot open {}", log.display()))?;
    let all = requests::read(BufReader::new(file)).with_context(|| log.display().to_string())?;
    let wanted: Vec<Request> = all.into_iter().filter(|request| args.wants(request)).collect();
    let rows = rows(&wanted, args.nodes.unwrap_or_else(|| requests::nodes(&wanted)));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        println!("{}", table(&rows));
    }
    Ok(())
}

impl Args {
    fn wants(&self, request: &Request) -> bool {
        request.class.agent.starts_with(&self.agent)
            && self.from.is_none_or(|from| request.at >= from)
            && self.to.is_none_or(|to| request.at < to)
    }
}

fn rows(requests: &[Request], nodes: usize) -> Vec<Row> {
    let first = requests.iter().map(|request| request.at).min();
    let last = requests.iter().map(|request| request.at).max();
    let seconds = last.zip(first).map_or(0.0, |(last, first)| (last - first).as_seconds_f64()).max(1.0);
    let row = |(class, requests): (Class, u64)| {
        let per_node = requests as f64 / nodes.max(1) as f64;
        Row { class, requests, per_node, per_node_second: per_node / seconds }
    };
    requests::count(requests).into_iter().map(row).collect()
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["PROGRAM", "VERB", "RESOURCE", "REQUESTS", "A NODE", "A NODE AND SECOND"]);
    for row in rows {
        table.add_row([
            row.class.agent.clone(),
            row.class.verb.clone(),
            row.class.resource.clone(),
            row.requests.to_string(),
            format!("{:.2}", row.per_node),
            format!("{:.4}", row.per_node_second),
        ]);
    }
    table
}
