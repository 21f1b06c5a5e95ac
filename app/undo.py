"""Undo: what a change set did is taken back, row by row, in one new change set that can be undone in its turn.

Deleted rows come back under their old ids, edited ones get their old values, added ones go. What was changed since,
what is frozen, what others need or stand in the way of, and what is not the person's to write stays as it is and is
listed with its reason. It works in chunks: an import of 100,000 rows needs no more memory than one of a thousand.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from sqlalchemy import UniqueConstraint, func, or_, select
from sqlalchemy.exc import IntegrityError

from app import access, bulk, ledger, security  # noqa: F401 - accounts: links lead to their table
from app.access import DOOR, GOING_BACK
from app.extensions import N_
from app.models import ENTITIES, Change, ChangeSet, Invoice, Staff
from app.past import AT_ONCE, COLUMNS, Net, nets, with_custom

# What others say of a record, by entity and id; it comes and goes with the record.
POINTERS = ledger.POINTING
# Parts whose sum stands on the whole: they are put back together with it, or not at all.
SUMMED = {"deal_line": "deal", "invoice_line": "invoice"}
# What an invoice has taken over from its deal, and what made the deal one that is billed.
BILLED = {"company_id", "amount", "currency", "stage_id", "closed_on"}

TOUCHED = N_("It was changed since, by %(who)s.")
GONE = N_("It was deleted since, by %(who)s.")
BACK = N_("It was brought back since, by %(who)s.")
EMPTIED = N_("It lay in the trash for too long: its values are gone.")
NOT_YOURS = N_("This is not yours to change.")
NO_TARGET = N_("What it belonged to is not there any more.")
TAKEN = N_("Something else is called the same by now, and there may be only one.")
NEEDED = N_("Other records point to it by now.")
WITH_OTHERS = N_("It belongs with a row that has to stay as it is.")
REFUSED = N_("The database does not let it go back.")
ISSUED = N_("It belongs to an invoice that has been issued, and stays as it is.")
INVOICED = N_("It has been invoiced, and stays as it was billed.")
BOOKED = N_("Money that was booked stays booked; what was too much is given back with a payment of its own.")
PAPER = N_("A paper that left the house stays as it is.")
NUMBERS = N_("Numbers that were given are not given again.")
ACCOUNT = N_("An account is not taken back; say on which day the colleague left.")
KEPT = {"payment": BOOKED, "document": PAPER, "number_series": NUMBERS}

_CHANGES, _SETS, _INVOICES, _STAFF = (one.__table__ for one in (Change, ChangeSet, Invoice, Staff))


@dataclass(frozen=True)
class Left:
    """A row that stays as it is, and why: a sentence with its values, for gettext."""

    entity: str
    record_id: int
    root: tuple
    reason: str
    values: dict = field(default_factory=dict, compare=False)
    name: str = ""  # what it was called, when it is not there to be asked


@dataclass
class Undone:
    """What came of an undo: its own change set, how many rows of which kind went back, and those that were left."""

    change_set_id: int | None = None
    restored: Counter = field(
        default_factory=Counter
    )  # (entity, add | edit | delete): what had been done -> rows
    left: list = field(default_factory=list)

    @property
    def rows(self):
        return self.restored.total()


def undo(session, change_set_id, *, why=None, root=None, progress=lambda done, total: None):
    """Take a change set back as far as it goes, in one new change set; returns what came of it. The caller commits.

    Works with the rights of the session's principal; rows that he may not see are neither touched nor told of.
    `root` (entity, id) takes back only what was done to this one record and its parts.
    """
    with ledger.new_change_set(session, door="undo", why=why, undoes_id=change_set_id) as own:
        undoing = _Undoing(session, change_set_id, own, root, progress)
        session.info[GOING_BACK] = True  # what stood before is brought back, and nothing new follows from it
        try:
            undoing.run()
        finally:
            del session.info[GOING_BACK]
        if not undoing.restored:
            ledger.drop_empty_change_set(session, own)
    session.expire_all()
    left = _those_seen(session, change_set_id, undoing.left.values())
    return Undone(own if undoing.restored else None, undoing.restored, left)


def is_large(session, change_set_id, rows):
    """Whether a set has more changes than so many, seen or not: whether its undo takes time."""
    some = select(_CHANGES.c.id).where(_CHANGES.c.change_set_id == change_set_id).limit(rows + 1).subquery()
    count = select(func.count()).select_from(some)
    return session.connection().execute(count, execution_options={DOOR: True}).scalar() > rows


def _those_seen(session, change_set_id, left):
    """Those whose changes the principal may see; the others are nobody's business here."""
    by_entity = defaultdict(dict)
    for one in left:
        by_entity[one.entity][one.record_id] = one
    seen = []
    for entity, rows in by_entity.items():
        for keys in _in_chunks(sorted(rows)):
            statement = select(Change.record_id).where(
                Change.change_set_id == change_set_id, Change.entity == entity, Change.record_id.in_(keys)
            )
            visible = set(session.scalars(statement))
            seen.extend(rows[key] for key in keys if key in visible)
    return seen


def _in_chunks(rows, size=AT_ONCE):
    rows = list(rows)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


# --------------------------------------------------------------------------------------------- the order of tables


def _parents_first():
    """Every table behind those that its foreign keys name; who made a row is no matter of order."""
    needs = {
        name: {target for _, target in _links(model) if target != name} for name, model in ENTITIES.items()
    }
    order, seen = [], set()

    def put(name, above):
        if name in seen or name in above:
            return
        for other in sorted(needs.get(name, ())):
            put(other, {*above, name})
        seen.add(name)
        order.append(name)

    for name in sorted(needs, key=lambda name: (name in POINTERS, name)):
        put(name, set())
    return order


def _links(model):
    """(column, table it leads to) of the foreign keys that are the row's own matter, not a stamp on it."""
    return [
        (one.name, key.column.table.name)
        for one in model.__table__.c
        for key in one.foreign_keys
        if not one.info.get("stamped") and key.column.table.name in ENTITIES and not one.primary_key
    ]


ORDER = _parents_first()
# table -> the (table, column) that lead to it.
LED_TO = defaultdict(list)
for _name in ORDER:
    for _column, _target in _links(ENTITIES[_name]):
        LED_TO[_target].append((_name, _column))
BARE = [column for column in COLUMNS if column.name != "values"]
# Records that parts or pointers may belong to.
WHOLES = {name for name in ORDER if ENTITIES[name].__through__ is None}


def _uniques(model):
    """The sets of columns of which there may be only one."""
    table = model.__table__
    found = {
        tuple(one.name for one in constraint.columns)
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    }
    return sorted(found | {(one.name,) for one in table.c if one.unique})


# --------------------------------------------------------------------------------------------- the work


class _Undoing:
    """One undo on its way: what went back, what was left, what waits for other rows."""

    def __init__(self, session, change_set_id, own, root, progress):
        self.session, self.set_id, self.own, self.progress = session, change_set_id, own, progress
        self.principal = access.principal_of(session)
        self.of_set = [_CHANGES.c.change_set_id == change_set_id]
        if root is not None:
            self.of_set += [_CHANGES.c.root_entity == root[0], _CHANGES.c.root_id == root[1]]
        self.restored, self.left, self.waiting = Counter(), {}, []
        self.held = set()  # (entity, id) of wholes that stay, because not all of what they sum up can go back
        self.done = self.total = 0

    def run(self):
        """First what was deleted comes back, then old values, then what was added goes: nothing points to nothing."""
        actions = self._actions()
        self._say_what_goes_along(actions)
        self._hold_what_is_summed(actions)
        self._pass("delete", ORDER, actions, {name for name, found in actions.items() if "delete" in found})
        self._pass("edit", ORDER, actions, {name for name, found in actions.items() if found != {"add"}})
        self._pass("add", ORDER[::-1], actions, {name for name, found in actions.items() if "add" in found})
        self._try_again()
        self._list_parts_of_what_stays()

    def _actions(self):
        """entity -> what was done with rows of it in this set."""
        statement = (
            select(_CHANGES.c.entity, _CHANGES.c.action, func.count(_CHANGES.c.record_id.distinct()))
            .where(*self.of_set)
            .group_by(_CHANGES.c.entity, _CHANGES.c.action)
        )
        found = defaultdict(set)
        for entity, action, number in self._ask(statement):
            if entity in ENTITIES:
                found[entity].add(action)
                self.total += number
        return found

    def _say_what_goes_along(self, actions):
        """A merge moves every link to the record that goes, whoever's the linking row is; its undo moves them back."""
        set_id, door = self.set_id, "undo"
        while door == "undo" and set_id is not None:  # the undo of an undo of a merge is that merge again
            row = self._ask(select(_SETS.c.door, _SETS.c.undoes_id).where(_SETS.c.id == set_id)).one()
            door, set_id = row
        merged = {name for name in WHOLES if actions.get(name, set()) - {"edit"}}
        self.along = {name for name in actions if name not in merged} if door == "merge" else set()

    def _pass(self, kind, order, actions, entities):
        for name in order:
            if name in entities:
                for found in self._chunks(name, bare=actions[name] == {"add"}):
                    rows = [net for net in found.values() if net.kind == kind]
                    self._take_back(ENTITIES[name], kind, rows)
                    self.done += len(rows)
                    self.progress(min(self.done, self.total), self.total)

    def _take_back(self, model, kind, rows):
        """One chunk of rows with which the same was done."""
        if kind == "add":
            rows = self._without_parts_of_added(model, rows)
        rows = self._keep_back(rows, self._beyond(model, kind, rows))
        self._lock(model, rows)
        rows = self._keep_back(rows, self._touched(model, rows))
        rows = self._keep_back(rows, self._frozen(model, kind, rows))
        rows = self._keep_back(rows, {net.record_id: WITH_OTHERS for net in rows if _unit(net) in self.held})
        self._go(model, kind, rows)

    def _go(self, model, kind, rows, *, is_last=False):
        """Those that nothing else stands in the way of; the others wait, for it may go in the course of this undo."""
        if kind == "add":
            parts = self._parts_of(model, rows)
            rows = self._keep_back(rows, self._worked_on(model, rows))
            rows = self._wait(model, kind, rows, self._needed(model, rows, parts), is_last=is_last)
            self._write(model, kind, rows, parts)
            return
        rows = self._wait(model, kind, rows, self._without_target(model, kind, rows), is_last=is_last)
        rows = self._wait(model, kind, rows, self._taken(model, kind, rows), is_last=is_last)
        self._write(model, kind, rows)

    def _wait(self, model, kind, rows, reasons, *, is_last):
        if is_last:
            return self._keep_back(rows, reasons)
        self.waiting += [(model, kind, net.record_id) for net in rows if net.record_id in reasons]
        return [net for net in rows if net.record_id not in reasons]

    def _try_again(self):
        """As long as some of those that wait get on; what waits in the end, stays."""
        before, is_last = None, False
        while self.waiting:
            is_last = before == len(self.waiting)
            before, waiting, self.waiting = len(self.waiting), self.waiting, []
            by_kind = defaultdict(list)
            for model, kind, key in waiting:
                by_kind[model, kind].append(key)
            for (model, kind), keys in by_kind.items():
                for some in _in_chunks(keys):
                    rows = self._nets(model.__tablename__, _CHANGES.c.record_id.in_(some)).values()
                    self._go(model, kind, list(rows), is_last=is_last)

    def _keep_back(self, rows, reasons):
        """Those without a reason to stay. The others are listed, unless theirs is None: there is nothing to do."""
        for net in rows:
            if reasons.get(net.record_id) is not None:
                self._leave(net, reasons[net.record_id])
        return [net for net in rows if net.record_id not in reasons]

    def _leave(self, net, reason):
        """`reason` is a sentence, or a sentence and its values."""
        sentence, values = (reason, {}) if isinstance(reason, str) else reason
        key, name = _key(net), ""
        if not net.is_there and not net.is_emptied:
            name = str(net.model(**net.values_before()[0]))
        self.left.setdefault(key, Left(*key, net.root, sentence, values, name))

    def _list_parts_of_what_stays(self):
        """The parts of a record that was to go and stays, stay with it."""
        stay = defaultdict(list)
        for entity, key in list(self.left):
            stay[entity].append(key)
        for entity, keys in stay.items():
            for some in _in_chunks(keys):
                for net in self._parts_under(entity, some):
                    name, why = net.model.__tablename__, self.left[net.root].reason
                    if name not in POINTERS and not self._is_settled(net):
                        self._leave(
                            net, KEPT.get(name) or (why if why in (ISSUED, INVOICED) else WITH_OTHERS)
                        )

    def _is_settled(self, net):
        return _key(net) in self.left or not self._is_there(net)

    def _is_there(self, net):
        table = net.model.__table__
        return bool(self._ask(select(table.c.id).where(table.c.id == net.record_id)).first())

    # ---- reading

    def _ask(self, statement):
        """Past the rule of sight: what must be known of rows is not what is told of them."""
        return self.session.connection().execute(statement, execution_options={DOOR: True})

    def _chunks(self, entity, *, bare=False):
        """The net changes of this entity's rows in the set, some hundred at a time: {id: Net}.

        `bare`: without their values, which is quick and enough for rows that are only taken away.
        """
        last = 0
        while True:
            keys = (
                select(_CHANGES.c.record_id)
                .where(*self.of_set, _CHANGES.c.entity == entity, _CHANGES.c.record_id > last)
                .group_by(_CHANGES.c.record_id)
                .order_by(_CHANGES.c.record_id)
                .limit(AT_ONCE)
            )
            found = self._ask(keys).scalars().all()
            if not found:
                return
            last = found[-1]
            yield self._nets(entity, _CHANGES.c.record_id.between(found[0], last), bare=bare)

    def _nets(self, entity, *conditions, bare=False):
        """What this set did to rows of an entity, in all: {id: Net}."""
        statement = (
            select(*(BARE if bare else COLUMNS))
            .where(*self.of_set, _CHANGES.c.entity == entity, *conditions)
            .order_by(_CHANGES.c.id)
        )
        return {key: net for (_, key), net in nets(self._ask(statement)).items()}

    def _there(self, model, keys, *conditions):
        """Which of these rows there are, and fulfil the conditions."""
        table, found = model.__table__, set()
        for some in _in_chunks(keys):
            found.update(self._ask(select(table.c.id).where(table.c.id.in_(some), *conditions)).scalars())
        return found

    def _lock(self, model, rows):
        """Hold these rows until the commit: whoever else would change them waits. (SQLite has one writer anyway.)"""
        if self.session.connection().dialect.name != "sqlite":
            table = model.__table__
            keys = [net.record_id for net in rows]
            held = select(table.c.id).where(table.c.id.in_(keys)).order_by(table.c.id)
            self._ask(held.with_for_update()).all()

    # ---- reasons to stay

    def _touched(self, model, rows):
        """Rows that something was done to since. What was set back in the meantime is back, and not told of."""
        reasons, own = {}, {net.record_id: net for net in rows}
        since = {}
        for key, changes in self._later(_CHANGES.c.entity == model.__tablename__, own).items():
            later = Net(model, key)
            for change in changes:
                later.take(change)
            if later.kind is not None:
                since[key] = later, changes[-1].change_set_id
        who = self._who(change_set_id for _, change_set_id in since.values())
        for net in rows:
            if net.record_id in since:
                later, change_set_id = since[net.record_id]
                reason = (
                    {"add": BACK, "delete": GONE, "edit": TOUCHED}[later.kind],
                    {"who": who[change_set_id]},
                )
                reasons[net.record_id] = None if net.is_back_after(later) else reason
            elif net.is_emptied:
                reasons[net.record_id] = EMPTIED
        return reasons

    def _later(self, condition, own):
        """id -> the changes that later sets made to these rows, in order."""
        found = defaultdict(list)
        for change in self._ask_later(condition, _CHANGES.c.record_id.in_(own), own.values()):
            if change.id > own[change.record_id].last_id:
                found[change.record_id].append(change)
        return found

    def _ask_later(self, *conditions):
        *conditions, rows = conditions
        if not rows:
            return ()
        return self._ask(
            select(*COLUMNS, _CHANGES.c.change_set_id)
            .where(*conditions, _CHANGES.c.id > min(net.last_id for net in rows))
            .where(_CHANGES.c.change_set_id.not_in((self.set_id, self.own)))
            .order_by(_CHANGES.c.id)
        )

    def _who(self, change_set_ids):
        """change set -> who made it, by name."""
        names = {}
        by = select(_SETS.c.id, _STAFF.c.name).outerjoin(_STAFF, _STAFF.c.id == _SETS.c.by_id)
        for some in _in_chunks(set(change_set_ids)):
            names.update(tuple(row) for row in self._ask(by.where(_SETS.c.id.in_(some))))
        return {key: name or access.SYSTEM.name for key, name in names.items()}

    def _frozen(self, model, kind, rows):
        """What the law or the books keep, and the rows it stands on."""
        entity, keys = model.__tablename__, [net.record_id for net in rows]
        if entity in KEPT:
            return dict.fromkeys(keys, KEPT[entity])
        if entity == "staff" and kind != "edit":
            return dict.fromkeys(keys, ACCOUNT)
        if entity == "invoice":
            return dict.fromkeys(self._there(model, keys, _INVOICES.c.number.is_not(None)), ISSUED)
        if entity == "invoice_line":
            issued = self._there(Invoice, {net.root[1] for net in rows}, _INVOICES.c.number.is_not(None))
            return {net.record_id: ISSUED for net in rows if net.root[1] in issued}
        if entity == "deal":
            rows = [net for net in rows if kind == "add" or BILLED.intersection(net.changed)]
            return dict.fromkeys(self._billed({net.record_id for net in rows}), INVOICED)
        if entity == "deal_line":
            billed = self._billed({net.root[1] for net in rows})
            return {net.record_id: INVOICED for net in rows if net.root[1] in billed}
        return {}

    def _billed(self, deal_ids):
        """The deals that were billed since, or by a draft that this very set made and that was issued meanwhile.

        An invoice from before the set holds what the deal was before it: it does not stand against going back.
        """
        made = (
            select(_CHANGES.c.id)
            .where(_CHANGES.c.entity == "invoice", _CHANGES.c.action == "add")
            .where(_CHANGES.c.record_id == _INVOICES.c.id)
        )
        before = made.where(_CHANGES.c.change_set_id < self.set_id).exists()
        ours = made.where(_CHANGES.c.change_set_id == self.set_id).exists()
        billed = select(_INVOICES.c.deal_id).where(
            _INVOICES.c.deal_id.in_(deal_ids), ~before, or_(_INVOICES.c.number.is_not(None), ~ours)
        )
        return set(self._ask(billed).scalars())

    def _hold_what_is_summed(self, actions):
        """A whole whose total follows from its parts goes back with all of them, or stays with all of them."""
        for part, whole in SUMMED.items():
            for found in self._chunks(part) if part in actions else ():
                parts = [net for net in found.values() if net.kind]
                roots = {net.root[1] for net in parts}
                wholes = self._nets(whole, _CHANGES.c.record_id.in_(roots))
                made = {key for key, net in wholes.items() if net.kind in ("add", "delete")}
                parts = [net for net in parts if net.root[1] not in made]
                for rows in _alike([*parts, *(net for net in wholes.values() if net.kind == "edit")]):
                    model, kind = rows[0].model, rows[0].kind
                    reasons = {**self._touched(model, rows), **self._frozen(model, kind, rows)}
                    self.held.update(_unit(net) for net in rows if reasons.get(net.record_id) is not None)

    def _beyond(self, model, kind, rows):
        """Rows that the principal may not write as they stand; the new state is asked about when it is written."""
        if kind == "delete" or model.__tablename__ in self.along:
            return {}
        verb = "edit" if kind == "edit" or model.__tablename__ in POINTERS else "delete"
        condition = access.allowed(self.principal, verb, model, model.__table__.c)
        keys = {net.record_id for net in rows}
        within = set(keys) if condition is access.EVERY_ROW else set()
        if condition is not access.EVERY_ROW and condition is not access.NO_ROW:
            within = self._there(model, keys, condition)
        kept = self.principal.read_only(model.__tablename__)
        within -= {net.record_id for net in rows if kind == "edit" and kept.intersection(net.changed)}
        beyond = keys - within
        return dict.fromkeys(beyond and self._there(model, beyond), NOT_YOURS)  # of what is gone, others tell

    def _without_target(self, model, kind, rows):
        """Rows whose old links lead to what is not there: not any more, or not yet."""
        wanted = defaultdict(lambda: defaultdict(set))
        for net in rows:
            names = net.before if kind == "delete" else net.changed
            for column, target in _links(model):
                if column in names and net.before[column] is not None:
                    wanted[target][net.before[column]].add(net.record_id)
            if model.__tablename__ in POINTERS and kind == "delete":
                wanted[net.before["entity"]][net.before["record_id"]].add(net.record_id)
        missing = set()
        for target, keys in wanted.items():
            for key in keys.keys() - self._there(ENTITIES[target], keys):
                missing |= keys[key]
        return dict.fromkeys(missing, NO_TARGET)

    def _taken(self, model, kind, rows):
        """Rows whose old values another row has by now, where there may be only one."""
        reasons, table = {}, model.__table__
        for names in _uniques(model):
            concerned = [net for net in rows if kind == "delete" or set(names).intersection(net.changed)]
            if not concerned:
                continue
            columns = [table.c[name] for name in names]
            stands = select(table.c.id, *columns).where(table.c.id.in_([net.record_id for net in concerned]))
            wanted = {key: dict(zip(names, values, strict=True)) for key, *values in self._ask(stands)}
            for net in concerned:
                before = net.values_before(set(names).intersection(net.before))[0]
                wanted[net.record_id] = wanted.get(net.record_id, dict.fromkeys(names)) | before
            wanted = {key: tuple(values[name] for name in names) for key, values in wanted.items()}
            first = columns[0].in_({values[0] for values in wanted.values()})
            last = columns[-1].in_({values[-1] for values in wanted.values()})
            holders = defaultdict(set)
            for key, *values in self._ask(select(table.c.id, *columns).where(first, last)):
                holders[tuple(values)].add(key)
            for key, values in wanted.items():
                if None not in values and holders[values] - {key}:
                    reasons[key] = TAKEN
        return reasons

    # ---- what was added goes with all that belongs to it

    def _without_parts_of_added(self, model, rows):
        """A part whose record was added in this set goes with that record, or stays with it."""
        by_entity = defaultdict(set)
        for net in rows:
            by_entity[net.root[0]].add(net.root[1])
        made = set()
        for entity, keys in by_entity.items():
            if entity != model.__tablename__:
                found = self._nets(entity, _CHANGES.c.record_id.in_(keys), bare=True)
                made.update((entity, key) for key, net in found.items() if net.kind == "add")
        return [net for net in rows if net.root not in made]

    def _parts_of(self, model, rows):
        if model.__tablename__ not in WHOLES:
            return []
        return self._parts_under(model.__tablename__, [net.record_id for net in rows])

    def _parts_under(self, entity, keys):
        """What this set added as parts of these records, or said of them."""
        statement = (
            select(*BARE)
            .where(*self.of_set, _CHANGES.c.root_entity == entity, _CHANGES.c.root_id.in_(keys))
            .where(_CHANGES.c.entity != entity)
            .order_by(_CHANGES.c.id)
        )
        return [net for net in nets(self._ask(statement)).values() if net.kind == "add"]

    def _worked_on(self, model, rows):
        """Records that got parts, tags or other things since, or whose parts were changed."""
        own, since = {net.record_id: net for net in rows}, defaultdict(list)
        of_them = (_CHANGES.c.root_entity == model.__tablename__, _CHANGES.c.root_id.in_(own))
        for change in self._ask_later(*of_them, rows):
            if change.id > own[change.root_id].last_id:
                since[change.root_id].append(change)
        last = {}
        for key, changes in since.items():
            if any(net.kind for net in nets(changes).values()):
                last[key] = changes[-1].change_set_id
        who = self._who(last.values())
        return {key: (TOUCHED, {"who": who[change_set_id]}) for key, change_set_id in last.items()}

    def _needed(self, model, rows, parts):
        """Records that others point to, beside their own parts that go with them."""
        keys, going = [net.record_id for net in rows], {_key(net) for net in parts}
        needed = {}
        for name, column in LED_TO[model.__tablename__]:
            table = ENTITIES[name].__table__
            pointing = select(table.c.id, table.c[column]).where(table.c[column].in_(keys))
            for key, target in self._ask(pointing) if keys else ():
                if (name, key) not in going:
                    needed[target] = NEEDED
        return needed

    # ---- writing

    def _write(self, model, kind, rows, parts=()):
        """All of them in one savepoint; what the database refuses is found by halves, and stays.

        The values are those that the rows had, so links are not asked about: nobody chooses where they lead.
        """
        if not rows:
            return
        keys = {net.record_id for net in rows}
        parts = [net for net in parts if net.root[1] in keys]
        try:
            with self.session.begin_nested() as savepoint:
                for alike in _alike(parts):
                    ids = [net.record_id for net in alike]
                    bulk.delete(self.session, alike[0].model, ids, goes_along=True)
                self._write_alike(model, kind, rows)
                refused = self._out_of_reach(model, kind, keys)
                if refused:
                    savepoint.rollback()
        except IntegrityError:
            if len(rows) == 1:
                self._leave(rows[0], REFUSED)
                return
            half = len(rows) // 2
            self._write(model, kind, rows[:half], parts)
            self._write(model, kind, rows[half:], parts)
            return
        if refused:
            self._write(model, kind, self._keep_back(rows, dict.fromkeys(refused, NOT_YOURS)), parts)
            return
        for net in (*rows, *parts):
            self.restored[net.model.__tablename__, kind] += 1

    def _out_of_reach(self, model, kind, keys):
        """Those that lie beyond the principal's grants as they have become."""
        if kind == "add" or model.__tablename__ in self.along:
            return set()
        verb = "add" if kind == "delete" else "edit"
        condition = access.allowed(self.principal, verb, model, model.__table__.c)
        if condition is access.EVERY_ROW:
            return set()
        return keys - self._there(model, keys, condition) if condition is not access.NO_ROW else keys

    def _write_alike(self, model, kind, rows):
        if kind == "add":
            bulk.delete(self.session, model, [net.record_id for net in rows], goes_along=True)
        elif kind == "delete":
            bulk.add(self.session, model, [_as_it_was(net) for net in rows], restoring=True, goes_along=True)
        else:
            customs = self._customs(model, rows)
            changes = {}
            for net in rows:
                values, custom = net.values_before(net.changed)
                if custom:
                    values["custom"] = with_custom(customs[net.record_id], custom)
                changes[net.record_id] = values
            bulk.edit(self.session, model, changes, goes_along=True)

    def _customs(self, model, rows):
        """id -> values of custom fields, as they stand now."""
        table = model.__table__
        if "custom" not in table.c:
            return {}
        now = select(table.c.id, table.c.custom).where(table.c.id.in_([net.record_id for net in rows]))
        return dict(tuple(row) for row in self._ask(now))


def _key(net):
    return net.model.__tablename__, net.record_id


def _unit(net):
    """The whole that a row of a summed whole belongs to."""
    return net.root if net.model.__tablename__ in SUMMED else _key(net)


def _alike(rows):
    """The rows in groups of one table and one kind."""
    groups = defaultdict(list)
    for net in rows:
        groups[net.model, net.kind].append(net)
    return list(groups.values())


def _as_it_was(net):
    """All values of a deleted row; of a version that nobody has seen."""
    values, custom = net.values_before()
    if custom:
        values["custom"] = with_custom(None, custom)
    if "version" in net.model.__table__.c:
        values["version"] = (net.before.get("version") or 0) + 1
    return values
