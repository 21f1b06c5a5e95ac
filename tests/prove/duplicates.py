"""How well duplicates are found: FEBRL's file, and crowds that are made up anew for every seed.

    python -m tests.prove.duplicates [--folder FEBRL] [--contacts N] [--engine sqlite|postgresql] [--seed N] [--learn]

FEBRL's files come in through the recipe and the finder runs over them in a database, as the job does; the crowds are
compared in memory, by the same blocking and weights. Then the finder runs over N made-up contacts in a database.
Exits with 1 when a target is missed.

`--learn` fits the weights that stand in `app/rules/likeness.py` on made-up people and prints them. FEBRL's files are
never learnt from, they are only tried.
"""

import argparse
import math
import platform
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import rapidfuzz
import sqlalchemy
from rich.console import Console
from sqlalchemy import select

from app import access, bulk
from app.commands.import_ import run_import
from app.models import Company, Contact, Department, DuplicatePair, ExternalKey
from app.rules import blocking, duplicates, likeness
from config import BASE
from tests import databases
from tests.prove import people
from tests.prove.people import Crowd, Wear

FEBRL = BASE.parent / "shared" / "data" / "febrl"  # not part of this repository
RECALL, PRECISION = 0.97, 0.99  # what is promised on FEBRL's first file

# What the weights are fitted on.
LEARNT_FROM = (
    Crowd(3000, share=0.6, wear=Wear(1, 1), relatives=0.03, namesakes=0.04),
    Crowd(3000, share=0.4, at_most=4, wear=Wear(2, 2), relatives=0.03, namesakes=0.04),
    Crowd(2000, share=0.6, at_most=5, wear=Wear(6, 4), relatives=0.03, namesakes=0.04),
    Crowd(2500, share=0.4, at_most=2, wear=Wear(2, 2), relatives=0.12, namesakes=0.04, undated=0.5),
    Crowd(4000, share=0.4, at_most=2, wear=Wear(2, 2, retyped=0.6), known=0.9, relatives=0.1, namesakes=0.1),
)
# What they are tried on, with other seeds: the shapes of FEBRL's files, then what firms know of people.
TRIED_ON = {
    "one duplicate each, one field (as FEBRL 1)": Crowd(500, share=1.0, wear=Wear(1, 1)),
    "up to 5, two errors (as FEBRL 2)": Crowd(4000, share=0.12, at_most=5, wear=Wear(2, 2)),
    "up to 5, six fields, four errors (as FEBRL 3)": Crowd(2000, share=0.56, at_most=5, wear=Wear(6, 4)),
    "one each, four fields (as FEBRL 4)": Crowd(2500, share=1.0, wear=Wear(4, 2)),
    "exactly three each, three fields": Crowd(1000, share=1.0, at_most=3, at_least=3, wear=Wear(3, 2)),
    "families and namesakes": Crowd(3000, share=0.5, wear=Wear(1, 1), relatives=0.05, namesakes=0.05),
    "a firm's contacts, typed twice": Crowd(
        5000, share=0.4, at_most=2, wear=Wear(2, 2, retyped=0.6), known=0.9, relatives=0.05, namesakes=0.05
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FEBRL, help="where FEBRL's CSV files lie")
    parser.add_argument(
        "--contacts", type=int, default=100_000, help="how many the finder goes over; 0: none"
    )
    parser.add_argument("--engine", choices=databases.ENGINES, help="only this one")
    parser.add_argument("--seed", type=int, default=1, help="of the crowds that are tried")
    parser.add_argument("--learn", action="store_true", help="fit the weights and print them")
    args = parser.parse_args()
    if args.learn:
        print_weights()
        return 0
    engines = [engine for engine in databases.ENGINES if args.engine in (None, engine)]
    folder = databases.start_run()
    try:
        outcomes = [febrl(engine, file) for file in sorted(args.folder.glob("*.csv")) for engine in engines]
        outcomes += [
            crowd(name, size, seed)
            for name, size in TRIED_ON.items()
            for seed in range(args.seed, args.seed + 3)
        ]
        outcomes += [companies(seed) for seed in range(args.seed, args.seed + 3)]
        if args.contacts:
            outcomes += [large(engine, args.contacts, args.seed) for engine in engines]
    finally:
        databases.end_run(folder)
    print(table(outcomes))
    kept = [one for one in outcomes if one.is_promised]
    return 1 if any(one.recall < RECALL or one.precision < PRECISION for one in kept) else 0


@dataclass
class Outcome:
    """One list of records, and what was found in it."""

    name: str
    records: int
    true: int  # pairs that are the same person
    found: int
    right: int
    compared: int
    seconds: float  # of this process's CPU: other work on the machine does not count
    memory: int = 0  # peak of this process in MB; 0: not looked at
    is_promised: bool = False

    @property
    def recall(self):
        return self.right / self.true if self.true else 1.0

    @property
    def precision(self):
        return self.right / self.found if self.found else 1.0

    @property
    def f1(self):
        return 2 * self.right / (self.true + self.found) if self.right else 0.0


def table(outcomes):
    """The outcomes as one table that can be read in a report."""
    width = max(len(one.name) for one in outcomes)
    heads = (
        "records",
        "true",
        "found",
        "right",
        "recall",
        "precis.",
        "F1",
        "compared",
        "each",
        "CPU s",
        "MB",
    )
    lines = [f"{'':{width}}" + "".join(f"{head:>10}" for head in heads)]
    for one in outcomes:
        each = one.compared / one.records
        lines.append(
            f"{one.name:{width}}{one.records:>10,}{one.true:>10,}{one.found:>10,}{one.right:>10,}{one.recall:>10.2%}"
            f"{one.precision:>10.2%}{one.f1:>10.4f}{one.compared:>10,}{each:>10.2f}{one.seconds:>10.1f}{one.memory:>10,}"
        )
    versions = {
        "Python": platform.python_version(),
        "SQLAlchemy": sqlalchemy.__version__,
        "rapidfuzz": rapidfuzz.__version__,
    }
    return "\n".join([*lines, ", ".join(f"{name} {version}" for name, version in versions.items())])


# --------------------------------------------------------------------------------------------- in a database


def febrl(engine, file):
    """One of FEBRL's files, brought in by the recipe and gone over by the finder."""
    with databases.fresh_database(engine) as database, databases.app_on(database) as app, app.app_context():
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(file, folder)
            run_import(app, "febrl", Path(folder), "Sales", Console(quiet=True))
        with access.system_session("prove", door="command") as session:
            theirs = select(ExternalKey.record_id, ExternalKey.their_id).where(
                ExternalKey.entity == "contact"
            )
            who = {key: their_id.split("-")[1] for key, their_id in session.execute(theirs)}
        is_promised = file.name == "dataset1.csv"
        return _found_in_database(f"FEBRL {file.name}, {engine}", who, is_promised=is_promised)


def large(engine, count, seed):
    """The finder over a crowd of about so many contacts."""
    size = Crowd(
        int(count / 1.3),
        share=0.2,
        at_most=2,
        wear=Wear(2, 2, retyped=0.5),
        known=0.7,
        relatives=0.03,
        namesakes=0.03,
    )
    records = people.crowd(seed, size)[:count]
    with databases.fresh_database(engine) as database, databases.app_on(database) as app, app.app_context():
        columns = [name for name in duplicates.KINDS[Contact].columns if name != "company_id"]
        with access.system_session("prove", door="command") as session:
            department = session.scalars(select(Department.id).where(Department.name == "Sales")).one()
            rows = [
                {**{name: row.get(name) for name in columns}, "department_id": department} for row in records
            ]
            ids = bulk.add(session, Contact, rows)
        who = {key: row["who"] for key, row in zip(ids, records, strict=True)}
        del records, rows
        return _found_in_database(f"the finder over {count:,} contacts, {engine}", who)


def _found_in_database(name, who, is_promised=False):
    """Run the finder, and see which of the kept pairs are right."""
    started, found = time.process_time(), duplicates.Found()
    with access.system_session("prove", door="command") as session:
        likely = duplicates.likely_pairs(session, Contact, found=found)
        duplicates.keep_pairs(session, Contact, likely, found=found, now=datetime.now(UTC))
    seconds = time.process_time() - started
    with access.system_session("prove", door="command") as session:
        pairs = session.execute(select(DuplicatePair.one_id, DuplicatePair.other_id)).all()
    true = sum(count * (count - 1) // 2 for count in Counter(who.values()).values())
    right = sum(who[one] == who[other] for one, other in pairs)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Outcome(name, len(who), true, len(pairs), right, found.compared, seconds, memory, is_promised)


# --------------------------------------------------------------------------------------------- in memory


def crowd(name, size, seed):
    """A made-up crowd, compared in memory."""
    # No seed that the weights were fitted on.
    return _found_in_memory(
        f"{name}, seed {seed}", people.crowd(10_000 + seed, size), duplicates.KINDS[Contact]
    )


def companies(seed):
    """Made-up companies, compared in memory."""
    return _found_in_memory(
        f"companies, seed {seed}", people.firms(10_000 + seed, 3000), duplicates.KINDS[Company]
    )


def _found_in_memory(name, records, kind):
    started = time.process_time()
    prepared = [kind.prepared(record) for record in records]
    compared = pairs_of(prepared, kind.keys_of)
    likely = {
        pair: seen
        for pair in compared
        if (seen := kind.compare(prepared[pair[0]], prepared[pair[1]], duplicates.KEPT))
    }
    duplicates.link_thirds(likely, lambda pair: kind.compare(prepared[pair[0]], prepared[pair[1]]))
    seconds, true = time.process_time() - started, true_pairs(records)
    return Outcome(
        name, len(records), len(true), len(likely), len(true & likely.keys()), len(compared), seconds
    )


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


def print_weights():
    """Fit both tables and print them as they stand in `app/rules/likeness.py`."""
    contacts = [people.crowd(100 + number, size) for number, size in enumerate(LEARNT_FROM)]
    firms = [people.firms(200 + number, 2500) for number in range(3)]
    for word, lists, kind, levels_of in (
        ("CONTACT", contacts, duplicates.KINDS[Contact], likeness.levels_of_people),
        ("COMPANY", firms, duplicates.KINDS[Company], likeness.levels_of_firms),
    ):
        weights, bias = learn(lists, kind.prepared, levels_of, kind.keys_of)
        print(f"{word}_WEIGHTS = {{")
        for what in dict.fromkeys(what for what, _ in weights):
            print(
                "    "
                + " ".join(
                    f'("{one}", "{how}"): {weight},' for (one, how), weight in weights.items() if one == what
                )
            )
        print(f"}}  # fmt: skip\n{word}_BIAS = {bias}")
    for at_least in range(50, 95, 5):
        print(
            f"# KEPT = {at_least}: mean F1 {mean_f1(contacts, at_least):.4f} with the weights as they stand"
        )


def mean_f1(lists, at_least):
    """How well the weights as they stand find contacts at this threshold, on average over these lists."""
    kind, total = duplicates.KINDS[Contact], 0.0
    for records in lists:
        prepared = [kind.prepared(record) for record in records]

        def compare(pair, prepared=prepared):
            return kind.compare(prepared[pair[0]], prepared[pair[1]])

        compared = {pair: compare(pair) for pair in pairs_of(prepared, kind.keys_of)}
        likely = {pair: seen for pair, seen in compared.items() if seen.score >= at_least}
        duplicates.link_thirds(likely, compare, at_least)
        true = true_pairs(records)
        total += 2 * len(true & likely.keys()) / (len(true) + len(likely))
    return total / len(lists)


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
        for what in {
            what for what, how in weights if how == likeness.FAR
        }:  # what differs never speaks for them
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


if __name__ == "__main__":
    sys.exit(main())
