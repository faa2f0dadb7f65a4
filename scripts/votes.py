"""Writes the votes of PandaLM's test set and of LLMBar as files that `inpo train-oracle` and `kind = "recorded"` read.

    python3 scripts/votes.py pandalm testset-v1.json train.jsonl test.jsonl [SHARE]
    python3 scripts/votes.py llmbar natural.json adversarial_neighbor.json .. llmbar.jsonl

PandaLM (Apache-2.0, github.com/WeOpenML/PandaLM, data/testset-v1.json): three people's votes on each pair, a row for each.
Every fifth prompt (SHARE, 0.2), by a digest of its text, goes to the second file with all its pairs. Pairs with a response
that is no text are left out, and so are pairs of the same text twice.
LLMBar (MIT, github.com/princeton-nlp/LLMBar): one label a pair.
"""

import hashlib
import json
import sys


def prompt(row):
    return row["instruction"] + ("\n\n" + row["input"] if row.get("input") else "")


def pandalm(source, train, test, share=0.2):
    counts = {"train": 0, "test": 0, "left out": 0}
    with open(source) as file, open(train, "w") as first, open(test, "w") as second:
        for row in json.load(file):
            responses = [row["response1"], row["response2"]]
            if not all(isinstance(r, str) for r in responses) or responses[0] == responses[1]:
                counts["left out"] += 1
                continue
            text = prompt(row)
            held_out = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8 < float(share)
            counts["test" if held_out else "train"] += 1
            for voter in (1, 2, 3):
                vote = {
                    "prompt": text,
                    "response_a": responses[0],
                    "response_b": responses[1],
                    "winner": ["tie", "a", "b"][row[f"annotator{voter}"]],
                    "voter": voter,
                }
                print(json.dumps(vote), file=second if held_out else first)
    print(counts)


def llmbar(*paths):
    *sources, target = paths
    count = 0
    with open(target, "w") as out:
        for source in sources:
            with open(source) as file:
                for row in json.load(file):
                    vote = {
                        "prompt": row["input"],
                        "response_a": row["output_1"],
                        "response_b": row["output_2"],
                        "winner": "ab"[row["label"] - 1],
                    }
                    print(json.dumps(vote), file=out)
                    count += 1
    print({"pairs": count})


if __name__ == "__main__":
    {"pandalm": pandalm, "llmbar": llmbar}[sys.argv[1]](*sys.argv[2:])
