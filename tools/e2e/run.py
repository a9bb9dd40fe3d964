#!/usr/bin/env python3
"""Runs specs of Kubernetes' own end-to-end suite against hollow nodes on a local control plane, and prints which passed.

usage: tools/e2e/run.py [--on kubereel|kwok] [--suite scheduling|apps|jobs] [--focus REGEX] [--nodes N] [--minutes N] [--json FILE]

`tools/peers.py e2e.test kwok` builds the suite and KWOK first; the first time that takes some minutes. The exit code is 1
where a spec failed.
"""
import argparse
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

from lab import KUBEREEL, Kubectl, await_ready, cluster, peer, process, require_kubereel, say

# What cannot pass without containers and why, and whose Jobs have to go on: those are the suite `jobs`.
APPS = json.loads((pathlib.Path(__file__).parent / "apps.json").read_text())
LASTING, NEEDS = "|".join(APPS["lastingJobs"]), "|".join(APPS["needContainers"])
SERIAL = r"\[Serial\]"
NEVER = r"Feature:|Alpha|Slow|\[Disruptive\]|\[Flaky\]"
# What is run at once, each by its focus and what it skips, step by step.
SUITES = {
    "scheduling": [[(r"\[sig-scheduling\]", r"Feature:|Alpha|Slow")]],
    "apps": [
        [(rf"\[sig-apps\] ({kinds})", f"{SERIAL}|{NEVER}|{NEEDS}|{LASTING}") for kinds in (
            "StatefulSet", "Job|CronJob|TTLAfterFinished", "Deployment|Replica|Disruption")],
        [(rf"\[sig-apps\].*{SERIAL}", f"{NEVER}|{NEEDS}|{LASTING}")],
    ],
    "jobs": [[(LASTING, NEVER)]],
}
CAPACITY = {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "110"}
# Two: a few specs are about several.
ZONES = ["a", "b"]
KWOK_STAGES = ["pod/fast", "node/fast", "node/heartbeat-with-lease"]


def kwok_command(kubeconfig, folder, jobs_last):
    source = subprocess.run(
        ["go", "mod", "download", "-json", "sigs.k8s.io/kwok@v0.8.0"], stdout=subprocess.PIPE, text=True, check=True)
    stages = pathlib.Path(json.loads(source.stdout)["Dir"]) / "kustomize" / "stage"
    files = [f for part in KWOK_STAGES for f in sorted((stages / part).glob("*.yaml")) if f.name != "kustomization.yaml"]
    if jobs_last:
        files = [f for f in files if f.name != "pod-complete.yaml"]
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


def hollow_nodes(arguments, kubeconfig, folder):
    count, jobs_last = arguments.nodes, arguments.suite == "jobs"
    if arguments.on == "kwok":
        create_nodes(Kubectl(kubeconfig), count)
        return process(kwok_command(kubeconfig, folder, jobs_last), folder / "kwok.log")
    groups = [
        {"namePrefix": f"hollow-{zone}-", "nodes": len(range(number, count, len(ZONES))), "capacity": CAPACITY,
         "labels": {"topology.kubernetes.io/zone": zone}} for number, zone in enumerate(ZONES)]
    # JSON is YAML.
    (folder / "groups.yaml").write_text(json.dumps({"groups": groups}))
    command = [KUBEREEL, "hollow", "--kubeconfig", kubeconfig, "--config", folder / "groups.yaml",
               "--profile", "kubelet", "--kubelet-address", "127.0.0.1:0", "--job-run-time", "1h" if jobs_last else "1s"]
    return process(command, folder / "hollow.log")


def specs(kubeconfig, arguments, focus, skip, folder):
    folder.mkdir()
    command = [peer("e2e.test"), "--provider=skeleton", f"--kubeconfig={kubeconfig}", "--num-nodes", str(arguments.nodes),
               f"--ginkgo.focus={focus}", f"--ginkgo.skip={skip}",
               "--ginkgo.no-color", f"--ginkgo.timeout={arguments.minutes}m", f"--report-dir={folder}",
               "--allowed-not-ready-nodes=0", "--dump-logs-on-failure=false"]
    return process(command, folder / "e2e.log", folder)


def results_in(folder):
    """(name, status, message, seconds) of each spec that was chosen."""
    for report in folder.glob("junit*.xml"):
        for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
            name, status = case.get("name"), case.get("status")
            if status == "skipped" or not name.startswith("[It]"):
                continue
            failure = case.find("failure")
            said = " ".join((failure.get("message") or "").split())[:200] if failure is not None else ""
            yield name.removeprefix("[It] "), status, said, float(case.get("time") or 0)


def run_suite(kubeconfig, arguments, folder):
    """Runs the specs, those of one step at once."""
    results = []
    steps = [[(arguments.focus, NEVER)]] if arguments.focus else SUITES[arguments.suite]
    for number, step in enumerate(steps):
        folders = [folder / f"{number}-{part}" for part in range(len(step))]
        # Whatever ends this script ends them too.
        with contextlib.ExitStack() as running:
            runs = [running.enter_context(specs(kubeconfig, arguments, *chosen, into))
                    for chosen, into in zip(step, folders)]
            for run in runs:
                run.wait()
        for into in folders:
            results += results_in(into)
            if arguments.logs:
                shutil.copytree(into, pathlib.Path(arguments.logs) / into.name, dirs_exist_ok=True)
    return sorted(results)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--on", choices=["kubereel", "kwok"], default="kubereel")
    parser.add_argument("--suite", choices=sorted(SUITES), default="scheduling")
    parser.add_argument("--focus", default="")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--minutes", type=int, default=40)
    parser.add_argument("--json", default="")
    parser.add_argument("--logs", default="")
    arguments = parser.parse_args()
    require_kubereel()
    # Some specs make pods that are privileged.
    privileged = "kube-apiserver=--allow-privileged=true"
    with tempfile.TemporaryDirectory() as temporary, cluster(privileged) as kubeconfig:
        folder = pathlib.Path(temporary)
        with hollow_nodes(arguments, kubeconfig, folder) as child:
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
