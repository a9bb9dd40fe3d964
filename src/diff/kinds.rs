use std::collections::HashMap;

use super::{Change, Why};

/// Divergences of one workload that have the same reason and the same winning plugin.
#[derive(Debug, Clone, Copy)]
pub struct Kind<'f> {
    /// The workload.
    pub workload: &'f str,
    /// Why they differ.
    pub why: Why,
    /// Why no node fitted, where that is it.
    pub reason: Option<&'f str>,
    /// The plugin that turned the choice, where scores did.
    pub plugin: Option<&'f str>,
    /// How many pods.
    pub pods: u64,
    /// Of them, roots that do more than rename nodes.
    pub roots: u64,
    /// The first of them.
    pub first: Change<'f>,
}

/// Divergences by workload, reason and winning plugin; those with the most roots first, then those with the most pods.
/// `changes` are in the order of the decisions.
pub fn kinds<'c, 'f: 'c>(changes: impl IntoIterator<Item = &'c Change<'f>>) -> Vec<Kind<'f>> {
    let mut kinds: Vec<Kind<'f>> = Vec::new();
    let mut known = HashMap::new();
    for change in changes {
        let (why, plugin) = (change.contest.why, change.contest.plugin);
        let reason = change.reason().filter(|_| why == Why::NoFit);
        let workload = change.a.workload();
        let at = *known.entry((workload, why, reason, plugin)).or_insert_with(|| {
            kinds.push(Kind { workload, why, reason, plugin, pods: 0, roots: 0, first: *change });
            kinds.len() - 1
        });
        kinds[at].pods += 1;
        kinds[at].roots += u64::from(change.is_root());
    }
    kinds.sort_by_key(|kind| std::cmp::Reverse((kind.roots, kind.pods)));
    kinds
}
