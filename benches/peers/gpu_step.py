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

from torch_smollm2 import add_lora

VOCABULARY, END, ROPE_THETA = 49152, 2, 100000.0


def model_of(layers):
    """Each spelling of the rotary base is ignored without a word by the other version of transformers."""
    if int(transformers.__version__.split(".")[0]) < 5:
        rope = {"rope_theta": ROPE_THETA}
    else:
        rope = {"rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA}}
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=576, intermediate_size=1536, num_hidden_layers=layers,
        num_attention_heads=9, num_key_value_heads=3, head_dim=64, rms_norm_eps=1e-5, max_position_embeddings=8192,
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=END, pad_token_id=END, attn_implementation="sdpa", **rope,
    )
    return transformers.LlamaForCausalLM(config).float()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--precision", choices=("f32", "tf32", "bf16"), default="f32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--full", action="store_true", help="all weights instead of adapters")
    parser.add_argument("--layers", type=int, default=30)
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
    model = model_of(options.layers)
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
    optimiser = torch.optim.AdamW(trained, lr=options.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    ratio, target = 1 / 3, 1 / (2 * options.eta)
    losses = []

    def step():
        optimiser.zero_grad(set_to_none=True)
        with precision():
            policy = forward()
        log_ratio = policy - ratio * anchor - (1 - ratio) * anchor
        chosen, rejected = log_ratio.chunk(2)
        loss = ((chosen - rejected - target) ** 2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        # The read is the step's synchronisation, as a trainer that logs its loss has it.
        losses.append(loss.item())

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
        "first_loss": losses[0], "target_squared": target**2, "last_loss": losses[-1],
        "peak_allocated_mib": torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else None,
    }), flush=True)


if __name__ == "__main__":
    main()
