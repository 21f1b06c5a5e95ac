"""The scope audit in small: nobody reads a word of a row that he may not see, and finds every row that he may.

The large one, with more rows and on either engine: `python -m tests.prove.scope`. That of a firm's own database:
`run.py check --scope`.
"""

from datetime import date
from functools import partial

import pytest
from flask import render_template_string
from sqlalchemy import Column, Integer, MetaData, Table, select

from app import access, create_app, security
from app.audit import people, scratch
from app.commands import check
from app.commands.upgrade import upgrade
from app.models import ENTITIES, Company, ComposedRole, Deputy, Membership
from app.views.base import PageView, allows, expose
from tests import databases, factories
from tests.prove import scope

# One of each kind: all departments and no rows, a head, a reach with conditions, two roles at once.
WALK_IN_SMALL = ("admin", "head.sales", "agent", "both.south")


def test_no_canary_out_of_place(engine, capsys):
    with databases.fresh_database(engine) as database, databases.app_on(database) as app:
        outcome = scope.Audit(app, database, who=WALK_IN_SMALL, step=97, thin=60, own=8).run()
    with capsys.disabled():
        print(f"\n{engine}: {outcome}")
    assert outcome.faults[:30] == []
    assert outcome.routes > 80
    assert outcome.responses > 1000
    assert outcome.canaries > 1000


class LeakView(PageView):
    """A view that asks as the system what its reader may not see: guarded, and yet a leak."""

    route_base = "/leak"

    @expose("/")
    @allows(None)
    def list(self):
        with access.system_session("a leak", writes=False) as session:
            return " ".join(session.scalars(select(Company.notes)).all())

    @expose("/broken")
    @allows(None)
    def fail(self):
        raise RuntimeError("a page that tells nothing, because it fails")


class OpenView(PageView):
    """A view that nobody guards."""

    route_base = "/open"

    @expose("/")
    def list(self):
        return render_template_string("open to all")


class PartView(PageView):
    """A view of an address that the audit does not know how to fill."""

    route_base = "/part"

    @expose("/<name>")
    @allows(None)
    def show(self, name):
        return name


@pytest.fixture
def house_with(database):
    """`house_with(LeakView)` — an application of its own with one more view, and its audit."""

    def build(view):
        app = create_app(database.settings())
        with app.app_context():
            app.appbuilder.add_view_no_menu(view)
        return app

    return build


def test_the_audit_finds_a_view_that_leaks(house_with, database):
    audit = scope.Audit(house_with(LeakView), database, papers=False)
    found = [fault for fault in audit.walk_one("rep.north", "/leak/").out_of_place if "/leak/" in fault]
    foreign = [
        row
        for row in audit.ask("SELECT id FROM company")
        if row[0] not in audit.visible("rep.north")["company"]
    ]
    assert len(found) == len(foreign) > 5
    assert audit.outcome.broken == ["rep.north: /leak/broken answers 500"]


def test_the_audit_refuses_a_view_that_nobody_guards(house_with, database):
    with pytest.raises(scope.AuditFailed, match="/open/"):
        scope.Audit(house_with(OpenView), database, papers=False)


def test_the_audit_refuses_an_address_that_it_cannot_walk(house_with, database):
    audit = scope.Audit(house_with(PartView), database, papers=False)
    with pytest.raises(scope.AuditFailed, match="/part/"):
        audit.walk_one("rep.north", "/part/")


def test_the_audit_refuses_a_table_without_a_declared_scope():
    assert scope.undeclared_tables() == []
    more = MetaData()
    Table("secret_wish", more, Column("id", Integer, primary_key=True))
    assert scope.undeclared_tables(more) == ["secret_wish declares no sight"]


def test_a_statement_over_a_table_without_a_declared_scope_is_refused(as_person):
    more = Table("secret_wish", MetaData(), Column("id", Integer, primary_key=True))
    with as_person("rep.north", writes=False) as session, pytest.raises(access.Unsighted):
        session.execute(select(more.c.id))


# --------------------------------------------------------------------------------------------- a firm's own


def _asking(opened):
    def ask(statement):
        with opened.raw() as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall()

    return ask


def _counts(opened):
    ask = _asking(opened)
    return {name: ask(f"SELECT COUNT(*), MAX(id) FROM {name}") for name in ENTITIES}


@databases.on_both_engines
def test_the_scratch_copy_holds_what_the_firm_has_and_is_gone_afterwards(app, database, as_system):
    with as_system() as session:
        factories.make(session, "contact", last_name="Copied")
    before = _counts(database)
    with scratch.copy_of(database.settings(), partial(upgrade, say=lambda _line: None)) as copy:
        assert _counts(copy) == before
        with copy.raw() as connection:
            connection.cursor().execute("UPDATE contact SET last_name = 'Written into the copy'")
        owner_url = copy.owner_url
    assert _asking(database)("SELECT last_name FROM contact") == [("Copied",)]
    with pytest.raises(Exception, match=r"unable to open|does not exist|no such table"):
        _asking(scratch.Scratch(None, owner_url))("SELECT last_name FROM contact")


def test_people_are_walked_by_what_the_database_says_they_hold(app, database, as_system):
    """The firm's own role, several departments, a deputy: plain SQL and the rule of sight agree on every table."""
    with as_system() as session:
        home, far = (factories.department(session, name) for name in ("North", "Support"))
        grants = [
            {"entity": "company", "verbs": ["see", "export"], "reach": "below", "hidden": ["notes"]},
            {"entity": "deal", "verbs": ["see"], "reach": "all", "condition": "won"},
            {"entity": "ticket", "verbs": ["see"], "reach": "own"},
            {"entity": "contact", "verbs": ["see"], "reach": "department"},
        ]
        session.add(ComposedRole(name="desk", grants=grants))
        session.flush()
        desk = factories.make(session, "staff", username="desk", department_id=home.id, roles=["desk"])
        desk_id = desk.id
        session.add(Membership(owner_id=desk_id, department_id=far.id, role="head of support"))
        away = session.scalar(select(security.User.id).filter_by(username="marketer"))
        day = {"starts_on": date(2020, 1, 1), "ends_on": date(2040, 1, 1)}
        session.add(Deputy(owner_id=away, department_id=far.id, deputy_id=desk.id, **day))
        whose = ((home, desk.id), (home, None), (far, desk.id), (far, away))
        for number, (department, owner) in enumerate(whose):
            factories.one_of_each(session, f"x{number}", department_id=department.id, owner_id=owner)
    walked = people.people_of(_asking(database), "2026-11-22")
    (person,) = (one for one in walked if one.user_id == desk_id)
    with app.app_context():
        principal = security.load_principal(desk_id)
        with access.session_for(principal, door="page", writes=False) as session:
            for name in people.MAIN:
                found = {
                    key
                    for (key,) in _asking(database)(
                        f"SELECT t.id FROM {name} t WHERE {people.condition(person, name)}"
                    )
                }
                assert set(session.scalars(select(ENTITIES[name].id))) == found, name
                assert found or name in ("campaign", "invoice", "activity"), name
    assert ("company", "notes") in person.hidden
    assert any("finance" in one.name for one in walked)


def test_the_audit_of_a_firm_prints_its_table(database):
    """Walked as one person, on a copy; that it finds leaks, the tests above say of the same walk."""
    said = []
    small = {"only": "rep.north", "most_departments": 2}
    assert check.audit_scope(database.settings(), 60, say=said.append, **small) == 0, said[-20:]
    assert any(line.startswith("rep.north (sales)") for line in "\n".join(said).splitlines())
    assert "canaries out of place" in "\n".join(said)
