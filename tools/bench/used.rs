//! What a process has used, by its number in `/proc` or `self`.
#![allow(dead_code, reason = "each benchmark uses its own part")]

use std::fmt::Display;

use anyhow::Context;

/// What it has had of all cores, seconds.
pub fn cpu_seconds(process: impl Display) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit(") ").next().context("no name in stat")?;
    let ticks = after_name.split(' ').skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// A memory figure, MiB: `VmRSS` is what it has, `VmHWM` the most that it had.
pub fn memory_mib(process: impl Display, figure: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.with_context(|| format!("no {figure}"))?.parse::<f64>()? / 1024.0)
}
