//! Imports of public data sets, at the process boundary, held against counts that were taken from the data by other means.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/data.rs"]
mod data;
mod support;

use data::shared;
use serde_json::Value;
use support::Sandbox;

/// Imports and gives the report.
fn import(sandbox: &Sandbox, args: &[&str]) -> Value {
    let out = ["-o", "t.reel", "--overwrite", "--format", "json"];
    sandbox.ok(&[&["import"], args, &out].concat()).json()
}

fn counts(report: &Value) -> [u64; 3] {
    let pods = &report["load"]["pods"];
    [&pods["initial"], &pods["submitted"], &pods["peak"]].map(|count| count.as_u64().unwrap())
}

#[test]
fn openb_with_its_own_times_is_an_empty_cluster_and_says_so() {
    let (Some(nodes), Some(pods)) =
        (shared("openb/openb_node_list_all_node.csv"), shared("openb/openb_pod_list_default.csv"))
    else {
        return;
    };
    let sandbox = Sandbox::new();
    let tables = ["openb", "--nodes", nodes.to_str().unwrap(), "--pods", pods.to_str().unwrap()];
    let report = import(&sandbox, &tables);
    assert_eq!(report["rows"]["used"], 1_523 + 8_152);
    assert_eq!(counts(&report), [0, 8_152, 56]);
    let cards = &report["load"]["resources"]["kubereel.dev/gpu-milli"];
    assert_eq!((&cards["peak_demand"], &cards["capacity"]), (&65_590.0.into(), &6_212_000.0.into()));
    assert!(report["remarks"].to_string().contains("empty cluster"), "{report:#}");
    // Pods that were never scheduled, and pods that were alive at the end.
    assert_eq!(report["load"]["pods"]["deleted"], 897);
    assert_eq!(report["load"]["pods"]["ended"], 8_152 - 897 - 34);

    let first = std::fs::read(sandbox.path("t.reel")).unwrap();
    let fill = ["--fill", "1.3", "--arrival", "uniform:50"];
    let filled = import(&sandbox, &[&tables[..], &fill].concat());
    let share = filled["load"]["resources"]["kubereel.dev/gpu-milli"]["share"].as_f64().unwrap();
    assert!((share - 1.3).abs() < 0.002, "{share}");
    assert_eq!(filled["options"]["import.fill"], "1.3");
    let info = sandbox.ok(&["trace", "info", "t.reel", "--format", "json"]).json();
    assert_eq!(info["import"], filled, "the reel holds its report");
    assert_eq!(info["header"]["labels"]["import.arrival"], "uniform:50");
    import(&sandbox, &tables);
    assert!(std::fs::read(sandbox.path("t.reel")).unwrap() == first, "the same tables give the same reel");
}

#[test]
fn openb_has_a_pod_that_no_node_can_hold() {
    let (Some(nodes), Some(pods)) =
        (shared("openb/openb_node_list_all_node.csv"), shared("openb/openb_pod_list_gpuspec33.csv"))
    else {
        return;
    };
    let sandbox = Sandbox::new();
    let report =
        import(&sandbox, &["openb", "--nodes", nodes.to_str().unwrap(), "--pods", pods.to_str().unwrap()]);
    assert_eq!(report["load"]["misfits"]["pods"], 1);
    let example = report["load"]["misfits"]["examples"][0].as_str().unwrap();
    assert!(example.starts_with("default/openb-pod-1639: asks for 120 of cpu"), "{example}");
}

#[test]
fn dlrm_has_its_initial_pods_and_its_bursts() {
    let Some(csv) = shared("dlrm2025/disaggregated_DLRM_trace.csv") else { return };
    let sandbox = Sandbox::new();
    let report = import(&sandbox, &["dlrm", csv.to_str().unwrap()]);
    assert_eq!(report["rows"]["used"], 23_871);
    assert_eq!(counts(&report), [7_280, 16_591, 8_984]);
    assert_eq!(report["load"]["busiest_minute"], 179);
    assert_eq!(report["load"]["misfits"]["pods"], 0);
    let cards = &report["load"]["resources"]["nvidia.com/gpu"];
    assert_eq!(cards["peak_demand"], 3_414.0);
    let day = sandbox.ok(&["trace", "slice", "t.reel", "--from", "0s", "--to", "1d", "-o", "day.reel"]);
    assert!(day.out.contains("day.reel"), "{}", day.out);
}

/// Objects applied and deleted, owners, pods of the reel.
#[test]
fn simkube_traces_have_the_objects_that_are_in_them() {
    for (file, objects, owners, pods) in [
        ("bare-pods.sktrace", 4, 0, 4),
        ("cronjob.sktrace", 2, 1, 3),
        ("dsb-scaling.sktrace", 46, 27, 54),
        ("large_trace.json", 250, 27, 59),
        ("trace.json", 2, 1, 2),
        ("validation_trace.json", 1, 1, 1),
    ] {
        let Some(path) = shared(&format!("simkube/{file}")) else { return };
        let sandbox = Sandbox::new();
        let report = import(&sandbox, &["simkube", path.to_str().unwrap()]);
        let rows = &report["rows"];
        assert_eq!((&rows["read"], &rows["used"]), (&objects.into(), &objects.into()), "{file}");
        let [initial, submitted, _] = counts(&report);
        assert_eq!(initial + submitted, pods, "{file}");
        let told = format!("{owners} owners were turned into pods");
        assert_eq!(report["remarks"].to_string().contains(&told), owners > 0, "{file}: {report:#}");
    }
}

#[test]
fn simkube_run_times_are_those_of_the_trace() {
    let Some(path) = shared("simkube/cronjob.sktrace") else { return };
    let sandbox = Sandbox::new();
    import(&sandbox, &["simkube", path.to_str().unwrap()]);
    let cat = sandbox.ok(&["trace", "cat", "t.reel", "--kind", "Pod"]);
    let times: Vec<u64> = cat
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["object"]["status"]["phase"] != "Running")
        .map(|event| event["at"].as_u64().unwrap() / 1_000_000_000)
        .collect();
    // Three pods of 30 s, a minute apart, the first 38 s after the start.
    assert_eq!(times, [38, 68, 98, 128, 158, 188]);
}

#[test]
fn the_kwok_recording_has_its_documents() {
    let Some(path) = shared("kwok/handmade-recording.yaml") else { return };
    let sandbox = Sandbox::new();
    let report = import(&sandbox, &["kwok", path.to_str().unwrap()]);
    assert_eq!((&report["rows"]["read"], &report["rows"]["used"]), (&9.into(), &9.into()));
    assert_eq!(counts(&report), [1, 1, 2]);
    let pods = &report["load"]["pods"];
    assert_eq!((&pods["bound"], &pods["deleted"]), (&1.into(), &1.into()));
    assert_eq!(report["load"]["nodes"], 2);
}

#[test]
fn versions_that_are_not_known_are_refused_by_name() {
    let sandbox = Sandbox::new();
    let refused = |bytes: &[u8], word: &str| {
        std::fs::write(sandbox.path("t.sktrace"), bytes).unwrap();
        let ran = sandbox.run(&["import", "simkube", "t.sktrace", "-o", "x.reel"]);
        assert_eq!(ran.code, Some(1), "{}", ran.err);
        assert!(ran.err.contains(word), "{}", ran.err);
        assert!(!sandbox.path("x.reel").exists());
    };
    refused(b"\x94\x80\x90\x80\x80", "version 1");
    refused(br#"{"version": 3, "config": {}, "events": []}"#, "version 3");
    refused(b"\x81\xa7version\x07", "version 7");
    refused(b"anything", "no SimKube trace");
    refused(b"", "no SimKube trace");
}

#[test]
fn the_same_table_gives_the_same_reel() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("nodes.csv"), "sn,cpu_milli,memory_mib,gpu,model\nn,4000,1024,0,\n").unwrap();
    std::fs::write(
        sandbox.path("pods.csv"),
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1000,1,0,0\nq,x,1,0,0\n",
    )
    .unwrap();
    let args =
        ["import", "openb", "--nodes", "nodes.csv", "--pods", "pods.csv", "-o", "t.reel", "--overwrite"];
    let reel = || {
        let ran = sandbox.run(&args);
        assert_eq!(ran.code, Some(3), "a bad row is loss: {}", ran.err);
        assert!(ran.out.contains("DROPPED    1 a field that is no number (pods.csv:3)"), "{}", ran.out);
        std::fs::read(sandbox.path("t.reel")).unwrap()
    };
    assert_eq!(reel(), reel());
}
