#!/usr/bin/env python3
"""Has transformers read what `inpo convert` writes, and compares log-probs: python scripts/check-convert.py [INPO]

Needs torch, transformers 5.24.0 and the `inpo` command (default: target/debug/inpo). SmolLM2-135M-Instruct, a GGUF file
of Q4_1 and Q8_0 blocks, is converted in f32, bf16 and f16. Transformers must load each directory with nothing missing
and nothing unexpected, its tokenizer must give the prompts' ids from the messages through the chat template and the ids
of the tokenizer cases, and the log-probs of the responses are compared with the reference, which numpy computed in f64
from the GGUF file.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "crates/inpo-policy/tests/fixtures"
# Nats a token: f32 weights are exact, bf16 keeps 8 bits of a weight and f16 11.
TOLERANCE = {"float32": 2e-4, "bfloat16": 1.0, "float16": 0.05}


def main():
    inpo = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "target/debug/inpo")
    reference = json.loads((FIXTURES / "smollm2_logprobs.json").read_text())["cases"]
    texts = json.loads((FIXTURES / "smollm2_tokenizer_cases.json").read_text())
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    print("| type | bytes of weights | largest gap of a token | gap of the sums |\n|---|---|---|---|")
    failed = False
    for dtype, tolerance in TOLERANCE.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder) / "model"
            subprocess.run([inpo, "convert", "--model", "smollm2-135m-instruct", "--output", str(folder), "--dtype", dtype],
                           check=True, stderr=subprocess.DEVNULL)
            config = json.loads((folder / "config.json").read_text())
            assert config["torch_dtype"] == dtype, config
            size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
            model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, output_loading_info=True)
            faults = {key: value for key, value in report.items() if value}
            assert not faults, faults
            tokenizer = AutoTokenizer.from_pretrained(folder)
            for case in texts:
                assert tokenizer(case["text"], add_special_tokens=False)["input_ids"] == case["ids"], case
            token, total = 0.0, 0.0
            for case in reference:
                messages = [{"role": "user", "content": case["user"]}]
                prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
                assert prompt == case["prompt_ids"], case["user"]
                ids, response = prompt + case["response_ids"], case["response_ids"]
                with torch.no_grad():
                    logps = model(torch.tensor([ids])).logits[0].log_softmax(-1)
                found = [logps[len(prompt) + i - 1, id].item() for i, id in enumerate(response)]
                token = max(token, max(abs(a - b) for a, b in zip(found, case["logp_numpy_f64"])))
                total = max(total, abs(sum(found) - case["sum_numpy_f64"]))
            failed |= token > tolerance
            print(f"| {dtype} | {size} | {token:.1e} | {total:.1e} |")
    sys.exit(failed)


main()
