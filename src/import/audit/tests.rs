//! What a log says comes out as what an observer would have seen.

use serde_json::{Value, json};

use super::*;
use crate::import::testing::{Made, made, refused};

/// A log that is written line by line, a second apart.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
}

impl Log {
    /// A request about pod `p` of namespace `n` or, with a slash, of another resource.
    fn asked(&mut self, verb: &str, resource: &str, request: Value, response: Value) -> &mut Log {
        let at = self.lines.len() + 1;
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let (namespace, name) = if resource == "nodes" { ("", "node-1") } else { ("n", "p") };
        let mut event = json!({"kind": "Event", "auditID": format!("id-{at}"), "stage": "ResponseComplete", "verb": verb,
            "objectRef": {"resource": resource, "subresource": subresource, "namespace": namespace, "name": name},
            "responseStatus": {"code": 200}, "requestReceivedTimestamp": format!("2026-11-25T10:00:{at:02}.000000Z"),
            "stageTimestamp": format!("2026-11-25T10:00:{at:02}.004000Z")});
        if !request.is_null() {
            event["requestObject"] = request;
        }
        if !response.is_null() {
            event["responseObject"] = response;
        }
        self.lines.push(event.to_string());
        self
    }

    fn text(&self) -> Vec<u8> {
        self.lines.join("\n").into_bytes()
    }

    fn import(&self) -> Made {
        made(|target| {
            import(
                vec![Input::of("audit.log", self.text())],
                vec![Input::of("initial.json", initial())],
                target,
            )
        })
    }
}

fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "uid": "nu", "creationTimestamp": "2026-11-20T00:00:00Z"},
           "status": {"allocatable": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn initial() -> Vec<u8> {
    node().to_string().into_bytes()
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-11-25T10:00:01Z"},
           "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}], "terminationGracePeriodSeconds": 30},
           "status": {"phase": "Pending"}})
}

fn bound() -> Value {
    let mut pod = pod();
    pod["spec"]["nodeName"] = "node-1".into();
    pod
}

fn going(mut pod: Value, grace: u64) -> Value {
    pod["metadata"]["deletionTimestamp"] = "2026-11-25T10:00:40Z".into();
    pod["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    pod
}

fn status(phase: &str) -> Value {
    json!({"metadata": {"uid": "u"}, "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}})
}

#[test]
fn a_pod_is_made_bound_runs_and_goes() {
    let mut log = Log::default();
    log.asked("create", "pods", Value::Null, pod())
        .asked("create", "pods/binding", json!({"target": {"name": "node-1"}}), Value::Null)
        .asked("patch", "pods/status", status("Running"), Value::Null)
        .asked("delete", "pods", json!({"gracePeriodSeconds": 30}), going(bound(), 30))
        .asked("delete", "pods", json!({"gracePeriodSeconds": 0}), going(bound(), 0));
    let made = log.import();
    assert_eq!(
        made.events("Pod"),
        [
            "0 added p - Pending",
            "1 modified p node-1 Pending",
            "2 modified p node-1 Running",
            "3 modified p node-1 Pending going",
            "4 deleted p node-1 Pending going",
        ]
    );
    assert_eq!(made.events("Node"), ["0 initial node-1"]);
    assert_eq!(made.header.started_wall_ns, 1_795_600_801_004_000_000);
    let rows = &made.report.rows;
    assert_eq!((rows.read, rows.used, rows.is_loss()), (6, 6, false), "{}", rows.reasons());
    assert!(
        made.report.remarks.iter().any(|remark| remark.contains("at most 4.0ms")),
        "{:?}",
        made.report.remarks
    );
}

#[test]
fn without_bodies_deletions_follow_the_servers_rules() {
    let mut log = Log::default();
    log.asked("create", "pods", Value::Null, bound())
        .asked("patch", "pods/status", status("Running"), Value::Null)
        .asked("create", "pods/eviction", json!({"deleteOptions": {"gracePeriodSeconds": 5}}), Value::Null)
        .asked("delete", "pods", json!({"gracePeriodSeconds": 0}), Value::Null)
        .asked("create", "pods", Value::Null, pod())
        .asked("delete", "pods", Value::Null, Value::Null);
    let made = log.import();
    assert_eq!(
        made.events("Pod")[2..],
        [
            "2 modified p node-1 Running going",
            "3 deleted p node-1 Running going",
            "4 added p - Pending",
            "5 deleted p - Pending"
        ]
    );
    let evicted = made.records.iter().find_map(|record| match record {
        crate::model::Record::Object(event) if event.at.as_secs_f64() > 1.5 => {
            crate::model::PodView(&event.object).disruption()
        }
        _ => None,
    });
    assert_eq!(evicted, Some(crate::model::DisruptionReason::EvictionByEvictionAPI));
}

#[test]
fn a_finalizer_holds_a_pod_until_it_is_taken_away() {
    let mut held = going(bound(), 0);
    held["metadata"]["finalizers"] = json!(["batch.kubernetes.io/job-tracking"]);
    let mut log = Log::default();
    log.asked("create", "pods", Value::Null, bound()).asked("delete", "pods", Value::Null, held).asked(
        "patch",
        "pods",
        Value::Null,
        going(bound(), 0),
    );
    let events = log.import().events("Pod");
    assert_eq!(events.len(), 4, "{events:?}");
    assert!(events[1].contains("modified") && events[3].starts_with("2 deleted"), "{events:?}");
}

#[test]
fn what_cannot_be_told_is_counted() {
    let mut log = Log::default();
    log.asked("create", "pods", pod(), Value::Null)
        .asked("create", "pods/binding", json!({"target": {"name": "node-1"}}), Value::Null)
        .asked("patch", "pods/status", json!([{"op": "add"}]), Value::Null)
        .asked("update", "secrets", Value::Null, Value::Null)
        .asked(
            "update",
            "nodes/status",
            {
                let mut node = node();
                node["status"]["conditions"][0]["status"] = "False".into();
                node
            },
            Value::Null,
        )
        .asked("deletecollection", "pods", Value::Null, Value::Null);
    let made = log.import();
    let counts: Vec<_> = made
        .report
        .rows
        .dropped
        .iter()
        .map(|(why, d)| (why.split(' ').next().unwrap(), d.count, d.expected))
        .collect();
    assert_eq!(made.events("Pod"), [""; 0]);
    assert_eq!(made.events("Node").len(), 2);
    assert_eq!(counts.iter().map(|(_, count, _)| count).sum::<u64>(), 5, "{counts:?}");
    assert_eq!(made.report.rows.dropped[UNWANTED].first, ["audit.log:4"]);
    let nothing = refused(|target| import(vec![Input::of("a.log", "{}\n")], Vec::new(), target));
    assert!(
        nothing.contains("nothing in it can be used (1 rows read") && nothing.contains("a.log:1"),
        "{nothing}"
    );
}

#[test]
fn packed_logs_and_marks_are_no_matter() {
    use std::io::Write as _;
    let mut log = Log::default();
    log.asked("create", "pods", Value::Null, pod());
    let text = [b"\xef\xbb\xbf".to_vec(), log.text(), b"\r\n".to_vec()].concat();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&text).unwrap();
    let packed = packed.finish().unwrap();
    let made = made(|target| import(vec![Input::of("audit.log.gz", packed.clone())], Vec::new(), target));
    assert_eq!(made.events("Pod"), ["0 added p - Pending"]);
    assert!(made.report.remarks.iter().any(|remark| remark.contains("--initial")));
    let cut =
        refused(|target| import(vec![Input::of("cut.gz", &packed[..packed.len() / 2])], Vec::new(), target));
    assert!(cut.contains("cut.gz breaks off after line 0"), "{cut}");
}
