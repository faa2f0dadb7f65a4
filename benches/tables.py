#!/usr/bin/env python3
"""Markdown tables, and the checks before them, from the JSON lines of train.sh, growth.sh, inference.sh and profile.sh.

    tables.py parity  LINES                 do both sides compute the same? Fails if they do not
    tables.py train   LINES                 medians over rounds, and ratios
    tables.py growth  LINES                 one row a point
    tables.py inference LINES               medians over rounds, and ratios
    tables.py judge     LINES               do both sides answer the same? Medians over rounds, and ratios
    tables.py profile BENCH PEAK REPORT     shares of `perf report`, and the products' distance from the peak
"""

import collections
import json
import math
import re
import statistics
import sys

# Largest relative difference from ours; bf16 has 8 bits of mantissa.
EXACT, BF16 = 1e-3, 1e-2


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |")


def head(*cells):
    row(*cells)
    print("|" + "---|" * len(cells))


def parity(path):
    """Sums of the log-probs that training starts with, the first loss, and with all weights trained (no adapters whose
    start is random) the loss after the same updates too."""
    lines = read(path)
    ours = {line["result"]["full"]: line["result"] for line in lines if line["side"] == "inpo"}
    failures = []
    for line in lines:
        result = line["result"]
        mine = ours[result["full"]]
        # DPO's first loss is ln 2, which the peer itself checks.
        names = ["start_logps"] + ["first_loss"] * (line["side"] != "trl")
        bf16 = result.get("autocast") == "bf16"
        # h is a difference of sums of log-probs: after an update bf16 leaves too little of it to compare.
        if result["full"] and not bf16 and result["repeats"] == mine["repeats"]:
            names.append("last_loss")
        allowed = BF16 if bf16 else EXACT
        for name in names:
            gap = abs(result[name] - mine[name]) / abs(mine[name])
            if not gap <= allowed:
                failures.append(f"{line['case']} ({line['side']}): {name} is {result[name]}, inpo's {mine[name]}")
        for name in ("pairs", "prompt", "response", "layers", "tokens", "trained", "threads"):
            if result[name] != mine[name]:
                failures.append(f"{line['case']} ({line['side']}): {name} is {result[name]}, inpo's {mine[name]}")
    if failures:
        sys.exit("no timing counts, the sides differ:\n" + "\n".join(failures))


def medians(lines):
    """Medians over rounds of seconds a step and of peak MiB, by case and side in the order of their first line."""
    rounds = collections.defaultdict(list)
    for line in lines:
        rounds[line["case"], line["side"]].append(line["result"])
    middle = lambda results, name: statistics.median(result[name] for result in results)
    return {key: (middle(results, "seconds_median"), middle(results, "peak_rss_mib"), results[0])
            for key, results in rounds.items()}


def train(path):
    table = medians(read(path))
    ours = {result["full"]: (seconds, mib) for (_, side), (seconds, mib, result) in table.items() if side == "inpo"}
    head("step", "side", "s", "pairs/s", "peak, MiB", "time, ours / theirs", "memory, ours / theirs")
    for (case, side), (seconds, mib, result) in table.items():
        mine = ours[result["full"]]
        ratios = ("", "") if side == "inpo" else (f"{mine[0] / seconds:.2f}", f"{mine[1] / mib:.2f}")
        row(case, side, f"{seconds:.2f}", f"{result['pairs'] / seconds:.3f}", f"{mib:.0f}", *ratios)


def growth(path):
    points = collections.defaultdict(dict)
    for line in read(path):
        points[line["axis"], line["value"]][line["side"]] = line["result"]
    head("grows", "to", "inpo, s", "PyTorch, s", "ours / theirs", "inpo, MiB", "PyTorch, MiB", "ours / theirs")
    for (axis, value), sides in points.items():
        cells = []
        for name, digits in (("seconds_median", 2), ("peak_rss_mib", 0)):
            both = [sides[side][name] if side in sides else None for side in ("inpo", "torch")]
            cells += ["" if figure is None else f"{figure:.{digits}f}" for figure in both]
            cells.append(f"{both[0] / both[1]:.2f}" if None not in both else "")
        row(axis, value, *cells)


def inference(path):
    table = medians(read(path))
    ours = {case: seconds for (case, side), (seconds, _, _) in table.items() if side == "inpo"}
    head("measurement", "side", "s", "tokens/s", "inpo is faster by", "peak, MiB", "load, s")
    for (case, side), (seconds, mib, result) in table.items():
        ratio = "" if side == "inpo" else f"{seconds / ours[case]:.2f}x"
        row(case, side, f"{seconds:.2f}", f"{result['tokens'] / seconds:.1f}", ratio, f"{mib:.0f}",
            f"{result.get('load_seconds', math.nan):.2f}")


def judge(path):
    """Comparisons a second, where every answer of every side is ours to 1e-4."""
    lines = read(path)
    mine = next(line["result"]["probabilities"] for line in lines if line["side"] == "inpo")
    gaps = collections.defaultdict(float)
    for line in lines:
        theirs = line["result"]["probabilities"]
        gap = max(abs(a - b) for a, b in zip(mine, theirs, strict=True))
        gaps[line["side"]] = max(gaps[line["side"]], gap)
    if not max(gaps.values()) < 1e-4:
        sys.exit(f"no timing counts, the sides differ: {dict(gaps)}")
    table = medians(lines)
    ours = next(seconds for (_, side), (seconds, _, _) in table.items() if side == "inpo")
    head("side", "comparisons", "s", "comparisons/s", "inpo is faster by", "largest difference of P", "peak, MiB")
    for (_, side), (seconds, mib, result) in table.items():
        ratio = "" if side == "inpo" else f"{seconds / ours:.2f}x"
        count = result["comparisons"]
        row(side, count, f"{seconds:.2f}", f"{count / seconds:.2f}", ratio, f"{gaps[side]:.1e}", f"{mib:.0f}")


# The first that matches a symbol has it. Where burn-flex runs the attention's and the head's chains of single operations,
# their products are matmul and the rest is elementwise: only fused operations have names of their own.
CLASSES = (
    ("matmul", r"gemm_\w+::microkernel|gemm_\w+::gemm::|gemv|inpo_kernels::.*(matmul|gemm|product)|amx::(?!pack)|"
               r"few::(?!rows::pack)"),
    ("packing", r"pack_|gemm_common::|amx::pack|few::rows::pack"),
    ("attention", r"inpo_kernels::attention|attention|softmax"),
    ("head", r"inpo_kernels::head|inpo_policy::head|inpo_train::step"),
    ("optimiser", r"inpo_kernels::(adamw|optim)|inpo_train::optim|adamw"),
    ("memory", r"mem(move|set|cpy)|malloc|calloc|realloc|_int_free|cfree|\bfree\b|clear_page|page_fault|memcg|folio|pte|"
               r"lruvec|_mm_|_mm\b|mm_fault|mas_|vma|munmap|mmap|zap_|tlb|rmqueue|get_page|anonymous_page|alloc_|"
               r"copy_2d_tiled|slice_write|StridedIter|filled_typed|from_iter"),
    ("elementwise", r"expf|logf|sinf|cosf|sqrtf|powf|tanhf|macerator|burn_flex::|MapFolder|inpo_kernels::|"
                    r"iter::adapters|FnMut|LocalKey"),
)


def classify(symbol):
    return next((name for name, pattern in CLASSES if re.search(pattern, symbol)), "other")


def product_gflop(bench, prompt_once, attention):
    """Of a step, in 1e9 operations: linear layers, attention over whole squares (if `attention`), head.

    A product of the forward pass has one more in the backward pass for its input and one for its weight if that is
    trained. The head's is made again in the backward pass, where it has one for the input and one for the weight.
    """
    pairs, p, r, layers = (bench[name] for name in ("pairs", "prompt", "response", "layers"))
    d, kv, ffn, vocabulary = 576, 192, 1536, 49152
    tokens = pairs * (p + 2 * r if prompt_once else 2 * (p + r))
    linear = layers * (2 * d * d + 2 * d * kv + 3 * d * ffn)
    operations = 2 * tokens * linear * (3 if bench["full"] else 2)
    if not bench["full"]:
        operations += 2 * tokens * bench["trained"] * 3
    if attention:
        scores = p * p + 2 * r * (p + r) if prompt_once else 2 * (p + r) ** 2
        operations += 3 * 2 * 2 * pairs * scores * d * layers
    operations += 2 * (2 * pairs * r) * d * vocabulary * (4 if bench["full"] else 3)
    return operations / 1e9


def profile(bench_path, peak_path, report_path):
    bench, peak = read(bench_path)[-1], read(peak_path)[-1]["gflops"]
    times, names = collections.Counter(), collections.defaultdict(collections.Counter)
    with open(report_path, encoding="utf-8") as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            if len(fields) == 2 and fields[0].strip().isdigit():
                symbol, nanoseconds = fields[1].strip(), int(fields[0])
                times[classify(symbol)] += nanoseconds / 1e9
                names[classify(symbol)][symbol] += nanoseconds / 1e9
    threads, steps = bench["threads"], bench["repeats"]
    step = bench["seconds_median"]
    busy = sum(times.values())
    if not busy:
        sys.exit("perf report has no samples")
    head("of a step", "CPU s", "share of busy time", "largest")
    for name in [name for name, _ in CLASSES] + ["other"]:
        largest = ", ".join(f"{symbol.split('] ', 1)[-1][:60]} {seconds / busy:.1%}"
                            for symbol, seconds in names[name].most_common(2))
        row(name, f"{times[name] / steps:.2f}", f"{times[name] / busy:.1%}", largest)
    whole = sum(bench["seconds"])
    print(f"\nA step takes {step:.2f} s, {threads} threads busy for {busy / (threads * whole):.0%} of it.")
    print(f"Measured f32 peak: {peak:.0f} GFLOP/s.\n")
    # A fused attention has a name of its own: its products are not among the others then.
    attention = times["attention"] < 0.01 * busy
    head("if the prompt is computed", "GFLOP a step", "GFLOP/s in the product kernel", "of the peak",
         "with packing", "of the peak", "of the whole step", "of the peak")
    for name, once in (("once for each response", False), ("once for a pair", True)):
        gflop = product_gflop(bench, once, attention)
        cells = []
        kernel = times["matmul"] / steps / threads
        for seconds in (kernel, kernel + times["packing"] / steps / threads, step):
            rate = gflop / seconds if seconds else math.nan
            cells += [f"{rate:.0f}", f"{rate / peak:.0%}"]
        row(name, f"{gflop:.0f}", *cells)


if __name__ == "__main__":
    commands = {"parity": parity, "train": train, "growth": growth, "inference": inference, "judge": judge, "profile": profile}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
