"""Change sets on their pages: who, what before and after; undo with a look before; restore, as-of and the trash."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from app import bulk, jobs, ledger, security, undo
from app.access import DOOR
from app.models import Activity, Change, ChangeSet, Company, Contact, CustomField, Deal, Staff
from app.rules import deals
from tests.databases import on_both_engines
from tests.rules import world


@pytest.fixture
def deed(as_system, as_person):
    """`deed("rep.north", lambda session: …)` is one change set; returns (its id, what the deed returned)."""

    def do(username, work):
        with as_person(username) if username else as_system() as session:
            result = work(session)
            session.flush()
            return session.info["change_set_id"], result

    return do


@pytest.fixture
def company(deed):
    """A company of the North's, edited and then deleted by its rep: id, set of the edit, set of the deletion."""
    _, key = deed("rep.north", lambda session: world.company(session).id)

    def edit(session):
        session.get(Company, key).city = "Wien"

    edited, _ = deed("rep.north", edit)
    deleted, _ = deed("rep.north", lambda session: session.delete(session.get(Company, key)))
    return key, edited, deleted


def test_it_works(client_for, company):
    key, edited, deleted = company
    rep = client_for("rep.north")
    page = rep.get("/changes/")
    assert "Company “Ernst Handel” deleted" in page.text
    assert f"/changes/{deleted}" in page.links
    page = rep.get(f"/changes/{edited}")
    assert "Ingrid Solberg" in page.text
    assert "Graz → Wien" in page.text
    page = rep.get(f"/changes/{deleted}/undo")
    assert "brought back" in page.text
    page = rep.submit(page, follow=True)
    assert "1 row was put back." in page.text
    assert "Ernst Handel" in rep.get(f"/companies/{key}")


def test_the_list_is_filtered_and_goes_on_by_pages(client_for, deed):
    def many(session):
        for number in range(30):
            world.company(session, name=f"Firm {number}")
            session.commit()

    deed("rep.north", lambda session: (many(session), world.contact(session)))
    rep = client_for("rep.north")
    page = rep.get("/changes/?entity=company")
    assert "Firm 29" in page.text
    assert "Mendel" not in page.text
    following = rep.get(page.link_with(rel="next"))
    assert "Firm 0" in following.text
    assert "Firm 29" not in following.text
    assert "Mendel" in rep.get("/changes/?by=me&door=page").text
    assert "Mendel" not in rep.get("/changes/?door=import").text
    assert "Mendel" not in rep.get("/changes/?on=2001-02-03").text
    rep.get("/changes/?on=yesterday", status=400)


def test_who_does_not_see_the_record_does_not_see_its_changes(client_for, company):
    _, edited, deleted = company
    other = client_for("rep.south")
    assert "Ernst Handel" not in other.get("/changes/").text
    assert "Ernst Handel" not in other.get("/trash/").text
    for key in (edited, deleted, 999_999):
        other.get(f"/changes/{key}", status=404)
        other.get(f"/changes/{key}/undo", status=404)
        other.post(f"/changes/{key}/undo", status=404)


def test_who_only_looks_undoes_nothing(client_for, company):
    _, edited, deleted = company
    director = client_for("director")
    director.get(f"/changes/{edited}")
    director.get(f"/changes/{deleted}/undo", status=403)
    director.post(f"/changes/{deleted}/undo", status=403)


def test_what_stays_is_listed_before_and_after_with_its_reason(client_for, deed):
    _, keys = deed(
        "rep.north", lambda session: [world.company(session, name=name).id for name in ("One", "Two")]
    )

    def edit(session):
        for key in keys:
            session.get(Company, key).city = "Wien"

    edited, _ = deed("rep.north", edit)
    deed("head.sales", lambda session: setattr(session.get(Company, keys[0]), "notes", "important"))
    rep = client_for("rep.north")
    page = rep.get(f"/changes/{edited}/undo")
    assert "OneCompanyIt was changed since, by Thomas Okafor." in page.text
    page = rep.submit(page, follow=True)
    assert "1 row was put back." in page.text
    assert "1 row stays as it is." in page.text
    assert "It was changed since, by" in page.text
    assert "Taken back by Ingrid Solberg" in page.text
    page = rep.get(f"/companies/{keys[0]}")
    assert "Wien" in page.text


def test_looking_at_an_undo_changes_nothing(client_for, company, as_system):
    key, _, deleted = company
    client_for("rep.north").get(f"/changes/{deleted}/undo")
    with as_system() as session:
        assert session.get(Company, key) is None
        assert session.scalars(select(ChangeSet).where(ChangeSet.door == "undo")).all() == []


def test_a_deletion_offers_its_undo_at_once(client_for, deed):
    _, key = deed("rep.north", lambda session: world.company(session).id)
    rep = client_for("rep.north")
    page = rep.submit(f"/companies/{key}", f"/companies/{key}/delete", follow=True)
    (href,) = [link for link in page.links if link.endswith("/undo")]
    rep.submit(rep.get(href), follow=True)
    rep.get(f"/companies/{key}")


# --------------------------------------------------------------------------------------------- one value


def test_a_value_is_set_back_from_the_history(client_for, deed, as_system):
    _, key = deed("rep.north", lambda session: world.company(session).id)
    deed("rep.north", lambda session: setattr(session.get(Company, key), "city", "Wien"))
    rep = client_for("rep.north")
    page = rep.get(f"/companies/{key}/history")
    page = rep.submit(page, f"/companies/{key}/restore", follow=True)
    assert "“City” is again what it was." in page.text
    with as_system() as session:
        assert session.get(Company, key).city == "Graz"


def test_a_value_of_a_colleague_is_set_back_and_he_keeps_his_roles(client_for, deed, as_system):
    with as_system() as session:
        key = session.scalars(select(Staff.id).where(Staff.name == "Ingrid Solberg")).one()
        had = security.roles_of(session, key)
    deed(None, lambda session: setattr(session.get(Staff, key), "job_title", "Merchant"))
    admin = client_for("admin")
    page = admin.submit(admin.get(f"/staff/{key}/history"), f"/staff/{key}/restore", follow=True)
    assert "“Job title” is again what it was." in page.text
    with as_system() as session:
        assert session.get(Staff, key).job_title == "Account Manager"
        assert had and security.roles_of(session, key) == had


def test_a_link_is_set_back_and_a_hidden_one_is_not(client_for, deed, as_system):
    def contact(session):
        row = world.contact(session, company_id=world.company(session).id)
        return row.id, row.company_id

    _, (key, company_id) = deed("rep.north", contact)
    deed("rep.north", lambda session: setattr(session.get(Contact, key), "company_id", None))
    rep = client_for("rep.north")
    history = rep.get(f"/contacts/{key}/history")
    page = rep.submit(history, f"/contacts/{key}/restore", follow=True)
    assert "“Company” is again what it was." in page.text

    def hide(session):
        session.get(Company, company_id).department_id = world.department(session, "South").id

    deed(None, hide)
    with as_system() as session:
        session.get(Contact, key).company_id = None
    form = history.form(f"/contacts/{key}/restore")
    with as_system() as session:
        version = session.get(Contact, key).version
    data = form.with_values({"version": version})
    page = rep.post(f"/contacts/{key}/restore", data, status=422)
    assert "not there any more, or not visible to you" in page.text


def test_a_value_is_not_set_back_on_what_was_changed_meanwhile(client_for, deed):
    _, key = deed("rep.north", lambda session: world.company(session).id)
    deed("rep.north", lambda session: setattr(session.get(Company, key), "city", "Wien"))
    rep = client_for("rep.north")
    page = rep.get(f"/companies/{key}/history")
    deed("head.sales", lambda session: setattr(session.get(Company, key), "notes", "x"))
    assert "was changed in the meantime" in rep.submit(page, f"/companies/{key}/restore", status=409).text


def test_what_a_deed_wrote_is_not_set_back_by_hand(client_for, deed, as_system):
    _, key = deed("rep.north", lambda session: world.deal(session).id)
    _, _ = deed(
        "rep.north", lambda session: deals.win(session, session.get(Deal, key), by=None, today=world.TODAY)
    )
    with as_system() as session:
        of_deal = select(Change).where(
            Change.entity == "deal", Change.action == "edit", Change.record_id == key
        )
        change = session.scalars(of_deal.order_by(Change.id.desc())).first()
        assert "closed_on" in change.values
        change_id = change.id
    rep = client_for("rep.north")
    page = rep.post(f"/deals/{key}/restore", {"change": change_id, "column": "closed_on"}, status=422)
    assert "“Closed on” follows from a deed" in page.text


@pytest.mark.parametrize(
    "form", [{}, {"change": "999999", "column": "city"}, {"change": "x", "column": "city"}]
)
def test_a_change_that_there_is_not_restores_nothing(client_for, deed, form):
    _, key = deed("rep.north", lambda session: world.company(session).id)
    client_for("rep.north").post(f"/companies/{key}/restore", form, status=404)


def test_a_foreign_change_restores_nothing_here(client_for, deed, as_system):
    _, (one, other) = deed(
        "rep.north", lambda session: (world.company(session).id, world.company(session, name="Other").id)
    )
    deed("rep.north", lambda session: setattr(session.get(Company, other), "city", "Wien"))
    with as_system() as session:
        change = session.scalars(select(Change).order_by(Change.id.desc())).first().id
    client_for("rep.north").post(
        f"/companies/{one}/restore", {"change": change, "column": "city"}, status=404
    )


# --------------------------------------------------------------------------------------------- as of


@pytest.fixture
def past_deal(deed, as_system):
    """A deal added on 1 March, given a line on 5 March, renamed on 9 March, and deleted on 12 March: its id."""

    def on(change_set_id, day):
        with as_system() as session:
            table = ChangeSet.__table__
            moment = datetime(2026, 3, day, 12, tzinfo=UTC)
            statement = update(table).where(table.c.id == change_set_id).values(at=moment)
            session.connection().execute(statement, execution_options={DOOR: True})

    made, key = deed("rep.north", lambda session: world.deal(session, "First name", amount="7.00").id)
    on(made, 1)
    lined, _ = deed(
        "rep.north", lambda session: deals.add_line(session.get(Deal, key), description="Chair", unit_price=9)
    )
    on(lined, 5)
    named, _ = deed("rep.north", lambda session: setattr(session.get(Deal, key), "name", "Second name"))
    on(named, 9)
    return key, lambda: on(deed("rep.north", lambda session: session.delete(session.get(Deal, key)))[0], 12)


def test_a_record_is_shown_as_it_was_on_any_past_day(client_for, past_deal):
    key, delete = past_deal
    rep = client_for("rep.north")

    def as_of(day):
        return rep.get(f"/deals/{key}/as-of?day=2026-03-{day:02}").text

    assert "It did not exist yet" in rep.get(f"/deals/{key}/as-of?day=2026-02-28").text
    assert "First name on" in as_of(1)
    assert "€7.00" in as_of(4)
    assert "Chair" not in as_of(4)
    assert "First name on" in as_of(5)
    assert "€9.00" in as_of(5)
    assert "Chair" in as_of(8)
    assert "Second name on" in as_of(9)
    delete()
    assert "Second name on" in as_of(11)
    assert "Chair" in as_of(11)
    assert "It had been deleted by then" in as_of(12)
    rep.get(f"/deals/{key}/as-of?day=soon", status=422)


def test_the_past_of_a_record_is_for_those_who_see_it(client_for, past_deal):
    key, delete = past_deal
    other = client_for("rep.south")
    other.get(f"/deals/{key}/as-of?day=2026-03-04", status=404)
    delete()
    other.get(f"/deals/{key}/as-of?day=2026-03-04", status=404)
    other.get("/deals/999999/as-of?day=2026-03-04", status=404)


# --------------------------------------------------------------------------------------------- the trash


def test_what_was_deleted_lies_in_the_trash_until_it_is_brought_back(client_for, deed, company):
    key, _, deleted = company
    rep = client_for("rep.north")
    page = rep.get("/trash/")
    assert "Ernst Handel" in page.text
    href = f"/changes/{deleted}/undo?only=company.{key}"
    assert href in page.links
    rep.submit(rep.get(href), follow=True)
    assert "Ernst Handel" not in rep.get("/trash/").text
    rep.get(f"/companies/{key}")


def test_one_of_many_is_brought_back_alone(client_for, deed):
    _, keys = deed(
        "rep.north", lambda session: [world.company(session, name=name).id for name in ("One", "Two")]
    )
    deleted, _ = deed(
        "rep.north", lambda session: [session.delete(session.get(Company, key)) for key in keys]
    )
    rep = client_for("rep.north")
    rep.submit(rep.get(f"/changes/{deleted}/undo?only=company.{keys[0]}"), follow=True)
    rep.get(f"/companies/{keys[0]}")
    rep.get(f"/companies/{keys[1]}", status=404)
    assert "Two" in rep.get("/trash/?entity=company").text


def test_a_deleted_activity_lies_in_the_trash_of_who_deleted_it(client_for, deed):
    def make(session):
        company = world.company(session)
        row = Activity(subject="Call them", company_id=company.id, department_id=company.department_id)
        session.add(row)
        session.flush()
        return row.id

    _, key = deed("rep.north", make)
    deed("rep.north", lambda session: session.delete(session.get(Activity, key)))
    assert "Call them" in client_for("rep.north").get("/trash/").text
    assert "Call them" not in client_for("marketer").get("/trash/").text


def test_the_trash_keeps_things_for_a_while_only(client_for, company, as_system):
    _, _, deleted = company
    with as_system() as session:
        table = ChangeSet.__table__
        old = update(table).where(table.c.id == deleted).values(at=datetime.now(UTC) - timedelta(days=91))
        session.connection().execute(old, execution_options={DOOR: True})
    assert "Ernst Handel" not in client_for("rep.north").get("/trash/").text


@on_both_engines
def test_what_lay_in_the_trash_too_long_loses_its_values_and_keeps_who_and_when(deed, company, as_system):
    key, edited, deleted = company
    _, living = deed("rep.north", lambda session: world.company(session, name="Living").id)
    with as_system() as session:
        assert ledger.forget_deleted(session, datetime.now(UTC) - timedelta(days=1)) == 0
        assert ledger.forget_deleted(session, datetime.now(UTC) + timedelta(days=1)) == 1
        assert ledger.forget_deleted(session, datetime.now(UTC) + timedelta(days=1)) == 0
    with as_system() as session:
        changes = select(Change).where(Change.entity == "company").order_by(Change.id)
        told = [(one.record_id, one.action, bool(one.values)) for one in session.scalars(changes)]
        assert told == [
            (key, "add", False),
            (key, "edit", False),
            (key, "delete", False),
            (living, "add", True),
        ]
        assert session.get(ChangeSet, deleted).by.name == "Ingrid Solberg"
        undone = undo.undo(session, deleted)
        assert [one.reason for one in undone.left] == [undo.EMPTIED]
        assert undo.undo(session, edited).rows == 0


# --------------------------------------------------------------------------------------------- many rows


@on_both_engines
def test_many_rows_are_taken_back_by_a_job(app, client_for, deed, as_system):
    def add(session):
        here = world.department(session).id
        return bulk.add(
            session, Contact, [{"last_name": f"Nr {one}", "department_id": here} for one in range(250)]
        )

    added, keys = deed("rep.north", add)
    deed("head.sales", lambda session: setattr(session.get(Contact, keys[7]), "city", "Wien"))
    rep = client_for("rep.north")
    page = rep.get(f"/changes/{added}/undo")
    assert "These are 250 rows" in page.text
    trial = rep.post(f"/changes/{added}/undo", {"try": "1"}).location
    jobs.run_waiting(app)
    page = rep.get(trial)
    assert "Would be restored249" in page.text
    rep.get(f"/contacts/{keys[0]}")
    job = rep.post(f"/changes/{added}/undo").location
    jobs.run_waiting(app)
    page = rep.get(job)
    assert "Restored249" in page.text
    (file,) = [link for link in page.links if "/files/" in link]
    assert f"Contact,{keys[7]},," in rep.get(file).html
    rep.get(f"/contacts/{keys[0]}", status=404)
    rep.get(f"/contacts/{keys[7]}")
    (href,) = [link for link in page.links if link.startswith("/changes/") and link != "/changes/"]
    assert "This took another change back." in rep.get(href).text


def test_a_value_of_a_custom_field_is_set_back_and_shown_as_it_was(client_for, deed, as_system):
    deed(
        None,
        lambda session: session.add(
            CustomField(entity="company", name="size", kind="number", labels={"en": "Head count"})
        ),
    )
    _, key = deed("rep.north", lambda session: world.company(session, custom={"size": 5}).id)
    deed("rep.north", lambda session: setattr(session.get(Company, key), "custom", {"size": 12}))
    rep = client_for("rep.north")
    page = rep.get(f"/companies/{key}/history")
    assert "5 → 12" in page.text
    assert "Head count12" in rep.get(f"/companies/{key}/as-of").text
    page = rep.submit(page, f"/companies/{key}/restore", follow=True)
    assert "“Head count” is again what it was." in page.text
    with as_system() as session:
        assert session.get(Company, key).custom == {"size": 5}
