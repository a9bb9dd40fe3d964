use std::collections::HashMap;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use http::StatusCode;
use serde_json::{Value, json};

use super::meter::{Meters, NodeReading};
use super::{Residents, figures};
use crate::model::{Json, PodView};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A request, as far as the answer depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) path: &'a str,
    /// The `Host` header without its port.
    pub(super) host: Option<&'a str>,
    /// The address that the client connected to.
    pub(super) address: IpAddr,
}

/// What is sent back.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Answer {
    fn text(status: StatusCode, body: impl Into<String>) -> Answer {
        Answer { status, content_type: TEXT, body: body.into() + "\n" }
    }

    fn json(status: StatusCode, body: &Value) -> Answer {
        Answer { status, content_type: JSON, body: body.to_string() }
    }

    fn not_found(message: &str) -> Answer {
        Answer::text(StatusCode::NOT_FOUND, message)
    }

    /// Clients of streams show the message of a `Status`, and nothing of a plain text.
    fn refusal(message: &str) -> Answer {
        let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure",
            "reason": "NotImplemented", "code": 501, "message": message});
        Answer::json(StatusCode::NOT_IMPLEMENTED, &status)
    }
}

/// Answers as a kubelet would that has no containers.
pub(super) struct Answerer<R> {
    residents: R,
    started: DateTime<Utc>,
    meters: HashMap<String, Meters>,
}

impl<R: Residents> Answerer<R> {
    /// For nodes that are up since then.
    pub(super) fn new(residents: R, started: DateTime<Utc>) -> Answerer<R> {
        Answerer { residents, started, meters: HashMap::new() }
    }

    /// The answer at an instant.
    pub(super) fn answer(&mut self, asked: Asked<'_>, now: DateTime<Utc>) -> Answer {
        let parts: Vec<&str> = asked.path.split('/').filter(|part| !part.is_empty()).collect();
        match parts[..] {
            ["healthz"] => Answer::text(StatusCode::OK, "ok"),
            ["containerLogs", namespace, pod, _] => self.logs(namespace, pod),
            [what @ ("exec" | "attach" | "portForward" | "run"), namespace, pod, ..] => {
                self.refuse(what, namespace, pod)
            }
            ["nodes", node, ref rest @ ..] => self.about(node, rest, now),
            ref rest => match self.node_of(asked) {
                Some(node) => self.about(&node, rest, now),
                None => Answer::not_found(
                    "which node? ask for /nodes/NAME/pods, /nodes/NAME/metrics/resource or \
                     /nodes/NAME/stats/summary, or connect to the InternalIP of one node",
                ),
            },
        }
    }

    fn node_of(&self, asked: Asked<'_>) -> Option<String> {
        let named = asked.host.filter(|host| self.residents.pods_on(host).is_some());
        named.map(str::to_owned).or_else(|| self.residents.node_at(asked.address))
    }

    fn about(&mut self, node: &str, what: &[&str], now: DateTime<Utc>) -> Answer {
        let Some(pods) = self.residents.pods_on(node) else {
            self.meters.remove(node);
            return Answer::not_found(&format!("there is no hollow node {node:?} here"));
        };
        match what {
            ["healthz"] => Answer::text(StatusCode::OK, "ok"),
            ["pods"] => {
                let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods});
                Answer::json(StatusCode::OK, &list)
            }
            ["metrics", "resource"] => {
                let body = figures::exposition(&self.read(node, pods, now));
                Answer { status: StatusCode::OK, content_type: METRICS, body }
            }
            ["stats", "summary"] => {
                let summary = figures::summary(node, &self.read(node, pods, now));
                Answer::json(StatusCode::OK, &summary)
            }
            _ => Answer::not_found("there are /healthz, /pods, /metrics/resource and /stats/summary"),
        }
    }

    fn read(&mut self, node: &str, pods: Vec<Json>, now: DateTime<Utc>) -> NodeReading {
        self.meters.entry(node.to_owned()).or_insert_with(|| Meters::new(self.started)).read(pods, now)
    }

    /// A line in the place of a log, so that whatever reads logs goes on.
    fn logs(&self, namespace: &str, pod: &str) -> Answer {
        match self.residents.pod(namespace, pod) {
            Some(pod) => Answer::text(StatusCode::OK, hollow(PodView(&pod), "there is no log")),
            None => Answer::not_found(&missing(namespace, pod)),
        }
    }

    fn refuse(&self, what: &str, namespace: &str, pod: &str) -> Answer {
        let cannot = match what {
            "attach" => "nothing to attach to",
            "portForward" => "no port to forward to",
            _ => "nothing to run a command in",
        };
        match self.residents.pod(namespace, pod) {
            Some(pod) => Answer::refusal(&hollow(PodView(&pod), &format!("there is {cannot}"))),
            None => Answer::not_found(&missing(namespace, pod)),
        }
    }
}

fn hollow(pod: PodView<'_>, so: &str) -> String {
    format!(
        "pod {}/{} is on the hollow node {} of kubereel: it has no containers, so {so}",
        pod.namespace(),
        pod.name(),
        pod.node_name().unwrap_or_default()
    )
}

fn missing(namespace: &str, pod: &str) -> String {
    format!("there is no pod {namespace}/{pod} on the hollow nodes here")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::hollow::endpoint::usage;
    use std::net::Ipv4Addr;

    /// Nodes `n1` at 127.0.0.7, with the pod `shop/web`, and `n2` without.
    pub(in crate::hollow::endpoint) struct Two;

    fn web() -> Json {
        let mut pod = usage::tests::pod();
        pod["spec"]["nodeName"] = "n1".into();
        pod.into()
    }

    impl Residents for Two {
        fn node_at(&self, address: IpAddr) -> Option<String> {
            (address == Ipv4Addr::new(127, 0, 0, 7)).then(|| "n1".to_owned())
        }

        fn pods_on(&self, node: &str) -> Option<Vec<Json>> {
            match node {
                "n1" => Some(vec![web()]),
                "n2" => Some(Vec::new()),
                _ => None,
            }
        }

        fn pod(&self, namespace: &str, name: &str) -> Option<Json> {
            ((namespace, name) == ("shop", "web")).then(web)
        }
    }

    fn ask(path: &str, host: Option<&str>, last: u8) -> (u16, String) {
        let start = DateTime::UNIX_EPOCH;
        let asked = Asked { path, host, address: Ipv4Addr::new(127, 0, 0, last).into() };
        let answer = Answerer::new(Two, start).answer(asked, start + chrono::TimeDelta::seconds(20));
        (answer.status.as_u16(), answer.body)
    }

    #[test]
    fn a_node_is_known_by_path_host_or_address() {
        for (path, host, last) in [
            ("/nodes/n1/metrics/resource", None, 1),
            ("/metrics/resource", Some("n1"), 1),
            ("/metrics/resource", Some("127.0.0.7"), 7),
        ] {
            let (status, body) = ask(path, host, last);
            assert!(
                status == 200 && body.contains("pod=\"web\"} 20.01953125 20000"),
                "{path} {host:?}: {body}"
            );
        }
        let (status, body) = ask("/nodes/n2/metrics/resource", None, 7);
        assert!(status == 200 && !body.contains("pod=\""), "{body}");
        assert_eq!(ask("/nodes/n3/pods", None, 7).0, 404);
        let (status, body) = ask("/stats/summary", None, 1);
        assert!(status == 404 && body.contains("/nodes/NAME/stats/summary"), "{body}");
    }

    #[test]
    fn pods_and_summary_are_json_and_health_is_ok() {
        let parse = |path| serde_json::from_str::<Value>(&ask(path, None, 7).1).unwrap();
        let pods = parse("/pods");
        assert_eq!(
            (&pods["kind"], &pods["items"][0]["metadata"]["name"]),
            (&json!("PodList"), &json!("web"))
        );
        assert_eq!(parse("/stats/summary")["node"]["nodeName"], "n1");
        assert_eq!(ask("/healthz", None, 1), (200, "ok\n".to_owned()));
        assert_eq!(ask("/nodes/n2/healthz", None, 1).0, 200);
        assert_eq!(ask("/configz", None, 7).0, 404);
    }

    #[test]
    fn logs_are_one_line_and_streams_are_refused_with_a_reason() {
        let (status, body) = ask("/containerLogs/shop/web/main", None, 1);
        let line =
            "pod shop/web is on the hollow node n1 of kubereel: it has no containers, so there is no log\n";
        assert_eq!((status, body.as_str()), (200, line));
        for path in ["/exec/shop/web/main", "/attach/shop/web/u1/main", "/portForward/shop/web"] {
            let (status, body) = ask(path, None, 1);
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((status, &body["kind"]), (501, &json!("Status")), "{path}");
            assert!(body["message"].as_str().unwrap().contains("no containers"), "{body}");
        }
        assert_eq!(ask("/containerLogs/shop/other/main", None, 1).0, 404);
        assert_eq!(ask("/exec/shop/other/main", None, 1).0, 404);
    }
}
