"""SQLite, PostgreSQL and plain Python give the same answers to random filters, orders, pages and searches.

    python -m tests.prove.answers [--asked N] [--seed N] [--quick]

The same house is built on both engines: companies, contacts, deals and tickets in several scripts, with tags and custom
fields. Then each random question (every operator, paths through links, "any" and "no" related record, groups; or words
cut out of what stands there, misspelt, in another script, telephone numbers) is put by several people on both, read
back from its own text, and its pages are walked to the end. Ids and their order must be the same on both engines.
A filter is also answered by a few lines of Python that walk its tree over plain dicts (`Oracle`), and that must be the
same again. Half of the questions are put with small limits, so that pages are found by walking, not by sorting.
"""

import argparse
import platform
import random
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import sqlalchemy
from sqlalchemy import select

from app import access, filters, search, security
from app.filters import pages, periods
from app.models import (
    ENTITIES,
    Company,
    Contact,
    CustomField,
    Deal,
    Department,
    Staff,
    Stage,
    Tag,
    Tagging,
    Ticket,
)
from app.rules import asking
from tests import databases

TODAY = date(2026, 3, 4)
PEOPLE = ("director", "head.sales", "rep.north", "finance", "agent")
MODELS = (Company, Contact, Deal, Ticket)
SMALL = {"COUNT_UP_TO": 30, "FOUND_UP_TO": 12, "STEPS": 40, "STEPS_BY_ID": 40}

FIRST = (
    "Anna",
    "Ärne",
    "zoë",
    "Андрей",
    "Юлия",
    "Søren",
    "İpek",
    "東京",
    "O'Neil",
    "anna",
    "Björn",
    "Łukasz",
)
LAST = (
    "Müller",
    "Mueller",
    "MÜLLER",
    "Muller",
    "de Vries",
    "Áron",
    "Zoltán",
    "Ωmega",
    "Ng",
    "Li",
    "Иванов",
    "Aaß",
)
FIRMS = (
    "Nordlicht",
    "Ångström",
    "Café Öl",
    'Quote " Ltd',
    "100% Pure_Co",
    "back\\slash",
    "Straße",
    "ООО Ромашка",
)
CITIES = ("Berlin", "berlin", "München", "Köln", "Łódź", "Ærø", None, "São Paulo", "", "Zürich")
COUNTRIES = ("Germany", "France", None, "Poland", "Österreich")
FIELDS = (
    ("company", "size", "number", []),
    ("company", "rating", "choice", ["gold", "silver", "öl"]),
    ("contact", "since", "date", []),
    ("contact", "vip", "yes_no", []),
    ("deal", "topics", "choices", ["a", "b", "ü"]),
    ("deal", "note", "text", []),
)


@dataclass
class Outcome:
    """What was asked and what differed."""

    versions: list = field(default_factory=list)
    asked: int = 0
    searched: int = 0
    pages: int = 0
    rows: int = 0
    checked: int = 0  # by the oracle
    refused: int = 0  # as they must be: they name what is hidden from whoever asks
    differences: list = field(default_factory=list)
    seconds: float = 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--asked", type=int, default=500, help="how many questions")
    parser.add_argument("--seed", type=int, default=20260304)
    parser.add_argument("--quick", action="store_true", help="the size that the tests run")
    args = parser.parse_args()
    folder = databases.start_run()
    try:
        outcome = prove(40 if args.quick else args.asked, seed=args.seed, size=1 if args.quick else 4)
    finally:
        databases.end_run(folder)
    print(table(outcome, args.seed))
    return 1 if outcome.differences else 0


def prove(asked, *, seed, size=1):
    """Put these questions on both engines."""
    outcome, started = Outcome(), time.monotonic()
    given = {}
    for engine in databases.ENGINES:
        with (
            databases.fresh_database(engine) as database,
            databases.app_on(database) as app,
            app.app_context(),
        ):
            with access.system_session("answers", door="command") as session:
                build(session, random.Random(seed), size)
                oracle = Oracle(session)
            questions = list(_questions(random.Random(seed), oracle, asked))
            given[engine] = [_answer(question, oracle, outcome) for question in questions]
            outcome.versions.append(_version(database))
    for question, one, other in zip(questions, *given.values(), strict=True):
        if one != other:
            outcome.differences.append(("engines", question, one, other))
    outcome.asked = len(questions)
    outcome.searched = sum(1 for question in questions if "q=" in question.text)
    outcome.seconds = time.monotonic() - started
    return outcome


def table(outcome, seed):
    """The outcome as a table that can be read in a report."""
    rows = [
        ("engines", ", ".join(outcome.versions)),
        ("tried (each on both)", outcome.asked),
        ("of them searches", outcome.searched),
        ("pages walked", outcome.pages),
        ("rows told", outcome.rows),
        ("checked by plain Python", outcome.checked),
        ("refused: hidden fields", outcome.refused),
        ("different", len(outcome.differences)),
        ("seconds", f"{outcome.seconds:.0f}"),
        ("seed", seed),
        ("python, sqlalchemy", f"{platform.python_version()}, {sqlalchemy.__version__}"),
    ]
    lines = [f"{name:<26}{value}" for name, value in rows]
    lines += [
        f"  {kind}: {question}: {one} | {other}" for kind, question, one, other in outcome.differences[:10]
    ]
    return "\n".join(lines)


def _version(database):
    with database.raw() as connection:
        ask = "SELECT sqlite_version()" if database.engine == "sqlite" else "SHOW server_version"
        return f"{database.engine} {connection.execute(ask).fetchone()[0]}"


# --------------------------------------------------------------------------------------------- the house


def build(session, some, size):
    """The same rows with the same ids on every engine."""
    departments = session.scalars(select(Department).order_by(Department.id)).all()
    staff = session.scalars(select(Staff).order_by(Staff.id)).all()
    stages = {
        kind: session.scalars(select(Stage).where(Stage.pipeline.has(kind=kind)).order_by(Stage.id)).all()
        for kind in ("deal", "ticket")
    }
    for entity, name, kind, choices in FIELDS:
        said = [{"value": one, "labels": {"en": one}} for one in choices]
        session.add(CustomField(entity=entity, name=name, kind=kind, labels={"en": name}, choices=said))
    tags = [Tag(name=name) for name in ("vip", "heiß", "старый")]
    session.add_all(tags)
    session.flush()

    def owned():
        person = some.choice(staff)
        own = some.random() < 0.7
        return {
            "department_id": person.department_id if own else some.choice(departments).id,
            "owner_id": person.id,
        }

    def add(rows):
        for row in rows:
            session.add(row)
            session.flush()  # one by one, so that both engines count alike
        return rows

    def maybe(value, share=0.8):
        return value if some.random() < share else None

    companies = add([_company(some, number, owned) for number in range(30 * size)])
    contacts = add([_contact(some, companies, owned, maybe) for _ in range(60 * size)])
    add([_deal(some, companies, contacts, stages["deal"], owned, maybe) for _ in range(40 * size)])
    add([_ticket(some, companies, contacts, stages["ticket"], owned, maybe) for _ in range(20 * size)])
    for rows in (companies, contacts):
        for row in rows:
            if some.random() < 0.3:
                session.add(Tagging(tag_id=some.choice(tags).id, entity=row.__tablename__, record_id=row.id))
    session.flush()


def _company(some, number, owned):
    name = some.choice(FIRMS)
    custom = {"size": some.randrange(200), "rating": some.choice(("gold", "silver", "öl"))}
    return Company(
        name=f"{name} {number}" if some.random() < 0.5 else name,
        kind=some.choice(("customer", "prospect", "supplier")),
        city=some.choice(CITIES),
        country=some.choice(COUNTRIES),
        phone=f"+49 (0)30 / {some.randrange(10_000, 99_999)}-{some.randrange(10)}",
        custom=custom if some.random() < 0.6 else None,
        **owned(),
    )


def _contact(some, companies, owned, maybe):
    custom = {"since": (TODAY - timedelta(days=some.randrange(900))).isoformat(), "vip": some.random() < 0.5}
    first, last = some.choice(FIRST), some.choice(LAST)
    return Contact(
        first_name=maybe(first),
        last_name=last,
        company_id=maybe(some.choice(companies).id),
        email=maybe(f"{search.fold(first).replace(' ', '')}@example.com", 0.5),
        city=some.choice(CITIES),
        birth_date=maybe(date(1950, 1, 1) + timedelta(days=some.randrange(20_000)), 0.6),
        custom=custom if some.random() < 0.6 else None,
        **owned(),
    )


def _deal(some, companies, contacts, stages, owned, maybe):
    custom = {"topics": some.sample(["a", "b", "ü"], 2), "note": some.choice(FIRMS)}
    return Deal(
        name=f"{some.choice(FIRMS)} {some.choice(LAST)}",
        company_id=maybe(some.choice(companies).id),
        contact_id=maybe(some.choice(contacts).id, 0.5),
        stage_id=some.choice(stages).id,
        amount=maybe(Decimal(some.randrange(100_000)) / 100),
        currency="EUR",
        opened_on=TODAY - timedelta(days=some.randrange(400)),
        expected_on=maybe(TODAY + timedelta(days=some.randrange(-60, 120))),
        custom=custom if some.random() < 0.6 else None,
        **owned(),
    )


def _ticket(some, companies, contacts, stages, owned, maybe):
    return Ticket(
        subject=f"{some.choice(LAST)}: {some.choice(FIRMS)}",
        company_id=maybe(some.choice(companies).id),
        contact_id=maybe(some.choice(contacts).id, 0.5),
        stage_id=some.choice(stages).id,
        priority=some.choice(("low", "normal", "high")),
        due_on=maybe(TODAY + timedelta(days=some.randrange(-30, 30))),
        **owned(),
    )


# --------------------------------------------------------------------------------------------- the questions


@dataclass(frozen=True)
class Question:
    """What one person asks of one list."""

    who: str
    entity: str
    text: str
    tree: object  # what the text asks for: a condition, a group, None
    has_small_limits: bool


def _questions(some, oracle, how_many):
    for number in range(how_many):
        model = some.choice(MODELS)
        sort = some.choice(("", "-")) + some.choice(("id", *model.__sorts__))
        asked = filters.Query(tree=None, sort=sort, size=some.choice((3, 7, 50)))
        if number % 4 == 0:
            asked = replace(asked, words=_words(some, oracle, model))
        if number % 4 or number % 12 == 0:
            asked = replace(asked, tree=_tree(some, oracle, model, depth=2))
        text = f"{filters.text_of(asked)}&size={asked.size}"
        yield Question(some.choice(PEOPLE), model.__tablename__, text, asked.tree, number % 2 == 0)


def _tree(some, oracle, model, depth):
    if depth and some.random() < 0.5:
        parts = [_tree(some, oracle, model, depth - 1) for _ in range(some.randrange(2, 4))]
        return filters.group(some.choice(("and", "or")), parts)
    pointing = [one for one in MODELS if f"{model.__tablename__}_id" in one.__table__.c]
    if pointing and some.random() < 0.15:
        other = some.choice(pointing)
        inner = _tree(some, oracle, other, 1) if some.random() < 0.8 else None
        return filters.Related(other.__tablename__, some.random() < 0.6, inner)
    return _leaf(some, oracle, model)


def _leaf(some, oracle, model):
    path, at = [], model
    while some.random() < 0.35 and len(path) < 2:
        links = [
            name
            for name in ("company_id", "contact_id", "stage_id", "owner_id", "department_id")
            if name in at.__table__.c
        ]
        if not links:
            break
        name = some.choice(links)
        path.append(name)
        at = ENTITIES[next(iter(at.__table__.c[name].foreign_keys)).column.table.name]
    names = [column.name for column in at.__table__.c if column.name not in ("position", "custom", "id")]
    names += [f"custom.{name}" for entity, name, _, _ in FIELDS if entity == at.__tablename__]
    names += ["tag"] if at in MODELS else []
    while True:
        name = some.choice(names)
        try:
            place = filters.resolve(at, name, filters.Asker(None, custom=oracle.custom))
        except filters.BadQuery:
            continue
        operator = some.choice(place.operators)
        return filters.Condition(
            ".".join([*path, name]), operator, _values(some, oracle, at, place, operator)
        )


def _values(some, oracle, model, place, operator):
    if operator in ("empty", "filled"):
        return ()
    how_many = 2 if operator == "between" else 1 if operator in filters.SINGLE else some.randrange(1, 3)
    if operator == "during":
        return (
            some.choice(
                ("this month", "last 30 days", "next 7 days", "last quarter", "this year", "2026-Q1")
            ),
        )
    if operator == "older":
        return (some.choice(("30 days", "3 months", "1 year")),)
    values = [_value(some, oracle, model, place) for _ in range(how_many)]
    if operator in ("has", "lacks", "starts"):
        text = values[0]
        start = 0 if operator == "starts" else some.randrange(len(text))
        cut = text[start : start + some.randrange(1, 5)].strip() or text
        values = [some.choice((cut, cut.upper(), cut.lower()))]
    if operator == "between" and place.kind in ("day", "number"):
        values = sorted(values, key=float if place.kind == "number" else None)
    return tuple(values)


def _value(some, oracle, model, place):
    """One that stands there, as a text."""
    if place.kind == "yes_no":
        return some.choice(("yes", "no"))
    if place.kind == "tag":
        return str(some.randrange(1, 5))
    if place.kind == "link" and some.random() < 0.3:
        words = {Staff: ("me", "mine", "below"), Department: ("mine", "below")}.get(place.target)
        if words:
            return some.choice(words)
    held = [oracle.value(model, row, place) for row in oracle.rows[model].values()]
    otherwise = TODAY if place.kind in ("day", "moment") else 1
    value = some.choice([one for one in held if one not in (None, "", [])] or [otherwise])
    if isinstance(value, list):
        return value[0]
    if isinstance(value, datetime):
        return value.date().isoformat()
    return str(value)


def _words(some, oracle, model):
    text = some.choice([row for row in oracle.entries[model].values() if row])
    word = some.choice(text.split())
    kind = some.randrange(6)
    if kind == 0:
        return word[:1]
    if kind == 1:
        return word[:2]
    if kind == 2 and len(word) > 5:
        place = some.randrange(len(word) - 1)
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if kind == 3:
        start = some.randrange(max(1, len(word) - 3))
        return word[start : start + 4]
    if kind == 4:
        return some.choice((*FIRST, *LAST, *FIRMS))
    return f"{word[:4]} {some.choice(text.split())[:3]}"


# --------------------------------------------------------------------------------------------- the answers


def _answer(question, oracle, outcome):
    """The ids that a walk from page to page finds, in their order; the oracle's differences are noted."""
    model = ENTITIES[question.entity]
    with _session_of(question.who) as session, _limits(SMALL if question.has_small_limits else {}):
        asker = asking.asker(session, today=TODAY)
        if _names_what_is_kept(model, question.tree, asker.principal, oracle):
            outcome.refused += 1
            return _refusal(model, question, asker, outcome)
        query = filters.from_text(model, question.text, asker)
        ids, first = [], query
        while True:
            page = filters.fetch(session, model, query, *_what(model, query))
            outcome.pages += 1
            ids += [row.id for row in page.rows]
            if not page.has_more:
                break
            query = _following(model, query, page.rows[-1])
        outcome.rows += len(ids)
        if first.words and not ids:
            return ids
        known = search.near(session, first.words) if first.words else {}
        expected = oracle.answer(session, model, first, known)
        outcome.checked += 1
        if expected != ids:
            outcome.differences.append(("oracle", question, ids, expected))
        return ids


def _names_what_is_kept(model, tree, principal, oracle):
    """Whether a question names, anywhere, a column that is hidden from whoever asks it."""
    if tree is None:
        return False
    if isinstance(tree, filters.Group):
        return any(_names_what_is_kept(model, part, principal, oracle) for part in tree.parts)
    if isinstance(tree, filters.Related):
        return _names_what_is_kept(ENTITIES[tree.entity], tree.inner, principal, oracle)
    place = filters.resolve(model, tree.path, filters.Asker(None, custom=oracle.custom))
    named = [*place.steps, *([place.column] if place.column is not None else [])]
    return any(column.name in principal.hidden(column.table.name) for column in named)


def _refusal(model, question, asker, outcome):
    """Such a question must be refused, in the words for a column that does not exist."""
    try:
        filters.from_text(model, question.text, asker)
    except filters.BadQuery as refused:
        return refused.message
    outcome.differences.append(("hidden", question, "answered", "must be refused"))
    return None


def _what(model, query):
    return [model.id] if query.column == "id" else [model.id, getattr(model, query.column)]


def _following(model, query, row):
    text = f"{filters.text_of(query)}&size={query.size}&after={filters.cursor_after(row, query)}"
    return filters.from_text(model, text, query.asker)


@contextmanager
def _session_of(username):
    with access.system_session("answers", writes=False) as session:
        user_id = session.scalars(access.select(security.User.id).filter_by(username=username)).one()
    with access.session_for(security.load_principal(user_id), door="page", writes=False) as session:
        yield session


@contextmanager
def _limits(limits):
    before = {name: getattr(pages, name) for name in limits}
    vars(pages).update(limits)
    try:
        yield
    finally:
        vars(pages).update(before)


class Oracle:
    """All rows as plain dicts, and filters answered over them without any SQL."""

    def __init__(self, session):
        self.fields = {}
        for entity, name, kind, choices in FIELDS:
            self.fields.setdefault(entity, {})[name] = _Custom(name, kind, choices)
        models = (*MODELS, Staff, Stage, Department, *_behind(Stage))
        self.rows = {model: {row.id: row.__dict__ | {} for row in _all(session, model)} for model in models}
        self.tags = {}
        for tagging in session.scalars(select(Tagging)):
            self.tags.setdefault((tagging.entity, tagging.record_id), set()).add(tagging.tag_id)
        self.entries = {
            model: {
                key: search.text_of(row, search.searched_columns(model))
                for key, row in self.rows[model].items()
            }
            for model in MODELS
        }
        self.seen, self.asker = None, None

    def custom(self, entity):
        return self.fields.get(entity, {})

    def answer(self, session, model, query, near):
        """The ids that a query means to this session's person, in their order."""
        self.asker = query.asker
        self.seen = {
            one: set(session.scalars(select(one.id))) if one.__sight__ == "scoped" else set(rows)
            for one, rows in self.rows.items()
        }
        found = [
            row
            for key, row in self.rows[model].items()
            if key in self.seen[model] and (query.tree is None or self.holds(query.tree, model, row))
        ]
        if query.words:
            as_typed = [row for row in found if self._says(model, row, query.words, {})]
            found = as_typed or [row for row in found if self._says(model, row, query.words, near)]
        found.sort(key=lambda row: row["id"], reverse=query.is_downwards)
        if query.column != "id":
            empty = [row for row in found if row[query.column] is None]
            held = [row for row in found if row[query.column] is not None]
            held.sort(key=lambda row: _order(row[query.column]), reverse=query.is_downwards)
            found = held + empty
        return [row["id"] for row in found]

    def _says(self, model, row, words, near):
        text = self.entries[model][row["id"]]
        return all(
            any((one if len(one) > 2 else f" {one}") in text for one in (word, *near.get(word, ())))
            for word in search.words_of(words)
        )

    def holds(self, tree, model, row):
        """Whether a filter holds for a row."""
        if isinstance(tree, filters.Group):
            return (all if tree.joint == "and" else any)(self.holds(part, model, row) for part in tree.parts)
        if isinstance(tree, filters.Related):
            other, link = ENTITIES[tree.entity], f"{model.__tablename__}_id"
            found = any(
                one[link] == row["id"] and (tree.inner is None or self.holds(tree.inner, other, one))
                for key, one in self.rows[other].items()
                if key in self.seen[other]
            )
            return found == tree.is_there
        place = filters.resolve(model, tree.path, filters.Asker(None, custom=self.custom))
        at = row
        for column in place.steps:
            target = ENTITIES[next(iter(column.foreign_keys)).column.table.name]
            key = at[column.name]
            at = self.rows[target].get(key) if key in self.seen[target] else None
            if at is None:
                return tree.operator in ("not", "lacks")
        return self._compare(place, at, tree)

    def value(self, model, row, place):
        """What stands at the end of a path."""
        if place.column is not None:
            return row[place.column.name]
        if place.custom is not None:
            return (row["custom"] or {}).get(place.custom.field.name)
        return self.tags.get((place.model.__tablename__, row["id"]), set())

    def _compare(self, place, row, tree):
        value, operator = self.value(place.model, row, place), tree.operator
        is_empty = value is None or value == set() or (place.kind == "text" and value == "")
        if operator in ("empty", "filled"):
            return is_empty == (operator == "empty")
        if operator in ("not", "lacks"):
            positive = replace(tree, operator="is" if operator == "not" else "has")
            return value is None or not self._compare(place, row, positive)
        if value is None:
            return False
        return getattr(self, f"_{place.kind}")(place, value, operator, [one.strip() for one in tree.values])

    def _text(self, place, value, operator, given):
        if operator == "is":
            return value in given
        held, text = _small(value, given[0]), given[0].lower()
        return held.startswith(text) if operator == "starts" else text in held

    def _choice(self, place, value, operator, given):
        return value in given

    def _several(self, place, value, operator, given):
        return any(one in value for one in given)

    def _yes_no(self, place, value, operator, given):
        return value in [one == "yes" for one in given]

    def _tag(self, place, value, operator, given):
        return any(int(one) in value for one in given)

    def _number(self, place, value, operator, given):
        return _between(operator, Decimal(str(value)), [Decimal(one) for one in given])

    def _link(self, place, value, operator, given):
        me = self.asker.principal
        ids = {int(one) for one in given if one.isdigit()} | ({me.id} if "me" in given else set())
        near = me.below if "below" in given else {me.department_id} if "mine" in given else set()
        if place.target is Staff:
            ids |= {key for key, one in self.rows[Staff].items() if one["department_id"] in near}
        elif place.target is Department:
            ids |= set(near)
        return value in ids and value in self.seen.get(place.target, {value})

    def _day(self, place, value, operator, given):
        value = date.fromisoformat(value) if isinstance(value, str) else value
        if operator == "older":
            return value < periods.ago(given[0], today=TODAY)
        if operator == "during":
            first, after = periods.period(given[0], today=TODAY)
            return first <= value < after
        return _between(
            {"after": "over", "before": "under"}.get(operator, operator), value, list(map(_day, given))
        )

    def _moment(self, place, value, operator, given):
        return self._day(place, value.astimezone(UTC).date(), operator, given)


@dataclass(frozen=True)
class _Custom:
    """A custom field as `filters.resolve` expects one."""

    name: str
    kind: str
    choices: tuple = ()
    target: str | None = None

    @property
    def field(self):
        return self


def _behind(model):
    return [
        ENTITIES[next(iter(c.foreign_keys)).column.table.name] for c in model.__table__.c if c.foreign_keys
    ][:1]


def _all(session, model):
    return session.scalars(select(model).order_by(model.id)).all()


def _order(value):
    return value.encode() if isinstance(value, str) else value


def _small(value, text):
    """A text in small letters as far as the other holds them: ASCII, and what the other says itself."""
    held = "".join(one.lower() if one.isascii() else one for one in value)
    for letter in set(text.lower()):
        if not letter.isascii() and len(letter.upper()) == 1:
            held = held.replace(letter.upper(), letter)
    return held


def _between(operator, value, given):
    first = given[0]
    return {
        "is": lambda: value in given,
        "min": lambda: value >= first,
        "max": lambda: value <= first,
        "over": lambda: value > first,
        "under": lambda: value < first,
        "between": lambda: first <= value <= given[1],
    }[operator]()


def _day(text):
    return date.fromisoformat(text)


if __name__ == "__main__":
    sys.exit(main())
