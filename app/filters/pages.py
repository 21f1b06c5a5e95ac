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
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from time import monotonic
from typing import NamedTuple
from urllib.parse import parse_qsl, quote_plus

from sqlalchemy import (
    ARRAY,
    Integer,
    String,
    and_,
    bindparam,
    func,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from werkzeug.datastructures import MultiDict

from app import access, search
from app.extensions import N_, db
from app.filters import language
from app.filters.conditions import ANYWHERE, BY_ROW, JOINED, Asker, compiled
from app.filters.fields import FAULTS, LARGEST_ID, coerce, kind_of, natural, unknown
from app.filters.language import OPERATORS, SINGLE, WITHOUT_VALUE, BadQuery, Condition

PAGE_SIZES = (25, 50, 100, 200)
COUNT_UP_TO = 10_000  # of a list that nothing is asked of
# The same where each costs more than a step along an index: for filters and searches, and where the rule of sight has
# more to ask than the department. So many are also fetched and sorted without further thought.
FOUND_UP_TO = 1_000
STILL_MORE = 60  # seconds for which more than COUNT_UP_TO rows are taken to be more still
STEPS, STEPS_BY_ID = 5_000, 20_000  # how far a walk tests rows before all matches are sorted after all
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
    only: tuple | None = (
        None  # the ids that the words have found, where those had to be looked at; see `verified`
    )
    near: tuple = ()  # (word, the known words it may mean): for a search that finds nothing as typed
    is_common: bool = False  # its words are found in more rows than can be fetched
    known: dict = field(default_factory=dict, compare=False, repr=False)  # its conditions, once compiled

    @property
    def column(self):
        return self.sort.removeprefix("-")

    @property
    def is_downwards(self):
        return self.sort.startswith("-")

    @property
    def asks_something(self):
        return self.tree is not None or bool(self.words) or self.only is not None


@dataclass(frozen=True)
class Page:
    """One page of an answer. `total` counts no further than one more than `most_counted`, and is None where nobody
    counted: of a search in its own order, while there is more to come. `query` is what was meant.
    """

    rows: list
    has_more: bool
    total: int | None
    query: Query


# --------------------------------------------------------------------------------------------- reading and writing


def parse(model, args, *, asker=None, principal=None, default_sort="-id", sortable=None):
    """Read a URL's parameters (a MultiDict); raises BadQuery for the first that makes no sense.

    `column.operator=value` and `where=` are filters, all of which hold; other names are left alone. Who has only a
    principal, and no `asker`, gets neither relative dates nor custom fields.
    """
    asker = asker or Asker(principal)
    found = [_simple(key, text) for key, text in args.items(multi=True) if "." in key and text.strip()]
    found += [part for text in args.getlist(WHERE) for part in language.parts_of(language.read(text))]
    tree = language.group("and", found)
    if sum(1 for _ in language.leaves(tree)) > language.MOST_CONDITIONS:
        raise BadQuery(N_("That is more than can be asked for at once."))
    words = args.get(WORDS, "").strip()
    # What is found is told newest first, unless another order is asked for: most searches end on the first page.
    sort = args.get(SORT, "") or ("-id" if words else default_sort)
    if sort.removeprefix("-") not in (sorts_of(model, asker.principal) if sortable is None else sortable):
        raise BadQuery(N_("The list cannot be ordered by “%(name)s”."), name=sort[:60])
    if "\x00" in words:
        raise BadQuery(N_("The search holds a character that cannot be searched."))
    after = _cursor(model, sort, args.get(AFTER, ""))
    query = Query(tree, words[:LONGEST_SEARCH], sort, after, _size(args.get(SIZE, "")), asker)
    conditions(model, replace(query, words=""))  # says what is wrong with it, before anything is asked
    return query


def from_text(model, text, asker, *, default_sort="-id", sortable=None):
    """The query that a stored text means: what `text_of` wrote, or any list's address behind its "?"."""
    args = MultiDict(parse_qsl(text, keep_blank_values=True))
    return parse(model, args, asker=asker, default_sort=default_sort, sortable=sortable)


def text_of(query):
    """A query as the canonical text that is stored and compared: filters, words and order, but no page."""
    return encoded(parameters_of(query))


def encoded(pairs):
    """`urlencode`, for a page that writes the same names and values again and again."""
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)


_quoted = lru_cache(maxsize=4096)(quote_plus)


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


def sorts_of(model, principal=None):
    """The columns by which rows can be ordered: those with an index; any plain one of a small table.

    None of them is hidden from the principal: their order would tell of them.
    """
    hidden = frozenset() if principal is None else principal.hidden(model.__tablename__)
    if model.__sight__ == "scoped":
        return {"id", *model.__sorts__} - hidden
    return {column.name for column in model.__table__.c if kind_of(column) not in (None, "link")} - hidden


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
        if type(key) is not int or not 0 <= key <= LARGEST_ID or isinstance(value, list | dict):
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


def conditions(model, query, way=ANYWHERE, most=None):
    """What a row must fulfil, as a list of conditions; a search may stop at `most` matches, whoever sees them."""
    known = (model, query.tree, way)
    if known not in query.known:
        query.known[known] = compiled(model, query.tree, query.asker, way)
    found = list(query.known[known])
    if query.only is not None:
        found.append(model.id.in_(query.only))
    if query.words:
        if search.is_doubtful(query.asker.principal, model, query.words):
            raise access.Unsighted("these words may stand in hidden columns: `verified` comes first")
        reach = access.reach(query.asker.principal, model)
        is_by_row, near = way == BY_ROW or query.is_common, dict(query.near)
        how = {"by_row": is_by_row, "departments": reach.departments or None, "most": most}
        holds = search.matching(model, query.words, near=near, **how)
        if reach.shared is not None and not is_by_row:
            holds = or_(holds, _shared_matching(model, query, reach))
        found.append(holds)
    return found


def _shared_matching(model, query, reach):
    """That a row is one of the few that are shared, and holds the words: the index is not asked for them."""
    by_row = search.matching(model, query.words, near=dict(query.near), by_row=True)
    return and_(model.id.in_(reach.shared), by_row)


def select_ids(model, query, way=ANYWHERE):
    """The SELECT of the ids of all that match, in no order."""
    return select(model.id).where(*conditions(model, query, way))


def settled(session, model, query):
    """The query as it was meant: with the words that misspelt ones may mean, when nothing is found as typed."""
    query = verified(session, model, query)
    if not query.words or query.near or session.scalar(select_ids(model, query).limit(1)) is not None:
        return query
    return _as_meant(session, query)


def verified(session, model, query):
    """The query with the ids of what its words find, where they may stand in what is hidden from who asks."""
    if not query.words or not search.is_doubtful(query.asker.principal, model, query.words):
        return query
    ids, near = search.verified(session, model, query.words, dict(query.near)), query.near
    if not ids and not near:
        near = _as_meant(session, query).near
        ids = search.verified(session, model, query.words, dict(near)) if near else ()
    return replace(query, words="", only=ids, near=near, known={})


def count(model, query, *, exactly=False):
    """The SELECT that counts, but no further than one more than `most_counted` unless `exactly`."""
    if not query.asks_something:
        reach = access.reach(query.asker.principal, model)
        apart = reach if reach.shared is not None and reach.departments and reach.is_exact else None
        return _count_all(model, None if exactly else most_counted(model, query) + 1, apart)
    some = select_ids(model, query, JOINED)
    if not exactly:
        some = some.limit(most_counted(model, query) + 1)
    return select(func.count()).select_from(some.subquery())


@lru_cache(maxsize=256)
def _count_all(model, most, apart=None):
    """The SELECT that counts the rows of a model; kept, as it runs sooner. `apart` is the reach of one with whom some
    are shared: his departments' rows are counted along their index, those few beside it. He sees all of them."""
    if apart is None:
        return select(func.count()).select_from(select(model.id).limit(most).subquery())
    row = model.__table__.c
    is_home = row.department_id.in_(apart.departments)
    home = access.vouched(select(row.id).where(is_home).limit(most)).subquery()
    away = access.vouched(select(row.id).where(~is_home, row.id.in_(apart.shared)).limit(most)).subquery()
    both = union_all(select(home.c.id), select(away.c.id)).limit(most).subquery()
    return select(func.count()).select_from(both)


def most_counted(model, query):
    """How far the rows of an answer are counted."""
    is_plain = not query.asks_something and access.reach(query.asker.principal, model).is_exact
    return COUNT_UP_TO if is_plain else FOUND_UP_TO


def page(model, query):
    """The SELECT of one page and one row more as entities, in one plain statement: for small answers."""
    statement = select(model).where(*conditions(model, query))
    if query.after is not None:
        statement = statement.where(_beyond(model, query, _key(model, query.column), model.id))
    key = _key(model, query.column)
    return statement.order_by(key.is_(None), *_directed(query, key, model.id)).limit(query.size + 1)


def _as_meant(session, query):
    near = search.near(session, query.words)
    return replace(query, near=tuple((word, tuple(ways)) for word, ways in near.items()))


# --------------------------------------------------------------------------------------------- one page


def fetch(session, model, query, *what, options=(), exactly=False):
    """One page, as rows of `what`: columns, the id among them, or else entities. `exactly` counts to the end.

    `options` are those of the SELECT that reads the rows: which links come along.
    """
    what, total, ids = What(what or (model,), options), None, None
    query = verified(session, model, query)
    reach = access.reach(query.asker.principal, model)
    if reach.departments == () and reach.shared is None:
        return Page([], False, 0, query)
    if query.column == "id" and _is_search_alone(model, query):
        return _searched(session, model, query, reach, what, exactly)
    if query.asks_something:
        query, ids, total = _few(session, model, query)
    rows = _walked(session, model, query, what) if ids is None else _rows(session, model, what, ids)
    if query.after is None and len(rows) <= query.size:
        total = len(rows)
    if total is None or (exactly and total > most_counted(model, query)):
        total = _total(session, model, query, exactly)
    return Page(rows[: query.size], len(rows) > query.size, total, query)


def _walked(session, model, query, what):
    """The rows of the page, and one more, along the index of the order."""
    border = _border(session, model, query) if query.asks_something else None
    rows = _walk(session, model, query, what, border)
    if border is not None and len(rows) <= query.size:  # not soon enough after all
        rows = _rows(session, model, what, _sorted(session, model, query, None)[0])
    return rows


def _total(session, model, query, exactly):
    """How many match. That there are more than are counted stays so for a while: no page counts them anew."""
    reach, most = access.reach(query.asker.principal, model), most_counted(model, query)
    is_plain = not query.asks_something and reach.is_exact and reach.shared is None and not exactly
    what = (db.engine.url, model, reach.departments, most)
    if is_plain and monotonic() - _more.get(what, -STILL_MORE) < STILL_MORE:
        return most + 1
    total = session.scalar(count(model, query, exactly=exactly))
    if is_plain and total > most:
        _more[what] = monotonic()
    return total


_more = {}  # what was last counted to no end -> when


class What(NamedTuple):
    """What is read of the rows of a page."""

    columns: tuple
    options: tuple = ()

    @property
    def is_entity(self):
        return len(self.columns) == 1 and isinstance(self.columns[0], type)

    def tells(self, name):
        """Whether the rows hold this column, by which they can be put in order."""
        return self.is_entity or any(one.key == name for one in self.columns)

    def read(self, session, statement, values=None):
        """The rows of a statement that selects the columns."""
        statement = statement.options(*self.options) if self.options else statement
        return list(
            session.scalars(statement, values) if self.is_entity else session.execute(statement, values)
        )


def _searched(session, model, query, reach, what, exactly):
    """The page of a search in its own order, which is counted no further than it is shown, unless `exactly`."""
    rows = _soon_found(session, model, query, reach, what)
    if rows is None:
        query, ids = _first_found(session, model, query)
        rows = _walked(session, model, query, what) if ids is None else _rows(session, model, what, ids)
    has_more, total = len(rows) > query.size, None
    if query.after is None and not has_more:
        total = len(rows)
    elif exactly or not has_more:
        total = session.scalar(count(model, query, exactly=exactly))
    return Page(rows[: query.size], has_more, total, query)


def _soon_found(session, model, query, reach, what):
    """The rows of the page, and one more, of words that are met again and again; else None."""
    if reach.departments == ():
        return None
    last, most = query.after and query.after[1], query.size + 1
    how = {"near": dict(query.near), "departments": reach.departments, "after": last}
    walk = search.newest(model, query.words, is_upwards=not query.is_downwards, most=most, **how)
    if walk is None:
        return None
    ids, values = walk
    if reach.shared is None:
        rows = what.read(session, _those(model, what.columns, ids), values)
        return sorted(rows, key=attrgetter("id"), reverse=query.is_downwards) if len(rows) == most else None
    found = session.connection().scalars(ids, values, execution_options={access.DOOR: True}).all()
    if len(found) < most:
        return None
    found = _in_order(query, {*found, *_shared_found(session, model, query, reach, LARGEST_ID)})
    return _rows(session, model, what, found)


def _shared_found(session, model, query, reach, most):
    """The ids of those few that are shared and hold the words."""
    test, values = search.row_test(model, query.words, dict(query.near))
    return session.scalars(_shared_tested(model, reach, test), {**values, "most": most}).all()


@lru_cache(maxsize=512)
def _shared_tested(model, reach, test):
    """The statement of `_shared_found`, kept."""
    most = bindparam("most", type_=Integer)
    return select(model.id).where(model.id.in_(reach.shared), test).limit(most)


def _few(session, model, query):
    """(the query as it was meant, ids of the page or None when too many match, how many do)."""
    query, ids, total = _counted(session, model, query)
    if total == 0 and query.words and not query.near and (meant := _as_meant(session, query)).near:
        return _few(session, model, meant)
    return query, ids, total


def _first_found(session, model, query):
    """(the query as it was meant, ids of the page and one more or None when the index finds too many, in no order)."""
    last = query.after and query.after[1]
    found, in_order = _found(session, model, query, first=query.size + 1, after=last)
    if not found and not query.near:
        is_behind_all = last is not None and _found(session, model, query, first=1)[0]
        if not is_behind_all and (meant := _as_meant(session, query)).near:
            return _first_found(session, model, meant)
    return query, (_in_order(query, found) if in_order or len(found) <= FOUND_UP_TO else None)


def _found(session, model, query, **how):
    """(ids of what the index finds, whether those are the first in order), as in `search.found`."""
    reach = access.reach(query.asker.principal, model)
    how |= {"near": dict(query.near), "departments": reach.departments, "is_upwards": not query.is_downwards}
    found, in_order = [], False
    if reach.departments != ():
        found, in_order = search.found(session, model, query.words, most=FOUND_UP_TO + 1, **how)
    if reach.shared is not None and (in_order or len(found) <= FOUND_UP_TO):
        found = list({*found, *_shared_found(session, model, query, reach, FOUND_UP_TO + 1)})
    return found, in_order


def _in_order(query, ids):
    """Those of these ids that stand on the page, and one more, in its order."""
    ids = sorted(ids, reverse=query.is_downwards)
    if query.after is not None:
        last = query.after[1]
        ids = [key for key in ids if (key < last if query.is_downwards else key > last)]
    return ids[: query.size + 1]


def _counted(session, model, query):
    """The same as `_few`, of the words as they are."""
    ids, total, most = [], None, FOUND_UP_TO
    if query.words and not _is_search_alone(model, query):
        hits = len(_found(session, model, query)[0])
        query, total = replace(query, is_common=hits > most), (None if hits else 0)
    if not query.words or query.is_common:
        total = session.scalar(count(model, query))
    if total is None or 0 < total <= most:
        ids, total = _sorted(session, model, query, most)
    return query, (ids if total <= most else None), total


def _is_search_alone(model, query):
    """Whether everything that the index finds is seen and wanted: then one statement finds, counts and orders it."""
    return bool(query.words) and query.tree is None and access.reach(query.asker.principal, model).is_exact


def _border(session, model, query):
    """The row at which a walk is given up: (value, id) of the one so many steps on; None when it is short anyway."""
    reach = access.reach(query.asker.principal, model)
    is_in_tail = query.after is not None and query.after[0] is None
    if is_in_tail or not reach.is_one_walk:
        return None
    what = _key_and_id(model, query.column)
    ahead = _ahead(model, query.sort, reach, what, query.after is not None)
    last = {"last_value": query.after[0], "last_id": query.after[1]} if query.after else {}
    row = session.execute(ahead, {"wanted": 1, **last}).first()
    return None if row is None else tuple(row)


@lru_cache(maxsize=512)
def _ahead(model, sort, reach, what, has_last):
    """The statement of `_border`, kept."""
    steps = STEPS_BY_ID if sort.removeprefix("-") == "id" else STEPS
    return _steps(model, sort, reach, what, (), has_value=True, has_last=has_last).offset(steps)


@lru_cache(maxsize=512)
def _within(model, sort):
    """That a row does not lie beyond the border: `border_value`, `border_id`."""
    name, is_downwards = sort.removeprefix("-"), sort.startswith("-")
    number = bindparam("border_id", type_=Integer)
    if name == "id":
        return model.id >= number if is_downwards else model.id <= number
    here = tuple_(_key(model, name), model.id)
    there = tuple_(bindparam("border_value", type_=model.__table__.c[name].type), number)
    return here >= there if is_downwards else here <= there


def _sorted(session, model, query, most):
    """(ids of the page, how many match), out of all that match; `most` of them and one more are looked at."""
    key = model.id if query.column == "id" else _key(model, query.column)
    # The limit is a fence, too: without it the database might walk the index of the order after all.
    is_search_alone = most is not None and _is_search_alone(model, query)
    wanted = conditions(model, query, JOINED, most=most + 1 if is_search_alone else None)
    found = select(model.id.label("id"), key.label("key")).where(*wanted)
    found = found.limit(LARGEST_ID if most is None else most + 1).subquery()
    every = select(found.c.id, found.c.key, func.count().over().label("total")).subquery()
    page_ = select(every.c.id, every.c.total)
    if query.after is not None:
        page_ = page_.where(_beyond(model, query, every.c.key, every.c.id))
    order = [every.c.key.is_(None), *_directed(query, every.c.key, every.c.id)]
    rows = session.execute(page_.order_by(*order).limit(query.size + 1)).all()
    if not rows and query.after is not None:
        return [], session.scalar(count(model, query))
    return [row.id for row in rows], rows[0].total if rows else 0


def _walk(session, model, query, what, border=None):
    """A page along the index of the order, up to a border: first the rows with a value, then those without."""
    rows, wanted = [], query.size + 1
    tests, values = tuple(conditions(model, replace(query, words=""), BY_ROW)), {}
    if query.words:
        test, values = search.row_test(model, query.words, dict(query.near))
        tests = (*tests, test)
    is_in_tail = query.after is not None and query.after[0] is None
    if not is_in_tail:
        here = tests if border is None else (*tests, _within(model, query.sort))
        if border is not None:
            values |= {"border_id": border[1]} | ({} if query.column == "id" else {"border_value": border[0]})
        rows = _along(session, model, query, what, here, values, wanted, has_value=True)
    if border is None and len(rows) < wanted and model.__table__.c[query.column].nullable:
        rows += _along(session, model, query, what, tests, values, wanted - len(rows), has_value=False)
    return rows


def _along(session, model, query, what, tests, values, wanted, *, has_value):
    """Rows from one index: of the order alone, or of the order within each department that is reached; and those few
    that are shared."""
    reach = access.reach(query.asker.principal, model)
    is_split = not reach.is_one_walk
    last = (
        query.after if has_value or (query.after or (None,))[0] is None else None
    )  # the empty ones begin anew
    values = {**values, "wanted": wanted} | ({"last_value": last[0], "last_id": last[1]} if last else {})
    if is_split and reach.is_exact and not tests and what.tells(query.column):
        shape = {"has_value": has_value, "has_last": last is not None}
        rows = what.read(session, _merged(model, query.sort, reach, what.columns, **shape), values)
        # In the database an order might lead it along the index of the order, past all rows of the others.
        return sorted(rows, key=_place(query, has_value), reverse=query.is_downwards)
    make = _steps.__wrapped__ if query.tree is not None else _steps
    cut = (model.id,) if is_split else what.columns
    statement = make(model, query.sort, reach, cut, tests, has_value=has_value, has_last=last is not None)
    if is_split:
        return _rows(session, model, what, session.scalars(statement, values).all())
    return what.read(session, statement, values)


@lru_cache(maxsize=1024)
def _steps(model, sort, reach, what, tests, *, has_value, has_last):
    """The statement of a walk. It is kept unless there are filters: to make it takes longer than to run it.

    It takes `wanted`, how many rows, and `last_value` and `last_id` of the row after which it begins.
    """
    query = Query(sort=sort)
    key = _key(model, query.column)
    is_by_value = has_value and query.column != "id"
    if model.__table__.c[query.column].nullable:
        tests = (*tests, key.is_not(None) if has_value else key.is_(None))
    if has_last:
        tests = (*tests, _further(query, key if is_by_value else None, model.id, model))
    order = _directed(query, *([key] if is_by_value else []), model.id)
    wanted = bindparam("wanted", type_=Integer)
    departments = reach.departments
    if reach.is_one_walk:
        here = [] if departments is None else [model.department_id == (departments[0] if departments else 0)]
        return select(*what).where(*here, *tests).order_by(*order).limit(wanted)
    return _merge(query, model, key, reach, tests, order, is_by_value)


def _place(query, has_value):
    """By what rows of one page are put in its order, like the database does: texts by their code points."""
    return attrgetter(query.column, "id") if has_value else attrgetter("id")


@lru_cache(maxsize=512)
def _merged(model, sort, reach, what, *, has_value, has_last):
    """The rows of a walk through several departments where nothing else is asked, and all of them is seen; kept.

    The walk itself goes past the rule of sight, which would ask again in each department: the rows are read through
    the rule.
    """
    query, row = Query(sort=sort), model.__table__.c
    key = _collated(row[query.column])
    is_by_value = has_value and query.column != "id"
    tests = []
    if row[query.column].nullable:
        tests.append(key.is_not(None) if has_value else key.is_(None))
    if has_last:
        tests.append(_further(query, key if is_by_value else None, row.id, model))
    order = _directed(query, *([key] if is_by_value else []), row.id)
    return _those(model, what, _merge(query, row, key, reach, tests, order, is_by_value))


def _merge(query, row, key, reach, tests, order, is_by_value):
    wanted, parts = bindparam("wanted", type_=Integer), []
    places = [row.department_id == department for department in reach.departments]
    if reach.shared is not None:
        places.append(and_(row.id.in_(reach.shared), row.department_id.not_in(reach.departments)))
    for place in places:
        part = select(row.id.label("id"), key.label("key")).where(place, *tests)
        part = part.order_by(*order).limit(wanted).subquery()
        parts.append(select(part.c.id, part.c.key))
    every = union_all(*parts).subquery()
    order = _directed(query, *([every.c.key] if is_by_value else []), every.c.id)
    return select(every.c.id).order_by(*order).limit(wanted)


def _rows(session, model, what, ids):
    """The rows with these ids, in this order."""
    if not ids:
        return []
    ids, is_sqlite = list(ids), db.engine.dialect.name == "sqlite"
    asked = {"ids": json.dumps(ids) if is_sqlite else ids}
    rows = what.read(session, _by_ids(model, what.columns, is_sqlite), asked)
    place = {key: number for number, key in enumerate(ids)}
    return sorted(rows, key=lambda row: place[row.id])


@lru_cache(maxsize=512)
def _those(model, columns, ids):
    """The SELECT, in no order, of the rows whose ids this SELECT finds past the rule of sight, kept."""
    return select(*columns).where(model.id.in_(access.vouched(ids)))


@lru_cache(maxsize=512)
def _by_ids(model, columns, is_sqlite):
    """The SELECT of the rows with these `ids`, kept; they come as one value: a list of many is put in each time."""
    if not is_sqlite:
        return select(*columns).where(model.id == func.any(bindparam("ids", type_=ARRAY(Integer))))
    ids = func.json_each(bindparam("ids", type_=String)).table_valued("value")
    return select(*columns).where(model.id.in_(access.vouched(select(ids.c.value))))


@lru_cache(maxsize=512)
def _key_and_id(model, name):
    return _key(model, name), model.id


def _key(model, name):
    """The column of an order. Text goes by its code points on both engines, however a database was set up."""
    return _collated(getattr(model, name))


def _collated(column):
    return _ByCodePoints(column) if isinstance(column.type, String) else column


class _ByCodePoints(FunctionElement):
    """A text as an order reads it; which words that takes is known when the statement meets its engine."""

    inherit_cache = True

    def __init__(self, column):
        super().__init__(column)
        self.type = column.type


@compiles(_ByCodePoints)
def _by_code_points(element, compiler, **more):
    more.pop("add_to_result_map", None)  # the label around it says what it is called
    return compiler.process(element.clauses, **more)


@compiles(_ByCodePoints, "postgresql")
def _by_code_points_there(element, compiler, **more):
    return f'{_by_code_points(element, compiler, **more)} COLLATE "C"'


def _directed(query, *keys):
    return [key.desc() for key in keys] if query.is_downwards else list(keys)


def _further(query, key, number, model, last=(None, None)):
    """That a row comes after the last one of the page before; without a key, by the id alone."""
    last_id = bindparam("last_id", last[1], type_=Integer)
    if key is None:
        return number < last_id if query.is_downwards else number > last_id
    value = bindparam("last_value", last[0], type_=model.__table__.c[query.column].type)
    here, there = tuple_(key, number), tuple_(value, last_id)
    return here < there if query.is_downwards else here > there


def _beyond(model, query, key, number):
    """The same where the rows without a value follow in one statement with the others."""
    if query.column == "id":
        return _further(query, None, number, model, query.after)
    if query.after[0] is None:
        return and_(key.is_(None), _further(query, None, number, model, query.after))
    return or_(_further(query, key, number, model, query.after), key.is_(None))
