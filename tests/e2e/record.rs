//! The recorder against the real control plane, at the process boundary: what it records, what it leaves out, and how
//! it behaves under the permissions that it is deployed with.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;

use crate::support::api::{Api, collection};
use crate::support::deploy::{account, kustomized};
use crate::support::recorder::Recorder;
use crate::support::{Ran, Sandbox};
use kubereel::model::{ObjectEvent, Record};
use kubereel::replay::{Action, Plan};
use kubereel::trace::{BlockType, Limits, Parser, Reader};
use serde_json::{Value, json};

fn records(path: &Path) -> Vec<Record> {
    Reader::open(path).unwrap().map(Result::unwrap).collect()
}

fn events(path: &Path) -> Vec<ObjectEvent> {
    let event = |record| if let Record::Object(event) = record { Some(event) } else { None };
    records(path).into_iter().filter_map(event).collect()
}

fn names(path: &Path, kind: &str) -> BTreeSet<String> {
    events(path).iter().filter(|e| e.key.kind == kind).map(|e| e.key.name.to_string()).collect()
}

/// All text of a reel: every block as it is once decompressed, and what a reader makes of it.
fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let mut parser = Parser::new(Limits::default());
    let (mut at, mut frames) = (0, Vec::<Vec<u8>>::new());
    while parser.wants() > 0 {
        let end = (at + parser.wants()).min(bytes.len());
        if let Some(block) = parser.feed(&bytes[at..end]).unwrap() {
            if block.header.kind != BlockType::More {
                frames.push(Vec::new());
            }
            frames.last_mut().unwrap().extend(&bytes[at..end]);
        }
        at = end;
    }
    let mut text = format!("{:?}", records(path));
    for frame in frames {
        let mut unpacked = Vec::new();
        // The frame of a chunk has no end: it is flushed, and then the next one begins.
        let _ = zstd::stream::read::Decoder::new(&frame[..]).unwrap().read_to_end(&mut unpacked);
        assert!(!unpacked.is_empty());
        text += &String::from_utf8_lossy(&unpacked);
    }
    text
}

/// A pod with `PLANTED` in every place that a recording leaves out by default.
fn pod(name: &str, tier: &str) -> Value {
    let container = |name: &str| {
        json!({"name": name, "image": format!("registry.acme.example/{name}"),
            "command": ["PLANTED-command"], "args": ["--password=PLANTED-args"],
            "env": [{"name": "PASSWORD", "value": "PLANTED-env"}],
            "resources": {"requests": {"cpu": "10m"}}})
    };
    let mut main = container("main");
    main["livenessProbe"] = json!({"exec": {"command": ["PLANTED-probe"]}});
    main["readinessProbe"] = json!({"httpGet": {"port": 80, "httpHeaders": [{"name": "Authorization", "value": "PLANTED-header"}]}});
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"tier": tier, "env": "prod"}, "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "PLANTED-applied"}},
        "spec": {"containers": [main], "initContainers": [container("init")],
            "imagePullSecrets": [{"name": "planted-pull-secret"}]}})
}

/// What a cluster may hold: pods of two namespaces, a workload's template, a custom resource, secrets.
fn furnish(api: &Api) {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}}));
    for namespace in ["shop", "bank"] {
        api.namespace(namespace);
    }
    api.pod("shop", &pod("web-1", "web"));
    api.pod("shop", &pod("db-1", "db"));
    api.pod("bank", &pod("vault-1", "web"));
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": pod("t", "web")["spec"]});
    api.post("/apis/apps/v1/namespaces/shop/replicasets", &json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "set"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": template}}));
    api.post(
        "/api/v1/namespaces/shop/secrets",
        &json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "token"}, "stringData": {"token": "PLANTED-secret"}}),
    );
    api.post(
        "/api/v1/namespaces/shop/configmaps",
        &json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "settings"}, "data": {"settings": "PLANTED-config"}}),
    );
    api.await_kind("widgets.example.com");
    api.post("/apis/example.com/v1/namespaces/shop/widgets", &widget("first"));
}

fn widget(name: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name},
           "spec": {"size": 3, "template": {"spec": pod("t", "web")["spec"]}}})
}

/// Base64, as the API server gives the content of secrets.
const PLANTED_BASE64: &str = "UExBTlRFRC1zZWNyZXQ";

#[test]
fn what_is_asked_for_is_recorded_and_planted_secrets_are_not() {
    let sandbox = Sandbox::new();
    let api = sandbox.lab();
    furnish(&api);
    usual_recording(&sandbox, &api);
    selected_recordings(&sandbox);
    anonymized_recordings(&sandbox, &api);
    let ran = sandbox.run(&["record", "--cluster", "lab", "-o", "x.reel", "--kinds", "gadgets.example.com"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("no kind \"gadgets.example.com\""), "{}", ran.err);
    assert!(!sandbox.path("x.reel").exists());
}

fn usual_recording(sandbox: &Sandbox, api: &Api) {
    let args = ["-o", "all.reel", "--kinds", "widgets.example.com,secrets,configmaps", "--events"];
    let mut recorder = Recorder::start(sandbox.record(&args));
    api.pod("shop", &pod("web-2", "web"));
    api.post("/apis/example.com/v1/namespaces/shop/widgets", &widget("second"));
    // Without nodes the scheduler complains.
    recorder.until(|_| {
        let cat = sandbox.run(&["trace", "cat", "all.reel", "--kind", "Event.events.k8s.io"]);
        cat.out.contains("FailedScheduling") && cat.out.contains("web-2")
    });
    let ran = recorder.stop("-INT");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let reel = sandbox.path("all.reel");
    assert_eq!(names(&reel, "Widget.example.com"), BTreeSet::from(["first".to_owned(), "second".to_owned()]));
    for kind in ["Secret", "ConfigMap", "ReplicaSet.apps", "Namespace"] {
        assert!(!names(&reel, kind).is_empty(), "no {kind}");
    }
    let recorded = text(&reel);
    for planted in ["PLANTED", PLANTED_BASE64, "planted-pull-secret"] {
        assert!(!recorded.contains(planted), "{planted} is in the reel");
    }
    let header = Reader::open(&reel).unwrap().header().clone();
    assert!(header.redaction.iter().any(|rule| rule == "removed: env"), "{:?}", header.redaction);

    // The same places with everything kept: the search above can find what is there.
    let keep = "env,args,last-applied,pull-secrets,data";
    sandbox.ok(&[
        "record",
        "--cluster",
        "lab",
        "-o",
        "kept.reel",
        "--duration",
        "100ms",
        "--keep",
        keep,
        "--kinds",
        "widgets.example.com,secrets,configmaps",
    ]);
    let kept = text(&sandbox.path("kept.reel"));
    for place in ["command", "args", "env", "probe", "header", "applied", "config"] {
        assert!(kept.contains(&format!("PLANTED-{place}")), "{place} was not kept");
    }
    assert!(kept.contains(PLANTED_BASE64) && kept.contains("planted-pull-secret"));
    let default = names(&sandbox.path("kept.reel"), "Secret");
    assert!(default.contains("token"));
}

fn selected_recordings(sandbox: &Sandbox) {
    let record = |out: &str, args: &[&str]| {
        let base = ["record", "--cluster", "lab", "-o", out, "--duration", "100ms"];
        sandbox.ok(&[&base[..], args].concat());
        sandbox.path(out)
    };
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let all = record("plain.reel", &[]);
    assert_eq!(names(&all, "Pod"), set(&["web-1", "web-2", "db-1", "vault-1"]));
    assert!(names(&all, "Secret").is_empty() && names(&all, "ConfigMap").is_empty());
    let shop = record("shop.reel", &["--namespace", "shop", "--selector", "tier=web"]);
    assert_eq!(names(&shop, "Pod"), set(&["web-1", "web-2"]));
    assert!(names(&shop, "Namespace").contains("bank"), "kinds without namespace stay whole");
    let both = record("both.reel", &["--namespace", "shop", "--namespace", "bank"]);
    assert_eq!(names(&both, "Pod"), names(&all, "Pod"));
    let without = record("without.reel", &["--exclude-namespace", "bank", "--kinds", "widgets.example.com"]);
    assert_eq!(names(&without, "Pod"), set(&["web-1", "web-2", "db-1"]));
    assert_eq!(names(&without, "Widget.example.com"), set(&["first", "second"]));
    let header = Reader::open(&without).unwrap().header().clone();
    assert_eq!(header.labels["selection"], "without namespaces bank");
}

/// A recording under `--anonymize` says nothing of whose cluster it was, and its pods can still be submitted.
fn anonymized_recordings(sandbox: &Sandbox, api: &Api) {
    fs::write(sandbox.path("key"), "a secret").unwrap();
    sandbox.ok(&[
        "record",
        "--cluster",
        "lab",
        "-o",
        "anon.reel",
        "--duration",
        "100ms",
        "--anonymize",
        "key",
        "--events",
        "--kinds",
        "widgets.example.com,secrets,configmaps",
    ]);
    let anonymous = sandbox.path("anon.reel");
    let recorded = text(&anonymous);
    let owner = ["PLANTED", "shop", "bank", "web-1", "vault", "tier", "acme", "registry", "planted"];
    for name in owner {
        assert!(!recorded.contains(name), "{name} is in the reel");
    }
    // One key, one name: in a recording and in a copy that is anonymized later.
    sandbox.ok(&["trace", "anonymize", "plain.reel", "--key-file", "key", "-o", "later.reel"]);
    assert_eq!(names(&anonymous, "Pod"), names(&sandbox.path("later.reel"), "Pod"));

    let plan = |reel: &str| Plan::build(&mut Reader::open(&sandbox.path(reel)).unwrap()).unwrap();
    let submitted = |plan: &Plan| {
        let pod = |timed: &kubereel::replay::TimedAction| {
            if let Action::CreatePod(pod) = &timed.action { Some(pod.object.to_value()) } else { None }
        };
        plan.actions.iter().filter_map(pod).collect::<Vec<_>>()
    };
    for reel in ["all.reel", "anon.reel", "later.reel"] {
        let pods = submitted(&plan(reel));
        assert_eq!(pods.len(), 4, "{reel}");
        for pod in pods {
            let namespace = pod["metadata"]["namespace"].as_str().unwrap();
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            let _ = api.try_post("/api/v1/namespaces", &object);
            // Under another name: what was recorded is still there.
            let mut pod = pod.clone();
            pod["metadata"]["name"] = format!("{}-again", pod["metadata"]["name"].as_str().unwrap()).into();
            api.post(&format!("/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict"), &pod);
        }
    }
}

#[test]
fn the_manifests_are_sound_and_their_account_may_record_and_nothing_else() {
    let sandbox = Sandbox::new();
    let api = sandbox.lab();
    let strict = "?dryRun=All&fieldValidation=Strict";
    for object in kustomized("recorder") {
        let path = collection(&object);
        if ["Deployment", "PersistentVolumeClaim"].contains(&object["kind"].as_str().unwrap()) {
            api.post(&format!("{path}{strict}"), &object);
        } else {
            api.post(&format!("{path}?fieldValidation=Strict"), &object);
        }
        // The namespace enforces the restricted Pod Security Standard: a pod of the template must be let in.
        if object["kind"] == "Deployment" {
            let spec = &object["spec"]["template"]["spec"];
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
            api.post(&format!("/api/v1/namespaces/kubereel/pods{strict}"), &pod);
        }
    }
    let record = |out: &str, args: &[&str]| -> Ran {
        let base = ["record", "--kubeconfig", "account", "-o", out, "--duration", "100ms"];
        sandbox.run(&[&base[..], args].concat())
    };
    account(&sandbox, &api, "kubereel", "kubereel-recorder");
    let ran = record("account.reel", &["--events"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!ran.err.contains("not recorded"), "{}", ran.err);
    let more = record("more.reel", &["--kinds", "secrets"]);
    assert_eq!(more.code, Some(0), "{}", more.err);
    assert!(more.err.contains("secrets are not recorded"), "{}", more.err);
    let note = records(&sandbox.path("more.reel"));
    let said =
        |record: &Record| matches!(record, Record::Note(note) if note.text.contains("secrets not recorded"));
    assert!(note.iter().any(said), "the reel does not say that secrets are missing");

    let nobody = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}});
    api.post("/api/v1/namespaces/kubereel/serviceaccounts", &nobody);
    account(&sandbox, &api, "kubereel", "nobody");
    let refused = record("nobody.reel", &[]);
    assert_eq!(refused.code, Some(1));
    for words in
        ["not allowed to list and watch", "nodes and pods", "kind: ClusterRole", "resources: [nodes, pods"]
    {
        assert!(refused.err.contains(words), "{words} is not in {}", refused.err);
    }
    assert!(!sandbox.path("nobody.reel").exists());
}
