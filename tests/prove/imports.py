"""Imports at size, and what must not break them: the figures behind what the house promises.

Four trials on each engine. *Speed*: people with their companies come in through the same core as the wizard, matched
and checked, beside bare SQL that inserts the same rows with their ledger and search entries in the same run. *Again*:
the same file creates and changes nothing. *Killed*: the process that imports gets SIGKILL in the middle, once while it
looks and once while it writes; nothing half done stands, and the job comes to its end when a worker takes it up.
*Malformed*: every kind of broken file of `tests/exchange/malformed.py` is brought in a process of its own, whose memory
is measured with that of the process it starts.
"""

import argparse
import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy
from sqlalchemy import func, insert, select

from app import access, jobs, search, security
from app.access import DOOR
from app.exchange import importing
from app.exchange.files import open_table
from app.exchange.importing import House
from app.exchange.reading import Refused
from app.models import Change, ChangeSet, Company, Contact, SearchEntry
from tests import databases
from tests.exchange import malformed

PERSON = "rep.north"
RATIO = 15  # times what bare SQL takes
MEMORY = 512 * 2**20
PEOPLE_A_COMPANY = 10


@dataclass(frozen=True)
class Size:
    rows: int = 100_000
    kills: int = 2


FULL, QUICK = Size(), Size(rows=800, kills=1)


@dataclass
class Outcome:
    """What was seen; `faults` is everything that should not be."""

    engine: str
    version: str
    rows: int = 0
    companies: int = 0
    bare: float = 0.0
    imported: float = 0.0
    again: float = 0.0
    memory: int = 0
    killed: int = 0
    resumed: int = 0
    faults: list = field(default_factory=list)

    @property
    def ratio(self):
        return self.imported / self.bare if self.bare else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, help="only this one")
    parser.add_argument(
        "--seed", type=int, default=20260304, help="makes the people, and chooses when to kill"
    )
    parser.add_argument("--rows", type=int, help="people in the file (default: 100,000)")
    parser.add_argument("--kills", type=int, help="workers that are killed on each engine (default: 2)")
    parser.add_argument("--quick", action="store_true", help="the size that the tests run")
    parser.add_argument("--import", dest="bring", metavar="ORDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bring:
        return _child(json.loads(args.bring))
    size, folder = (QUICK if args.quick else FULL), databases.start_run()
    kills = size.kills if args.kills is None else args.kills
    size = replace(size, rows=args.rows or size.rows, kills=kills)
    try:
        outcomes = [
            prove(engine, size, seed=args.seed)
            for engine in databases.ENGINES
            if args.engine in (None, engine)
        ]
    finally:
        databases.end_run(folder)
    files = battery()
    print(table(outcomes, files, args.seed))
    return 1 if any(one.faults for one in outcomes) or files["faults"] else 0


def prove(engine, size, *, seed):
    """All trials but the malformed files on a fresh database of this engine."""
    raw = people(size.rows, seed)
    with databases.fresh_database(engine) as database, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.csv"
        path.write_bytes(raw)
        outcome = Outcome(engine, _version(database), rows=size.rows)
        _speed(database, path, outcome)
        kill(database, path, size, random.Random(seed), outcome)
    with databases.fresh_database(engine) as database, _looking_at(database):
        outcome.bare = _bare_sql(path_rows(raw))
    if outcome.ratio > RATIO and size.rows >= 10_000:  # a small file is mostly the start of its process
        outcome.faults.append(f"{outcome.ratio:.1f} times bare SQL")
    if outcome.memory > MEMORY:
        outcome.faults.append(f"{outcome.memory // 2**20} MB")
    return outcome


def table(outcomes, files, seed):
    """The outcomes as one table that can be read in a report."""
    rows = [
        ("engine", lambda one: one.version),
        ("people", lambda one: f"{one.rows:,}"),
        ("companies", lambda one: f"{one.companies:,}"),
        ("bare SQL, s", lambda one: f"{one.bare:.2f}"),
        ("import, s", lambda one: f"{one.imported:.2f}"),
        ("times", lambda one: f"{one.ratio:.1f} (at most {RATIO})"),
        ("rows a second", lambda one: f"{one.rows / one.imported:,.0f}"),
        ("again, s", lambda one: f"{one.again:.2f}"),
        ("peak memory, MB", lambda one: one.memory // 2**20),
        ("killed", lambda one: one.killed),
        ("came to its end", lambda one: one.resumed),
        ("failed", lambda one: len(one.faults)),
    ]
    lines = [f"{name:<18}" + "".join(f"{value(one)!s:>24}" for one in outcomes) for name, value in rows]
    lines.append(
        f"malformed files: {files['tried']} kinds, {files['refused']} put into words, {files['read']} read as far as "
        f"they are good; peak memory {files['memory'] // 2**20} MB; failed {len(files['faults'])}"
    )
    lines.append(
        f"seed {seed}, Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}, {os.cpu_count()} cores"
    )
    lines.extend(f"{one.engine}: {fault}" for one in outcomes for fault in one.faults)
    lines.extend(f"malformed: {fault}" for fault in files["faults"])
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------- the people

FIRST = "Anna Bert Cleo Dora Émile Fatima Gustav Hélène Ingrid Jörg Karin Luís Maja Nils Olga Paul Renée Søren".split()
LAST = "Ernst Müller Lefèvre Novák García Rossi Schmidt Jensen Kowalski Öztürk Weiß Dubois Berg Haas Vogel".split()
CITIES = "Köln Graz Lyon Genève Århus Kraków Porto Bologna München Lille Bern Ulm".split()
HEADER = (
    "First name,Last name,Job title,E-mail,Phone,Company,Street,Postal code,City,Country,Date of birth,Notes"
)


def people(rows, seed):
    """A CSV of people of about a tenth as many companies; the same every time."""
    dice, lines = random.Random(seed), [HEADER]
    firms = max(1, rows // PEOPLE_A_COMPANY)
    for number in range(rows):
        first, last, city = dice.choice(FIRST), dice.choice(LAST), dice.choice(CITIES)
        firm = dice.randrange(firms)
        birthday = f"{dice.randint(1950, 2004)}-{dice.randint(1, 12):02d}-{dice.randint(1, 28):02d}"
        lines.append(
            f"{first},{last} {number % 997},Buyer,person{number}@firm{firm}.example,+49 30 {number:07d},"
            f"Firm No. {firm} GmbH,{city}er Straße {number % 90 + 1},{dice.randint(10000, 99999)},{city},"
            f"Germany,{birthday},met in {dice.randint(2001, 2025)}"
        )
    return ("\n".join(lines) + "\n").encode()


def path_rows(raw):
    """The rows of the file as plain values, as bare SQL takes them."""
    header, *lines = raw.decode().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


# --------------------------------------------------------------------------------------------- speed


def _speed(database, path, outcome):
    """Twice in a process of its own: the first run makes everything, the second nothing."""
    first = _in_a_process(database, path)
    if first is None:
        outcome.faults.append("the import did not come to its end")
        return
    outcome.imported, outcome.memory = first["seconds"], first["memory"]
    outcome.companies = first["made"]
    if first["counts"] != {"create": outcome.rows}:
        outcome.faults.append(f"not all came in: {first['counts']}")
    before = _what_stands(database)
    second = _in_a_process(database, path)
    outcome.again = second["seconds"]
    if second["counts"] != {"unchanged": outcome.rows} or _what_stands(database) != before:
        outcome.faults.append(f"the second run was not idle: {second['counts']}")


def _in_a_process(database, path, **more):
    """Import the file as a person in another process; what it says of itself, or None when it was killed."""
    process = _start(database, path, **more)
    said, _ = process.communicate()
    return json.loads(said.splitlines()[-1]) if process.returncode == 0 else None


def _start(database, path, **more):
    order = {"url": database.url, "home": str(database.home), "file": str(path), **more}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.prove.imports", "--import", json.dumps(order)],
        stdout=subprocess.PIPE,
        text=True,
    )


def _child(order):
    """What the process does: one import, or what waits as jobs; then it says how long and how much memory it took."""
    if "malformed" in order:
        print(json.dumps(_battery_here()))
        return 0
    from app import create_app
    from config import load_settings

    app = create_app(load_settings(DATABASE_URL=order["url"], FOYER_HOME=order["home"]))
    if order.get("jobs"):
        jobs.sweep(app)
        return 0
    started = time.monotonic()
    with app.app_context():
        outcome = _bring_in(app, Path(order["file"]))
    seconds = time.monotonic() - started
    counts = {action: number for action, number in outcome.counts.items() if number}
    made = outcome.made["company"]
    print(json.dumps({"seconds": seconds, "memory": _memory(), "counts": counts, "made": made}))
    return 0


def _bring_in(app, path):
    person = _person()
    settings = app.config["SETTINGS"]
    with access.session_for(person, door="import", why=path.name) as session:
        table = open_table(path.read_bytes(), path.name)
        mapping = importing.suggest("contact", table, importing.fields_for(session, "contact"))
        house = House.of(settings, datetime.now(UTC))
        return importing.bring_in(importing.Desk(session, table, "contact", mapping, house))


def _person():
    with access.system_session("sign in", writes=False) as session:
        key = session.scalars(select(security.User.id).where(security.User.username == PERSON)).one()
    return security.load_principal(key)


def _memory():
    """The most that this process has held, in bytes; `ru_maxrss` would tell of its parent, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _bare_sql(rows):
    """Seconds that plain executemany takes for the same rows with ledger and search entries, 1,000 at a time."""
    person, now = _person(), datetime.now(UTC)
    stamps = {
        "created_at": now,
        "updated_at": now,
        "version": 1,
        "created_by_id": person.id,
        "department_id": person.department_id,
        "owner_id": person.id,
    }
    names = list(dict.fromkeys(row["Company"] for row in rows))
    ids = {name: number for number, name in enumerate(names, start=1)}
    companies = [{"id": ids[name], "name": name, "kind": "prospect", **stamps} for name in names]
    contacts = [
        {
            "id": number,
            "first_name": row["First name"],
            "last_name": row["Last name"],
            "job_title": row["Job title"],
            "email": row["E-mail"],
            "phone": row["Phone"],
            "company_id": ids[row["Company"]],
            "street": row["Street"],
            "postal_code": row["Postal code"],
            "city": row["City"],
            "country": row["Country"],
            "birth_date": datetime.strptime(row["Date of birth"], "%Y-%m-%d").date(),
            "notes": row["Notes"],
            **stamps,
        }
        for number, row in enumerate(rows, start=1)
    ]
    work = []
    for model, values in ((Company, companies), (Contact, contacts)):
        entity = model.__tablename__
        work.append((model.__table__, values))
        work.append((Change.__table__, [_change(entity, row) for row in values]))
        work.append((SearchEntry.__table__, [search.entry_of(model, row) for row in values]))
    started = time.monotonic()
    with access.system_session("bare SQL", writes=True) as session:
        connection, options = session.connection(), {DOOR: True}
        values = {"at": now, "by_id": person.id, "door": "import", "why": "bare SQL"}
        key = connection.execute(
            insert(ChangeSet.__table__).values(values).returning(ChangeSet.id), execution_options=options
        ).scalar_one()
        for table_, values in work:
            for start in range(0, len(values), 1000):
                chunk = values[start : start + 1000]
                if table_ is Change.__table__:
                    chunk = [{**row, "change_set_id": key} for row in chunk]
                connection.execute(insert(table_), chunk, execution_options=options)
    return time.monotonic() - started


def _change(entity, row):
    shown = {
        name: [None, value if isinstance(value, str | int) else str(value)]
        for name, value in row.items()
        if name not in ("version", "updated_at")
    }
    return {
        "entity": entity,
        "record_id": row["id"],
        "root_entity": entity,
        "root_id": row["id"],
        "department_id": row["department_id"],
        "owner_id": row["owner_id"],
        "action": "add",
        "values": shown,
    }


# --------------------------------------------------------------------------------------------- killed


def kill(database, path, size, dice, outcome):
    """Kill the worker that imports, wherever it is; then let another take the job up, and look."""
    for number in range(size.kills):
        marked = Path(path).with_name(f"people{number}.csv")
        marked.write_bytes(path.read_bytes().replace(b"@firm", f"@again{number}.firm".encode()))
        before = _what_stands(database)
        key = _job(database, marked)
        with _looking_at(database):
            signs = jobs.queue().storage
        process = _start(database, marked, jobs=True)
        # Before its worker has said that it lives, a job that was killed is taken up only a minute later.
        while not isinstance(signs.peek_data(f"life-{key}"), bytes):
            time.sleep(0.02)
        # Once early, while it looks at the file, and once late, while it writes.
        share = 0.15 if number % 2 == 0 else 0.75
        time.sleep(max(0.05, outcome.imported * share * dice.uniform(0.8, 1.1)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.returncode != -signal.SIGKILL:
            outcome.faults.append("it had come to its end before it could be killed")
            continue
        outcome.killed += 1
        if _what_stands(database) != before:
            outcome.faults.append("something half done stands after the kill")
        taker = _start(database, marked, jobs=True)
        taker.communicate()
        state, attempts = _state_of(database, key)
        if state == "done" and attempts == 2:
            outcome.resumed += 1
        else:
            outcome.faults.append(f"the job is {state} after {attempts} attempts")
        after = _what_stands(database)
        are_new = before["company"] == 0  # or else all of them stand already
        if (
            after["contact"] != before["contact"] + size.rows
            or (after["company"] == before["company"]) == are_new
        ):
            outcome.faults.append(f"{before} became {after}")


def _job(database, path):
    raw = path.read_bytes()
    with _looking_at(database), access.session_for(_person(), door="page") as session:
        table_ = open_table(raw, path.name)
        mapping = importing.suggest("contact", table_, importing.fields_for(session, "contact"))
        params = {"entity": "contact", "name": path.name, "mapping": mapping.as_json(), "skip_bad": False}
        return jobs.start(session, "import", "Import", params, [("upload", path.name, "text/csv", raw)]).id


def _state_of(database, key):
    with database.raw() as connection:
        return connection.execute(f"SELECT state, attempts FROM job WHERE id = {key:d}").fetchone()


def _what_stands(database):
    """How many rows every table that an import writes holds."""
    models = (Company, Contact, Change, ChangeSet, SearchEntry)
    with _looking_at(database), access.system_session("look", writes=False) as session:
        return {one.__tablename__: session.scalar(select(func.count()).select_from(one)) for one in models}


@contextmanager
def _looking_at(database):
    with databases.app_on(database) as app, app.app_context():
        yield


# --------------------------------------------------------------------------------------------- malformed


def battery():
    """Bring every kind of broken file in a process of its own, and let it say what came of them."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.prove.imports", "--import", json.dumps({"malformed": True})],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if process.returncode:
        return {"tried": len(malformed.KINDS), "refused": 0, "read": 0, "memory": 0, "faults": ["it died"]}
    found = json.loads(process.stdout.splitlines()[-1])
    if found["memory"] > MEMORY:
        found["faults"].append(f"{found['memory'] // 2**20} MB")
    return found


def _battery_here():
    found = {"tried": 0, "refused": 0, "read": 0, "faults": []}
    for kind in malformed.KINDS:
        name, content, expected = malformed.content_of(kind)
        found["tried"] += 1
        try:
            records = list(open_table(content, name).records())
        except Refused as refused:
            found["refused"] += 1
            said = str(refused)
            if not isinstance(expected, str) or expected not in said:
                found["faults"].append(f"{kind}: {said}")
        else:
            found["read"] += 1
            faulty = sum(bool(record.faults) for record in records)
            if (len(records) - faulty, faulty) != expected:
                found["faults"].append(f"{kind}: {len(records)} rows, {faulty} of them faulty")
    found["memory"] = max(_memory(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
    return found


def _version(database):
    with database.raw() as connection:
        if database.engine == "sqlite":
            return f"SQLite {connection.execute('SELECT sqlite_version()').fetchone()[0]}"
        return f"PostgreSQL {connection.execute('SHOW server_version').fetchone()[0].split()[0]}"


if __name__ == "__main__":
    sys.exit(main())
