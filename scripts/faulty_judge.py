#!/usr/bin/env python3
"""A judge that misbehaves on purpose, to see from outside that none is paid twice. Standard library alone.

    faulty_judge.py rows --comparisons 10000 --output rows.jsonl
    faulty_judge.py serve --rate 0.1 --seed 1 --log answered.jsonl --port 8123 &
    inpo judge --oracle oracle.toml --input rows.jsonl --output preferences.jsonl    # kill it, resume it, ..
    faulty_judge.py check --log answered.jsonl [--allow N]

`serve` answers POST /v1/chat/completions as an OpenAI-compatible server does, for the template `labels` with
`verdict` "logprobs", "choice" (both ways) and "text". Which request fails, and how, follows from the seed, the question and
how often it came, whatever the order of the threads. The verdict follows from the question alone: faults that pass come
back as other faults or as the verdict, and a fault that lasts strikes a question always or never, so that a judging that
was killed ends with the same verdicts as one that was not. Each question answered with a verdict is a line of the log:

    {"question": sha256 of the messages, "pair": sha256 of the two responses, "order": "ab" | "ba", "prompt_tokens": ..}

with "ab" where the response shown first is the lesser string. Other templates have no pair and no order. A killed client may
have been sent an answer that it could not write down: `check --allow` is the number of such repeats, at most the requests in
flight for each kill.
"""

import argparse
import collections
import email.utils
import hashlib
import http.server
import json
import math
import random
import re
import signal
import socket
import sys
import threading
import time

RESPONSES = re.compile(r"\nAnswer \S+:\n(.*)\n\nAnswer \S+:\n(.*)\n\nWhich answer is better\?", re.S)

# Faults that pass: the question comes again.
PASSING = ["busy", "overloaded", "broken", "slow", "cut", "malformed", "error_in_200", "nonsense_limits"]
# Faults that do not, each with what it leads to: an invalid verdict, or the end of the asking.
LASTING = ["prose", "no_labels", "huge", "refused", "wrong_model", "redirect", "unauthorized"]


def sha256(*texts):
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text.encode())}:".encode() + text.encode())
    return digest.hexdigest()


class Log:
    """The answered questions, each written before its answer is sent."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def write(self, row):
        with self.lock:
            self.file.write(json.dumps(row) + "\n")
            self.file.flush()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_POST(self):
        try:
            self.answer()
        except (BrokenPipeError, ConnectionResetError, OSError):
            self.close_connection = True

    def answer(self):
        state = self.server.state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.endswith("/chat/completions"):
            return self.send(404, {"error": {"message": f"no {self.path} here"}})
        text = "\n".join(message["content"] for message in body["messages"])
        question = sha256(*(message["content"] for message in body["messages"]))
        with state.lock:
            state.tries[question] += 1
            tries = state.tries[question]
            state.requests += 1
        rng = random.Random(f"{state.seed}:{question}:{tries}")
        time.sleep(state.latency * rng.random() * 2)
        fault = None
        if state.passing and tries <= state.in_a_row and rng.random() < state.rate:
            fault = rng.choice(state.passing)
        elif state.lasting:
            lot = random.Random(f"{state.seed}:{question}:lasting")
            if lot.random() < state.lasting_rate:
                fault = lot.choice(state.lasting)
        if fault is not None:
            with state.lock:
                state.faulted[fault] += 1
        headers = []
        if fault == "nonsense_limits":
            headers = [("x-ratelimit-limit-requests", "-1"), ("x-ratelimit-remaining-requests", "0"),
                       ("x-ratelimit-reset-requests", "0"), ("Retry-After", "-1")]
            if rng.random() < 0.5:
                return self.send(429, {"error": {"message": "who knows"}}, headers)
        elif fault is not None and self.misbehave(fault, rng, body):
            return None
        return self.verdict(fault, rng, body, question, text, headers)

    def misbehave(self, fault, rng, body):
        """Whether this was all of the answer."""
        if fault == "busy":
            later = email.utils.formatdate(time.time() + 1, usegmt=True)
            wait = rng.choices([None, "0", "1", later], [6, 10, 1, 1])[0]
            self.send(429, {"error": {"message": "slow down"}}, [("Retry-After", wait)] if wait else [])
        elif fault == "overloaded":
            self.send(503, b"")
        elif fault == "broken":
            self.send(500, {"error": {"message": "broken"}})
        elif fault == "slow":
            time.sleep(self.server.state.slow_seconds)
            self.hang_up()
        elif fault == "cut":
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"choices": [')
            self.wfile.flush()
            self.hang_up()
        elif fault == "malformed":
            self.send(200, b'{"choices": [{"message": {"content": "A"')
        elif fault == "error_in_200":
            self.send(200, {"error": {"message": "no capacity", "code": 502}})
        elif fault == "huge":
            self.send(200, {"choices": [{"message": {"content": "A" * (10 << 20)}}]})
        elif fault == "refused":
            self.send(400, {"error": {"message": "flagged by the moderation"}})
        elif fault == "redirect":
            self.send(307, b"", [("Location", "http://elsewhere.example/v1/chat/completions")])
        elif fault == "unauthorized":
            self.send(401, {"error": {"message": "no such key"}})
        else:
            return False
        return True

    def verdict(self, fault, rng, body, question, text, headers):
        row = {"question": question}
        found = RESPONSES.search(text)
        if found:
            first, second = found.groups()
            row["pair"] = sha256(*sorted((first, second)))
            row["order"] = "ab" if first <= second else "ba"
            score = lambda response: random.Random(f"score:{response}").gauss(0, 1)
            # The place counts a little, as with real judges.
            p = 1 / (1 + math.exp(score(second) - score(first) - 0.2))
        else:
            p = random.Random(question).random()
        label = "A" if p > 0.5 else "B"
        tokens = [("A", p), ("B", 1 - p)]
        if fault == "prose":
            label = "Both answers have their merits."
        if fault in ("prose", "no_labels"):
            tokens = [("Both", 0.9), ("The", 0.1)]
        if "response_format" in body:
            label = json.dumps({"verdict": label})
        top = [{"token": token, "logprob": math.log(max(p, 1e-300))} for token, p in tokens]
        choices = []
        for index in range(body.get("n", 1)):
            choice = {"index": index, "message": {"role": "assistant", "content": label}, "finish_reason": "stop"}
            if body.get("logprobs"):
                choice["logprobs"] = {"content": [{**max(top, key=lambda t: t["logprob"]), "top_logprobs": top}]}
            choices.append(choice)
        usage = {"prompt_tokens": len(text) // 4, "completion_tokens": 1, "total_tokens": len(text) // 4 + 1}
        model = "another" if fault == "wrong_model" else body["model"]
        self.server.state.log.write({**row, "prompt_tokens": usage["prompt_tokens"]})
        self.send(200, {"object": "chat.completion", "model": model, "choices": choices, "usage": usage}, headers)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def serve(args):
    faults = [fault for fault in args.faults.split(",") if fault]
    state = argparse.Namespace(
        seed=args.seed, rate=args.rate, lasting_rate=args.lasting_rate, slow_seconds=args.slow_seconds,
        passing=[fault for fault in faults if fault in PASSING], lasting=[fault for fault in faults if fault in LASTING],
        latency=args.latency, in_a_row=args.in_a_row, log=Log(args.log), lock=threading.Lock(), requests=0,
        tries=collections.Counter(), faulted=collections.Counter())
    unknown = set(faults) - set(PASSING) - set(LASTING)
    if unknown:
        sys.exit(f"unknown faults: {', '.join(sorted(unknown))}; known: {', '.join(PASSING + LASTING)}")
    server = Server(("127.0.0.1", args.port), Handler)
    server.state = state
    print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    def stop(*_):
        raise SystemExit

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        server.serve_forever()
    finally:
        print(json.dumps({"requests": state.requests, "faults": dict(state.faulted)}), file=sys.stderr)


def rows(args):
    rng = random.Random(args.seed)
    words = "time year people way day thing world life hand part child eye place work week case point company".split()
    with open(args.output, "w", encoding="utf-8") as file:
        for number in range(args.comparisons):
            responses = [f"{number}-{k}: " + " ".join(rng.choices(words, k=rng.randint(5, 40))) for k in range(2)]
            row = {"prompt": f"Question {number}: {' '.join(rng.choices(words, k=8))}?", "responses": responses}
            file.write(json.dumps(row) + "\n")


def check(args):
    with open(args.log, encoding="utf-8") as file:
        answered = collections.Counter(json.loads(line)["question"] for line in file)
    repeats = sum(count - 1 for count in answered.values())
    print(json.dumps({"questions": len(answered), "answers": answered.total(), "repeats": repeats}))
    if repeats > args.allow:
        sys.exit(f"{repeats} answers were paid for again; allowed: {args.allow}")
    if args.expect is not None and len(answered) != args.expect:
        sys.exit(f"{len(answered)} questions were answered; expected: {args.expect}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("serve", help="answer, and misbehave")
    command.set_defaults(run=serve)
    command.add_argument("--port", type=int, default=0, help="0: any; the address is printed")
    command.add_argument("--rate", type=float, default=0.1, help="share of requests with a fault that passes")
    command.add_argument("--lasting-rate", type=float, default=0.01, help="share of questions with a fault that lasts")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--faults", default=",".join(PASSING),
                         help=f"that pass: {','.join(PASSING)}; that last: {','.join(LASTING)}")
    command.add_argument("--in-a-row", type=int, default=3, help="only the first so many requests of a question may fail")
    command.add_argument("--latency", type=float, default=0.005, help="mean seconds before an answer")
    command.add_argument("--slow-seconds", type=float, default=3.0, help="silence of the fault `slow`")
    command.add_argument("--log", required=True, help="one line for each answered question, appended")
    command = commands.add_parser("rows", help="write comparisons to judge")
    command.set_defaults(run=rows)
    command.add_argument("--comparisons", type=int, default=10_000)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--output", required=True)
    command = commands.add_parser("check", help="count answers that were paid for again; status 1 above --allow")
    command.set_defaults(run=check)
    command.add_argument("--log", required=True)
    command.add_argument("--allow", type=int, default=0)
    command.add_argument("--expect", type=int, help="the number of different questions")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
