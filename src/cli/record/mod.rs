mod args;
mod live;
mod summary;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

pub(super) use args::RecordArgs;

use super::args::Format;
use super::signals::stoppable;
use super::{Outcome, output};
use crate::expose::MetricsServer;
use crate::k8s::connect;
use crate::pace::Stop;
use crate::record::{Recorded, Status, record};

/// How often to look whether the recording has begun.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn run(args: RecordArgs) -> anyhow::Result<Outcome> {
    let chosen = args.source.choose()?;
    let target = connect(&chosen.connect).await?;
    let options = args.options(&target, &chosen.scheduler_version).await?;
    let status = Arc::new(Status::default());
    let metrics = match args.metrics_addr {
        Some(address) => {
            let server = MetricsServer::start(address, status.clone()).await;
            let server = server.with_context(|| format!("cannot serve metrics on {address}"))?;
            tracing::info!("metrics on http://{}/metrics", server.address);
            Some(server)
        }
        None => None,
    };
    let recorded = stoppable(async |stop: Stop| {
        tokio::select! {
            recorded = record(&target, &options, &stop, &status) => Ok(recorded?),
            never = live::show(&status, args.log_every) => never,
            never = stop_after(&args, &status, &stop) => never,
        }
    })
    .await?;
    drop(metrics);
    output::print(&match args.format {
        Format::Table => summary::table(&recorded),
        Format::Json => summary::json(&recorded)?,
    })?;
    Ok(outcome(&recorded))
}

/// Asks for the end after the time that was set, which begins when the first lists are in.
async fn stop_after<T>(args: &RecordArgs, status: &Status, stop: &Stop) -> T {
    if let Some(duration) = args.duration {
        while !status.snapshot().ready {
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep(duration).await;
        stop.stop();
    }
    std::future::pending().await
}

fn outcome(recorded: &Recorded) -> Outcome {
    if recorded.total.gap_count() > 0 || !recorded.waiting.is_empty() { Outcome::Loss } else { Outcome::Done }
}
