"""Tags in the browser: on the sheet of a record, in the settings, and on the way in and out."""

import pytest
from sqlalchemy import select

from app.models import Tag, Tagging
from tests import factories
from tests.databases import on_both_engines


@pytest.fixture
def contact(as_system):
    with as_system() as session:
        north = factories.department(session, "North").id
        return f"/contacts/{factories.make(session, 'contact', department_id=north).id}"


@on_both_engines
def test_a_tag_is_set_and_taken_off_on_the_sheet(contact, client_for, as_system):
    rep = client_for("rep.north")
    page = rep.submit(contact, f"{contact}/tags", follow=True, tag="Fair 2026")
    assert "Fair 2026" in page and 'value="Fair 2026"' not in page.html, "what is set is not offered again"
    rep.submit(page, f"{contact}/tags", tag="fair 2026")
    with as_system() as session:
        key = session.scalars(select(Tag.id)).one()
        assert len(session.scalars(select(Tagging)).all()) == 1
    page = rep.submit(page, f"{contact}/tags/{key}/remove", follow=True)
    assert "Take off" not in page and 'value="Fair 2026"' in page.html
    assert "Tag" in rep.get(f"{contact}/history")


def test_what_is_no_tag_is_said_beside_the_field(contact, client_for):
    page = client_for("rep.north").submit(contact, f"{contact}/tags", status=422, tag="  ")
    assert "Say which tag." in page


def test_who_only_reads_a_record_leaves_its_tags(contact, client_for):
    agent = client_for("agent")
    assert f"{contact}/tags" not in agent.get(contact).html
    agent.post(f"{contact}/tags", {"tag": "x"}, status=403)


def test_a_foreign_record_is_not_found(contact, client_for):
    client_for("rep.south").post(f"{contact}/tags", {"tag": "x"}, status=404)


def test_settings_have_no_tags(client_for):
    client_for("admin").post("/tax-rates/1/tags", {"tag": "x"}, status=404)


@on_both_engines
def test_heads_arrange_the_tags(client_for, contact):
    head = client_for("head.sales")
    head.submit("/tags/new", "/tags/new", name="Fair", color="green")
    again = head.submit("/tags/new", "/tags/new", status=422, name="Fair")
    assert "There is a tag of this name already." in again
    assert "Tags" not in [link for link in client_for("rep.north").get("/").links if link == "/tags/"]
    rep = client_for("rep.north")
    page = rep.submit(contact, f"{contact}/tags", follow=True, tag="Fair")
    assert "pill-green" in page.html
    listed = rep.get(next(link for link in page.links if "tag.is" in link))
    assert contact in listed.links
    assert rep.get("/contacts/?tag.is=4711").text.count("Nothing matches")
    rep.get("/tags/new", status=200)
    client_for("director").get("/tags/new", status=403)
