//! Every dependency has a licence that `deny.toml` allows. `make audit` asks `cargo deny` for advisories as well,
//! which needs the advisory database from the network.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// The strings of the `allow` list in `deny.toml`.
fn allowed() -> BTreeSet<String> {
    let text = include_str!("../deny.toml");
    let list = text.split("allow = [").nth(1).unwrap().split(']').next().unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met: one alternative of every part.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    flat.split(" AND ").all(|part| part.split(" OR ").any(|name| allowed.contains(name.trim())))
}

#[test]
fn licences_of_all_dependencies_are_allowed() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let metadata = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50);
    let allowed = allowed();
    let refused: Vec<String> = packages
        .iter()
        .filter(|p| !is_met(p["license"].as_str().unwrap_or("none"), &allowed))
        .map(|p| format!("{} {}: {}", p["name"], p["version"], p["license"]))
        .collect();
    assert_eq!(refused, [""; 0]);
}

#[test]
fn expressions_are_understood() {
    let allowed = BTreeSet::from(["MIT".to_owned()]);
    assert!(is_met("MIT OR GPL-3.0", &allowed));
    assert!(is_met("(MIT OR GPL-3.0) AND MIT", &allowed));
    assert!(!is_met("MIT AND GPL-3.0", &allowed));
}
