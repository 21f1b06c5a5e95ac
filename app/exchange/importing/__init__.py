"""Import, the core of wizard and command: a table and a mapping in, a plan of every row out; then the same is written.

A `Desk` looks at the file twice: once to learn what it speaks of (keys, names of companies), all of which is looked up
at once, and once row by row in chunks, where each row becomes an `Item`: create, update, unchanged, skipped or refused,
with what changes and why not. `plan` only looks; `bring_in` writes what the plan says through `app/bulk.py`, in the
session's one transaction, all or nothing unless told to take the good rows. It holds a chunk of rows, never the file.
"""

import csv
import io
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from tempfile import TemporaryFile

from sqlalchemy import and_, func, select

from app import access, bulk
from app.exchange.files import Note
from app.exchange.formulas import restored
from app.exchange.importing import targets
from app.exchange.importing.cells import (
    Style,
    as_text,
    normal,
    read_day,
    read_moment,
    read_number,
    reader_for,
)
from app.exchange.importing.laws import law_of
from app.exchange.importing.lookups import (
    Links,
    Missing,
    New,
    by_their_id,
    find,
    in_chunks,
    taken_by_others,
)
from app.exchange.importing.mapping import (
    REASON,
    Mapping,
    problems,
    remember,
    remembered,
    suggest,
    suggested_match,
)
from app.exchange.reading import Refusal, Refused, Report, legible
from app.extensions import N_
from app.models import ENTITIES, Company, ExternalKey
from app.rules import RuleBroken, custom_fields, duplicates, likeness, sealed, values

__all__ = [
    "ACTIONS",
    "Desk",
    "House",
    "Item",
    "Mapping",
    "Outcome",
    "Style",
    "bring_in",
    "fields_for",
    "plan",
    "remember",
    "remembered",
    "suggest",
    "suggested_match",
]

CHUNK = 1000
LIKES = 3  # records that a row is said to resemble
COMPARED = 20_000  # new rows that are held against what stands; as many as a plan shows
ROW = N_("Row in the file")
EMPTY = ("", None)
SPOOLED = ("action", "id", "name", "values", "their_id", "deed", "version")  # what is written of an item
ACTIONS = CREATE, UPDATE, UNCHANGED, SKIPPED, REFUSED = "create", "update", "unchanged", "skipped", "refused"


@dataclass
class Item:
    """What becomes of one row: `changes` maps a field to (before, after); `values` are as their columns keep them."""

    record: object
    action: str = CREATE
    id: int | None = None
    name: str = ""
    values: dict = field(default_factory=dict)
    changes: dict = field(default_factory=dict)
    reasons: list = field(default_factory=list)
    warnings: list = field(default_factory=list)
    their_id: str | None = None
    deed: dict | None = None
    version: int | None = None  # of the record, when it was compared


@dataclass
class Outcome:
    """What came of an import: how many rows of which action, which records were made beside, what was refused."""

    counts: Counter = field(default_factory=Counter)
    made: Counter = field(default_factory=Counter)  # entity -> records created because rows named them
    reasons: Counter = field(default_factory=Counter)  # why rows were refused -> how many
    warnings: int = 0
    is_stored: bool = True
    refused_file: bytes | None = None

    @property
    def read(self):
        return sum(self.counts.values())

    def note(self, item):
        self.counts[item.action] += 1
        self.warnings += bool(item.warnings)
        for reason in item.reasons:
            self.reasons[reason.message] += 1


@dataclass(frozen=True)
class House:
    """What an import needs to know of the house it comes into; rules know neither clock nor settings."""

    today: object
    now: object
    currency: str
    style: Style = field(default_factory=Style)
    department_id: int | None = None  # whose new rows are; None: the importer's own
    # (model, values) -> whose customer it is beyond the importer's reach, as `rules/sealed.py` tells it, or None
    look_outside: Callable | None = None

    @classmethod
    def of(cls, settings, now, *, languages=("en",), catalogues=None, department_id=None):
        """As the settings have it, at this moment; `catalogues` is the folder of the shipped translations."""
        style = Style(zone=settings.zone, languages=tuple(languages), catalogues=catalogues)
        today = now.astimezone(settings.zone).date()
        return cls(today, now, settings.CURRENCY, style, department_id)


class Desk:
    """One import: the session's person, the file, the mapping, and everything that was looked up."""

    def __init__(self, session, table, entity, mapping, house):
        self.session, self.table, self.entity, self.mapping = session, table, entity, mapping
        self.principal = access.principal_of(session)
        self.model = ENTITIES[entity]
        self.today, self.now, self.currency = house.today, house.now, house.currency
        self.department_id = house.department_id or self.principal.department_id
        self._look_outside = house.look_outside
        self.fields = fields_for(session, entity)
        wrong = problems(entity, mapping, self.fields, table.headers)
        if wrong:
            refusals = [Refusal(table.name, None, None, message, values, None) for message, values in wrong]
            raise Refused(Report(refusals=refusals))
        self.law = law_of(entity, self)
        style = replace(house.style, dates=mapping.dates, decimal=mapping.decimal)
        self._readers = self._make_readers(style)
        self._links = {
            name: Links(session, one, kind_of_stage=entity)
            for name, one in self.fields.items()
            if one.kind == "link" and name in mapping.columns.values()
        }
        self._reach = {verb: _reach(self.principal, verb, self.model) for verb in ("add", "edit")}
        self._may_make = {name: _reach(self.principal, "add", ENTITIES[name]) for name in ("company",)}
        if not self.principal.may("import", entity):
            raise access.WriteRefused(entity)
        self._required = [
            (name, self.fields[name].label) for name in targets.required_of(entity) if name in self.fields
        ]
        added = [one.custom for one in self.fields.values() if one.kind == "custom"]
        self._custom_defaults = {f"custom.{name}": one for name, one in custom_fields.defaults(added).items()}
        self._custom_required = [one for one in added if one.is_required]
        self.rows = 0
        self._made = set()  # names of companies that are to be created
        self._last_ids = {}  # model -> the highest id when it was looked at
        self._first_theirs = {}  # foreign id -> row of the file in which it stood first
        self._first_row = {}  # match key -> row of the file in which it stood first

    # ---- reading a row

    def _make_readers(self, style):
        """(position, header, field, function) of each mapped column."""
        readers = []
        for position, header in enumerate(self.table.headers):
            one = self.fields.get(self.mapping.columns.get(header))
            if one is None:
                continue
            if one.kind == "value":
                read = reader_for(one.column, style)
            elif one.kind == "custom":
                read = self._custom_reader(one.custom, style)
            else:
                read = {"id": _read_id, "key": _read_key, "full_name": _text, "link": _text}[one.kind]
            readers.append((position, header, one, read))
        return readers

    def _read(self, record, readers):
        """(values by field, refusals): links as texts, absent columns and empty cells left out."""
        found, refusals, mapping = {}, list(record.faults), self.mapping
        is_csv = self.table.format == "CSV"
        if record.faults:
            return found, refusals
        cells = record.cells
        for position, header, one, read in readers:
            cell = cells[position]
            if is_csv and type(cell) is str and cell[:1] == "'":
                cell = restored(cell)
            if cell in EMPTY or (type(cell) is str and not cell.strip()):
                if mapping.empty_clears:
                    found[one.name] = None
            elif mapping.clear and type(cell) is str and cell.strip() == mapping.clear:
                found[one.name] = None
            else:
                try:
                    value = read(cell)
                except RuleBroken as broken:
                    refusals.append(self._refusal(record, header, broken.message, broken.values))
                    continue
                if one.kind == "full_name":
                    found["first_name"], found["last_name"] = split_name(value)
                elif value is not None:
                    found[one.name] = value
        return found, refusals

    def _refusal(self, record, header, message, values):
        values = {name: legible(one) if isinstance(one, str) else one for name, one in values.items()}
        return Refusal(self.table.name, record.number, header, message, values, record.line)

    def _header_of(self, name):
        return next((header for header, one in self.mapping.columns.items() if one == name), None)

    def _custom_reader(self, one, style):
        """The function that reads a cell for a field that the firm added: by its own rules, in the file's style."""
        read_typed = {
            "number": read_number,
            "decimal": read_number,
            "money": read_number,
            "date": read_day,
            "moment": read_moment,
        }.get(one.kind, lambda cell, style: as_text(cell))

        def read(cell):
            value = read_typed(cell, style)
            return custom_fields.read_value(one, value, session=self.session, zone=style.zone)

        return read

    # ---- the first look

    def survey(self, progress=lambda done, total: None):
        """Learn what the file speaks of, and look all of it up."""
        match, entity = self.mapping.match, self.entity
        for model in (self.model, Company):
            if self.principal.may("see", model.__tablename__):
                self._last_ids[model] = self.session.scalar(select(func.max(model.id))) or 0
        alike = [spec for spec in targets.ALIKE.get(entity, ()) if spec != match and self._has(spec)]
        wanted_names = {*match, "key", *(name for spec in alike for name in spec)}
        readers = [
            one
            for one in self._readers
            if one[2].kind == "link"
            or one[2].name in wanted_names
            or (one[2].kind == "full_name" and wanted_names & {"first_name", "last_name"})
        ]
        keys, others, their_ids = set(), {spec: set() for spec in alike}, set()
        for record in self.table.records():
            self.rows += 1
            if self.rows % 5_000 == 0:
                progress(0, self.rows)
            found, refusals = self._read(record, readers)
            if refusals:
                continue
            for name, links in self._links.items():
                if found.get(name) is not None:
                    links.want(found[name])
            if found.get("key") is not None:
                their_ids.add(found["key"])
            if match not in (("id",), ("key",)) or found.get(match[0]) is not None:
                keys.add(tuple([normal(found.get(name)) for name in match]))
            for spec, seen in others.items():
                key = tuple([normal(found.get(name)) for name in spec])
                if any(key):
                    seen.add(key)
        for links in self._links.values():
            links.look()
        self._find_theirs(their_ids)
        self._find_matches(match, keys, others)
        self._look_for_likes()

    def _look_for_likes(self):
        """What the rows that are new resemble among all that stands, by the scores of the finder."""
        self._likes, self._sealed = {}, {}  # row of the file -> candidates; whose customer it is
        is_compared = self.model in duplicates.KINDS and self._last_ids.get(self.model)
        is_asked = self._look_outside is not None and self.model in sealed.CUSTOMERS
        if not (is_compared or is_asked) or self.mapping.mode == "update":
            return
        newcomers, numbers = duplicates.Newcomers(self.model), []
        for record in self.table.records():
            item = self._item(record)
            if item.id is None and not item.reasons:
                company = item.values.get("company_id")
                named = {"company": company.name} if isinstance(company, New) else {}
                newcomers.add({**item.values, **named})
                numbers.append(record.number)
                if is_asked and (told := self._look_outside(self.model, item.values)):
                    self._sealed[record.number] = told
                if len(numbers) == COMPARED:
                    break
        found = newcomers.held_against(self.session, most=LIKES) if is_compared else [()] * len(numbers)
        self._likes = {number: likes for number, likes in zip(numbers, found, strict=True) if likes}

    def _has(self, spec):
        given = set(self.mapping.columns.values())
        if targets.FULL_NAME in given:
            given |= {"first_name", "last_name"}
        return set(spec) <= given

    def _find_theirs(self, their_ids):
        """Which foreign ids are known, and which of them stand for records that the person does not see."""
        source = self.mapping.source
        self._theirs = by_their_id(self.session, source, self.entity, their_ids)
        self._taken = set()
        if their_ids and not self.principal.is_system:
            hidden = [key for key in their_ids if key not in self._theirs]
            self._taken = taken_by_others(source, self.entity, hidden)

    def _find_matches(self, match, keys, others):
        wanted = dict(others)
        if match == ("key",):
            self._matches = {(key,): [record_id] for key, record_id in self._theirs.items()}
        else:
            wanted[match] = self._with_ids(match, keys)
        found = find(self.session, self.model, wanted)
        if match != ("key",):
            self._matches = found.pop(match)
        self._alike = found

    def _with_ids(self, match, keys):
        """The keys with their names of companies and the like as ids; those of none that stands are left out."""
        places = [place for place, name in enumerate(match) if name in self._links]
        if not places:
            return keys
        resolved = set()
        for key in keys:
            parts = list(key)
            try:
                for place in places:
                    if parts[place] is not None:
                        parts[place] = self._links[match[place]].id_of(parts[place])
            except Missing:
                if self.mapping.missing.get(match[place]) != "leave":
                    continue
                parts[place] = None
            except RuleBroken:
                continue
            resolved.add(tuple(parts))
        return resolved

    # ---- the second look

    def lay_by(self, items, spool):
        """Keep what is to be written of these rows, without the rows."""
        kept = [item for item in items if item.action in (CREATE, UPDATE)]
        for item in kept:
            for name in self._links:
                if isinstance(item.values.get(name), New):
                    self._made.add((normal(item.values[name].name),))
        if kept:
            told = [tuple(getattr(item, name) for name in SPOOLED) for item in kept]
            pickle.dump(told, spool, pickle.HIGHEST_PROTOCOL)

    def chunks(self):
        """The items of the file, some hundred at a time; nothing is written between two of them but what they say."""
        records = []
        for record in self.table.records():
            records.append(record)
            if len(records) == CHUNK:
                yield self._items(records)
                records = []
        if records:
            yield self._items(records)

    def _items(self, records):
        items = [self._item(record) for record in records]
        stands = self._standing({item.id for item in items if item.id is not None and not item.reasons})
        for item in items:
            if item.reasons:
                item.action = REFUSED
            elif item.id is None:
                self._plan_new(item)
            else:
                self._plan_edit(item, *stands)
        return items

    def _item(self, record):
        found, refusals = self._read(record, self._readers)
        item = Item(record, values=found, reasons=refusals)
        item.name = _name_of(found)
        if refusals:
            return item
        for name, links in self._links.items():
            if found.get(name) is not None:
                self._resolve(item, name, links)
        self._match(item)
        found.pop("id", None)
        item.their_id = found.pop("key", None)
        return item

    def _resolve(self, item, name, links):
        """A link's text as an id, as a record to come, or as a reason why not."""
        text, header = item.values[name], self._header_of(name)
        try:
            item.values[name] = links.id_of(text)
        except Missing as missing:
            what = self.mapping.missing.get(name, "refuse")
            if what == "create" and links.target == "company":
                item.values[name] = New(text)
            elif what == "leave":
                del item.values[name]
                item.warnings.append(Note(missing.message, missing.values))
            else:
                item.reasons.append(self._refusal(item.record, header, missing.message, missing.values))
        except RuleBroken as broken:
            item.reasons.append(self._refusal(item.record, header, broken.message, broken.values))

    def _match(self, item):
        match = self.mapping.match
        parts = [item.values.get(name) for name in match]
        header = self._header_of(match[0]) if len(match) == 1 else None
        if item.reasons:
            return
        if all(part in EMPTY for part in parts):
            message = N_("there is nothing by which to tell this row from others")
            item.reasons.append(self._refusal(item.record, header, message, {}))
            return
        key = tuple([normal(part.name) if isinstance(part, New) else normal(part) for part in parts])
        if match == ("key",):
            key = tuple(parts)  # a foreign id means what it says, to the letter
        first = self._first_row.setdefault(key, item.record.number)
        if first != item.record.number:
            message = N_("row %(first)s has the same %(fields)s")
            fields = ", ".join(self.fields[name].label for name in match)
            item.reasons.append(
                self._refusal(item.record, header, message, {"first": first, "fields": fields})
            )
            return
        ids = [] if any(isinstance(part, New) for part in parts) else self._matches.get(key, [])
        if len(ids) > 1:
            message = N_("this is true of several records: %(numbers)s")
            numbers = ", ".join(f"#{one}" for one in ids[:5])
            item.reasons.append(self._refusal(item.record, header, message, {"numbers": numbers}))
        elif ids:
            item.id = ids[0]
        elif match == ("id",):
            item.reasons.append(self._refusal(item.record, header, N_("there is no such record"), {}))

    def _standing(self, ids):
        """(rows as they stand, ids that may be edited), for the matched records of a chunk."""
        if not ids:
            return {}, set()
        names = {"id", *self.law.needs}
        names |= {"version", *(one.name for _, _, one, _ in self._readers if one.column is not None)}
        if any(one.kind == "full_name" for _, _, one, _ in self._readers):
            names |= {"first_name", "last_name"}
        if any(one.kind == "custom" for _, _, one, _ in self._readers):
            names.add("custom")
        if hasattr(self.model, "department_id"):
            names |= {"department_id", "owner_id"}
        names &= set(self.model.__table__.c.keys())
        names = sorted(access.shown(self.principal, self.entity, names))
        columns = [getattr(self.model, name) for name in names]
        rows = {}
        editable = set()
        unseen = dict.fromkeys(self.law.needs)  # what rules ask about, and is hidden: nothing is changed about it
        verbs = ("import", "edit")
        within = and_(*(access.lies_within(self.principal, verb, self.model) for verb in verbs))
        for chunk in in_chunks(ids):
            for row in self.session.execute(select(*columns).where(self.model.id.in_(chunk))):
                rows[row.id] = unseen | dict(zip(names, row, strict=True))
            editable.update(
                self.session.scalars(select(self.model.id).where(self.model.id.in_(chunk), within))
            )
        self.law.look(ids)
        return rows, editable

    def _plan_new(self, item):
        if self.mapping.mode == "update":
            return self._refuse(item, None, N_("there is no such record, and none is to be created"))
        if item.their_id is not None:
            self._check_their_id(item)
        values = {
            **self.law.defaults(),
            **self._custom_defaults,
            **{name: one for name, one in item.values.items() if one is not None},
        }
        for name, label in self._required:
            if values.get(name) in EMPTY:
                self._refuse(item, name, N_("“%(field)s” is missing"), field=label)
        for one in self._custom_required:
            if values.get(f"custom.{one.name}") is None:
                self._refuse(item, f"custom.{one.name}", N_("“%(field)s” is missing"), field=str(one))
        if not item.reasons and not self._reach["add"](values):
            self._refuse(item, "department_id", N_("you may not add records there"))
        self._check_links(item, values)
        if not item.reasons:
            for name, message, filled in self.law.check_new(values):
                self._refuse(item, name, message, **filled)
        if item.reasons:
            return None
        item.changes = {name: (None, one) for name, one in item.values.items() if one is not None}
        item.values = _with_custom(values, {})
        self._warn(item)
        item.deed = self.law.deed_of(item.values)
        return None

    def _check_their_id(self, item):
        """A foreign id stands for one record only."""
        first = self._first_theirs.setdefault(item.their_id, item.record.number)
        if first != item.record.number:
            message = N_("row %(first)s has the same %(fields)s")
            self._refuse(item, "key", message, first=first, fields=self.fields["key"].label)
        elif item.their_id in self._taken:
            # Told in the words of a rule, not of a record: nobody learns what stands behind it.
            self._refuse(item, "key", N_("this id cannot be used here"))
        elif item.their_id in self._theirs:
            number = self._theirs[item.their_id]
            self._refuse(item, "key", N_("this id belongs to #%(number)s already"), number=number)

    def _plan_edit(self, item, rows, editable):
        if self.mapping.mode == "create":
            item.action = SKIPPED
            return
        row = rows.get(item.id)
        if row is None:
            self._refuse(item, None, N_("there is no such record"))
            return
        item.name = item.name or _name_of(row) or f"#{item.id}"
        custom = row.get("custom") or {}
        changes = {}
        for name, value in item.values.items():
            before = custom.get(name[7:]) if name.startswith("custom.") else row.get(name)
            if before != value and not _is_same_second(before, value):
                changes[name] = (before, value)
        if not changes:
            item.action, item.values = UNCHANGED, {}
            return
        if item.id not in editable:
            self._refuse(item, None, N_("you may not change this record"))
            return
        for name, (_, value) in changes.items():
            column = self.fields[name].column
            is_needed = not column.nullable if column is not None else self.fields[name].custom.is_required
            if value is None and is_needed:
                self._refuse(item, name, N_("“%(field)s” cannot be empty"), field=self.fields[name].label)
        new = {name: after for name, (_, after) in changes.items()}
        if (
            not item.reasons
            and {"department_id", "owner_id"} & set(new)
            and not self._reach["edit"]({**row, **new})
        ):
            self._refuse(item, "department_id", N_("you may not move records there"))
        self._check_links(item, new)
        if not item.reasons:
            for name, message, filled in self.law.check_edit(row, new):
                self._refuse(item, name, message, **filled)
        if item.reasons:
            return
        item.action, item.changes = UPDATE, changes
        item.values, item.version = _with_custom(new, custom), row["version"]
        item.deed = self.law.deed_of(item.values, row)

    def _check_links(self, item, values):
        """Who has left gets no new work, and a record that is to be created needs the right to."""
        owner = (
            self._links["owner_id"].rows.get(values.get("owner_id")) if "owner_id" in self._links else None
        )
        if owner is not None and owner.has_left:
            self._refuse(item, "owner_id", N_("%(person)s has left"), person=str(owner))
        for name, value in values.items():
            if isinstance(value, New):
                whose = {"department_id": self.department_id, "owner_id": self.principal.id}
                if not self._may_make["company"](whose):
                    self._refuse(item, name, N_("Nothing is named “%(text)s”."), text=value.name)
                elif len(value.name) > Company.__table__.c.name.type.length:
                    most = Company.__table__.c.name.type.length
                    self._refuse(item, name, N_("the text has more than %(most)s characters"), most=most)

    def _refuse(self, item, name, message, **filled):
        item.action = REFUSED
        header = self._header_of(name) if name else None
        item.reasons.append(self._refusal(item.record, header, message, filled))

    def _warn(self, item):
        """Whether something alike stands already that the match does not see."""
        if told := self._sealed.get(item.record.number):
            message = N_("this customer exists already, in %(department)s; ask %(person)s")
            item.warnings.append(Note(message, {**told, "person": told["person"] or told["department"]}))
        for one in self._likes.get(item.record.number, ()):
            (what, level, _), *_more = one.likeness.reasons
            message = N_(
                "perhaps a duplicate of “%(record)s” (#%(number)s), alike by %(score)s of 100: %(why)s"
            )
            told = {"record": one.name, "number": one.id, "score": one.likeness.score}
            item.warnings.append(Note(message, {**told, "why": likeness.sentence(what, level)}))
        for spec, found in self._alike.items():
            key = tuple([normal(item.values.get(name)) for name in spec])
            ids = found.get(key, ()) if any(key) else ()
            if ids:
                numbers = ", ".join(f"#{one}" for one in ids[:3])
                fields = ", ".join(self.fields[name].label for name in spec)
                message = N_("perhaps a duplicate of %(numbers)s: the same %(fields)s")
                item.warnings.append(Note(message, {"numbers": numbers, "fields": fields}))
                return

    # ---- writing

    def check_since(self, session):
        """Nobody may have added in the meantime what this import is about to add."""
        models = {self.model: (self.mapping.match, self._first_row)}
        if self.mapping.match in (("id",), ("key",)):
            models = {}  # an id names what is there, and a foreign one cannot stand twice
        if self._made:
            models[Company] = (("name",), self._made)
        for model, (names, keys) in models.items():
            columns = [getattr(model, name) for name in names]
            for row in session.execute(select(*columns).where(model.id > self._last_ids[model])):
                if tuple([normal(part) for part in row]) in keys:
                    raise RuleBroken(
                        N_("Somebody has just added “%(name)s”. Nothing was stored; start the import again."),
                        name=" ".join(str(part) for part in row if part),
                    )

    def write(self, session, items, outcome):
        """Write what these items say, in a few statements."""
        new = [item for item in items if item.action == CREATE]
        edited = [item for item in items if item.action == UPDATE]
        self._check_versions(session, edited)
        self._make_missing(session, items, outcome)
        if new:
            names = sorted({name for item in new for name in item.values})
            rows = [{name: item.values.get(name) for name in names} for item in new]
            for item, key in zip(new, bulk.add(session, self.model, rows), strict=True):
                item.id = key
            access.ask(session, "import", self.model, [item.id for item in new])
            keys = [
                {
                    "source": self.mapping.source,
                    "entity": self.entity,
                    "their_id": item.their_id,
                    "record_id": item.id,
                }
                for item in new
                if item.their_id is not None
            ]
            if keys:
                bulk.add(session, ExternalKey, keys)
        changed = {item.id: item.values for item in edited if item.values}
        if changed:
            access.ask(session, "import", self.model, changed)
            bulk.edit(session, self.model, changed)
            access.ask(session, "import", self.model, changed)
        deeds = [item for item in items if item.deed]
        for item in deeds:
            self.law.do(session, item.id, item.deed)
        if deeds:
            session.flush()
            session.expunge_all()

    def _check_versions(self, session, edited):
        """What was compared must still stand as it did: no edit of another is overwritten unseen."""
        versions = {item.id: item for item in edited}
        for chunk in in_chunks(versions):
            statement = select(self.model.id, self.model.version).where(self.model.id.in_(chunk))
            now = dict(session.execute(statement).all())
            for key in chunk:
                if now.get(key) != versions[key].version:
                    raise RuleBroken(
                        N_(
                            "“%(name)s” was just changed by somebody. Nothing was stored; start the import again."
                        ),
                        name=versions[key].name,
                    )

    def _make_missing(self, session, items, outcome):
        """Create the companies that rows name and nobody knows, once each, and put their ids in."""
        for name, links in self._links.items():
            unknown = {}
            for item in items:
                value = item.values.get(name)
                if isinstance(value, New) and not links.knows(value.name):
                    unknown.setdefault(normal(value.name), value.name)
            if unknown:
                whose = {
                    "department_id": self.department_id,
                    "owner_id": self.principal.id,
                    "kind": "prospect",
                }
                rows = [{"name": values.one_line(text).strip(), **whose} for text in unknown.values()]
                for text, key in zip(unknown.values(), bulk.add(session, Company, rows), strict=True):
                    for other in self._links.values():
                        if other.target == "company":
                            other.learn(text, key)
                outcome.made["company"] += len(rows)
            for item in items:
                if isinstance(item.values.get(name), New):
                    item.values[name] = links.id_of(item.values[name].name)


def plan(desk, progress=lambda done, total: None):
    """Every row's item, in order; nothing is written."""
    desk.survey(progress)
    done = 0
    for items in desk.chunks():
        yield from items
        done += len(items)
        progress(done, desk.rows)


def bring_in(desk, begin=None, *, skip_bad=False, progress=lambda done, total: None, say=str):
    """Plan all rows, then write what the plan says into one transaction, which the caller commits.

    All or nothing: with a row that is refused nothing is written, unless `skip_bad` takes the good rows; the refused
    come back in a file, with the reasons as `say` puts them. `begin()` gives the session to write with, so that the
    long looking holds nobody up; without it that of the desk is used. Between the two, the plan lies in a file.
    """
    outcome, refused, done = Outcome(), RefusedFile(desk.table, say), 0
    desk.survey(progress)
    with TemporaryFile() as spool:
        for items in desk.chunks():
            for item in items:
                outcome.note(item)
                if item.action == REFUSED:
                    refused.add(item)
            desk.lay_by(items, spool)
            done += len(items)
            progress(done, 2 * desk.rows)
        outcome.refused_file = refused.content()
        outcome.is_stored = skip_bad or not refused.rows
        if outcome.is_stored and outcome.counts[CREATE] + outcome.counts[UPDATE]:
            session = begin() if begin else desk.session
            desk.check_since(session)
            spool.seek(0)
            while (items := _next_of(spool)) is not None:
                desk.write(session, items, outcome)
                done += len(items)
                progress(min(done, 2 * desk.rows), 2 * desk.rows)
    return outcome


def _next_of(spool):
    try:
        told = pickle.load(spool)  # written by ourselves a moment ago, into a file without a name
    except EOFError:
        return None
    return [Item(None, **dict(zip(SPOOLED, values, strict=True))) for values in told]


class RefusedFile:
    """The rows that were refused as a CSV of the same columns, with the row and the reason, to mend and feed again."""

    def __init__(self, table, say):
        self.rows, self._say, self._text = 0, say, io.StringIO(newline="")
        self._writer = csv.writer(self._text)
        self._kept = [n for n, header in enumerate(table.headers) if header not in (REASON, ROW)]
        self._writer.writerow([*(table.headers[n] for n in self._kept), ROW, REASON])

    def add(self, item):
        self.rows += 1
        cells = [_legible_cell(item.record.cells[n]) for n in self._kept]
        why = "; ".join(self._say(reason) for reason in item.reasons)
        self._writer.writerow([*cells, item.record.number, why])

    def content(self):
        """UTF-8 with its mark, as spreadsheets like it; None when nothing was refused."""
        return self._text.getvalue().encode("utf-8-sig") if self.rows else None


def _legible_cell(cell):
    """A cell as text that can be written: broken bytes become marks."""
    text = cell if isinstance(cell, str) else as_text(cell)
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "�")


def fields_for(session, entity):
    """The fields of an entity that the session's person may fill in, with those that the firm added."""
    fields = targets.fields_of(entity, custom_fields.fields_for(session, entity))
    may = set(access.writable(access.principal_of(session), entity, fields))
    return {name: one for name, one in fields.items() if name in may}


def split_name(text):
    """ "Ernst, Anna" and "Anna Ernst" -> ("Anna", "Ernst"); one word is a last name."""
    if "," in text:
        last, _, first = text.partition(",")
    else:
        first, _, last = text.rpartition(" ")
    return first.strip() or None, last.strip() or None


# --------------------------------------------------------------------------------------------- small things


def _text(cell):
    text = values.one_line(as_text(cell)).strip()
    values.check_storable(text)
    if len(text) > 200:
        raise RuleBroken(N_("the text has more than %(most)s characters"), most=200)
    return text


def _read_key(cell):
    text = _text(cell)
    if len(text) > 120:
        raise RuleBroken(N_("the text has more than %(most)s characters"), most=120)
    return text


def _read_id(cell):
    text = as_text(cell).strip().removeprefix("#")
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= values.LARGEST_INTEGER:
        raise RuleBroken(N_("“%(value)s” is no number of a record."), value=text[:40])
    return int(text)


def _with_custom(changes, custom):
    """The values with those of custom fields put together under `custom`, as the column keeps them."""
    own = {name[7:]: value for name, value in changes.items() if name[:7] == "custom."}
    if not own:
        return changes
    kept = {name: value for name, value in {**custom, **own}.items() if value is not None}
    return {name: value for name, value in changes.items() if not name.startswith("custom.")} | {
        "custom": kept or None
    }


def _is_same_second(before, value):
    """Whether a moment is the one that stands there, as far as a workbook tells it: to the second."""
    if not isinstance(before, datetime) or not isinstance(value, datetime):
        return False
    return value.microsecond == 0 and before.replace(microsecond=0) == value


def _name_of(found):
    """What to call a row that is no record yet."""
    if found.get("name") or found.get("subject"):
        return str(found.get("name") or found.get("subject"))
    return " ".join(str(found[name]) for name in ("first_name", "last_name") if found.get(name))


def _reach(principal, verb, model):
    """The function that says whether a grant of this verb, and one to import, reaches a row with such values."""
    if principal.is_system:
        return lambda row: True
    reached, brought = (_reached(principal, one, model) for one in (verb, "import"))
    return lambda row: reached(row) and brought(row)


def _reached(principal, verb, model):
    grants = [one for one in principal.grants_for(verb, model.__tablename__) if one.condition is None]
    if model.__sight__ == "reference":
        return lambda row: bool(grants)
    reaches_all = any(one.departments is None and one.owners is None for one in grants)
    departments = {key for one in grants for key in one.departments or ()}
    owners = {key for one in grants for key in one.owners or ()}

    def reached(row):
        return reaches_all or row.get("department_id") in departments or row.get("owner_id") in owners

    return reached
