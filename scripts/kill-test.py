#!/usr/bin/env python3
"""Kills `inpo run` and `inpo train` at random moments and sees that they end as if nobody had. Standard library alone.

    kill-test.py INPO [--kills 100] [--seed N] [--directory DIR]

INPO is the binary. A run of two iterations on a tiny model, with adapters and with all weights, and a training on the pairs
that it made are each left alone once; then each is killed with SIGKILL at random moments and started again with `--resume`
until it ends, over and over, until all together were killed so often. Last, the training is killed every second. Status 0
when every file is the same each time, checkpoints included, but for times; the stages that were killed are on standard output.
"""

import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "crates/inpo-policy/tests/fixtures/tiny_llama_tied"

COMMON = """
output_dir = "out"
seed = 3
[policy]
model = "model"
{policy}
[objective]
eta = 0.1
[train]
learning_rate = 0.01
per_device_train_batch_size = 1
gradient_accumulation_steps = 2
max_steps = {steps}
save_steps = 5
save_total_limit = 3
"""

RUN = """
[data]
prompts = "prompts.jsonl"
eval_prompts = "prompts.jsonl"
[generation]
num_generations = 4
max_new_tokens = 48
max_num_seqs = 4
[oracle]
kind = "rules"
target_words = 8
[iteration]
num_iterations = 2
prompts_per_iteration = 48
[eval]
num_prompts = 24
"""

LORA = "lora = { rank = 2, alpha = 4.0, dropout = 0.1 }"


def write_inputs(folder):
    """A tiny model with 64 words, and prompts of them."""
    model = folder / "model"
    model.mkdir()
    for name in ["config.json", "model.safetensors"]:
        shutil.copy(FIXTURE / name, model / name)
    words = ["</s>", "<s>", "<end>"] + [f"w{number}" for number in range(61)]
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None, "decoder": None,
        "added_tokens": [{"id": id, "content": words[id], **flags} for id in range(3)],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": {word: id for id, word in enumerate(words)}, "unk_token": "</s>"},
    }
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    template = "{% for m in messages %}<s> {{ m.content }} {% endfor %}{% if add_generation_prompt %}<s> {% endif %}"
    (model / "chat_template.jinja").write_text(template)
    prompts = [" ".join(words[3 + (i * 7 + k * 5) % 61] for k in range(4)) for i in range(96)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in prompts))


def is_time(key):
    return key.startswith(("timing_s/", "perf/"))


def untimed(path):
    """What a file holds, without times and the digests of files that have some."""
    if path.name == "metrics.jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [{key: value for key, value in row.items() if not is_time(key)} for row in rows]
    if path.name == "trainer_state.json":
        state = json.loads(path.read_text())
        state["log_history"] = [{k: v for k, v in row.items() if not is_time(k)} for row in state["log_history"]]
        return state
    if path.name == "checkpoint.json":
        state = json.loads(path.read_text())
        del state["sha256"], state["files"]["trainer_state.json"]
        return state
    if path.name == "manifest.json":
        state = json.loads(path.read_text())
        del state["sha256"]
        for stage in state["stages"]:
            del stage["metrics"]["sha256"]
        return state
    if path.name == "report.html":
        return re.sub('<table id="times">.*?</table>', "", path.read_text(), flags=re.DOTALL)
    return path.read_bytes()


def contents(root):
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): untimed(path) for path in files}


class Job:
    """A command that writes `out`, and what it wrote when it was left alone."""

    def __init__(self, name, folder, command):
        self.name, self.folder, self.command = name, folder, command
        started = time.monotonic()
        self.start().wait()
        self.seconds = time.monotonic() - started
        self.expected = contents(folder / "out")
        self.stages, self.kills, self.rounds = collections.Counter(), 0, 0
        print(f"{name}: {len(self.expected)} files in {self.seconds:.1f} s", flush=True)

    def start(self):
        with open(self.folder / "stderr.txt", "w") as stderr:
            return subprocess.Popen(self.command, cwd=self.folder, stderr=stderr, stdout=subprocess.DEVNULL)

    def until_done(self, delay):
        """Starts the job, killing it after `delay()` seconds, until it ends; compares what it wrote."""
        shutil.rmtree(self.folder / "out")
        done = False
        while not done:
            process = self.start()
            try:
                status = process.wait(timeout=delay())
                said = (self.folder / "stderr.txt").read_text()
                if status != 0:
                    sys.exit(f"{self.name} refused after {self.kills} kills: {said}")
                done = True
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                said = (self.folder / "stderr.txt").read_text()
                stages = re.findall(r"^iteration \d+: \w+(?= \()", said, re.MULTILINE)
                self.stages[stages[-1] if stages else "before the first stage"] += 1
                self.kills += 1
        self.rounds += 1
        got = contents(self.folder / "out")
        names = sorted(got.keys() | self.expected.keys())
        differ = [name for name in names if got.get(name) != self.expected.get(name)]
        if differ:
            sys.exit(f"{self.name} differs after {self.kills} kills: {differ}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inpo", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", default=None)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(dir=args.directory) as root:
        jobs = []
        for name, policy in [("run, adapters", LORA), ("run, all weights", "")]:
            folder = pathlib.Path(root) / name
            folder.mkdir()
            write_inputs(folder)
            (folder / "run.toml").write_text(COMMON.format(policy=policy, steps=48) + RUN)
            jobs.append(Job(name, folder, [args.inpo, "run", "--config", "run.toml", "--resume"]))
        folder = pathlib.Path(root) / "training"
        folder.mkdir()
        write_inputs(folder)
        pairs = jobs[0].folder / "out/iteration-0001/pairs.jsonl"
        shutil.copy(pairs, folder / "pairs.jsonl")
        text = COMMON.format(policy=LORA, steps=1200) + '[data]\npairs = "pairs.jsonl"\n'
        (folder / "train.toml").write_text(text)
        jobs.append(Job("training", folder, [args.inpo, "train", "--config", "train.toml", "--resume"]))
        while sum(job.kills for job in jobs) < args.kills:
            for job in jobs:
                job.until_done(lambda: rng.uniform(0.01, job.seconds))
        kills = sum(job.kills for job in jobs)
        jobs[-1].until_done(lambda: 1.0)
        for job in jobs:
            print(f"{job.name}: {job.kills} kills, {job.rounds} times to the end with the same files")
            for stage, count in job.stages.most_common():
                print(f"    {stage}: {count}")
        print(f"{kills} kills at random moments: the same files each time")


if __name__ == "__main__":
    main()
