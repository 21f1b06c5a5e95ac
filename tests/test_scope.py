"""The scope audit in small: nobody reads a word of a row that he may not see, and finds every row that he may.

The large one, with more rows and on either engine: `python -m tests.prove.scope`.
"""

import pytest
from flask import render_template_string
from sqlalchemy import Column, Integer, MetaData, Table, select

from app import access, create_app
from app.models import Company
from app.views.base import PageView, allows, expose
from tests import databases
from tests.prove import scope


def test_no_canary_out_of_place(engine, capsys):
    with databases.fresh_database(engine) as database, databases.app_on(database) as app:
        outcome = scope.Audit(app, database, step=97, thin=40).run()
    with capsys.disabled():
        print(f"\n{engine}: {outcome}")
    assert outcome.faults[:30] == []
    assert outcome.routes > 80
    assert outcome.responses > 2000
    assert outcome.canaries > 1000


class LeakView(PageView):
    """A view that asks as the system what its reader may not see: guarded, and yet a leak."""

    route_base = "/leak"

    @expose("/")
    @allows(None)
    def list(self):
        with access.system_session("a leak", writes=False) as session:
            return " ".join(session.scalars(select(Company.notes)).all())


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
