#!/usr/bin/env python3
"""GPU allocation and fragmentation of a run over the demand that had arrived, as a table and a chart.

usage: kubereel trace cat RUN.reel --kind Pod --kind Node | tools/gpu_series.py [CHART.svg]

Cards are counted in thousandths, by the resource kubereel.dev/gpu-milli (kubereel import openb). Fragmentation is that of FGD
(Weng et al., "Beware of Fragmentation", USENIX ATC 2023) at the level of nodes: of the free cards, the share on nodes that a pod
drawn from the arrived ones cannot use, because the node's free cards, CPU or memory do not suffice. Cards as single bins are
unknown to Kubernetes, so a node's free thousandths count as one.
"""
import collections
import json
import sys

RESOURCE = "kubereel.dev/gpu-milli"
POINTS = 40
TYPICAL = 30
UNITS = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text):
    for unit in sorted(UNITS, key=len, reverse=True):
        if text.endswith(unit):
            return float(text[: -len(unit)]) * UNITS[unit]
    return float(text)


def vector(resources):
    return tuple(quantity(resources.get(name, "0")) for name in (RESOURCE, "cpu", "memory"))


def requests(pod):
    sums = [0.0, 0.0, 0.0]
    for container in pod["spec"]["containers"]:
        asked = container.get("resources", {}).get("requests", {})
        sums = [a + b for a, b in zip(sums, vector(asked))]
    return tuple(sums)


def read(lines):
    """Nodes with what they have free, and steps: arrivals and bindings in order."""
    nodes, steps, known, bound = {}, [], {}, set()
    for line in lines:
        event = json.loads(line)
        kind = event.get("key", {}).get("kind")
        if kind == "Node" and event["verb"] in ("initial", "added"):
            nodes[event["key"]["name"]] = list(vector(event["object"]["status"]["allocatable"]))
        elif kind == "Pod":
            uid, pod = event["uid"], event["object"]
            if uid not in known:
                known[uid] = requests(pod)
                steps.append(("arrive", uid, None))
            node = pod["spec"].get("nodeName")
            if node and uid not in bound:
                bound.add(uid)
                steps.append(("bind", uid, node))
    return nodes, steps, known


def fragmentation(free, arrived):
    """Share of free cards that a typical arrived pod cannot use."""
    typical = arrived.most_common(TYPICAL)
    pods = sum(count for _, count in typical)
    idle = sum(node[0] for node in free.values())
    if not idle or not pods:
        return 0.0
    lost = 0.0
    for node in free.values():
        unfit = sum(n for asked, n in typical if not asked[0] or any(a > f for a, f in zip(asked, node)))
        lost += node[0] * unfit / pods
    return lost / idle


def series(nodes, steps, known):
    capacity = sum(node[0] for node in nodes.values())
    demand = sum(known[uid][0] for verb, uid, _ in steps if verb == "arrive")
    marks = [demand * (n + 1) / POINTS for n in range(POINTS)]
    asked, used, waiting, arrived, rows = 0.0, 0.0, 0, collections.Counter(), []

    def mark():
        rows.append((asked / capacity, used / capacity, fragmentation(nodes, arrived), waiting))

    for verb, uid, node in steps:
        want = known[uid]
        if verb == "arrive":
            while marks and asked + want[0] > marks[0]:
                mark()
                marks.pop(0)
            asked += want[0]
            arrived[want] += 1
            waiting += 1
        else:
            used += want[0]
            waiting -= 1
            free = nodes.get(node)
            if free:
                nodes[node] = [f - a for f, a in zip(free, want)]
    mark()
    return rows


def chart(rows):
    width, height, left, bottom = 640, 360, 56, 40
    most = max(row[0] for row in rows)

    def at(row, value):
        x = left + (width - left - 20) * row[0] / most
        return f"{x:.1f},{height - bottom - (height - bottom - 20) * value:.1f}"

    def line(values, colour, name, y):
        points = " ".join(at(row, value) for row, value in zip(rows, values))
        return (f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>'
                f'<text x="{left + 12}" y="{y}" fill="{colour}">{name}</text>')

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for tick in range(0, 11, 2):
        y = height - bottom - (height - bottom - 20) * tick / 10
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick * 10} %</text>')
    for tick in range(int(most * 10) + 1):
        if tick % 2 == 0:
            x = left + (width - left - 20) * tick / 10 / most
            parts.append(f'<text x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle">{tick * 10} %</text>')
    parts.append(f'<text x="{(left + width) / 2}" y="{height - 6}" text-anchor="middle">cards asked for, of all cards</text>')
    parts.append(line([row[1] for row in rows], "#1f77b4", "cards allocated, of all cards", 36))
    parts.append(line([row[2] for row in rows], "#d62728", "free cards that a typical pod cannot use", 54))
    return "\n".join(parts + ["</svg>"]) + "\n"


def main():
    rows = series(*read(sys.stdin))
    print(f"{'asked':>8} {'allocated':>10} {'fragmented':>11} {'waiting':>8}")
    for asked, used, lost, waiting in rows:
        print(f"{asked:>8.1%} {used:>10.1%} {lost:>11.1%} {waiting:>8}")
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8") as out:
            out.write(chart(rows))


if __name__ == "__main__":
    main()
