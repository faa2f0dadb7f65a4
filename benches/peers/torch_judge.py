#!/usr/bin/env python3
"""RLHFlow's pairwise judge in PyTorch and transformers, on SmolLM2-135M-Instruct: the peer of `smollm2-bench judge`.

The model is a Hugging Face directory (`inpo convert` writes one), in f32 with sdpa. Every two responses of every prompt are
asked about in both orders. `released` asks as the judge's README does, one question at a time with the logits of all its
tokens; `batched` sorts questions by length, pads batches of --batch to the left and takes the logits of the last token alone.

    torch_judge.py inputs --output rows.jsonl                            16 prompts with 4 responses each
    torch_judge.py judge  --model D --rows rows.jsonl --mode released    comparisons/s
"""

import argparse
import itertools
import json
import random
import resource
import statistics
import time

PLAIN = (
    "\n{% for message in messages %}{% if loop.index0 % 2 == 0 %}\n\n<turn> user\n {{ message['content'] }}{% else %}"
    "\n\n<turn> assistant\n {{ message['content'] }}{% endif %}{% endfor %}\n\n\n"
)
WORDS = """the a of to and in that is it for as with on by this be are from at or an which you not have more when can one
people time water city music history science house small large often never river mountain because answer question simple
long first second learn write read build change money school friend family summer winter morning evening market garden
language number reason example problem method result country world nature energy machine computer""".split()


def inputs(arguments):
    """Sentences of common words: the time does not depend on what they say."""
    generator = random.Random(0)

    def text(words):
        drawn = [generator.choice(WORDS) for _ in range(words)]
        ends = range(9, words, 12)
        return " ".join(word + ("." if i in ends else "") for i, word in enumerate(drawn)).capitalize() + "."

    with open(arguments.output, "w", encoding="utf-8") as file:
        for _ in range(arguments.prompts):
            responses = [text(generator.randrange(60, 120)) for _ in range(4)]
            file.write(json.dumps({"prompt": text(generator.randrange(15, 40)), "responses": responses}) + "\n")


def sequences(tokenizer, rows):
    import copy

    plain = copy.deepcopy(tokenizer)
    plain.chat_template = PLAIN
    for row in rows:
        context = plain.apply_chat_template([{"role": "user", "content": row["prompt"]}], tokenize=False)
        for pair in itertools.combinations(row["responses"], 2):
            for first, second in (pair, pair[::-1]):
                content = f"[CONTEXT] {context} [RESPONSE A] {first} [RESPONSE B] {second} \n"
                text = tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
                yield tokenizer.encode(text.replace(tokenizer.bos_token, ""), add_special_tokens=False)


def released(model, ids, labels, _):
    import torch

    for sequence in ids:
        logits = model(torch.tensor([sequence])).logits[0, -1, labels]
        yield torch.softmax(logits, -1)[0].item()


def batched(model, ids, labels, batch):
    import torch

    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    answers = {}
    for start in range(0, len(order), batch):
        members = order[start : start + batch]
        width = max(len(ids[i]) for i in members)
        padded = torch.tensor([[0] * (width - len(ids[i])) + ids[i] for i in members])
        mask = torch.tensor([[0] * (width - len(ids[i])) + [1] * len(ids[i]) for i in members])
        logits = model(padded, attention_mask=mask, logits_to_keep=1, use_cache=False).logits[:, -1, labels]
        answers.update(zip(members, torch.softmax(logits, -1)[:, 0].tolist()))
    return [answers[i] for i in range(len(ids))]


def judge(arguments):
    import torch
    import transformers

    torch.set_num_threads(arguments.threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        arguments.model, dtype=torch.float32, attn_implementation="sdpa").eval()
    with open(arguments.rows, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    labels = [tokenizer.encode(label, add_special_tokens=False) for label in "AB"]
    assert all(len(ids) == 1 for ids in labels)
    labels = [ids[0] for ids in labels]
    run = {"released": released, "batched": batched}[arguments.mode]
    seconds = []
    for repeat in range(arguments.repeats + 1):
        start = time.perf_counter()
        ids = list(sequences(tokenizer, rows))
        with torch.inference_mode():
            answers = list(run(model, ids, labels, arguments.batch))
        if repeat or not arguments.repeats:
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    tokens = sum(map(len, ids))
    print(json.dumps({
        "measurement": "judge", "torch": torch.__version__.split("+")[0], "transformers": transformers.__version__,
        "threads": torch.get_num_threads(), "mode": arguments.mode, "tokens": tokens, "repeats": len(seconds),
        "seconds_median": median, "seconds_min": min(seconds), "seconds_max": max(seconds),
        "tokens_per_second": tokens / median, "comparisons": len(ids), "comparisons_per_second": len(ids) / median,
        "probabilities": answers, "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("inputs")
    sub.set_defaults(run=inputs)
    sub.add_argument("--output", required=True)
    sub.add_argument("--prompts", type=int, default=16)
    sub = commands.add_parser("judge")
    sub.set_defaults(run=judge)
    sub.add_argument("--model", required=True)
    sub.add_argument("--rows", required=True)
    sub.add_argument("--mode", choices=("released", "batched"), required=True)
    sub.add_argument("--batch", type=int, default=8)
    sub.add_argument("--threads", type=int, default=2)
    sub.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    arguments.run(arguments)


main()
