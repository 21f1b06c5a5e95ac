"""Foyer beside what one would pick instead, at a million contacts: every page's median and p95, and what is promised.

    python -m bench [--engine sqlite|postgresql] [--rows N] [--only LINE] [--tries N] [--no-peers]

Exits 1 when a promise is not kept. All servers of an engine stand side by side and are asked in turns.
"""

import argparse
import json
import os
import platform
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from bench import data, foyer, home, peers
from bench.measure import TRIES, WARM_UPS, Series, Wrong, measure
from config import BASE

RESULTS = BASE / "bench" / "results" / "latest.json"


@dataclass(frozen=True)
class Promise:
    """How many times faster than the best of these peers a line is."""

    times: float
    than: tuple = tuple(peer.title for peer in peers.PEERS)


AHEAD = Promise(1, than=("Flask-AppBuilder", "Django admin"))
PROMISES = {
    "first page": Promise(5),
    "page 10,000": Promise(5),
    "sort by name": Promise(5),
    "search": Promise(20),
    "search, frequent": Promise(20),
    "record": AHEAD,
    "save": AHEAD,
}
GROWTH = 2  # times, from 10,000 contacts to all
EXPORTED_MEGABYTES = 512


def main(argv=None):
    args = _arguments(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops it ends its servers, too
    results = {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": {
            "system": platform.system(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "peers": peers.versions() if args.peers else {},
        "rows": args.rows,
        "tries": args.tries,
        "engines": {},
    }
    try:
        for engine in args.engine or home.ENGINES:
            results["engines"][engine] = run(engine, args)
    finally:
        home.stop_postgresql()
    missed = [one for engine in results["engines"].values() for one in engine["missed"]]
    is_whole = not (args.engine or args.only) and args.peers and args.rows == data.FULL
    path = RESULTS if is_whole else home.folder() / "partial.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print("\nMissed:" if missed else "\nEvery promise is kept.", *missed, sep="\n  ")
    return 1 if missed else 0


def run(engine, args):
    """Measure one engine and print its table; returns what is written down of it."""
    sizes = sorted({min(data.SMALL, args.rows), args.rows})
    for rows in sizes:
        data.ensure(engine, rows)
    if args.peers:
        peers.ensure(engine, args.rows)
    with ExitStack() as stack:
        series, export = [], None
        for rows in sizes:
            server = stack.enter_context(foyer.server(engine, rows))
            for username in data.PEOPLE:
                person = foyer.Person(engine, rows, username, foyer.enter(server.port, username))
                asked = foyer.lines(person)
                series += [Series(line, username, rows, ask) for line, ask in asked.items()]
                if (username, rows) == ("director", args.rows):
                    export = Export(server, person.browser, rows)
        for peer in peers.PEERS if args.peers else ():
            server = stack.enter_context(peer.server(engine, args.rows))
            asked = peer.lines(peer.enter(server.port), args.rows)
            series += [Series(line, peer.title, args.rows, ask, house=peer.title) for line, ask in asked.items()]
        _print_heading(engine, args)
        found = [_measured(engine, line, series, args) for line in _chosen(series, args.only)]
        exported = export.measured() if not args.only or "export" in args.only else None
    missed = [f"{engine}: {one}" for line in found for one in line["missed"]]
    if exported and exported["megabytes"] > EXPORTED_MEGABYTES:
        missed.append(f"{engine}: the export took {exported['megabytes']:.0f} MB")
    return {"lines": found, "export": exported, "missed": missed}


def _chosen(series, only):
    names = dict.fromkeys(one.line for one in series)
    return [name for name in names if not only or name.startswith(tuple(only))]


def _measured(engine, line, series, args):
    """Ask all who have this line in turns; print its part of the table and judge it."""
    several = [one for one in series if one.line == line]
    measure(several, tries=args.tries, warm_ups=min(WARM_UPS, args.tries))
    promise = PROMISES.get(line)
    peers_here = {one.who: one for one in several if one.who not in data.PEOPLE}
    best = min((peers_here[name] for name in promise.than), key=_median) if promise and peers_here else None
    judged = {"line": line, "foyer": [], "peers": [], "missed": []}
    for username in data.PEOPLE:
        own = sorted((one for one in several if one.who == username), key=lambda one: one.rows)
        if own:
            judged["foyer"].append(_judged(line, own, best, promise, judged["missed"]))
    for one in peers_here.values():
        judged["peers"].append({"who": one.who, "median": round(one.median, 2), "p95": round(one.p95, 2)})
        print(f"  {'':26} {one.who:18} {'':>9} {one.median:9.2f} {one.p95:9.2f}", flush=True)
    return judged


def _judged(line, own, best, promise, missed):
    small, full = own[0], own[-1]
    growth = full.median / small.median
    row = {
        "who": full.who,
        "small": round(small.median, 2),
        "median": round(full.median, 2),
        "p95": round(full.p95, 2),
        "growth": round(growth, 2),
    }
    words = f"  {line:26} {full.who:18} {small.median:9.2f} {full.median:9.2f} {full.p95:9.2f} {growth:7.2f}"
    if growth > GROWTH:
        missed.append(f"{line}, {full.who}: {growth:.1f} times slower than at {small.rows:,} rows")
    if best is not None:
        row["times faster"], row["promised"], row["best peer"] = (
            round(best.median / full.median, 2),
            promise.times,
            best.who,
        )
        words += f" {best.median / full.median:7.1f} × (≥ {promise.times}) {best.who}"
        if best.median / full.median < promise.times:
            missed.append(
                f"{line}, {full.who}: {best.median / full.median:.1f} times faster than {best.who}, "
                f"not {promise.times}"
            )
    print(words, flush=True)
    return row


def _median(one):
    return one.median


def _print_heading(engine, args):
    print(
        f"\n{engine}: milliseconds, of {args.tries} tries; growth: from {data.SMALL:,} contacts to {args.rows:,}"
    )
    print(
        f"  {'':26} {'':18} {data.SMALL:9,} {args.rows:9,} {'p95':>9} {'growth':>7}   faster than the best peer"
    )


@dataclass
class Export:
    """The whole list as CSV, as whoever sees everything gets it."""

    server: object
    browser: object
    rows: int

    def measured(self):
        """Seconds, and the most memory that a process of Foyer's held meanwhile."""
        count = Lines()
        self.server.forget_peaks()
        length, seconds = self.browser.stream(foyer.EXPORT, count)
        found = {
            "rows": count.number - 1,
            "bytes": length,
            "seconds": round(seconds, 1),
            "megabytes": round(self.server.peak_megabytes(), 1),
        }
        print(
            f"  {'export as CSV':26} {'director':18} {found['rows']:,} rows in {seconds:.1f} s, "
            f"{found['megabytes']:.0f} MB of memory at most"
        )
        if found["rows"] != self.rows:
            raise Wrong(f"{found['rows']} rows were exported, not {self.rows}")
        return found


class Lines:
    """Counts the line ends that pass by."""

    number = 0

    def __call__(self, piece):
        self.number += piece.count(b"\n")


def _arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--engine", action="append", choices=home.ENGINES, help="only this one")
    parser.add_argument("--rows", type=int, default=data.FULL, help="contacts; the others in proportion")
    parser.add_argument(
        "--only",
        metavar="LINE",
        action="append",
        help="only the lines whose names begin so; more by saying it again",
    )
    parser.add_argument("--tries", type=int, default=TRIES)
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="Foyer alone")
    return parser.parse_args(argv)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops it ends its servers, too
    sys.exit(main())
