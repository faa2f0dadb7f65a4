#!/usr/bin/env python3
"""Compares `inpo eval --tasks` with lm-evaluation-harness on synthetic documents: answers and scores of every task, and the time for
questions like ARC's, both programs in turns.

    python scripts/check-benchmarks.py --inpo target/release/inpo --model DIR [--documents 200] [--repeats 3] [--batches 1,8,32] [--shots 0]

DIR is a Hugging Face directory (`inpo convert --model smollm2-135m-instruct --output DIR`). Needs lm_eval 0.4.13 with transformers. Exit
status 1 where an answer or a score differs. Time is without the loading of model and tasks: here the command's beyond that for one
document, there that of `loglikelihood`.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "crates/inpo-eval/tests/fixtures/benchmarks"
sys.path.insert(0, str(FIXTURES))
import make_benchmarks as fixtures  # noqa: E402

FLAGS = {
    "plain": [],
    "shots": ["--num-fewshot", "2"],
    "chat": ["--num-fewshot", "1", "--apply-chat-template", "--fewshot-as-multiturn", "false"],
    "turns": ["--num-fewshot", "2", "--apply-chat-template", "--system-instruction", "Be brief."],
}


def ask(inpo, model, tasks, data, folder, flags):
    """inpo's results and samples, and the seconds."""
    output, samples = folder / "results.json", folder / "samples.jsonl"
    command = [inpo, "eval", "--model", model, "--tasks", ",".join(tasks), "--data", data, "--output", output, "--samples", samples,
               "--cache", tempfile.mkdtemp(dir=folder), "--max-new-tokens", str(fixtures.MAX_NEW_TOKENS), "--quiet", *flags]
    started = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    answers = {}
    for line in samples.read_text().splitlines():
        row = json.loads(line)
        answers.setdefault(row["task"], []).append(row["resps"])
    return json.loads(output.read_text())["results"], answers, seconds


def differences(expected, results, answers, at):
    """What differs, in words, and the largest difference of a log-likelihood."""
    worst, told = 0.0, []
    for task, of_task in expected.items():
        for key, value in of_task["results"].items():
            own = key.replace("exact_match", "exact_match_lower_bound") if task.startswith("minerva") else key
            got = results[task][own]
            near = 1e-3 if task == "truthfulqa_mc2" else 1e-12
            if got != value and not (isinstance(value, float) and abs(got - value) < near):
                told.append(f"{at} {task} {key}: {got}, harness {value}")
        for place, document in enumerate(of_task.get("documents", [])):
            for given, got in zip(document, answers[task][place], strict=True):
                if isinstance(given, str):
                    if given != got:
                        told.append(f"{at} {task} document {place}: {got!r}, harness {given!r}")
                else:
                    worst = max(worst, abs(given - got))
                    if abs(given - got) > 2e-3:
                        told.append(f"{at} {task} document {place}: {got}, harness {given}")
    return worst, told


def parity(arguments, folder):
    model = fixtures.language_model(arguments.model)
    own = [str(FIXTURES / f"{name}.yaml") for name in ("letters", "stops")]
    tasks = [task for task in fixtures.TASKS if not task.startswith(("mmlu", "minerva", "letters", "stops"))] + ["mmlu", "minerva_math"]
    told = []
    for way, flags in FLAGS.items():
        expected = fixtures.run(model, FIXTURES / "data", fixtures.TASKS, **fixtures.WAYS[way])
        results, answers, _ = ask(arguments.inpo, arguments.model, tasks + own, FIXTURES / "data", folder, ["--truncate", *flags])
        worst, new = differences(expected, results, answers, way)
        told += new
        print(f"{way}: largest difference of a log-likelihood {worst:.1e}, {len(new)} differences", flush=True)
    print("\n".join(told))
    return not told


def write_arc(path, count):
    rng = random.Random(7)
    rows = []
    for index in range(count):
        letters = "ABCD"
        rows.append({"id": str(index), "question": fixtures.sentence(rng, rng.randint(12, 32)) + "?",
                     "choices": {"text": [fixtures.words(rng, rng.randint(1, 8)) for _ in letters], "label": list(letters)},
                     "answerKey": rng.choice(letters)})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def requests_of(model, data, shots):
    """The requests that the harness makes of the documents."""
    kept = []
    ask = model.loglikelihood
    model.loglikelihood = lambda requests, **_: kept.extend(requests) or [(-1.0, False)] * len(requests)
    fixtures.run(model, data, ["arc_easy"], num_fewshot=shots)
    model.loglikelihood = ask
    return kept


def speed(arguments, folder):
    (folder / "data").mkdir()
    write_arc(folder / "data/arc_easy.jsonl", arguments.documents + 1)
    write_arc(folder / "data/arc_easy.fewshot.jsonl", 100)
    models = {int(size): fixtures.language_model(arguments.model, batch_size=int(size)) for size in arguments.batches.split(",")}
    ours, theirs = [], {size: [] for size in models}
    requests = requests_of(next(iter(models.values())), folder / "data", arguments.shots)
    requests = [request for request in requests if request.doc_id > 0]
    shots = ["--num-fewshot", str(arguments.shots)]
    for _ in range(arguments.repeats):
        seconds = [ask(arguments.inpo, arguments.model, ["arc_easy"], folder / "data", folder, [*shots, *limit])[2]
                   for limit in (["--limit", "1"], [])]
        ours.append(seconds[1] - seconds[0])
        for size, model in models.items():
            started = time.perf_counter()
            model.loglikelihood(requests, disable_tqdm=True)
            theirs[size].append(time.perf_counter() - started)
    rate = lambda seconds: arguments.documents / statistics.median(seconds)
    print(f"{arguments.documents} documents like ARC's, {arguments.shots} examples each, medians of {arguments.repeats} runs in turns")
    print(f"inpo: {rate(ours):.2f} documents/s")
    for size, seconds in theirs.items():
        ratios = sorted(there / here for there, here in zip(seconds, ours))
        print(f"lm_eval, batch {size}: {rate(seconds):.2f} documents/s; inpo is {statistics.median(ratios):.1f}x as fast "
              f"({ratios[0]:.1f} to {ratios[-1]:.1f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inpo", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--shots", type=int, default=0)
    parser.add_argument("--only", choices=["parity", "speed"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_DATASETS_CACHE"] = f"{folder}/datasets"
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
        folder = pathlib.Path(folder)
        good = arguments.only == "speed" or parity(arguments, folder)
        if arguments.only != "parity":
            speed(arguments, folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
