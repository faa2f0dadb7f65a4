#!/usr/bin/env python3
"""Kills `inpo judge` at random moments and sees that no verdict is lost and none is paid for twice. Standard library alone.

    judge-kill-test.py INPO [--comparisons 10000] [--kills 3] [--verdict logprobs] [--seed N] [--directory DIR]

INPO is the binary. The judge is `faulty_judge.py`: it answers 429, 500, 503, goes silent, hangs up in the middle of a reply,
sends half a JSON object or an error under status 200 to one request in ten, and one question in a hundred gets prose or a 400
each time it is asked. The comparisons are judged once undisturbed; then again, with SIGKILL at random moments, started with
the same command after each, the journal beside the output. Status 0, and the figures on standard output, when

- every pair of both outputs has a probability, and the two outputs are the same bytes;
- the journal holds one verdict for each question (two a comparison, one an order), valid or invalid, and the report counts
  the same invalid ones;
- each question whose answer is a verdict was answered, and those answered more than once are no more than were in flight:
  `concurrency` for each kill.

An invalid verdict (prose, a 400) counts half in its order: a pair with one has a probability, and the report has the number.
"""

import argparse
import atexit
import collections
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
FAULTY = [sys.executable, str(HERE / "faulty_judge.py")]
FAULTS = "busy,overloaded,broken,slow,cut,malformed,error_in_200,nonsense_limits,prose,refused"


class Server:
    """A misbehaving judge and its log."""

    def __init__(self, folder, args):
        self.log = folder / "answered.jsonl"
        command = FAULTY + ["serve", "--log", str(self.log), "--faults", FAULTS, "--slow-seconds", "1"]
        command += ["--latency", str(args.latency), "--seed", str(args.fault_seed)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)
        self.url = self.process.stdout.readline().strip()

    def stop(self):
        self.process.terminate()
        return json.loads(self.process.communicate(timeout=30)[1].strip().splitlines()[-1])

    def answers(self):
        with open(self.log, encoding="utf-8") as file:
            return collections.Counter(json.loads(line)["question"] for line in file)


class Judging:
    """A folder with a server, the settings that name it, and what `inpo judge` makes of them."""

    def __init__(self, folder, rows, args):
        folder.mkdir()
        self.folder, self.server = folder, Server(folder, args)
        settings = {"kind": "server", "base_url": self.server.url, "model": "faulty", "verdict": args.verdict,
                    "concurrency": args.concurrency, "timeout_seconds": 30, "retry_seconds": 0.05}
        oracle = folder / "server.toml"
        oracle.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
        self.command = [args.inpo, "judge", "--oracle", str(oracle), "--input", str(rows), "--matches", "all",
                        "--output", str(folder / "preferences.jsonl"), "--report", str(folder / "report.json")]

    def start(self):
        with open(self.folder / "inpo.log", "ab") as log:
            process = subprocess.Popen(self.command, stderr=log)
        atexit.register(process.kill)
        return process

    def finish(self):
        status = self.start().wait()
        if status:
            sys.exit(f"inpo ended with {status}:\n{(self.folder / 'inpo.log').read_text()[-2000:]}")

    def journal(self):
        """The verdicts: key -> whether valid. A last line without its end was torn."""
        verdicts = {}
        repeated = 0
        for path in self.folder.glob("journal/*.jsonl"):
            for line in path.read_bytes().split(b"\n")[:-1]:
                entry = json.loads(line)["entry"]
                if "key" in entry:
                    repeated += entry["key"] in verdicts
                    verdicts[entry["key"]] = "p" in entry
        return verdicts, repeated

    def report(self):
        return json.loads((self.folder / "report.json").read_text())

    def preferences(self):
        return (self.folder / "preferences.jsonl").read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inpo", help="the binary")
    parser.add_argument("--comparisons", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--verdict", choices=["logprobs", "choice", "text"], default="logprobs")
    parser.add_argument("--latency", type=float, default=0.005, help="the judge's mean seconds before an answer")
    parser.add_argument("--fault-seed", type=int, default=0, help="which requests fail")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="when it is killed; default: any")
    parser.add_argument("--directory", type=pathlib.Path, help="keep the files in this new folder")
    args = parser.parse_args()
    # What was started ends with this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if args.directory is None:
        with tempfile.TemporaryDirectory() as folder:
            sys.exit(test(args, pathlib.Path(folder)))
    args.directory.mkdir(parents=True)
    sys.exit(test(args, args.directory))


def test(args, folder):
    rows = folder / "rows.jsonl"
    subprocess.run(FAULTY + ["rows", "--comparisons", str(args.comparisons), "--output", str(rows)], check=True)
    wrong = []

    def expect(holds, sentence):
        if not holds:
            wrong.append(sentence)

    def account(name, judging, repeats_allowed):
        """Whether each verdict is there, and none was paid for twice."""
        verdicts, repeated = judging.journal()
        valid = sum(verdicts.values())
        invalid = len(verdicts) - valid
        answered, served = judging.server.answers(), judging.server.stop()
        # A 400 is no answer of the judge, and stands in no log.
        repeats = answered.total() - len(answered)
        rows = [json.loads(line) for line in judging.preferences().splitlines()]
        missing = sum(p is None for row in rows for line in row["preference"] for p in line)
        report = judging.report()
        print(f"{name}: {len(verdicts)} verdicts = {valid} valid + {invalid} invalid; report: {report['invalid']} invalid of "
              f"{report['comparisons']} comparisons; {served['requests']} requests, {sum(served['faults'].values())} faults; "
              f"{len(answered)} questions answered, {repeats} of them again", flush=True)
        expect(len(rows) == args.comparisons, f"{name}: {len(rows)} rows")
        expect(missing == 0, f"{name}: {missing} probabilities are missing")
        expect(len(verdicts) == 2 * args.comparisons, f"{name}: {len(verdicts)} verdicts for {args.comparisons} comparisons")
        expect(report["comparisons"] == args.comparisons, f"{name}: the report has {report['comparisons']} comparisons")
        expect(report["invalid"] == invalid, f"{name}: the journal has {invalid} invalid verdicts, the report {report['invalid']}")
        expect(repeated == 0, f"{name}: the journal has {repeated} verdicts twice")
        expect(valid <= len(answered) <= len(verdicts), f"{name}: {len(answered)} answers for {len(verdicts)} verdicts")
        expect(repeats <= repeats_allowed, f"{name}: {repeats} questions were paid for again, and {repeats_allowed} may be")
        return verdicts

    whole = Judging(folder / "whole", rows, args)
    began = time.monotonic()
    whole.finish()
    seconds = time.monotonic() - began
    print(f"undisturbed: {seconds:.1f} s", flush=True)
    verdicts = account("undisturbed", whole, 0)

    rng = random.Random(args.seed)
    print(f"killed at moments of --seed {args.seed}")
    killed = Judging(folder / "killed", rows, args)
    for kill in range(args.kills):
        process = killed.start()
        moment = rng.uniform(0.02, 1 / (args.kills + 1)) * seconds
        time.sleep(moment)
        running = process.poll() is None
        process.kill()
        process.wait()
        expect(running, f"kill {kill + 1}: it had ended already")
        known = len(killed.journal()[0])
        logged = killed.server.answers()
        print(f"kill {kill + 1} after {moment:.1f} s: {known} verdicts in the journal, {len(logged)} questions answered", flush=True)
    killed.finish()
    again = account("killed", killed, args.kills * args.concurrency)
    expect(sorted(verdicts.values()) == sorted(again.values()), "other numbers of invalid verdicts")
    same = whole.preferences() == killed.preferences()
    expect(same, "the two outputs differ")
    print(f"outputs: {'the same bytes' if same else 'different'} ({len(killed.preferences())})")
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    return 1 if wrong else 0


if __name__ == "__main__":
    main()
