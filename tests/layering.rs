//! Holds `use crate::…` against the layers of the design: a module uses only lower layers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Layer by module, as in the documentation of the crate.
fn layers() -> BTreeMap<&'static str, u8> {
    BTreeMap::from([
        ("model", 0),
        ("stats", 0),
        ("trace", 1),
        ("pace", 1),
        ("k8s", 1),
        ("expose", 1),
        ("record", 2),
        ("import", 2),
        ("hollow", 2),
        ("cluster", 2),
        ("diff", 2),
        ("replay", 3),
        ("compare", 4),
        ("report", 4),
        ("cli", 5),
    ])
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Modules that a text uses as `crate::NAME`, in braces too.
fn used(text: &str) -> Vec<String> {
    let name = |t: &str| t.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                names.extend(group.split('}').next().unwrap_or("").split(',').map(|n| name(n.trim())));
            }
            None => names.push(name(rest)),
        }
    }
    names
}

/// Where a file breaks the rule.
fn breaches(module: &str, text: &str) -> Vec<String> {
    let layers = layers();
    let code: Vec<_> = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let own = layers[module];
    let breach =
        |name: &String| layers.get(name.as_str()).is_some_and(|layer| *layer >= own) && name != module;
    used(&code).into_iter().filter(breach).collect()
}

#[test]
fn every_module_uses_only_lower_layers() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut checked = 0;
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        let module = relative.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
        if module == "main" || module == "lib" {
            continue;
        }
        assert!(layers().contains_key(module.as_str()), "{module} is in no layer");
        checked += 1;
        let found = breaches(&module, &fs::read_to_string(&file).unwrap());
        wrong.extend(found.into_iter().map(|used| format!("{} uses {used}", relative.display())));
    }
    assert!(checked > 50, "only {checked} files found");
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn breaches_are_found() {
    assert_eq!(breaches("trace", "use crate::model::Record;\n// crate::cli in a comment\n"), [""; 0]);
    assert_eq!(breaches("trace", "use crate::{model, replay::Plan};"), ["replay"]);
    assert_eq!(breaches("trace", "let c = crate::pace::SystemClock::start();"), ["pace"]);
}
