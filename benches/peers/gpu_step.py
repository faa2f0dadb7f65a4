#!/usr/bin/env python3
"""INPO's training step in PyTorch on a GPU, in every way a user would run it: what `scripts/gpu-check.sh` stands beside.

A model of SmolLM2-135M's shape with random weights (speed does not depend on what they are), cached anchors, AdamW,
log-probs of the responses only; LoRA of rank 16 on all seven projections, or all weights. `bf16` is autocast over f32
weights; `tf32` lets products round their factors to TF32, which is not PyTorch's default. One JSON line on stdout;
seconds are wall-clock between synchronisations, after `--warmup` steps (compilation is among them).

    gpu_step.py --device cuda:0 --precision bf16 --compile
    gpu_step.py --device cpu --layers 2 --pairs 1 --prompt 16 --response 16        the same code without a GPU
"""

import argparse
import contextlib
import json
import statistics
import sys
import time

import torch
import transformers

from torch_smollm2 import LAYERS, VOCABULARY, Step, add_lora, fresh


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--precision", choices=("f32", "tf32", "bf16"), default="f32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--full", action="store_true", help="all weights instead of adapters")
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--response", type=int, default=128)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--eta", type=float, default=0.005)
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    options = parser.parse_args()

    on_gpu = options.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        sys.exit(f"this PyTorch ({torch.__version__}) sees no CUDA device: nothing was timed")
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high" if options.precision == "tf32" else "highest")
    device = torch.device(options.device)
    model = fresh(options.layers)
    trained = list(model.parameters()) if options.full else add_lora(model, options.rank, 2.0 * options.rank)
    model.to(device).train()

    rows = 2 * options.pairs
    width = options.prompt + options.response
    prompts = torch.randint(17, VOCABULARY, (options.pairs, options.prompt)).repeat(2, 1)
    ids = torch.cat([prompts, torch.randint(17, VOCABULARY, (rows, options.response))], 1).to(device)
    targets = ids[:, options.prompt :]

    def log_probs():
        # All lengths are equal: no padding, no mask. The logits that predict the response, and no others.
        logits = model(input_ids=ids, logits_to_keep=options.response + 1, use_cache=False).logits[:, :-1].float()
        nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return -nll.view(rows, options.response).sum(-1)

    forward = torch.compile(log_probs) if options.compile else log_probs
    bf16 = options.precision == "bf16"
    precision = lambda: torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()
    with torch.no_grad(), precision():
        anchor = log_probs()
    # Its read of the loss is the step's synchronisation, as a trainer that logs its loss has it.
    step = Step(trained, anchor, anchor, options.eta, options.learning_rate, forward, precision)

    seconds = []
    for index in range(options.warmup + options.repeats):
        if on_gpu:
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        step()
        if on_gpu:
            torch.cuda.synchronize(device)
        if index >= options.warmup:
            seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    print(json.dumps({
        "measurement": "train", "torch": torch.__version__, "transformers": transformers.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu", "precision": options.precision,
        "compile": options.compile, "full": options.full, "layers": options.layers, "pairs": options.pairs,
        "prompt": options.prompt, "response": options.response, "tokens": rows * width, "repeats": len(seconds),
        "trained": sum(parameter.numel() for parameter in trained), "seconds_median": median,
        "seconds_min": min(seconds), "seconds_max": max(seconds), "pairs_per_second": options.pairs / median,
        "first_loss": step.losses[0], "target_squared": step.target**2, "last_loss": step.losses[-1],
        "peak_allocated_mib": torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else None,
    }), flush=True)


if __name__ == "__main__":
    main()
