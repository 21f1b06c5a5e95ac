"""Pairs that look like one: found by a job, shown with reasons, dismissed, merged; the warning before one more."""

from datetime import date

import pytest
from sqlalchemy import event, func, select

from app import jobs
from app.extensions import db
from app.models import Company, Contact, DuplicatePair, Job
from tests import factories
from tests.databases import on_both_engines
from tests.rules import world

ROLAND = {
    "first_name": "Roland",
    "birth_date": date(1970, 3, 4),
    "street": "Kirchgasse 6",
    "postal_code": "8010",
    "city": "Graz",
}


@pytest.fixture
def twins(as_system):
    """The ids of two contacts of the North who look like one, and of a third who does not."""
    with as_system() as session:
        rows = [
            world.contact(session, "Mendel", **ROLAND, email="roland@example.com"),
            world.contact(session, "Mendl", **ROLAND, phone="+43 316 123456"),
            world.contact(session, "Ottilie", first_name="Anna", city="Wien"),
        ]
        return [row.id for row in rows]


@pytest.fixture
def found(app, twins, client_for):
    """The same, when the representative of the North has had them looked for."""
    client = client_for("rep.north")
    page = client.get("/duplicates/")
    assert "No duplicates to look at" in page
    job = client.submit(page, "/duplicates/find", follow=True)
    assert jobs.run_waiting(app) == 1
    return twins, client, job


@on_both_engines
def test_the_finder_shows_pairs_with_their_reasons(found, as_system):
    (one, other, _), client, job = found
    assert "Look for duplicate contacts" in job
    assert "/duplicates/?entity=contact" in client.get(job.url).links
    page = client.get("/duplicates/")
    assert "% alike" in page and "Born on the same day." in page
    assert "The last names are nearly the same." in page
    assert f"/duplicates/merge?entity=contact&amp;ids={one},{other}" in page.html
    with as_system() as session:
        pair = session.scalars(select(DuplicatePair)).one()
        assert (pair.one_id, pair.other_id, pair.state) == (one, other, "open")
        assert session.scalars(select(Job)).one().result["added"] == 1


@on_both_engines
def test_the_finder_leaves_what_was_dismissed_and_takes_away_what_is_gone(app, found, as_system):
    (_, other, _), client, _ = found
    page = client.get("/duplicates/")
    with as_system() as session:
        key = session.scalar(select(DuplicatePair.id))
    page = client.submit(page, f"/duplicates/{key}/dismiss", follow=True)
    assert "These two stay two" in page and "No duplicates to look at" in page
    client.submit(page, "/duplicates/find", follow=True)
    jobs.run_waiting(app)
    assert "No duplicates to look at" in client.get("/duplicates/")
    dismissed = client.get("/duplicates/?state=dismissed")
    assert "Roland Mendl" in dismissed
    assert "looked at again" in client.submit(dismissed, f"/duplicates/{key}/reopen", follow=True)
    with as_system() as session:
        session.delete(session.get(Contact, other))
    assert "No duplicates to look at" in client.get("/duplicates/")
    client.submit("/duplicates/", "/duplicates/find", follow=True)
    jobs.run_waiting(app)
    with as_system() as session:
        assert session.scalar(select(func.count(DuplicatePair.id))) == 0


def test_a_score_is_brought_up_to_date(app, found, as_system):
    (_, other, _), client, _ = found
    with as_system() as session:
        before = session.scalars(select(DuplicatePair)).one().score
        session.get(Contact, other).postal_code = "1010"
        session.get(Contact, other).city = "Wien"
        session.get(Contact, other).street = "Ring 1"
    client.submit("/duplicates/", "/duplicates/find", follow=True)
    jobs.run_waiting(app)
    with as_system() as session:
        assert session.scalars(select(DuplicatePair)).one().score < before
        session.get(Contact, other).first_name = "Anna"
        session.get(Contact, other).birth_date = date(1999, 9, 9)
    client.submit("/duplicates/", "/duplicates/find", follow=True)
    jobs.run_waiting(app)
    with as_system() as session:
        assert session.scalars(select(DuplicatePair)).all() == []


def test_a_merge_takes_over_what_was_chosen(found, as_system):
    (one, other, _), client, _ = found
    with as_system() as session:
        deal = factories.make(session, "deal", contact_id=other).id
    page = client.get(f"/duplicates/merge?entity=contact&ids={one},{other}")
    form = page.form("/duplicates/merge")
    sent = dict(form.fields)
    assert sent["keep"] == str(one) and sent["field.email"] == str(one) and sent["field.phone"] == str(other)
    page = client.submit(page, "/duplicates/merge", follow=True, **{"field.last_name": one})
    assert page.url == f"/contacts/{one}" and "Merged into" in page
    assert any(link.endswith("/undo") for link in page.links)
    with as_system() as session:
        row = session.get(Contact, one)
        assert (row.last_name, row.email, row.phone) == ("Mendel", "roland@example.com", "+43 316 123456")
        assert session.get(Contact, other) is None
        assert session.get(factories.ENTITIES["deal"], deal).contact_id == one


def test_a_merge_of_what_has_changed_since_asks_again(found, as_system):
    (one, other, _), client, _ = found
    page = client.get(f"/duplicates/merge?entity=contact&ids={one},{other}")
    with as_system() as session:
        session.get(Contact, one).job_title = "Buyer"
    again = client.submit(page, "/duplicates/merge", status=409)
    assert "changed in the meantime" in again and "Buyer" in again
    with as_system() as session:
        assert session.get(Contact, other) is not None


def test_custom_fields_are_chosen_too_and_hidden_ones_are_kept(found, as_system):
    (one, other, third), client, _ = found
    with as_system() as session:
        south = world.department(session, "South").id
        for name, departments in (("size", []), ("secret", [south])):
            factories.make(
                session,
                "custom_field",
                entity="contact",
                name=name,
                kind="text",
                labels={"en": name.title()},
                department_ids=departments,
            )
        factories.make(
            session,
            "custom_field",
            entity="contact",
            name="boss",
            kind="record",
            target="contact",
            labels={"en": "Boss"},
        )
        session.get(Contact, one).custom = {"size": "L", "boss": third}
        session.get(Contact, other).custom = {"size": "M", "secret": "x"}
    page = client.get(f"/duplicates/merge?entity=contact&ids={one},{other}")
    assert "Size" in page and "Anna Ottilie" in page and "Secret" not in page
    client.submit(page, "/duplicates/merge", follow=True, **{"custom.size": one})
    with as_system() as session:
        assert session.get(Contact, one).custom == {"size": "L", "boss": third, "secret": "x"}


def test_a_company_with_issued_invoices_is_proposed_to_stay_and_cannot_go(client_for, as_system):
    with as_system() as session:
        north = world.department(session).id
        first = world.company(session, "Ernst Handel")
        billed = factories.issued(session, company=world.company(session, "Ernst Handel AG")).company
        assert {first.department_id, billed.department_id} == {north}
        ids = first.id, billed.id
    client = client_for("rep.north")
    page = client.get(f"/duplicates/merge?entity=company&ids={ids[0]},{ids[1]}")
    form = page.form("/duplicates/merge")
    assert dict(form.fields)["keep"] == str(ids[1])
    assert "stay as they are" in client.submit(page, "/duplicates/merge", keep=ids[0], status=422)
    assert client.submit(page, "/duplicates/merge", follow=True).url == f"/companies/{ids[1]}"


@pytest.mark.parametrize(
    "address",
    [
        "/duplicates/?entity=deal",
        "/duplicates/?state=odd",
        "/duplicates/merge",
        "/duplicates/merge?entity=contact&ids=1",
        "/duplicates/merge?entity=contact&ids=1,4711",
        "/duplicates/merge?entity=contact&ids=x,y",
        "/duplicates/merge?entity=contact&ids=1,99999999999999999999",
    ],
)
def test_what_there_is_not_is_not_found(client_for, address):
    client_for("rep.north").get(address, status=404)


def test_nobody_hears_of_pairs_that_he_does_not_see(found, client_for):
    (one, other, _), _, _ = found
    client = client_for("rep.south")
    assert "Mendel" not in client.get("/duplicates/")
    client.get(f"/duplicates/merge?entity=contact&ids={one},{other}", status=404)
    client.post("/duplicates/1/dismiss", status=404)


def test_who_only_reads_neither_dismisses_nor_merges(found, client_for):
    (one, other, _), _, _ = found
    client = client_for("director")
    page = client.get("/duplicates/")
    assert "Roland Mendel" in page and "Not a duplicate" not in page and "Merge…" not in page
    client.get(f"/duplicates/merge?entity=contact&ids={one},{other}", status=403)
    client.post("/duplicates/1/dismiss", status=403)


def test_the_list_goes_on_behind_the_last_pair_and_asks_little(app, as_system, client_for):
    with as_system() as session:
        people = [world.contact(session, f"Mendel {number}") for number in range(34)]
        for number in range(17):
            factories.make(
                session,
                "duplicate_pair",
                entity="contact",
                one_id=people[2 * number].id,
                other_id=people[2 * number + 1].id,
                score=70 + number % 3,
                reasons=[{"what": "birth_date", "level": "same", "weight": 5.9}],
            )
    client = client_for("rep.north")
    asked = []
    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    first = client.get("/duplicates/")
    selects = [one for one in asked if one.lstrip().upper().startswith("SELECT")]
    assert len(selects) <= 8, selects
    second = client.get(first.link_with(rel="next"))
    shown = [page.html.count('class="box pair"') for page in (first, second)]
    assert shown == [15, 2] and second.link_with(rel="next") is None


# --------------------------------------------------------------------------------------------- the warning


@on_both_engines
def test_a_new_record_that_looks_like_another_is_saved_only_when_asked_twice(twins, client_for, as_system):
    client = client_for("rep.north")
    page = client.get("/contacts/new")
    typed = {"last_name": "Mändel", "first_name": "Roland", "birth_date": "1970-03-04", "city": "Graz"}
    warned = client.submit(page, "/contacts/new", **typed, status=422)
    assert "Is it another one?" in warned and "Roland Mendel" in warned
    assert f"/contacts/{twins[0]}" in warned.links
    with as_system() as session:
        assert session.scalar(select(func.count(Contact.id))) == 3
    saved = client.submit(warned, "/contacts/new", follow=True, is_another="1")
    assert "was added" in saved
    with as_system() as session:
        assert session.scalar(select(func.count(Contact.id))) == 4


def test_a_new_company_is_warned_of_too(client_for, as_system):
    with as_system() as session:
        world.company(session, "Ernst Handel GmbH")
    client = client_for("rep.north")
    typed = {"name": "Ernst Handel", "city": "Graz", "vat_id": "ATU12345678"}
    assert "Ernst Handel GmbH" in client.submit("/companies/new", "/companies/new", **typed, status=422)
    with as_system() as session:
        assert session.scalar(select(func.count(Company.id))) == 1


def test_a_stranger_is_added_without_a_word(twins, client_for):
    client = client_for("rep.north")
    page = client.get("/contacts/new")
    assert "was added" in client.submit(
        page, "/contacts/new", follow=True, last_name="Ångström", first_name="Siv"
    )


def test_the_warning_names_only_what_the_typist_sees(twins, client_for):
    client = client_for("rep.south")
    typed = {"last_name": "Mendel", "first_name": "Roland", "birth_date": "1970-03-04", "city": "Graz"}
    page = client.submit("/contacts/new", "/contacts/new", status=422, **typed)
    assert "This looks like" not in page and "This customer exists already, in North." in page
    typed["first_name"] = "Rolando"  # not exactly his name: not told of, however alike
    page = client.submit("/contacts/new", "/contacts/new", follow=True, **typed)
    assert "was added" in page
