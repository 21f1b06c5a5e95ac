"""A campaign and whom it addresses."""

import pytest
from sqlalchemy import event

from app.extensions import db
from app.models import Campaign, CampaignMember, Contact
from app.rules import RuleBroken, campaigns
from tests.databases import on_both_engines
from tests.rules import world


def spring(session):
    campaign = Campaign(
        name="Spring mailing", department_id=world.department(session, "Marketing").id, currency="EUR"
    )
    session.add(campaign)
    session.flush()
    return campaign


@on_both_engines
def test_contacts_become_members_once(session):
    campaign = spring(session)
    ids = [world.contact(session, f"Contact {number}").id for number in range(3)]
    assert campaigns.add_members(session, campaign, ids[:2]) == (2, 0)
    assert campaigns.add_members(session, campaign, [*ids, *ids]) == (1, 2)
    assert [member.contact_id for member in campaign.members] == ids
    assert {member.status for member in campaign.members} == {"planned"}


def test_more_contacts_than_one_statement_carries(session):
    campaign = spring(session)
    department_id = world.department(session).id
    rows = [Contact(last_name=f"Contact {number}", department_id=department_id) for number in range(1001)]
    session.add_all(rows)
    session.flush()
    assert campaigns.add_members(session, campaign, [row.id for row in rows]) == (1001, 0)


def test_ids_that_nobody_has_are_passed_over(session):
    assert campaigns.add_members(session, spring(session), [4711]) == (0, 0)


def test_a_marketer_adds_contacts_of_every_department(as_person, as_system):
    with as_system() as session:
        campaign_id, contact_id = spring(session).id, world.contact(session).id
    with as_person("marketer") as session:
        assert campaigns.add_members(session, session.get(Campaign, campaign_id), [contact_id]) == (1, 0)


def test_a_member_is_marked():
    member = CampaignMember(status="planned")
    campaigns.mark(member, "answered")
    assert member.status == "answered"


def test_a_status_that_there_is_not_is_refused():
    with pytest.raises(RuleBroken, match="“dreaming” is no status"):
        campaigns.mark(CampaignMember(), "dreaming")


def test_counts_come_in_one_select(session):
    campaign = spring(session)
    campaigns.add_members(session, campaign, [world.contact(session, name).id for name in "abc"])
    campaigns.mark(campaign.members[0], "reached")
    session.flush()
    asked = []
    event.listen(db.engine, "before_cursor_execute", lambda *seen: asked.append(seen[2]))
    assert campaigns.counts(session, campaign) == {"planned": 2, "reached": 1, "answered": 0}
    assert len(asked) == 1
