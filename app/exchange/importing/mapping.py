"""How the columns of a file become ours, and what is to happen with them: suggested, chosen, remembered by shape."""

import hashlib
import re
from dataclasses import asdict, dataclass, field, replace

from sqlalchemy import Boolean, Date, select

from app.exchange.importing import targets
from app.exchange.importing.cells import as_text
from app.exchange.importing.targets import FULL_NAME, MATCHES, plain
from app.extensions import N_
from app.models import Exact, ImportMapping, Moment

MODES = {
    "both": N_("Create new records and update those that are there"),
    "create": N_("Only create new records"),
    "update": N_("Only update records that are there"),
}
MISSING = {
    "refuse": N_("Refuse the row"),
    "create": N_("Create it"),
    "leave": N_("Leave the link empty"),
}
CREATED = ("company",)  # what may be created by its name alone
REASON = N_("Why it was refused")  # header of the column that comes back with refused rows
_REASONS = {plain(REASON), plain("Row in the file")}


@dataclass(frozen=True)
class Mapping:
    """What the person who imports has decided."""

    columns: dict = field(default_factory=dict)  # header -> name of a field
    match: tuple = ()  # names of the fields that tell records apart
    mode: str = "both"
    dates: str = "dmy"
    decimal: str = "."
    clear: str = ""  # what a cell holds that means "empty this"
    empty_clears: bool = False
    missing: dict = field(default_factory=dict)  # name of a link -> refuse, create, leave
    source: str = ""  # under which name their ids are kept

    def as_json(self):
        return {**asdict(self), "match": list(self.match)}

    @classmethod
    def from_json(cls, stored):
        known = {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
        return cls(**{**known, "match": tuple(known.get("match", ()))})

    def but(self, **changes):
        return replace(self, **changes)


def shape_of(headers):
    """The shape of a file: what its headers say, whatever their order, case and signs."""
    said = sorted(plain(one) or one for one in headers if plain(one) not in _REASONS)
    return hashlib.sha256("\x1f".join(said).encode()).hexdigest()


def remembered(session, entity, table, fields=None):
    """The mapping of the last file of this shape, or None; of `fields`, those that its bringer may fill in, alone."""
    row = session.scalars(
        select(ImportMapping).where(
            ImportMapping.entity == entity, ImportMapping.shape == shape_of(table.headers)
        )
    ).first()
    if row is None:
        return None
    mapping = Mapping.from_json(row.mapping)
    by_word = {plain(header): name for header, name in mapping.columns.items()}
    columns = {header: by_word[plain(header)] for header in table.headers if plain(header) in by_word}
    columns = {header: name for header, name in columns.items() if fields is None or name in fields}
    return mapping.but(columns=columns)


def remember(session, entity, table, mapping):
    """Keep it for the next file of this shape; the session's owner must be allowed to."""
    shape = shape_of(table.headers)
    this = select(ImportMapping).where(ImportMapping.entity == entity, ImportMapping.shape == shape)
    row = session.scalars(this).first()
    if row is None:
        session.add(ImportMapping(entity=entity, shape=shape, mapping=mapping.as_json()))
    elif row.mapping != mapping.as_json():
        row.mapping = mapping.as_json()


def suggest(entity, table, fields):
    """The mapping that suits this file best: by its headers, then by what stands in its columns."""
    columns, taken = {}, set()
    known = {name: targets.words_of(entity, one) for name, one in fields.items()}
    left = [header for header in table.headers if plain(header) not in _REASONS]
    # A header that is called exactly as the field goes first, or "Company" would be anybody's.
    for is_exact in (True, False):
        for header in list(left):
            word = plain(header)
            names = [
                name
                for name, one in fields.items()
                if name not in taken
                and (word in {plain(one.label), plain(name)} if is_exact else word in known[name])
            ]
            if names:
                columns[header] = names[0]
                taken.add(names[0])
                left.remove(header)
    for header in left:
        name = _by_content(table, header, fields, taken)
        if name:
            columns[header] = name
            taken.add(name)
    if FULL_NAME in columns.values() and "last_name" in columns.values():
        columns = {header: name for header, name in columns.items() if name != FULL_NAME}
    mapping = Mapping(columns=columns, source=_source(table), **_style(table, columns, fields))
    links = {
        one.name: "refuse" for one in fields.values() if one.kind == "link" and one.name in columns.values()
    }
    for name in links:
        if fields[name].target in CREATED:
            links[name] = "create"
    return mapping.but(match=suggested_match(entity, columns, table), missing=links)


def suggested_match(entity, columns, table=None):
    """The best way to tell records apart with the columns there are; all of them together, if nothing else.

    With a table, one that tells nearly all of its first rows apart: of cards without ids, the ids are no help.
    """
    given = set(columns.values())
    if FULL_NAME in given:
        given |= {"first_name", "last_name"}
    fitting = [match for match in MATCHES[entity] if set(match) <= given]
    useful = [match for match in fitting if table is None or _share_told_by(match, columns, table) >= 0.9]
    found = next(iter(useful or fitting), None)
    return found or tuple(name for name in columns.values() if name != FULL_NAME)


def _share_told_by(match, columns, table):
    """In how many of the first rows at least one field of this match holds something."""
    names = {*match, *((FULL_NAME,) if "last_name" in match else ())}
    places = [place for place, header in enumerate(table.headers) if columns.get(header) in names]
    told = sum(any(as_text(record.cells[place]).strip() for place in places) for record in table.head)
    return told / len(table.head) if table.head else 1.0


def problems(entity, mapping, fields, headers):
    """What has to be settled before anything can be read: (message, values)."""
    found, given = [], list(mapping.columns.values())
    for header, name in mapping.columns.items():
        if name not in fields:
            found.append((N_("There is no field “%(name)s”."), {"name": name}))
        elif header not in headers:
            found.append((N_("The file has no column “%(header)s”."), {"header": header}))
        elif given.count(name) > 1 and list(mapping.columns.values()).index(name) == list(
            mapping.columns
        ).index(header):
            found.append((N_("Two columns go into “%(name)s”."), {"name": fields[name].label}))
    if found:
        return found
    if not given:
        return [(N_("Say for at least one column where it goes."), {})]
    whole = {*given, *(("first_name", "last_name") if FULL_NAME in given else ())}
    if mapping.mode != "update" and mapping.match != ("id",):
        for name in targets.required_of(entity):
            if name not in whole:
                found.append(
                    (N_("New records need “%(name)s”: no column goes there."), {"name": fields[name].label})
                )
    if not mapping.match:
        found.append((N_("Say by what records are told apart."), {}))
    for name in mapping.match:
        if name not in whole:
            label = fields[name].label if name in fields else name
            found.append(
                (N_("Records are told apart by “%(name)s”, but no column goes there."), {"name": label})
            )
    if {"id", "key"} & set(mapping.match) and len(mapping.match) > 1:
        found.append((N_("A number or a foreign id tells records apart by itself."), {}))
    if "key" in given and not mapping.source.strip():
        found.append((N_("Say from which system the ids are."), {}))
    if mapping.mode not in MODES or set(mapping.missing.values()) - set(MISSING):
        found.append((N_("This choice is not offered."), {}))
    return found


# --------------------------------------------------------------------------------------------- by content


def _cells(table, header):
    position = table.headers.index(header)
    texts = (as_text(record.cells[position]).strip() for record in table.head if position < len(record.cells))
    return [text for text in texts if text]


_LOOKS = (
    ("email", re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")),
    ("website", re.compile(r"(https?://|www\.)\S+", re.IGNORECASE)),
    ("phone", re.compile(r"(\+|00|\(0|0)[\d ()/.-]{6,}")),
)


def _by_content(table, header, fields, taken):
    texts = _cells(table, header)
    for name, look in _LOOKS:
        if name in fields and name not in taken and texts:
            alike = sum(bool(look.fullmatch(text)) for text in texts)
            if alike >= len(texts) * 0.8:
                return name
    return None


def _style(table, columns, fields):
    """Order of days and decimal mark, as the first rows write them."""
    dates, decimal = None, None
    for header, name in columns.items():
        column = fields[name].column
        if column is None:
            continue
        for text in _cells(table, header):
            if isinstance(column.type, Date | Moment):
                found = re.match(r"(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})\b", text)
                if found and len(found[1]) < 4:
                    if int(found[1]) > 12:
                        dates = "dmy"
                    elif int(found[2]) > 12:
                        dates = "mdy"
                    elif dates is None:
                        dates = "mdy" if "/" in text else "dmy"
            elif isinstance(column.type, Exact) and not isinstance(column.type, Boolean):
                if re.search(r",\d{1,2}\b(?!.*[.,])", text):
                    decimal = ","
                elif re.search(r"\.\d{1,2}\b(?!.*[.,])", text):
                    decimal = decimal or "."
    return {"dates": dates or "dmy", "decimal": decimal or ("," if table.delimiter == ";" else ".")}


def _source(table):
    return re.sub(r"[^\w.-]+", " ", table.name.rsplit(".", 1)[0]).strip()[:40] or "file"
