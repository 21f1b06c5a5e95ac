"""Who stands twice: what a record resembles, and a finder over everything that keeps the pairs it finds.

Three questions, one answer each. `candidates_for` is for records that are being typed or imported; `find` goes over
all that its session sees and keeps the pairs; `reasons_of` puts a kept pair's score into sentences. What blocking
lets meet is compared by `likeness`; everything is asked through the session, so nobody hears of a record that he
may not see.
"""

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from sqlalchemy import and_, bindparam, delete, exists, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from app import access, search
from app.access import DOOR
from app.extensions import N_
from app.models import Company, Contact, DuplicatePair
from app.rules import RuleBroken, blocking, likeness

# Where recall and precision together (F1) are best, on average over the made-up crowds that the weights are fitted on.
KEPT = 75  # score from which the finder keeps a pair
WARNED = 60  # score from which whoever types a record is told
AT_ONCE = 500  # ids in one statement: engines limit how many it may carry
A_FEW = 25  # records up to which the search index is asked for each; for more, everything is read once
MANY = 4000  # records above which it always is
A_QUESTION = 250  # records that are read in the time of one record's questions to the index
MOST = 60  # candidates that one question of the index brings


@dataclass(frozen=True)
class Kind:
    """How records of one entity are compared."""

    model: type
    columns: tuple
    prepare: object
    keys_of: object
    compare: object
    fields: type

    @cached_property
    def lists(self):
        """The places in a prepared record where several values stand."""
        return tuple(self.fields._fields.index(name) for name in ("mails", "phones"))

    def prepared(self, values):
        return self.prepare({**values, "company": values.get("company") or values.get("company_id")})


_ADDRESS = ("street", "postal_code", "city", "region", "country")
KINDS = {
    Contact: Kind(
        Contact,
        ("first_name", "last_name", "birth_date", "email", "phone", "mobile", "company_id", *_ADDRESS),
        likeness.person,
        blocking.keys_of_person,
        likeness.compare_people,
        likeness.Person,
    ),
    Company: Kind(
        Company,
        ("name", "vat_id", "email", "phone", "website", *_ADDRESS),
        likeness.firm,
        blocking.keys_of_firm,
        likeness.compare_firms,
        likeness.Firm,
    ),
}


@dataclass(frozen=True)
class Candidate:
    """A record that another one resembles: which, how it is called, and the likeness with its reasons."""

    id: int
    name: str
    likeness: likeness.Likeness


# --------------------------------------------------------------------------------------------- for new records


def candidates_for(session, model, rows, *, at_least=WARNED, most=5):
    """What each of these records resembles among those the session sees: a list of `Candidate`s for each, best first.

    `model` is Contact or Company; `rows` are mappings of column names to values, as a form or an import has them
    (`company` may be a name where `company_id` is not known yet). A row with an `id` is not compared with itself.
    A few rows ask the search index, at most a dozen statements each; for many, as seen from the table's size, all
    records are read once, in statements of 5,000. Rows are not compared with each other.
    """
    newcomers = Newcomers(model)
    for row in rows:
        newcomers.add(row)
    return newcomers.held_against(session, at_least=at_least, most=most)


class Newcomers:
    """Records that are to be added, laid by in little memory, to be held against all that stands already."""

    def __init__(self, model):
        self.kind = KINDS[model]
        self._rows = []  # the rows themselves, while the index may be asked for each
        self._ids, self._texts, self._keys = [], [], array("Q")

    def add(self, row):
        """One more; they are counted from 0."""
        one, position = self.kind.prepared(row), len(self._texts)
        if position < MANY:
            self._rows.append(row)
        self._ids.append(row.get("id"))
        self._texts.append(_packed(one))
        self._keys.extend({_number(key) << _POSITION | position for key in self.kind.keys_of(one)})

    def held_against(self, session, *, at_least=WARNED, most=5):
        """What each of them resembles among the records that the session sees: lists of `Candidate`s, best first."""
        found = [[] for _ in self._texts]
        pairs = self._asked(session) if self._are_few(session) else self._met(session)
        for position, (key, name, other) in pairs:
            if key == self._ids[position]:
                continue
            seen = self.kind.compare(_unpacked(self.kind, self._texts[position]), other, at_least)
            if seen:
                found[position].append(Candidate(key, name, seen))
                if len(found[position]) > 10 * most:
                    found[position] = _best(found[position], most)
        return [_best(candidates, most) for candidates in found]

    def _are_few(self, session):
        count = len(self._texts)
        if A_FEW < count <= MANY:
            return count * A_QUESTION < (session.scalar(select(func.max(self.kind.model.id))) or 0)
        return count <= A_FEW

    def _asked(self, session):
        for position, (row, text) in enumerate(zip(self._rows, self._texts, strict=True)):
            for stands in _asked(session, self.kind, row, _unpacked(self.kind, text)):
                yield position, stands

    def _met(self, session):
        """Everything is read once, and meets those with which it shares a key that not too many have."""
        keys, mask = array("Q", sorted(self._keys)), (1 << _POSITION) - 1
        for key, name, other in _read_all(session, self.kind):
            met = set()
            for number in map(_number, self.kind.keys_of(other)):
                start = bisect_left(keys, number << _POSITION)
                end = min(start + blocking.LARGE + 1, len(keys))
                end = bisect_left(keys, (number + 1) << _POSITION, start, end)
                if end - start <= blocking.LARGE:
                    met.update(entry & mask for entry in keys[start:end])
            for position in met:
                yield position, (key, name, other)


def _best(candidates, most):
    return sorted(candidates, key=lambda one: (-one.likeness.score, one.id))[:most]


def _asked(session, kind, row, one):
    """The records that the search index brings for one record: (id, name, prepared)."""
    model, ids = kind.model, set()
    for words in _questions(kind, row, one):
        found = select(model.id).where(search.matching_for(session, model, words, search.near(session, words)))
        ids.update(session.scalars(found.order_by(model.id.desc()).limit(MOST)))
    return [
        (key, name, other)
        for start in range(0, len(ids), AT_ONCE)
        for key, name, other in _read(session, kind, model.id.in_(sorted(ids)[start : start + AT_ONCE]))
    ]


def _questions(kind, row, one):
    """What the index is asked for one record, the most telling first; four questions at most."""
    questions = []
    if one.mails:
        questions.append(one.mails[0])
    if one.phones:
        questions.append(one.phones[0][-7:])
    if kind.model is Contact:
        if one.first and one.last:
            questions.append(f"{one.last} {one.first if len(one.first) > 2 else one.first[:1]}")
        if one.born:
            questions.append(str(row["birth_date"]))
        questions += [f"{one.last} {place}" for place in (one.postal, one.city) if one.last and place]
        if not questions:
            questions.append(one.last)
    else:
        longest = sorted(one.name.split(), key=len, reverse=True)
        questions.append(" ".join(longest[:2]))
        if one.vat:
            questions.append(one.vat)
        if longest and (one.postal or one.city):
            questions.append(f"{longest[0]} {one.postal or one.city}")
    return list(dict.fromkeys(question for question in questions if len(question) > 1))[:4]


def sees_all(principal, entity):
    """Whether he sees everything by which the finder compares: else he would keep its pairs by less than others do."""
    kind = next(kind for model, kind in KINDS.items() if model.__tablename__ == entity)
    return not principal.hidden(entity).intersection(kind.columns)


def _columns(session, kind):
    """What records are compared by, as far as the session's person may be shown it."""
    names = access.shown(access.principal_of(session), kind.model.__tablename__, kind.columns)
    return [getattr(kind.model, name) for name in names]


def _read(session, kind, condition):
    model = kind.model
    found = select(model.id, *_columns(session, kind)).where(condition)
    for row in session.execute(found).mappings():
        yield row["id"], _name_of(row), kind.prepared(row)


def _read_all(session, kind, *, chunk=5000):
    """Every record that the session sees, by id, in statements of `chunk`."""
    model, last = kind.model, 0
    columns = _columns(session, kind)
    while True:
        some = select(model.id, *columns).where(model.id > last).order_by(model.id).limit(chunk)
        rows = session.execute(some).mappings().all()
        for row in rows:
            yield row["id"], _name_of(row), kind.prepared(row)
        if len(rows) < chunk:
            return
        last = rows[-1]["id"]


def _name_of(row):
    if "name" in row:
        return row["name"]
    return " ".join(part for part in (row["first_name"], row["last_name"]) if part)


# --------------------------------------------------------------------------------------------- over everything


BUCKETS = (
    64  # parts in which keys and pairs are put in order, so that no more than a part is unpacked at a time
)
_POSITION = 24  # bits of a record's position: room for 16 million records


@dataclass
class Found:
    """What a run of the finder came to."""

    records: int = 0
    compared: int = 0
    pairs: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0


def find(session, model, *, now, progress=lambda done, total: None):
    """Look through every record that the session sees and keep the pairs that look like one; returns `Found`.

    Run again, it brings scores up to date and takes away what no longer looks alike. A pair that somebody called no
    duplicate stays so. Runs in time and memory that grow with the number of records, not with its square.
    """
    found = Found()
    likely = likely_pairs(session, model, found=found, progress=progress)
    keep_pairs(session, model, likely, found=found, now=now)
    return found


def likely_pairs(session, model, *, found=None, progress=lambda done, total: None, at_least=KEPT):
    """(id, id) -> `Likeness` of all pairs that look like one, those included that only a third record links."""
    kind, found = KINDS[model], found or Found()
    total = session.scalar(select(func.count(model.id)))
    ids, texts, keys = array("q"), [], [array("Q") for _ in range(BUCKETS)]
    orders = []
    for key, _name, one in _read_all(session, kind):
        position = len(ids)
        ids.append(key)
        texts.append(_packed(one))
        orders.append(blocking.order_of(one))
        for entry in set(kind.keys_of(one)):
            number = _number(entry)
            keys[number % BUCKETS].append(number << _POSITION | position)
        if position % 1000 == 999:
            progress(position // 2, total)  # reading is half of the work
    ranks = _ranks(orders)
    del orders
    pairs = _candidates(keys, ranks, len(ids))
    found.records, found.compared = len(ids), 0
    likely = {}
    for number, bucket in enumerate(pairs):
        for pair in sorted(set(bucket)):
            one, other = pair >> _POSITION, pair & (1 << _POSITION) - 1
            seen = kind.compare(_unpacked(kind, texts[one]), _unpacked(kind, texts[other]), at_least)
            found.compared += 1
            if seen:
                likely[ids[one], ids[other]] = seen
        progress(total // 2 + (total - total // 2) * (number + 1) // BUCKETS, total)
    link_thirds(
        likely,
        lambda pair: kind.compare(*(_unpacked(kind, texts[bisect_left(ids, key)]) for key in pair)),
        at_least,
    )
    return likely


def link_thirds(likely, compare, at_least=KEPT):
    """Add the pairs that only a third record links, unless something says plainly that they are two."""
    for pair in list(_through_thirds(likely)):
        seen = compare(pair)
        if not seen.is_contradicted:
            likely[pair] = seen.linked(at_least)


def _ranks(orders):
    """The place of each record when all are put in the order of their names."""
    ranks = array("I", bytes(4 * len(orders)))
    for rank, position in enumerate(sorted(range(len(orders)), key=orders.__getitem__)):
        ranks[position] = rank
    return ranks


def _candidates(keys, ranks, count):
    """The pairs (positions, packed into one number) that share a key, in buckets by their first record."""
    pairs = [array("Q") for _ in range(BUCKETS)]
    mask = (1 << _POSITION) - 1
    for number, bucket in enumerate(keys):
        keys[number] = None
        for _, same in groupby(sorted(bucket), key=lambda entry: entry >> _POSITION):
            block = [entry & mask for entry in same]
            if len(block) > blocking.LARGE:
                block.sort(key=ranks.__getitem__)
            for one, other in blocking.pairs_within(block):
                pairs[one * BUCKETS // count].append(one << _POSITION | other)
    return pairs


def _number(key):
    """A key as a number that stays below those of positions: the same within one process."""
    return hash(key) & 0xFFFFFFFFFF


_BETWEEN, _WITHIN = "\x1f", "\x1e"


def _packed(one):
    """A prepared record as one text: a million of them fit into memory, as objects they would not."""
    return _BETWEEN.join([value if isinstance(value, str) else _WITHIN.join(value) for value in one])


def _unpacked(kind, text):
    values = text.split(_BETWEEN)
    for place in kind.lists:
        values[place] = tuple(values[place].split(_WITHIN)) if values[place] else ()
    return kind.fields._make(values)


FAMILY = 12  # records that hang together up to which each is called a duplicate of each


def _through_thirds(likely):
    """Pairs that were not found themselves, of records that a chain of found pairs links.

    Two records of one person may each have lost what the other kept; a third that resembles both ties them.
    """
    leader = {}

    def lead(key):
        while (up := leader.setdefault(key, key)) != key:
            leader[key] = leader[up]
            key = leader[key]
        return key

    for one, other in likely:
        leader[lead(one)] = lead(other)
    families = {}
    for key in leader:
        families.setdefault(lead(key), []).append(key)
    for members in families.values():
        members.sort()
        if 2 < len(members) <= FAMILY:
            yield from (
                (one, other)
                for at, one in enumerate(members)
                for other in members[at + 1 :]
                if (one, other) not in likely
            )


def keep_pairs(session, model, likely, *, found, now):
    """Write down what `likely_pairs` found, in place of what stood there.

    Pairs are made from the records, like the search index: no change set tells of them.
    """
    entity, table = model.__tablename__, DuplicatePair.__table__
    connection, options = session.connection(), {DOOR: True}
    asked = select(
        DuplicatePair.id,
        DuplicatePair.one_id,
        DuplicatePair.other_id,
        DuplicatePair.score,
        DuplicatePair.reasons,
        DuplicatePair.state,
    ).where(DuplicatePair.entity == entity)
    changed, gone, known = [], [], set()
    for key, one, other, score, reasons, state in session.execute(asked):
        known.add((one, other))
        seen = likely.get((one, other))
        if seen is None:
            if state == "open":
                gone.append(key)
        elif (seen.score, seen.as_rows()) != (score, reasons):
            changed.append({"key": key, "to_score": seen.score, "to_reasons": seen.as_rows()})
    new = [
        {
            "entity": entity,
            "one_id": one,
            "other_id": other,
            "score": seen.score,
            "reasons": seen.as_rows(),
            "state": "open",
            "found_at": now,
        }
        for (one, other), seen in sorted(likely.items())
        if (one, other) not in known
    ]
    if new:
        # Another run may have found the same pair a moment ago.
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), new, execution_options=options)
    if changed:
        values = {
            "score": bindparam("to_score"),
            "reasons": bindparam("to_reasons", type_=table.c.reasons.type),
        }
        raised = update(table).where(table.c.id == bindparam("key")).values(values)
        connection.execute(raised, changed, execution_options=options)
    for start in range(0, len(gone), AT_ONCE):
        chunk = gone[start : start + AT_ONCE]
        connection.execute(delete(table).where(table.c.id.in_(chunk)), execution_options=options)
    records = model.__table__
    left_over = or_(*(~exists().where(records.c.id == key) for key in (table.c.one_id, table.c.other_id)))
    connection.execute(delete(table).where(table.c.entity == entity, left_over), execution_options=options)
    found.pairs, found.new, found.changed, found.gone = len(likely), len(new), len(changed), len(gone)


# --------------------------------------------------------------------------------------------- what was found


def pairs_to_look_at(entity, state="open"):
    """The kept pairs of an entity, highest first; of records that are still there."""
    model = {kind.__tablename__: kind for kind in KINDS}.get(entity)
    if model is None:
        raise RuleBroken(N_("Duplicates are looked for among contacts and companies."))
    one, other = aliased(model), aliased(model)
    return (
        select(DuplicatePair)
        .join(one, one.id == DuplicatePair.one_id)
        .join(other, other.id == DuplicatePair.other_id)
        .where(DuplicatePair.entity == entity, DuplicatePair.state == state)
        .order_by(DuplicatePair.score.desc(), DuplicatePair.id.desc())
    )


def stands_after(score, key):
    """That a pair comes behind this place in the list."""
    return or_(DuplicatePair.score < score, and_(DuplicatePair.score == score, DuplicatePair.id < key))


def dismiss(pair):
    """These two are not the same: the finder will not bring them up again."""
    pair.state = "dismissed"


def reopen(pair):
    """Perhaps they are the same after all."""
    pair.state = "open"
