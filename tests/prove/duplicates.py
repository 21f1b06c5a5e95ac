"""How well duplicates are found: FEBRL's file, and crowds that are made up anew for every seed.

    python -m tests.prove.duplicates [--folder FEBRL] [--contacts N] [--engine sqlite|postgresql] [--learn]

`--learn` fits the weights that stand in `app/rules/likeness.py` on made-up people and prints them. FEBRL's file is
never learnt from, it is only tried.
"""

import argparse
import csv
import math
import random
import sys
import time
from collections import defaultdict
from pathlib import Path

from app.rules import blocking, likeness
from config import BASE
from tests.prove import people
from tests.prove.people import Crowd, Wear

FEBRL = BASE.parent / "shared" / "data" / "febrl"

# What the weights are fitted on, and what they are tried on (with other seeds).
LEARNT_FROM = (
    Crowd(3000, share=0.6, wear=Wear(1, 1), relatives=0.03, namesakes=0.04),
    Crowd(3000, share=0.4, at_most=4, wear=Wear(2, 2), relatives=0.03, namesakes=0.04),
    Crowd(2000, share=0.6, at_most=5, wear=Wear(6, 4), relatives=0.03, namesakes=0.04),
    Crowd(2500, share=0.4, at_most=2, wear=Wear(2, 2), relatives=0.12, namesakes=0.04, undated=0.5),
    Crowd(4000, share=0.4, at_most=2, wear=Wear(2, 2, retyped=0.6), known=0.9, relatives=0.1, namesakes=0.1),
)


# --------------------------------------------------------------------------------------------- in memory


def pairs_of(prepared, keys_of):
    """All pairs that blocking would compare, of records in memory: positions in the list."""
    blocks = defaultdict(list)
    for number, one in enumerate(prepared):
        for key in set(keys_of(one)):
            blocks[key].append(number)
    found = set()
    for block in blocks.values():
        if len(block) > blocking.LARGE:
            block.sort(key=lambda number: blocking.order_of(prepared[number]))
        found.update(blocking.pairs_within(block))
    return found


def true_pairs(records):
    """The pairs of records that are about the same person."""
    by_person = defaultdict(list)
    for number, record in enumerate(records):
        by_person[record["who"]].append(number)
    return {
        (one, other)
        for numbers in by_person.values()
        for at, one in enumerate(numbers)
        for other in numbers[at + 1 :]
    }


# --------------------------------------------------------------------------------------------- learning


def learn(crowds, prepare, levels_of, keys_of, *, rounds=40, seed=5, strangers=3):
    """Weights and bias (in bits) by logistic regression over the levels of pairs: level -> weight.

    Learnt from all pairs that are truly one and all that blocking would compare, and from `strangers` times as many
    random pairs, so that nothing is known of how often blocking lets people meet. More alike never weighs less: the
    levels of a field are steps down from "the same", and no step leads up.
    """
    rng, patterns = random.Random(seed), defaultdict(lambda: [0, 0])
    for records in crowds:
        prepared = [prepare(record) for record in records]
        true = true_pairs(records)
        compared = pairs_of(prepared, keys_of) | true
        compared |= {_two_of(rng, len(records)) for _ in range(strangers * len(compared))}
        for one, other in compared:
            patterns[tuple(levels_of(prepared[one], prepared[other]))][(one, other) in true] += 1
    examples = [
        ([step for level in levels for step in _steps(level)], apart, together)
        for levels, (apart, together) in sorted(patterns.items())
    ]
    weights, squares, bias = defaultdict(float), defaultdict(lambda: 1.0), 0.0
    for turn in range(rounds):
        rng.shuffle(examples)
        rate = 1 / (1 + turn / 4)
        for steps, apart, together in examples:
            total = bias + sum(sign * weights[step] for step, sign in steps)
            chance = 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))
            error = together * (1 - chance) - apart * chance
            if abs(error) < 1e-4:
                continue
            error = max(-3.0, min(3.0, error))
            bias += rate * 0.02 * error
            for step, sign in steps:
                squares[step] += error * error
                weight = weights[step] + sign * rate * error / math.sqrt(squares[step])
                weights[step] = max(0.0, weight) if step[1] in likeness.RANK else weight
        for what in {what for what, how in weights if how == likeness.FAR}:  # what differs never speaks for them
            above = sum(sign * weights[step] for step, sign in _steps((what, likeness.FAR)))
            weights[what, likeness.FAR] += max(0.0, above)
    bits = 1 / math.log(2)
    seen = {level for levels in patterns for level in levels}
    return (
        {
            level: round(bits * sum(sign * weights[step] for step, sign in _steps(level)), 1)
            for level in likeness.SENTENCES
            if level in seen
        },
        round(bits * bias, 1),
        len(examples),
    )


DOWN = (likeness.CLOSE, likeness.NEAR, likeness.FAR)


def _steps(level):
    """What a level consists of: what the same weighs, less a step for each degree of difference; others stand alone."""
    what, how = level
    if how not in likeness.RANK:
        return [(level, 1)]
    return [((what, likeness.SAME), 1), *(((what, step), -1) for step in DOWN[: 3 - likeness.RANK[how]])]


def _two_of(rng, count):
    one, other = rng.sample(range(count), 2)
    return min(one, other), max(one, other)
