#!/usr/bin/env python3
"""Measures many hollow nodes on a real control plane: how late leases are and what it costs; and what happens when the API
server is killed and comes back.

usage: tools/e2e/many.py [--nodes N] [--profile light|kubelet] [--pods N] [--window SECONDS] [--away SECONDS]

With `--away` the server is away for so long after the window. The exit code is 1 where a lease was later than 12 s while the
server answered, or not renewed 10 s after it was back, or a pod was lost or doubled.
"""
import argparse
import contextlib
import datetime
import json
import pathlib
import sys
import tempfile
import time
import urllib.request

import control
from lab import KUBEREEL, Kubectl, cluster, is_true, process, require_kubereel, say, until

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases?resourceVersion=0"
LATEST, BACK_WITHIN = 12.0, 10.0
# What hollow nodes ask, as the server receives it.
POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["ResponseStarted", "ResponseComplete"],
          "rules": [{"level": "None", "users": [
              "system:apiserver", "system:kube-scheduler", "system:kube-controller-manager"]},
              {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]}, {"level": "Metadata"}]}


def seconds(text):
    """A time of an object or of the audit log, since the epoch."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def raw(kubectl, path):
    """An answer of the API server; nothing where it does not answer."""
    done = kubectl.try_run("get", "--raw", path)
    if done.returncode != 0:
        say(f"{path}: {done.stderr.strip()[:200]}")
        return None
    return json.loads(done.stdout)


def renewals(kubectl):
    """When each lease was renewed last."""
    listed = raw(kubectl, LEASES)
    return {lease["metadata"]["name"]: seconds(lease["spec"]["renewTime"]) for lease in (listed or {}).get("items", [])}


def hollow_nodes(kubeconfig, arguments, port, folder):
    command = [KUBEREEL, "hollow", "--kubeconfig", kubeconfig, "--nodes", str(arguments.nodes), "--profile",
               arguments.profile, "--capacity", "cpu=72,memory=256Gi,ephemeral-storage=1Ti,pods=110",
               "--kubelet-address", "127.0.0.1:0", "--metrics-addr", f"127.0.0.1:{port}", "--on-stop", "keep"]
    return process(command, folder / "hollow.log")


def await_registered(child, port):
    def ready():
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).status == 200
        return False
    until("all nodes are registered", 600, ready, child)


def own_metrics(port):
    """Where time goes: how late the process was at most to send a renewal, and how long the server took on average."""
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    value = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line[:1] != "#"}
    prefix, about = "kubereel_hollow_", '{about="node"}'
    took, count = (value[f"{prefix}request_seconds_{figure}{about}"] for figure in ("sum", "count"))
    return value[f"{prefix}lease_lateness_longest_seconds"], took / count


def deployment(pods):
    container = {"name": "main", "image": "none", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": pods, "selector": {"matchLabels": {"app": "web"}}, "template": template}}


def all_pods(kubectl):
    """By UID whether it is ready, and how often its containers were restarted."""
    items = (raw(kubectl, "/api/v1/namespaces/default/pods?resourceVersion=0") or {}).get("items", [])
    return {p["metadata"]["uid"]: (is_true(p, "Ready"), sum(
        c["restartCount"] for c in p["status"].get("containerStatuses", []))) for p in items}


def all_ready(kubectl, count):
    found = all_pods(kubectl)
    return len(found) == count and all(ready for ready, _ in found.values())


def steady(kubectl, processes, window):
    """Ages of leases and times between renewals over a window, and cores used in it."""
    start, cpu = time.monotonic(), {name: p.cpu_seconds() for name, p in processes.items()}
    last, gaps, ages, lists = {}, [], [], 0
    while time.monotonic() - start < window:
        found = renewals(kubectl)
        now = time.time()
        ages += [now - renewed for renewed in found.values()]
        gaps += [renewed - last[name] for name, renewed in found.items() if renewed > last.get(name, renewed)]
        last, lists = found, lists + 1
        if not found:
            continue
        # No lease is renewed twice in between.
        time.sleep(3)
    took = time.monotonic() - start
    say(f"leases were listed {lists} times in {took:.0f} s")
    return sorted(ages), sorted(gaps), {name: (p.cpu_seconds() - cpu[name]) / took for name, p in processes.items()}


def at(values, q):
    return values[min(int(len(values) * q), len(values) - 1)] if values else float("nan")


def tell_steady(nodes, profile, ages, gaps, cores, processes):
    late = sum(gap > LATEST for gap in gaps) + sum(age > LATEST for age in ages)
    print("| nodes | profile | lease age p50, s | p99 | max | renewal after p50, s | p99 | max | over 12 s "
          "| kubereel, cores | MiB | API server, cores | MiB | etcd, cores |")
    print("| --- |" + " --- |" * 13)
    print(f"| {nodes:,} | {profile} | {at(ages, .5):.1f} | {at(ages, .99):.1f} | {at(ages, 1):.1f} | {at(gaps, .5):.2f} "
          f"| {at(gaps, .99):.2f} | {at(gaps, 1):.2f} | {late} of {len(gaps):,} | {cores['hollow']:.3f} "
          f"| {processes['hollow'].memory_mib():.0f} | {cores['kube-apiserver']:.2f} "
          f"| {processes['kube-apiserver'].memory_mib():.0f} | {cores['etcd']:.2f} |", flush=True)
    return late == 0 and len(gaps) > 0


def received(log, since):
    """When the server received each request of hollow nodes from then on."""
    times = []
    for line in log.read_text().splitlines():
        # The last line of a server that was killed is cut off.
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if event.get("userAgent", "").startswith("kubereel"):
                times.append(seconds(event["requestReceivedTimestamp"]))
    return sorted(t for t in times if t >= since)


def peak(times):
    """The most in any second."""
    most, first = 0, 0
    for last, t in enumerate(times):
        while t - times[first] > 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def outage(kubectl, server, away, nodes, pods, log):
    before = all_pods(kubectl)
    killed = time.time()
    server.kill()
    time.sleep(away)
    server.start()
    until("the API server is back", 60, lambda: kubectl.try_run("get", "--raw", "/readyz").returncode == 0)
    back = time.time()
    first = {}

    def all_renewed():
        # What was on its way at the end may carry a time shortly after it.
        for name, renewed in renewals(kubectl).items():
            if renewed > killed + 2:
                first.setdefault(name, renewed)
        return len(first) == nodes
    until("every lease is renewed", 60, all_renewed)
    latest = max(first.values()) - back
    time.sleep(max(0, back + 21 - time.time()))
    times = received(log, killed + 2)
    later = sum(back + 10 <= t < back + 20 for t in times) / 10
    # The node lifecycle controller looks at what it knew before the outage first, and calls pods of some nodes unready.
    until("all pods are ready again", 120, lambda: all_ready(kubectl, pods))
    ready_after = time.time() - back
    after = all_pods(kubectl)
    lost, new = len(before.keys() - after.keys()), len(after.keys() - before.keys())
    restarted = sum(after[uid][1] != restarts for uid, (_, restarts) in before.items() if uid in after)
    print("| nodes | pods | away, s | from its start to ready, s | last lease after ready, s | peak requests/s "
          "| 10 to 20 s after, requests/s | pods lost | new | restarted | all ready after, s |")
    print("| --- |" + " --- |" * 10)
    print(f"| {nodes:,} | {pods:,} | {away} | {back - killed - away:.1f} | {latest:.1f} | {peak(times):,} | {later:.0f} "
          f"| {lost} | {new} | {restarted} | {ready_after:.0f} |", flush=True)
    return latest <= BACK_WITHIN and len(before) == pods and not lost + new + restarted


def parse():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--profile", choices=["light", "kubelet"], default="light")
    parser.add_argument("--pods", type=int, default=0)
    parser.add_argument("--window", type=int, default=60)
    parser.add_argument("--away", type=int, default=0)
    return parser.parse_args()


def main():
    arguments = parse()
    require_kubereel()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "policy.yaml").write_text(json.dumps(POLICY))
        log = folder / "audit.log"
        # Only an outage counts requests: a log of them is work for the server.
        audit = [f"--audit-policy-file={folder / 'policy.yaml'}", f"--audit-log-path={log}"] if arguments.away else []
        kubeconfig = stack.enter_context(cluster(*[f"kube-apiserver={argument}" for argument in audit]))
        kubectl = Kubectl(kubeconfig)
        processes = control.components()
        server = stack.enter_context(processes["kube-apiserver"])
        start, port = time.monotonic(), control.free_port()
        child = stack.enter_context(hollow_nodes(kubeconfig, arguments, port, folder))
        await_registered(child, port)
        say(f"{arguments.nodes} nodes registered after {time.monotonic() - start:.1f} s")
        if arguments.pods:
            kubectl.apply(deployment(arguments.pods))
            until("all pods are ready", 600, lambda: all_ready(kubectl, arguments.pods), child)
        # A node is registered before it has a lease.
        until("all nodes have leases", 600, lambda: len(renewals(kubectl)) == arguments.nodes, child)
        say(f"all have leases after {time.monotonic() - start:.1f} s")
        # Until each lease has been renewed, its age counts from its creation.
        time.sleep(15)
        processes["hollow"] = control.Process(child.pid)
        ages, gaps, cores = steady(kubectl, processes, arguments.window)
        late, took = own_metrics(port)
        say(f"a renewal was sent {late:.3f} s late at most; the server took {1000 * took:.1f} ms on average since the start")
        passed = tell_steady(arguments.nodes, arguments.profile, ages, gaps, cores, processes)
        if arguments.away:
            passed &= outage(kubectl, server, arguments.away, arguments.nodes, arguments.pods, log)
    sys.exit(0 if passed else 1)


main()
