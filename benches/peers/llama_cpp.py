#!/usr/bin/env python3
"""llama.cpp (through xllamacpp) beside inpo: sampling from SmolLM2-135M-Instruct in f32, weights and cache.

    pip install -r requirements-llama.txt
    llama_cpp.py export   --gguf G --output F32            the same weights, every tensor in f32
    llama_cpp.py generate --gguf F32 --rows prompts-8.jsonl --samples 8

A prompt's samples are one request, so that they share its prefill. tokens/s is over new tokens, prefill included, and the median of
--repeats runs after one that warms up. Peak memory includes the interpreter.
"""

import argparse
import json
import resource
import statistics
import time
from concurrent.futures import ThreadPoolExecutor


def export(arguments):
    import numpy as np
    from gguf import GGUFReader, GGUFValueType, GGUFWriter
    from gguf.quants import dequantize

    reader = GGUFReader(arguments.gguf)
    architecture = reader.get_field("general.architecture").contents()
    writer = GGUFWriter(arguments.output, architecture)
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        value = 0 if field.name == "general.file_type" else field.contents()  # 0: all in f32
        inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        value = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def serve(arguments, rows):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = arguments.gguf
    params.n_parallel = len(rows) * arguments.samples
    longest = max(len(row["prompt_token_ids"]) for row in rows)
    params.n_ctx = params.n_parallel * (longest + arguments.max_new_tokens + 8)
    params.cpuparams.n_threads = arguments.threads
    params.cpuparams_batch.n_threads = arguments.threads
    params.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_F32
    params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.n_gpu_layers = 0
    params.warmup = True
    return xllamacpp.Server(params), xllamacpp


def generate(arguments):
    with open(arguments.rows, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    began = time.perf_counter()
    server, module = serve(arguments, rows)
    load = time.perf_counter() - began
    request = {
        "max_tokens": arguments.max_new_tokens, "ignore_eos": True, "cache_prompt": False, "n": arguments.samples,
        "samplers": ["temperature"], "temperature": 1.0,
    }

    def one(row):
        answer = server.handle_completions(request | {"prompt": row["prompt_token_ids"]})
        reasons = [choice["finish_reason"] for choice in answer["choices"]]
        assert reasons == ["length"] * arguments.samples, answer

    def run():
        with ThreadPoolExecutor(len(rows)) as pool:
            list(pool.map(one, rows))

    seconds = []
    for index in range(1 + arguments.repeats):
        start = time.perf_counter()
        run()
        if index:
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    tokens = len(rows) * arguments.samples * arguments.max_new_tokens
    print(json.dumps({
        "measurement": "generate", "xllamacpp": module.__version__, "threads": arguments.threads, "tokens": tokens,
        "repeats": len(seconds), "seconds_median": median, "tokens_per_second": tokens / median, "load_seconds": load,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("export")
    sub.set_defaults(run=export)
    sub.add_argument("--gguf", required=True)
    sub.add_argument("--output", required=True)
    sub = commands.add_parser("generate")
    sub.set_defaults(run=generate)
    sub.add_argument("--gguf", required=True)
    sub.add_argument("--rows", required=True)
    for name, default in [("samples", 1), ("max-new-tokens", 64), ("repeats", 3), ("threads", 2)]:
        sub.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
