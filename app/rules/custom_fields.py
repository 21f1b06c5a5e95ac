"""Custom fields: what their values must be like, whoever brings them, and who may define a field.

Text (or a date, number, list …) in, the plain value out that `app/custom.py` describes; what cannot be kept raises
RuleBroken with a sentence.
"""

import re
from datetime import UTC, date, datetime
from decimal import Decimal

from sqlalchemy import literal, select

from app import formats, search
from app.access import DOOR, principal_of
from app.custom import (
    PREFIX,
    TAKERS,
    Column,
    Field,
    column,
    day_of,
    expression,
    fields_for,
    forget,
    holds,
    is_visible,
    moment_of,
    moment_text,
)
from app.extensions import N_
from app.models import ENTITIES, Change, CustomField, Department
from app.rules import RuleBroken, money, values

__all__ = [
    "PREFIX",
    "TAKERS",
    "Column",
    "Field",
    "column",
    "day_of",
    "expression",
    "fields_for",
    "forget",
    "holds",
    "is_visible",
    "moment_of",
]

LONGEST_LINE = 500  # also what an index takes, in any script
LANGUAGES = ("en", "de", "fr")
MOST_CHOICES = 200
PLACES = {"number": 0, "decimal": 4, "money": 2}
LINES = {"text": LONGEST_LINE, "mail": 200, "phone": 40, "link": LONGEST_LINE}
CHOOSING = ("choice", "choices")
NOT_INDEXED = ("long_text", "choices")  # what no order of values makes quick
KINDS = CustomField.__table__.c.kind.info["choices"]

_YES = {"yes", "true", "1", "on", "x", "ja", "wahr", "oui", "vrai"}
_NO = {"no", "false", "0", "off", "nein", "falsch", "non", "faux"}


def values_of(fields, custom):
    """name -> value of these fields; the keys that stand in `custom` but not among the fields stay unsaid."""
    custom = custom or {}
    return {one.name: custom.get(one.name) for one in fields}


def defaults(fields):
    """What a new record begins with."""
    return {one.name: one.default for one in fields if one.default is not None}


def missing(fields, custom):
    """The required fields that have no value."""
    custom = custom or {}
    return [one for one in fields if one.is_required and custom.get(one.name) is None]


# --------------------------------------------------------------------------------------------- values


def read_value(one, value, *, session=None, zone=UTC, before=None):
    """The plain value that a text (or a date, number, list …) means for this field; None for an empty one.

    Raises RuleBroken with a sentence. `session` finds the record that a link names, with its reader's sight; `zone` is
    the clock of moments without one; `before`, what stands there now, lets a retired choice stay.
    """
    if value is None or (isinstance(value, str | list | tuple) and not value):
        return None
    if isinstance(value, str):
        values.check_storable(value)
        if one.kind == "long_text":
            value = value.replace("\r\n", "\n").strip()
        elif one.kind != "choices":
            value = values.one_line(value).strip()
        if not value:
            return None
    return _READERS[one.kind](one, value, session=session, zone=zone, before=before)


def check(one, value, *, session=None, before=None):
    """That this is a plain value of the field as it is kept; raises RuleBroken."""
    if read_value(one, value, session=session, before=before) != value:
        raise RuleBroken(
            N_("“%(value)s” is no value for “%(field)s”."), value=str(value)[:60], field=str(one)
        )


def _read_line(one, value, **_more):
    text = _as_str(value)
    most = LINES.get(one.kind, values.LONGEST_PROSE)
    if one.kind == "link" and not re.match(r"[a-z][a-z0-9+.-]*:(?!\d)", text, re.IGNORECASE):
        text = f"https://{text}"
    if len(text) > most:
        raise RuleBroken(N_("the text has more than %(most)s characters"), most=most)
    if one.kind == "mail":
        values.check_email(text)
    elif one.kind == "phone":
        values.check_phone(text)
    elif one.kind == "link" and not re.fullmatch(r"https?://[^\s/?#]+\S*", text, re.IGNORECASE):
        raise RuleBroken(N_("This is not a web address."))
    return text


def _as_str(value):
    if isinstance(value, bool | list | dict):
        raise RuleBroken(N_("This takes a single text."))
    return as_plain_number(value) if isinstance(value, float | Decimal) else str(value)


def _read_number(one, value, **_more):
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise RuleBroken(N_("“%(value)s” is no number."), value=str(value)[:40])
    if isinstance(value, str):
        number = money.typed_number(value, PLACES[one.kind])
    else:
        number = money.exact(str(value), PLACES[one.kind], field=None)
    if number is None:
        return None
    return int(number) if one.kind == "number" else float(number)


def as_plain_number(value):
    """A number as one types it: no exponent, no padding."""
    text = f"{Decimal(str(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _read_date(_one, value, **_more):
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        return value.isoformat()
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise RuleBroken(N_("“%(value)s” is no date such as 1996-07-04."), value=str(value)[:40]) from None


def _read_moment(_one, value, *, zone, **_more):
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        at = at if at.tzinfo else at.replace(tzinfo=zone)
        return moment_text(at)
    except (TypeError, ValueError, OverflowError):
        sentence = N_("“%(value)s” is no moment such as 1996-07-04 15:30.")
        raise RuleBroken(sentence, value=str(value)[:40]) from None


def _read_yes_no(_one, value, **_more):
    if isinstance(value, bool):
        return value
    word = str(value).casefold()
    if word in _YES or word in _NO:
        return word in _YES
    raise RuleBroken(N_("“%(value)s” is neither yes nor no."), value=str(value)[:40])


def _read_choice(one, value, *, before, **_more):
    wanted = _as_str(value)
    choice = one.choices_by_word.get(wanted) or one.choices_by_word.get(search.fold(wanted))
    if choice is not None and (not choice.get("retired") or choice["value"] in _several(before)):
        return choice["value"]
    raise RuleBroken(N_("“%(value)s” is none of the choices."), value=wanted[:60])


def _several(value):
    return value if isinstance(value, list) else [value]


def _read_choices(one, value, *, before, **_more):
    if isinstance(value, str):
        parts = [part.strip() for part in re.split(r"[;\n]", value)]
        if len(parts) == 1:
            parts = _split_at_commas(one, parts[0])
        value = parts
    if not isinstance(value, list | tuple):
        raise RuleBroken(N_("“%(value)s” is none of the choices."), value=str(value)[:60])
    chosen = {_read_choice(one, part, before=before) for part in value if part != ""}
    return [choice["value"] for choice in one.choices if choice["value"] in chosen] or None


def _split_at_commas(one, text):
    """A label may hold a comma itself."""
    return [text] if search.fold(text) in one.choices_by_word else [part.strip() for part in text.split(",")]


def _read_record(one, value, *, session, **_more):
    if session is None:
        raise TypeError("a link to a record is read by a session: it must be one that its reader sees")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RuleBroken(N_("“%(value)s” names no record."), value=str(value)[:40])
    target, text = ENTITIES[one.target], str(value)
    number = re.search(r"#?(\d{1,10})\)?$", text)
    if number and int(number[1]) <= values.LARGEST_INTEGER:
        row = session.get(target, int(number[1]))
        if row is not None and search.fold(text) in (
            number[1],
            f"#{row.id}",
            search.fold(f"{row} (#{row.id})"),
        ):
            return row.id
    if search.words_of(text):
        like = session.scalars(select(target).where(search.matching_for(session, target, text)).limit(30)).all()
        same = [row for row in like if search.fold(row) == search.fold(text)]
        if len(same) == 1:
            return same[0].id
        if same:
            raise RuleBroken(N_("Several are named “%(value)s”: give the number."), value=text[:60])
    raise RuleBroken(N_("Nothing is named “%(value)s”."), value=str(value)[:60])


_READERS = {
    "text": _read_line,
    "long_text": _read_line,
    "mail": _read_line,
    "phone": _read_line,
    "link": _read_line,
    "number": _read_number,
    "decimal": _read_number,
    "money": _read_number,
    "date": _read_date,
    "moment": _read_moment,
    "yes_no": _read_yes_no,
    "choice": _read_choice,
    "choices": _read_choices,
    "record": _read_record,
}


def as_text(one, value, zone=UTC):
    """A plain value as a text that `read_value` reads back: for fields of forms, and for files."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(map(str, value))
    if one.kind == "record":
        return f"#{value}"
    if one.kind == "money" and isinstance(value, int | float):
        return f"{Decimal(str(value)):.2f}"
    if isinstance(value, float):
        return as_plain_number(value)
    if one.kind == "moment" and zone is not UTC and (at := moment_of(value)) is not None:
        return at.astimezone(zone).replace(tzinfo=None).isoformat(timespec="minutes")
    return str(value)


def shown(one, value, *, language="en", timezone="UTC", currency=None, names=None):
    """A plain value in words, as people of that language read it; `names` maps (entity, id) to a record's name.

    A value that is not of the field's kind (it came back from the ledger, say) is told as it stands.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return {True: N_("yes"), False: N_("no")}[value]
    if isinstance(value, list):
        return ", ".join(one.choice_label(part, language) for part in value)
    if one.kind == "choice":
        return one.choice_label(value, language)
    if one.kind == "record":
        return (names or {}).get((one.target, value), "")
    if one.kind in PLACES and isinstance(value, int | float):
        number = Decimal(str(value))
        is_amount = one.kind == "money" and currency
        return formats.money(number, currency, language) if is_amount else formats.number(number, language)
    if one.kind == "date" and (day := day_of(value)) is not None:
        return formats.day(day, language)
    if one.kind == "moment" and (at := moment_of(value)) is not None:
        return formats.moment(at, language, timezone)
    return str(value)


def names_of(session, fields, customs):
    """(entity, id) -> name of every record that these values link to and the session's reader sees.

    One SELECT for each entity that is linked to at all.
    """
    wanted = {}
    for one in fields:
        if one.kind == "record":
            keys = {(custom or {}).get(one.name) for custom in customs}
            wanted.setdefault(one.target, set()).update(key for key in keys if type(key) is int)
    found = {}
    for target, keys in wanted.items():
        if keys:
            model = ENTITIES[target]
            found |= {
                (target, row.id): str(row) for row in session.scalars(select(model).where(model.id.in_(keys)))
            }
    return found


# --------------------------------------------------------------------------------------------- who defines fields


def may_define(principal, entity, department_ids):
    """Whether this principal may add, change or remove a field of these departments: see `check_may_define`."""
    try:
        check_may_define(principal, entity, department_ids)
    except RuleBroken:
        return False
    return True


def check_may_define(principal, entity, department_ids):
    """Admins define every field; heads those of departments in their own part of the tree, on records they see."""
    if principal.is_system or principal.may("edit", "account"):
        return
    if not principal.may("edit", "custom_field"):
        raise RuleBroken(N_("Only admins and heads arrange fields."))
    if not principal.may("see", entity):
        raise RuleBroken(N_("You do not see records of this kind."), field="entity")
    near = principal.departments_for("edit", "custom_field")
    if not department_ids or not (near is None or near.issuperset(department_ids)):
        sentence = N_(
            "Choose departments of your own, at least one: only admins arrange fields for everybody."
        )
        raise RuleBroken(sentence, field="department_ids")


def define(session, said):
    """A new field, from what its form says; raises RuleBroken. `said` holds the columns of `CustomField`.

    Its name is made of the label, once: files, filters and programs rely on it. A name that ever was is not given
    again, or the values of the one would become the other's.
    """
    entity = said["entity"]
    if entity not in TAKERS:
        raise RuleBroken(N_("Such records take no fields of their own."), field="entity")
    check_may_define(principal_of(session), entity, said["department_ids"])
    kind, labels = _known_kind(said["kind"]), _labels(said["labels"])
    row = CustomField(entity=entity, name=_new_name(session, entity, labels), kind=kind, labels=labels)
    _put(session, row, said, choices=said["choices"])
    session.add(row)
    session.flush()
    forget(session)
    return row


def redefine(session, row, said):
    """Change a field; raises RuleBroken. The kind stays once there are values; choices that go are retired."""
    principal = principal_of(session)
    check_may_define(principal, row.entity, row.department_ids)
    check_may_define(principal, row.entity, said["department_ids"])
    kind, target = _known_kind(said["kind"]), said["target"] if said["kind"] == "record" else None
    if (kind, target) != (row.kind, row.target) and has_values(session, row):
        sentence = N_(
            "Records hold values of this field already; it keeps its kind. Add another field instead."
        )
        raise RuleBroken(sentence, field="kind")
    row.kind, row.labels = kind, _labels(said["labels"])
    _put(session, row, said, choices=_with_retired(row.choices, said["choices"]))
    session.flush()
    forget(session)
    return row


def remove(session, row):
    """Take a field away for good; one that records hold values of is taken out of use instead, with nothing lost."""
    check_may_define(principal_of(session), row.entity, row.department_ids)
    if has_values(session, row):
        sentence = N_("Records hold values of “%(name)s”. Take it out of use instead: the values are kept.")
        raise RuleBroken(sentence, field="is_active", name=str(row))
    session.delete(row)
    session.flush()
    forget(session)


def has_values(session, row):
    """Whether any record holds a value of this field. Asked past the rule of sight: only yes or no comes out."""
    table = ENTITIES[row.entity].__table__
    any_value = select(literal(1)).where(table.c.custom[row.name].as_string().is_not(None)).limit(1)
    return session.connection().execute(any_value, execution_options={DOOR: True}).first() is not None


def _put(session, row, said, *, choices):
    """What a field can say of itself at any time."""
    row.target = said["target"] if row.kind == "record" else None
    if row.kind == "record" and row.target not in TAKERS:
        raise RuleBroken(N_("Say to which records it links."), field="target")
    row.choices = choices if row.kind in CHOOSING else []
    if row.kind in CHOOSING and all(choice.get("retired") for choice in row.choices):
        raise RuleBroken(N_("A choice needs something to choose from."), field="choices")
    departments = sorted(set(said["department_ids"]))
    if departments:
        with session.no_autoflush:
            known = session.scalars(select(Department.id).where(Department.id.in_(departments))).all()
        if len(known) < len(departments):
            raise RuleBroken(N_("There is no such department."), field="department_ids")
    row.department_ids = departments
    row.is_required, row.is_active = said["is_required"], said["is_active"]
    row.is_indexed = said["is_indexed"] and row.kind not in NOT_INDEXED
    row.position = said["position"]
    try:
        with session.no_autoflush:
            row.default = read_value(Field.of(row), said["default"], session=session)
    except RuleBroken as error:
        raise RuleBroken(error.message, field="default", **error.values) from None


def _known_kind(kind):
    if kind not in KINDS:
        raise RuleBroken(N_("There is no such kind of field."), field="kind")
    return kind


def _labels(said):
    labels = {
        language: text for language in LANGUAGES if (text := _short(said.get(language) or "", "labels"))
    }
    if not labels:
        raise RuleBroken(N_("A field needs a name that people read."), field="labels")
    return labels


def _short(text, field, most=80):
    text = values.one_line(text).strip()
    try:
        values.check_storable(text)
    except RuleBroken as error:
        raise RuleBroken(error.message, field=field) from None
    if len(text) > most:
        raise RuleBroken(N_("the text has more than %(most)s characters"), field=field, most=most)
    return text


def _new_name(session, entity, labels):
    """A name made of the label that no field of the entity has or ever had."""
    taken = set(session.scalars(select(CustomField.name).where(CustomField.entity == entity)))
    gone = select(Change.values).where(Change.entity == "custom_field", Change.action == "delete")
    taken |= {said["name"][0] for said in session.scalars(gone) if said["entity"][0] == entity}
    return _free(_slug(next(iter(labels.values())), "field"), taken)


def _slug(text, otherwise):
    """A text as a word of small letters, digits and underscores that begins with a letter."""
    word = re.sub(r"[^a-z0-9]+", "_", search.fold(text)).strip("_")
    word = word if re.match(r"[a-z]", word) else f"{otherwise}_{word}".strip("_")
    return word[:36].strip("_")


def _free(word, taken):
    number, name = 1, word
    while name in taken:
        number += 1
        name = f"{word}_{number}"
    return name


def read_choices(text, before=()):
    """Choices as one types them, one a line: "gold = Gold | Gold | Or", or just its labels.

    The labels are English, German, French; without a value the first label makes one. `before` are the choices there
    were: a line that repeats a label of theirs means the same choice.
    """
    known = {search.fold(label): one["value"] for one in before for label in one["labels"].values()}
    choices, taken = [], {one["value"] for one in before}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        found = re.fullmatch(r"([a-z][a-z0-9_]{0,39})\s*=\s*(.+)", line)
        said = [_short(part, "choices") for part in (found[2] if found else line).split("|")]
        labels = {language: label for language, label in zip(LANGUAGES, said, strict=False) if label}
        if not labels:
            raise RuleBroken(N_("“%(line)s” names no choice."), field="choices", line=line[:60])
        first = next(iter(labels.values()))
        value = found[1] if found else known.get(search.fold(first)) or _free(_slug(first, "choice"), taken)
        if value in {one["value"] for one in choices}:
            raise RuleBroken(N_("“%(line)s” stands there twice."), field="choices", line=line[:60])
        taken.add(value)
        choices.append({"value": value, "labels": labels})
    if len(choices) > MOST_CHOICES:
        raise RuleBroken(N_("A field has at most %(most)s choices."), field="choices", most=MOST_CHOICES)
    return choices


def choices_as_text(choices):
    """The choices as one types them; retired ones are left out."""
    offered = (one for one in choices if not one.get("retired"))
    return "\n".join(f"{one['value']} = {' | '.join(_in_order(one['labels']))}" for one in offered)


def _in_order(labels):
    said = [labels.get(language, "") for language in LANGUAGES]
    while said and not said[-1]:
        said.pop()
    return said


def _with_retired(before, now):
    """The choices as they are said now, and behind them those that went: records may still hold them."""
    values_now = {one["value"] for one in now}
    return [*now, *({**one, "retired": True} for one in before if one["value"] not in values_now)]
