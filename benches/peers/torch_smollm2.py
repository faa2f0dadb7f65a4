#!/usr/bin/env python3
"""SmolLM2-135M-Instruct in PyTorch and transformers: what docs/performance.md stands beside.

The weights come from the same GGUF, dequantised to f32; attention is sdpa; nothing is compiled. It runs with
transformers 4 and 5. Each measurement is a subcommand, so that each runs in a process of its own and its peak memory is its own. Results are JSON lines on stdout;
tokens/s is over the median of --repeats runs after one that warms up (`generate` counts new tokens, prefill included,
and tells decoding apart). Peak memory includes the interpreter and its libraries; `rss_libraries_mib` is that part.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt

    torch_smollm2.py inputs   --directory D                        the rows that both sides measure
    torch_smollm2.py parity   --gguf G --reference logprobs.json   sums of log-probs, greedy text: first, always
    torch_smollm2.py logps    --gguf G --rows D/logps.jsonl        log-prob tokens/s, no gradient
    torch_smollm2.py train    --gguf G --rows D/pairs.jsonl        LoRA INPO steps, pairs/s and peak memory; --full
                                                                   trains all weights, --autocast bf16 as it says
    torch_smollm2.py generate --gguf G --rows D/prompts-8.jsonl --samples 8        new tokens/s; --attention eager
"""

import argparse
import json
import math
import resource
import statistics
import sys
import time

HEADS, KV_HEADS, HEAD_DIM, LAYERS = 9, 3, 64, 30
VOCABULARY, END, ROPE_THETA = 49152, 2, 100000.0
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GGUF_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}


def fresh(layers=LAYERS):
    """A model of SmolLM2-135M's shape in f32, with random weights."""
    import transformers

    # Each spelling is ignored without a word by the other version.
    if int(transformers.__version__.split(".")[0]) < 5:
        rope = {"rope_theta": ROPE_THETA}
    else:
        rope = {"rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA}}
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=576, intermediate_size=1536, num_hidden_layers=layers,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, head_dim=HEAD_DIM, rms_norm_eps=1e-5,
        max_position_embeddings=8192, tie_word_embeddings=True, bos_token_id=1, eos_token_id=END, pad_token_id=END,
        attn_implementation="sdpa", **rope,
    )
    fresh.libraries_mib = peak_mib()
    model = transformers.LlamaForCausalLM(config).float().eval()
    frequency = model.model.rotary_emb.inv_freq[1].item()
    if not math.isclose(frequency, ROPE_THETA ** (-2 / HEAD_DIM), rel_tol=1e-5):
        raise SystemExit(f"transformers {transformers.__version__} did not take the rotary base")
    return model


def load(path):
    """The model in f32, tensor by tensor, so that loading does not set the peak of the memory."""
    import torch
    from gguf import GGUFReader
    from gguf.quants import dequantize

    model = fresh()
    tensors = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    for block in range(LAYERS):
        for ours, theirs in GGUF_NAMES.items():
            names[f"model.layers.{block}.{ours}"] = f"blk.{block}.{theirs}"
    parameters = dict(model.named_parameters())
    if set(parameters) != {f"{name}.weight" for name in names}:
        raise SystemExit("the model's parameters are not those of the GGUF")
    with torch.no_grad():
        for ours, theirs in names.items():
            tensor = tensors[f"{theirs}.weight"]
            value = dequantize(tensor.data, tensor.tensor_type)
            # Query and key rows are stored for interleaved rotation; transformers pairs i with i + 32.
            heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(theirs.rsplit(".", 1)[-1])
            if heads:
                value = value.reshape(heads, HEAD_DIM // 2, 2, -1).swapaxes(1, 2).reshape(value.shape)
            parameters[f"{ours}.weight"].copy_(torch.tensor(value))
    return model


def sum_logps(model, sequences, prompt_lengths, head="response"):
    """Sums of response log-probs of right-padded sequences; `head` "response" leaves out the prompts' logits."""
    import torch

    width = max(map(len, sequences))
    ids = torch.full((len(sequences), width), END)
    scored = torch.zeros((len(sequences), width), dtype=torch.bool)
    for row, (sequence, start) in enumerate(zip(sequences, prompt_lengths)):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        scored[row, start : len(sequence)] = True
    keep = width - min(prompt_lengths) + 1 if head == "response" else width
    # Padding is to the right of everything that is scored and attention is causal: no mask is needed.
    logits = model(input_ids=ids, logits_to_keep=keep, use_cache=False).logits.float()
    # One row of logits too many, so that flattening copies nothing; classes on the last axis, where torch sums exactly
    # enough (along another axis its f32 sums cost 1e-4 nats a token).
    targets = ids.roll(-1, 1)[:, -keep:]
    weights = scored.roll(-1, 1)[:, -keep:].clone()
    weights[:, -1] = False
    nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return -(nll.view(targets.shape) * weights).sum(-1)


def add_lora(model, rank, alpha):
    """A side path x A B on all seven projections: the arithmetic of PEFT without dropout. Returns the parameters."""
    import torch

    class LoraLinear(torch.nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base, self.scale = base, alpha / rank
            self.a = torch.nn.Parameter(torch.empty(rank, base.in_features))
            self.b = torch.nn.Parameter(torch.zeros(base.out_features, rank))
            torch.nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

        def forward(self, x):
            side = torch.nn.functional.linear(torch.nn.functional.linear(x, self.a), self.b)
            return self.base(x) + side * self.scale

    model.requires_grad_(False)
    trained = []
    for layer in model.model.layers:
        for parent in (layer.self_attn, layer.mlp):
            for name in LINEAR:
                if hasattr(parent, name):
                    wrapped = LoraLinear(getattr(parent, name))
                    setattr(parent, name, wrapped)
                    trained += [wrapped.a, wrapped.b]
    return trained


class Step:
    """A step of INPO with cached anchors, chosen rows before rejected ones: AdamW on the mean of (h - target)^2."""

    def __init__(self, trained, reference, previous, eta, learning_rate, forward, precision):
        import torch

        self.trained, self.forward, self.precision = trained, forward, precision
        self.reference, self.previous = reference, previous
        self.ratio, self.target, self.losses = 1 / 3, 1 / (2 * eta), []
        self.optimiser = torch.optim.AdamW(trained, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)

    def __call__(self):
        import torch

        self.optimiser.zero_grad(set_to_none=True)
        with self.precision():
            policy = self.forward()
        log_ratio = policy - self.ratio * self.reference - (1 - self.ratio) * self.previous
        chosen, rejected = log_ratio.chunk(2)
        loss = ((chosen - rejected - self.target) ** 2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimiser.step()
        self.losses.append(loss.item())


def peak_mib():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def timed(run, repeats, warmup=1):
    seconds = []
    for index in range(warmup + repeats):
        start = time.perf_counter()
        run()
        if index >= warmup:
            seconds.append(time.perf_counter() - start)
    return seconds


def emit(measurement, tokens=None, seconds=None, **fields):
    import torch
    import transformers

    row = {"measurement": measurement, "torch": torch.__version__.split("+")[0],
           "transformers": transformers.__version__, "threads": torch.get_num_threads()}
    if seconds and "pairs" in fields:
        fields["pairs_per_second"] = round(fields["pairs"] / statistics.median(seconds), 4)
    if seconds:
        median = statistics.median(seconds)
        row |= {"tokens": tokens, "repeats": len(seconds), "seconds_median": round(median, 4),
                "seconds_min": round(min(seconds), 4), "seconds_max": round(max(seconds), 4),
                "tokens_per_second": round(tokens / median, 2)}
    print(json.dumps(row | fields | {"rss_libraries_mib": fresh.libraries_mib, "peak_rss_mib": peak_mib()}), flush=True)


def read_rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def inputs(arguments):
    """Rows of token ids, drawn from a fixed seed: speed does not depend on what they say."""
    import os
    import random

    generator = random.Random(0)
    ids = lambda count: [generator.randrange(17, VOCABULARY) for _ in range(count)]
    files = {
        "logps.jsonl": [{"prompt_token_ids": ids(128), "response_token_ids": ids(128)} for _ in range(8)],
        "pairs.jsonl": [{"prompt_token_ids": ids(arguments.prompt), "chosen_token_ids": ids(arguments.response),
                         "rejected_token_ids": ids(arguments.response)} for _ in range(arguments.pairs)],
        "prompts-1.jsonl": [{"prompt_token_ids": ids(128)}],
        "prompts-8.jsonl": [{"prompt_token_ids": ids(128)} for _ in range(8)],
    }
    os.makedirs(arguments.directory, exist_ok=True)
    for name, rows in files.items():
        with open(os.path.join(arguments.directory, name), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def parity(arguments):
    import torch

    model = load(arguments.gguf)
    with open(arguments.reference, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    worst = 0.0
    for case in cases:
        prompt, response = case["prompt_ids"], case["response_ids"]
        with torch.inference_mode():
            got = sum_logps(model, [prompt + response], [len(prompt)]).item()
        gap = abs(got - case["sum_numpy_f64"])
        worst = max(worst, gap / len(response))
        emit("parity", user=case["user"], logp=got, expected=case["sum_numpy_f64"], gap=gap)
    first = cases[0]
    greedy = model.generate(torch.tensor([first["prompt_ids"]]), max_new_tokens=64, do_sample=False)
    continuation = greedy[0, len(first["prompt_ids"]) :].tolist()
    emit("greedy", token_ids=continuation, equal=continuation == first["response_ids"])
    if worst > 1e-3 or continuation != first["response_ids"]:
        sys.exit("parity failed: no timing of this machine counts")


def logps(arguments):
    import torch

    model, rows = load(arguments.gguf), read_rows(arguments.rows)
    sequences = [row["prompt_token_ids"] + row["response_token_ids"] for row in rows]
    starts = [len(row["prompt_token_ids"]) for row in rows]
    with torch.inference_mode():
        seconds = timed(lambda: sum_logps(model, sequences, starts, arguments.head), arguments.repeats)
    emit("logps", sum(map(len, sequences)), seconds, head=arguments.head, sequences=len(sequences))


def train(arguments):
    import contextlib
    import torch

    torch.manual_seed(0)
    model = load(arguments.gguf) if arguments.layers is None else fresh(arguments.layers)
    rows = read_rows(arguments.rows)
    answers = [row[side] for side in ("chosen_token_ids", "rejected_token_ids") for row in rows]
    prompts = [row["prompt_token_ids"] for row in rows] * 2
    sequences = [prompt + answer for prompt, answer in zip(prompts, answers)]
    starts = list(map(len, prompts))
    bf16 = arguments.autocast == "bf16"
    precision = lambda: torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()
    # Anchors are cached before training. The policy starts as both of them, so that the first h is 0.
    with torch.no_grad(), precision():
        reference = sum_logps(model, sequences, starts, arguments.head)
    previous = reference.clone()
    loaded = peak_mib()
    trained = list(model.parameters()) if arguments.full else add_lora(model, arguments.rank, arguments.alpha)
    model.train()
    if arguments.checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    step = Step(trained, reference, previous, arguments.eta, arguments.learning_rate,
                lambda: sum_logps(model, sequences, starts, arguments.head), precision)
    seconds = timed(step, arguments.repeats)
    emit("train", sum(map(len, sequences)), seconds, pairs=len(rows), prompt=max(starts),
         response=max(map(len, answers)), layers=arguments.layers or LAYERS, full=arguments.full,
         autocast=arguments.autocast, rank=arguments.rank, alpha=arguments.alpha, head=arguments.head,
         checkpointing=arguments.checkpointing, trained=sum(p.numel() for p in trained),
         start_logps=reference.double().sum().item(), first_loss=step.losses[0], last_loss=step.losses[-1],
         rss_before_training_mib=loaded)


def generate(arguments):
    import torch

    torch.manual_seed(0)
    started = time.perf_counter()
    model, rows = load(arguments.gguf), read_rows(arguments.rows)
    loading = time.perf_counter() - started
    model.set_attn_implementation(arguments.attention)
    prompts = [row["prompt_token_ids"] for row in rows]
    width = max(map(len, prompts))
    ids = torch.tensor([[END] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    choice = {"do_sample": False} if arguments.greedy else sampling
    copies = {"input_ids": ids.repeat_interleave(arguments.samples, 0),
              "attention_mask": mask.repeat_interleave(arguments.samples, 0)}
    batch = len(copies["input_ids"])

    def run(count):
        with torch.inference_mode():
            out = model.generate(**copies, **choice, min_new_tokens=count, max_new_tokens=count, use_cache=True)
        assert out.shape == (batch, width + count), out.shape

    whole = timed(lambda: run(arguments.max_new_tokens), arguments.repeats)
    first = timed(lambda: run(1), arguments.repeats)
    decode = statistics.median(whole) - statistics.median(first)
    emit("generate", batch * arguments.max_new_tokens, whole, prompts=len(prompts), samples=arguments.samples,
         attention=arguments.attention, load_seconds=round(loading, 2), greedy=arguments.greedy, max_new_tokens=arguments.max_new_tokens, prompt_tokens=sum(map(len, prompts)),
         prefill_seconds_median=round(statistics.median(first), 4),
         decode_tokens_per_second=round(batch * (arguments.max_new_tokens - 1) / decode, 2) if decode > 0 else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def command(run, *options, model=True):
        sub = commands.add_parser(run.__name__)
        sub.set_defaults(run=run)
        if model:
            sub.add_argument("--gguf", required=True)
            sub.add_argument("--threads", type=int, default=2)
        for name, settings in options:
            sub.add_argument(name, **settings)

    rows = ("--rows", {"required": True})
    repeats = ("--repeats", {"type": int, "default": 5})
    head = ("--head", {"choices": ("response", "full"), "default": "response"})
    number = lambda kind, default: {"type": kind, "default": default}
    flag = {"action": "store_true"}
    command(inputs, ("--directory", {"required": True}), ("--pairs", number(int, 2)), ("--prompt", number(int, 128)),
            ("--response", number(int, 128)), model=False)
    command(parity, ("--reference", {"required": True}))
    command(logps, rows, repeats, head)
    command(train, rows, repeats, head, ("--rank", number(int, 16)), ("--alpha", number(float, 32.0)),
            ("--eta", number(float, 0.005)), ("--learning-rate", number(float, 1e-5)), ("--checkpointing", flag),
            ("--full", flag), ("--autocast", {"choices": ("none", "bf16"), "default": "none"}),
            ("--layers", {"type": int, "help": "random weights in so many layers, whatever --gguf says"}))
    command(generate, rows, repeats, ("--samples", number(int, 1)), ("--max-new-tokens", number(int, 64)),
            ("--greedy", flag), ("--attention", {"choices": ("sdpa", "eager"), "default": "sdpa"}))
    arguments = parser.parse_args()
    if hasattr(arguments, "threads"):
        import torch

        torch.set_num_threads(arguments.threads)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
