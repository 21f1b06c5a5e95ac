"""What a person holds: roles in several departments, deputies, shares, roles of the firm's own, hidden fields."""

from contextlib import contextmanager
from datetime import date, timedelta

import pytest
from sqlalchemy import func, select

from app import access, security
from app.access import FieldRefused, Unsighted, WriteRefused
from app.extensions import Session, db
from app.models import (
    Change,
    Company,
    ComposedRole,
    Contact,
    Deal,
    Department,
    Deputy,
    Membership,
    SearchEntry,
    Share,
    Staff,
)
from tests import databases
from tests.prove import scope

on_both_engines = databases.on_both_engines
TODAY = date.today()


class House:
    """A database full of rows of all departments; whatever a test arranges is taken back at its end."""

    def __init__(self, app, database):
        self.app, self.made = app, databases.made_for_the_house(database.engine)
        with self.session(access.SYSTEM) as session:
            self.departments = dict(session.execute(select(Department.name, Department.id)).all())
            self.people = dict(session.execute(select(security.User.username, security.User.id)).all())

    @contextmanager
    def session(self, principal, *, keep=False):
        with self.app.app_context():
            session = access.enter(Session(db), principal, door="page", writes=True)
            try:
                yield session
                if keep:
                    session.commit()
            finally:
                session.rollback()
                session.close()

    @contextmanager
    def arranged(self, *rows, **changes):
        """These rows stand, until the end."""
        with self.session(access.SYSTEM, keep=True) as session:
            session.add_all(rows)
            session.flush()
            kinds = [(type(row), row.id) for row in rows]
        try:
            yield
        finally:
            with self.session(access.SYSTEM, keep=True) as session:
                for kind, key in kinds:
                    row = session.get(kind, key)
                    if row is not None:
                        session.delete(row)

    def person(self, username):
        with self.app.app_context():
            return security.load_principal(self.people[username])

    def seen(self, username, model):
        with self.session(self.person(username)) as session:
            return set(session.scalars(select(model.id)))

    def of(self, table, *departments):
        return {key for name in departments for key in self.made[table, name]}

    def member(self, username, department, role):
        return Membership(
            owner_id=self.people[username], department_id=self.departments[department], role=role
        )

    def deputy(self, owner, deputy, starts_on, ends_on):
        return Deputy(
            owner_id=self.people[owner],
            deputy_id=self.people[deputy],
            department_id=self.departments["North"],
            starts_on=starts_on,
            ends_on=ends_on,
        )


@contextmanager
def _house(engine):
    with (
        databases.fresh_database(engine, "house", is_behind_the_wall=True) as database,
        databases.app_on(database) as app,
    ):
        yield House(app, database)


@pytest.fixture(scope="module")
def sqlite_house():
    with _house("sqlite") as house:
        yield house


@pytest.fixture(scope="module")
def postgresql_house():
    with _house("postgresql") as house:
        yield house


@pytest.fixture
def house(request, engine):
    return request.getfixturevalue(f"{engine}_house")


# --------------------------------------------------------------------------------------------- memberships


@on_both_engines
def test_a_second_department_adds_its_rows_and_takes_them_along_when_it_ends(house):
    before = house.seen("rep.north", Deal)
    assert before == house.of("deal", "North")
    with house.arranged(house.member("rep.north", "South", "sales")):
        assert house.seen("rep.north", Deal) == house.of("deal", "North", "South")
        assert house.person("rep.north").departments == {
            house.departments["North"],
            house.departments["South"],
        }
    assert house.seen("rep.north", Deal) == before


@on_both_engines
def test_another_role_elsewhere_reaches_only_there(house):
    with house.arranged(house.member("rep.north", "Support", "support")):
        assert house.seen("rep.north", scope.models.Ticket) == house.of("ticket", "Support")
        assert house.seen("rep.north", Deal) == house.of("deal", "North")
        with house.session(house.person("rep.north")) as session:
            session.get(Deal, min(house.of("deal", "North"))).department_id = house.departments["Support"]
            with pytest.raises(WriteRefused):
                session.flush()


@on_both_engines
def test_who_moves_takes_along_what_he_held_in_his_old_department_only(house):
    key = house.people["rep.south"]
    with (
        house.arranged(house.member("rep.south", "Support", "support")),
        house.session(access.SYSTEM) as session,
    ):
        session.get(Staff, key).department_id = house.departments["North"]
        session.flush()
        held = session.execute(
            select(Membership.role, Department.name)
            .join(Department, Department.id == Membership.department_id)
            .where(Membership.owner_id == key)
        ).all()
        assert {tuple(one) for one in held} == {("sales", "North"), ("support", "Support")}


# --------------------------------------------------------------------------------------------- deputies


@on_both_engines
def test_a_deputy_sees_what_the_other_sees_on_those_days_alone(house):
    day = timedelta(days=1)
    with house.arranged(house.deputy("rep.north", "agent", TODAY - day, TODAY)):
        assert house.seen("agent", Deal) == house.of("deal", "North")
        via = {grant.via for grant in house.person("agent").grants_for("see", "deal")}
        assert {one.person_id for one in via} == {house.people["rep.north"]}
    for first, last in ((TODAY + day, TODAY + 2 * day), (TODAY - 2 * day, TODAY - day)):
        with house.arranged(house.deputy("rep.north", "agent", first, last)):
            assert house.seen("agent", Deal) == set()


@on_both_engines
def test_what_one_holds_as_a_deputy_is_not_passed_on(house):
    with house.arranged(
        house.deputy("rep.north", "agent", TODAY, TODAY), house.deputy("agent", "marketer", TODAY, TODAY)
    ):
        assert house.seen("marketer", Deal) == set()
        assert house.seen("marketer", scope.models.Ticket) == house.of("ticket", "Support")


# --------------------------------------------------------------------------------------------- shares


@on_both_engines
@pytest.mark.parametrize("to", ["person", "department"])
def test_a_shared_deal_is_seen_and_only_written_where_the_share_says_so(house, to):
    key = min(house.of("deal", "South"))
    target = (
        {"to_staff_id": house.people["rep.north"]}
        if to == "person"
        else {"to_department_id": house.departments["North"]}
    )
    own = house.of("deal", "North")
    for may in ("see", "edit"):
        share = Share(entity="deal", record_id=key, may=may, reason="a fair", until_on=TODAY, **target)
        with house.arranged(share):
            assert house.seen("rep.north", Deal) == own | {key}
            with house.session(house.person("rep.north")) as session:
                session.get(Deal, key).notes = "seen at the fair"
                if may == "edit":
                    session.flush()
                else:
                    with pytest.raises(WriteRefused):
                        session.flush()
            with house.session(house.person("rep.north")) as session:
                session.delete(session.get(Deal, key))
                with pytest.raises(WriteRefused):
                    session.flush()
    assert house.seen("rep.north", Deal) == own


@on_both_engines
def test_a_share_ends_with_its_last_day(house):
    key = min(house.of("deal", "South"))
    over = Share(
        entity="deal",
        record_id=key,
        reason="a fair",
        to_staff_id=house.people["rep.north"],
        until_on=TODAY - timedelta(days=1),
    )
    with house.arranged(over):
        assert key not in house.seen("rep.north", Deal)


@on_both_engines
def test_only_who_may_share_a_record_shares_it(house):
    for department, is_refused in (("North", False), ("South", True)):
        with house.session(house.person("rep.north")) as session:
            session.add(
                Share(
                    entity="deal",
                    record_id=min(house.of("deal", department)),
                    reason="so",
                    to_staff_id=house.people["agent"],
                )
            )
            if is_refused:
                with pytest.raises(WriteRefused):
                    session.flush()
            else:
                session.flush()


# --------------------------------------------------------------------------------------------- roles of the firm's own


@on_both_engines
def test_a_role_of_the_firms_own_grants_what_it_says(house):
    role = ComposedRole(
        name="partner desk",
        grants=[
            {"entity": "deal", "verbs": ["see", "flies"], "reach": "department", "hidden": ["notes", "none"]}
        ],
    )
    with house.arranged(role, house.member("nobody", "South", "partner desk")):
        person = house.person("nobody")
        assert house.seen("nobody", Deal) == house.of("deal", "South")
        assert person.may("see", "deal") and not person.may("edit", "deal")
        assert person.hidden("deal") == {"notes"}
    assert house.seen("nobody", Deal) == set()


# --------------------------------------------------------------------------------------------- hidden fields


def _hiding(*names, verbs=("see", "edit", "delete"), **more):
    grant = {"entity": "contact", "verbs": list(verbs), "reach": "department", "hidden": list(names), **more}
    return ComposedRole(name="short-sighted", grants=[grant])


@on_both_engines
def test_a_hidden_field_reads_as_empty_and_cannot_be_asked_or_written(house):
    key = min(house.of("contact", "South"))
    role = _hiding("email", read_only=["phone"])
    with house.arranged(role, house.member("nobody", "South", "short-sighted")):
        person = house.person("nobody")
        with house.session(person) as session:
            contact = session.get(Contact, key)
            assert contact.email is None and contact.last_name
            session.refresh(contact)
            assert contact.email is None
            for statement in (
                select(Contact.email),
                select(Contact.id).where(Contact.email.like("zq%")),
                select(Contact.id).order_by(Contact.email),
                select(func.max(Contact.email)),
                select(Contact).where(Contact.id.in_(select(Contact.id).where(Contact.email.is_(None)))),
            ):
                with pytest.raises(Unsighted):
                    session.execute(statement)
        for name in ("email", "phone"):
            with house.session(person) as session:
                setattr(session.get(Contact, key), name, "a@b.example")
                with pytest.raises(FieldRefused):
                    session.flush()


@on_both_engines
def test_the_ledger_and_the_search_keep_what_the_writer_could_not_see(house):
    south = house.departments["South"]
    contact = Contact(last_name="Vogel", email="vogel@nest.example", department_id=south)
    with house.arranged(contact, _hiding("email"), house.member("nobody", "South", "short-sighted")):
        with house.session(house.person("nobody")) as session:
            key = session.scalars(select(Contact.id).where(Contact.last_name == "Vogel")).one()
            session.get(Contact, key).last_name = "Adler"
            session.flush()
            entry = select(SearchEntry.text).where(
                SearchEntry.entity == "contact", SearchEntry.record_id == key
            )
            assert "vogel@nest.example" in session.scalar(entry)
            session.expire_all()
            session.delete(session.get(Contact, key))
            session.flush()
        with house.session(house.person("nobody"), keep=True) as session:
            session.delete(session.get(Contact, key))
        with house.session(access.SYSTEM) as session:
            last = select(Change.values).where(Change.entity == "contact", Change.action == "delete")
            values = session.scalars(last.order_by(Change.id.desc())).first()
            assert values["email"] == ["vogel@nest.example", None]


@on_both_engines
def test_a_wider_role_without_the_hiding_opens_the_field_where_it_reaches(house):
    key, elsewhere = min(house.of("contact", "South")), min(house.of("contact", "North"))
    role = _hiding("email", verbs=("see",), reach="all")
    held = house.arranged(role, house.member("rep.north", "North", "short-sighted"))
    with held, house.session(house.person("rep.north")) as session:
        assert session.get(Contact, elsewhere).email, "his own department's: the role “sales” shows it"
        assert session.get(Contact, key).email is None
    with house.arranged(
        _hiding("email", verbs=("see",), reach="all"),
        house.member("director", "Management", "short-sighted"),
    ):
        assert house.person("director").hidden("contact") == frozenset()


def test_a_role_that_shows_a_field_does_not_let_the_one_that_hides_it_write_it(house):
    key = min(house.of("contact", "South"))
    reading = ComposedRole(
        name="reading", grants=[{"entity": "contact", "verbs": ["see"], "reach": "department"}]
    )
    both = [house.member("nobody", "South", name) for name in ("short-sighted", "reading")]
    with house.arranged(_hiding("email"), reading, *both), house.session(house.person("nobody")) as session:
        contact = session.get(Contact, key)
        assert contact.email
        contact.email = "other@nest.example"
        with pytest.raises(FieldRefused):
            session.flush()


@on_both_engines
def test_support_does_not_see_birthdays_but_sales_does(house):
    assert house.person("agent").hidden("contact") == {"birth_date"}
    assert house.person("rep.north").hidden("contact") == frozenset()
    assert "notes" in access.hideable(Company) and "name" not in access.hideable(Company)
