"""Check that the books are whole (--mend makes what is missing), or with --scope, who sees what."""

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import pairwise

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import selectinload, undefer

from app import access, create_app, search
from app.audit import report, scratch, walk
from app.commands import CommandError
from app.commands.upgrade import MIGRATIONS, upgrade
from app.documents import store
from app.extensions import db
from app.models import ENTITIES, Document, Invoice, NumberSeries, SearchEntry
from app.rules import invoices, money

AT_ONCE = 500  # rows held in memory while walking a table
FAULTS_SHOWN = 100
SHOWN = 5  # problems told of each kind; the number of all is told too


@dataclass(frozen=True)
class Check:
    """One thing that must hold: a sentence, the question that yields what is wrong, perhaps its mending."""

    sentence: str
    problems: object
    mend: object = None


def add_arguments(parser):
    parser.add_argument("--mend", action="store_true", help="make missing documents and search entries")
    parser.add_argument(
        "--scope",
        action="store_true",
        help="plant canaries in a scratch copy of the database, open every page as everybody; exit code 1 on a leak",
    )
    parser.add_argument(
        "--responses", type=int, default=20_000, help="with --scope: about how many pages are opened (default 20,000)"
    )
    parser.add_argument("--only", default="", help="with --scope: only people in whose name or roles this stands")


def run(args, settings):
    if args.scope:
        return audit_scope(settings, args.responses, only=args.only)
    app = create_app(settings)
    with app.app_context():
        return 0 if all_holds(mend=args.mend) else 1


def audit_scope(settings, responses, *, say=print, **size):
    """Walk a scratch copy as everybody and print the table; 1 where something was told to whom it is not for."""
    try:
        with scratch.copy_of(settings, partial(upgrade, say=_silent)) as copy:
            app = create_app(copy.settings)
            try:
                found = report.audit(app, copy, responses=responses, say=say, **size)
            finally:
                with app.app_context():
                    db.engine.dispose()
    except (scratch.CannotCopy, walk.AuditFailed) as refused:
        raise CommandError(str(refused)) from None
    say(str(found))
    for fault in found.faults[:FAULTS_SHOWN]:
        say(f"  {fault}")
    say("Nothing was told to anybody whom it is not for." if not found.faults else f"{len(found.faults)} faults.")
    return 1 if found.faults else 0


def _silent(_line):
    pass


def all_holds(*, mend=False):
    """Print one line for each check; whether all of them hold."""
    # The second group reads tables, which must be there and as this version knows them.
    if not all([_holds(check, mend) for check in BEFORE]):
        return False
    if db.engine.dialect.name != "sqlite" and not _is_behind_the_wall():
        print(
            "note PostgreSQL's own policies do not hold: DATABASE_URL is the owner of the tables, so that sight "
            "rests on the application alone (docs/operations.md)."
        )
        return all([_holds(check, mend) for check in CHECKS])
    walls = () if db.engine.dialect.name == "sqlite" else (BEHIND_THE_WALL,)
    return all([_holds(check, mend) for check in (*walls, *CHECKS)])


def _holds(check, mend):
    mended = 0
    if mend and check.mend:
        mended = check.mend()
    problems = list(check.problems())
    note = f" ({mended} mended)" if mended else ""
    print(f"{'FAIL' if problems else 'ok  '} {check.sentence}{note}", flush=True)
    for problem in problems[:SHOWN]:
        print(f"       {problem}")
    if len(problems) > SHOWN:
        print(f"       … and {len(problems) - SHOWN} more")
    return not problems


def _reading():
    return access.system_session("check", door="command", writes=False)


# --------------------------------------------------------------------------------------------- the database


def _broken_database():
    try:
        with db.engine.connect().execution_options(**{access.DOOR: True}) as connection:
            if connection.dialect.name != "sqlite":
                connection.execute(text("SELECT 1"))
                return
            for (answer,) in connection.exec_driver_sql("PRAGMA integrity_check"):
                if answer != "ok":
                    yield answer
            for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
                yield f"{table} {row} points to a row of {parent} that is not there"
    except SQLAlchemyError as error:
        yield str(getattr(error, "orig", error)).strip().splitlines()[0]


def _missing_migrations():
    wanted = set(ScriptDirectory.from_config(Config(MIGRATIONS)).get_heads())
    try:
        with db.engine.connect().execution_options(**{access.DOOR: True}) as connection:
            current = set(MigrationContext.configure(connection).get_current_heads())
    except SQLAlchemyError:
        return  # the database itself has failed its check already
    if current != wanted:
        yield f"it is at {_names(current)}, this version needs {_names(wanted)}: run `run.py upgrade`"


def _names(revisions):
    return ", ".join(sorted(revisions)) or "nothing"


# --------------------------------------------------------------------------------------------- the second wall


def _is_behind_the_wall():
    """Whether policies hold for the role that the application runs under: it does not own the tables."""
    with _reading() as session:
        owner = text("SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'company'::regclass")
        return not session.connection().scalar(owner)


def _holes_in_the_wall():
    tables = sorted(db.metadata.tables)
    with _reading() as session:
        connection = session.connection()
        for table in tables:
            if not connection.scalar(text("SELECT row_security_active(:name)"), {"name": f'"{table}"'}):
                yield f"“{table}” has no policies for this role: run `run.py upgrade`"
        if not connection.scalar(text("SELECT foyer_all('check')")):
            yield "the database does not know this installation's key: run `run.py upgrade`"


# --------------------------------------------------------------------------------------------- documents


def _issued_without_document():
    has_document = (
        select(Document.id)
        .where(Document.entity == "invoice", Document.kind == "invoice", Document.record_id == Invoice.id)
        .exists()
    )
    return select(Invoice).where(Invoice.number.is_not(None), ~has_document).order_by(Invoice.id)


def _missing_documents():
    with _reading() as session:
        for invoice in session.scalars(_issued_without_document()):
            yield f"invoice {invoice.number} has no document: run `run.py check --mend`"


def _make_documents():
    language = current_app.config["SETTINGS"].LANGUAGE
    with _reading() as session:
        missing = [invoice.id for invoice in session.scalars(_issued_without_document())]
    for invoice_id in missing:  # one transaction each: what is made stays made
        with access.system_session("a missing document", door="command") as session:
            store.invoice_document(session, invoice_id, language=language)
    return len(missing)


def _changed_documents():
    with _reading() as session:
        every = select(Document).options(undefer(Document.content)).execution_options(yield_per=20)
        for document in session.scalars(every):
            if sha256(document.content).hexdigest() != document.sha256:
                yield f"{document.name} is not what was written"


# --------------------------------------------------------------------------------------------- the money


def _gaps():
    with _reading() as session:
        series = session.scalars(select(NumberSeries).where(NumberSeries.name == invoices.SERIES))
        last = {row.year: row.last for row in series}
        issued = defaultdict(list)
        by_date = select(Invoice.number, Invoice.issued_on).where(Invoice.number.is_not(None))
        for number, day in session.execute(by_date):
            issued[day.year].append((int(number.rpartition("-")[2]), day))
    for year in sorted({*last, *issued}):
        numbers = sorted(issued[year])
        taken = [number for number, _ in numbers]
        if taken != list(range(1, last.get(year, 0) + 1)):
            missing = sorted(set(range(1, last.get(year, 0) + 1)) - set(taken))
            yield f"{year}: {len(taken)} invoices, last number {last.get(year, 0)}, missing {missing[:SHOWN]}"
        for (number, day), (_, later) in pairwise(numbers):
            if later < day:
                yield f"{year}: the number after {number} is of an earlier day"


def _wrong_totals():
    with _reading() as session:
        every = select(Invoice).options(selectinload(Invoice.lines)).execution_options(yield_per=AT_ONCE)
        for invoice in session.scalars(every):
            for line in invoice.lines:
                if line.net != money.line_net(line.unit_price, line.quantity, line.discount):
                    yield f"invoice {invoice}, line {line.position}: {line.net} is not price × quantity"
            sums = money.totals(invoice.lines)
            if (invoice.net, invoice.tax, invoice.gross) != (sums.net, sums.tax, sums.gross):
                yield f"invoice {invoice}: {invoice.gross} in all, but its lines come to {sums.gross}"


# --------------------------------------------------------------------------------------------- search


def _wrong_entries():
    """(entity, id, the entry it should have) of rows whose entry is missing or says something else."""
    with _reading() as session:
        for entity, model in ENTITIES.items():
            if not model.__search__:
                continue
            pairs = (
                select(model, SearchEntry.text, SearchEntry.id)
                .outerjoin(SearchEntry, (SearchEntry.entity == entity) & (SearchEntry.record_id == model.id))
                .execution_options(yield_per=AT_ONCE)
            )
            for row, words, number in session.execute(pairs):
                (entry,) = search.numbered([search.entry_for(row)], db.engine.dialect.name)
                if entry["text"] != words or entry.get("id", number) != number:
                    yield entity, row.id, entry


def _lost_words():
    for entity, key, _ in _wrong_entries():
        yield f"{entity} {key} is not found by its words: run `run.py check --mend`"


def _orphaned_entries():
    with _reading() as session:
        for entity, count in session.execute(
            select(SearchEntry.entity, func.count()).where(_without_row()).group_by(SearchEntry.entity)
        ):
            yield f"{count} entries of {entity} lead to nothing"


def _without_row():
    found = [
        (SearchEntry.entity == entity) & SearchEntry.record_id.in_(select(model.id))
        for entity, model in ENTITIES.items()
        if model.__search__
    ]
    condition = found[0]
    for other in found[1:]:
        condition = condition | other
    return ~condition


def _mend_entries():
    wrong = list(_wrong_entries())
    with access.system_session("search entries anew", door="command") as session:
        for entity, key, _ in wrong:
            session.execute(
                delete(SearchEntry).where(SearchEntry.entity == entity, SearchEntry.record_id == key)
            )
        orphans = session.execute(delete(SearchEntry).where(_without_row())).rowcount
        if wrong:
            session.execute(insert(SearchEntry), [entry for _, _, entry in wrong])
        if wrong or orphans:
            search.read_anew(session)
    return len(wrong) + orphans


BEFORE = (
    Check("The database is whole.", _broken_database),
    Check("The tables are those of this version.", _missing_migrations),
)
BEHIND_THE_WALL = Check(
    "PostgreSQL itself keeps from the application's role what nobody entered may see.", _holes_in_the_wall
)
CHECKS = (
    Check("Every issued invoice has its document.", _missing_documents, _make_documents),
    Check("Every document is what was written.", _changed_documents),
    Check("Invoice numbers have no gap and follow the dates.", _gaps),
    Check("Every invoice is the sum of its lines.", _wrong_totals),
    Check("Every record is found by its words.", _lost_words, _mend_entries),
    Check("Every search entry leads to a record.", _orphaned_entries, _mend_entries),
)
