"""Writes the rows of an export into the database: all of them in the session's one transaction, or none.

Whoever calls it commits. What is known by its external key is skipped, never changed.
"""

from sqlalchemy import String, select

from app.exchange.reading import Refused, Report, legible
from app.exchange.recipe import Fixed, Link
from app.extensions import N_
from app.models import ENTITIES, ExternalKey
from app.rules import RuleBroken


class World:
    """What the writing knows: session, day, choices of the caller, all rows, and what became of each."""

    def __init__(self, session, recipe, rows, *, today, choices):
        self.session, self.recipe, self.rows = session, recipe, rows
        self.today, self.choices = today, choices
        self.report = Report(read={file: len(sheet_rows) for file, sheet_rows in rows.items()})
        self._by_key = {file: {row.key: row for row in sheet_rows} for file, sheet_rows in rows.items()}
        self._parts = {}  # file of the parts -> key of the whole -> its rows
        self._ids = {}  # (file, entity) -> their id -> ours
        self._made = {}  # the same, of those made in this run
        self._records = {}  # (file, entity) -> their id -> the record of ours

    def source(self, file):
        """Under which name the keys of one file are kept: ids of customers and suppliers may be alike."""
        return self.recipe.sheet(file).source or f"{self.recipe.name}.{file.removesuffix('.csv')}"

    def row(self, file, key):
        """The row with this id in a file of the export."""
        return self._by_key[file][str(key)]

    def parts(self, sheet, key):
        """The rows of a sheet that are lines of the row with this id."""
        if sheet.file not in self._parts:
            grouped = self._parts[sheet.file] = {}
            for row in self.rows[sheet.file]:
                grouped.setdefault(str(row[sheet.part_of.column]), []).append(row)
        return self._parts[sheet.file].get(key, [])

    def ids(self, file, entity):
        """Their id -> ours, for what rows of this file have become; asked of the database once."""
        if (file, entity) not in self._ids:
            query = select(ExternalKey.their_id, ExternalKey.record_id).where(
                ExternalKey.source == self.source(file), ExternalKey.entity == entity
            )
            self._ids[file, entity] = dict(self.session.execute(query).all())
        return self._ids[file, entity]

    def made(self, file, entity):
        """Their id -> ours, for what rows of this file have become in this run."""
        return self._made.get((file, entity), {})

    def linked(self, link, row):
        """What the row named by this link has become; None without a name. Refuses what was deleted since."""
        key = row[link.column]
        if key is None:
            return None
        records = self._records.setdefault((link.file, link.entity), {})
        if str(key) not in records:
            ours = self.ids(link.file, link.entity)[str(key)]
            records[str(key)] = self.session.get(ENTITIES[link.entity], ours)
        if records[str(key)] is None:
            message = N_("“%(value)s” of %(file)s was imported before, but has been deleted here since")
            self.refuse(row, link.column, message, value=legible(str(key)), file=link.file)
        return records[str(key)]

    def remember(self, file, entity, ids):
        """Keep under which of their ids new records stand: their id -> ours."""
        self.ids(file, entity).update(ids)
        self._made[file, entity] = ids
        self.session.add_all(
            ExternalKey(source=self.source(file), entity=entity, their_id=key, record_id=ours)
            for key, ours in ids.items()
        )
        self.report.records[entity] += len(ids)

    def forget(self):
        """Save, and let go of all records: each one that a session holds makes every later save slower."""
        self.session.flush()
        self.session.expunge_all()
        self._records.clear()

    def refuse(self, row, column, message, **values):
        self.report.refusals.append(row.refusal(column, message, **values))
        self.report.created.clear()
        self.report.skipped.clear()
        raise Refused(self.report)


def load(session, recipe, rows, *, today, choices, step=lambda what, how_many: None):
    """Make records of all rows that are not known yet; returns the report. Raises Refused at what cannot be.

    `choices` holds what the recipe asks of its caller, `step` hears of each piece of work done.
    """
    world = World(session, recipe, rows, today=today, choices=choices)
    for sheet in recipe.sheets:
        if sheet.makes:
            _count(world, sheet)  # before any is loaded: the parts of a sheet come in with it
    for sheet in recipe.sheets:
        if sheet.part_of is None:
            _load_sheet(world, sheet, step)
    if recipe.finish:
        recipe.finish(world, step)
    session.flush()
    if recipe.money:
        world.report.money = recipe.money(world)
    return world.report


def _count(world, sheet):
    known = world.ids(sheet.file, sheet.makes[0].entity)
    skipped = sum(row.key in known for row in world.rows[sheet.file])
    world.report.skipped[sheet.file] = skipped
    world.report.created[sheet.file] = len(world.rows[sheet.file]) - skipped


def _load_sheet(world, sheet, step):
    if not sheet.makes:
        step(sheet.file, len(world.rows[sheet.file]))
    parts = [part for part in world.recipe.sheets if part.part_of and part.part_of.file == sheet.file]
    for make in sheet.makes:
        made, made_parts = {}, {part.file: {} for part in parts}
        # Nothing is saved row by row: thousands of rows go to the database in a few statements.
        with world.session.no_autoflush:
            for row in world.rows[sheet.file]:
                if row.key not in world.ids(sheet.file, make.entity):
                    made[row.key] = _make(world, make, row)
                for part in parts:
                    _make_parts(world, part, row, made.get(row.key), made_parts[part.file], step)
                if make is sheet.makes[-1]:
                    step(sheet.file, 1)
        _save(world, sheet, make, made)
        for part in parts:
            _save(world, part, part.makes[0], made_parts[part.file])


def _make_parts(world, part, row, whole, made, step):
    """The lines of a row: with what it has just become, or added to what it became before."""
    for part_row in world.parts(part, row.key):
        if part_row.key not in world.ids(part.file, part.makes[0].entity):
            of = whole if whole is not None else world.linked(part.part_of, part_row)
            made[part_row.key] = _make(world, part.makes[0], part_row, of)
        step(part.file, 1)


def _make(world, make, row, *whole):
    fields = _values(world, make.fields, row)
    _check_lengths(world, make, row, fields)
    try:
        if make.by:
            return make.by(world, row, fields, *whole)
        record = ENTITIES[make.entity](**fields)
        world.session.add(record)
        return record
    except RuleBroken as broken:
        source = make.fields.get(broken.field)
        world.refuse(row, source if isinstance(source, str) else None, broken.message, **broken.values)


def _save(world, sheet, make, made):
    world.session.flush()
    world.remember(sheet.file, make.entity, {key: record.id for key, record in made.items()})
    for key, record in made.items():
        for name, value in _values(world, make.later, world.row(sheet.file, key)).items():
            setattr(record, name, value)


def _values(world, fields, row):
    values = {}
    for name, source in fields.items():
        if isinstance(source, str):
            values[name] = row[source]
        elif isinstance(source, Fixed):
            values[name] = source.value
        elif isinstance(source, Link):
            record = world.linked(source, row)
            values[name] = record.id if record is not None else None
        else:
            values[name] = source(row, world)
    return values


def _check_lengths(world, make, row, fields):
    """SQLite would take any length and PostgreSQL refuse in its own words."""
    columns = ENTITIES[make.entity].__table__.c
    for name, value in fields.items():
        kind = columns[name].type if name in columns else None
        if isinstance(kind, String) and kind.length and value is not None and len(value) > kind.length:
            source = make.fields[name]
            column = source if isinstance(source, str) else None
            world.refuse(row, column, N_("the text has more than %(most)s characters"), most=kind.length)
