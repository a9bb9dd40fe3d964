use clap::{Args, ValueEnum};

use crate::import::{Arrival, Initial, Lifetime, Shaping};

/// How the load is changed on its way into the reel; written into its header.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(super) struct ShapingArgs {
    /// When pods arrive: trace (their own times), uniform:RATE (so many a second, in the order of their times) or burst.
    #[arg(long, value_name = "ARRIVAL", default_value = "trace")]
    arrival: Arrival,
    /// Divide arrival times by this; waits and run times stay, so that more pods are alive at a time.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = factor)]
    time_compress: f64,
    /// Repeat pods, or draw some of them, until they ask, all at once, for this share of what the nodes have, in the
    /// resource that they ask for most of; implies --no-delete.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    fill: Option<f64>,
    /// Nothing ends, nothing is deleted.
    #[arg(long)]
    no_delete: bool,
    /// Keep so many of the nodes, with the mix that they have.
    #[arg(long, value_name = "N")]
    sample_nodes: Option<usize>,
    /// What a pod's end counts from.
    #[arg(long, value_enum, default_value_t = LifetimeArg::FromBind)]
    lifetime: LifetimeArg,
    /// What becomes of pods that were there before the trace starts, where the trace does not say on which nodes.
    #[arg(long, value_enum, default_value_t = InitialArg::Place)]
    initial: InitialArg,
    /// What draws follow from: the same seed, the same reel.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LifetimeArg {
    /// From its binding: one that is bound later in a replay ends later.
    FromBind,
    /// From the start: it is deleted at its time in the trace, bound or not.
    Absolute,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InitialArg {
    /// They are put on nodes, least full first, before the play; no statistic counts them.
    Place,
    /// They are submitted when the play starts.
    Submit,
}

fn factor(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "a factor is a number above 0".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= 100.0);
    number.ok_or_else(|| "a share is a number above 0 and up to 100; 1.3 is 130 %".to_owned())
}

impl From<ShapingArgs> for Shaping {
    fn from(args: ShapingArgs) -> Shaping {
        Shaping {
            arrival: args.arrival,
            time_compress: args.time_compress,
            fill: args.fill,
            no_delete: args.no_delete,
            sample_nodes: args.sample_nodes,
            lifetime: match args.lifetime {
                LifetimeArg::FromBind => Lifetime::FromBind,
                LifetimeArg::Absolute => Lifetime::Absolute,
            },
            initial: match args.initial {
                InitialArg::Place => Initial::Place,
                InitialArg::Submit => Initial::Submit,
            },
            seed: args.seed,
        }
    }
}
