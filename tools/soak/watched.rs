//! A recorder in a process of its own, and what it takes.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use kubereel::pace::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{interval, sleep};

/// From sample to sample.
const INTERVAL: Duration = Duration::from_secs(5);

/// A `kubereel record` that is being looked at.
pub struct Watched {
    child: Child,
    clock: SystemClock,
    /// Seconds since the start, and resident memory in MiB.
    samples: Vec<(f64, f64)>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watched {
    /// Starts it; returns once its reel is there.
    pub async fn start(
        program: &Path,
        kubeconfig: &Path,
        reel: &Path,
        log: &Path,
    ) -> anyhow::Result<Watched> {
        let log = std::fs::File::create(log)?;
        let mut command = Command::new(program);
        command.arg("record").arg("--kubeconfig").arg(kubeconfig).arg("--out").arg(reel).arg("--overwrite");
        // What is redacted is not what the API server says.
        command.args(["--keep", "env"]);
        let child =
            command.stdout(Stdio::null()).stderr(log).spawn().context("the recorder does not start")?;
        let mut watched = Watched { child, clock: SystemClock::start(), samples: Vec::new() };
        // The first chunk is on the disk a second after the first record.
        while std::fs::metadata(reel).map_or(0, |meta| meta.len()) < 4096 {
            ensure!(watched.child.try_wait()?.is_none(), "the recorder ended at its start");
            sleep(Duration::from_millis(100)).await;
        }
        Ok(watched)
    }

    /// Looks at it for ever.
    pub async fn sample(&mut self) -> anyhow::Result<()> {
        let mut ticks = interval(INTERVAL);
        loop {
            ticks.tick().await;
            if let Some(status) = self.child.try_wait()? {
                bail!("the recorder ended by itself: {status}");
            }
            let mib = resident_mib(self.child.id())?;
            self.samples.push((self.clock.now().as_secs_f64(), mib));
        }
    }

    /// Asks it to end, and waits for that.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.child.id().try_into()?).context("no process")?;
        kill_process(pid, Signal::TERM)?;
        while self.child.try_wait()?.is_none() {
            sleep(Duration::from_millis(50)).await;
        }
        // 3 says that there are gaps.
        let code = self.child.wait()?.code();
        ensure!(matches!(code, Some(0 | 3)), "the recorder ended with {code:?}");
        Ok(())
    }

    /// Its memory over time.
    pub fn memory(&self) -> String {
        let last = self.samples.last().map_or(0.0, |(at, _)| *at);
        let mut text = String::from("resident memory of the recorder, MiB:");
        for part in 0..=10 {
            let from = last * f64::from(part) / 10.0;
            if let Some((at, mib)) = self.samples.iter().find(|(at, _)| *at >= from) {
                // Writing to a string cannot fail.
                let _ = write!(text, " {mib:.1} ({at:.0} s)");
            }
        }
        let peak = self.samples.iter().map(|(_, mib)| *mib).fold(0.0, f64::max);
        let late: Vec<_> = self.samples.iter().filter(|(at, _)| *at >= last / 4.0).copied().collect();
        let slope = slope(&late) * 3600.0;
        let _ = write!(text, "; peak {peak:.1}; slope over the last three quarters {slope:+.2} MiB an hour");
        text
    }
}

/// Least squares: rise per step to the right.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), point| {
        (over + (point.0 - x) * (point.1 - y), under + (point.0 - x).powi(2))
    });
    if under > 0.0 { over / under } else { 0.0 }
}

fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::slope;

    #[test]
    fn the_slope_of_a_line_is_its_slope() {
        let rising: Vec<_> = (0..10).map(|x| (f64::from(x), 3.0 + 0.5 * f64::from(x))).collect();
        assert!((slope(&rising) - 0.5).abs() < 1e-9);
        assert!(slope(&[(1.0, 2.0)]).abs() < 1e-9);
    }
}
