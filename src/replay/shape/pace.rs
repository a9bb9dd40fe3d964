use std::time::Duration;

use super::{RunTime, Shape};
use crate::replay::plan::Plan;

/// Sets how long pods take to start and to run.
pub(super) fn run_times(plan: &mut Plan, shape: &Shape) {
    for behaviour in plan.behaviours.values_mut() {
        behaviour.start_latency = shape.start_latency.unwrap_or(behaviour.start_latency);
        let Some(run) = &mut behaviour.run else { continue };
        run.after = match shape.run_time {
            RunTime::Recorded => run.after,
            RunTime::Factor(factor) => {
                Duration::try_from_secs_f64(run.after.as_secs_f64() * factor).unwrap_or(Duration::MAX)
            }
            RunTime::Fixed(time) => time,
        };
    }
}

/// Cuts every stretch without an input to `longest`. What pods do by themselves keeps its length.
pub(super) fn skip_idle(plan: &mut Plan, longest: Option<Duration>) {
    let Some(longest) = longest else { return };
    let (mut last, mut skipped) = (plan.origin, Duration::ZERO);
    let times = plan.actions.iter_mut().map(|timed| &mut timed.at).chain([&mut plan.end]);
    for at in times {
        skipped += at.since(last).saturating_sub(longest);
        last = *at;
        *at = *at - skipped;
    }
}
