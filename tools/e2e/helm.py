#!/usr/bin/env python3
"""Lints the chart of hollow nodes, installs, upgrades and uninstalls it, and runs the very command of its container with the
account that it makes.

usage: tools/e2e/helm.py

`tools/peers.py helm` builds Helm, the first time in some minutes. A hollow node takes the chart's pods, so they have no containers.
Prints what was done; the exit code is 1 where something is not as it should be.
"""
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile

from lab import KUBEREEL, ROOT, Kubectl, await_ready, cluster, peer, process, require_kubereel, until

CHART = ROOT / "tools" / "deploy" / "hollow" / "chart"
RELEASE = "hollow"
SPACE = "kubereel-hollow"
# Which of the nodes of the chart's default values there are.
NODES = 100
KINDS = "statefulsets,pods,services,configmaps,serviceaccounts,clusterroles,clusterrolebindings"


def helm(kubeconfig, *arguments):
    done = subprocess.run([peer("helm"), "--kubeconfig", kubeconfig, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"helm {' '.join(map(str, arguments))}: {done.stdout}")
    print(f"helm {arguments[0]}: passed", flush=True)
    return done.stdout


def namespace(kubectl):
    """As the manifests without Helm have it: only pods that the restricted standard lets in."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": labels}})
    until("the namespace has its account", 30, lambda: kubectl.try_run(
        "-n", SPACE, "get", "serviceaccount", "default").returncode == 0)


def dry_run(kubeconfig, kubectl, *values):
    """What the chart makes of values, as the API server takes it."""
    made = helm(kubeconfig, "template", RELEASE, CHART, "-n", SPACE, "--validate", *values)
    print(kubectl.run("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=made), end="", flush=True)


def stateful_set(kubectl):
    return kubectl.json("-n", SPACE, "get", "statefulset", RELEASE)


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, not {wanted!r}")
    print(f"{what}: {found}", flush=True)


def container_command(kubectl, kubeconfig, folder):
    """The command of the first pod, with the config map, the account and the addresses that a kubelet would put in."""
    pod = kubectl.json("-n", SPACE, "get", "pod", f"{RELEASE}-0")
    container = pod["spec"]["containers"][0]
    config = kubectl.json("-n", SPACE, "get", "configmap", RELEASE)["data"]["hollow.yaml"]
    (folder / "hollow.yaml").write_text(config)
    account = json.loads(pathlib.Path(kubeconfig).read_text())
    token = kubectl.run("-n", SPACE, "create", "token", RELEASE).strip()
    account["users"][0]["user"] = {"token": token}
    (folder / "account").write_text(json.dumps(account))
    shards = next(e["value"] for e in container["env"] if e["name"] == "SHARDS")
    places = {"$(SHARDS)": shards, "$(POD_IP)": "127.0.0.1", "0.0.0.0:10250": "127.0.0.1:0",
              "/etc/kubereel/config/hollow.yaml": str(folder / "hollow.yaml")}
    arguments = container["args"]
    for place, here in places.items():
        arguments = [argument.replace(place, here) for argument in arguments]
    environment = [f"HOSTNAME={pod['metadata']['name']}", f"KUBECONFIG={folder / 'account'}"]
    return ["env", *environment, KUBEREEL, *arguments]


def run_container(kubectl, kubeconfig, folder, others):
    with process(container_command(kubectl, kubeconfig, folder), folder / "container.log") as child:
        await_ready(kubectl, NODES + others, child)
    log = child.log.read_text()
    expect("requests that the account may not make", log.count("forbidden"), 0)
    expect("exit code of the container's command", child.returncode, 0)


def install(kubectl, kubeconfig, folder):
    # A real node's place: hollow ones are avoided.
    kubectl.run("label", "node", "real-0", "kubereel.dev/hollow-")
    helm(kubeconfig, "install", RELEASE, CHART, "-n", SPACE, "--wait", "--timeout", "2m")
    expect("ready pods", stateful_set(kubectl)["status"].get("readyReplicas"), 1)
    run_container(kubectl, kubeconfig, folder, others=1)
    before = kubectl.json("-n", SPACE, "get", "pod", f"{RELEASE}-0")["metadata"]["uid"]
    helm(kubeconfig, "upgrade", RELEASE, CHART, "-n", SPACE, "--set", "processes=2", "--wait", "--timeout", "2m")
    expect("ready pods", stateful_set(kubectl)["status"].get("readyReplicas"), 2)
    pod = kubectl.json("-n", SPACE, "get", "pod", f"{RELEASE}-0")
    expect("the first pod is another", pod["metadata"]["uid"] != before, True)
    expect("shards", pod["spec"]["containers"][0]["env"][0]["value"], "2")
    helm(kubeconfig, "rollback", RELEASE, "1", "-n", SPACE, "--wait", "--timeout", "2m")
    expect("ready pods", stateful_set(kubectl)["status"].get("readyReplicas"), 1)
    helm(kubeconfig, "uninstall", RELEASE, "-n", SPACE, "--wait", "--timeout", "2m")
    left = ["get", KINDS, "-A", "-l", f"app.kubernetes.io/instance={RELEASE}", "-o", "name"]
    until("nothing of the release is left", 60, lambda: kubectl.run(*left) == "")
    print("nothing of the release is left", flush=True)


def main():
    require_kubereel()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kubeconfig = stack.enter_context(cluster())
        kubectl = Kubectl(kubeconfig)
        helm(kubeconfig, "lint", "--strict", CHART)
        namespace(kubectl)
        dry_run(kubeconfig, kubectl)
        dry_run(kubeconfig, kubectl, "--set", "kubeconfigSecret=kubeconfig,processes=3,nodeSelector.pool=infra",
                "--set", "extraArgs={--profile=kubelet},imagePullSecrets[0].name=registry,tolerations[0].operator=Exists")
        nodes = stack.enter_context(process(
            [KUBEREEL, "hollow", "--kubeconfig", kubeconfig, "--name-prefix", "real-",
             "--kubelet-address", "127.0.0.1:0"], folder / "nodes.log"))
        await_ready(kubectl, 1, nodes)
        install(kubectl, kubeconfig, folder)


main()
