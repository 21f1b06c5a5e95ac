"""The authorisation matrix in small: every route has its entry, and a sample of the cells answers as `roles.py` says.

All cells: `python -m tests.prove.matrix`.
"""

import pytest

from app import create_app, roles
from app.views.base import PageView, allows, expose
from tests.prove import matrix


class NewView(PageView):
    """A view that somebody adds without saying what its rows are, and what its deed needs."""

    entity, route_base = "company", "/new-things"

    @expose("/<int:thing>")
    @allows("see")
    def show(self, thing):
        return str(thing)

    @expose("/do", methods=["POST"])
    @allows("edit")
    def do(self):
        return "done"


def test_every_route_has_its_entry(app):
    assert matrix.missing_entries(app) == []


def test_a_new_route_without_an_entry_is_told(database, monkeypatch):
    monkeypatch.setitem(matrix.VIEWS, "NewView", NewView)
    app = create_app(database.settings())
    with app.app_context():
        app.appbuilder.add_view_no_menu(NewView)
    told = matrix.missing_entries(app)
    assert len(told) == 2 and all("/new-things/" in one for one in told)


def test_a_sample_of_the_cells_answers_as_the_roles_say():
    outcome, _ = matrix.prove(every=211)
    assert outcome.faults == []
    assert outcome.people == len(roles.ROLES) + 4  # nobody, the firm's own role, several roles, a visitor
    assert outcome.cells > 15_000 and outcome.requests > 80
    assert {matrix.ALLOWED, matrix.REFUSED, matrix.NOT_FOUND, matrix.NO_MATTER} <= set(outcome.expected)


@pytest.mark.parametrize("role", sorted(roles.ROLES))
def test_the_oracle_reads_a_role_as_it_stands(role):
    oracle = matrix.Oracle("m", ((role, matrix.HOME),), {})
    for grant in roles.ROLES[role]:
        for verb in grant.verbs:
            assert oracle.may(verb, grant.entity)
    assert not oracle.may("erase", "product") and not oracle.may("see", "nothing")
