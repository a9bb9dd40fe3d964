//! The HTML report in a real browser: no console message, charts drawn, filter and pod stories work, nothing is
//! fetched, light or dark. Needs Chromium (`apt install chromium`); without it the test says so and does nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use kubereel::model::{Json, PodView, Record};
use kubereel::trace::{Header, Reader, ReelWriter, WriteOptions};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/traces/churn.reel");

/// What a person would do, at the end of the page: type into the filter, open the first pod.
const VISITOR: &str = r##"<script>
const told = {paths: document.querySelectorAll("#charts path").length, heat: document.querySelectorAll("#heat div").length,
  before: document.querySelectorAll("tr.pod").length};
const filter = document.getElementById("filter");
filter.value = "no such pod"; filter.dispatchEvent(new Event("input"));
told.none = document.querySelectorAll("tr.pod").length;
filter.value = ""; filter.dispatchEvent(new Event("input"));
document.querySelector("tr.pod").click();
told.first = document.getElementById("first").textContent.includes("just before");
told.numbers = document.querySelectorAll("#explored tr").length;
told.story = document.querySelector(".story").textContent.includes("bound to");
told.fetched = performance.getEntriesByType("resource").length;
told.wide = document.documentElement.scrollWidth > window.innerWidth;
told.dark = matchMedia("(prefers-color-scheme: dark)").matches;
// Relative luminance and contrast ratio as in WCAG 2.2.
const luminance = colour => colour.match(/[\d.]+/g).slice(0, 3).map(c => c / 255)
  .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
const style = getComputedStyle(document.body);
const [ink, ground] = [luminance(style.color), luminance(style.backgroundColor)];
told.ground = ground;
told.contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
document.body.dataset.told = JSON.stringify(told);
</script></body>"##;

/// The sample with three pods on another node.
fn moved(path: &Path) {
    let mut writer = ReelWriter::create(path, &Header::default(), WriteOptions::default()).unwrap();
    let (mut chosen, mut waited): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for record in Reader::open(Path::new(SAMPLE)).unwrap() {
        let mut record = record.unwrap();
        if let Record::Object(event) = &mut record
            && event.key.kind == "Pod"
            && let Some(node) = PodView(&event.object).node_name().map(str::to_owned)
        {
            let id = PodView(&event.object).id().to_owned();
            // What was bound before the recording began is not compared.
            if chosen.len() < 3 && waited.contains(&id) && !chosen.contains(&id) {
                chosen.push(id.clone());
            }
            if chosen.contains(&id) {
                event.object.set(&["spec", "nodeName"], Json::from(format!("{node}-other").as_str()));
            }
        }
        if let Record::Object(event) = &record
            && event.key.kind == "Pod"
            && PodView(&event.object).node_name().is_none()
        {
            waited.push(PodView(&event.object).id().to_owned());
        }
        writer.push(&record).unwrap();
    }
    writer.seal().unwrap();
}

fn chromium(dir: &Path, args: &[&str]) -> Option<Output> {
    let profile = format!("--user-data-dir={}", dir.join("profile").display());
    let base = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", &profile];
    match Command::new("chromium").args(base).args(args).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("chromium does not start: {error}"),
    }
}

#[test]
fn the_page_works_in_a_browser_and_asks_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("moved.reel");
    moved(&other);
    let kubereel = Command::new(env!("CARGO_BIN_EXE_kubereel"))
        .args(["diff", SAMPLE, other.to_str().unwrap(), "--format", "html"])
        .output()
        .unwrap();
    assert_eq!(kubereel.status.code(), Some(4), "{}", String::from_utf8_lossy(&kubereel.stderr));
    let page = String::from_utf8(kubereel.stdout).unwrap();
    let path = dir.path().join("report.html");
    fs::write(&path, page.replace("</body>", VISITOR)).unwrap();
    let url = format!("file://{}", path.display());
    // `preferredColorScheme` is Chromium's own number: 0 is dark, 1 is light.
    for (scheme, is_dark) in [
        ("--blink-settings=preferredColorScheme=1", false),
        ("--blink-settings=preferredColorScheme=0", true),
    ] {
        let Some(output) = chromium(dir.path(), &["--window-size=390,844", scheme, "--dump-dom", &url])
        else {
            println!("skipped: there is no chromium; `apt install chromium` brings it");
            return;
        };
        let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!log.contains(":CONSOLE"), "{log}");
        let told =
            dom.split("data-told=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let told: serde_json::Value = serde_json::from_str(&told.replace("&quot;", "\"")).unwrap();
        works(&told);
        assert_eq!(told["dark"], is_dark, "{told}");
        assert!((told["ground"].as_f64().unwrap() < 0.1) == is_dark, "{told}");
        // What WCAG 2.2 asks of text at level AAA.
        assert!(told["contrast"].as_f64() > Some(7.0), "{told}");
    }
}

/// What a page has, whatever its colours.
#[track_caller]
fn works(told: &serde_json::Value) {
    assert_eq!((&told["before"], &told["none"]), (&3.into(), &0.into()), "{told}");
    assert!(told["paths"].as_u64() >= Some(12) && told["heat"].as_u64() >= Some(27), "{told}");
    assert_eq!(told["first"], true, "{told}");
    assert!(told["numbers"].as_u64() > Some(10), "{told}");
    assert_eq!(
        (&told["story"], &told["fetched"], &told["wide"]),
        (&true.into(), &0.into(), &false.into()),
        "{told}"
    );
}
