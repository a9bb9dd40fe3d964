//! Ties between nodes, with a scheduler that draws among them (up to v1.34), against the real control plane.
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use crate::support::{Sandbox, Script, VERSION, exact};
use kubereel::cluster::{Dirs, Version};

/// The newest scheduler that draws. Building it takes five minutes from nothing, so that `make programs` leaves it out.
const DRAWS: &str = "v1.34.4";

/// Eight nodes that are alike: each pod finds several that score alike.
fn trace(sandbox: &Sandbox) {
    let mut script = Script::new(8);
    for n in 0..40 {
        script.pod(200 + n * 40, &format!("web-{n}"), "100m");
    }
    script.write(&sandbox.path("t.reel"));
}

#[test]
fn fixed_ties_make_runs_of_a_scheduler_that_draws_alike() {
    let version: Version = DRAWS.parse().unwrap();
    if !Dirs::from_env().unwrap().bin(&version).join("kube-scheduler").exists() {
        println!("skipped: `kubereel cluster install {DRAWS} --component kube-scheduler` was not run");
        return;
    }
    let sandbox = Sandbox::new();
    trace(&sandbox);
    let compare = |runs: &str, tie_break: &str| {
        let options = ["--baseline", DRAWS, "--candidate", DRAWS, "--control-plane", VERSION];
        let more = ["--runs", runs, "--tie-break", tie_break, "--format", "json"];
        sandbox.run(&[&["compare", "t.reel"], &options[..], &more].concat())
    };
    let fixed = compare("1", "fixed");
    assert_eq!(fixed.code, Some(0), "{}\n{}", fixed.out, fixed.err);
    assert_eq!(exact(&fixed.json(), "between"), (40, 40));
    let stock = compare("1", "stock");
    assert_eq!(stock.code, Some(4), "{}\n{}", stock.out, stock.err);
    assert!(exact(&stock.json(), "between").0 < 40);
}

#[test]
fn a_configuration_keeps_its_weights_and_what_cannot_be_fixed_is_refused() {
    let sandbox = Sandbox::new();
    trace(&sandbox);
    let config = |weight: u32| {
        format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n\
             - schedulerName: default-scheduler\n  plugins:\n    score:\n      disabled: [{{name: ImageLocality}}]\n\
            \x20     enabled: [{{name: NodeResourcesFit, weight: {weight}}}]\n"
        )
    };
    std::fs::write(sandbox.path("heavy.yaml"), config(3000)).unwrap();
    std::fs::write(sandbox.path("own.yaml"), config(7)).unwrap();
    let compare = |file: &str| {
        let options = ["--baseline", VERSION, "--candidate", VERSION, "--candidate-config", file];
        sandbox.run(&[&["compare", "t.reel"], &options[..], &["--scores", "--keep", "runs"]].concat())
    };
    let heavy = compare("heavy.yaml");
    assert_eq!(heavy.code, Some(1));
    assert!(
        heavy.err.contains("candidate") && heavy.err.contains("NodeResourcesFit has weight 3000"),
        "{}",
        heavy.err
    );
    let own = compare("own.yaml");
    assert!(matches!(own.code, Some(0 | 4)), "{}\n{}", own.out, own.err);
    let attempts = |run: &str| {
        let reel = format!("runs/{run}-1.reel");
        let cat = sandbox.ok(&["trace", "cat", &reel, "--kind", "SchedulingAttempt.kubereel.dev"]).out;
        let first = cat.lines().next().unwrap().to_owned();
        serde_json::from_str::<serde_json::Value>(&first).unwrap()["object"].clone()
    };
    // Points as configured: eight empty nodes score at least 90 of 100 for what they have left.
    let (stock, own) = (attempts("baseline"), attempts("candidate"));
    let fit =
        |attempt: &serde_json::Value| attempt["scores"][0]["plugins"]["NodeResourcesFit"].as_i64().unwrap();
    assert!((90..=100).contains(&fit(&stock)), "{stock}");
    assert_eq!(fit(&own), 7 * fit(&stock), "{own}");
    assert!(own["scores"][0]["plugins"].get("ImageLocality").is_none(), "{own}");
    assert_eq!(own["scores"][0]["node"], own["node"], "the best node is the one that was taken");
}
