"""Campaigns: whom they address, and how far they came with each."""

from sqlalchemy import func, select

from app.extensions import N_
from app.models import Campaign, CampaignMember, Contact
from app.rules import RuleBroken

STATUSES = CampaignMember.__table__.c.status.info["choices"]
AT_ONCE = 500  # ids in one statement: engines limit how many it may carry


def add_members(session, campaign, contact_ids):
    """Address these contacts; returns how many were added and how many were members already.

    Ids that the session cannot see are passed over, as if they did not exist.
    """
    # One at a time for each campaign: two clicks at once would add the same contact twice.
    session.execute(select(Campaign.id).where(Campaign.id == campaign.id).with_for_update(key_share=True))
    added = already = 0
    contact_ids = list(dict.fromkeys(contact_ids))
    for start in range(0, len(contact_ids), AT_ONCE):
        ids = contact_ids[start : start + AT_ONCE]
        seen = session.scalars(select(Contact.id).where(Contact.id.in_(ids))).all()
        members = set(
            session.scalars(
                select(CampaignMember.contact_id).where(
                    CampaignMember.campaign_id == campaign.id, CampaignMember.contact_id.in_(ids)
                )
            )
        )
        new = [key for key in seen if key not in members]
        session.add_all(CampaignMember(campaign_id=campaign.id, contact_id=key) for key in new)
        added, already = added + len(new), already + len(seen) - len(new)
    session.flush()
    session.expire(campaign, ["members"])
    return added, already


def mark(member, status):
    """Say how far the campaign came with this contact: planned, reached or answered."""
    if status not in STATUSES:
        raise RuleBroken(
            N_("“%(status)s” is no status of a campaign's member."), field="status", status=status
        )
    member.status = status


def counts(session, campaign):
    """How many members stand at each status, in one SELECT; every status is named, also with none."""
    rows = session.execute(
        select(CampaignMember.status, func.count(CampaignMember.id))
        .where(CampaignMember.campaign_id == campaign.id)
        .group_by(CampaignMember.status)
    ).all()
    return dict.fromkeys(STATUSES, 0) | {status: count for status, count in rows}
