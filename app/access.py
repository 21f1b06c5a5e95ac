"""Who sees which row: one rule, at the session. Nothing else in the house filters by department.

A session carries one principal for its whole life. Without one it refuses to work; `system_session` names the system
in so many words. Three guards stand on every business session:

1. *sight*: every ORM SELECT, and every load of a link, gets the principal's conditions (`with_loader_criteria`);
2. *writing*: after each flush the database itself is asked whether the old and the new state of every written row, and
   every row a foreign key now points to, lie within the principal's grants;
3. *the net*: a statement that no mapped entity covers (raw SQL, plain tables, bulk writes) is refused at the cursor.
"""

import re
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cache, cached_property, lru_cache
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import (
    BindParameter,
    Boolean,
    Column,
    FromClause,
    Select,
    Table,
    and_,
    bindparam,
    event,
    exists,
    false,
    inspect,
    literal,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.engine import Engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Load, LoaderCriteriaOption
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.util import identity_key
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BooleanClauseList,
    ClauseList,
    ColumnClause,
    Grouping,
    TextClause,
)
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import iterate

from app import models, roles
from app.extensions import N_, Session, db, history_of
from app.models import ENTITIES, SECURITY_TABLES

# Marks on a statement's execution options: who vouches for it.
SIGHTED = "foyer_sighted"  # the conditions of sight are in it
VOUCHED = "foyer_vouched"  # a subselect on the search index that names ids of one entity
DOOR = "foyer_door"  # the ledger, the search index or the write guard sent it: own code, own tables
GOING_BACK = "going back"  # stands in the info of a session while it undoes


class NoPrincipal(RuntimeError):
    """A session was used before it was said for whom: a fault of the code, never "everything"."""


class Unsighted(RuntimeError):
    """A statement that no entity covers would pass by the rule of sight."""


class WriteRefused(Exception):
    """The principal may not write this row, or link to that one. The edge answers as if it were not there."""

    def __init__(self, entity, reason=N_("This is not yours to change.")):
        super().__init__(reason)
        self.entity, self.reason = entity, reason


class FieldRefused(WriteRefused):
    """The principal may write the row, but not this field of it."""

    def __init__(self, entity, name):
        super().__init__(entity, N_("A field of this is not yours to change."))
        self.name = name


# --------------------------------------------------------------------------------------------- the principal


class Sight(LoaderCriteriaOption):
    """A condition that every mention of an entity gets (`with_loader_criteria`), under whatever alias.

    SQLAlchemy 2.1 leaves the condition on the plain table where an alias is joined by an ON clause of its own: the
    alias then shows every row.
    """

    _traverse_internals = LoaderCriteriaOption._traverse_internals  # compiled once, like its parent
    _key = None

    def _gen_cache_key(self, anon_map, bindparams):
        """Worked out once: the condition never changes, and walking it costs more than many a SELECT."""
        if self._key is None:
            own = []
            self._key = super()._gen_cache_key(type(anon_map)(), own), own
        key, own = self._key
        bindparams.extend(own)
        return key

    def __init__(self, entity, condition, **more):
        for element in iterate(condition):
            if type(element) is BindParameter:
                element.__class__ = Value
        super().__init__(entity, condition, **more)

    def _resolve_where_criteria(self, entity):
        condition = super()._resolve_where_criteria(entity)
        return entity._adapter.traverse(condition) if entity.is_aliased_class else condition


class Value(BindParameter):
    """A value of a condition of sight. Two are compared as they are: SQLAlchemy would make an SQL expression of it.

    With each statement it looks up every value of a condition among those of the compiled one.
    """

    inherit_cache = True
    __hash__ = BindParameter.__hash__

    def __eq__(self, other):
        return hash(self) == hash(other)


class Via(NamedTuple):
    """Through what somebody holds a grant: a role in a department, perhaps that of another he stands in for."""

    role: str
    department_id: int | None
    person_id: int | None = None  # whose deputy he is for it
    until: date | None = None


class Held(NamedTuple):
    """A grant in somebody's hands: the departments and the owners of the rows it reaches, None for any."""

    entity: str
    verbs: tuple
    reach: str
    condition: str | None
    hidden: tuple
    read_only: tuple
    departments: tuple | None
    owners: tuple | None
    via: Via | None


def held(grants, *, person_id, department_id, below, via=None):
    """These grants as held by a person in a department (`below`: that one and all under it)."""
    found = []
    for grant in grants:
        departments, owners = (), None
        if grant.reach == roles.OWN:
            departments, owners = None, (person_id,)
        elif grant.reach == roles.DEPARTMENT:
            departments = tuple({department_id} - {None})
        elif grant.reach == roles.BELOW:
            departments = tuple(sorted(below - {None}))
        else:
            departments = None
        closed = tuple(sorted({*grant.hidden, *grant.read_only}))  # whoever is not shown it does not write it either
        found.append(Held(*grant._replace(read_only=closed), departments, owners, via))
    return tuple(found)


def covers(own, given):
    """Whether these grants hold everything that others would give: each verb, on each row, with each field open.

    Own rows elsewhere than in a department are covered only by who reaches all rows: they may lie anywhere.
    """
    return all(_is_covered(own, verb, grant) for grant in given for verb in grant.verbs)


def _is_covered(own, verb, given):
    kept, near = {*given.hidden, *given.read_only}, set()
    for grant in own:
        if grant.entity != given.entity or verb not in grant.verbs or grant.owners is not None:
            continue
        closes = {*grant.hidden} if verb == "see" else {*grant.hidden, *grant.read_only}
        is_as_open = closes <= (kept if verb != "see" else {*given.hidden})
        if not is_as_open or grant.condition not in (None, given.condition):
            continue
        if grant.departments is None:
            return True
        near.update(grant.departments)
    return given.owners is None and given.departments is not None and near >= set(given.departments)


@dataclass(frozen=True)
class Principal:
    """For whom a session works: a person with roles in departments, or the system itself."""

    id: int | None
    username: str
    name: str = ""
    title: str = ""
    department_id: int | None = None  # where he belongs first: there his new rows go
    departments: frozenset = frozenset()  # all where he holds a role, and those of people he stands in for
    below: frozenset = frozenset()  # these and all below them
    persons: tuple = ()  # himself and those he stands in for
    roles: tuple = ()
    language: str = "en"
    chosen_language: str = field(default="", repr=False, compare=False)  # by himself; the other his record has
    theme: str = field(default="auto", repr=False, compare=False)  # as he likes his pages: see `models.Preference`
    density: str = field(default="roomy", repr=False, compare=False)
    has_shortcuts: bool = field(default=True, repr=False, compare=False)
    default_views: dict = field(default_factory=dict, repr=False, compare=False)
    is_system: bool = False
    stamp: str = field(default="", repr=False, compare=False)  # ends sessions begun with another password
    custom_fields: tuple = field(default=(), repr=False, compare=False)  # how their definitions stood just now
    grants: tuple = field(default=(), repr=False)  # Held, each once
    shared: frozenset = frozenset()  # (verb, entity) of what others have shared with him
    acts_for: tuple = ()  # (person, his name, last day) of those whose deputy he is today
    gives: tuple = ()  # (department, roles) that he may let others hold, where he holds no accounts; see `covers`
    today: date | None = None  # the day on which deputies and shares were looked up

    # What Flask-Login asks of whoever is signed in.
    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self):
        return str(self.id)

    @cached_property
    def _hash(self):
        return hash((self.id, self.grants, self.shared, self.below, self.today, self.is_system))

    def __hash__(self):
        return self._hash  # asked for with every statement

    @cached_property
    def _verbs(self):
        found = self.shared.union((verb, grant.entity) for grant in self.grants for verb in grant.verbs)
        told = {page for (entity, name), page in TOLD_ON.items() if name in self.hidden(entity)}
        return frozenset(one for one in found if one[1] not in told) if told else found

    def may(self, verb, entity):
        """Whether this verb is granted at all, on whatever rows: what opens a page or shows a button."""
        return self.is_system or (verb, entity) in self._verbs

    def grants_for(self, verb, entity):
        return [grant for grant in self.grants if grant.entity == entity and verb in grant.verbs]

    def departments_for(self, verb, entity):
        """The departments that grants of this verb reach as such; None for all of them."""
        found = set()
        for grant in self.grants_for(verb, entity):
            if grant.departments is None and grant.owners is None:
                return None
            found.update(grant.departments or ())
        return frozenset(found)

    def arranges(self, entity):
        """The departments whose memberships or deputies he may write of his own right; None for all."""
        own = [one for one in self.own_grants if one.entity == entity and "add" in one.verbs and one.owners is None]
        if any(grant.departments is None for grant in own):
            return None
        return frozenset(key for grant in own for key in grant.departments)

    @property
    def own_grants(self):
        """What he holds himself, not as the deputy of another."""
        return [grant for grant in self.grants if grant.via is None or grant.via.person_id is None]

    # ---- fields

    @cached_property
    def has_hidden(self):
        return any(grant.hidden for grant in self.grants)

    def hidden(self, entity):
        """The columns that are kept from him on some rows of the entity: no list, filter or sort may name them."""
        return _hidden(self, entity)

    def read_only(self, entity):
        """The columns that he may not write on some rows of the entity."""
        return _read_only(self, entity)

    def hidden_on(self, row):
        """The columns that are kept from him on this very row."""
        return _kept_from(self, "hidden", row)

    def read_only_on(self, row):
        """The columns that he may not write on this very row: those hidden on it among them."""
        return _kept_from(self, "read_only", row) | _kept_from(self, "hidden", row)

    # ---- what `allowed` asks of whoever it is for: `policies.Whoever` answers the same questions in SQL

    def has(self, verb, entity):
        """EVERY_ROW or NO_ROW: whether the verb is granted at all."""
        return EVERY_ROW if self.may(verb, entity) else NO_ROW

    def conditions_of(self, verb, entity):
        """The conditions under which grants of the verb reach rows; None stands for those without one."""
        return tuple(dict.fromkeys(grant.condition for grant in self.grants_for(verb, entity)))

    def reaches(self, verb, entity, condition, row):
        """The condition on a row that grants of this verb, under this condition, reach it."""
        return _reach([grant for grant in self.grants_for(verb, entity) if grant.condition == condition], row)

    def shares_of(self, verb, entity):
        """The ids of the records of an entity that are shared with him, as a SELECT past the rule; None: none."""
        return shared_ids(self, verb, entity) if (verb, entity) in self.shared else None

    def fields_near(self, verb):
        """The departments whose custom fields he sees or arranges; None for all of them."""
        if self.may("edit", "account") or (verb == "see" and "director" in self.roles):
            return None
        return self.below if verb == "see" else self.departments_for(verb, "custom_field")

    def is_for(self, departments, listed_in, near):
        """The condition that a JSON list of departments is of those that are near."""
        if near is None:
            return EVERY_ROW
        return departments(listed_in, literal_column(", ".join(str(key) for key in sorted(near - {None})) or "NULL"))

    def seen_at(self, verb, model, row):
        """The condition on rows of another table, in a subselect of this one's."""
        return allowed(self, verb, model, row)

    def in_all(self, _verb, _entity):
        """No need to ask: where every row is allowed, `seen_at` has said so."""
        return NO_ROW

    def no_more_than_held(self, verb, model, row):
        """The condition that a membership or deputy gives nobody more than he who writes it holds."""
        return _no_more_than_held(self, verb, model, row)

    def of_whole(self, _verb, _column):
        """No need to ask either: that a column names an entity of which every row is allowed."""
        return NO_ROW

    def verbs_of_whole(self, verb):
        """The verbs of which one must reach the whole of a part; what is seen with its whole is taken along with it.

        That a part goes with its whole, the session knows: `_goes_with_its_whole`.
        """
        return ("see",) if verb in ("see", "export") else ("edit",)

    def pointed_at(self):
        """The entities of records to whose rows others may point, as far as each must be asked for."""
        return ROOTS

    # ---- sight

    def sight_of(self, table):
        """The loader criteria of this principal for a scoped table; None where every row is seen."""
        return _sight(self, table)

    @cached_property
    def sighted(self):
        """Statement -> (it with this principal's conditions, their tables), for those statements that are kept."""
        return WeakKeyDictionary()

    @cached_property
    def views(self):
        """Entity -> the saved views that he may use: asked once, and anew when any view has changed."""
        return {}

    def options_for(self, tables):
        """The loader criteria that a statement over these scoped tables needs."""
        return tuple(option for name in sorted(tables) if (option := self.sight_of(name)) is not None)


@lru_cache(maxsize=4096)
def _hidden(principal, entity):
    """What some grant to see hides, and no other shows wherever that one reaches; of parts, what would tell of it."""
    told = TOLD_BY.get(entity)
    if told is not None:
        whole, name, names = told
        return names if name in _hidden(principal, whole) else frozenset()
    return _kept(principal, "hidden", principal.grants_for("see", entity))


@lru_cache(maxsize=4096)
def _read_only(principal, entity):
    told = TOLD_BY.get(entity)
    if told is not None:
        whole, name, names = told
        return names if name in _read_only(principal, whole) else frozenset()
    writing = [*principal.grants_for("edit", entity), *principal.grants_for("add", entity)]
    return _kept(principal, "read_only", writing) | _hidden(principal, entity)


def _kept(principal, kind, grants):
    kept = set()
    for grant in grants:
        for name in getattr(grant, kind):
            opens = (one for one in grants if name not in getattr(one, kind) and one.condition is None)
            if not any(_covers(one, grant) for one in opens):
                kept.add(name)
    return frozenset(kept)


def _covers(one, other):
    """Whether every row that the other grant reaches lies within this one, as far as their reach tells."""
    if one.departments is None and one.owners is None:
        return True
    if one.owners is not None:
        return other.owners is not None and set(other.owners) <= set(one.owners)
    return other.owners is None and other.departments is not None and set(other.departments) <= set(one.departments)


def _kept_from(principal, kind, row):
    """By row, as it stands in the database: kept unless a grant without a condition that reaches it leaves it open."""
    entity = row.__tablename__
    names = _hidden(principal, entity) if kind == "hidden" else _read_only(principal, entity)
    if not names:
        return names
    verbs = ("see",) if kind == "hidden" else ("edit", "add")
    grants = [grant for verb in verbs for grant in principal.grants_for(verb, entity) if grant.condition is None]
    values = {**row.__dict__, **inspect(row).committed_state}
    open_here = [grant for grant in grants if _reaches(grant, values)]
    return frozenset(name for name in names if all(name in getattr(grant, kind) for grant in open_here))


def _reaches(grant, values):
    if grant.owners is not None:
        return values.get("owner_id") in grant.owners
    return grant.departments is None or values.get("department_id") in grant.departments


@lru_cache(maxsize=4096)
def _sight(principal, table):
    """Built once for each principal and table: conditions cost more to build than to run."""
    condition = allowed(principal, "see", ENTITIES[table])
    if condition is EVERY_ROW:
        return None
    return Sight(ENTITIES[table], condition, include_aliases=True)


SYSTEM = Principal(id=None, username="system", name="system", is_system=True)
EVERY_ROW = true()
NO_ROW = false()

_DEAL, _INVOICE, _STAGE = (model.__table__.alias() for model in (models.Deal, models.Invoice, models.Stage))


def _is_won(deal):
    return deal.stage_id.in_(select(_STAGE.c.id).where(_STAGE.c.outcome == "won"))


def _is_customer(company):
    """Called so, or has bought, or was billed: whoever owes money is a customer, whatever he is called by now."""
    return or_(company.kind == "customer", HasBought(company.id, BOUGHT.scalar_subquery()))


BOUGHT = union_all(
    select(_DEAL.c.company_id).where(_is_won(_DEAL.c), _DEAL.c.company_id.is_not(None)),
    select(_INVOICE.c.company_id).where(_INVOICE.c.company_id.is_not(None)),
)

# Named conditions of grants: entity and name -> condition over that table's columns.
CONDITIONS = {("company", "customer"): _is_customer, ("deal", "won"): _is_won}

# Whose sight a row has that stands for another: table -> (how the entity is named, how the record is).
_POINTERS = {"record": ("entity", "record_id"), "root": ("root_entity", "root_id")}
_NO_RECORDS = {models.ChangeSet, models.Job, models.OutboxMessage, models.ImportMapping}
ROOTS = tuple(
    name for name, model in ENTITIES.items() if model.__through__ is None and model not in _NO_RECORDS
)


def allowed(principal, verb, model, row=None):
    """The condition under which the principal may do `verb` to rows of `model`.

    `row` is where the columns come from: the class itself, an alias, or a table's `.c`. Returns `EVERY_ROW` or `NO_ROW`
    themselves when no question is left.
    """
    if principal.is_system:
        return EVERY_ROW
    row = model if row is None else row
    entity = model.__tablename__
    if model is models.ChangeSet:
        if verb != "see":
            return NO_ROW
        changes = models.Change.__table__.alias()
        seen = principal.seen_at(verb, models.Change, changes.c)
        return exists().where(changes.c.change_set_id == row.id, seen)  # set by set: the newest are asked for
    if model.__through__ in _POINTERS:
        return _through_record(principal, verb, model, row)
    if model.__through__ == "pair":
        return _through_both(principal, "edit" if verb == "edit" else "see", row)
    if model.__through__:
        parent = ENTITIES[model.__through__]
        column = getattr(row, f"{model.__through__}_id")
        return _either([_in_allowed(principal, one, parent, column) for one in principal.verbs_of_whole(verb)])
    if model.__sight__ == "reference":
        may = principal.has(verb, entity)
        return _both(may, _of_departments(principal, verb, row)) if model is models.CustomField else may
    within = _either([_granted(principal, verb, entity, row), _shared(principal, verb, entity, row)])
    if model in (models.Membership, models.Deputy) and verb != "see" and within is not NO_ROW:
        within = _both(within, principal.no_more_than_held(verb, model, row))
    for _subject, seen in subjects_of(principal, model, row):
        within = _both(within, seen)
    return within


def subjects_of(principal, model, row):
    """(what a row speaks of, that the principal sees it or that there is none) of each of its subjects."""
    for subject in getattr(model, "__subjects__", ()):
        column = getattr(row, f"{subject}_id")
        seen = _leads_to_allowed(principal, "see", ENTITIES[subject], column)
        yield subject, seen if seen is EVERY_ROW else or_(column.is_(None), seen)


def grounds_of(principal, verb, model, row):
    """(grant, that it reaches the row, that its condition holds) of each grant: the parts that `allowed` joins."""
    entity = model.__tablename__
    for grant in principal.grants_for(verb, entity):
        holds = CONDITIONS[entity, grant.condition](row) if grant.condition else EVERY_ROW
        yield grant, _reach([grant], row), holds


def _no_more_than_held(principal, verb, model, row):
    """Memberships and deputies that somebody without the accounts may write: nobody gets more by it than he holds.

    The people are of his own departments (he may send away whoever else was taken in); what he holds as a deputy does
    not count. A deputy gets all that the other holds, and what was shared with that one.
    """
    if principal.may("edit", "account"):
        return EVERY_ROW
    near = principal.arranges(model.__tablename__)
    staff = models.Staff.__table__.alias()
    people = select(staff.c.id) if near is None else select(staff.c.id).where(staff.c.department_id.in_(sorted(near)))
    if model is models.Membership:
        gives = and_(_gives(principal, row), row.source == "local")
        return gives if verb == "delete" else and_(gives, row.owner_id.in_(people))
    if verb == "delete":
        return row.owner_id.in_(people)
    held, shares = models.Membership.__table__.alias(), models.Share.__table__.alias()
    is_open = or_(shares.c.until_on.is_(None), shares.c.until_on >= principal.today)
    seen = _through_record(principal, "see", models.Share, shares.c)
    lends = or_(and_(shares.c.may == "see", seen), _through_record(principal, "add", models.Share, shares.c))
    return and_(
        row.owner_id.in_(people),
        row.deputy_id.in_(people),
        ~exists().where(held.c.owner_id == row.owner_id, ~_gives(principal, held.c)),
        ~exists().where(shares.c.to_staff_id == row.owner_id, is_open, ~lends),
    )


def _gives(principal, row):
    """That a membership is one of those that the principal may let others hold."""
    pairs = [and_(row.department_id == key, row.role.in_(names)) for key, names in principal.gives]
    return or_(*pairs) if pairs else NO_ROW


def _granted(principal, verb, entity, row):
    """What the grants reach, those without a condition together: one list of departments, one of owners."""
    ways = []
    for condition in principal.conditions_of(verb, entity):
        within = principal.reaches(verb, entity, condition, row)
        ways.append(_both(within, CONDITIONS[entity, condition](row) if condition else EVERY_ROW))
    return _either(ways)


def _reach(grants, row):
    if any(grant.departments is None and grant.owners is None for grant in grants):
        return EVERY_ROW
    departments = sorted({key for grant in grants for key in grant.departments or ()})
    owners = sorted({key for grant in grants for key in grant.owners or ()})
    ways = [_one_of(row.department_id, departments)] if departments else []
    if owners:
        ways.append(row.owner_id == owners[0] if len(owners) == 1 else _one_of(row.owner_id, owners))
    return or_(*ways) if ways else NO_ROW


def _one_of(column, keys):
    """`column.in_(keys)`, written out: a plain list is put into the statement anew each time that it is asked."""
    return column.in_([literal(key) for key in keys])


def _shared(principal, verb, entity, row):
    """What others have shared with him, with those he stands in for, or with a department of theirs."""
    shares = principal.shares_of(verb, entity)
    return NO_ROW if shares is None else row.id.in_(shares)


def shared_ids(principal, verb, entity):
    """The ids of the records of an entity that are shared with a principal, as a SELECT past the rule."""
    shares = models.Share.__table__.alias()
    ways = [shares.c.to_staff_id.in_(principal.persons)]
    if principal.departments:
        ways.append(shares.c.to_department_id.in_(sorted(principal.departments)))
    found = select(shares.c.record_id).where(
        shares.c.entity == entity,
        or_(*ways),
        or_(shares.c.until_on.is_(None), shares.c.until_on >= principal.today),
    )
    return found.where(shares.c.may == "edit") if verb == "edit" else found


class Reach(NamedTuple):
    """Where the rows lie that somebody sees: a hint for the way to them, never the rule itself.

    `departments` None: anywhere. `is_exact`: what lies there is seen, all of it. `shared`: the SELECT of the ids of
    those that lie elsewhere, perhaps, and are shared.
    """

    departments: tuple | None
    is_exact: bool
    shared: Select | None = None

    @property
    def is_one_walk(self):
        """Whether one index, or one stretch of it, holds them all."""
        return self.shared is None and (self.departments is None or len(self.departments) < 2)


@lru_cache(maxsize=4096)
def reach(principal, model):
    """In which departments the rows of a model lie that the principal sees."""
    if principal.is_system or model.__sight__ != "scoped":
        return Reach(None, True)
    grants = principal.grants_for("see", model.__tablename__)
    is_exact = all(grant.condition is None for grant in grants) and not hasattr(model, "__subjects__")
    if model.__through__ or model in _NO_RECORDS or any(grant.owners is not None for grant in grants):
        return Reach(None, False)
    if any(grant.departments is None for grant in grants):
        return Reach(None, is_exact)
    departments = tuple(sorted({key for grant in grants for key in grant.departments}))
    if ("see", model.__tablename__) not in principal.shared:
        return Reach(departments, is_exact)
    return Reach(departments, is_exact, vouched(shared_ids(principal, "see", model.__tablename__)))


def _of_departments(principal, verb, row):
    """Custom fields: seen by the departments they are for and by those above, written by heads of all of these."""
    departments = ForSome if verb == "see" else ForThese
    return principal.is_for(departments, row.department_ids, principal.fields_near(verb))


class ForSome(FunctionElement):
    """That a JSON list of departments is empty, or holds one of these."""

    name, inherit_cache, type = "for_some", True, Boolean()


class ForThese(FunctionElement):
    """That a JSON list of departments is not empty, and holds none but these."""

    name, inherit_cache, type = "for_these", True, Boolean()


@compiles(ForSome)
def _for_some(element, compiler, **more):
    column, these = (compiler.process(part, **more) for part in element.clauses)
    source, one = _listed(compiler, column)
    return f"(json_array_length({column}) = 0 OR EXISTS (SELECT 1 FROM {source} WHERE {one} IN ({these})))"


@compiles(ForThese)
def _for_these(element, compiler, **more):
    column, these = (compiler.process(part, **more) for part in element.clauses)
    source, one = _listed(compiler, column)
    are_these = f"NOT EXISTS (SELECT 1 FROM {source} WHERE coalesce({one} NOT IN ({these}), true))"
    return f"(json_array_length({column}) > 0 AND {are_these})"


class _PastTheWall(FunctionElement):
    """A question that the rule asks of rows which its asker may not see: the last of its parts.

    PostgreSQL's policies would keep those rows from it, so there the question is a function of the tables' owner
    (`policies.py` makes it), called with the other parts.
    """

    inherit_cache, type = True, Boolean()


class HasBought(_PastTheWall):
    """That a company has bought, or was billed."""

    name, inherit_cache = "foyer_bought", True


class IsThere(_PastTheWall):
    """That there is a row of an entity with this id."""

    name, inherit_cache = "foyer_is_there", True


class IsSetOf(_PastTheWall):
    """That a change set is a person's."""

    name, inherit_cache = "foyer_is_set_of", True


@compiles(HasBought)
def _has_bought(element, compiler, **more):
    company, bought = (compiler.process(part, **more) for part in element.clauses)
    return f"{company} IN {'(SELECT foyer_bought())' if compiler.dialect.name == 'postgresql' else bought}"


@compiles(IsThere)
@compiles(IsSetOf)
def _past_the_wall(element, compiler, **more):
    *parts, question = element.clauses
    if compiler.dialect.name != "postgresql":
        return compiler.process(question, **more)
    return f"{element.name}({', '.join(compiler.process(part, **more) for part in parts)})"


def _listed(compiler, column):
    """(the members of a JSON list as a table, one of them as a number)."""
    if compiler.dialect.name == "sqlite":
        return f"json_each({column}) AS listed", "listed.value"
    return f"json_array_elements_text({column}) AS listed(value)", "listed.value::integer"


def _in_allowed(principal, verb, model, column):
    """That `column` points to a row of `model` the principal may do `verb` to."""
    target = model.__table__.alias()
    condition = principal.seen_at(verb, model, target.c)
    if condition is EVERY_ROW or condition is NO_ROW:
        return condition
    return _either([principal.in_all(verb, model.__tablename__), column.in_(select(target.c.id).where(condition))])


def _leads_to_allowed(principal, verb, model, column):
    """The same, asked row by row: where many rows are passed on the way to a few, all ids at once cost too much."""
    target = model.__table__.alias()
    condition = principal.seen_at(verb, model, target.c)
    if condition is EVERY_ROW or condition is NO_ROW:
        return condition
    # A value, not EXISTS: PostgreSQL would hash all of them after all.
    return select(target.c.id).where(target.c.id == column, condition).scalar_subquery().is_not(None)


def _through_record(principal, verb, model, row):
    """Rows that speak of any record by entity and id are seen by who sees that record; never written by hand.

    The ledger outlives its records: what it says of one that is gone is seen by whoever reaches the department and
    owner that the record had.
    """
    if verb != "see":
        verb = getattr(model, "__written_with_record__", None)
        if verb is None:
            return NO_ROW
    entity_column, id_column = (getattr(row, name) for name in _POINTERS[model.__through__])
    ways = [principal.of_whole(verb, entity_column)]
    for entity in principal.pointed_at():
        root, target = ENTITIES[entity], ENTITIES[entity].__table__.alias()
        condition = principal.seen_at(verb, root, target.c)
        if condition is EVERY_ROW:
            ways.append(entity_column == entity)
        elif condition is not NO_ROW:
            seen = id_column.in_(select(target.c.id).where(condition))
            if model is models.Change:
                gone = ~IsThere(literal(entity), id_column, exists().where(target.c.id == id_column))
                seen = or_(seen, _both(_reach_when_gone(principal, verb, root, row), gone))
            ways.append(and_(entity_column == entity, seen))
    return _either(ways)


def _through_both(principal, verb, row):
    """Rows that compare two records of one entity: both must be within reach."""
    ways = [principal.of_whole(verb, row.entity)]
    for entity in principal.pointed_at():
        ids = [
            _in_allowed(principal, verb, ENTITIES[entity], column) for column in (row.one_id, row.other_id)
        ]
        ways.append(_both(row.entity == entity, _both(*ids)))
    return _either(ways)


def _reach_when_gone(principal, verb, model, row):
    """How far the grants reach without what only the record itself could have told: conditions and subjects.

    Whether one saw all subjects of what is gone, only he knows for sure who made the change himself.
    """
    within = principal.reaches(verb, model.__tablename__, None, row)
    is_for_some = model is models.CustomField
    if hasattr(model, "__subjects__") or is_for_some:
        sets = models.ChangeSet.__table__.alias()
        own = exists().where(sets.c.id == row.change_set_id, sets.c.by_id == principal.id)
        own = IsSetOf(row.change_set_id, principal.id, own)
        within = _both(within, _either([principal.has("edit", "account"), own]) if is_for_some else own)
    return within


def _both(one, other):
    if one is NO_ROW or other is NO_ROW:
        return NO_ROW
    if one is EVERY_ROW:
        return other
    return one if other is EVERY_ROW else and_(one, other)


def _either(conditions):
    conditions = [condition for condition in conditions if condition is not NO_ROW]
    if any(condition is EVERY_ROW for condition in conditions):
        return EVERY_ROW
    return or_(*conditions) if conditions else NO_ROW


# --------------------------------------------------------------------------------------------- sessions


def enter(session, principal, *, door, why=None, writes=False):
    """Say for whom this session works, through which door its changes come, and whether it will write."""
    if session.info.get("principal") not in (None, principal):
        raise NoPrincipal("one principal per session: what one may see would be left lying for the other")
    session.info.update(principal=principal, door=door, why=why, writes=writes)
    return session


def principal_of(session):
    principal = session.info.get("principal")
    if principal is None:
        raise NoPrincipal("no principal on this session: enter() it first")
    return principal


@contextmanager
def session_for(principal, *, door, why=None, writes=True):
    """A session of its own for this principal; committed at the end, rolled back on any error."""
    session = Session(db)
    try:
        yield enter(session, principal, door=door, why=why, writes=writes)
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.close()


def system_session(why, *, door="system", writes=True):
    """A session of the system itself, which sees everything. `why` stands in the ledger with what it changes."""
    return session_for(SYSTEM, door=door, why=why, writes=writes)


# --------------------------------------------------------------------------------------------- guard 1: sight


SCOPED = frozenset(name for name, model in ENTITIES.items() if model.__sight__ == "scoped")


@event.listens_for(Session, "do_orm_execute")
def _look_through_the_rule(state):
    principal = principal_of(state.session)
    if principal.is_system:
        return
    if state.is_insert or state.is_update or state.is_delete:
        raise Unsighted(
            "bulk statements pass by the ledger and the write guard: change rows through the session"
        )
    if not state.is_orm_statement:
        return  # the net looks at it
    known = principal.sighted.get(state.statement)
    if known is None:
        known = principal.sighted[state.statement] = _sighted(principal, state.statement, state.is_column_load)
    statement, tables = known
    state.update_execution_options(**{SIGHTED: tables})
    if not state.is_column_load:  # else it is a row that this session holds already
        state.statement = statement


def _sighted(principal, statement, is_column_load):
    """(the statement with the conditions of sight that it needs, the tables that they are on)."""
    if principal.has_hidden and not is_column_load:
        _refuse_hidden_columns(statement, principal)
    tables = _scoped_tables(statement)
    present = set(statement._with_options)
    missing = [option for option in principal.options_for(tables) if option not in present]
    return statement.options(*missing) if missing else statement, tables


def _scoped_tables(statement):
    """The scoped tables whose entities a statement names, and those that its eager loads bring in.

    Only the needed conditions are added, because each costs time. Should this overlook one, the net sees the table's
    name in the finished SQL and refuses.
    """
    names = set()
    for option in getattr(statement, "_with_options", ()):
        if isinstance(option, Load):
            names.update(
                one.mapper.local_table.name
                for element in option.context
                for one in element.path.path
                if hasattr(one, "mapper")
            )
        elif not isinstance(option, LoaderCriteriaOption):
            return SCOPED
    for element, entity in _elements(statement):
        if entity is not None:
            names.add(entity.mapper.local_table.name)
        names.update(table.name for table in _joined_by_name(element))
    return frozenset(names & SCOPED)


def _joined_by_name(element):
    """The tables that a SELECT joins through a relationship, as in `join(Contact.company)`."""
    for target, *_ in getattr(element, "_setup_joins", ()):
        relation = getattr(target, "property", None)
        if relation is not None:
            yield relation.mapper.local_table


def _elements(statement, *, into_selects=True):
    """Every element of a statement with the entity it stands for, or None.

    A SELECT is entered without the FROMs that SQLAlchemy derives from its columns: they have lost their entity.
    """
    stack, seen = [statement], set()
    while stack:
        element = stack.pop()
        if id(element) in seen:
            continue
        seen.add(id(element))
        entity = getattr(element, "_annotations", {}).get("parententity")
        yield element, entity
        if entity is not None and isinstance(element, FromClause | ColumnClause):
            continue
        if isinstance(element, ColumnClause):
            if element.table is not None:
                stack.append(element.table)
        elif isinstance(element, Select):
            if into_selects or element is statement:
                stack.extend(
                    super(Select, element).get_children(omit_attrs=("_correlate", "_correlate_except"))
                )
        elif not isinstance(element, Table):
            stack.extend(element.get_children())


# --------------------------------------------------------------------------------------------- hidden fields


# What would tell of a hidden field: part -> (its whole, the field there, the part's own columns) …
TOLD_BY = {"deal_line": ("deal", "amount", frozenset({"unit_price", "discount", "net"}))}
# … and the pages of figures that add it up, which are shut then.
TOLD_ON = {("deal", "amount"): "sales_report"}


def hideable(model):
    """The columns that a role may hide or make read-only; docs/decisions/0019-hidden-fields.md says why no others.

    Neither sight, nor links, nor a name, nor what the rules compute with stands on them.
    """
    if model.__tablename__ not in STANDING:
        return ()
    needed = {"id", "kind", "currency", *STANDING[model.__tablename__]}
    return tuple(
        column.name
        for column in model.__table__.c
        if not column.foreign_keys
        and column.name not in needed
        and "label" in column.info
        and not {"stamped", "deed"} & set(column.info)
        and (column.nullable or column.default is not None)
    )


# The records of which fields may be hidden; with what names them or is computed with, though it need not be filled.
STANDING = {
    "company": (),
    "contact": ("first_name",),
    "deal": ("position",),
    "ticket": ("position",),
    "activity": (),
    "campaign": ("starts_on", "ends_on"),
}


@event.listens_for(models.Row, "load", propagate=True)
def _cover_what_was_loaded(row, context):
    _cover(context.session, row)


@event.listens_for(models.Row, "refresh", propagate=True)
def _cover_what_was_refreshed(row, context, _names):
    _cover(context.session, row)


def _cover(session, row):
    """What is hidden from the principal on this row reads as empty from here on."""
    principal = session.info.get("principal") if session is not None else None
    if principal is None or not principal.has_hidden or session.info.get("uncovered"):
        return
    for name in principal.hidden_on(row):
        if name in row.__dict__:
            set_committed_value(row, name, None)


def _uncover(session, principal, row):
    """What is hidden stands in the row again, for the ledger and the index: they tell the truth, not what one sees."""
    table = type(row).__table__
    names = [name for name in principal.hidden_on(row) if name in table.c]
    if names and inspect(row).identity:
        found = select(*(table.c[name] for name in names)).where(table.c.id == inspect(row).identity[0])
        values = session.connection().execute(found, execution_options={DOOR: True}).first()
        for name, value in zip(names, values or (), strict=False):
            set_committed_value(row, name, value)


def _refuse_hidden_columns(statement, principal):
    """No statement names a column that is hidden: whatever a door lets through, a filter or sort would tell of it."""
    for element, entity in _elements(statement):
        if not isinstance(element, ColumnClause):
            continue
        table = entity.mapper.local_table if entity is not None else getattr(element.table, "element", element.table)
        if isinstance(table, Table) and element.name in principal.hidden(table.name):
            raise Unsighted(f"{table.name}.{element.name} is hidden")


def shown(principal, entity, names):
    """Of these names of columns, those that the principal may be shown in a list of the entity, in their order."""
    hidden = principal.hidden(entity)
    return tuple(name for name in names if name not in hidden) if hidden else tuple(names)


def writable(principal, entity, names, row=None):
    """Of these names, those that he may fill in: in a new record, in many, or in this very row."""
    kept = principal.read_only(entity) if row is None else principal.read_only_on(row)
    return tuple(name for name in names if name not in kept) if kept else tuple(names)


def sees(session, row, names):
    """Whether the session's person is shown all these columns of a row: asked before a rule copies them elsewhere."""
    return principal_of(session).hidden_on(row).isdisjoint(names)


def check_fields(principal, model, names):
    """Refuse to write columns of `model`, named for many rows at once, of which one is not the principal's to write."""
    if principal.is_system:
        return
    if kept := principal.read_only(model.__tablename__) & set(names):
        raise FieldRefused(model.__tablename__, sorted(kept)[0])


def _may_write_fields(principal, row, is_new):
    """Refuse a change of what is hidden or read-only; a new row may hold what its table sets by itself."""
    kept = principal.read_only_on(row)
    if not kept:
        return
    for name in kept:
        if is_new:
            default = inspect(row).mapper.columns[name].default
            is_changed = getattr(row, name) not in (None, default.arg if default is not None else None)
        else:
            is_changed = history_of(row, name).has_changes()
        if is_changed:
            raise FieldRefused(type(row).__tablename__, name)


# --------------------------------------------------------------------------------------------- guard 2: writing


def find(session, model, key, verbs=()):
    """The row with this id, if the principal sees it, or None.

    For who is about to edit it, the right to do so is asked along with the row, where it stands on nothing but the row
    itself. It is the question that the flush would ask, of the same row in the same transaction; should another one
    change the row in between, its version has changed as well, and the flush writes nothing.
    """
    principal = principal_of(session)
    if "edit" not in verbs or not session.info.get("writes") or not _is_asked_along(principal, model):
        return session.scalars(_by_id(model), {"key": key}).one_or_none()
    found = session.execute(_by_id_with_the_right(principal, model), {"key": key}).one_or_none()
    if found is None:
        return None
    row, may_edit = found
    if may_edit:
        session.info.setdefault("may edit", set()).add(row)
    return row


@lru_cache(maxsize=256)
def _by_id(model):
    return select(model).where(model.id == bindparam("key"))


def _is_asked_along(principal, model):
    is_versioned = inspect(model).version_id_col is not None
    return not principal.is_system and is_versioned and bool(_read_for(principal, "edit", model))


@lru_cache(maxsize=1024)
def _by_id_with_the_right(principal, model):
    return _by_id(model).add_columns(allowed(principal, "edit", model).label("may_edit"))


@event.listens_for(Session, "after_transaction_end")
def _ask_anew(session, _transaction):
    session.info.pop("may edit", None)


@event.listens_for(Session, "before_flush")
def _may_touch_the_old_state(session, _context, _instances):
    principal = principal_of(session)
    if principal.is_system:
        return
    touched, given_away = defaultdict(set), defaultdict(set)
    is_asked = session.info.pop("may edit", frozenset())
    for row in session.new:
        _may_write_fields(principal, row, is_new=True)
    for row in session.dirty:
        if session.is_modified(row, include_collections=False):
            if any(history_of(row, name).has_changes() for name in _whose(type(row))):
                given_away[type(row)].add(inspect(row).identity[0])
            touched["edit", type(row)].add(row)
            _may_write_fields(principal, row, is_new=False)
            _uncover(session, principal, row)
    for row in session.deleted:
        if not _goes_with_its_whole(session, row):
            touched["delete", type(row)].add(row)
        _uncover(session, principal, row)
    for (verb, model), rows in touched.items():
        asked = rows - is_asked if verb == "edit" else rows
        if asked:
            _ask(session, principal, verb, model, {inspect(row).identity[0] for row in asked})
    session.info["asked"] = touched
    for model, keys in given_away.items():
        ask_to_give_away(session, model, keys)


def _goes_with_its_whole(session, row):
    """Whether a row is a part of one that is deleted with it, on which the right to delete is asked for."""
    whole = ENTITIES.get(type(row).__through__)
    if whole is None:
        return False
    name = f"{whole.__tablename__}_id"
    key = inspect(row).committed_state.get(name, getattr(row, name))  # that of which it is a part in the database
    return session.identity_map.get(identity_key(whole, key)) in session.deleted


@event.listens_for(Session, "after_flush")
def _may_leave_the_new_state(session, context):
    principal = principal_of(session)
    if principal.is_system:
        return
    touched, linked = defaultdict(set), defaultdict(set)
    for row in session.new:
        touched["add", type(row)].add(row.id)
    kept = session.dirty.difference(deleted_in(context))  # the right to those was asked before they went
    asked = session.info.pop("asked")
    for row in kept:
        if session.is_modified(row, include_collections=False):
            if row in asked["edit", type(row)] and _stays_where_it_was(principal, row):
                continue  # what was asked before it was written still holds
            touched["edit", type(row)].add(row.id)
    for row in (*session.new, *kept):
        for target, key in _new_links(row):
            linked["see", target].add(key)
    for (verb, model), keys in (*touched.items(), *linked.items()):
        _ask(session, principal, verb, model, keys)


def _stays_where_it_was(principal, row):
    """Whether nothing that this flush changes of a row is what the right to edit it stands on."""
    if getattr(type(row), "__sight__", None) is None:  # FAB's own tables: `_ask` knows what they need
        return False
    read = _read_for(principal, "edit", type(row))
    return read is not None and not any(history_of(row, name).has_changes() for name in read)


@lru_cache(maxsize=4096)
def _read_for(principal, verb, model):
    """The columns that a grant's condition reads of a row; None where it asks anything else."""
    condition, _ = _reach_of(principal, verb, model)
    if condition is EVERY_ROW:
        return ()
    if condition is NO_ROW:
        return None
    parts = list(iterate(condition))
    columns = [one for one in parts if isinstance(one, Column)]
    is_plain = all(isinstance(one, _PLAIN) for one in parts) and all(one.table is model.__table__ for one in columns)
    return tuple({one.name for one in columns}) if is_plain else None


# What a condition on nothing but the row's own columns is made of.
_PLAIN = (Column, BindParameter, BinaryExpression, BooleanClauseList, ClauseList, Grouping)


def deleted_in(flush_context):
    """Every row that this flush deletes, also those taken out of a collection: session.deleted lacks them."""
    return [
        state.obj()
        for state, (is_deleted, is_listed_only) in flush_context.states.items()
        if is_deleted and not is_listed_only
    ]


def _new_links(row):
    """(model, id) of every foreign key that this flush has set, as it stands now."""
    state = inspect(row)
    for name, target in _links(type(row)):
        if state.key is not None and name not in state.committed_state:
            continue  # untouched
        key = getattr(row, name)
        if key is not None and (state.key is None or history_of(row, name).added):
            yield target, key


@cache
def _links(model):
    """(attribute, model it leads to) of the foreign keys that people set."""
    columns = [(one.key, one.columns[0]) for one in inspect(model).column_attrs]
    linked = [
        (name, ENTITIES.get(next(iter(column.foreign_keys)).column.table.name))
        for name, column in columns
        if column.foreign_keys and not column.info.get("stamped")
    ]
    return [(name, target) for name, target in linked if target is not None]


@lru_cache(maxsize=4096)
def _reach_of(principal, verb, model):
    """(the condition of the grant, the SELECT of those of some `keys` that fulfil it)."""
    table = model.__table__
    condition = allowed(principal, verb, model, table.c)
    return condition, select(table.c.id).where(table.c.id.in_(bindparam("keys", expanding=True)), condition)


def ask(session, verb, model, keys):
    """Refuse the transaction unless all these rows lie within the principal's grant of `verb`."""
    principal = principal_of(session)
    if principal.is_system:
        return
    keys = sorted(keys)
    for start in range(0, len(keys), 10_000):
        _ask(session, principal, verb, model, keys[start : start + 10_000])


def ask_for_deed(session, verbs, row):
    """Refuse unless these verbs reach a row that the principal sees; the guard of the route knows only of some row."""
    if not all(reaches_row(session, verb, row) for verb in verbs if verb not in (None, "see")):
        raise WriteRefused(type(row).__tablename__)


def reaches_row(session, verb, row):
    """Whether a verb reaches this very row, which the principal sees; asked where verbs reach less far than sight does.

    What is shared to be edited may be won, replied to and the like by whoever may do so anywhere.
    """
    principal, model = principal_of(session), type(row)
    if not principal.may(verb, model.__tablename__):
        return False
    if _reaches_as_far(principal, verb, model.__tablename__):
        return True
    condition, question = _deed_of(principal, verb, model)
    if condition is EVERY_ROW or condition is NO_ROW:
        return condition is EVERY_ROW
    asked = session.connection().execute(question, {"key": row.id}, execution_options={DOOR: True})
    return asked.first() is not None


@lru_cache(maxsize=4096)
def _reaches_as_far(principal, verb, entity):
    """Whether a verb surely reaches every row of the entity that the principal sees."""
    if principal.is_system or entity not in ENTITIES or ENTITIES[entity].__sight__ != "scoped":
        return True
    if ("see", entity) in principal.shared:
        return False
    own, seen = (
        {(grant.departments, grant.owners, grant.condition) for grant in principal.grants_for(one, entity)}
        for one in (verb, "see")
    )
    return own >= seen


@lru_cache(maxsize=4096)
def _deed_of(principal, verb, model):
    """(the condition under which a verb reaches rows, the SELECT of the row of a `key` if it fulfils it)."""
    table, entity = model.__table__, model.__tablename__
    condition = allowed(principal, verb, model, table.c)
    if verb in DEEDS.get(entity, ()):
        condition = _either([condition, _shared(principal, "edit", entity, table.c)])
    return condition, select(table.c.id).where(table.c.id == bindparam("key"), condition)


# The verbs that are an entity's own: what is done to one record by a route of its own, and writes it.
DEEDS = {"deal": ("win", "lose"), "ticket": ("reply", "solve"), "invoice": ("issue", "pay")}


WHOSE = frozenset({"department_id", "owner_id"})


def _whose(model):
    """The columns that say whose a row is, where rows are shared."""
    return WHOSE if "share" in roles.VERBS.get(model.__tablename__, ()) else ()


def ask_to_give_away(session, model, keys):
    """Refuse unless grants, not shares, let the principal edit these rows: a share opens, it hands nothing over."""
    principal = principal_of(session)
    entity, table = model.__tablename__, model.__table__
    if principal.is_system or not _whose(model) or ("edit", entity) not in principal.shared:
        return
    question = select(table.c.id).where(table.c.id.in_(keys), _granted(principal, "edit", entity, table.c))
    if len(session.connection().execute(question, execution_options={DOOR: True}).all()) < len(keys):
        raise WriteRefused(entity, N_("It was only shared with you: whose it is, its owner decides."))


def _ask(session, principal, verb, model, keys):
    """Have the database say whether all these rows lie within the grant; otherwise refuse the whole transaction."""
    if getattr(model, "__sight__", None) is None:  # an account, a role: FAB's own tables
        if not principal.may("edit", "account"):
            raise WriteRefused(model.__tablename__)
        return
    condition, question = _reach_of(principal, verb, model)
    if condition is EVERY_ROW:
        return
    within = 0
    if condition is not NO_ROW:
        asked = {"keys": list(keys)}
        within = len(session.connection().execute(question, asked, execution_options={DOOR: True}).all())
    if within < len(keys):
        raise WriteRefused(model.__tablename__)


# --------------------------------------------------------------------------------------------- guard 3: the net


@event.listens_for(Session, "after_begin")
def _remember_the_session(session, _transaction, connection):
    connection.info["foyer_session"] = session


@event.listens_for(Engine, "checkin")
def _forget_the_session(_connection, record):
    record.info.pop("foyer_session", None)


@event.listens_for(Engine, "before_cursor_execute")
def _refuse_what_nobody_covers(connection, _cursor, statement, _parameters, context, _many):
    options = context.execution_options if context is not None else {}
    session = connection.info.get("foyer_session")
    if session is None:
        # No business session: the start-up's own engine work (migrations, pragmas) says so on its connection.
        if (
            options.get(DOOR)
            or context is None
            or (context.compiled is None and statement.startswith(("BEGIN", "PRAGMA")))
        ):
            return
        raise Unsighted("a connection without a session has no principal: use access.system_session")
    principal = session.info.get("principal")
    if principal is None:
        raise NoPrincipal("no principal on this session: enter() it first")
    if principal.is_system or options.get(DOOR) or session._flushing:
        return
    if context.compiled is None:
        if statement.startswith("BEGIN"):
            return
        raise Unsighted(f"raw SQL has no principal: {statement[:80]}")
    sighted = options.get(SIGHTED)
    if sighted is None:
        _check_tables(context.invoked_statement, principal, covered=False)
    elif not getattr(context.compiled, "foyer_checked", False):
        _check_tables(context.invoked_statement, principal, covered=True)
        overlooked = SCOPED.intersection(re.findall(r"\w+", statement)) - _mentioned(principal, sighted)
        if overlooked - _vouched_names(context.invoked_statement):
            raise Unsighted(
                f"{', '.join(sorted(overlooked))}: in the statement, but without the conditions of sight"
            )
        context.compiled.foyer_checked = True


def gone_within(session, verb, changes):
    """Of these changes, each the deletion of a record, the ids of those whose record lay within a grant of the verb."""
    principal, by_entity, within = principal_of(session), defaultdict(list), set()
    for change in changes:
        if principal.may(verb, change.entity):
            by_entity[change.entity].append(change.id)
    table = models.Change.__table__
    for entity, keys in by_entity.items():
        reached = EVERY_ROW
        if not principal.is_system:
            reached = _reach_when_gone(principal, verb, ENTITIES[entity], table.c)
        asked = select(table.c.id).where(table.c.id.in_(keys), reached)
        within.update(session.connection().scalars(asked, execution_options={DOOR: True}))
    return within


def vouched(statement):
    """A subselect on the search index that names ids of one entity, to be used in a condition on that entity.

    It is read past the rule, because no more comes out of it than rows of the entity, which the rule holds for.
    """
    return statement._annotate({VOUCHED: True})


def lies_within(principal, verb, model):
    """`allowed`, as a condition in a statement on `model` of the principal's own session.

    What it asks of other tables (invoices of a customer, what an activity speaks of, shares) stays there: no row of
    theirs comes out.
    """
    row = model.__table__.alias()
    condition = allowed(principal, verb, model, row.c)
    if not any(isinstance(element, Select) for element in iterate(condition)):
        return allowed(principal, verb, model)
    same = vouched(select(row.c.id).where(row.c.id == model.id, condition).correlate(model.__table__))
    return same.scalar_subquery().is_not(None)


def _vouched_names(statement):
    """The scoped tables that vouched subselects of a statement read."""
    names = set()
    for element in iterate(statement):
        if isinstance(element, Select) and element._annotations.get(VOUCHED):
            names.update(one.name for one in iterate(element) if isinstance(one, Table))
    return names


def _mentioned(principal, tables):
    """These tables, and those that the conditions of sight on them speak of."""
    names = set(tables)
    for name in tables:
        option = principal.sight_of(name)
        if option is not None:
            names.update(
                element.name for element in iterate(option.where_criteria) if isinstance(element, Table)
            )
    return names


def _check_tables(statement, principal, *, covered, around=frozenset()):
    """Refuse tables that are read past the rule. `covered`: mapped entities in it carry their conditions.

    A plain column (SQLAlchemy's own loads by key use them) is fine where its table stands in the same or an enclosing
    SELECT as an entity: the condition on the entity then holds for it too.
    """
    inner, entities, plain = [], set(_joined_by_name(statement)), set()
    for element, entity in _elements(statement, into_selects=False):
        if isinstance(element, TextClause):
            raise Unsighted("raw SQL inside a statement has no principal")
        if entity is not None:
            _check_table(entity.mapper.local_table, principal, covered=covered)
            if entity.is_mapper:
                entities.add(entity.local_table)
        elif isinstance(element, Table):
            plain.add(element)
        elif isinstance(element, Select) and element is not statement and VOUCHED not in element._annotations:
            inner.append(element)
    around = around | entities if covered else around
    for table in plain - around:
        _check_table(table, principal, covered=False)
    for subselect in inner:
        _check_tables(subselect, principal, covered=covered, around=around)


def _check_table(table, principal, *, covered):
    if table.name in SECURITY_TABLES:
        if not principal.may("see", "account"):
            raise Unsighted(f"{table.name} is for sign-in and for those who hold the accounts")
    elif table.name not in ENTITIES:
        raise Unsighted(f"{table.name} declares no sight")
    elif not covered and ENTITIES[table.name].__sight__ == "scoped":
        raise Unsighted(f"{table.name} is scoped: ask for the entity, not for its table")
