//! What a recording prints at its end.

use indicatif::{HumanBytes, HumanCount};
use serde_json::json;

use crate::record::{Recorded, SealedFile};

/// Lists of files are cut in the table after so many; JSON has them all.
const SHOWN: usize = 20;

pub(super) fn table(recorded: &Recorded) -> String {
    let total = &recorded.total;
    let seconds: f64 = recorded.files.iter().map(|file| file.span.as_secs_f64()).sum();
    let mut lines = vec![format!(
        "recorded {} events over {seconds:.0} s in {} files, {}, {} gaps",
        HumanCount(total.event_count()),
        recorded.files.len(),
        HumanBytes(total.bytes),
        total.gap_count()
    )];
    if let [file] = &recorded.files[..] {
        lines[0] = format!(
            "recorded {} events over {seconds:.0} s into {}, {}, {} gaps",
            HumanCount(total.event_count()),
            file.path.display(),
            HumanBytes(total.bytes),
            total.gap_count()
        );
    } else {
        let name = |file: &SealedFile| format!("  {}  {}", file.path.display(), HumanBytes(file.holds.bytes));
        lines.extend(recorded.files.iter().take(SHOWN).map(name));
        let more = recorded.files.len().saturating_sub(SHOWN);
        lines.extend((more > 0).then(|| format!("  and {more} more")));
    }
    for ((kind, reason), count) in &total.gaps {
        lines.push(format!("GAP      {count} of {kind}: {}", reason.as_str()));
    }
    for path in &recorded.waiting {
        lines.push(format!("WAITING  {} is not uploaded", path.display()));
    }
    lines.join("\n")
}

pub(super) fn json(recorded: &Recorded) -> anyhow::Result<String> {
    let file = |file: &SealedFile| {
        json!({"path": file.path, "bytes": file.holds.bytes, "records": file.holds.records,
               "events": file.holds.event_count(), "gaps": file.holds.gap_count(), "seconds": file.span.as_secs_f64()})
    };
    let gap = |((kind, reason), count): (&(String, crate::model::GapReason), &u64)| json!({"kind": kind, "reason": reason.as_str(), "count": count});
    Ok(serde_json::to_string_pretty(&json!({
        "schema": "kubereel.dev/recording/v1",
        "files": recorded.files.iter().map(file).collect::<Vec<_>>(),
        "records": recorded.total.records,
        "bytes": recorded.total.bytes,
        "events": recorded.total.events,
        "gaps": recorded.total.gaps.iter().map(gap).collect::<Vec<_>>(),
        "waiting": recorded.waiting,
    }))?)
}
