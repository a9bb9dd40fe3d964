use anyhow::bail;
use clap::Args;

use crate::hollow::Shard;

/// Which part of the work is this process's.
#[derive(Debug, Args)]
pub(super) struct ShardArgs {
    /// Do only a part: 0/3, 1/3 or 2/3. Default: the pod's number where `JOB_COMPLETION_INDEX` or the name of a StatefulSet's
    /// pod tells it and --shards says of how many.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Of how many processes this is one; which one, its environment says.
    #[arg(long, value_name = "N", conflicts_with = "shard", value_parser = clap::value_parser!(u32).range(1..))]
    shards: Option<u32>,
}

impl ShardArgs {
    /// The part that was asked for.
    ///
    /// # Errors
    /// Where the environment does not say which part of how many this is.
    pub(super) fn choose(&self) -> anyhow::Result<Option<Shard>> {
        let Some(count) = self.shards else { return Ok(self.shard) };
        let read = |name: &str| std::env::var(name).ok();
        let index = pod_index(read("JOB_COMPLETION_INDEX").as_deref(), read("HOSTNAME").as_deref());
        let Some(index) = index else {
            bail!(
                "--shards {count}: neither JOB_COMPLETION_INDEX nor HOSTNAME ends in a number; give --shard I/{count}"
            );
        };
        if index >= count {
            bail!(
                "--shards {count}: this is process number {index}, counted from 0; are there more replicas than shards?"
            );
        }
        Ok(Some(Shard { index, count }))
    }
}

/// Which pod of an Indexed Job or of a StatefulSet this is.
fn pod_index(completion: Option<&str>, hostname: Option<&str>) -> Option<u32> {
    let ordinal = || hostname?.rsplit_once('-')?.1.parse().ok();
    completion.and_then(|index| index.parse().ok()).or_else(ordinal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_knows_its_number() {
        assert_eq!(pod_index(Some("3"), Some("hollow-7")), Some(3));
        assert_eq!(pod_index(None, Some("hollow-7")), Some(7));
        assert_eq!(pod_index(None, Some("laptop")), None);
        assert_eq!(pod_index(None, None), None);
    }
}
