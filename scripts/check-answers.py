#!/usr/bin/env python3
"""Has the tools of benchmarks read what `inpo generate --format` writes: check-answers.py INPO [--arena-hard DIR] [--google-research DIR]

INPO is the binary. Needs alpaca_eval 0.6.6 and fschat 0.2.36 (pip install alpaca_eval==0.6.6; pip install --no-deps fschat==0.2.36).
Arena-Hard-Auto and IFEval are no packages: DIR is a checkout of lmarena/arena-hard-auto (196f6b82), or of google-research
(its folder instruction_following_eval is enough). Clients of APIs and models that the tools import and their readers never
call are replaced where they are not installed. A tiny model answers questions with texts that are awkward in JSON; each tool's own
reader must give back the question and the text that a plain `inpo generate` gives.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
from unittest.mock import MagicMock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
write_inputs = importlib.import_module("kill-test").write_inputs

QUESTIONS = ["w1 w2 \"w3\" \\ w4", "w5\nw6\tw7 \u00e4\u4e2d\U0001f600", "w8 {w9} </w10>"]
AGAIN = "w11 \u2028 w12"


def load(name, path=None):
    """A module, with what it imports and is not installed replaced."""
    while True:
        try:
            if path is None:
                return importlib.import_module(name)
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
        except ModuleNotFoundError as error:
            if error.name in (None, name):
                raise
            sys.modules[error.name] = MagicMock()


def generate(inpo, folder, rows, *flags):
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [inpo, "generate", "--model", "model", "--prompts", "questions.jsonl", "--max-new-tokens", "12", *flags]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def plain(inpo, folder, prompts):
    out = generate(inpo, folder, [{"prompt": prompt} for prompt in prompts], "--num-generations", "1")
    return [json.loads(line)["responses"][0] for line in out.split("\n") if line]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inpo", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--arena-hard", type=pathlib.Path)
    parser.add_argument("--google-research", type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_inputs(folder)
        said = plain(args.inpo, folder, QUESTIONS)
        answers = folder / "answers"
        answers.mkdir()

        rows = [{"dataset": "helpful_base", "instruction": question} for question in QUESTIONS]
        generate(args.inpo, folder, rows, "--format", "alpaca-eval", "--output", "model_outputs.json")
        utils = load("alpaca_eval.utils")
        frame = utils.load_or_convert_to_dataframe(folder / "model_outputs.json")
        assert list(frame["instruction"]) == QUESTIONS and list(frame["output"]) == said, frame
        assert utils.get_generator_name(None, frame) == "model"
        print(f"alpaca_eval {importlib.metadata.version('alpaca_eval')}: {len(frame)} outputs of {set(frame['generator'])}")

        rows = [{"question_id": 81 + i, "category": "math", "turns": [q, AGAIN]} for i, q in enumerate(QUESTIONS)]
        generate(args.inpo, folder, rows, "--format", "mt-bench", "--output", "answers/model.jsonl")
        common = load("fastchat.llm_judge.common")
        questions = common.load_questions(folder / "questions.jsonl", None, None)
        read = common.load_model_answers(str(answers))["model"]
        second = plain(args.inpo, folder, [[{"role": "user", "content": q}, {"role": "assistant", "content": a},
                                            {"role": "user", "content": AGAIN}] for q, a in zip(QUESTIONS, said)])
        common.check_data(questions, {"model": read}, {}, ["model"], {})
        turns = [read[question["question_id"]]["choices"][0]["turns"] for question in questions]
        assert turns == [list(pair) for pair in zip(said, second)], turns
        print(f"fschat {importlib.metadata.version('fschat')}: {len(read)} answers of two turns")

        if args.arena_hard:
            (answers / "model.jsonl").unlink()
            rows = [{"uid": f"u{i}", "category": "c", "prompt": q} for i, q in enumerate(QUESTIONS)]
            generate(args.inpo, folder, rows, "--format", "arena-hard", "--output", "answers/model.jsonl")
            read = load("completion", args.arena_hard / "utils/completion.py").load_model_answers(str(answers))["model"]
            texts = [read[f"u{i}"]["messages"][-1]["content"]["answer"] for i in range(len(QUESTIONS))]
            assert texts == said and all(row["model"] == "model" for row in read.values()), texts
            frame = load("pandas").read_json(answers / "model.jsonl", lines=True)
            markdown = load("add_markdown_info", args.arena_hard / "utils/add_markdown_info.py")
            assert len(markdown.get_element_counts(frame, "messages")) == len(QUESTIONS)
            print(f"arena-hard-auto: {len(read)} answers")

        if args.google_research:
            sys.path.insert(0, str(args.google_research))
            rows = [{"key": i, "prompt": q, "instruction_id_list": [], "kwargs": []} for i, q in enumerate(QUESTIONS)]
            generate(args.inpo, folder, rows, "--format", "ifeval", "--output", "responses.jsonl")
            path = args.google_research / "instruction_following_eval/evaluation_lib.py"
            read = load("evaluation_lib", path).read_prompt_to_response_dict(folder / "responses.jsonl")
            assert read == dict(zip(QUESTIONS, said)), read
            print(f"instruction_following_eval: {len(read)} responses")


if __name__ == "__main__":
    main()
