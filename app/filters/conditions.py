"""From a tree of the filter language to one condition of a SELECT.

Related records are asked for through their entities, so that the rule of sight holds for them too: a filter tells
nothing about a record that its reader does not see. "Is not" is the opposite of "is": a row without the link, or with
one that leads to a hidden record, is among those that are not.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache

from sqlalchemy import and_, collate, func, not_, or_, select, true
from sqlalchemy.orm import aliased

from app import access
from app.extensions import N_, db
from app.filters import fields, language, periods
from app.filters.fields import FAULTS
from app.filters.language import BadQuery, Condition, Group
from app.models import ENTITIES, Department, Staff, Tagging

_NEGATIVE = {"not": "is", "lacks": "has", "empty": "filled"}


@dataclass(frozen=True)
class Asker:
    """For whom a filter is read, and when: what `me` and "today" mean, and which custom fields there are.

    `custom(entity)` gives name -> custom field as a column (`app/rules/custom_fields.py`); see `app/rules/asking.py`.
    """

    principal: access.Principal
    today: date | None = None  # None: relative dates are not understood
    zone: tzinfo = UTC
    first_weekday: int = 0  # Monday
    custom: object = field(default=lambda entity: {}, compare=False, repr=False)


# Three ways to ask for the same: as conditions that may stand anywhere; with the linked tables beside the one asked
# for, so that the database may begin with those and stop early; row by row, for walks along an index.
ANYWHERE, JOINED, BY_ROW = "anywhere", "joined", "by row"


def compiled(model, tree, asker, way=ANYWHERE):
    """The conditions of a tree, which must all hold; raises BadQuery for what makes no sense for this table."""
    compiler = _Compiler(asker, way)
    return [one for part in language.parts_of(tree) for one in compiler.part(part, model)]


@cache
def _alias(model, number):
    """An alias of an entity; made once, because each costs more than the statement it stands in."""
    return aliased(model, name=f"{model.__tablename__}_{number}")


class _Compiler:
    def __init__(self, asker, way):
        self.asker, self.way, self.by_row = asker, way, way == BY_ROW
        self.is_sqlite = db.engine.dialect.name == "sqlite"
        self.used = Counter()

    def alias(self, model):
        """An alias that does not yet stand in this condition."""
        self.used[model] += 1
        return _alias(model, self.used[model])

    def part(self, part, model):
        """The conditions of one part of the tree."""
        is_link = self.way == JOINED and isinstance(part, Condition) and part.operator not in _NEGATIVE
        steps = self._place(part, model).steps if is_link else ()
        if steps and _target(steps[0]).__sight__ == "scoped":  # a small table is a list of ids sooner
            return self._joined(part, model, steps)
        return [self.of(part, model, model)]

    def _joined(self, asked, model, steps):
        """A question to a linked row as a join: each row has but one, so that none comes out twice."""
        row, conditions = model, []
        for column in steps:
            alias = self.alias(_target(column))
            conditions.append(alias.id == getattr(row, column.key))
            row = alias
        return [*conditions, self._leaf(self._place(asked, model), row, asked, asked.operator)]

    def of(self, tree, model, row):
        """The condition of a tree on `row`, which is the entity or an alias of it."""
        if isinstance(tree, Group):
            parts = [self.of(part, model, row) for part in tree.parts]
            return and_(*parts) if tree.joint == "and" else or_(*parts)
        if isinstance(tree, Condition):
            return self._condition(tree, model, row)
        other = ENTITIES.get(tree.entity)
        name = f"{model.__tablename__}_id"
        if other is None or name not in other.__table__.c:
            raise fields.unknown(tree.entity)
        alias = self.alias(other)
        pointer = getattr(alias, name)
        inner = true() if tree.inner is None else self.of(tree.inner, other, alias)
        if self.by_row:
            found = _is_found(select(alias.id).where(pointer == row.id, inner).limit(1))
        else:
            found = row.id.in_(select(pointer).where(pointer.is_not(None), inner))
        return found if tree.is_there else not_(found)

    # ---- one condition

    def _place(self, asked, model):
        """Where its path ends, when it exists and takes the operator."""
        place = fields.resolve(model, asked.path, self.asker)
        if asked.operator not in place.operators:
            raise fields.unknown(asked.parameter)
        if not all(one.strip() and len(one) <= fields.LONGEST_VALUE for one in asked.values):
            raise _no_value(asked)
        return place

    def _condition(self, asked, model, row):
        place = self._place(asked, model)
        positive = _NEGATIVE.get(asked.operator)
        condition = self._through(place, place.steps, row, asked, positive or asked.operator)
        if positive is None:
            return condition
        if asked.operator == "empty":
            # Whoever has no company has no company whose city is empty.
            return (
                not_(condition) if not place.steps else self._through(place, place.steps, row, asked, "empty")
            )
        if place.steps:
            start = getattr(row, place.steps[0].key)
            return not_(condition) if self.by_row else or_(start.is_(None), not_(condition))
        if place.kind == "tag":
            return not_(condition)
        return or_(self._value(place, row).is_(None), not_(condition))

    def _through(self, place, steps, row, asked, operator):
        if not steps:
            return self._leaf(place, row, asked, operator)
        column, rest = steps[0], steps[1:]
        alias = self.alias(_target(column))
        inner, link = self._through(place, rest, alias, asked, operator), getattr(row, column.key)
        if self.by_row:
            return _is_found(select(alias.id).where(alias.id == link, inner))
        return link.in_(select(alias.id).where(inner))

    def _leaf(self, place, row, asked, operator):
        """The condition at the end of a path; never unknown where the value is known."""
        if place.kind == "tag":
            return self._tagged(place, row, asked, operator)
        value = self._value(place, row)
        if operator in ("filled", "empty"):
            is_filled = value.is_not(None)
            if place.kind == "text":
                is_filled = and_(is_filled, value != "")
            return is_filled if operator == "filled" else not_(is_filled)
        try:
            return getattr(self, f"_{place.kind}")(place, value, operator, asked)
        except FAULTS:
            raise _no_value(asked) from None

    def _value(self, place, row):
        """The expression of the column, or of the custom field's value as its kind compares."""
        if place.column is not None:
            return getattr(row, place.column.key)
        return place.custom.over(row)

    # ---- by kind

    def _text(self, place, value, operator, asked):
        texts = [fields.words(one.strip()) for one in asked.values]
        if operator == "is":
            return value.in_(texts)
        folded, pattern = self._folded(value, texts[0])
        if operator == "starts":
            return func.substr(folded, 1, len(pattern)) == pattern
        return (func.instr if self.is_sqlite else func.strpos)(folded, pattern) > 0

    def _folded(self, value, text):
        """The column and a text in small letters, alike on both engines: lower() knows ASCII, the rest is ours."""
        pattern = text.lower()
        folded = func.lower(value if self.is_sqlite else collate(value, "C"))
        for letter in sorted(set(pattern)):
            if not letter.isascii() and len(letter.upper()) == 1 and letter.upper() != letter:
                folded = func.replace(folded, letter.upper(), letter)
        return folded, pattern

    def _choice(self, place, value, operator, asked):
        return value.in_([fields.words(one.strip()) for one in asked.values])

    def _several(self, place, value, operator, asked):
        """Whether a list of words holds one of these; SQLite gives the list with its escapes, PostgreSQL without."""
        ways = {
            json.dumps(fields.words(one.strip()), ensure_ascii=is_escaped)
            for one in asked.values
            for is_escaped in (True, False)
        }
        holds = func.instr if self.is_sqlite else func.strpos
        return or_(*(holds(value, way) > 0 for way in sorted(ways)))

    def _yes_no(self, place, value, operator, asked):
        return value.in_([fields.yes_no(one.strip()) for one in asked.values])

    def _number(self, place, value, operator, asked):
        numbers = [self._typed(place, one.strip()) for one in asked.values]
        if operator == "is":
            return value.in_(numbers)
        return _compared(value, operator, numbers, asked)

    def _typed(self, place, text):
        return fields.decimal(text) if place.custom is not None else fields.coerce(place.column, text)

    def _day(self, place, value, operator, asked):
        return _within(value, operator, self._spans(asked, operator), asked)

    def _moment(self, place, value, operator, asked):
        if all(len(one.strip()) > 10 for one in asked.values) and operator not in ("during", "older"):
            moments = [self._point(one.strip()) for one in asked.values]
            if operator == "is":
                return value.in_(moments)
            return _compared(
                value, {"after": "over", "before": "under"}.get(operator, operator), moments, asked
            )
        spans = [
            tuple(datetime.combine(one, time(), self.asker.zone).astimezone(UTC) for one in span)
            for span in self._spans(asked, operator)
        ]
        return _within(value, operator, spans, asked)

    def _point(self, text):
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=self.asker.zone)).astimezone(UTC)

    def _spans(self, asked, operator):
        """Each value as (first day, day after the last)."""
        today, first_weekday = self.asker.today, self.asker.first_weekday
        if today is None and not all(_is_day(one) for one in asked.values):
            raise _no_value(asked)
        if operator == "older":
            end = periods.ago(asked.values[0], today=today)
            return [(end, end)]
        if operator == "during":
            return [periods.period(asked.values[0], today=today, first_weekday=first_weekday)]
        return [_span(one.strip(), today, first_weekday) for one in asked.values]

    # ---- links

    def _link(self, place, value, operator, asked):
        ids, near = [], False
        for one in asked.values:
            text = one.strip()
            if text == "me" and place.target is Staff:
                ids.append(self.asker.principal.id or 0)
            elif text in ("mine", "below") and place.target in (Staff, Department):
                near = near or text
            else:
                ids.append(fields.whole(text))
        if near:
            return or_(value.in_(ids), self._near(place, value, near))
        if place.target.__sight__ != "scoped":
            return value.in_(ids)
        alias = self.alias(place.target)  # only those that the reader sees
        return value.in_(select(alias.id).where(alias.id.in_(ids)))

    def _near(self, place, value, how):
        """That a link leads to one's department, to one below it, or to somebody who works there."""
        who = self.asker.principal
        departments = sorted(who.below) if how == "below" else [who.department_id or 0]
        if place.target is Department:
            return value.in_(departments)
        people = self.alias(Staff)
        return value.in_(select(people.id).where(people.department_id.in_(departments)))

    def _tagged(self, place, row, asked, operator):
        """That the record carries one of these tags, or any. Taggings are seen with their record, so past the rule."""
        tagging = Tagging.__table__.alias()
        these = [tagging.c.entity == place.model.__tablename__]
        if operator == "is":
            try:
                these.append(tagging.c.tag_id.in_([fields.whole(one.strip()) for one in asked.values]))
            except FAULTS:
                raise _no_value(asked) from None
        if self.by_row:
            tag = select(tagging.c.id).where(tagging.c.record_id == row.id, *these).limit(1)
            found = _is_found(access.vouched(tag))
        else:
            found = row.id.in_(access.vouched(select(tagging.c.record_id).where(*these)))
        return not_(found) if operator == "empty" else found


def _is_day(text):
    try:
        return bool(date.fromisoformat(text.strip()))
    except ValueError:
        return False


def _is_found(one):
    """That a SELECT of one row finds it; as a value, because PostgreSQL would turn EXISTS into a join of its choice."""
    return one.scalar_subquery().is_not(None)


def _target(column):
    return ENTITIES[next(iter(column.foreign_keys)).column.table.name]


def _span(text, today, first_weekday):
    """One day, or a named span of them, as (first, after the last)."""
    try:
        first = date.fromisoformat(text)
    except ValueError:
        return periods.period(text, today=today, first_weekday=first_weekday)
    return first, first + timedelta(days=1)


def _within(value, operator, spans, asked):
    """How a day or moment stands to spans of days."""
    first, after = spans[0]
    if operator in ("is", "during"):
        return or_(*(and_(value >= one, value < other) for one, other in spans))
    if operator == "between":
        if len(spans) != 2:
            raise _no_value(asked)
        return and_(value >= first, value < spans[1][1])
    if operator == "min":
        return value >= first
    if operator == "max":
        return value < after
    return value >= after if operator == "after" else value < first  # "before" and "older"


def _compared(value, operator, given, asked):
    """How a value stands to one or two others."""
    if operator == "between":
        if len(given) != 2:
            raise _no_value(asked)
        return value.between(*given)
    one = given[0]
    if operator in ("min", "max"):
        return value >= one if operator == "min" else value <= one
    return value > one if operator == "over" else value < one


def _no_value(asked):
    said = language.write_values(asked.values)
    return BadQuery(
        N_("“%(value)s” is no value for the filter “%(name)s”."), value=said[:60], name=asked.parameter[:60]
    )
