#!/usr/bin/env python3
"""Checks the event file of a run or training against its metrics.jsonl, as TensorBoard reads it.

    inpo run --config run.toml --set train.report_to=tensorboard
    pip install tensorboard                                        # 2.21.0
    python scripts/check-tensorboard.py OUTPUT_DIR

Every number of every row must be a scalar at its step, once, within float32; nothing else may be there.
"""

import json
import struct
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def main():
    root = Path(sys.argv[1])
    expected, step = {}, 0
    for line in (root / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        step = row.get("global_step", row.get("step", step))
        group = "eval" if row.get("stage", "").startswith("eval") else "train"
        for name, value in row.items():
            if name in ("step", "global_step", "iteration") or isinstance(value, (str, type(None))):
                continue
            expected.setdefault(f"{group}/{name}", []).append((step, float32(value)))
    events = EventAccumulator(str(root / "runs"), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    assert sorted(tags) == sorted(expected), set(tags) ^ set(expected)
    for tag, points in expected.items():
        got = [(event.step, event.value) for event in events.Scalars(tag)]
        assert got == points, (tag, got, points)
    count = sum(map(len, expected.values()))
    print(f"{len(tags)} tags, {count} scalars, each as in metrics.jsonl")


if __name__ == "__main__":
    main()
