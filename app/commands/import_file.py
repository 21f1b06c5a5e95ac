"""The part of `import` that brings in one file of records, over the same core as the wizard."""

import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from sqlalchemy import select

from app import access, create_app, security
from app.commands import CommandError
from app.commands.upgrade import upgrade
from app.exchange import importing
from app.exchange.files import Choice, limits, open_table
from app.exchange.importing import House
from app.exchange.importing.lookups import New
from app.exchange.importing.mapping import MISSING, MODES
from app.exchange.importing.targets import TARGETS
from app.exchange.reading import Refused, in_general
from app.models import Department
from app.rules import RuleBroken
from config import BASE, languages

SHOWN = 20  # rows on the screen


def add_arguments(parser):
    parser.add_argument("--entity", choices=TARGETS, help="what the rows are")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="HEADER=FIELD",
        help="where a column goes; an empty field leaves it out; what is not said is suggested",
    )
    parser.add_argument("--match", metavar="FIELD,…", help="by what the same record is known, e.g. email")
    parser.add_argument("--mode", choices=MODES, help="create, update or both (default)")
    parser.add_argument("--missing", action="append", default=[], metavar="FIELD=" + "|".join(MISSING))
    parser.add_argument("--dates", choices=("dmy", "mdy", "ymd"), help="order of day, month and year")
    parser.add_argument("--decimal", choices=(".", ","), help="decimal mark")
    parser.add_argument("--clear", metavar="TEXT", help="what a cell holds that means: empty this")
    parser.add_argument("--empty-clears", action="store_true", default=None, help="empty cells mean it, too")
    parser.add_argument("--source", metavar="NAME", help="from which system foreign ids are")
    parser.add_argument("--encoding", help="of a text, where it is guessed wrongly")
    parser.add_argument("--delimiter", help="of a text, where it is guessed wrongly")
    parser.add_argument("--sheet", help="of a workbook (default: the first that holds something)")
    parser.add_argument("--header-row", type=int, help="where the header stands; 0: there is none")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, store nothing")
    parser.add_argument("--skip-bad", action="store_true", help="take the good rows, not all or nothing")
    parser.add_argument("--refused", type=Path, metavar="FILE", help="where refused rows are written")
    parser.add_argument("--as", dest="user", metavar="USER", help="with whose rights (default: the system's)")


def run(args, settings):
    path = Path(args.what)
    if args.entity is None:
        raise CommandError("Say what the rows are: --entity " + "|".join(TARGETS))
    raw = _read(path)
    app = create_app(settings)
    upgrade(app, say=partial(print, flush=True))
    with app.app_context():
        try:
            return _run(app, args, path, raw)
        except Refused as refused:
            for refusal in refused.report.refusals[:SHOWN]:
                print(refusal, file=sys.stderr)
            raise CommandError(f"Nothing was imported from {path}; the database is as it was.")
        except RuleBroken as broken:
            raise CommandError(str(broken))
        except access.WriteRefused as refused:
            raise CommandError(f"Nothing was imported from {path}: {refused}")


def _run(app, args, path, raw):
    console = Console(soft_wrap=True, highlight=False)
    choice = Choice(args.encoding, args.delimiter, args.sheet, args.header_row)
    table = open_table(raw, path.name, choice)
    session_as = partial(_session_as, args.user, f"Import: {path.name}"[:300])
    with session_as(writes=False) as session, ExitStack() as stack:
        mapping = _mapping(session, table, args)
        house = House.of(
            app.config["SETTINGS"],
            datetime.now(UTC),
            languages=languages(),
            catalogues=str(BASE / "app" / "translations"),
            department_id=_department(session, args) if args.user is None else None,
        )
        _show_file(console, table, mapping)
        desk = importing.Desk(session, table, args.entity, mapping, house)
        if args.dry_run:
            return _dry_run(console, desk)

        def begin():
            return stack.enter_context(session_as(writes=True))

        with _bar(console) as step:
            outcome = importing.bring_in(desk, begin, skip_bad=args.skip_bad, progress=step)
    _show_counts(console, outcome.counts, outcome.made["company"])
    if outcome.refused_file:
        target = args.refused or Path(f"{path.stem}-refused.csv")
        target.write_bytes(outcome.refused_file)
        for message, number in outcome.reasons.most_common(SHOWN):
            console.print(f"{number:,} × {in_general(message)}", markup=False)
        print(f"The refused rows, with the reasons: {target}", file=sys.stderr)
    if not outcome.is_stored:
        raise CommandError(f"Nothing was imported from {path}; --skip-bad takes the good rows.")
    if args.user is None or access.principal_of(session).may("add", "import_mapping"):
        with session_as(writes=True) as session:
            importing.remember(session, args.entity, table, mapping)
    return 0


def _read(path):
    try:
        if path.stat().st_size > limits.FILE_BYTES:
            raise CommandError(f"{path} has more than {limits.FILE_BYTES // 2**20} MB.")
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.")


@contextmanager
def _session_as(username, why, *, writes):
    """A session of this colleague, or of the system itself."""
    if username is None:
        with access.system_session(why, door="import", writes=writes) as session:
            yield session
        return
    with access.system_session("who imports", writes=False) as session:
        query = select(security.User.id).where(security.User.username == username)
        key = session.scalars(query).first()
    principal = security.load_principal(key) if key is not None else None
    if principal is None:
        raise CommandError(f"There is no active account “{username}”.")
    with access.session_for(principal, door="import", why=why, writes=writes) as session:
        yield session


def _department(session, args):
    key = session.scalars(select(Department.id).where(Department.name == args.department)).first()
    if key is None:
        raise CommandError(f"There is no department “{args.department}”; name one with --department.")
    return key


def _mapping(session, table, args):
    """What was used last for files of this shape, or what suits best, with what was said."""
    fields = importing.fields_for(session, args.entity)
    mapping = importing.remembered(session, args.entity, table, fields)
    mapping = mapping or importing.suggest(args.entity, table, fields)
    columns = {**mapping.columns, **dict(_pair(text) for text in args.map)}
    columns = {header: name for header, name in columns.items() if name}
    said = {
        "mode": args.mode,
        "dates": args.dates,
        "decimal": args.decimal,
        "clear": args.clear,
        "empty_clears": args.empty_clears,
        "source": args.source,
        "match": tuple(args.match.split(",")) if args.match else None,
        "missing": {**mapping.missing, **dict(_pair(text) for text in args.missing)},
    }
    if args.map and not args.match and not set(mapping.match) <= set(columns.values()):
        said["match"] = importing.suggested_match(args.entity, columns)
    return mapping.but(columns=columns, **{name: value for name, value in said.items() if value is not None})


def _pair(text):
    name, sign, value = text.rpartition("=")
    if not sign:
        raise CommandError(f"“{text}” should read NAME=VALUE.")
    return name, value


# --------------------------------------------------------------------------------------------- on the screen


@contextmanager
def _bar(console):
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("rows", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show_file(console, table, mapping):
    facts = [table.format, table.encoding, table.sheet, f"header in row {table.header_row}"]
    if table.delimiter:
        facts.append(f"delimiter {table.delimiter!r}")
    console.print(f"{table.name}: " + ", ".join(fact for fact in facts if fact))
    for note in table.notes:
        console.print(f"Note: {note}")
    shown = Table("Column", "goes into")
    for header in table.headers:
        shown.add_row(header, mapping.columns.get(header, "–"))
    console.print(shown)
    console.print(f"The same record is one with the same {', '.join(mapping.match)}.")


def _dry_run(console, desk):
    counts, made, shown = dict.fromkeys(importing.ACTIONS, 0), set(), 0
    for item in importing.plan(desk):
        counts[item.action] += 1
        made.update(one.name for one in item.values.values() if isinstance(one, New))
        if item.action not in ("unchanged", "skipped") and shown < SHOWN:
            shown += 1
            told = [f"{name}: {before!s} → {after!s}" for name, (before, after) in item.changes.items()]
            told = [str(reason) for reason in item.reasons] or told
            told += [f"({warning})" for warning in item.warnings]
            console.print(
                f"row {item.record.number}: {item.action} {item.name}: {'; '.join(told)}", markup=False
            )
    _show_counts(console, counts, len(made))
    console.print("A dry run: nothing was stored.")
    return 0


def _show_counts(console, counts, made):
    table = Table("Rows", Column("", justify="right"))
    for action in importing.ACTIONS:
        table.add_row(action, f"{counts.get(action, 0):,}")
    if made:
        table.add_row("new companies", f"{made:,}")
    console.print(table)
