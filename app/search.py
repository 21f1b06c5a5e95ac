"""The index of words and its questions. Every searchable record has one entry, kept up in the same transaction.

FTS5 (SQLite) and pg_trgm (PostgreSQL) only fetch candidates by their trigrams; what matches, how well, and in which
order is decided by the folded text alone, so both engines give the same answers. A sample of the index tells when not
to ask it: words that many records hold, or the records of few, are sooner looked for along the entries.
"""

import re
from collections import Counter
from functools import cache, lru_cache
from itertools import islice
from time import monotonic
from zlib import crc32

from anyascii import anyascii
from rapidfuzz.distance import OSA
from sqlalchemy import (
    Date,
    Integer,
    and_,
    bindparam,
    column,
    delete,
    event,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    table,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from app import access
from app.access import DOOR, deleted_in
from app.extensions import Session, db, history_of
from app.models import ENTITIES, SEARCH_WORDS, SearchEntry

LONGEST = 200  # letters of a search that are looked for; SQLite takes no pattern or condition of any length
MOST_WORDS = 8
VERIFIED = 1_000  # matches that are looked at once more, for who does not see all that finds a record
MOST_CANDIDATES = 10_000  # beyond that a search is answered row by row, in the order of the list
ASKED = 2  # trigrams of a word that the index is asked for: each more costs more than it spares
FEW = 1_500  # so many entries are looked through without asking the index of PostgreSQL …
FEW_OF_FTS5 = 5  # … and a fifth as many without FTS5, which passes by other departments
STEPS = 5_000  # how far a walk along the entries goes, or twice that where the sample was too hopeful
NEAREST = 8  # words that a misspelt one may mean
_LAST_ID = 2**31 - 1
_OF_DEPARTMENT = 6  # bits of an entry's number on SQLite
_DEPARTMENTS = 2**_OF_DEPARTMENT - 1
_SPELT = re.compile(r"[a-z]{4,20}")  # words whose misspellings are known: names, not numbers or addresses

_ENTRY = SearchEntry.__table__
# FTS5 beside SQLite's entries. Its column of its own name asks all columns, and takes commands.
_FTS = table("search_fts", column("rowid"), column("text"), column("search_fts"), column("rank"))


# --------------------------------------------------------------------------------------------- folding


def fold(text):
    """Lower case, no diacritics, Latin letters, single spaces: "Müller  ГмбХ" -> "muller gmbkh"."""
    return " ".join(anyascii(str(text)).casefold().split())


def digits_of(phone):
    """A phone number as digits, however it was typed: "+49 (0)30 / 123-45" -> "493012345"."""
    digits = re.sub(r"\D", "", re.sub(r"\(0\)", "", phone))
    return digits.removeprefix("00")


def text_of(values, columns):
    """What an entry says: the folded words, two blanks before each, so that a word's start has trigrams of its own.

    `values` maps the columns of a record to their values; `columns` are the table's columns that are searched.
    """
    words = []
    for one in columns:
        value = values.get(one.name)
        if value in (None, ""):
            continue
        words += fold(value).split()
        if one.info.get("format") == "phone" and (digits := digits_of(str(value))):
            words.append(digits)
    return f"  {'  '.join(words)}" if words else ""


@cache
def searched_columns(model):
    return tuple(model.__table__.c[name] for name in model.__search__)


def words_of(text):
    """The folded words of a search; a phone number is one word of digits, as the entries hold it."""
    text = text[:LONGEST]
    if re.fullmatch(r"\s*(\+|0)[\d\s()/.\-]{2,}", text):
        return [digits_of(text)]
    return fold(text).split()[:MOST_WORDS]


# --------------------------------------------------------------------------------------------- the questions


def matching(model, text, *, near=None, by_row=False, departments=None, most=None):
    """The condition that a row of `model` holds every word of `text` in its searchable columns.

    A word of one or two letters stands at the start of a word, a longer one anywhere. `near` maps a word to the words
    it may have meant. `by_row` asks for each row instead of fetching candidates: for words that most rows hold.
    `departments`, where the rows asked for are known to lie in them, spares the index the others' rows; `most` stops
    at so many of them.
    The entries are asked past the rule of sight, because nothing of them comes out but rows of `model`.
    """
    if not by_row:
        return model.id.in_(_ids(model, text, near, departments, most))
    return _by_row(model, _patterns(_ways(text, near)))


def _by_row(model, patterns):
    entry = _ENTRY.alias()
    this = entry.c.entity == model.__tablename__
    holds = _all_held(entry, patterns)
    return exists(access.vouched(select(1).where(this, entry.c.record_id == model.id, *holds)))


def found(session, model, text, *, near=None, departments=None, after=None, is_upwards=False, most, first=None):
    """(ids of records of `model` that hold the words, whoever may see them; whether those are the first in order).

    `departments` as in `matching`. Where FTS5 is asked for those of everybody, it yields them newest first, or oldest
    first: these are the `first` so many behind the id `after`. Else they are at most `most` of them, in no order.
    What is done with them goes through the rule of sight again.
    """
    ways, is_sqlite, sample = _ways(text, near), db.engine.dialect.name == "sqlite", _sample()
    are_few = departments is not None and sample.are_few(model, departments)
    grams = () if are_few else _asked(ways, sample)
    query = _fts_query(grams) if is_sqlite and not are_few else ""
    within = None if departments is None else sorted(departments)
    shape = tuple(map(len, ways))
    like = () if is_sqlite else tuple(tuple(map(len, word)) for word in grams)
    places = None if within is None else len(within)
    # Downwards FTS5 takes half as long again for each: no gain where departments leave few of them.
    in_order = bool(query) and first is not None and departments is None
    statement = _found(
        model.__tablename__, shape, db.engine.dialect.name, bool(query), places, like, in_order and (is_upwards,)
    )
    values = {**_values_of(ways), "most": first if in_order else most}
    if query:
        values |= {"query": query, **_between(model.__tablename__, after, is_upwards)}
        values |= {f"end_{number}": key & _DEPARTMENTS for number, key in enumerate(within or ())}
    values |= {f"department_{number}": key for number, key in enumerate(within or ())}
    values |= _values_of_grams(grams) if like else {}
    return session.connection().scalars(statement, values, execution_options={DOOR: True}).all(), in_order


@lru_cache(maxsize=512)
def _found(entity, shape, _dialect, has_query, places, like, order):
    """The statement of `found` for so many ways of each word, departments, and trigrams; kept, as it runs sooner."""
    entry = _ENTRY.alias()
    ids = select(entry.c.record_id).where(*_all_held(entry, _named(shape)))
    if not has_query:
        ids = ids.where(entry.c.entity == entity)
    else:  # which goes along the entries of this kind alone
        fts = _FTS.alias()
        ids = ids.join_from(fts, entry, entry.c.id == fts.c.rowid)
        ids = ids.where(fts.c.search_fts.op("MATCH")(bindparam("query")))
        low, high = (bindparam(name, type_=Integer) for name in ("low", "high"))
        ids = ids.where(fts.c.rowid > low, fts.c.rowid < high)
    if order:
        ids = ids.order_by(fts.c.rowid.asc() if order[0] else fts.c.rowid.desc())
    named = [
        [
            [bindparam(f"gram_{place}_{way}_{number}") for number in range(many)]
            for way, many in enumerate(word)
        ]
        for place, word in enumerate(like)
    ]
    ids = ids.where(*_all_like(entry, named))
    if places is not None:
        named = [bindparam(f"department_{number}", type_=Integer) for number in range(places)]
        ids = ids.where(entry.c.department_id.in_(named))
        if has_query:
            ends = [bindparam(f"end_{number}", type_=Integer) for number in range(places)]
            ids = ids.where(fts.c.rowid.op("&")(_DEPARTMENTS).in_(ends))
    return ids.limit(bindparam("most", type_=Integer))


def _between(entity, after, is_upwards):
    """The numbers between which the entries of a kind lie that come after this record: `low`, `high`."""
    low, high = number_of(entity, 0, _DEPARTMENTS), number_of(entity, _LAST_ID, _DEPARTMENTS) + 1
    if after is not None and is_upwards:
        low = number_of(entity, after, _DEPARTMENTS)
    elif after is not None:
        high = number_of(entity, after, 0)
    return {"low": low, "high": high}


def newest(model, text, *, near=None, departments=None, after=None, is_upwards=False, most):
    """(the SELECT of the ids of the next so many records that hold the words, whoever may see them; its values): newest
    first, or oldest first. Where it finds fewer, there may be more further on. None where so many surely do not lie
    near enough: then the index is the shorter way.
    """
    ways, sample = _ways(text, near), _sample()
    window = sample.window(model, departments, _patterns(ways), most)
    if window is None:
        return None
    edge = after if after is not None else 0 if is_upwards else sample.newest[model.__tablename__]
    end = edge if after is not None else _LAST_ID
    low, high = (edge, min(edge + window, _LAST_ID)) if is_upwards else (max(edge - window, 0), end)
    entity, dialect = model.__tablename__, db.engine.dialect.name
    many = None if departments is None else len(departments)
    if many is None and dialect == "sqlite":
        low, high = number_of(entity, low, _DEPARTMENTS), number_of(entity, high, 0)
    values = {**_values_of(ways), "low": low, "high": high, "most": most}
    values |= {f"department_{number}": key for number, key in enumerate(departments or ())}
    return _walk(entity, tuple(map(len, ways)), many, is_upwards, dialect), values


@lru_cache(maxsize=512)
def _walk(entity, shape, many, is_upwards, dialect):
    """The statement of `newest` for so many departments; kept. The departments are merged as far as is asked."""

    def ordered(column):
        return column.asc() if is_upwards else column.desc()

    entry, most = _ENTRY.alias(), bindparam("most", type_=Integer)
    low, high = (bindparam(name, type_=Integer) for name in ("low", "high"))
    ids = select(entry.c.record_id.label("id")).where(*_all_held(entry, _named(shape)))
    if many is None and dialect == "sqlite":  # the entries as they lie, not along an index of them
        return ids.where(entry.c.id > low, entry.c.id < high).order_by(ordered(entry.c.id)).limit(most)
    ids = ids.where(entry.c.entity == entity, entry.c.record_id > low, entry.c.record_id < high)
    if many is None:
        return ids.order_by(ordered(entry.c.record_id)).limit(most)
    parts = []
    for number in range(many):
        part = ids.where(entry.c.department_id == bindparam(f"department_{number}"))
        part = part.order_by(ordered(entry.c.record_id))
        # PostgreSQL takes each department in order only with an end in sight; SQLite would go to that end.
        part = (part.limit(most) if dialect == "postgresql" else part).subquery()
        parts.append(select(part.c.id))
    every = union_all(*parts).subquery()
    return select(every.c.id).order_by(ordered(every.c.id)).limit(most)


def row_test(model, text, near=None):
    """(`matching` by row, the values that its statement takes): the same condition for all words alike in number."""
    ways = _ways(text, near)
    return _row_test(model, tuple(map(len, ways)), db.engine.dialect.name), _values_of(ways)


@lru_cache(maxsize=512)
def _row_test(model, shape, _dialect):
    return _by_row(model, _named(shape))


def _named(shape):
    return [[bindparam(f"word_{place}_{way}") for way in range(many)] for place, many in enumerate(shape)]


def _values_of(ways):
    """The values of `_named`."""
    return {
        f"word_{place}_{way}": _pattern(word)
        for place, words in enumerate(ways)
        for way, word in enumerate(words)
    }


def _values_of_grams(grams):
    """The values of what PostgreSQL's index is asked for."""
    return {
        f"gram_{place}_{way}_{number}": f"%{gram}%"
        for place, ways in enumerate(grams)
        for way, asked in enumerate(ways)
        for number, gram in enumerate(asked)
    }


def _ids(model, text, near, departments, most):
    entry, ways = _ENTRY.alias(), _ways(text, near)
    holds = _all_held(entry, _patterns(ways))
    ids = select(entry.c.record_id).where(entry.c.entity == model.__tablename__, *holds)
    if db.engine.dialect.name == "sqlite":
        if query := _fts_query(_asked(ways)):
            fts, ends = _FTS.alias(), _between(model.__tablename__, None, False)
            ids = ids.join_from(fts, entry, entry.c.id == fts.c.rowid)
            ids = ids.where(fts.c.search_fts.op("MATCH")(query))
            ids = ids.where(fts.c.rowid > ends["low"], fts.c.rowid < ends["high"])
            if departments is not None:
                ids = ids.where(
                    fts.c.rowid.op("&")(_DEPARTMENTS).in_({key & _DEPARTMENTS for key in departments})
                )
    else:
        ids = ids.where(
            *_all_like(entry, [[[f"%{gram}%" for gram in way] for way in word] for word in _asked(ways)])
        )
    if departments is not None:
        ids = ids.where(entry.c.department_id.in_(sorted(departments)))
    return access.vouched(ids if most is None else ids.limit(most))


def _ways(text, near):
    """Each word of a search with those it may have meant."""
    return [[word, *(near or {}).get(word, ())] for word in words_of(text)]


def _patterns(ways):
    return [[_pattern(one) for one in words] for words in ways]


def _all_held(entry, patterns):
    return [or_(*(_holds(entry, one) for one in ways)) for ways in patterns]


def _all_like(entry, grams):
    """The trigrams by which PostgreSQL's index finds candidates; a word without any asks it nothing."""
    return [
        or_(*(and_(*(entry.c.text.like(gram) for gram in asked)) for asked in ways))
        for ways in grams
        if all(ways)
    ]


def is_doubtful(principal, model, text):
    """Whether a match may stand on words that are hidden from the principal: then each is looked at once more.

    A date holds digits only, so that most searches of who sees no birthdays need no second look.
    """
    hidden = principal.hidden(model.__tablename__).intersection(model.__search__)
    words = words_of(text) if hidden else ()
    has_date = any(_OF_DATES.issuperset(word) for word in words)
    return bool(words) and any(
        has_date or not isinstance(model.__table__.c[name].type, Date) for name in hidden
    )


_OF_DATES = frozenset("0123456789-./:")


def verified(session, model, text, near=None):
    """The ids of those among the newest matches whose every word stands in what the principal may see of them."""
    ways = _ways(text, near)
    found = session.scalars(_newest(model, text, VERIFIED, near))
    return tuple(row.id for row in found if _is_held(entry_for(row)["text"], ways))


def _is_held(text, ways):
    """What `_all_held` says, of a text at hand."""
    return all(any(_pattern(word) in text for word in words) for words in ways)


def matching_for(session, model, text, near=None):
    """`matching`, for whom the session works: nothing is found by words that are hidden from him."""
    if is_doubtful(access.principal_of(session), model, text):
        return model.id.in_(verified(session, model, text, near))
    return matching(model, text, near=near)


def near(session, text):
    """Word of a search -> the known words at one letter's distance, for searches that find nothing as typed.

    A word and each of it less one letter are looked up among the same of all known words (the symmetric deletes of
    Garbe's SymSpell); optimal string alignment then says how far they really are.
    """
    found = {}
    for word in words_of(text):
        if not _SPELT.fullmatch(word):
            continue
        like = select(SEARCH_WORDS.c.word).where(SEARCH_WORDS.c.variant.in_(spellings(word))).distinct()
        known = session.connection().scalars(like, execution_options={DOOR: True}).all()
        # What holds the word itself is found by it.
        close = [one for one in known if word not in one and OSA.distance(word, one, score_cutoff=1) <= 1]
        found[word] = sorted(close, key=lambda other: (other[0] != word[0], other))[:NEAREST]
    return {word: ways for word, ways in found.items() if ways}


def find(session, text, models, *, limit=20, most=200):
    """The best matches among these entities that the session's principal sees, as (score 0–100, row), best first.

    One SELECT an entity; only when none of them finds anything, misspelt words are looked up and one more each.
    """
    words = words_of(text)
    if not words:
        return []
    rows = [row for model in models for row in session.scalars(_newest(model, text, most))]
    spelt = {}
    if not rows:
        spelt = near(session, text)
        if spelt:
            rows = [row for model in models for row in session.scalars(_newest(model, text, most, spelt))]
    rows = _told_apart(session, text, rows, spelt)
    scored = [(score(words, entry_for(row)["text"], spelt), row) for row in rows]
    order = {model.__tablename__: place for place, model in enumerate(models)}
    scored.sort(key=lambda pair: (-pair[0], order[pair[1].__tablename__], -pair[1].id))
    return scored[:limit]


def _told_apart(session, text, rows, spelt):
    """Those rows that are found by what the principal sees of them."""
    principal, ways = access.principal_of(session), _ways(text, spelt)
    doubtful = {model for model in map(type, rows) if is_doubtful(principal, model, text)}
    return [row for row in rows if type(row) not in doubtful or _is_held(entry_for(row)["text"], ways)]


def _newest(model, text, most, spelt=None):
    return select(model).where(matching(model, text, near=spelt)).order_by(model.id.desc()).limit(most)


def score(words, text, near=None):
    """How well an entry's text answers the words, 0 to 100: whole words before beginnings before parts before
    misspellings, and what stands first in the record before what stands last.
    """
    held = text.split()
    total = 0.0
    for word in words:
        best = 0.0
        for place, other in enumerate(held):
            if other == word:
                value = 100
            elif other.startswith(word):
                value = 85
            elif word in other and len(word) > 2:
                value = 60
            elif any(one in other for one in (near or {}).get(word, ())):
                value = 45
            else:
                continue
            best = max(best, value - min(place, 10))
        total += best
    return round(total / len(words), 2)


def _holds(entry, pattern):
    """That the entry's text has this; letter for letter, because LIKE knows case, and signs of its own."""
    where = func.instr if db.engine.dialect.name == "sqlite" else func.strpos
    return where(entry.c.text, pattern) > 0


def _pattern(word):
    """What is looked for in the text: the word, or one or two letters at the start of a word."""
    return word if len(word) > 2 else f" {word}"


def _asked(ways, sample=None):
    """The rarest few trigrams of every word, in each of its ways: the index walks the whole list of each, and the text
    is looked at anyway.
    """
    often = (sample or _sample()).often
    return [
        [sorted(_trigrams(word), key=lambda gram: (often[gram], gram))[:ASKED] for word in words]
        for words in ways
    ]


def _trigrams(word):
    """The trigrams of a word that the index of this engine knows: PostgreSQL's has letters and digits only."""
    padded = word if len(word) > 2 else f"  {word}"[-3:]
    grams = {padded[start : start + 3] for start in range(len(padded) - 2)}
    if db.engine.dialect.name == "sqlite":
        return grams
    return {gram for gram in grams if gram.strip().isalnum() and gram.isascii()}


def _fts_query(grams):
    """What FTS5 is asked: these trigrams of every word."""
    parts = []
    for ways in grams:
        alternatives = [" AND ".join(map(_quoted, asked)) for asked in ways]
        if all(alternatives):
            parts.append("(" + " OR ".join(f"({one})" for one in alternatives) + ")")
    return " AND ".join(parts)


# --------------------------------------------------------------------------------------------- a sample of the index


class _Sample:
    """Some entries of each kind of record: how often trigrams and words are, and where the entries lie. Only a hint."""

    SPOTS, OF_EACH = 10, 50  # entries of a kind: so many in each of so many places
    GOOD_FOR = 300  # seconds
    ENOUGH = 50  # entries to judge by
    RARE = 5  # of a kind, so many in the sample may stand for a few hundred or for thousands

    def __init__(self, connection):
        self.taken_at, self._known = monotonic(), {}
        self._few = {}
        self.entries, self.newest = {}, {}  # of each kind (department, text), and the largest id of a record
        self._stands_for = {}  # entries, each of those looked at
        self.often = Counter()  # trigram -> about how many entries hold it
        for entity, model in ENTITIES.items():
            if model.__search__:
                self._look_at(connection, entity)

    def _look_at(self, connection, entity):
        this, keys = _ENTRY.c.entity == entity, _ENTRY.c.record_id
        # Two questions, which SQLite answers from the index's ends; for one with both it would read all of it.
        ends = (select(end(keys)).where(this) for end in (func.min, func.max))
        first, last = (connection.scalar(one, execution_options={DOOR: True}) for one in ends)
        if last is None:
            return
        step = max(self.OF_EACH, (last - first) // self.SPOTS + 1)
        self.newest[entity], self._stands_for[entity] = last, step / self.OF_EACH
        entries = self.entries.setdefault(entity, [])
        for start in range(first, last + 1, step):
            here = (this, keys >= start, keys <= min(start + step - 1, _LAST_ID))
            some = select(_ENTRY.c.department_id, _ENTRY.c.text).where(*here).order_by(keys).limit(self.OF_EACH)
            entries += connection.execute(some, execution_options={DOOR: True}).all()
        for _, text in entries:
            for gram in {text[start : start + 3] for start in range(len(text) - 2)}:
                self.often[gram] += self._stands_for[entity]

    def texts(self, model, departments):
        """The texts of the entries of a model, in these departments."""
        if (model, departments) not in self._known:
            entries = self.entries.get(model.__tablename__, ())
            here = [text for key, text in entries if departments is None or key in departments]
            self._known[model, departments] = here
        return self._known[model, departments]

    def are_few(self, model, departments):
        """Whether so few entries lie there that each can be looked at. A sample tells little of what is rare in it, so
        that these few are counted, as long as it is good.
        """
        if (model, departments) not in self._few:
            few = FEW // FEW_OF_FTS5 if db.engine.dialect.name == "sqlite" else FEW
            is_rare = len(self.texts(model, departments)) <= self.RARE
            self._few[model, departments] = is_rare and _count_some(model, departments, few + 1) <= few
        return self._few[model, departments]

    def window(self, model, departments, patterns, most):
        """How many ids of records a walk reaches through; None when it would not meet so many that hold the words."""
        here = self.texts(model, departments)
        holding = among = here if len(here) >= self.ENOUGH else self.texts(model, None)
        for ways in patterns:
            holding = [text for one in ways for text in holding if one in text]
        if not here or len(among) < self.ENOUGH or len(holding) * STEPS < most * len(among):
            return None
        entity = model.__tablename__
        return int(2 * STEPS * self.newest[entity] / (len(here) * self._stands_for[entity])) + 1


def _count_some(model, departments, most):
    """How many entries of a model lie in these departments, but no more than `most`."""
    here = (_ENTRY.c.entity == model.__tablename__, _ENTRY.c.department_id.in_(departments))
    some = select(literal(1)).select_from(_ENTRY).where(*here).limit(most).subquery()
    with db.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(some), execution_options={DOOR: True})




def _sample():
    """The sample of this process: taken again after some minutes."""
    kept = vars(db.engine)
    sample = kept.get("sample")
    if sample is None or monotonic() - sample.taken_at > _Sample.GOOD_FOR:
        with db.engine.connect() as connection:
            sample = kept["sample"] = _Sample(connection)
    return sample


def _quoted(text):
    return '"' + text.replace('"', '""') + '"'


# --------------------------------------------------------------------------------------------- keeping it up


def entry_for(row):
    """The values of the row's entry, or None when its table is not searchable."""
    if not type(row).__search__:
        return None
    return entry_of(type(row), {name: getattr(row, name) for name in ("id", *type(row).__search__)}, row)


def entry_of(model, values, row=None):
    """The entry of a record given by its values; `values` may hold the department, `row` does."""
    department = values.get("department_id") if row is None else getattr(row, "department_id", None)
    return {
        "entity": model.__tablename__,
        "record_id": values["id"],
        "department_id": department,
        "text": text_of(values, searched_columns(model)),
    }


def number_of(entity, record_id, department_id):
    """The number of a record's entry on SQLite, which is its place: its kind, its id (0 to 2³¹ − 1), the end of its
    department's.

    FTS5 goes along entries by their numbers. So it passes by those of other kinds, finds the newest first, and of most
    candidates from other departments nobody need look at the entry.
    """
    kind = crc32(entity.encode()) & 0xF_FFFF
    return (kind << 31 | record_id) << _OF_DEPARTMENT | ((department_id or 0) & _DEPARTMENTS)


def numbered(entries, dialect):
    """These entries as this engine stores them."""
    if dialect != "sqlite":
        return entries
    return [
        {"id": number_of(one["entity"], one["record_id"], one["department_id"]), **one} for one in entries
    ]


def put(connection, entries, *, new=False, words=None):
    """Write these entries, in place of those there were unless all their records are `new`.

    `words` are those that may be new to them, where that is known; else all. Of a record that comes twice the last
    entry counts.
    """
    if not entries:
        return
    entries = list({(entry["entity"], entry["record_id"]): entry for entry in entries}.values())
    learn(connection, words_in(entries) if words is None else words)
    if not new and len(entries) == 1 and connection.dialect.name == "sqlite":
        return _put_one_in_place(connection, *entries)
    rows, has_fts = numbered(entries, connection.dialect.name), connection.dialect.name == "sqlite"
    if has_fts and not new:
        keys = {}
        for entry in entries:
            keys.setdefault(entry["entity"], []).append(entry["record_id"])
        for entity, ids in keys.items():
            _have_forgotten(connection, entity, ids)
    connection.execute(
        insert(_ENTRY) if new else _into_place(connection.dialect.name), rows, execution_options={DOOR: True}
    )
    if has_fts:
        _have_learnt(connection, rows)


def _put_one_in_place(connection, entry):
    """What a save writes: FTS5 reads for itself which text it is to forget, while that still stands in the entry."""
    (entry,) = numbered([entry], "sqlite")
    told = {"number": entry["id"], "indexed": entry["text"]}
    stood_there = connection.execute(_ANOTHER_TEXT, told, execution_options={DOOR: True}).rowcount
    if not stood_there:
        _have_forgotten(connection, entry["entity"], [entry["record_id"]])
    connection.execute(_into_place("sqlite"), entry, execution_options={DOOR: True})
    if not stood_there:
        _have_learnt(connection, [entry])


@cache
def _into_place(dialect):
    """The statement that writes entries over those of the same records."""
    into = {"postgresql": postgresql, "sqlite": sqlite}[dialect].insert(_ENTRY)
    named = ("id", "department_id", "text") if dialect == "sqlite" else ("department_id", "text")
    fresh = {name: into.excluded[name] for name in named}
    return into.on_conflict_do_update(index_elements=["entity", "record_id"], set_=fresh)


# The same for one entry, to be said along with what else a save says: `entry_entity`, `entry_text` and so on.
_THE_ENTRY = _into_place("postgresql").values(
    {name: bindparam(f"entry_{name}") for name in ("entity", "record_id", "department_id", "text")}
)


def take(connection, entity, ids):
    """Remove the entries of these records."""
    if connection.dialect.name == "sqlite":
        _have_forgotten(connection, entity, ids)
    for chunk in _chunks(ids):
        connection.execute(_TAKEN, {"entity": entity, "ids": chunk}, execution_options={DOOR: True})


_THESE = (_ENTRY.c.entity == bindparam("entity"), _ENTRY.c.record_id.in_(bindparam("ids", expanding=True)))
_TAKEN = delete(_ENTRY).where(*_THESE)
_AS_THEY_STAND = select(_ENTRY.c.id, _ENTRY.c.text).where(*_THESE)
_INTO_FTS = insert(_FTS)
_ANOTHER_TEXT = update(_FTS).where(_FTS.c.rowid == bindparam("number")).values(text=bindparam("indexed"))


def _have_forgotten(connection, entity, ids):
    """Have FTS5 forget what stands in the entries of these records, before they go or change."""
    for chunk in _chunks(ids):
        rows = connection.execute(_AS_THEY_STAND, {"entity": entity, "ids": chunk}, execution_options={DOOR: True})
        if told := [{"rowid": row.id, "text": row.text, "search_fts": "delete"} for row in rows]:
            connection.execute(_INTO_FTS, told, execution_options={DOOR: True})


def _have_learnt(connection, entries):
    """Tell FTS5 of new entries, row by row: a statement that inserts what it selects makes FTS5 write out what it has
    gathered, each time.
    """
    told = [{"rowid": entry["id"], "text": entry["text"]} for entry in entries]
    connection.execute(_INTO_FTS, told, execution_options={DOOR: True})


def _command_fts(connection, command):
    """Tell FTS5 to empty itself ("delete-all"), or to read all entries anew ("rebuild")."""
    if connection.dialect.name == "sqlite":
        connection.execute(insert(_FTS), {"search_fts": command}, execution_options={DOOR: True})


def rebuild(session, step=lambda entity, how_many: None, *, chunk=2000):
    """Make all entries anew from the records; `step` hears of each entity and how many of its rows are done."""
    connection, options = session.connection(), {DOOR: True}
    connection.execute(delete(SEARCH_WORDS), execution_options=options)
    connection.execute(delete(_ENTRY), execution_options=options)
    _command_fts(connection, "delete-all")
    for name, model in ENTITIES.items():
        if not model.__search__:
            continue
        last, columns = 0, [model.__table__.c.id, *searched_columns(model)]
        if "department_id" in model.__table__.c:
            columns.append(model.__table__.c.department_id)
        while True:
            some = (
                select(*columns)
                .where(model.__table__.c.id > last)
                .order_by(model.__table__.c.id)
                .limit(chunk)
            )
            rows = connection.execute(some, execution_options=options).mappings().all()
            if not rows:
                break
            entries = [
                entry_of(model, dict(row)) for row in rows
            ]  # a RowMapping knows "department_id" as an id
            connection.execute(
                insert(_ENTRY), numbered(entries, connection.dialect.name), execution_options=options
            )
            learn(connection, words_in(entries))
            last = rows[-1]["id"]
            step(name, len(rows))
    read_anew(session)


def read_anew(session):
    """Have FTS5 read all entries once more, after they were changed behind its back; PostgreSQL sees for itself."""
    _command_fts(session.connection(), "rebuild")


SEGMENTS = 12  # parts of FTS5's index that a search may have to go through
_PAGES = 100  # that are merged at once: nobody waits longer than that for his turn to write


def is_scattered(session):
    """Whether FTS5 keeps its index in more parts than is good: each search opens every one of them."""
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        return False
    parts = select(func.count(func.distinct(column("segid")))).select_from(table("search_fts_idx"))
    return connection.scalar(parts, execution_options={DOOR: True}) > SEGMENTS


def gather(session, *, begin=False):
    """Have FTS5 merge some of its index into one part; returns whether there is more to do.

    https://www.sqlite.org/fts5.html#the_merge_command: a negative number begins with all parts, and when less than two
    rows were changed by it, it is done.
    """
    connection = session.connection()
    there = connection.connection.driver_connection
    before = there.total_changes
    values = {"search_fts": "merge", "rank": -_PAGES if begin else _PAGES}
    connection.execute(insert(_FTS), values, execution_options={DOOR: True})
    return there.total_changes - before >= 2


def is_stale(session):
    """Whether there are entries, but no words learnt from them: the index was written by an older Foyer."""
    connection, options = session.connection(), {DOOR: True}
    any_entry = connection.execute(select(_ENTRY.c.id).limit(1), execution_options=options).first()
    any_word = connection.execute(select(SEARCH_WORDS.c.word).limit(1), execution_options=options).first()
    return any_entry is not None and any_word is None


def spellings(word):
    """A word and what is left of it without any one letter: how those who misspell it find it."""
    return {word, *(word[:place] + word[place + 1 :] for place in range(len(word)))}


def words_in(entries):
    """Every word of these entries."""
    return {word for entry in entries for word in entry["text"].split()}


def learn(connection, words):
    """Remember words for those who misspell them."""
    options = {DOOR: True}
    fresh = []
    for chunk in _chunks(sorted(filter(_SPELT.fullmatch, words))):
        known = connection.scalars(_KNOWN_WORDS, {"words": chunk}, execution_options=options).all()
        fresh += sorted(set(chunk).difference(known))
    if fresh:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(
            dialect.insert(SEARCH_WORDS).on_conflict_do_nothing(),
            [{"variant": variant, "word": word} for word in fresh for variant in sorted(spellings(word))],
            execution_options=options,
        )


_KNOWN_WORDS = select(SEARCH_WORDS.c.word).where(
    SEARCH_WORDS.c.variant.in_(bindparam("words", expanding=True)),
    SEARCH_WORDS.c.variant == SEARCH_WORDS.c.word,
)


def _chunks(items, size=500):
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


@event.listens_for(Session, "after_flush")
def _keep_up(session, context):
    gone = [row for row in deleted_in(context) if getattr(row, "__search__", ())]
    changed = [
        row
        for row in (*session.new, *session.dirty)
        if getattr(row, "__search__", ()) and row not in gone and _is_found_by(session, row)
    ]
    if not changed and not gone:
        return
    connection = session.connection()
    for row in gone:
        take(connection, row.__tablename__, [row.id])
    fresh = [row for row in changed if row in session.new]
    kept = [row for row in changed if row not in session.new]
    put(connection, [entry_for(row) for row in fresh], new=True)
    words = {word for row in kept for word in _new_words(row)}
    if len(kept) == 1 and connection.dialect.name == "postgresql":
        learn(connection, words)
        session.say_last(_THE_ENTRY, {f"entry_{name}": value for name, value in entry_for(kept[0]).items()})
    else:
        put(connection, [entry_for(row) for row in kept], words=words)


def _new_words(row):
    """The words that this flush has brought into what changed of a row's entry."""
    columns, now, before = searched_columns(type(row)), {}, {}
    for name in _changed(row, type(row).__search__):
        now[name] = getattr(row, name)
        before[name] = next(iter(history_of(row, name).deleted or ()), None)
    return {*text_of(now, columns).split()} - {*text_of(before, columns).split()}


def _is_found_by(session, row):
    """Whether what this flush changes about a row is in its entry."""
    return row in session.new or bool(_changed(row, (*type(row).__search__, "department_id")))


def _changed(row, names):
    """Those of these columns that this flush changes."""
    state = db.inspect(row)
    return [name for name in names if name in state.committed_state and history_of(row, name).has_changes()]
