"""The one timeline of a record: everything that happened, filtered by the address."""

import io

import pytest

from tests import factories


@pytest.fixture
def deal_id(as_system):
    with as_system() as session:
        north = factories.department(session, "North")
        deal = factories.make(session, "deal", name="Told of", department=north)
        for kind in ("note", "call", "meeting", "mail", "task"):
            factories.make(
                session, "activity", kind=kind, subject=f"a {kind} of it", department=north, deal=deal
            )
        return deal.id


def test_notes_files_and_changes_stand_in_one_timeline(client_for, deal_id):
    client = client_for("rep.north")
    client.get(f"/deals/{deal_id}")
    client.post(f"/deals/{deal_id}/files", {"file": [(io.BytesIO(b"text"), "offer.txt")]})
    client.submit(f"/deals/{deal_id}/edit", action=f"/deals/{deal_id}/edit", notes="changed")
    page = client.get(f"/deals/{deal_id}")
    for words in ("a note of it", "a task of it", "offer.txt", "Notes changed", "Deal added"):
        assert words in story(page), words


@pytest.mark.parametrize("kind", ["note", "call", "meeting", "mail", "task"])
def test_a_filter_shows_one_kind(client_for, deal_id, kind):
    shown = story(client_for("rep.north").get(f"/deals/{deal_id}?show={kind}"))
    assert f"a {kind} of it" in shown and shown.count(" of it") == 1 and "Deal added" not in shown


def test_files_and_changes_have_filters_of_their_own(client_for, deal_id):
    client = client_for("rep.north")
    client.submit(f"/deals/{deal_id}/edit", action=f"/deals/{deal_id}/edit", notes="more words")
    assert "Nothing of this kind yet." in story(client.get(f"/deals/{deal_id}?show=file"))
    changes = story(client.get(f"/deals/{deal_id}?show=change"))
    assert "more words" in changes and "a note of it" not in changes


def test_a_filter_that_there_is_not_is_refused(client_for, deal_id):
    client_for("rep.north").get(f"/deals/{deal_id}?show=nonsense", status=400)


def test_a_hidden_field_is_not_named_among_the_changes(client_for, as_system):
    with as_system() as session:
        won = factories.won_deal(session, notes="secret")
        key = won.id
    client_for("head.sales").submit(f"/deals/{key}/edit", action=f"/deals/{key}/edit", notes="more secret")
    assert "Notes changed" in story(client_for("head.sales").get(f"/deals/{key}"))
    assert "Notes changed" not in story(client_for("finance").get(f"/deals/{key}"))


def story(page):
    return page.html.split('id="story"', 1)[1].split("</section>", 1)[0]
