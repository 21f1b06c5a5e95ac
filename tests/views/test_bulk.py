"""Bulk work in the browser: choose rows and a deed, look, confirm; many are a job; all of it can be undone."""

import pytest
from sqlalchemy import select

from app import jobs
from app.models import Campaign, CampaignMember, ChangeSet, Contact, Job, Tag, Tagging
from app.rules import bulk_work
from tests import factories
from tests.databases import on_both_engines
from tests.rules import world


@pytest.fixture
def people(as_system):
    """Three contacts of the North in Graz, one of them of a hidden firm's, and one of the South: ids by name."""
    with as_system() as session:
        north, south = (factories.department(session, name).id for name in ("North", "South"))
        rows = [
            factories.make(session, "contact", last_name=name, city="Graz", department_id=key)
            for name, key in (("One", north), ("Two", north), ("Three", north), ("Far", south))
        ]
        return {row.last_name: row.id for row in rows}


def bulk(client, deed, *ids, which="chosen", more=""):
    picked = "".join(f"&id={key}" for key in ids)
    return client.get(f"/contacts/bulk?deed={deed}&which={which}{picked}{more}")


def cities(as_system):
    with as_system() as session:
        return dict(session.execute(select(Contact.last_name, Contact.city)).all())


def test_the_list_offers_its_rows_and_deeds(people, client_for):
    page = client_for("rep.north").get("/contacts/?city.is=Graz")
    assert page.html.count('form="bulk"') == 3
    form = next(form for form in page.forms if form.action == "/contacts/bulk")
    assert form.method == "get" and ("city.is", "Graz") in form.fields
    assert "Delete" in page and "Add to a campaign" not in page
    # Who only reads may take the list along, and nothing else.
    reads = client_for("director").get("/contacts/")
    assert "Set fields" not in reads and 'value="export"' in reads
    assert 'form="bulk"' not in client_for("rep.north").get("/departments/").html


@on_both_engines
def test_fields_are_set_after_a_look(people, client_for, as_system):
    rep = client_for("rep.north")
    form = bulk(rep, "edit", people["One"], people["Two"])
    assert "North" in form and "South" not in form
    look = rep.submit(form, "/contacts/bulk/edit", status=200, set=["city", "notes"], city="Wien")
    assert "2 would change" in look and "Graz" in look and "Wien" in look
    assert cities(as_system)["One"] == "Graz", "a look changes nothing"
    done = rep.submit(look, "/contacts/bulk/edit", follow=True)
    assert "2 records were changed" in done and "/undo" in done.html
    assert cities(as_system) == {"One": "Wien", "Two": "Wien", "Three": "Graz", "Far": "Graz"}
    with as_system() as session:
        made = session.scalars(select(ChangeSet).order_by(ChangeSet.id.desc())).first()
        assert (made.door, made.why) == ("bulk", "Set fields: 2 × Contact")


@on_both_engines
def test_all_that_match_are_meant_however_few_the_page_shows(people, client_for, as_system):
    rep = client_for("rep.north")
    form = bulk(rep, "assign", which="all", more="&city.is=Graz&size=1&sort=last_name")
    with as_system() as session:
        west = factories.department(session, "North").id
        owner = session.scalar(select(Contact.owner_id).limit(1))
    assert owner is None
    me = rep.get("/staff/?q=Solberg").link_with(**{"class": "row-link"}).rsplit("/", 1)[1]
    look = rep.submit(form, "/contacts/bulk/edit", status=200, owner_id=me)
    assert "3 would change" in look and "Ingrid Solberg" in look
    rep.submit(look, "/contacts/bulk/edit")
    with as_system() as session:
        mine = select(Contact.last_name).where(Contact.owner_id == int(me)).order_by(Contact.last_name)
        assert session.scalars(mine).all() == ["One", "Three", "Two"] and west


def test_what_is_wrong_is_said_at_the_field(people, client_for, as_system):
    rep = client_for("rep.north")
    form = bulk(rep, "edit", people["One"])
    for values, words in (
        ({"set": ["email"], "email": "nonsense"}, "not a mail address"),
        ({"set": ["last_name"]}, "This is needed."),
        ({"set": ["company_id"], "company_id": "Nobody Ltd"}, "Nothing is named"),
        ({"set": []}, "Choose at least one field"),
    ):
        assert words in rep.submit(form, "/contacts/bulk/edit", status=422, **values)
    assert cities(as_system)["One"] == "Graz"


def test_a_selection_that_changed_is_looked_at_again(people, client_for, as_system):
    rep = client_for("rep.north")
    form = bulk(rep, "edit", which="all", more="&city.is=Graz")
    look = rep.submit(form, "/contacts/bulk/edit", status=200, set=["city"], city="Wien")
    with as_system() as session:
        north = factories.department(session, "North").id
        factories.make(session, "contact", city="Graz", department_id=north)
    again = rep.submit(look, "/contacts/bulk/edit", status=409)
    assert "The selection has changed" in again and "4 would change" in again
    rep.submit(again, "/contacts/bulk/edit")
    assert sorted(set(cities(as_system).values())) == ["Graz", "Wien"]


@on_both_engines
def test_tags_are_put_on_and_taken_off(people, client_for, as_system):
    rep = client_for("rep.north")
    form = bulk(rep, "tag", people["One"], people["Two"])
    look = rep.submit(form, "/contacts/bulk/tags", status=200, new_tags="Fair 2026, VIP")
    assert "Fair 2026" in look and "VIP" in look
    with as_system() as session:
        assert session.scalars(select(Tag)).all() == [], "a look makes no tags"
    rep.submit(look, "/contacts/bulk/tags")
    with as_system() as session:
        fair = session.scalars(select(Tag.id).where(Tag.name == "Fair 2026")).one()
        assert len(session.scalars(select(Tagging)).all()) == 4
    look = rep.submit(bulk(rep, "untag", *people.values()), "/contacts/bulk/tags", status=200, tag_ids=fair)
    assert "2 would change" in look and "1 is like that already" in look
    rep.submit(look, "/contacts/bulk/tags")
    with as_system() as session:
        assert {one.tag_id for one in session.scalars(select(Tagging))} != {fair}
        assert len(session.scalars(select(Tagging)).all()) == 2


@on_both_engines
def test_what_must_stay_stays_only_when_it_is_agreed_to(people, client_for, as_system):
    with as_system() as session:
        factories.make(
            session,
            "deal",
            contact_id=people["One"],
            department_id=factories.department(session, "North").id,
        )
    rep = client_for("rep.north")
    look = bulk(rep, "delete", people["One"], people["Two"])
    assert "1 would be deleted" in look and "Deals still belong to it." in look
    refused = rep.submit(look, "/contacts/bulk/delete", status=422)
    assert "Nothing was changed" in refused
    done = rep.submit(refused, "/contacts/bulk/delete", follow=True, leave="1")
    assert "1 record was deleted" in done and "1 record stays as it is" in done
    assert set(cities(as_system)) == {"One", "Three", "Far"}


@pytest.mark.parametrize("username, deed", [("agent", "edit"), ("director", "delete"), ("agent", "tag")])
def test_who_only_reads_changes_nothing_in_bulk(people, client_for, username, deed):
    client = client_for(username)
    client.get(f"/contacts/bulk?deed={deed}&id={people['One']}", status=403)
    route = {"edit": "edit", "tag": "tags"}.get(deed, deed)
    client.post(f"/contacts/bulk/{route}", {"selection": f"ids:{people['One']}", "deed": deed}, status=403)


def test_foreign_rows_are_not_reached_by_their_numbers(people, client_for, as_system):
    rep = client_for("rep.north")
    look = rep.post(
        "/contacts/bulk/edit",
        {"selection": f"ids:{people['Far']}-{people['One']}", "set": "city", "city": "Wien", "deed": "edit"},
        status=200,
    )
    assert "1 would change" in look and "Far" not in look
    rep.submit(look, "/contacts/bulk/edit")
    assert cities(as_system)["Far"] == "Graz"


@pytest.mark.parametrize(
    "address",
    ["deed=nonsense&id=1", "deed=edit&which=some", "deed=edit&id=x", "deed=edit&which=all&city.of=x"],
)
def test_what_is_not_offered_is_said(people, client_for, address):
    client_for("rep.north").get(f"/contacts/bulk?{address}", status=400)


@pytest.mark.parametrize("text", ["", "ids:x", "all", "query:city.of=x", "ids:" + "-".join(["1"] * 1001)])
def test_a_selection_that_is_none_is_refused(people, client_for, text):
    client_for("rep.north").post(
        "/contacts/bulk/edit", {"selection": text, "set": "city", "city": "Wien"}, status=400
    )


def test_nothing_ticked_is_said(people, client_for):
    page = client_for("rep.north").get("/contacts/bulk?deed=edit", status=422)
    assert "tick the rows" in page


@on_both_engines
def test_many_are_a_job_of_whoever_asked(people, client_for, as_system, app, monkeypatch):
    monkeypatch.setattr("app.views.bulk.IN_REQUEST", 2)
    rep = client_for("rep.north")
    form = bulk(rep, "edit", which="all", more="&q=graz")
    look = rep.submit(form, "/contacts/bulk/edit", status=200, set=["city"], city="Wien")
    assert "done as a job" in look
    begun = rep.submit(look, "/contacts/bulk/edit")
    assert begun.location.startswith("/jobs/") and cities(as_system)["One"] == "Graz"
    assert jobs.run_waiting(app) == 1
    assert cities(as_system) == {"One": "Wien", "Two": "Wien", "Three": "Wien", "Far": "Graz"}
    with as_system() as session:
        job = session.scalars(select(Job)).one()
        assert (job.state, job.result["changed"], job.result["refused"]) == ("done", 3, 0)
        assert session.get(ChangeSet, job.change_set_id).door == "bulk"
    assert "What it changed" in rep.get(begun.location)


def test_a_job_that_meets_a_refusal_does_nothing_unless_agreed(
    people, client_for, as_system, app, monkeypatch
):
    monkeypatch.setattr("app.views.bulk.IN_REQUEST", 1)
    with as_system() as session:
        north = factories.department(session, "North").id
        factories.make(session, "deal", contact_id=people["One"], department_id=north)
    rep = client_for("rep.north")
    for leave, state, left in ((None, "failed", 4), ("1", "done", 2)):
        look = bulk(rep, "delete", which="all")
        rep.submit(look, "/contacts/bulk/delete", leave=leave)
        jobs.run_waiting(app)
        with as_system() as session:
            job = session.scalars(select(Job).order_by(Job.id.desc())).first()
            assert job.state == state, job.error
            assert [file.role for file in job.files] == (["refused"] if leave else [])
        assert len(cities(as_system)) == left


def test_merging_and_export_lead_to_their_pages(people, client_for):
    rep = client_for("rep.north")
    to = rep.get(f"/contacts/bulk?deed=merge&id={people['One']}&id={people['Two']}", status=302)
    assert to.location == f"/duplicates/merge?entity=contact&ids={people['One']}%2C{people['Two']}"
    page = bulk(rep, "export", people["One"], people["Two"])
    form = next(form for form in page.forms if form.action == "/contacts/export")
    exported = rep.get("/contacts/export", query_string=form.with_values({"format": "csv"}))
    assert len(exported.html.splitlines()) == 3


@on_both_engines
def test_contacts_are_added_to_a_campaign(people, client_for, as_system, app, monkeypatch):
    with as_system() as session:
        key = factories.make(session, "campaign", name="Spring").id
    marketer = client_for("marketer")
    page = bulk(marketer, "campaign", which="all", more="&city.is=Graz")
    assert "South" in page and "4" in page
    done = marketer.submit(page, "/campaigns/add-members", follow=True, campaign_id=key)
    assert "4 contacts were added" in done
    monkeypatch.setattr(bulk_work, "IN_REQUEST", 1)
    with as_system() as session:
        north = factories.department(session, "North").id
        factories.make(session, "contact", department_id=north)
        other = factories.make(session, "campaign", name="Autumn").id
    begun = marketer.submit(page, "/campaigns/add-members", campaign_id=other)
    assert begun.location.startswith("/jobs/") and jobs.run_waiting(app) == 1
    with as_system() as session:
        members = session.scalars(select(CampaignMember).where(CampaignMember.campaign_id == other)).all()
        assert len(members) == 4 and session.get(Campaign, other)


def test_a_field_of_deals_is_looked_at_before_it_is_set(as_system, client_for):
    with as_system() as session:
        key = world.deal(session).id
    client = client_for("rep.north")
    sent = {"selection": f"ids:{key}", "deed": "edit", "set": "notes", "notes": "Call before noon"}
    assert "Call before noon" in client.post("/deals/bulk/edit", sent, 200)
    client.post("/deals/bulk/edit", sent | {"confirm": "y", "expected": "1"})
    assert "Call before noon" in client.get(f"/deals/{key}")
