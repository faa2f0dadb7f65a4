#!/usr/bin/env python3
"""Has transformers and PEFT read what inpo saves, and compares log-probs: python scripts/check-exports.py

Needs torch, transformers 5.24.0, peft 0.21.0 and safetensors, and cargo. For each tiny checkpoint of
crates/inpo-policy/tests/fixtures/tiny a Rust test writes the model saved whole (`config.json` handed on), with a
`config.json` of our own making, sharded, in bf16, with an adapter beside it (rsLoRA, every projection) and with the
adapter added to the weights. Transformers and PEFT load each in float64 and must report nothing missing, nothing
unexpected and our log-probs within 2e-4. Prints one row a checkpoint, ready for docs/models.md.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import peft
import torch
import transformers
from transformers import AutoModelForCausalLM

ROOT = pathlib.Path(__file__).resolve().parent.parent
KINDS = ("whole", "made", "sharded", "bf16", "merged", "adapter")
TOLERANCE = 2e-4


def load(path):
    model, report = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float64, attn_implementation="eager", output_loading_info=True)
    faults = {key: value for key, value in report.items() if value}
    assert not faults, (path, faults)
    return model


def gap(model, sequences, expected):
    largest = 0.0
    for ids, logps in zip(sequences, expected):
        with torch.no_grad():
            logits = model(torch.tensor([ids]), use_cache=False).logits[0]
        found = torch.log_softmax(logits, -1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
        largest = max(largest, (found - torch.tensor(logps, dtype=torch.float64)).abs().max().item())
    return largest


def main():
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        command = ["cargo", "test", "--workspace", "--test", "architectures", "--", "--ignored", "export_every"]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "INPO_EXPORT_DIR": str(folder)})
        log = json.loads((folder / "logps.json").read_text())
        print("| checkpoint | " + " | ".join(KINDS) + " |\n|---" * 1 + "|---" * len(KINDS) + "|")
        worst = 0.0
        for name, entry in log.items():
            gaps = []
            for kind in KINDS:
                path = folder / name / kind
                if kind == "adapter":
                    model = peft.PeftModel.from_pretrained(load(entry["base"]), path).double()
                else:
                    model = load(path)
                gaps.append(gap(model.eval(), entry["ids"], entry[kind]))
            worst = max(worst, *gaps)
            print(f"| {name} | " + " | ".join(f"{gap:.1e}" for gap in gaps) + " |")
        print(f"largest gap {worst:.1e}, allowed {TOLERANCE:.0e}")
        sys.exit(worst > TOLERANCE)


main()
