#!/usr/bin/env python3
"""Runs metrics-server and a HorizontalPodAutoscaler on hollow nodes: `kubectl top` shows what they say they use, and a
deployment is scaled up and down by it.

usage: tools/e2e/hpa.py

`tools/peers.py metrics-server` builds the server, the first time in some minutes. Prints what was seen; the exit code is 1 where
that is not what the usage asks for.
"""
import contextlib
import pathlib
import re
import tempfile
import time

from control import free_port
from lab import KUBEREEL, Kubectl, await_ready, cluster, is_true, peer, process, require_kubereel, say, until

NODES = 3
REQUEST = 100
TARGET = 50
# Millicores: of each pod at rest, and of one under load; the second is that of five pods at the target.
REST, LOAD = 1, 240
WANTED = 5
API_SERVICE = "v1beta1.metrics.k8s.io"
USAGE = "kubereel.dev/usage-cpu"


def hollow_nodes(kubeconfig, folder):
    command = [KUBEREEL, "hollow", "--kubeconfig", kubeconfig, "--nodes", str(NODES), "--profile", "kubelet",
               "--node-ip", "127.0.0.1", "--kubelet-address", "127.0.0.1:0"]
    return process(command, folder / "hollow.log")


def metrics_server(kubeconfig, port, folder):
    # As its manifest has it; the kubelets' certificate is signed by themselves.
    command = [peer("metrics-server"), f"--secure-port={port}", "--bind-address=127.0.0.1",
               f"--cert-dir={folder / 'certificates'}", "--kubelet-insecure-tls", "--kubelet-use-node-status-port",
               "--kubelet-preferred-address-types=InternalIP", "--metric-resolution=15s"]
    command += [f"--{flag}={kubeconfig}" for flag in (
        "kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")]
    return process(command, folder / "metrics-server.log")


def register(kubectl, port):
    """Tells the API server where metrics are; it resolves a service of this type without endpoints."""
    name = {"name": "metrics-server", "namespace": "kube-system"}
    group, version = "metrics.k8s.io", "v1beta1"
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": name,
         "spec": {"type": "ExternalName", "externalName": "localhost"}},
        {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API_SERVICE},
         "spec": {"group": group, "version": version, "service": {**name, "port": port}, "insecureSkipTLSVerify": True,
                  "groupPriorityMinimum": 100, "versionPriority": 100}})


def deployment():
    container = {"name": "main", "image": "none", "resources": {"requests": {"cpu": f"{REQUEST}m", "memory": "64Mi"}}}
    template = {"metadata": {"labels": {"app": "web"}, "annotations": {USAGE: f"{REST}m"}},
                "spec": {"containers": [container]}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}}


def autoscaler():
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": TARGET}}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {"minReplicas": 1, "maxReplicas": 20,
                     "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                     "metrics": [{"type": "Resource", "resource": resource}],
                     # Five minutes by default.
                     "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}}


def top(kubectl, what, count):
    """The table, once it has so many rows with figures."""
    def table():
        done = kubectl.try_run("top", what, "--no-headers")
        rows = [line for line in done.stdout.splitlines() if re.search(r"\s\d+m\s.*\d+Mi", line)]
        return done.returncode == 0 and len(rows) == count and "\n".join(rows)
    return until(f"kubectl top {what} has {count} rows", 90, table)


def usage(kubectl):
    """Millicores of all pods, as `kubectl top` has them."""
    return sum(int(m) for m in re.findall(r"\s(\d+)m\s", kubectl.try_run("top", "pods", "--no-headers").stdout))


def annotate(kubectl, millicores, *which):
    kubectl.run("annotate", "--overwrite", "pods", *which, f"{USAGE}={millicores}m")


def await_replicas(kubectl, count):
    """Waits until there are so many, and that they stay; says how long it took."""
    start = time.monotonic()

    def there():
        status = kubectl.json("get", "deployment", "web")["status"]
        return status.get("readyReplicas") == count == status.get("replicas")
    until(f"{count} replicas", 180, there)
    took = time.monotonic() - start
    # Longer than metrics are old, and some looks of the autoscaler.
    time.sleep(40)
    if not there():
        raise SystemExit(f"{count} replicas did not stay")
    print(kubectl.run("get", "hpa", "web"), end="", flush=True)
    return took


def scale(kubectl):
    kubectl.apply(deployment(), autoscaler())
    until("the pod runs", 60, lambda: kubectl.json("get", "deployment", "web")["status"].get("readyReplicas") == 1)
    print(top(kubectl, "pods", 1))
    name = kubectl.run("get", "pods", "-o", "name").strip().removeprefix("pod/")
    annotate(kubectl, LOAD, name)
    up = await_replicas(kubectl, WANTED)
    print(top(kubectl, "pods", WANTED))
    seen, expected = usage(kubectl), LOAD + (WANTED - 1) * REST
    if abs(seen - expected) > 0.05 * expected:
        raise SystemExit(f"pods use {seen}m by kubectl top, {expected}m by their annotations")
    annotate(kubectl, REST, "--all")
    down = await_replicas(kubectl, 1)
    print(f"1 to {WANTED} replicas {up:.0f} s after the load, back to 1 replica {down:.0f} s after its end")


def main():
    require_kubereel()
    quick = "kube-controller-manager=--horizontal-pod-autoscaler-sync-period=5s"
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kubeconfig = stack.enter_context(cluster(quick))
        kubectl = Kubectl(kubeconfig)
        nodes = stack.enter_context(hollow_nodes(kubeconfig, folder))
        await_ready(kubectl, NODES, nodes)
        port = free_port()
        server = stack.enter_context(metrics_server(kubeconfig, port, folder))
        register(kubectl, port)
        say(f"{NODES} nodes are ready, metrics-server listens on 127.0.0.1:{port}")
        until("the API service is available", 120,
              lambda: is_true(kubectl.json("get", "apiservice", API_SERVICE), "Available"), server, nodes)
        print(top(kubectl, "nodes", NODES), flush=True)
        scale(kubectl)


main()
