"""Finding what a file speaks of, for all its rows at once: never a SELECT a row, and never past the rule of sight.

Names are compared regardless of case and blanks, on both engines alike; so whole columns are read past and compared
here, which takes one scan of a table, however long the file is.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import select

from app import access, security
from app.exchange.importing.cells import normal
from app.extensions import N_
from app.models import ENTITIES, Department, ExternalKey, Pipeline, Staff, Stage, TaxRate
from app.rules import RuleBroken

AT_ONCE = 500  # values in one statement: engines limit how many it may carry
STREAMED = 5_000
TOLD = 6  # records of one key that are told apart; more are "several"
SMALL = {"department", "staff", "stage", "tax_rate"}  # read whole
_NUMBER = re.compile(r"#(\d{1,9})\)?$")


@dataclass(frozen=True)
class New:
    """A record that does not stand yet and will be created by its name."""

    name: str

    def __str__(self):
        return self.name


class Missing(RuleBroken):
    """Nothing visible is called so."""


def in_chunks(values, most=AT_ONCE):
    values = list(values)
    for start in range(0, len(values), most):
        yield values[start : start + most]


def find(session, model, wanted):
    """spec -> {key: [ids]}, of visible rows; `wanted` maps a spec (names of columns) to the set of keys looked for."""
    found = {spec: defaultdict(list) for spec in wanted}
    specs = {spec: keys for spec, keys in wanted.items() if keys}
    for keys in in_chunks(key for spec in specs if spec == ("id",) for (key,) in specs[spec]):
        for (key,) in session.execute(select(model.id).where(model.id.in_(keys))):
            found["id",][key,].append(key)
    scanned = {spec: keys for spec, keys in specs.items() if spec != ("id",)}
    if not scanned:
        return found
    names = sorted({name for spec in scanned for name in spec})
    places = {spec: [names.index(name) + 1 for name in spec] for spec in scanned}
    statement = select(model.id, *(getattr(model, name) for name in names))
    for row in session.execute(statement.execution_options(yield_per=STREAMED)):
        for spec, keys in scanned.items():
            key = tuple([normal(row[place]) for place in places[spec]])
            if key in keys and len(found[spec][key]) < TOLD:
                found[spec][key].append(row[0])
    return found


class Links:
    """What the texts of one link column stand for."""

    def __init__(self, session, field, *, kind_of_stage=None, principal=None):
        self.session, self.target, self.principal = session, field.target, principal
        self.kind_of_stage = kind_of_stage
        self.texts, self._found = set(), {}
        self._ids = {}  # what a text comes to -> [ids]
        self.rows = {}  # of small tables: id -> row

    def want(self, text):
        if self.target not in SMALL:
            self.texts.add(text)

    def look(self):
        """Ask for everything that is wanted, at once."""
        if self.target in SMALL:
            self._read_small()
            return
        model = ENTITIES[self.target]
        numbers = {int(found[1]) for text in self.texts if (found := _NUMBER.search(text))}
        mails = {(normal(text),) for text in self.texts if "@" in text} if hasattr(model, "email") else set()
        title = "subject" if hasattr(model, "subject") else "name"
        wanted = {("id",): {(number,) for number in numbers}, ("email",): mails}
        if self.target == "contact":
            wanted["first_name", "last_name"] = {
                key for text in self.texts for key in _ways_to_split(normal(text))
            }
        else:
            wanted[title,] = {(normal(text),) for text in self.texts}
            if hasattr(model, "sku"):
                wanted["sku",] = wanted[title,]
        wanted = {spec: keys for spec, keys in wanted.items() if keys}
        self._found = find(self.session, model, wanted)

    def id_of(self, text):
        """The id that this text means; raises RuleBroken when it means several, Missing when it means none."""
        name = normal(text)
        if self.target in SMALL:
            ids = self._ids.get(name, [])
        elif name in self._ids:
            ids = self._ids[name]
        else:
            ids = self._ids[name] = self._resolve(text, name)
        if len(ids) == 1:
            return ids[0]
        if ids:
            numbers = ", ".join(f"#{key}" for key in sorted(ids)[:5])
            raise RuleBroken(
                N_("“%(text)s” is the name of several: %(numbers)s."), text=text[:60], numbers=numbers
            )
        raise Missing(N_("Nothing is named “%(text)s”."), text=text[:60])

    def knows(self, text):
        """Whether exactly one record is called so by now."""
        return len(self._ids.get(normal(text), ())) == 1

    def learn(self, text, key):
        """A record of this name has just been made."""
        self._ids[normal(text)] = [key]

    def _resolve(self, text, name):
        number = _NUMBER.search(text)
        if number and self._found["id",].get((int(number[1]),)):
            before = text[: number.start()].strip(" (")
            if not before or self._is_called(int(number[1]), before):
                return [int(number[1])]
        if number and text.strip() == number[0]:
            return []
        if "@" in text and self._found.get(("email",), {}).get((name,)):
            return self._found["email",][name,]
        ids = []
        for spec, keys in self._found.items():
            if spec in (("id",), ("email",)):
                continue
            for key in _ways_to_split(name) if spec == ("first_name", "last_name") else [(name,)]:
                ids.extend(one for one in keys.get(key, ()) if one not in ids)
        return ids

    def _is_called(self, key, name):
        row = self.session.get(ENTITIES[self.target], key)
        return row is not None and normal(str(row)) == normal(name)

    def _read_small(self):
        model, ids = ENTITIES[self.target], defaultdict(list)
        for row in self.session.scalars(select(model)):
            self.rows[row.id] = row
        names = {
            "department": self._department_names,
            "staff": self._staff_names,
            "stage": self._stage_names,
            "tax_rate": self._tax_rate_names,
        }[self.target]
        for key, name in names():
            name = normal(name)
            if name and key not in ids[name]:
                ids[name].append(key)
        for key in self.rows:
            ids[f"#{key}"] = [key]
        self._ids = ids

    def _department_names(self):
        return [(row.id, row.name) for row in self.rows.values() if isinstance(row, Department)]

    def _staff_names(self):
        """Colleagues by their name, and by what they sign in with: whoever writes that knows it already."""
        names = [(row.id, row.name) for row in self.rows.values() if isinstance(row, Staff)]
        with access.system_session("who is meant in an import", writes=False) as session:
            for key, username, mail in session.execute(
                select(security.User.id, security.User.username, security.User.email)
            ):
                if key in self.rows:
                    names += [(key, username or ""), (key, mail or "")]
        names += [(key, f"{name} (#{key})") for key, name in names]
        return names

    def _stage_names(self):
        kinds = dict(self.session.execute(select(Pipeline.id, Pipeline.kind)).all())
        pipelines = dict(self.session.execute(select(Pipeline.id, Pipeline.name)).all())
        for row in self.rows.values():
            if isinstance(row, Stage) and kinds[row.pipeline_id] == self.kind_of_stage:
                yield row.id, row.name
                yield row.id, f"{pipelines[row.pipeline_id]}: {row.name}"

    def _tax_rate_names(self):
        for row in self.rows.values():
            if isinstance(row, TaxRate):
                percent = f"{row.percent.normalize():f}"
                yield from ((row.id, name) for name in (row.name, percent, f"{percent}%", f"{percent} %"))


def _ways_to_split(name):
    """Every way to take a full name for a first and a last one: "anna maria ernst", "ernst, anna maria"."""
    if "," in name:
        last, _, first = name.partition(",")
        return [(first.strip() or None, last.strip())]
    words = name.split()
    ways = [(" ".join(words[:cut]) or None, " ".join(words[cut:])) for cut in range(len(words))]
    return ways or [(None, "")]


# --------------------------------------------------------------------------------------------- foreign keys


def by_their_id(session, source, entity, keys):
    """Their id -> our id, of visible records."""
    found = {}
    for chunk in in_chunks(keys):
        query = select(ExternalKey.their_id, ExternalKey.record_id).where(
            ExternalKey.source == source, ExternalKey.entity == entity, ExternalKey.their_id.in_(chunk)
        )
        found.update(session.execute(query).all())
    return found


def taken_by_others(source, entity, keys):
    """Those of their ids under which a record stands that the asker does not see: no second one can have them."""
    found = set()
    with access.system_session("whether a foreign id is free", writes=False) as session:
        for chunk in in_chunks(keys):
            found.update(by_their_id(session, source, entity, chunk))
    return found
