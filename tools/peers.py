#!/usr/bin/env python3
"""Builds the programs of others that tests and benchmarks run beside kubereel, from their published Go modules, and
prints where they are. What is there already is not built again. Needs Go and a module proxy.

usage: tools/peers.py NAME...      e2e.test kubemark kwok metrics-server kustomize helm
"""
import json
import os
import pathlib
import re
import subprocess
import sys

KUBERNETES = "v1.37.2"
# Module, version and package of what is no part of Kubernetes.
OTHERS = {
    "kwok": ("sigs.k8s.io/kwok", "v0.8.0", "sigs.k8s.io/kwok/cmd/kwok"),
    "metrics-server": ("sigs.k8s.io/metrics-server", "v0.9.0", "sigs.k8s.io/metrics-server/cmd/metrics-server"),
    "kustomize": ("sigs.k8s.io/kustomize/kustomize/v5", "v5.8.0", "sigs.k8s.io/kustomize/kustomize/v5"),
    "helm": ("helm.sh/helm/v3", "v3.19.4", "helm.sh/helm/v3/cmd/helm"),
}
# Command or test package, and the arguments of `go` that make it.
OF_KUBERNETES = {
    "kubemark": ["build", "-o", "{out}", "k8s.io/kubernetes/cmd/kubemark"],
    "e2e.test": ["test", "-c", "-vet=off", "-o", "{out}", "k8s.io/kubernetes/test/e2e"],
}


def go(arguments, folder):
    """Runs Go as the programs of a control plane are built; its progress goes to standard error."""
    environment = dict(os.environ, CGO_ENABLED="0", GOFLAGS="-mod=mod", GOWORK="off")
    done = subprocess.run(["go", *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"go {' '.join(arguments)} failed in {folder}")
    return done.stdout


def module_folder(module, version, folder):
    return json.loads(go(["mod", "download", "-json", f"{module}@{version}"], folder))


def kubernetes_module(folder):
    """A module that requires Kubernetes: its own go.mod with the staging paths as published versions."""
    theirs = pathlib.Path(module_folder("k8s.io/kubernetes", KUBERNETES, folder)["GoMod"]).read_text()
    staging = "v0" + KUBERNETES.removeprefix("v1")
    ours = re.sub(r"^module .*", "module kubereel.dev/build", theirs, flags=re.M)
    ours = re.sub(r"=> \./staging/src/(\S+)", rf"=> \1 {staging}", ours)
    (folder / "go.mod").write_text(f"{ours}\nrequire k8s.io/kubernetes {KUBERNETES}\n")


def other_module(folder, module, version):
    """A module that requires another, with the `replace` lines of that module, which only count in a main module."""
    theirs = pathlib.Path(module_folder(module, version, folder)["GoMod"]).read_text()
    line = re.search(r"^go \S+", theirs, flags=re.M).group(0)
    blocks = re.findall(r"^replace \((.*?)^\)", theirs, flags=re.M | re.S)
    lines = re.findall(r"^replace ([^(\n].*)$", theirs, flags=re.M) + [l for b in blocks for l in b.splitlines()]
    replace = [f"replace {l.strip()}" for l in lines if "=>" in l and "=> ." not in l]
    text = "\n".join(["module kubereel.dev/build", "", line, "", f"require {module} {version}", *replace])
    (folder / "go.mod").write_text(text + "\n")


def build(name, cache):
    version = KUBERNETES if name in OF_KUBERNETES else OTHERS[name][1]
    out = cache / "peers" / version / name
    if out.exists():
        return out
    folder = cache / "peers" / "modules" / name
    folder.mkdir(parents=True, exist_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    major, minor = version.split(".")[:2]
    variable = "k8s.io/component-base/version"
    stamp = f"-s -w -X {variable}.gitVersion={version} -X {variable}.gitMajor={major[1:]} -X {variable}.gitMinor={minor}"
    if name in OF_KUBERNETES:
        kubernetes_module(folder)
        what = [a.format(out=out) for a in OF_KUBERNETES[name]]
    else:
        module, version, package = OTHERS[name]
        other_module(folder, module, version)
        what = ["build", "-o", str(out), package]
    at = 2 if what[0] == "test" else 1
    go([*what[:at], "-trimpath", "-ldflags", stamp, *what[at:]], folder)
    return out


def main():
    names = sys.argv[1:]
    unknown = [name for name in names if name not in OTHERS and name not in OF_KUBERNETES]
    if not names or unknown:
        sys.exit(__doc__.strip() + (f"\n\nno such program: {', '.join(unknown)}" if unknown else ""))
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kubereel"
    cache = pathlib.Path(os.environ.get("KUBEREEL_CACHE_DIR") or home)
    for name in names:
        print(build(name, cache), flush=True)


main()
