"""The rule of sight at the session: what a person may read and write, however the question is put."""

import random
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

import pytest
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import (
    and_,
    delete,
    event,
    exists,
    func,
    insert,
    literal_column,
    not_,
    or_,
    select,
    text,
    union,
    union_all,
    update,
)
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    aliased,
    contains_eager,
    immediateload,
    joinedload,
    make_transient_to_detached,
    selectinload,
    subqueryload,
)
from sqlalchemy.orm.exc import ObjectDeletedError

from app import access, bulk, roles, security
from app.access import NoPrincipal, Unsighted, WriteRefused
from app.extensions import Session, db
from app.models import (
    ENTITIES,
    Activity,
    Campaign,
    CampaignMember,
    Change,
    ChangeSet,
    Company,
    Contact,
    Deal,
    DealLine,
    Department,
    Document,
    ExternalKey,
    Invoice,
    InvoiceLine,
    NumberSeries,
    Payment,
    Product,
    SearchEntry,
    Staff,
    Stage,
    Ticket,
    TicketMessage,
)
from tests import databases
from tests.prove import scope

SCOPED = sorted(name for name, model in ENTITIES.items() if model.__sight__ == "scoped")


class House:
    """A database full of rows of all departments, and sessions for whoever is to look at it."""

    def __init__(self, app, database):
        self.app, self.database = app, database
        self.made = databases.made_for_the_house(database.engine)
        with self.system() as session:
            self.departments = dict(session.execute(select(Department.name, Department.id)).all())
            users = dict(session.execute(select(User.username, User.id)).all())
        with app.app_context():
            self.people = {name: security.load_principal(key) for name, key in users.items()}

    @contextmanager
    def session(self, principal):
        """A session for this principal (or colleague), taken back at the end whatever it wrote."""
        principal = self.people[principal] if isinstance(principal, str) else principal
        with self.app.app_context():
            session = access.enter(Session(db), principal, door="page", writes=True)
            try:
                yield session
            finally:
                session.rollback()
                session.close()

    def system(self):
        return self.session(access.SYSTEM)

    def ids(self, table, department):
        return set(self.made[table, department])

    def one(self, table, department):
        return self.made[table, department][0]

    def visible(self, account, table):
        """What plain SQL, written from the requirement, says this account may see."""
        with self.database.raw() as connection:
            cursor = connection.cursor()
            cursor.execute(f"SELECT t.id FROM {table} t WHERE {scope.condition(account, table)}")
            return {key for (key,) in cursor.fetchall()}


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


on_both_engines = databases.on_both_engines

# --------------------------------------------------------------------------------------------- reading


@on_both_engines
@pytest.mark.parametrize("account", [*scope.ACCOUNTS, *scope.MORE_ACCOUNTS])
def test_each_account_sees_of_each_table_what_the_requirement_says(house, account):
    with house.session(account) as session:
        for table in SCOPED:
            seen = set(session.scalars(select(ENTITIES[table].id)))
            assert seen == house.visible(account, table), table


def _recursive(session):
    tree = select(Company.id).where(Company.id > 0).cte(recursive=True)
    tree = tree.union(select(Company.id).join(tree, tree.c.id == Company.id))
    return session.scalars(select(tree.c.id))


def _contact_alias(session):
    one, other = aliased(Company), aliased(Company)
    return session.scalars(select(other.id).join(one, one.id == other.id))


def _alias_beside_its_entity(session):
    """SQLAlchemy alone would filter the entity twice and the alias not at all."""
    other = aliased(Company)
    return session.scalars(select(other.id).select_from(Company).join(other, other.id != -1))


def _alias_joined_from_elsewhere(session):
    other = aliased(Company)
    return session.scalars(
        select(other.id).select_from(Department).outerjoin(other, other.department_id == Department.id)
    )


def _alias_beside_its_entity_in_a_subquery(session):
    other = aliased(Company)
    inner = select(other.id).select_from(Company).outerjoin(other, other.id > 0)
    return session.scalars(select(Company.id).where(Company.id.in_(inner)))


def _of_subquery(session):
    found = select(Company).subquery()
    return [row.id for row in session.scalars(select(aliased(Company, found)))]


def _lateral_scalar(session):
    names = select(Company.id).where(Company.id == Contact.company_id).correlate(Contact).scalar_subquery()
    return [key for key in session.scalars(select(names).select_from(Contact)) if key is not None]


# However it is asked, the North's companies come and no other. Those who ask are rep.north.
WAYS = {
    "select": lambda s: [row.id for row in s.scalars(select(Company))],
    "columns": lambda s: [key for key, _ in s.execute(select(Company.id, Company.name))],
    "aliased": lambda s: s.scalars(select(aliased(Company).id)),
    "two aliases": _contact_alias,
    "alias beside its entity": _alias_beside_its_entity,
    "alias beside its entity in a subquery": _alias_beside_its_entity_in_a_subquery,
    "alias joined from elsewhere": lambda s: [key for key in _alias_joined_from_elsewhere(s) if key],
    "query": lambda s: [row.id for row in s.query(Company)],
    "query of columns": lambda s: [key for (key,) in s.query(Company.id)],
    "query get": lambda s: [row.id for key in range(1, 50) if (row := s.get(Company, key))],
    "subquery": lambda s: s.scalars(select(select(Company.id).subquery().c.id)),
    "entity of a subquery": _of_subquery,
    "CTE": lambda s: s.scalars(select(select(Company.id).cte().c.id)),
    "recursive CTE": _recursive,
    "scalar subquery": _lateral_scalar,
    "in": lambda s: s.scalars(select(Company.id).where(Company.id.in_(select(Company.id)))),
    "union": lambda s: s.scalars(union(select(Company.id), select(Company.id))),
    "union in a FROM": lambda s: s.scalars(
        select(union_all(select(Company.id), select(Company.id)).subquery().c.id)
    ),
    "join": lambda s: s.scalars(select(Company.id).join(Company.contacts)),
    "join from a table everybody reads": lambda s: s.scalars(
        select(Company.id).select_from(Department).join(Company, Company.department_id == Department.id)
    ),
    "outer join": lambda s: [
        key
        for key in s.scalars(
            select(Company.id)
            .select_from(Department)
            .outerjoin(Company, Company.department_id == Department.id)
        )
        if key
    ],
    "cartesian product": lambda s: s.scalars(select(Company.id).where(Department.id > 0)),
    "any": lambda s: s.scalars(select(Company.id).where(Company.contacts.any())),
    "from a joined parent": lambda s: [row.company.id for row in s.scalars(select(Contact)) if row.company],
    "minimum by group": lambda s: s.scalars(select(func.min(Company.id)).group_by(Company.id)),
    "order and page": lambda s: s.scalars(select(Company.id).order_by(Company.name).limit(50).offset(0)),
    "stream": lambda s: s.scalars(select(Company.id).execution_options(yield_per=2)),
    "populate existing": lambda s: [
        row.id for row in s.scalars(select(Company).execution_options(populate_existing=True))
    ],
    "case of a column": lambda s: s.scalars(select(func.coalesce(Company.id, 0))),
}


@on_both_engines
@pytest.mark.parametrize("way", WAYS)
def test_however_it_is_asked_only_the_reach_comes_back(house, way):
    with house.session("rep.north") as session:
        assert set(WAYS[way](session)) == house.ids("company", "North")


@on_both_engines
def test_aggregates_count_only_the_reach(house):
    own = len(house.ids("deal", "North"))
    sub = select(Deal).subquery()
    with house.session("rep.north") as session:
        assert session.scalar(select(func.count(Deal.id))) == own
        assert session.scalar(select(func.count()).select_from(Deal)) == own
        assert session.scalar(select(func.count()).select_from(sub)) == own
        assert session.query(Deal).count() == own
        assert session.scalar(select(func.max(Deal.id))) == max(house.ids("deal", "North"))
        by_stage = session.execute(select(Deal.stage_id, func.count()).group_by(Deal.stage_id)).all()
        assert sum(number for _, number in by_stage) == own


@on_both_engines
def test_exists_sees_only_the_reach(house):
    with_company = exists().where(Company.department_id == Department.id)
    with house.session("rep.north") as session:
        found = session.scalars(select(Department.name).where(with_company)).all()
    assert found == ["North"]


LOADS = {
    "lazy": None,
    "joined": joinedload,
    "selectin": selectinload,
    "subquery": subqueryload,
    "immediate": immediateload,
}


@on_both_engines
@pytest.mark.parametrize("load", LOADS)
def test_a_hidden_link_loads_as_none_and_takes_nothing_with_it(house, load):
    options = [LOADS[load](Deal.company)] if LOADS[load] else []
    with house.session("rep.north") as session:
        deals = session.scalars(select(Deal).options(*options)).unique().all()
        assert {deal.id for deal in deals} == house.ids("deal", "North")
        for deal in deals:
            assert deal.company_id is not None
            is_own = deal.company_id in house.ids("company", "North")
            assert (deal.company is not None) == is_own
        assert len({deal.company is None for deal in deals}) == 2, "the world holds links of both kinds"


@on_both_engines
@pytest.mark.parametrize("load", LOADS)
def test_collections_hold_only_the_reach(house, load):
    options = [LOADS[load](CampaignMember.contact)] if LOADS[load] else []
    with house.session("marketer") as session:  # reads every contact, and his own campaigns
        members = session.scalars(select(CampaignMember).options(*options)).unique().all()
        assert len(members) == 2
        assert all(member.contact is not None for member in members)
    parts = [LOADS[load](Company.contacts)] if LOADS[load] else []
    with house.session("finance") as session:  # reads customers, and no contact
        companies = session.scalars(select(Company).options(*parts)).unique().all()
        assert companies
        assert not any(company.contacts for company in companies)


@on_both_engines
def test_contains_eager_brings_only_the_reach(house):
    statement = select(Deal).outerjoin(Deal.company).options(contains_eager(Deal.company))
    with house.session("rep.north") as session:
        deals = session.scalars(statement).unique().all()
        assert {deal.id for deal in deals} == house.ids("deal", "North")
        own = house.ids("company", "North")
        assert {deal.company_id for deal in deals if deal.company} <= own


@on_both_engines
def test_the_conditions_of_sight_are_compiled_once(house):
    hits = []

    def look(_connection, _cursor, statement, _parameters, context, _many):
        if "FROM deal" in statement:
            hits.append(context.cache_hit.name)

    with house.app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", look)
    try:
        for account in ("rep.north", "rep.north", "rep.north"):
            with house.session(account) as session:
                session.scalars(select(Deal).where(Deal.amount > Decimal(3))).all()
    finally:
        event.remove(engine, "before_cursor_execute", look)
    assert hits[-1] == "CACHE_HIT"


@on_both_engines
def test_a_foreign_row_is_not_got(house):
    with house.session("rep.north") as session:
        assert session.get(Company, house.one("company", "South")) is None
        assert session.get(Company, house.one("company", "North")) is not None
        assert session.get(Deal, house.one("deal", "South"), options=[joinedload(Deal.company)]) is None
        with pytest.raises(InvalidRequestError):
            session.get_one(Company, house.one("company", "South"))


@on_both_engines
def test_refresh_of_a_row_that_is_not_seen_does_not_load_it(house):
    with house.session("rep.north") as session:
        row = session.get(Company, house.one("company", "North"))
        session.expire(row)
        assert row.name  # a row of one's own is loaded again
        session.refresh(row)
        assert row.department_id == house.departments["North"]


@on_both_engines
def test_an_activity_needs_all_its_subjects_visible(house):
    with house.session("rep.north") as session:
        seen = session.scalars(select(Activity)).all()
        assert {row.id for row in seen} < house.ids("activity", "North")
        assert {row.id for row in seen} == house.visible("rep.north", "activity")
        assert not any(row.company_id in house.ids("company", "South") for row in seen)
    with house.session("finance") as session:
        subjects = {(row.company_id, row.deal_id) for row in session.scalars(select(Activity))}
        won = set(session.scalars(select(Deal.id)))
        assert {deal for _, deal in subjects if deal} <= won


@on_both_engines
def test_named_conditions_narrow_a_grant(house):
    with house.session("finance") as session:
        assert set(session.scalars(select(Company.id))) == house.visible("finance", "company")
        outcomes = session.scalars(
            select(Stage.outcome).join(Deal, Deal.stage_id == Stage.id).distinct()
        ).all()
        assert outcomes == ["won"]


@on_both_engines
def test_own_reaches_what_one_looks_after_and_nothing_else(house):
    rep = house.people["rep.north"]
    grants = (roles.Grant("deal", roles.VERBS["deal"], roles.OWN), *roles.EVERYONE)
    held = access.held(grants, person_id=rep.id, department_id=rep.department_id, below=rep.below)
    owner = replace(rep, grants=held)
    with house.system() as session:
        foreign_id, given_away_id = house.one("deal", "South"), house.one("deal", "North")
        session.get(Deal, foreign_id).owner_id = rep.id
        session.get(Deal, given_away_id).owner_id = None
        session.commit()
        expected = set(session.scalars(select(Deal.id).where(Deal.owner_id == rep.id)))
    with house.session(owner) as session:
        assert set(session.scalars(select(Deal.id))) == expected
        assert foreign_id in expected
        assert session.get(Deal, given_away_id) is None
        row = session.get(Deal, foreign_id)
        row.owner_id = None  # what one gives away leaves one's reach
        with pytest.raises(WriteRefused):
            session.flush()
    with house.system() as session:
        session.get(Deal, foreign_id).owner_id = None
        session.get(Deal, given_away_id).owner_id = rep.id
        session.commit()


@on_both_engines
def test_two_roles_reach_what_either_does(house):
    with house.session("both.south") as session:
        assert set(session.scalars(select(Contact.department_id).distinct())) > {house.departments["South"]}
        assert set(session.scalars(select(Deal.department_id).distinct())) == {house.departments["South"]}


@on_both_engines
def test_everybody_reads_the_tables_that_are_everybodys(house):
    for account in (*scope.ACCOUNTS, "nobody"):
        with house.session(account) as session:
            for model in (Department, Staff, Stage, Product):
                assert session.scalars(select(model.id)).first() is not None, (account, model)


@on_both_engines
def test_what_the_ledger_says_of_a_deleted_row_stays_with_those_who_reached_it(house):
    with house.system() as session:
        row = Company(name="Short life", department_id=house.departments["South"], kind="prospect")
        session.add(row)
        session.commit()
        key = row.id
        session.delete(row)
        session.commit()
    about = select(func.count(Change.id)).where(Change.entity == "company", Change.record_id == key)
    expected = {"rep.south": 2, "head.sales": 2, "director": 2, "rep.north": 0, "admin": 0, "finance": 0}
    for account, number in expected.items():
        with house.session(account) as session:
            assert session.scalar(about) == number, account


# --------------------------------------------------------------------------------------------- refused


def _from_text(session):
    return session.scalars(select(Company).from_statement(text("SELECT * FROM company"))).all()


def _literal(session):
    return session.scalars(select(literal_column("(SELECT max(name) FROM deal)")).select_from(Company)).all()


REFUSED = {
    "raw SQL": lambda s: s.execute(text("SELECT name FROM company")),
    "raw SQL that names no table": lambda s: s.execute(text("SELECT 1")),
    "raw SQL on the connection": lambda s: s.connection().execute(text("SELECT name FROM company")),
    "the driver's SQL": lambda s: s.connection().exec_driver_sql("SELECT name FROM company"),
    "an entity from raw SQL": _from_text,
    "raw SQL as a condition": lambda s: s.execute(select(Company).where(text("1 = 1"))),
    "raw SQL as an order": lambda s: s.execute(select(Stage.id).order_by(text("(SELECT 1)"))),
    "raw SQL as a column": _literal,
    "a table": lambda s: s.execute(select(Company.__table__)),
    "a table's column": lambda s: s.execute(select(Company.__table__.c.name)),
    "a table beside an entity": lambda s: s.execute(select(Stage.id, Company.__table__.c.name)),
    "an alias of a table": lambda s: s.execute(select(Company.__table__.alias().c.name)),
    "a table in a subquery": lambda s: s.execute(
        select(Stage.id).where(Stage.id.in_(select(Company.__table__.c.id)))
    ),
    "a table joined": lambda s: s.execute(
        select(Stage.id).join(Company.__table__, Company.__table__.c.id == Stage.id)
    ),
    "an entity on the bare connection": lambda s: s.connection().execute(select(Company)),
    "exists alone": lambda s: s.scalar(select(exists().where(Company.id == 1))),
    "bulk update": lambda s: s.execute(update(Company).values(name="x")),
    "bulk update by query": lambda s: s.query(Company).update({"name": "x"}),
    "bulk delete": lambda s: s.execute(delete(Company)),
    "bulk delete by query": lambda s: s.query(Company).delete(),
    "bulk insert": lambda s: s.execute(insert(Company), [{"name": "x"}]),
    "insert from select": lambda s: s.execute(insert(Company).from_select(["name"], select(Stage.name))),
    "insert into a table": lambda s: s.execute(insert(Company.__table__).values(name="x")),
    "update of a table": lambda s: s.execute(update(Company.__table__).values(name="x")),
    "accounts": lambda s: s.scalars(select(User.password)).all(),
    "accounts' table": lambda s: s.execute(select(User.__table__.c.password)),
    "roles of an account": lambda s: s.scalars(select(User).options(selectinload(User.roles))).all(),
}


@on_both_engines
@pytest.mark.parametrize("way", REFUSED)
def test_what_no_entity_covers_is_refused(house, way):
    with house.session("rep.north") as session, pytest.raises(Unsighted):
        REFUSED[way](session)


@pytest.mark.parametrize("name", ["bulk_save_objects", "bulk_insert_mappings", "bulk_update_mappings"])
def test_bulk_methods_that_pass_by_the_ledger_are_refused(sqlite_house, name):
    with sqlite_house.system() as session, pytest.raises(NotImplementedError):
        getattr(session, name)(Company, [{"id": 1, "name": "x"}])


def test_the_holder_of_accounts_reads_accounts_but_no_business_rows(sqlite_house):
    with sqlite_house.session("admin") as session:
        assert session.scalars(select(User.username)).all()
        for table in ("company", "contact", "deal", "ticket", "campaign", "invoice", "activity", "payment"):
            assert session.scalars(select(ENTITIES[table].id)).all() == [], table


@on_both_engines
def test_a_session_without_a_principal_does_nothing(house):
    with house.app.app_context():
        for ask in (
            lambda s: s.scalars(select(Company.id)).all(),
            lambda s: s.get(Stage, 1),
            lambda s: s.execute(text("SELECT 1")),
            lambda s: (s.add(Company(name="x", department_id=1)), s.flush()),
        ):
            session = Session(db)
            with pytest.raises(NoPrincipal):
                ask(session)
            session.rollback()
            session.close()


@on_both_engines
def test_a_connection_without_a_session_is_refused(house):
    with house.app.app_context(), pytest.raises(Unsighted), db.engine.connect() as connection:
        connection.execute(select(Company.__table__))


def test_a_session_has_one_principal_for_life(sqlite_house):
    north, south = sqlite_house.people["rep.north"], sqlite_house.people["rep.south"]
    with sqlite_house.session(north) as session:
        session.get(Company, sqlite_house.one("company", "North"))
        access.enter(session, north, door="page")
        for other in (south, access.SYSTEM):
            with pytest.raises(NoPrincipal):
                access.enter(session, other, door="page")


# --------------------------------------------------------------------------------------------- writing


# PostgreSQL's own policies keep even the old value of a foreign row from whoever would overwrite it.
REFUSALS = (WriteRefused, ObjectDeletedError)


def _foreign(session, model, key):
    """A row beyond the session's reach, as a careless or hostile code might get hold of it: by its id."""
    row = model(id=key)
    make_transient_to_detached(row)
    session.add(row)
    return row


def _own_values(house, department="North"):
    return {"department_id": house.departments[department]}


@on_both_engines
def test_rows_of_ones_own_department_are_added_edited_and_deleted(house):
    with house.session("rep.north") as session:
        row = Company(name="Fresh", kind="prospect", **_own_values(house))
        session.add(row)
        session.flush()
        row.name = "Fresher"
        session.flush()
        session.delete(row)
        session.flush()


@on_both_engines
def test_nothing_is_added_to_a_foreign_department(house):
    with house.session("rep.north") as session:
        session.add(Company(name="x", kind="prospect", **_own_values(house, "South")))
        with pytest.raises(WriteRefused):
            session.flush()


@on_both_engines
def test_a_head_writes_in_all_departments_below_and_no_other(house):
    for name in ("Sales", "North", "South"):
        with house.session("head.sales") as session:
            session.add(Company(name="x", kind="prospect", **_own_values(house, name)))
            session.flush()
    with house.session("head.sales") as session, pytest.raises(WriteRefused):
        session.add(Company(name="x", kind="prospect", **_own_values(house, "Support")))
        session.flush()


@on_both_engines
def test_a_row_is_not_moved_out_of_ones_reach(house):
    with house.session("rep.north") as session:
        session.get(Company, house.one("company", "North")).department_id = house.departments["South"]
        with pytest.raises(WriteRefused):
            session.flush()


@contextmanager
def _questions():
    """The statements that ask for the right to companies meanwhile."""
    asked = []

    def note(_connection, _cursor, statement, *_rest):
        if statement.startswith("SELECT company.id \nFROM company"):
            asked.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


@on_both_engines
@pytest.mark.parametrize(("moves_to", "questions"), [(None, 1), ("North", 2)])
def test_the_new_state_is_asked_about_where_the_right_may_have_changed(house, moves_to, questions):
    with house.session("head.sales") as session:
        row = session.get(Company, house.one("company", "South"))
        row.city = "Bern"
        if moves_to:
            row.department_id = house.departments[moves_to]
        with _questions() as asked:
            session.flush()
    assert len(asked) == questions, asked


@on_both_engines
def test_the_right_that_was_asked_along_with_a_row_is_not_asked_again_for_its_next_flush(house):
    with house.session("head.sales") as session:
        row = access.find(session, Company, house.one("company", "South"), ("edit",))
        for questions, city in ((0, "Bern"), (1, "Basel")):
            row.city = city
            with _questions() as asked:
                session.flush()
            assert len(asked) == questions, (city, asked)
        moved = access.find(session, Company, house.one("company", "North"), ("edit",))
        moved.department_id = house.departments["Support"]
        with pytest.raises(WriteRefused):
            session.flush()


@on_both_engines
def test_who_sees_a_row_that_he_may_not_edit_is_refused_however_he_got_hold_of_it(house):
    grants = (roles.Grant("company", roles.SEE, roles.ALL), roles.Grant("company", ("edit",), roles.DEPARTMENT))
    with house.session(_holding(house, "rep.north", "North", *grants)) as session:
        access.find(session, Company, house.one("company", "North"), ("edit",)).city = "Bern"
        session.flush()
        access.find(session, Company, house.one("company", "South"), ("edit",)).city = "Bern"
        with pytest.raises(WriteRefused):
            session.flush()
    with house.session("rep.north") as session:
        assert access.find(session, Company, house.one("company", "South"), ("edit",)) is None


@on_both_engines
def test_a_foreign_row_is_not_taken_over(house):
    with house.session("rep.north") as session:
        row = _foreign(session, Company, house.one("company", "South"))
        with pytest.raises(REFUSALS):
            row.department_id = house.departments["North"]
            session.flush()


@on_both_engines
@pytest.mark.parametrize("deed", ["edit", "delete"])
def test_a_foreign_row_is_neither_edited_nor_deleted(house, deed):
    with house.session("rep.north") as session:
        row = _foreign(session, Company, house.one("company", "South"))
        with pytest.raises(REFUSALS):
            if deed == "edit":
                row.name = "Mine"
            else:
                session.delete(row)
            session.flush()


@on_both_engines
@pytest.mark.parametrize("account", ["director", "agent", "reader.south"])
def test_who_only_reads_does_not_write(house, account):
    for deed in ("edit", "delete", "add"):
        with house.session(account) as session:
            row = session.scalars(select(Company)).first()
            if deed == "edit":
                row.name = "Changed"
            elif deed == "delete":
                session.delete(row)
            else:
                session.add(Company(name="x", kind="prospect", department_id=row.department_id))
            with pytest.raises(WriteRefused):
                session.flush()


# Who works what, in the words of the requirement; everybody else writes nothing there.
WORKS = {
    "company": {"head.sales", "rep.north", "rep.south", "both.south"},
    "contact": {"head.sales", "rep.north", "rep.south", "both.south"},
    "deal": {"head.sales", "rep.north", "rep.south", "both.south"},
    "ticket": {"head.support", "agent"},
    "campaign": {"marketer", "both.south"},
    "invoice": {"finance"},
    "product": {"finance", "admin"},
    "tax_rate": {"finance", "admin"},
    "stage": {"admin"},
    "pipeline": {"admin"},
    "department": {"admin"},
    "staff": {"admin"},
}


@on_both_engines
@pytest.mark.parametrize("table", WORKS)
def test_only_those_who_work_an_entity_write_it(house, table):
    model = ENTITIES[table]
    column = next(name for name in ("name", "subject", "last_name", "billed_to") if name in model.__table__.c)
    for account in (*scope.ACCOUNTS, *scope.MORE_ACCOUNTS):
        with house.session(account) as session:
            statement = select(model).order_by(model.id)
            if table == "invoice":
                statement = statement.where(Invoice.number.is_(None))
            if (
                account in WORKS[table]
                and hasattr(model, "department_id")
                and table not in ("invoice", "staff")
            ):
                names = scope.ACCOUNTS.get(account, scope.MORE_ACCOUNTS.get(account))[1]
                own = [house.departments[name] for name in names]
                statement = statement.where(model.department_id.in_(own))
            row = session.scalars(statement).first()
            if row is None:
                continue
            setattr(row, column, "Changed by a test")
            if account in WORKS[table]:
                session.flush()
            else:
                with pytest.raises(WriteRefused):
                    session.flush()


@on_both_engines
def test_a_link_is_not_set_to_a_row_that_one_may_not_see(house):
    south = house.one("company", "South")
    with house.session("rep.north") as session:
        session.add(Contact(last_name="x", company_id=south, **_own_values(house)))
        with pytest.raises(WriteRefused):
            session.flush()
    with house.session("rep.north") as session:  # the same through the relationship
        row = Contact(last_name="x", **_own_values(house))
        row.company = _foreign(session, Company, south)
        session.add(row)
        with pytest.raises(WriteRefused):
            session.flush()
    with house.session("rep.north") as session:
        contact = session.get(Contact, house.one("contact", "North"))
        contact.company_id = south
        with pytest.raises(WriteRefused):
            session.flush()
    with house.session("rep.north") as session:  # nor to one that does not exist: the same answer
        session.add(Contact(last_name="x", company_id=999_999, **_own_values(house)))
        with pytest.raises(Exception) as refused:
            session.flush()
        assert type(refused.value).__name__ in ("WriteRefused", "IntegrityError")


@on_both_engines
def test_an_edit_leaves_a_hidden_link_as_it_is(house):
    with house.session("rep.north") as session:
        deal = next(deal for deal in session.scalars(select(Deal)) if deal.company is None)
        before = deal.company_id
        deal.name = "Another name"
        session.flush()
        session.expire(deal)
        assert deal.company_id == before
        assert before is not None


@on_both_engines
def test_the_parts_of_a_foreign_record_are_not_written(house):
    parts = {
        "line": lambda: DealLine(deal_id=house.one("deal", "South"), description="x", net=Decimal(0)),
        "message": lambda: TicketMessage(ticket_id=house.one("ticket", "Support"), body="x"),
        "member": lambda: CampaignMember(
            campaign_id=house.one("campaign", "Marketing"), contact_id=house.one("contact", "North")
        ),
        "payment": lambda: Payment(
            invoice_id=max(house.ids("invoice", "North")), amount=Decimal(1), paid_on=func.current_date()
        ),
        "invoice line": lambda: InvoiceLine(
            invoice_id=min(house.ids("invoice", "North")), description="x", net=Decimal(1)
        ),
    }
    for name, make in parts.items():
        with house.session("rep.north") as session:
            session.add(make())
            with pytest.raises(WriteRefused):
                session.flush()
                pytest.fail(name)


@on_both_engines
def test_the_parts_of_ones_own_record_are_written(house):
    with house.session("rep.north") as session:
        session.add(DealLine(deal_id=house.one("deal", "North"), description="x", net=Decimal(0)))
        session.flush()
    with house.session("marketer") as session:
        contact_id = house.one("contact", "South")
        campaign_id = house.one("campaign", "Marketing")
        session.add(CampaignMember(campaign_id=campaign_id, contact_id=contact_id))
        session.flush()


@on_both_engines
def test_ledger_index_and_papers_are_not_written_by_hand_nor_keys_of_foreign_records(house):
    company, foreign = house.one("company", "North"), house.one("company", "South")
    rows = {
        "change set": lambda: ChangeSet(at=func.now(), door="page"),
        "search entry": lambda: SearchEntry(entity="company", record_id=10**6, text="x"),
        "foreign key": lambda: ExternalKey(source="x", entity="company", their_id="1", record_id=foreign),
        "paper": lambda: Document(
            entity="company",
            record_id=company,
            kind="invoice",
            name="x",
            media_type="x",
            sha256="x",
            size=1,
            content=b"x",
            created_at=func.now(),
        ),
    }
    for make in rows.values():
        with house.session("rep.north") as session:
            session.add(make())
            with pytest.raises(WriteRefused):
                session.flush()
    with house.session("rep.north") as session:
        change = session.scalars(select(Change)).first()
        change.values = {}
        with pytest.raises(WriteRefused):
            session.flush()


@on_both_engines
def test_accounts_are_written_by_those_who_hold_them_alone(house):
    def add(session):
        session.add(User(username="x", first_name="x", last_name="x", email="x@x.example", active=True))
        session.flush()

    for account in ("rep.north", "director", "finance", "nobody"):
        with house.session(account) as session, pytest.raises(WriteRefused):
            add(session)
    with house.session("admin") as session:
        add(session)
    with house.session("admin") as session:  # one that stands there, too
        session.get(User, house.people["rep.north"].id).last_name = "y"
        session.flush()


@on_both_engines
def test_a_refused_write_leaves_nothing_behind(house):
    with house.session("rep.north") as session:
        session.add(Company(name="Good", kind="prospect", **_own_values(house)))
        session.add(Company(name="Bad", kind="prospect", **_own_values(house, "South")))
        with pytest.raises(WriteRefused):
            session.commit()
    with house.system() as session:
        assert session.scalars(select(Company.id).where(Company.name.in_(["Good", "Bad"]))).all() == []


# --------------------------------------------------------------------------------------------- the oracle

LINKS = [
    (Contact, "company", Company),
    (Deal, "company", Company),
    (Deal, "contact", Contact),
    (Ticket, "company", Company),
    (Ticket, "contact", Contact),
    (Activity, "company", Company),
    (Activity, "contact", Contact),
    (Activity, "deal", Deal),
    (Activity, "ticket", Ticket),
    (DealLine, "deal", Deal),
    (TicketMessage, "ticket", Ticket),
    (CampaignMember, "campaign", Campaign),
    (CampaignMember, "contact", Contact),
    (Invoice, "deal", Deal),
    (Invoice, "company", Company),
    (InvoiceLine, "invoice", Invoice),
    (Payment, "invoice", Invoice),
]
COLLECTIONS = [
    (Company, "contacts", Contact, "company_id"),
    (Deal, "lines", DealLine, "deal_id"),
    (Ticket, "messages", TicketMessage, "ticket_id"),
    (Campaign, "members", CampaignMember, "campaign_id"),
    (Invoice, "lines", InvoiceLine, "invoice_id"),
    (Invoice, "payments", Payment, "invoice_id"),
]
MODELS = sorted(
    {model for one, _, other in LINKS for model in (one, other)}, key=lambda model: model.__tablename__
)


class Oracle:
    """Random questions, each with the answer that plain Python finds in the rows an account may see."""

    def __init__(self, house, seed):
        self.house, self.dice, self.known = house, random.Random(seed), {}
        with house.system() as session:
            self.rows = {
                model: [
                    {column.name: getattr(row, column.name) for column in model.__table__.c}
                    for row in session.scalars(select(model))
                ]
                for model in MODELS
            }

    def see_as(self, account):
        if account not in self.known:
            self.known[account] = {}
            for model, rows in self.rows.items():
                keys = self.house.visible(account, model.__tablename__)
                self.known[account][model] = [row for row in rows if row["id"] in keys]
        self.seen = self.known[account]

    def condition(self, model, depth):
        """(SQL condition, Python: row -> True, False or None for unknown) over this model."""
        ways = [self._column]
        if depth:
            ways += [self._combined, self._combined]
            ways += [self._has, self._in] if any(one is model for one, *_ in LINKS) else []
            ways += [self._any] if any(one is model for one, *_ in COLLECTIONS) else []
        return self.dice.choice(ways)(model, depth)

    def _column(self, model, _depth):
        columns = [name for name in ("id", "department_id", "kind", "version") if name in model.__table__.c]
        name = self.dice.choice(columns)
        values = {row[name] for row in self.dice.sample(self.rows[model], min(12, len(self.rows[model])))}
        return getattr(model, name).in_(values), lambda row: row[name] in values

    def _combined(self, model, depth):
        (one, holds_one), (other, holds_other) = (self.condition(model, depth - 1) for _ in range(2))
        kind = self.dice.choice(["and", "or", "not"])
        if kind == "not":
            return not_(one), lambda row: None if (now := holds_one(row)) is None else not now
        if kind == "and":
            return and_(one, other), lambda row: _and(holds_one(row), holds_other(row))
        return or_(one, other), lambda row: _or(holds_one(row), holds_other(row))

    def _link(self, model):
        return self.dice.choice([(name, target) for one, name, target in LINKS if one is model])

    def _has(self, model, depth):
        name, target = self._link(model)
        inner, holds = self.condition(target, depth - 1)
        return getattr(model, name).has(inner), lambda row: any(
            other["id"] == row[f"{name}_id"] and holds(other) for other in self.seen[target]
        )

    def _in(self, model, depth):
        name, target = self._link(model)
        inner, holds = self.condition(target, depth - 1)

        def python(row):
            keys = {other["id"] for other in self.seen[target] if holds(other)}
            key = row[f"{name}_id"]
            return None if key is None and keys else key in keys

        return getattr(model, f"{name}_id").in_(select(target.id).where(inner)), python

    def _any(self, model, depth):
        name, target, key = self.dice.choice([rest for one, *rest in COLLECTIONS if one is model])
        inner, holds = self.condition(target, depth - 1)
        return getattr(model, name).any(inner), lambda row: any(
            other[key] == row["id"] and holds(other) for other in self.seen[target]
        )

    def question(self):
        """(what is asked, the statement, the expected answer as a sorted list)."""
        model = self.dice.choice(MODELS)
        condition, holds = self.condition(model, 2)
        hits = [row for row in self.seen[model] if holds(row)]
        kind = self.dice.choice(["ids", "count", "join", "outer join", "union", "subquery", "group", "load"])
        links = [(name, target) for one, name, target in LINKS if one is model]
        if kind in ("join", "outer join", "load") and not links:
            kind = "ids"
        if kind == "count":
            return kind, select(func.count(model.id)).where(condition), [(len(hits),)]
        if kind == "union":
            other, also = self.condition(model, 1)
            both = union_all(select(model.id).where(condition), select(model.id).where(other))
            return kind, both, _keys([*hits, *(row for row in self.seen[model] if also(row))])
        if kind == "subquery":
            inner = select(model.id.label("key")).where(condition).subquery()
            return kind, select(inner.c.key), _keys(hits)
        if kind == "group":
            first = next(iter(name for name in ("department_id", "version") if name in model.__table__.c))
            counts = {}
            for row in hits:
                counts[row[first]] = counts.get(row[first], 0) + 1
            column = getattr(model, first)
            return (
                kind,
                select(column, func.count()).where(condition).group_by(column),
                sorted(counts.items()),
            )
        if kind in ("join", "outer join"):
            name, target = self.dice.choice(links)
            known = {row["id"] for row in self.seen[target]}
            pairs = [(row["id"], key if (key := row[f"{name}_id"]) in known else None) for row in hits]
            statement = select(model.id, target.id).where(condition)
            if kind == "join":
                pairs = [pair for pair in pairs if pair[1] is not None]
                return kind, statement.join(getattr(model, name)), sorted(pairs)
            return kind, statement.outerjoin(getattr(model, name)), sorted(pairs, key=str)
        if kind == "load":
            name, target = self.dice.choice(links)
            load = self.dice.choice([joinedload, selectinload, subqueryload])(getattr(model, name))
            known = {row["id"] for row in self.seen[target]}
            pairs = [(row["id"], key if (key := row[f"{name}_id"]) in known else None) for row in hits]
            return name, select(model).where(condition).options(load), sorted(pairs, key=str)
        return kind, select(model.id).where(condition), _keys(hits)


def _keys(rows):
    return sorted((row["id"],) for row in rows)


def _and(one, other):
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _or(one, other):
    if one or other:
        return True
    return None if one is None or other is None else False


@on_both_engines
def test_random_questions_get_the_answers_of_plain_python(house):
    oracle = Oracle(house, seed=20260301)
    accounts = [*scope.ACCOUNTS, *scope.MORE_ACCOUNTS]
    answered = 0
    for number in range(300):
        account = accounts[number % len(accounts)]
        oracle.see_as(account)
        kind, statement, expected = oracle.question()
        with house.session(account) as session:
            if isinstance(expected, list) and kind not in KINDS_OF_ROWS:
                found = [
                    (row.id, linked.id if (linked := getattr(row, kind)) is not None else None)
                    for row in session.scalars(statement).unique()
                ]
            else:
                found = [tuple(row) for row in session.execute(statement)]
        assert sorted(found, key=str) == sorted(expected, key=str), (number, account, kind, str(statement))
        answered += bool(expected)
    assert answered > 100, "too many questions have an empty answer to say much"


KINDS_OF_ROWS = ("ids", "count", "join", "outer join", "union", "subquery", "group")


# --------------------------------------------------------------------------------------------- roles of a firm's own


def _holding(house, username, department, *grants):
    """Somebody who holds these grants and nothing else."""
    person, key = house.people[username], house.departments[department]
    given = roles.grants_of("own", {"own": grants})
    held = access.held(given, person_id=person.id, department_id=key, below={key})
    return replace(person, grants=held, shared=frozenset())


@on_both_engines
def test_who_may_delete_a_whole_deletes_its_parts_with_it_but_not_one_by_itself(house):
    who = _holding(
        house,
        "marketer",
        "Marketing",
        roles.Grant("campaign", ("see", "delete"), roles.DEPARTMENT),
        roles.Grant("contact", roles.SEE, roles.ALL),
    )
    key = house.one("campaign", "Marketing")
    with house.session(who) as session:
        session.delete(session.get(Campaign, key).members[0])
        with pytest.raises(WriteRefused):
            session.flush()
    with house.session(who) as session:
        session.delete(session.get(Campaign, key))
        session.flush()
        assert key not in session.scalars(select(CampaignMember.campaign_id)).all()
    with house.session(who) as session:
        assert bulk.delete(session, Campaign, [key]) == [key]


@on_both_engines
def test_whoever_may_issue_invoices_may_count_their_numbers_on(house):
    who = _holding(house, "agent", "Support", roles.Grant("invoice", ("see", "edit", "issue"), roles.ALL))
    assert who.may("edit", "number_series")
    assert not _holding(house, "agent", "Support", roles.Grant("invoice", ("see", "edit"), roles.ALL)).may(
        "edit", "number_series"
    )
    with house.session(who) as session:
        series = session.scalars(select(NumberSeries)).first()
        series.last += 1
        session.flush()
