"""What the scripts here share: a local control plane, hollow nodes on it, and programs beside them."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KUBEREEL = pathlib.Path(os.environ.get("KUBEREEL") or ROOT / "target" / "release" / "kubereel")


def say(text):
    print(text, file=sys.stderr, flush=True)


def peer(name):
    done = subprocess.run([ROOT / "tools" / "peers.py", name], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def require_kubereel():
    if not KUBEREEL.is_file():
        sys.exit(f"{KUBEREEL} is not there: run `cargo build --release` first")


def cluster_name():
    return f"e2e-{os.getpid()}"


@contextlib.contextmanager
def cluster(*extra):
    """A control plane, its components with more arguments (`COMPONENT=ARG`); gives the path of its kubeconfig."""
    name = cluster_name()
    arguments = [part for argument in extra for part in ("--extra-arg", argument)]
    subprocess.run([KUBEREEL, "cluster", "up", "--name", name, "--detach", *arguments], check=True,
                   stdout=subprocess.DEVNULL)
    try:
        done = subprocess.run(
            [KUBEREEL, "cluster", "kubeconfig", name], stdout=subprocess.PIPE, text=True, check=True)
        yield done.stdout.strip()
    finally:
        subprocess.run([KUBEREEL, "cluster", "down", name], stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def process(command, log, folder=None):
    with open(log, "w") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder)
    child.log = pathlib.Path(log)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()


class Kubectl:
    """kubectl with one kubeconfig."""

    def __init__(self, kubeconfig):
        self.kubeconfig = kubeconfig

    def try_run(self, *arguments, given=None):
        return subprocess.run(["kubectl", "--kubeconfig", self.kubeconfig, *arguments], input=given,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments, given=None):
        """What it printed; ends the script where it failed."""
        done = self.try_run(*arguments, given=given)
        if done.returncode != 0:
            sys.exit(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "-o", "json"))

    def apply(self, *objects):
        # kubectl reads a list of any kinds.
        items = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.run("apply", "-f", "-", given=json.dumps(items))


def until(what, seconds, found, *children):
    """Waits until `found` gives something, and gives it; ends the script where that takes too long or a child ends."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := found():
            return result
        if any(child.poll() is not None for child in children):
            break
        time.sleep(0.5)
    for child in children:
        say("\n".join([f"last lines of {child.log.name}:", *child.log.read_text().splitlines()[-15:]]))
    sys.exit(f"{what}: not within {seconds} seconds, or a process has ended before")


def is_true(item, kind):
    conditions = item.get("status", {}).get("conditions", [])
    return any(c["type"] == kind and c["status"] == "True" for c in conditions)


def await_ready(kubectl, count, child):
    def ready():
        nodes = kubectl.json("get", "nodes")["items"]
        return sum(is_true(node, "Ready") for node in nodes) == count
    until(f"{count} nodes are ready", 150, ready, child)
