"""One value changed where it stands: the same checks, the same ledger, the same versions as the whole form."""

import pytest
from sqlalchemy import select

from app.models import Change, Company
from app.views.records import RecordView
from tests.databases import on_both_engines
from tests.rules import world

FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def north(client_for):
    return client_for("rep.north")


@pytest.fixture
def company_id(as_system):
    with as_system() as session:
        return world.company(session, name="Blauer See", city="Bonn", email="post@blauer-see.example").id


def _company(as_system, company_id):
    with as_system() as session:
        row = session.get(Company, company_id)
        return row.city, row.email, row.version


@on_both_engines
def test_a_value_is_changed_on_a_page_of_its_own_without_a_script(north, company_id, as_system):
    address = f"/companies/{company_id}/values/city"
    sheet = north.get(f"/companies/{company_id}")
    assert address in sheet.links
    answer = north.submit(address, address, city="Köln", follow=True)
    assert answer.url == f"/companies/{company_id}" and "Köln" in answer
    assert _company(as_system, company_id) == ("Köln", "post@blauer-see.example", 2)
    with as_system() as session:
        change = session.scalars(select(Change).order_by(Change.id.desc())).first()
        assert change.values["city"] == ["Bonn", "Köln"]


def test_a_script_gets_the_form_and_then_the_value_alone(north, company_id):
    address = f"/companies/{company_id}/values/city"
    form = north.get(address, headers=FRAGMENT)
    assert not form.is_whole and form.form(address).with_values({})["city"] == ["Bonn"]
    data = form.form(address).with_values({"city": "Köln"})
    saved = north.post(address, data, status=200, headers=FRAGMENT)
    assert not saved.is_whole and "Köln" in saved and 'data-version="2"' in saved.html


def test_the_cell_that_opens_a_row_opens_it_still(north, company_id):
    address = f"/companies/{company_id}/values/name"
    form = north.get(f"{address}?place=lead", headers=FRAGMENT).form(address)
    saved = north.post(address, form.with_values({"name": "Grüner See"}), status=200, headers=FRAGMENT)
    assert f'<a class="row-link" href="/companies/{company_id}">Grüner See</a>' in saved.html


def test_what_the_form_refuses_is_said_at_the_field_and_nothing_is_lost(north, company_id, as_system):
    address = f"/companies/{company_id}/values/email"
    answer = north.submit(address, address, email="no mail address", status=422)
    assert 'value="no mail address"' in answer.html and 'aria-invalid="true"' in answer.html
    assert _company(as_system, company_id)[1] == "post@blauer-see.example"
    empty = north.submit(f"/companies/{company_id}/values/name", name="  ", status=422)
    assert 'aria-invalid="true"' in empty.html


@on_both_engines
def test_who_was_overtaken_sees_what_stands_there_and_may_save_again(
    north, client_for, company_id, as_system
):
    address = f"/companies/{company_id}/values/city"
    mine = north.get(address)
    other = client_for("head.sales")
    other.submit(address, address, city="Aachen")
    answer = north.submit(mine, address, city="Köln", status=409)
    assert "“Aachen”" in answer and 'value="Köln"' in answer.html
    assert _company(as_system, company_id)[0] == "Aachen"
    north.submit(answer, address, city="Köln")
    assert _company(as_system, company_id)[0] == "Köln"


def test_foreign_rows_and_columns_that_are_not_filled_in_are_not_there(north, client_for, company_id):
    north.get(f"/companies/{company_id}/values/created_at", status=404)
    north.get(f"/companies/{company_id}/values/nothing", status=404)
    client_for("rep.south").get(f"/companies/{company_id}/values/city", status=404)
    client_for("finance").get(f"/companies/{company_id}/values/city", status=403)


def test_a_rule_of_the_record_stands_against_one_value_too(north, as_system):
    with as_system() as session:
        won = world.won_deal(session)
        world.invoices.draft_from(session, won, by=None, today=world.TODAY)
        won_id = won.id
    address = f"/deals/{won_id}/values/currency"
    answer = north.submit(address, address, currency="CHF", status=422)
    assert 'aria-invalid="true"' in answer.html and "invoice" in answer.text


def test_a_view_with_a_way_of_its_own_to_save_lets_no_value_be_changed_alone():
    for kind in _all(RecordView):
        assert kind.edit is RecordView.edit or not kind.edits_values, kind


def _all(kind):
    for one in kind.__subclasses__():
        yield one
        yield from _all(one)


def test_whose_session_has_ended_is_told_so_beside_what_he_typed(north, company_id):
    address = f"/companies/{company_id}/values/city"
    form = north.get(address, headers=FRAGMENT).form(address).with_values({"city": "Köln"})
    north.browser.delete_cookie("foyer-session")
    answer = north.request("GET", address, 401, headers=FRAGMENT)
    assert answer.response.headers["HX-Retarget"] == "#flashes" and not answer.is_whole
    stale = north.request("POST", address, 400, data=form, headers=FRAGMENT)
    assert stale.response.headers["HX-Retarget"] == "#flashes" and not stale.is_whole
