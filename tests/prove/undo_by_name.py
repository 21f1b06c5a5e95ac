"""The deeds that can be undone, each by its name, with a hash over all business tables before and after.

    python -m tests.prove.undo_by_name [--engine sqlite|postgresql] [--seed N] [--contacts N] [--quick]

Bulk edit, reassignment, tagging, deletion, merging and an import with updates are done by a head of department to a
firm of so many contacts, each in three ways: undone at once; after colleagues worked on some of the same rows; and
after deals that it reached were invoiced, the invoices issued and paid. Then every row must stand as it stood before
the deed, but for exactly those that are expected to stay: they are listed, and stand as they stood before the undo.
The undo is undone in its turn, and once more, and the search index is compared with one made anew.

The hashes that are printed are over all rows but those that were listed and those that others changed in between.
"""

import argparse
import platform
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import sqlalchemy
from sqlalchemy import select

from app import bulk, custom, undo
from app.exchange import importing
from app.exchange.files import open_table
from app.models import (
    ENTITIES,
    Activity,
    Campaign,
    CampaignMember,
    Company,
    Contact,
    CustomField,
    Deal,
    ExternalKey,
    Staff,
    Tag,
    Tagging,
)
from app.rules import boards, bulk_work, deals, invoices, merging
from app.rules.bulk_work import Deed
from tests import databases
from tests.prove.undo import NOW, TODAY, House, _version, hash_of
from tests.rules import world

WHO = "head.sales"
HEADER = "Last name,E-mail,Company,City,Notes"
FULL, QUICK = 2000, 40  # contacts


@dataclass
class Trial:
    """One deed done in one way on one engine: the figures of it, and what was not as it should be."""

    engine: str
    deed: str
    way: str
    changed: int = 0
    back: int = 0
    listed: int = 0
    before: str = ""
    after: str = ""
    faults: list = field(default_factory=list)
    # what a House counts
    rows: int = 0
    left: int = 0
    sequences: int = 0


# --------------------------------------------------------------------------------------------- the firm


class Firm:
    """The rows that the deeds are done to, by their ids."""

    def __init__(self, house, contacts):
        self.house, self.chance = house, house.chance
        with house.session("system") as session:
            self._build(session, contacts)

    def _build(self, session, count):
        chance = self.chance
        here = [world.department(session, name).id for name in ("North", "South", "Sales")]
        staff = session.scalars(select(Staff.id).order_by(Staff.id)).all()

        def whose():
            return {"department_id": chance.choice(here), "owner_id": chance.choice(staff)}

        session.add(CustomField(entity="contact", name="size", kind="number", labels={"en": "Size"}))
        session.flush()
        custom.forget(session)
        firms = count // 5
        self.companies = bulk.add(
            session, Company, [{"name": f"Firm {n}", "city": "Graz", **whose()} for n in range(firms)]
        )
        self.contacts = bulk.add(
            session,
            Contact,
            [
                {
                    "last_name": f"Person {n}",
                    "email": f"p{n}@firm.example",
                    "city": chance.choice(("Graz", "Linz", None)),
                    "company_id": self.companies[n % firms],
                    "custom": chance.choice((None, {"size": 3}, {"size": 4, "old": "kept"})),
                    **whose(),
                }
                for n in range(count)
            ],
        )
        bulk.add(
            session,
            ExternalKey,
            [
                {"source": "old", "entity": "contact", "their_id": str(n), "record_id": key}
                for n, key in enumerate(self.contacts[::2])
            ],
        )
        self.deals = []
        for number in range(max(12, count // 10)):
            deal = Deal(
                name=f"Deal {number}",
                currency="EUR",
                opened_on=TODAY - timedelta(days=30),
                company_id=self.companies[number % firms],
                contact_id=self.contacts[number],
                **whose(),
            )
            boards.place(session, deal, boards.first_stage(session, "deal"))
            deals.add_line(deal, description="Chair", unit_price=Decimal("10.05"), quantity=number % 7 + 1)
            deals.add_line(deal, description="Table", unit_price=Decimal("99.9999"), quantity=1)
            session.add(deal)
            self.deals.append(deal)
        session.flush()
        for deal in self.deals[::2]:
            deals.win(session, deal, by=deal.owner_id, today=TODAY)
        session.flush()
        for deal in self.deals[::8]:  # papers that stood before any deed
            bill(session, deal)
        self.deals = [deal.id for deal in self.deals]
        bulk.add(
            session,
            Activity,
            [
                {
                    "subject": f"Call {n}",
                    "contact_id": key,
                    "company_id": self.companies[n % firms],
                    **whose(),
                }
                for n, key in enumerate(self.contacts[1::3])
            ],
        )
        self.tags = bulk.add(session, Tag, [{"name": name} for name in ("vip", "fair", "cold")])
        bulk.add(
            session,
            Tagging,
            [{"tag_id": self.tags[0], "entity": "contact", "record_id": key} for key in self.contacts[::4]],
        )
        (campaign,) = bulk.add(session, Campaign, [{"name": "Spring", "currency": "EUR", **whose()}])
        members = [
            {"campaign_id": campaign, "contact_id": key, "status": chance.choice(("planned", "reached"))}
            for key in self.contacts[::5]
        ]
        bulk.add(session, CampaignMember, members)

    def some(self, ids, share=0.5):
        """About half of them, at random, in order."""
        return sorted(self.chance.sample(ids, max(2, int(len(ids) * share))))

    @property
    def open_to_bill(self):
        """Deals that are won and have no invoice."""
        return [key for n, key in enumerate(self.deals) if n % 2 == 0 and n % 8]


def bill(session, deal):
    """Draft the invoice of a won deal, issue it, and take half of the money."""
    invoice = invoices.draft_from(session, deal, by=None, today=TODAY)
    invoices.issue(session, invoice, by=None, today=TODAY, seller=world.SELLER, payment_days=14)
    half = (invoice.gross / 2).quantize(Decimal("0.01"))
    invoices.record_payment(session, invoice, amount=half, paid_on=TODAY, method="cash", today=TODAY)


# --------------------------------------------------------------------------------------------- the deeds


def bulk_edit_of_contacts(session, firm):
    """Columns, a link and a custom field, as the page of bulk edits sets them."""
    values = {"city": "Wien", "company_id": firm.companies[0], "custom.size": 9}
    bulk_work.carry_out(session, Contact, firm.some(firm.contacts), Deed("edit", values))


def bulk_edit_of_deals(session, firm):
    """What an invoice will take over."""
    ids = sorted({*firm.some(firm.deals), *firm.open_to_bill[:6]})
    deed = Deed("edit", {"company_id": firm.companies[1]})
    bulk_work.carry_out(session, Deal, ids, deed, leave_refused=True)


def reassignment(session, firm):
    """All that one colleague has goes to another, in another department."""
    leaver, heir = firm.chance.sample(
        session.scalars(select(Staff.id).where(Staff.department_id.in_(firm.house.head.below))).all(), 2
    )
    values = {"owner_id": heir, "department_id": session.get(Staff, heir).department_id}
    for model in (Company, Contact, Deal, Activity):
        ids = bulk_work.ids_of(session, model, [model.owner_id == leaver])
        bulk_work.carry_out(session, model, ids, Deed("edit", values), leave_refused=True)


def tagging(session, firm):
    """One tag on, another off."""
    ids = firm.some(firm.contacts)
    bulk_work.carry_out(session, Contact, ids, Deed("tag", tag_ids=(firm.tags[1],)))
    bulk_work.carry_out(session, Contact, ids, Deed("untag", tag_ids=(firm.tags[0],)))


def deletion(session, firm):
    """Activities, deals with their lines, and the contacts that nothing stands on."""
    activities = session.scalars(select(Activity.id).order_by(Activity.id)).all()
    for model, ids in ((Activity, activities), (Deal, firm.deals), (Contact, firm.contacts)):
        bulk_work.carry_out(session, model, firm.some(ids), Deed("delete"), leave_refused=True)


def merge_of_contacts(session, firm):
    """Five become one, with all that leads to them."""
    ids = sorted(firm.contacts[:5])
    values = {"city": "Linz", "email": "p1@firm.example", "custom": {"size": 4, "old": "kept"}}
    merging.merge(session, Contact, ids[0], ids[1:], values)


def merge_of_companies(session, firm):
    """Companies on whose deals no paper stands yet become one with another."""
    billed = set(session.scalars(select(invoices.Invoice.company_id)))
    free = [key for key in firm.companies if key not in billed]
    merging.merge(session, Company, firm.companies[0], free[:4], {"city": "Linz"})


def import_with_updates(session, firm):
    """A file of people: a part known with other values, a part new, at companies old and new."""
    lines = [HEADER]
    for number in range(0, len(firm.contacts), 2):
        lines.append(f"Person {number},p{number}@firm.example,Firm {number % 9},Salzburg,by file")
        lines.append(f"New {number},n{number}@firm.example,New firm {number % 11},Salzburg,by file")
    table_ = open_table("\n".join(lines).encode(), "people.csv")
    mapping = importing.suggest("contact", table_, importing.fields_for(session, "contact"))
    mapping = mapping.but(match=("email",), mode="both")
    house = importing.House(today=TODAY, now=NOW, currency="EUR")
    importing.bring_in(importing.Desk(session, table_, "contact", mapping, house))


DEEDS = (
    *(bulk_edit_of_contacts, bulk_edit_of_deals, reassignment, tagging, deletion),
    *(merge_of_contacts, merge_of_companies, import_with_updates),
)


# --------------------------------------------------------------------------------------------- what happens in between


def nothing(house, firm, key, own):
    """Nobody does anything: all goes back."""
    return {}


def colleagues_work(house, firm, key, own):
    """Some of its rows are worked on; of deleted ones, some are brought back by themselves and then worked on."""
    records = [row for row in sorted(own) if hasattr(ENTITIES[row[0]], "notes") or row[0] == "activity"]
    chosen = firm.chance.sample(records, min(5, len(records)))
    gone = [row for row in chosen if own[row].kind == "delete"]
    for root in gone:
        with house.session("system") as session:
            undo.undo(session, key, root=root)
    stands = house.state()
    there = [row for row in chosen if row in stands]
    with house.session("system") as session:
        for name, key_ in there:
            row = session.get(ENTITIES[name], key_)
            setattr(row, "body" if name == "activity" else "notes", "worked on since")
        off = [row for row in sorted(own) if row[0] == "tagging" and own[row].kind == "delete"]
        off = off[:3] if {entity for entity, _ in own} == {"tagging"} else []
        for row in off:  # somebody puts the tag on again
            values = own[row].before
            session.add(Tagging(**{name: values[name] for name in ("tag_id", "entity", "record_id")}))
    return {row: {undo.TOUCHED, undo.BACK} for row in there} | {row: {undo.TAKEN} for row in off}


def papers_are_issued(house, firm, key, own):
    """Won deals are billed and paid, and a deal with a company that the deed brought is won, billed and paid."""
    stays = {}
    with house.session("system") as session:
        for deal in session.scalars(select(Deal).where(Deal.id.in_(firm.open_to_bill[:6]))):
            bill(session, deal)
            net = own.get(("deal", deal.id))
            if net is not None and undo.BILLED.intersection(net.changed):
                stays["deal", deal.id] = {undo.INVOICED}
        made = [row for row in own if row[0] == "company" and own[row].kind == "add"]
        for row in sorted(made)[:3]:
            deal = world.deal(
                session, "From the file", customer=session.get(Company, row[1]), amount="100.00"
            )
            deals.win(session, deal, by=None, today=TODAY)
            session.flush()
            bill(session, deal)
            stays[row] = {undo.NEEDED, undo.TOUCHED}  # winning made it a customer
    return stays


WAYS = {
    "at once": nothing,
    "worked on since": colleagues_work,
    "invoiced and paid since": papers_are_issued,
}


# --------------------------------------------------------------------------------------------- trials


def prove(engine, contacts, *, seed, deeds=DEEDS):
    """Every deed in every way, each in a firm of its own."""
    return [trial(engine, deed, way, contacts, seed) for deed in deeds for way in WAYS]


def trial(engine, deed, way, contacts, seed):
    """One deed, done and undone."""
    outcome = Trial(engine, deed.__name__.replace("_", " "), way)
    with databases.fresh_database(engine) as database, databases.app_on(database) as app:
        house = House(app, outcome, f"{seed} {deed.__name__} {way}")
        firm = Firm(house, contacts)
        before = house.state()
        with house.session(WHO) as session:
            deed(session, firm)
            session.flush()
            key = session.info["change_set_id"] if "merge" not in deed.__name__ else None
        key = key or _latest(house)
        own, done = house.changes_of(key), house.state()
        stays = WAYS[way](house, firm, key, own)
        then = house.state()
        with house.session(WHO) as session:
            undone = undo.undo(session, key)
        after = house.state()
        outcome.changed, outcome.back, outcome.listed = len(own), undone.rows, len(undone.left)
        _check(outcome, own, stays, undone, before, then, after)
        apart = {(one.entity, one.record_id) for one in undone.left}
        apart |= {row for row in done.keys() | then.keys() if done.get(row) != then.get(row)}
        outcome.before, outcome.after = (_hash_without(apart, one) for one in (before, after))
        if outcome.before != outcome.after:
            outcome.faults.append("the hash is another one")
        if undone.change_set_id:
            with house.session(WHO) as session:
                again = undo.undo(session, undone.change_set_id)
            _expect(outcome, "the undo undone", house.state(), then)
            with house.session(WHO) as session:
                undo.undo(session, again.change_set_id)
            _expect(outcome, "undone once more", house.state(), after)
        house.check_search()
    return outcome


def _latest(house):
    with house.session("system") as session:
        return session.scalar(sqlalchemy.select(sqlalchemy.func.max(undo.ChangeSet.id)))


def _check(outcome, own, stays, undone, before, then, after):
    """Exactly those that are expected to stay are listed, with one of the reasons; all else is as before the deed."""
    if not own:
        outcome.faults.append("the deed did nothing")
    listed = {(one.entity, one.record_id): one.reason for one in undone.left}
    along = {row for row, reason in listed.items() if reason in (undo.WITH_OTHERS, undo.NEEDED)}
    for row, reasons in stays.items():
        if listed.get(row) not in reasons:
            outcome.faults.append(f"{row} is listed with {listed.get(row)!r} instead of {reasons}")
    for row in listed.keys() - stays.keys() - along:
        outcome.faults.append(f"{row} is listed without need: {listed[row]}")
    expected = dict(then)
    for row in own.keys() - listed.keys():
        expected.pop(row, None)
        if row in before:
            expected[row] = before[row]
    _expect(outcome, "undone", after, expected)
    if outcome.way == "at once" and (undone.left or after != before):
        outcome.faults.append("nothing was done since, but not all is as before")


def _hash_without(apart, state):
    return hash_of({row: values for row, values in state.items() if row not in apart})[:8]


def _expect(outcome, what, found, expected):
    different = [row for row in found.keys() | expected.keys() if found.get(row) != expected.get(row)]
    if different:
        first = different[0]
        outcome.faults.append(
            f"{what}: {len(different)} rows differ; {first} is {found.get(first)}, not {expected.get(first)}"
        )


def table(trials, seed, contacts, seconds):
    """The trials as one table that can be read in a report."""
    lines = [
        f"{'deed':<24}{'undone':<26}{'engine':<12}{'changed':>9}{'put back':>10}{'listed':>8}"
        f"{'hash before':>13}{'hash after':>12}{'failed':>8}"
    ]
    for one in trials:
        lines.append(
            f"{one.deed:<24}{one.way:<26}{one.engine:<12}{one.changed:>9,}{one.back:>10,}{one.listed:>8,}"
            f"{one.before:>13}{one.after:>12}{len(one.faults):>8}"
        )
    versions = ", ".join(_version(engine) for engine in dict.fromkeys(one.engine for one in trials))
    counts = Counter(bool(one.faults) for one in trials)
    lines.append(
        f"tried {len(trials)}, failed {counts[True]}; {contacts:,} contacts each; seed {seed}; {seconds:.0f} s; "
        f"{versions}, Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}"
    )
    lines += [f"  {one.deed}, {one.way}, {one.engine}: {fault}" for one in trials for fault in one.faults[:5]]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=databases.ENGINES, help="only this one")
    parser.add_argument("--seed", default="20260304", help="chooses the rows")
    parser.add_argument("--contacts", type=int, default=FULL, help="in each firm")
    parser.add_argument("--quick", action="store_true", help="the size that the tests run")
    args = parser.parse_args()
    contacts, started = QUICK if args.quick else args.contacts, time.monotonic()
    folder = databases.start_run()
    try:
        trials = [
            one
            for engine in databases.ENGINES
            if args.engine in (None, engine)
            for one in prove(engine, contacts, seed=args.seed)
        ]
        print(table(trials, args.seed, contacts, time.monotonic() - started))
    finally:
        databases.end_run(folder)
    return 1 if any(one.faults for one in trials) else 0


if __name__ == "__main__":
    sys.exit(main())
