//! Hollow nodes beside KWOK and kubemark, real programs against a real control plane:
//!
//! ```text
//! cargo bench --bench hollow -- traffic        requests of 20 nodes: kubemark, then each profile
//! cargo bench --bench hollow -- scale          1,000 nodes and 5,000 pods: KWOK, then kubereel
//! cargo bench --bench hollow -- stub 10000     leases of 10,000 nodes against a server that only answers
//! cargo bench --bench hollow -- outage 10000   the same, with the server away for a minute
//! ```
//!
//! `tools/peers.py kwok kubemark` builds the others first.
#![allow(clippy::print_stdout, missing_docs, reason = "a program for people")]

#[path = "../../audit/requests.rs"]
#[allow(dead_code, unused_imports, reason = "its tests run with the program `audit`")]
mod requests;

#[path = "../stub_api.rs"]
mod stub_api;
#[path = "../used.rs"]
mod used;

mod fleet;
mod lab;
mod scale;
mod stub;
mod traffic;

use clap::{Parser, Subcommand};
use fleet::Who;

#[derive(Debug, Parser)]
#[command(name = "hollow")]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Cargo gives it.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Requests by verb and resource, from the audit log.
    Traffic {
        #[arg(default_value_t = 20)]
        nodes: usize,
        /// Length of each window, seconds.
        #[arg(long, default_value_t = 60)]
        window: u64,
        #[arg(long, value_enum, value_delimiter = ',', default_value = "kubemark,kubelet,light,proxy")]
        who: Vec<Who>,
    },
    /// CPU, memory, lease ages and time to Running.
    Scale {
        #[arg(default_value_t = 1_000)]
        nodes: usize,
        #[arg(default_value_t = 5_000)]
        pods: usize,
        #[arg(long, default_value_t = 60)]
        window: u64,
        #[arg(long, value_enum, value_delimiter = ',', default_value = "kwok,light")]
        who: Vec<Who>,
    },
    /// Requests after a stub was away.
    Outage {
        #[arg(default_value_t = 10_000)]
        nodes: usize,
        /// For so many seconds.
        #[arg(long, default_value_t = 60)]
        away: u64,
    },
    /// Lateness of leases and memory against a stub.
    Stub {
        #[arg(default_value_t = 10_000)]
        nodes: usize,
        #[arg(long, default_value_t = 60)]
        window: u64,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Args::parse().what {
        What::Traffic { nodes, window, who } => traffic::measure(nodes, window, &who).await,
        What::Scale { nodes, pods, window, who } => scale::measure(nodes, pods, window, &who).await,
        What::Outage { nodes, away } => stub::outage(nodes, away).await,
        What::Stub { nodes, window } => stub::measure(nodes, window).await,
    }
}
