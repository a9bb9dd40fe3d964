//! The command line of each component, and the scheduler's configuration file.

use serde_json::{Value, json};

use super::dirs::Layout;
use super::pki::FRONT_PROXY;
use super::{Component, SchedulerSpec, Settings};

/// Client-side limits of the scheduler and the controllers: the defaults (50 and 20 a second) would be what is measured.
const QPS: u32 = 5000;
const BURST: u32 = 10_000;

fn path(layout: &Layout, file: &str) -> String {
    layout.pki(file).display().to_string()
}

fn serving_certificate(layout: &Layout, component: Component) -> [String; 2] {
    [
        format!("--tls-cert-file={}", path(layout, &format!("{component}.crt"))),
        format!("--tls-private-key-file={}", path(layout, &format!("{component}.key"))),
    ]
}

fn list(flag: &str, values: &[String]) -> Option<String> {
    (!values.is_empty()).then(|| format!("--{flag}={}", values.join(",")))
}

fn with_extra(mut args: Vec<String>, settings: &Settings, component: Component) -> Vec<String> {
    args.extend(settings.extra_args.get(&component).into_iter().flatten().cloned());
    args
}

/// `etcd`. Without fsync: the data is thrown away with the cluster, and the disk would otherwise set the pace.
pub(super) fn etcd(layout: &Layout, port: u16, peer_port: u16, settings: &Settings) -> Vec<String> {
    let client = format!("https://127.0.0.1:{port}");
    let peer = format!("https://127.0.0.1:{peer_port}");
    let (ca, cert, key) = (path(layout, "ca.crt"), path(layout, "etcd.crt"), path(layout, "etcd.key"));
    let args = vec![
        "--name=kubereel".to_owned(),
        format!("--data-dir={}", layout.etcd_data().display()),
        "--unsafe-no-fsync".to_owned(),
        "--quota-backend-bytes=8589934592".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=kubereel={peer}"),
        format!("--cert-file={cert}"),
        format!("--key-file={key}"),
        "--client-cert-auth".to_owned(),
        format!("--trusted-ca-file={ca}"),
        format!("--peer-cert-file={cert}"),
        format!("--peer-key-file={key}"),
        "--peer-client-cert-auth".to_owned(),
        format!("--peer-trusted-ca-file={ca}"),
    ];
    with_extra(args, settings, Component::Etcd)
}

/// `kube-apiserver`. Service account admission is off so that pods need no account and get no token volume;
/// the in-flight limits are off so that the replay, not the server's fairness, sets the load.
pub(super) fn api_server(layout: &Layout, port: u16, etcd_port: u16, settings: &Settings) -> Vec<String> {
    let mut args = vec![
        format!("--etcd-servers=https://127.0.0.1:{etcd_port}"),
        format!("--etcd-cafile={}", path(layout, "ca.crt")),
        format!("--etcd-certfile={}", path(layout, "kube-apiserver.crt")),
        format!("--etcd-keyfile={}", path(layout, "kube-apiserver.key")),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // A loopback address may not be in an Endpoints object, and a machine without a network has no other.
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--client-ca-file={}", path(layout, "ca.crt")),
        format!("--requestheader-client-ca-file={}", path(layout, "front-proxy-ca.crt")),
        format!("--requestheader-allowed-names={FRONT_PROXY}"),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={}", path(layout, &format!("{FRONT_PROXY}.crt"))),
        format!("--proxy-client-key-file={}", path(layout, &format!("{FRONT_PROXY}.key"))),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", path(layout, "sa.pub")),
        format!("--service-account-signing-key-file={}", path(layout, "sa.key")),
        "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--enable-priority-and-fairness=false".to_owned(),
        "--max-requests-inflight=0".to_owned(),
        "--max-mutating-requests-inflight=0".to_owned(),
        // Names of nodes are not known to any resolver here. Hollow nodes whose address is made up say in this one where
        // their kubelet listens.
        "--kubelet-preferred-address-types=InternalDNS,InternalIP,ExternalIP,Hostname".to_owned(),
    ];
    args.extend(serving_certificate(layout, Component::ApiServer));
    args.extend(list("feature-gates", &settings.feature_gates));
    with_extra(args, settings, Component::ApiServer)
}

/// What the scheduler and the controller manager have in common.
fn client(layout: &Layout, port: u16, component: Component) -> Vec<String> {
    let kubeconfig = layout.component_kubeconfig(component);
    let mut args = vec![
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--client-ca-file={}", path(layout, "ca.crt")),
        format!("--authentication-kubeconfig={}", kubeconfig.display()),
        format!("--authorization-kubeconfig={}", kubeconfig.display()),
    ];
    args.extend(serving_certificate(layout, component));
    args
}

/// `kube-controller-manager`. Each controller uses its own service account, as in a cluster made by kubeadm: the
/// manager's own role does not allow what they do.
pub(super) fn controller_manager(layout: &Layout, port: u16, settings: &Settings) -> Vec<String> {
    let mut args = client(layout, port, Component::ControllerManager);
    args.extend([
        format!("--kubeconfig={}", layout.component_kubeconfig(Component::ControllerManager).display()),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        format!("--service-account-private-key-file={}", path(layout, "sa.key")),
        format!("--root-ca-file={}", path(layout, "ca.crt")),
        format!("--kube-api-qps={QPS}"),
        format!("--kube-api-burst={BURST}"),
    ]);
    args.extend(list("controllers", &settings.controllers));
    args.extend(list("feature-gates", &settings.feature_gates));
    with_extra(args, settings, Component::ControllerManager)
}

/// `kube-scheduler`.
pub(super) fn scheduler(
    layout: &Layout,
    port: u16,
    spec: &SchedulerSpec,
    settings: &Settings,
) -> Vec<String> {
    let mut args = client(layout, port, Component::Scheduler);
    args.push(format!("--config={}", layout.scheduler_config().display()));
    if spec.verbosity > 0 {
        args.push(format!("--v={}", spec.verbosity));
    }
    if spec.json_log {
        args.push("--logging-format=json".to_owned());
    }
    args.extend(list("feature-gates", &spec.feature_gates));
    with_extra(args, settings, Component::Scheduler)
}

/// The scheduler's configuration: what was given, with what only the cluster knows filled in. A configuration that is
/// no object is passed on as it is, for the scheduler to say what is wrong with it.
pub(super) fn scheduler_config(layout: &Layout, given: Option<&Value>) -> Value {
    let mut config = given.cloned().unwrap_or_else(|| json!({}));
    let Some(root) = config.as_object_mut() else { return config };
    root.entry("apiVersion").or_insert_with(|| json!("kubescheduler.config.k8s.io/v1"));
    root.entry("kind").or_insert_with(|| json!("KubeSchedulerConfiguration"));
    let kubeconfig = layout.component_kubeconfig(Component::Scheduler).display().to_string();
    let connection = root.entry("clientConnection").or_insert_with(|| json!({}));
    if let Some(connection) = connection.as_object_mut() {
        connection.insert("kubeconfig".to_owned(), json!(kubeconfig));
        connection.entry("qps").or_insert(json!(QPS));
        connection.entry("burst").or_insert(json!(BURST));
    }
    let election = root.entry("leaderElection").or_insert_with(|| json!({}));
    if let Some(election) = election.as_object_mut() {
        election.insert("leaderElect".to_owned(), json!(false));
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Version;

    fn layout() -> Layout {
        Layout { root: "/c".into() }
    }

    #[test]
    fn every_listener_is_on_loopback_with_its_own_certificate() {
        let settings = Settings::default();
        let spec = SchedulerSpec::new(Version::default());
        for args in [
            api_server(&layout(), 1, 2, &settings),
            controller_manager(&layout(), 3, &settings),
            scheduler(&layout(), 4, &spec, &settings),
        ] {
            assert!(args.iter().any(|a| a == "--bind-address=127.0.0.1"), "{args:?}");
            assert!(args.iter().any(|a| a.starts_with("--tls-cert-file=/c/pki/kube-")), "{args:?}");
            assert!(args.iter().any(|a| a == "--client-ca-file=/c/pki/ca.crt"), "{args:?}");
        }
        let etcd = etcd(&layout(), 5, 6, &settings);
        assert!(etcd.contains(&"--listen-client-urls=https://127.0.0.1:5".to_owned()));
        assert!(etcd.contains(&"--client-cert-auth".to_owned()));
    }

    #[test]
    fn aggregated_servers_trust_the_certificate_that_they_are_asked_with() {
        let args = api_server(&layout(), 1, 2, &Settings::default());
        for arg in [
            "--requestheader-client-ca-file=/c/pki/front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--proxy-client-cert-file=/c/pki/front-proxy-client.crt",
            "--proxy-client-key-file=/c/pki/front-proxy-client.key",
        ] {
            assert!(args.iter().any(|have| have == arg), "{arg} is not in {args:?}");
        }
    }

    #[test]
    fn settings_reach_the_command_lines_and_extra_arguments_come_last() {
        let mut settings = Settings { controllers: vec!["a".into(), "-b".into()], ..Settings::default() };
        settings.feature_gates = vec!["X=true".into()];
        settings.extra_args.insert(Component::ApiServer, vec!["--v=9".into()]);
        let api = api_server(&layout(), 1, 2, &settings);
        assert_eq!(api.last().map(String::as_str), Some("--v=9"));
        assert!(api.contains(&"--feature-gates=X=true".to_owned()));
        assert!(controller_manager(&layout(), 3, &settings).contains(&"--controllers=a,-b".to_owned()));
        let mut spec = SchedulerSpec::new(Version::default());
        assert!(
            !scheduler(&layout(), 4, &spec, &settings)
                .iter()
                .any(|a| a.starts_with("--v=") || a.contains("json="))
        );
        (spec.verbosity, spec.json_log) = (3, true);
        let args = scheduler(&layout(), 4, &spec, &settings);
        assert!(args.contains(&"--v=3".to_owned()) && args.contains(&"--logging-format=json".to_owned()));
    }

    #[test]
    fn a_given_configuration_keeps_its_limits_and_gets_the_connection() {
        let given = json!({
            "clientConnection": {"qps": 7, "kubeconfig": "/elsewhere"},
            "leaderElection": {"leaderElect": true, "leaseDuration": "15s"},
            "parallelism": 1,
        });
        let config = scheduler_config(&layout(), Some(&given));
        assert_eq!(
            config["clientConnection"],
            json!({"qps": 7, "burst": BURST, "kubeconfig": "/c/kube-scheduler.kubeconfig"})
        );
        assert_eq!(config["leaderElection"], json!({"leaderElect": false, "leaseDuration": "15s"}));
        assert_eq!(
            (&config["parallelism"], &config["kind"]),
            (&json!(1), &json!("KubeSchedulerConfiguration"))
        );
        assert_eq!(scheduler_config(&layout(), None)["clientConnection"]["qps"], json!(QPS));
        assert_eq!(scheduler_config(&layout(), Some(&json!([1]))), json!([1]));
    }
}
