"""Plays a fair table: five methods, two judges, three seeds, equal oracle calls.

    python3 scripts/fair-table.py INPO WORK judge     trains the judge with a cycle in WORK/judge
    python3 scripts/fair-table.py INPO WORK run       the 30 runs; asked again, it goes on where it was stopped
    python3 scripts/fair-table.py INPO WORK table     Markdown on stdout

INPO is the release build of the command; to be started in the repository. The runs take an hour or two of two cores.

The judge with a cycle is an ensemble: the mean of `rules` and of a general preference model that learned the majority of
three voters, each of whom has an order of styles (terse, up to 14 words; medium; detailed, from 27 words on):

    terse > medium > detailed,   medium > detailed > terse,   detailed > terse > medium.

Two of the three prefer terse to medium, two medium to detailed, and two detailed to terse: Condorcet's circle.
"""

import json
import pathlib
import random
import subprocess
import sys

METHODS = ["inpo", "online_dpo", "sppo", "nash_md", "comal"]
SEEDS = [0, 1, 2]
CONFIGS = pathlib.Path("examples/configs/table")
MODEL = "smollm2-135m-instruct"
PROMPTS = "examples/prompts/train.jsonl"
RULES = {"kind": "rules", "target_words": 15}
ORDERS = [(0, 1, 2), (1, 2, 0), (2, 0, 1)]


def style(text):
    words = len(text.split())
    return 0 if words <= 14 else 1 if words <= 26 else 2


def toml(value):
    """A TOML value of what JSON knows."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def circle(work):
    """The ensemble, as an `[oracle]`."""
    import tomllib

    trained = tomllib.loads((work / "judge/model/oracle.toml").read_text())
    return {"kind": "ensemble", "combine": "mean", "members": [trained, dict(RULES, vote="share")]}


def write_votes(samples, folder):
    """Writes what the majority of the three voters says of pairs of two styles: every sixth prompt is held out."""
    draw = random.Random(0)
    with open(folder / "train.jsonl", "w") as train, open(folder / "test.jsonl", "w") as test:
        for number, row in enumerate(samples):
            texts = sorted({text for text in row["responses"] if len(text.split()) >= 4})
            pairs = [(a, b) for a in texts for b in texts if a < b and style(a) != style(b)]
            for a, b in draw.sample(pairs, min(len(pairs), 16)):
                if draw.random() < 0.5:
                    a, b = b, a
                for_a = sum(order.index(style(a)) < order.index(style(b)) for order in ORDERS)
                vote = {"prompt": row["prompt"], "response_a": a, "response_b": b, "winner": "a" if for_a >= 2 else "b", "voter": "majority"}
                print(json.dumps(vote), file=test if number % 6 == 5 else train)


def judge(inpo, work):
    folder = work / "judge"
    folder.mkdir(parents=True, exist_ok=True)
    samples = folder / "samples.jsonl"
    if not samples.exists():
        command = [inpo, "generate", "--model", MODEL, "--prompts", PROMPTS, "--num-generations", "8", "--max-new-tokens", "48", "--seed", "1"]
        subprocess.run([*command, "--output", str(samples)], check=True)
        write_votes([json.loads(line) for line in open(samples)], folder)
    config = folder / "judge.toml"
    config.write_text(JUDGE.format(folder=folder))
    resume = ["--resume"] if (folder / "model").exists() else []
    subprocess.run([inpo, "train-oracle", "--config", str(config), *resume], check=True)
    # Its circles, on samples that it did not see.
    oracle = folder / "oracle.toml"
    oracle.write_text("".join(f"{key} = {toml(value)}\n" for key, value in circle(work).items()))
    report = folder / "report.json"
    held_out = folder / "held-out.jsonl"
    held_out.write_text("".join(line for number, line in enumerate(open(samples)) if number % 6 == 5))
    out = ["--output", str(folder / "preferences.jsonl"), "--report", str(report)]
    subprocess.run([inpo, "judge", "--oracle", str(oracle), "--input", str(held_out), "--matches", "all", *out], check=True)
    found = json.loads(report.read_text())
    print(f"{found['cyclic_triples']} of {found['triples']} triples of held-out samples are circles")


# Only heads train, on the model as it is: minutes.
JUDGE = """output_dir = "{folder}/model"
[policy]
model = "smollm2-135m-instruct"
[judge]
form = "general"
freeze = true
[data]
votes = "{folder}/train.jsonl"
eval_votes = "{folder}/test.jsonl"
[train]
learning_rate = 5e-3
num_train_epochs = 60
per_device_train_batch_size = 32
gradient_accumulation_steps = 2
"""


def folder(work, oracle, method, seed):
    return work / oracle / f"{method}-{seed}"


def run(inpo, work):
    oracles = {"rules": (RULES, circle(work)), "circle": (circle(work), RULES)}
    for seed in SEEDS:
        for oracle, (trains, second) in oracles.items():
            for method in METHODS:
                place = folder(work, oracle, method, seed)
                settings = [f"seed={seed}", f'output_dir="{place}"', f"oracle={toml(trains)}", f"eval.oracle={toml(second)}"]
                command = [inpo, "run", "--config", str(CONFIGS / f"{method}.toml"), "--quiet"]
                command += [word for setting in settings for word in ("--set", setting)]
                if place.exists():
                    command.append("--resume")
                print(f"{oracle} {method} {seed}", flush=True)
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def percent(interval):
    return f"{100 * interval['mean']:.1f} % [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def spread(measure, prompts=True):
    """A mean with its interval over runs, and where it has one the interval over prompts."""
    text = percent(measure["runs"])
    over = measure.get("prompts")
    return text + (f", [{100 * over['low']:.1f}, {100 * over['high']:.1f}]" if over and prompts else "")


def table(inpo, work):
    """The last iterate of each method; what `inpo eval` says of runs that differ in their seed alone."""
    for oracle in ("rules", "circle"):
        print(f"### {oracle}\n")
        print("| method | comparisons | win rate against the start: over seeds, over prompts | each seed | second judge | best of samples gains | gap among iterates | KL, nats | length, tokens |")
        print("|---|---|---|---|---|---|---|---|---|")
        for method in METHODS:
            places = [folder(work, oracle, method, seed) for seed in SEEDS]
            places = [place for place in places if (place / "evaluation.json").exists()]
            # What `inpo eval` says of one run alone has another form.
            if len(places) < 2:
                continue
            command = [inpo, "eval", "--json", *(word for place in places for word in ("--run", str(place)))]
            told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            last = told["iterations"][-1]
            rows = [json.loads(line) for line in open(places[0] / "metrics.jsonl")]
            asked = sum(row.get("judge/comparisons", 0) for row in rows if row["stage"] == "judge")
            each = ", ".join(f"{100 * value:.1f}" for value in last["win_rate_vs_ref"]["values"])
            plain = lambda measure: f"{measure['runs']['mean']:.1f} [{measure['runs']['low']:.1f}, {measure['runs']['high']:.1f}]"
            cells = [method, str(asked), spread(last["win_rate_vs_ref"]), each, spread(last["held_out_win_rate_vs_ref"])]
            cells += [spread(last["probe"], False), spread(last["gap"], False), plain(last["kl_ref"]), plain(last["mean_length"])]
            print("| " + " | ".join(cells) + " |")
        print()


def main():
    if len(sys.argv) != 4 or sys.argv[3] not in ("judge", "run", "table"):
        sys.exit(__doc__)
    inpo, work = sys.argv[1], pathlib.Path(sys.argv[2]).absolute()
    {"judge": judge, "run": run, "table": table}[sys.argv[3]](inpo, work)


if __name__ == "__main__":
    main()
