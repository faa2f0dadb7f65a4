#!/usr/bin/env python3
"""`P @ pi` in NumPy on the full n x n matrix: what the win rates of docs/performance.md stand beside.

The game and the strategy are those of benches/src/lib.rs. Results are JSON lines on stdout.

    python3 -m venv venv && venv/bin/pip install -r requirements-game.txt

    numpy_win_rates.py parity N FILE   the rates in FILE (a JSON list) are ours to 1e-12: first, always
    numpy_win_rates.py time N ..       us a product, median over half a second of samples
    numpy_win_rates.py table FILE      medians and ratios of the lines that benches/win_rates.sh collects
"""

import json
import statistics
import sys
import time

TOLERANCE = 1e-12


def game(n):
    import numpy as np

    i, j = np.indices((n, n))
    below = ((i * 7919 + j * 104729) % 1000) / 1000
    return np.where(i > j, below, np.where(i < j, 1 - below.T, 0.5))


def strategy(n):
    import numpy as np

    weights = 1.0 + np.arange(n) % 7
    return weights / weights.sum()


def sample(call, calls):
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return 1e6 * (time.perf_counter() - start) / calls


def median_us(call):
    sample(call, 3)
    calls = max(1, round(50 / sample(call, 20)))
    start, samples = time.perf_counter(), []
    while time.perf_counter() - start < 0.5:
        samples.append(sample(call, calls))
    return statistics.median(samples)


def blas():
    from threadpoolctl import threadpool_info

    (pool,) = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {key: pool[key] for key in ("internal_api", "version", "architecture", "num_threads")}


def parity(n, path):
    with open(path) as file:
        theirs = json.load(file)
    ours = game(n) @ strategy(n)
    worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    print(json.dumps({"n": n, "largest difference": worst}))
    if not worst <= TOLERANCE:
        raise SystemExit(f"the win rates of {n} actions differ by {worst}")


def measure(n):
    matrix, pi = game(n), strategy(n)
    us = median_us(lambda: matrix @ pi)
    print(json.dumps({"n": n, "us": us, "gb_s": 8e-3 * n * n / us, **blas()}))


def table(path):
    with open(path) as file:
        lines = [json.loads(line) for line in file]

    def median(side, n, key):
        return statistics.median(line[key] for line in lines if line["n"] == n and ("reading_gb_s" in line) == side)

    print("| n | inpo, us | inpo, GB/s | reading, GB/s | share | NumPy, us | NumPy, GB/s | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for n in sorted({line["n"] for line in lines}):
        us, gb_s, reading = (median(True, n, key) for key in ("us", "gb_s", "reading_gb_s"))
        theirs, their_gb_s = (median(False, n, key) for key in ("us", "gb_s"))
        share = statistics.median(line["gb_s"] / line["reading_gb_s"] for line in lines if line["n"] == n and "reading_gb_s" in line)
        print(f"| {n} | {us:.3g} | {gb_s:.3g} | {reading:.3g} | {share:.2f} | {theirs:.3g} | {their_gb_s:.3g} | {theirs / us:.3g} |")


def main():
    match sys.argv[1:]:
        case ["parity", n, path]:
            parity(int(n), path)
        case ["time", *sizes]:
            for n in sizes:
                measure(int(n))
        case ["table", path]:
            table(path)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
