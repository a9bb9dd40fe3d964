use serde_json::Value;

/// Resources that are told at most; a reel can have hundreds.
const SHOWN: usize = 12;

/// Lines about a report, as an import has it or a reel.
pub(in crate::cli) fn table(report: &Value) -> Vec<String> {
    let rows = &report["rows"];
    let mut lines = vec![format!(
        "import     {} of {}",
        text(&report["format"]),
        report["inputs"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(" ")
    )];
    lines.push(format!("rows       {} read, {} used", rows["read"], rows["used"]));
    for (reason, dropped) in entries(&rows["dropped"]) {
        let first: Vec<_> = dropped["first"].as_array().into_iter().flatten().map(text).collect();
        let word = if dropped["expected"] == true { "skipped   " } else { "DROPPED   " };
        lines.push(format!("{word} {} {reason} ({})", dropped["count"], first.join(", ")));
    }
    lines.extend(rows["cut"].as_str().map(|cut| format!("CUT        {cut}")));
    lines.extend(load(&report["load"]));
    let told = |list: &'static str, word: &'static str| {
        report[list].as_array().into_iter().flatten().map(move |line| format!("{word} {}", text(line)))
    };
    lines.extend(told("lost", "lost      "));
    lines.extend(told("remarks", "REMARK    "));
    lines
}

fn load(load: &Value) -> Vec<String> {
    let (pods, count) = (&load["pods"], |value: &Value| value.as_u64().unwrap_or(0));
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let mut lines = vec![
        format!(
            "pods       {} at the start, {} submitted, {} at once at most",
            pods["initial"], pods["submitted"], pods["peak"]
        ),
        format!(
            "           {} bound, {} ran on a node that is not named, {} ended, {} deleted",
            pods["bound"], pods["placed_unknown"], pods["ended"], pods["deleted"]
        ),
        format!(
            "span       {:.0} s; {:.3} pods a second, {} in the busiest minute",
            number(&load["span_seconds"]),
            number(&load["submitted_per_second"]),
            load["busiest_minute"]
        ),
        format!("nodes      {}", load["nodes"]),
    ];
    let mut resources: Vec<_> = entries(&load["resources"]).collect();
    resources.sort_by(|a, b| number(&b.1["share"]).total_cmp(&number(&a.1["share"])));
    for (name, load) in resources.iter().take(SHOWN) {
        let share = load["share"]
            .as_f64()
            .map_or("no node has any".to_owned(), |share| format!("{:.1} %", share * 100.0));
        lines.push(format!(
            "  {name}: {} of {} at its peak, {share}, at {:.0} s",
            amount(name, number(&load["peak_demand"])),
            amount(name, number(&load["capacity"])),
            number(&load["at_seconds"])
        ));
    }
    lines.extend(
        (resources.len() > SHOWN).then(|| format!("  and {} more resources", resources.len() - SHOWN)),
    );
    let misfits = &load["misfits"];
    if count(&misfits["pods"]) > 0 {
        lines.push(format!("MISFITS    {} pods that no node can hold, even empty:", misfits["pods"]));
        let examples = misfits["examples"].as_array().into_iter().flatten();
        lines.extend(examples.map(|example| format!("             {}", text(example))));
    }
    lines
}

/// An amount in the unit that people use for it.
fn amount(resource: &str, amount: f64) -> String {
    match resource {
        "memory" | "ephemeral-storage" => format!("{:.0} GiB", amount / f64::from(1 << 30)),
        _ => format!("{}", (amount * 10.0).round() / 10.0),
    }
}

fn entries(map: &Value) -> impl Iterator<Item = (&str, &Value)> {
    map.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
