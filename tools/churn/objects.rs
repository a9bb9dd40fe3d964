//! Builders of the objects that the scenario posts.

use serde_json::{Value, json};

/// Seconds that a pod stays on a node that went silent; short, so that a recording of minutes sees the eviction.
const SILENT_SECONDS: u64 = 6;

/// A pod template.
#[derive(Debug, Clone)]
pub struct Template(Value);

impl Template {
    /// One container of a workload with its requests.
    pub fn new(app: &str, cpu: &str, memory: &str) -> Template {
        let silent = |key: &str| {
            json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute",
                   "tolerationSeconds": SILENT_SECONDS})
        };
        Template(json!({
            "metadata": {"labels": {"app": app}, "annotations": {}},
            "spec": {
                "terminationGracePeriodSeconds": 5,
                "tolerations": [silent("not-ready"), silent("unreachable")],
                "containers": [{
                    "name": "main", "image": format!("{app}:1"),
                    "resources": {"requests": {"cpu": cpu, "memory": memory}},
                }],
            },
        }))
    }

    /// Milliseconds from binding to Running.
    pub fn starts_after(self, millis: u64) -> Template {
        self.annotated("kubereel.dev/start-millis", &millis.to_string())
    }

    /// Ends by itself after so many seconds with this exit code.
    pub fn runs(mut self, seconds: u64, exit: u64) -> Template {
        self.0["spec"]["restartPolicy"] = "Never".into();
        self.annotated("kubereel.dev/run-seconds", &seconds.to_string())
            .annotated("kubereel.dev/exit-code", &exit.to_string())
    }

    fn annotated(mut self, key: &str, value: &str) -> Template {
        self.0["metadata"]["annotations"][key] = value.into();
        self
    }

    /// A priority class.
    pub fn priority(mut self, class: &str) -> Template {
        self.0["spec"]["priorityClassName"] = class.into();
        self
    }

    /// Only on nodes with this label.
    pub fn on(mut self, label: &str, value: &str) -> Template {
        self.0["spec"]["nodeSelector"][label] = value.into();
        self
    }

    /// Rather on nodes with this label.
    pub fn rather_on(mut self, label: &str, value: &str) -> Template {
        self.0["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] = json!([{
            "weight": 40,
            "preference": {"matchExpressions": [{"key": label, "operator": "In", "values": [value]}]},
        }]);
        self
    }

    /// Spread over a topology; `strict` leaves a pod unscheduled rather than uneven.
    pub fn spread(mut self, topology: &str, skew: u64, strict: bool) -> Template {
        let unsatisfiable = if strict { "DoNotSchedule" } else { "ScheduleAnyway" };
        let constraint = json!({"maxSkew": skew, "topologyKey": topology, "whenUnsatisfiable": unsatisfiable,
            "labelSelector": {"matchLabels": self.0["metadata"]["labels"]}});
        match self.0["spec"]["topologySpreadConstraints"].as_array_mut() {
            Some(constraints) => constraints.push(constraint),
            None => self.0["spec"]["topologySpreadConstraints"] = json!([constraint]),
        }
        self
    }

    /// Never two on one node.
    pub fn one_per_node(mut self) -> Template {
        self.0["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!([{
            "topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": self.0["metadata"]["labels"]},
        }]);
        self
    }

    /// Rather in the zone of another workload.
    pub fn rather_near(mut self, app: &str) -> Template {
        self.0["spec"]["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] = json!([{
            "weight": 60,
            "podAffinityTerm": {"topologyKey": "topology.kubernetes.io/zone",
                                "labelSelector": {"matchLabels": {"app": app}}},
        }]);
        self
    }

    /// Wants accelerators, and tolerates the taint of the nodes that have them.
    pub fn gpus(mut self, count: u64) -> Template {
        let resources = &mut self.0["spec"]["containers"][0]["resources"];
        resources["requests"]["nvidia.com/gpu"] = count.to_string().into();
        resources["limits"] = json!({"nvidia.com/gpu": count.to_string()});
        self.tolerates(&json!({"key": "gpu", "operator": "Exists"}))
    }

    /// Tolerates a taint besides.
    pub fn tolerates(mut self, toleration: &Value) -> Template {
        if let Some(tolerations) = self.0["spec"]["tolerations"].as_array_mut() {
            tolerations.push(toleration.clone());
        }
        self
    }

    /// A pod without owner that waits for a gate.
    pub fn gated_pod(mut self, namespace: &str, name: &str) -> Value {
        self.0["spec"]["schedulingGates"] = json!([{"name": "churn.example/quota"}]);
        let mut pod = self.0;
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["namespace"] = namespace.into();
        pod["metadata"]["name"] = name.into();
        pod
    }

    fn app(&self) -> &Value {
        &self.0["metadata"]["labels"]
    }

    fn name(&self) -> &Value {
        &self.0["metadata"]["labels"]["app"]
    }

    /// A Deployment of it.
    pub fn deployment(self, namespace: &str, replicas: u64) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"namespace": namespace, "name": self.name()},
            "spec": {"replicas": replicas, "selector": {"matchLabels": self.app()}, "template": self.0},
        })
    }

    /// A `StatefulSet` of it, started in parallel.
    pub fn stateful_set(self, namespace: &str, replicas: u64) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"namespace": namespace, "name": self.name()},
            "spec": {"replicas": replicas, "serviceName": self.name(), "podManagementPolicy": "Parallel",
                     "selector": {"matchLabels": self.app()}, "template": self.0},
        })
    }

    /// A `DaemonSet` of it, on every node whatever its taints.
    pub fn daemon_set(mut self, namespace: &str) -> Value {
        self.0["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"namespace": namespace, "name": self.name()},
            "spec": {"selector": {"matchLabels": self.app()}, "template": self.0},
        })
    }

    /// A Job of it; removed some seconds after its end, as clusters that run many jobs do.
    pub fn job(self, namespace: &str, parallelism: u64, completions: u64) -> Value {
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"namespace": namespace, "name": self.name()},
            "spec": {"parallelism": parallelism, "completions": completions, "backoffLimit": 2,
                     "ttlSecondsAfterFinished": 15, "template": self.0},
        })
    }

    /// A `CronJob` of it that fires every minute.
    pub fn cron_job(self, namespace: &str, parallelism: u64) -> Value {
        let name = self.name().clone();
        let job = self.job(namespace, parallelism, parallelism);
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job["spec"]}},
        })
    }
}

/// A namespace.
pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A priority class.
pub fn priority_class(name: &str, value: i64, default: bool) -> Value {
    json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
           "value": value, "globalDefault": default})
}

/// A headless service over a workload.
pub fn service(namespace: &str, app: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": app},
           "spec": {"clusterIP": "None", "selector": {"app": app}, "ports": [{"port": 80}]}})
}

/// A disruption budget over a workload; `bound` is `{"minAvailable": ..}` or `{"maxUnavailable": ..}`.
pub fn budget(namespace: &str, app: &str, bound: &Value) -> Value {
    let mut spec = bound.clone();
    spec["selector"] = json!({"matchLabels": {"app": app}});
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
           "metadata": {"namespace": namespace, "name": app}, "spec": spec})
}
