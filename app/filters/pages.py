"""What a list is asked for, out of a URL; and its answer: one page, found by seeking, never by skipping.

A page begins behind the last row of the page before (`after`), so that page 10,000 costs what the first one does.
Rows without a value in the column of the order come last, in both directions, and are sought by themselves: an index
is walked as it is. Three ways lead to a page:

- nothing is asked: the index of the order is walked, department by department for who reaches several;
- few rows match: all of them are fetched and sorted;
- many rows match: the index of the order is walked and each row tested, because soon enough one fits.
"""

import base64
import json
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import String, and_, collate, func, literal, or_, select, tuple_, union_all
from werkzeug.datastructures import MultiDict

from app import access, search
from app.extensions import N_, db
from app.filters import conditions as _conditions
from app.filters import language
from app.filters.fields import FAULTS, LARGEST_ID, coerce, kind_of, natural, unknown
from app.filters.language import OPERATORS, SINGLE, WITHOUT_VALUE, BadQuery, Condition

PAGE_SIZES = (25, 50, 100, 200)
COUNT_UP_TO = 10_000
LONGEST_SEARCH = 200

# These parameters of a URL are no part of what is asked for: which page of it, and how it is shown.
WHERE, WORDS, SORT, AFTER, SIZE = "where", "q", "sort", "after", "size"


@dataclass(frozen=True)
class Query:
    """What a list is asked for: filters, words, order, page; and who asks."""

    tree: object = None
    words: str = ""
    sort: str = "-id"
    after: tuple | None = None
    size: int = PAGE_SIZES[1]
    asker: object = None
    near: tuple = ()  # (word, the known words it may mean): for a search that finds nothing as typed

    @property
    def column(self):
        return self.sort.removeprefix("-")

    @property
    def is_downwards(self):
        return self.sort.startswith("-")

    @property
    def asks_something(self):
        return self.tree is not None or bool(self.words)


@dataclass(frozen=True)
class Page:
    """One page of an answer. `total` counts no further than COUNT_UP_TO + 1; `query` is what was really asked."""

    rows: list
    has_more: bool
    total: int
    query: Query


# --------------------------------------------------------------------------------------------- reading and writing


def parse(model, args, *, asker=None, principal=None, default_sort="-id", sortable=None):
    """Read a URL's parameters (a MultiDict); raises BadQuery for the first that makes no sense.

    `column.operator=value` and `where=` are filters, all of which hold; other names are left alone. Who has only a
    principal, and no `asker`, gets neither relative dates nor custom fields.
    """
    asker = asker or _conditions.Asker(principal)
    found = [_simple(key, text) for key, text in args.items(multi=True) if "." in key and text.strip()]
    found += [part for text in args.getlist(WHERE) for part in language.parts_of(language.read(text))]
    tree = language.group("and", found)
    if sum(1 for _ in language.leaves(tree)) > language.MOST_CONDITIONS:
        raise BadQuery(N_("That is more than can be asked for at once."))
    sort = args.get(SORT, "") or default_sort
    if sort.removeprefix("-") not in (sorts_of(model) if sortable is None else sortable):
        raise BadQuery(N_("The list cannot be ordered by “%(name)s”."), name=sort[:60])
    words = args.get(WORDS, "").strip()
    if "\x00" in words:
        raise BadQuery(N_("The search holds a character that cannot be searched."))
    _conditions.compiled(model, tree, asker)  # says what is wrong with it, before anything is asked
    after = _cursor(model, sort, args.get(AFTER, ""))
    return Query(tree, words[:LONGEST_SEARCH], sort, after, _size(args.get(SIZE, "")), asker)


def from_text(model, text, asker, *, default_sort="-id", sortable=None):
    """The query that a stored text means: what `text_of` wrote, or any list's address behind its "?"."""
    args = MultiDict(parse_qsl(text, keep_blank_values=True))
    return parse(model, args, asker=asker, default_sort=default_sort, sortable=sortable)


def text_of(query):
    """A query as the canonical text that is stored and compared: filters, words and order, but no page."""
    return urlencode(parameters_of(query))


def parameters_of(query):
    """The parameters of a URL that ask for this, as pairs; what cannot be said simply stands in `where`."""
    pairs, rest = [], []
    for part in language.parts_of(query.tree):
        text = _simple_text(part)
        if text is None or part.parameter in dict(pairs):
            rest.append(part)
        else:
            pairs.append((part.parameter, text))
    if rest:
        pairs.append((WHERE, language.write(language.group("and", rest))))
    words = [(WORDS, query.words)] if query.words else []
    return [*words, *sorted(pairs), (SORT, query.sort)]


def sorts_of(model):
    """The columns by which rows can be ordered: those with an index; any plain one of a small table."""
    if model.__sight__ == "scoped":
        return {"id", *model.__sorts__}
    return {column.name for column in model.__table__.c if kind_of(column) not in (None, "link")}


def _simple(key, text):
    """One parameter as a condition."""
    path, _, operator = key.rpartition(".")
    if operator not in OPERATORS or not language.is_path(path):
        raise unknown(key)
    if operator in WITHOUT_VALUE:
        is_turned = text.strip() in ("0", "no")
        return Condition(path, {"empty": "filled", "filled": "empty"}[operator] if is_turned else operator)
    if operator in SINGLE:
        return Condition(path, operator, (text.strip(),))
    values = language.read_values(text) if '"' in text else tuple(one.strip() for one in text.split(","))
    if len(values) > language.MOST_VALUES:
        raise BadQuery(N_("That is more than can be asked for at once."))
    return Condition(path, operator, values)


def _simple_text(part):
    """The value of a condition as a parameter holds it, or None where only `where` can say it."""
    if not isinstance(part, Condition):
        return None
    if part.operator in WITHOUT_VALUE:
        return "yes"
    if part.operator in SINGLE:
        return part.values[0] if part.values[0] == part.values[0].strip() != "" else None
    is_plain = all(one == one.strip() != "" and not set(one) & set(',"') for one in part.values)
    return ",".join(part.values) if is_plain else language.write_values(part.values)


def _size(text):
    if not text:
        return PAGE_SIZES[1]
    size = natural(text, PAGE_SIZES[-1])
    if not size:
        raise BadQuery(
            N_("A page holds 1 to %(most)s rows, not “%(value)s”."), most=PAGE_SIZES[-1], value=text[:20]
        )
    return size


def _cursor(model, sort, text):
    """(value, id) of the row that a page comes after."""
    if not text:
        return None
    column = model.__table__.c[sort.removeprefix("-")]
    try:
        value, key = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
        if type(key) is not int or abs(key) > LARGEST_ID or isinstance(value, list | dict):
            raise ValueError(text)
        return (None if value is None else coerce(column, str(value))), key
    except (TypeError, RecursionError, *FAULTS):
        raise BadQuery(N_("There is no such page.")) from None


def cursor_after(row, query):
    """The text that names this row as the last of its page."""
    value = getattr(row, query.column)
    if isinstance(value, date | datetime):
        value = value.isoformat()
    elif isinstance(value, Decimal):
        value = str(value)
    return base64.urlsafe_b64encode(json.dumps([value, row.id]).encode()).decode().rstrip("=")


# --------------------------------------------------------------------------------------------- all that match


def conditions(model, query, *, by_row=False):
    """What a row must fulfil, as a list of conditions."""
    found = []
    if query.tree is not None:
        found.append(_conditions.compiled(model, query.tree, query.asker, by_row=by_row))
    if query.words:
        found.append(_words(model, query, by_row=by_row))
    return found


def select_ids(model, query):
    """The SELECT of the ids of all that match, in no order."""
    return select(model.id).where(*conditions(model, query))


def settled(session, model, query):
    """The query as it was meant: with the words that misspelt ones may mean, when nothing is found as typed."""
    if not query.words or query.near:
        return query
    if session.scalar(select_ids(model, query).limit(1)) is not None:
        return query
    return replace(
        query, near=tuple((word, tuple(ways)) for word, ways in search.near(session, query.words).items())
    )


def count(model, query, *, exactly=False):
    """The SELECT that counts, but no further than COUNT_UP_TO + 1 unless `exactly`."""
    some = select_ids(model, query)
    if not exactly:
        some = some.limit(COUNT_UP_TO + 1)
    return select(func.count()).select_from(some.subquery())


def page(model, query):
    """The SELECT of one page and one row more as entities, in one plain statement: for small answers."""
    statement = select(model).where(*conditions(model, query))
    key = _key(model, query)
    if query.after is not None:
        statement = statement.where(_beyond(model, query))
    return statement.order_by(key.is_(None), *_order(model, query)).limit(query.size + 1)


def _words(model, query, *, by_row):
    reach = access.reach(query.asker.principal, model)
    return search.matching(
        model, query.words, near=dict(query.near), by_row=by_row, departments=reach.departments
    )


# --------------------------------------------------------------------------------------------- one page


def fetch(session, model, query, *what):
    """One page: `what` are columns or the entity itself; the id and the column of the order come along."""
    what = what or (model,)
    if not query.asks_something:
        rows = _walk(session, model, query, what)
        total = None if query.after is not None or len(rows) > query.size else len(rows)
        if total is None:
            total = session.scalar(count(model, query))
        return _page(rows, total, query)
    query, total = _counted(session, model, query)
    if total <= COUNT_UP_TO:
        return _page(_sorted(session, model, query, what), total, query)
    return _page(_walk(session, model, query, what), total, query)


def _page(rows, total, query):
    return Page(rows[: query.size], len(rows) > query.size, total, query)


def _counted(session, model, query):
    total = session.scalar(count(model, query))
    if total == 0 and query.words and not query.near:
        near = tuple((word, tuple(ways)) for word, ways in search.near(session, query.words).items())
        if near:
            meant = replace(query, near=near)
            total = session.scalar(count(model, meant))
            return (meant if total else query), total
    return query, total


def _sorted(session, model, query, what):
    """A page out of few matches: found by what is asked, then sorted."""
    if query.column == "id":
        found = select(model.id.label("id"), literal(1).label("key"))
    else:
        found = select(model.id.label("id"), _key(model, query).label("key"))
    # The limit is a fence: without it the database might walk the index of the order after all.
    found = found.where(*conditions(model, query)).limit(2 * COUNT_UP_TO).subquery()
    key, number = found.c.key, found.c.id
    ids = select(number).order_by(*_directed(query, key.is_(None), key, number)).limit(query.size + 1)
    if query.after is not None:
        ids = ids.where(_further(query, key, number, literal(query.after[0], key.type)))
    return _rows(session, model, query, what, session.scalars(ids).all())


def _walk(session, model, query, what):
    """A page along the index of the order: first the rows with a value, then those without."""
    rows, wanted = [], query.size + 1
    key = _key(model, query)
    is_in_tail = query.after is not None and query.after[0] is None
    column = model.__table__.c[query.column]
    tests = conditions(model, query, by_row=True)
    if not is_in_tail:
        seek = []
        if query.after is not None:
            value = literal(query.after[0], column.type)
            seek = [_further(query, key, model.id, value)]
        rows = _along(session, model, query, what, [*tests, *seek], has_value=True, limit=wanted)
    if len(rows) < wanted and column.nullable:
        seek = []
        if is_in_tail:
            seek = [model.id < query.after[1] if query.is_downwards else model.id > query.after[1]]
        rows += _along(
            session, model, query, what, [*tests, *seek], has_value=False, limit=wanted - len(rows)
        )
    return rows


def _along(session, model, query, what, tests, *, has_value, limit):
    column = getattr(model, query.column)
    if model.__table__.c[query.column].nullable:
        tests = [*tests, column.is_not(None) if has_value else column.is_(None)]
    order = _order(model, query) if has_value else _directed(query, model.id)
    departments = access.reach(query.asker.principal, model).departments
    if departments is None:
        some = select(*what).where(*tests).order_by(*order).limit(limit)
        return _read(session, some, what)
    if len(departments) == 1:
        some = (
            select(*what).where(model.department_id == departments[0], *tests).order_by(*order).limit(limit)
        )
        return _read(session, some, what)
    if not departments:
        return []
    parts = []
    for department in departments:
        part = select(model.id.label("id"), _key(model, query).label("key"))
        part = part.where(model.department_id == department, *tests).order_by(*order).limit(limit).subquery()
        parts.append(select(part.c.id, part.c.key))
    every = union_all(*parts).subquery()
    wanted = [every.c.key, every.c.id] if has_value else [every.c.id]
    ids = select(every.c.id).order_by(*_directed(query, *wanted)).limit(limit)
    return _rows(session, model, query, what, session.scalars(ids).all())


def _rows(session, model, query, what, ids):
    """The rows with these ids, in this order."""
    if not ids:
        return []
    rows = _read(session, select(*what).where(model.id.in_(ids)), what)
    place = {key: number for number, key in enumerate(ids)}
    return sorted(rows, key=lambda row: place[row.id])


def _read(session, statement, what):
    is_entity = len(what) == 1 and isinstance(what[0], type)
    return list(session.scalars(statement) if is_entity else session.execute(statement))


def _key(model, query):
    """The column of the order. Text goes by its code points on both engines, however a database was set up."""
    column = getattr(model, query.column)
    is_text = isinstance(model.__table__.c[query.column].type, String)
    return collate(column, "C") if is_text and db.engine.dialect.name == "postgresql" else column


def _order(model, query):
    return (
        _directed(query, model.id) if query.column == "id" else _directed(query, _key(model, query), model.id)
    )


def _directed(query, *keys):
    """These keys, the last ones in the query's direction; a first `is_(None)` sorts the empty ones last in both."""
    turned = [key.desc() for key in keys] if query.is_downwards else list(keys)
    return turned if len(keys) < 3 else [keys[0], *turned[1:]]


def _further(query, key, number, value):
    """That a row comes after the last one of the page before; `value` is that one's, as a typed bind."""
    last_value, last_id = query.after
    if query.column == "id":
        return number < last_id if query.is_downwards else number > last_id
    if last_value is None:
        return and_(key.is_(None), number < last_id if query.is_downwards else number > last_id)
    here, there = tuple_(key, number), tuple_(value, literal(last_id))
    return here < there if query.is_downwards else here > there


def _beyond(model, query):
    key = _key(model, query)
    further = _further(query, key, model.id, literal(query.after[0], model.__table__.c[query.column].type))
    is_in_tail = query.after[0] is None
    return further if is_in_tail else or_(further, key.is_(None))
