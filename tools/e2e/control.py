"""The processes of a local control plane: what they use, and the death and return of one."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

from lab import KUBEREEL, cluster_name


def free_port():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return listener.getsockname()[1]


class Process:
    """One that runs, by its number; ends what it started itself."""

    def __init__(self, pid):
        self.pid = pid
        self.command = [part.decode() for part in self.file("cmdline").split(b"\0") if part]
        self.child = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child:
            self.child.kill()
            self.child.wait()

    def file(self, name):
        return pathlib.Path(f"/proc/{self.pid}/{name}").read_bytes()

    def cpu_seconds(self):
        after_name = self.file("stat").decode().rsplit(") ", 1)[1].split()
        return sum(int(ticks) for ticks in after_name[11:13]) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self):
        lines = self.file("status").decode().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def is_running(self):
        # One that nobody has waited for holds no port any more.
        with contextlib.suppress(FileNotFoundError):
            return ") Z " not in self.file("stat").decode()
        return False

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        while self.is_running():
            time.sleep(0.02)

    def start(self):
        """Again, with the same arguments."""
        self.child = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.child.pid


def components():
    """Those of this script's cluster, by name."""
    listed = subprocess.run(
        [KUBEREEL, "cluster", "list", "--format", "json"], stdout=subprocess.PIPE, text=True, check=True)
    ours = next(c for c in json.loads(listed.stdout) if c["name"] == cluster_name())
    return {c["component"]: Process(c["pid"]) for c in ours["components"]}
