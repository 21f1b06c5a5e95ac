"""Campaigns and their members."""

from urllib.parse import urlencode

from flask import abort, flash, g, redirect, request
from flask_babel import gettext, ngettext
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from app import filters
from app.extensions import N_, db
from app.models import Campaign, CampaignMember, Contact
from app.rules import RuleBroken, bulk_work, campaigns
from app.views import cells
from app.views.base import allows, expose
from app.views.bulk import begin_adding
from app.views.companies import ContactView
from app.views.records import RecordView, view_of

MEMBERS_SHOWN = 100


class CampaignView(RecordView):
    """Efforts to reach many people."""

    model = Campaign
    route_base = "/campaigns"
    one, many, icon = N_("Campaign"), N_("Campaigns"), "speakerphone"
    list_columns = ("name", "kind", "starts_on", "ends_on", "budget", "owner_id")
    filter_columns = ("kind", "starts_on", "owner_id", "department_id")

    def before_save(self, row, form):
        if row.starts_on and row.ends_on and row.ends_on < row.starts_on:
            raise RuleBroken(N_("It cannot end before it starts."), field="ends_on")

    def around(self, row):
        page, status = _shown()
        members = select(CampaignMember).where(CampaignMember.campaign_id == row.id)
        if status:
            members = members.where(CampaignMember.status == status)
        members = (
            members.order_by(CampaignMember.id).offset((page - 1) * MEMBERS_SHOWN).limit(MEMBERS_SHOWN + 1)
        )
        found = db.session.scalars(
            members.options(selectinload(CampaignMember.contact).selectinload(Contact.company))
        ).all()
        counts = campaigns.counts(db.session, row)
        return {
            "template": "campaigns/sheet.html",
            "state": (gettext(Campaign.__table__.c.kind.info["choices"].get(row.kind, row.kind)), "blue"),
            "members": [_member(one) for one in found[:MEMBERS_SHOWN]],
            "next_href": f"{self.path(row)}?members={page + 1}&status={status}"
            if len(found) > MEMBERS_SHOWN
            else None,
            "prev_href": f"{self.path(row)}?members={page - 1}&status={status}" if page > 1 else None,
            "shown_status": status,
            "kept": urlencode({"members": page, "status": status}),
            "total": sum(counts.values()),
            "counts": [(key, gettext(words), counts[key]) for key, words in campaigns.STATUSES.items()],
            "may_change": g.principal.may("edit", "campaign"),
        }

    @expose("/add-members", methods=["POST"])
    @allows("bulk", "edit")
    def add_members(self):
        """Add the selected contacts; very many are a job."""
        campaign = self.find(_key(request.form.get("campaign_id", "")))
        session, selection = db.session(), view_of(ContactView).sent_selection()
        contact_ids = bulk_work.ids_of(session, Contact, selection.conditions(session))
        if len(contact_ids) <= bulk_work.IN_REQUEST:
            return self._added(campaign, contact_ids)
        job = begin_adding(session, campaign, selection, len(contact_ids))
        db.session.commit()
        return redirect(f"/jobs/{job.id}")

    @expose("/<int:pk>/members", methods=["POST"])
    @allows("edit")
    def add_member(self, pk):
        campaign = self.find(pk)
        return self._added(campaign, [_key(request.form.get("contact_id", ""))])

    @expose("/<int:pk>/members/<int:member_pk>", methods=["POST"])
    @allows("edit")
    def mark(self, pk, member_pk):
        """Say how far the campaign came with one member, or take him out; leads back to the same page of members."""
        campaign, (page, status) = self.find(pk), _shown()
        member = db.session.get(CampaignMember, member_pk) if member_pk <= filters.LARGEST_ID else None
        if member is None or member.campaign_id != campaign.id:
            abort(404)
        if request.form.get("status") == "remove":
            db.session.delete(member)
        else:
            campaigns.mark(member, request.form.get("status", ""))
        db.session.commit()
        is_shown = request.form["status"] == status or (not status and request.form["status"] != "remove")
        anchor = f"member-{member_pk}" if is_shown else "members"
        kept = urlencode({"members": page, "status": status})
        return redirect(f"{self.path(campaign)}?{kept}#{anchor}")

    def _added(self, campaign, contact_ids):
        added, already = campaigns.add_members(db.session, campaign, contact_ids)
        db.session.commit()
        words = ngettext("%(num)s contact was added.", "%(num)s contacts were added.", added)
        if already:
            words += " " + ngettext("%(num)s was a member already.", "%(num)s were members already.", already)
        flash(words, "success")
        return redirect(self.path(campaign))


def _shown():
    """The page of members and the status that the address asks for."""
    page = filters.natural(request.args.get("members", "1"), 99_999)
    status = request.args.get("status", "")
    if not page or status not in ("", *campaigns.STATUSES):
        raise filters.BadQuery(N_("There is no such page."))
    return page, status


def _member(member):
    contact = member.contact
    return {
        "id": member.id,
        "status": member.status,
        "contact": cells.HIDDEN if contact is None else cells.link_to(contact),
        "company": None
        if contact is None or contact.company_id is None
        else cells.cell(contact, "company_id"),
        "email": None if contact is None or not contact.email else {"kind": "mail", "label": contact.email},
    }


def _key(text):
    key = filters.natural(text)
    if key is None:
        abort(404)
    return key
