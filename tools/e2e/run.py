#!/usr/bin/env python3
"""Runs specs of Kubernetes' own end-to-end suite against hollow nodes on a local control plane, and prints which passed.

usage: tools/e2e/run.py [--on kubereel|kwok] [--suite scheduling|apps] [--focus REGEX] [--nodes N] [--minutes N] [--json FILE]

`tools/peers.py e2e.test kwok` builds the suite and KWOK first; the first time that takes some minutes. The exit code is 1
where a spec failed.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

from lab import KUBEREEL, Kubectl, await_ready, cluster, peer, process, require_kubereel, say

SUITES = {
    "scheduling": (r"\[sig-scheduling\]", r"Feature:|Alpha|Slow"),
    "apps": (r"\[sig-apps\]", r"Feature:|Alpha|Slow|\[Disruptive\]|\[Flaky\]"),
}
CAPACITY = {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "110"}
# Two: a few specs are about several.
ZONES = ["a", "b"]
KWOK_STAGES = ["pod/fast", "node/fast", "node/heartbeat-with-lease"]


def kwok_command(kubeconfig, folder):
    source = subprocess.run(
        ["go", "mod", "download", "-json", "sigs.k8s.io/kwok@v0.8.0"], stdout=subprocess.PIPE, text=True, check=True)
    stages = pathlib.Path(json.loads(source.stdout)["Dir"]) / "kustomize" / "stage"
    files = [f for part in KWOK_STAGES for f in sorted((stages / part).glob("*.yaml")) if f.name != "kustomization.yaml"]
    config = folder / "stages.yaml"
    config.write_text("\n---\n".join(f.read_text() for f in files))
    return [peer("kwok"), "--manage-all-nodes", "--node-lease-duration-seconds=40", "--node-ip=10.0.0.1",
            "--server-address=127.0.0.1:0", "--config", config, "--kubeconfig", kubeconfig]


def create_nodes(kubectl, count):
    """For KWOK, which makes no nodes."""
    kubectl.apply(*[
        {"apiVersion": "v1", "kind": "Node",
         "metadata": {"name": f"hollow-{n}", "labels": {
             "kubernetes.io/hostname": f"hollow-{n}", "topology.kubernetes.io/zone": ZONES[n % len(ZONES)]}},
         "status": {"capacity": CAPACITY, "allocatable": CAPACITY}} for n in range(count)])


def hollow_nodes(on, kubeconfig, count, folder):
    if on == "kwok":
        create_nodes(Kubectl(kubeconfig), count)
        return process(kwok_command(kubeconfig, folder), folder / "kwok.log")
    groups = [
        {"namePrefix": f"hollow-{zone}-", "nodes": len(range(number, count, len(ZONES))), "capacity": CAPACITY,
         "labels": {"topology.kubernetes.io/zone": zone}} for number, zone in enumerate(ZONES)]
    # JSON is YAML.
    (folder / "groups.yaml").write_text(json.dumps({"groups": groups}))
    command = [KUBEREEL, "hollow", "--kubeconfig", kubeconfig, "--config", folder / "groups.yaml",
               "--profile", "kubelet", "--kubelet-address", "127.0.0.1:0"]
    return process(command, folder / "hollow.log")


def run_suite(kubeconfig, arguments, folder):
    """Runs the specs; gives (name, status, message) of each that was chosen."""
    focus, skip = SUITES[arguments.suite]
    command = [peer("e2e.test"), "--provider=skeleton", f"--kubeconfig={kubeconfig}", "--num-nodes", str(arguments.nodes),
               f"--ginkgo.focus={arguments.focus or focus}", f"--ginkgo.skip={arguments.skip or skip}",
               "--ginkgo.no-color", f"--ginkgo.timeout={arguments.minutes}m", f"--report-dir={folder}",
               "--allowed-not-ready-nodes=0", "--dump-logs-on-failure=false"]
    with open(arguments.log or folder / "e2e.log", "w") as log:
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder)
    results = []
    for report in folder.glob("junit*.xml"):
        for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
            name = case.get("name")
            status = case.get("status")
            if status == "skipped" or not name.startswith("[It]"):
                continue
            failure = case.find("failure")
            said = " ".join((failure.get("message") or "").split())[:200] if failure is not None else ""
            results.append((name.removeprefix("[It] "), status, said, float(case.get("time") or 0)))
    return sorted(results)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--on", choices=["kubereel", "kwok"], default="kubereel")
    parser.add_argument("--suite", choices=sorted(SUITES), default="scheduling")
    parser.add_argument("--focus", default="")
    parser.add_argument("--skip", default="")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--minutes", type=int, default=40)
    parser.add_argument("--json", default="")
    parser.add_argument("--log", default="")
    arguments = parser.parse_args()
    require_kubereel()
    with tempfile.TemporaryDirectory() as temporary, cluster() as kubeconfig:
        folder = pathlib.Path(temporary)
        with hollow_nodes(arguments.on, kubeconfig, arguments.nodes, folder) as child:
            await_ready(Kubectl(kubeconfig), arguments.nodes, child)
            say(f"{arguments.nodes} nodes are ready; the suite runs for up to {arguments.minutes} minutes")
            results = run_suite(kubeconfig, arguments, folder)
    print("| spec | result | seconds |\n| --- | --- | --- |")
    for name, status, said, seconds in results:
        print(f"| {name.replace('|', '/')} | {status}{': ' + said if said else ''} | {seconds:.0f} |")
    passed = sum(status == "passed" for _, status, *_ in results)
    print(f"\n{passed} of {len(results)} passed")
    if arguments.json:
        keys = ["spec", "result", "message", "seconds"]
        pathlib.Path(arguments.json).write_text(json.dumps([dict(zip(keys, r)) for r in results], indent=2) + "\n")
    sys.exit(0 if results and passed == len(results) else 1)


main()
