"""The sheet of a campaign: marking a member leads back to where the reader was among the members."""

import pytest

from tests.factories import make
from tests.rules import world


@pytest.fixture
def marked(as_system):
    """A campaign with three members: (address of the campaign, ids of its members)."""
    with as_system() as session:
        campaign = make(session, "campaign", department_id=world.department(session, "Marketing").id)
        members = [
            make(session, "campaign_member", campaign_id=campaign.id, contact_id=one.id, status="planned")
            for one in (world.contact(session, name) for name in ("Ash", "Birch", "Cedar"))
        ]
        return f"/campaigns/{campaign.id}", [member.id for member in members]


def mark(client, page, member_id, status):
    """Mark this member by the form of the page; returns where that leads."""
    action = next(form.action for form in page.forms if f"/members/{member_id}?" in form.action)
    return client.post(action, {"status": status}).location


def test_marking_a_member_keeps_page_and_status(client_for, marked):
    url, (first, second, third) = marked
    client = client_for("marketer")
    filtered = client.get(f"{url}?status=planned")
    assert mark(client, filtered, first, "reached") == f"{url}?members=1&status=planned#members"
    back = mark(client, client.get(url), second, "reached")
    assert back == f"{url}?members=1&status=#member-{second}"
    page = client.get(back)
    assert f'id="member-{second}"' in page.html
    assert mark(client, page, third, "remove") == f"{url}?members=1&status=#members"
