#!/usr/bin/env python3
"""Writes src/stats/vectors.json: inputs and what SciPy and lifelines make of them, for the tests of src/stats.

    python3 -m venv target/venv-stats && target/venv-stats/bin/pip install scipy lifelines
    target/venv-stats/bin/python tools/stats_vectors.py > src/stats/vectors.json
"""

import itertools
import json

import numpy as np
import scipy
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from lifelines.utils import restricted_mean_survival_time
from scipy import stats

rng = np.random.default_rng(20261125)


def sample(n, scale=1.0, ties=False):
    values = rng.lognormal(3.0, 0.4, n) * scale
    return [float(round(v, 0 if ties else 6)) for v in values]


def mean_difference(a, b, axis=-1):
    return np.mean(b, axis=axis) - np.mean(a, axis=axis)


def shift_interval(a, b, alpha):
    """Inverts the exact Mann-Whitney test: between two neighbouring differences its p-value is constant."""
    differences = sorted(y - x for x in a for y in b)
    ends = [differences[0] - 1, *differences, differences[-1] + 1]
    kept = []
    for low, high in itertools.pairwise(ends):
        moved = [y - (low + high) / 2 for y in b]
        if stats.mannwhitneyu(a, moved, method="exact").pvalue > alpha:
            kept += [low, high]
    low, high = min(kept), max(kept)
    return [None if low == ends[0] else low, None if high == ends[-1] else high]


def two_samples():
    for n, m, scale, ties in [(3, 3, 1.5, False), (4, 4, 2.0, False), (5, 6, 1.1, False), (6, 6, 1.0, False),
                              (6, 6, 1.8, False), (8, 5, 0.7, False), (10, 10, 1.2, False), (12, 9, 1.3, True),
                              (60, 70, 1.05, False)]:
        a, b = sample(n, ties=ties), sample(m, scale, ties)
        small = len(a) <= 10 and not ties
        exact = not ties and max(n, m) <= 50
        yield {
            "a": a, "b": b,
            "mann_whitney": stats.mannwhitneyu(a, b, method="exact" if exact else "asymptotic").pvalue,
            "permutation": stats.permutation_test((a, b), mean_difference, vectorized=True,
                                                  n_resamples=np.inf).pvalue if small else None,
            "cliffs_delta": 2 * stats.mannwhitneyu(b, a).statistic / (len(a) * len(b)) - 1,
            "hodges_lehmann": float(np.median([y - x for x in a for y in b])),
            "interval": shift_interval(a, b, 0.05) if small else None,
        }


def energies():
    for n, m, moved in [(3, 3, 0.0), (4, 4, 6.0), (5, 4, 2.0)]:
        points = [float(v) for v in [*rng.normal(0, 3, n), *rng.normal(moved, 3, m)]]

        def statistic(first):
            rest = [i for i in range(n + m) if i not in first]
            mean = lambda pairs: float(np.mean([abs(points[i] - points[j]) for i, j in pairs]))
            return (2 * mean(itertools.product(first, rest)) - mean(itertools.combinations(first, 2))
                    - mean(itertools.combinations(rest, 2)))

        observed = statistic(range(n))
        every = [statistic(first) for first in itertools.combinations(range(n + m), n)]
        yield {"n": n, "points": points, "statistic": observed,
               "p": float(np.mean([value >= observed - 1e-9 for value in every]))}


def survivals():
    for n, m, scale in [(20, 20, 1.0), (40, 25, 2.0), (15, 60, 0.6)]:
        groups = []
        for size, stretch in [(n, 1.0), (m, scale)]:
            waits = np.round(rng.exponential(10 * stretch, size), 1)
            limits = np.round(rng.uniform(5, 40, size), 1)
            groups.append([[float(min(w, l)), bool(w <= l)] for w, l in zip(waits, limits)])
        a, b = groups
        fitter = KaplanMeierFitter().fit([t for t, _ in a], [e for _, e in a])
        median = float(fitter.median_survival_time_)
        result = logrank_test([t for t, _ in a], [t for t, _ in b], [e for _, e in a], [e for _, e in b])
        table = fitter.survival_function_["KM_estimate"]
        ended = sorted({t for t, e in a if e})
        yield {"a": a, "b": b, "log_rank": float(result.p_value),
               "steps": [[t, float(table.loc[t])] for t in ended],
               "median": median if np.isfinite(median) else None,
               "horizon": 12.5, "restricted_mean": float(restricted_mean_survival_time(fitter, t=12.5))}


def adjusted():
    for n in [1, 5, 12]:
        p = [float(v) for v in rng.uniform(0, 0.2, n) ** 2]
        order = np.argsort(p)
        holm, worst = [0.0] * n, 0.0
        for rank, at in enumerate(order):
            worst = max(worst, min(1.0, p[at] * (n - rank)))
            holm[at] = worst
        yield {"p": p, "holm": holm, "benjamini_hochberg": stats.false_discovery_control(p).tolist()}


print(json.dumps({
    "made_with": f"SciPy {scipy.__version__}, lifelines {__import__('lifelines').__version__}",
    "two_samples": list(two_samples()), "energy": list(energies()), "survival": list(survivals()),
    "adjusted": list(adjusted()),
}, indent=1))
