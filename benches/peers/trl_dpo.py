#!/usr/bin/env python3
"""The step of TRL's DPOTrainer on SmolLM2-135M-Instruct: what docs/performance.md stands beside.

Reference log-probs are precomputed, LoRA is PEFT's (no dropout, all seven projections), everything is f32 on the CPU and
in one batch; forward, loss, backward, clipping and optimiser are TRL's with its defaults, gradient checkpointing off.
The rows are token ids, so that only the trainer's own tokenisation is left out. A step is timed from `on_step_begin` to
`on_step_end`: precomputation, data loading and logging are outside. Weights come from the same GGUF as everywhere.
`rss_precomputed_mib` is the peak before the first step: where `peak_rss_mib` is above it, the steps set the peak.

    trl_dpo.py --gguf G --rows D/pairs.jsonl
"""

import argparse
import math
import sys
import tempfile
import time
import types

sys.dont_write_bytecode = True  # Nothing is left beside the sources.
import torch_smollm2 as peer


def trainer(arguments, rows, directory):
    import datasets
    import peft
    import transformers
    import trl

    class Clock(transformers.TrainerCallback):
        """Seconds of each step, and the peak when training begins."""

        def on_train_begin(self, *_, **__):
            self.seconds, self.precomputed_mib = [], peer.peak_mib()

        def on_step_begin(self, *_, **__):
            self.started = time.perf_counter()

        def on_step_end(self, *_, **__):
            self.seconds.append(time.perf_counter() - self.started)

    class Tokenised(trl.DPOTrainer):
        def _prepare_dataset(self, dataset, *_):
            return dataset

    columns = {"prompt_input_ids": "prompt_token_ids", "chosen_input_ids": "chosen_token_ids",
               "rejected_input_ids": "rejected_token_ids"}
    dataset = datasets.Dataset.from_list([{theirs: row[ours] for theirs, ours in columns.items()} for row in rows])
    config = trl.DPOConfig(
        output_dir=directory, per_device_train_batch_size=len(rows), gradient_accumulation_steps=1,
        max_steps=arguments.repeats + 1, learning_rate=arguments.learning_rate, lr_scheduler_type="constant",
        beta=arguments.beta, precompute_ref_log_probs=True, use_logits_to_keep=arguments.logits_to_keep,
        max_length=None, max_prompt_length=None, max_completion_length=None, padding_value=peer.END,
        gradient_checkpointing=False, bf16=False, fp16=False, use_cpu=True, report_to="none", save_strategy="no",
        logging_steps=1, disable_tqdm=True, dataloader_pin_memory=False, seed=0,
    )
    lora = peft.LoraConfig(r=arguments.rank, lora_alpha=arguments.alpha, lora_dropout=0.0, bias="none",
                           target_modules=list(peer.LINEAR), task_type="CAUSAL_LM")
    clock = Clock()
    # Anything that is not a tokenizer will do: the rows are tokenised and nothing is saved.
    nobody = types.SimpleNamespace(pad_token_id=peer.END, eos_token_id=peer.END, bos_token_id=1)
    return clock, Tokenised(model=peer.load(arguments.gguf), args=config, train_dataset=dataset,
                            processing_class=nobody, peft_config=lora, callbacks=[clock])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=32.0)
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--logits-to-keep", action="store_true", help="TRL's use_logits_to_keep, off by default")
    arguments = parser.parse_args()
    import accelerate
    import peft
    import torch
    import trl

    torch.set_num_threads(arguments.threads)
    rows = peer.read_rows(arguments.rows)
    with tempfile.TemporaryDirectory() as directory:
        clock, dpo = trainer(arguments, rows, directory)
        dpo.train()
    steps = [entry for entry in dpo.state.log_history if "loss" in entry]
    trained = sum(p.numel() for p in dpo.model.parameters() if p.requires_grad)
    dtypes = {str(p.dtype) for p in dpo.model.parameters()}
    if dtypes != {"torch.float32"} or not math.isclose(steps[0]["loss"], math.log(2), abs_tol=1e-4):
        raise SystemExit(f"not an f32 model ({dtypes}) that starts at its reference (loss {steps[0]['loss']})")
    reference = dpo.train_dataset
    start = sum(reference["ref_chosen_logps"]) + sum(reference["ref_rejected_logps"])
    lengths = [len(row["prompt_token_ids"]) for row in rows]
    answers = [len(row[side]) for row in rows for side in ("chosen_token_ids", "rejected_token_ids")]
    peer.emit("train", 2 * sum(lengths) + sum(answers), clock.seconds[1:], trl=trl.__version__, peft=peft.__version__,
              accelerate=accelerate.__version__, pairs=len(rows), prompt=max(lengths), response=max(answers),
              layers=peer.LAYERS, full=False, rank=arguments.rank, alpha=arguments.alpha,
              head="response" if arguments.logits_to_keep else "full", optimiser=dpo.args.optim, trained=trained,
              start_logps=start, first_logps=len(rows) * (steps[0]["logps/chosen"] + steps[0]["logps/rejected"]),
              first_loss=steps[0]["loss"], last_loss=steps[-1]["loss"], rss_precomputed_mib=clock.precomputed_mib)


if __name__ == "__main__":
    main()
