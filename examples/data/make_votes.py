"""Writes votes.csv: pairwise votes between eight made-up assistants, for the example rank_models.

The preference is of our own making: log-odds of a vote are a ranking plus a cycle among the three best, so that no
ranking explains the votes and the Nash mixture has something to say. Python 3 standard library only; the same bytes
every time.

    python3 examples/data/make_votes.py
"""

import csv
import itertools
import math
import pathlib
import random

NAMES = ["alder", "birch", "cedar", "fir", "hazel", "larch", "maple", "oak"]
SCORE = dict(zip(NAMES, [1.0, 0.9, 0.8, 0.5, 0.2, 0.0, -0.5, -1.0]))
CYCLE = {("alder", "birch"): 1.4, ("birch", "cedar"): 1.2, ("cedar", "alder"): 1.3}
VOTES_A_PAIR = 24
TIES = 0.15

draw = random.Random(20260)
rows = []
for one, other in itertools.combinations(NAMES, 2):
    odds = SCORE[one] - SCORE[other] + CYCLE.get((one, other), 0.0) - CYCLE.get((other, one), 0.0)
    for _ in range(VOTES_A_PAIR):
        x, y = (one, other) if draw.random() < 0.5 else (other, one)
        if draw.random() < TIES:
            winner = "tie"
        else:
            winner = one if draw.random() < 1 / (1 + math.exp(-odds)) else other
        rows.append((x, y, winner))
draw.shuffle(rows)

with open(pathlib.Path(__file__).with_name("votes.csv"), "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["model_x", "model_y", "winner"])
    writer.writerows(rows)
