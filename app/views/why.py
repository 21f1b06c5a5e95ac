"""Why can X see this? For heads on each record that they see; for admins by kind and number, without the record."""

from datetime import UTC, datetime

from flask import abort, g, request
from flask_babel import gettext

from app import access, filters
from app.extensions import N_, db
from app.models import ENTITIES, Department, Staff
from app.rules import leaving_the_house, why
from app.views import cells, words
from app.views.base import PageView, allows, expose
from app.views.reading import day


class WhyView(PageView):
    """Who may see a record and what grants it; and for whoever may not, what stands against it."""

    entity, model = "membership", None
    route_base = "/why"

    @expose("/")
    @allows("edit")
    def index(self):
        entity, key = request.args.get("entity", ""), filters.natural(request.args.get("id", ""))
        person_id = filters.natural(request.args.get("person", ""))
        if not request.args.get("id"):
            return self._page(None, entity)
        if entity not in why.ASKED or key is None:
            abort(404)
        row = db.session.get(ENTITIES[entity], key)  # with the asker's own sight
        if row is None and not g.principal.may("edit", "account"):
            abort(404)
        name, href = (str(row), cells.path_of(row)) if row is not None else (None, None)
        db.session.rollback()
        with access.system_session("why can X see this?", writes=False) as session:
            if session.get(ENTITIES[entity], key) is None:
                abort(404)
            said = self._said(session, entity, key, person_id)
        leaving_the_house.write_down(
            g.principal,
            kind="why",
            entity=entity,
            question=f"{gettext('Who may see it')}\n{request.full_path.rstrip('?')}",
            at=datetime.now(UTC),
            record_id=key,
            rows=len(said["seeing"]),
        )
        return self._page({**said, "name": name, "href": href}, entity, key, person_id)

    # ---- its parts

    def _said(self, session, entity, key, person_id):
        answers = why.everybody(session, ENTITIES[entity], key)
        row = session.get(ENTITIES[entity], key)
        tell = _Teller(session, row)
        chosen = next((one for one in answers if one.person.id == person_id), None)
        return {
            "seeing": [
                {
                    "name": one.person.name,
                    "department": tell.department(one.person.department_id),
                    "reasons": tell.reasons(one),
                    "hidden": ", ".join(words.field_name(entity, name) for name in one.hidden),
                    "href": f"?entity={entity}&id={key}&person={one.person.id}",
                }
                for one in answers
                if one.sees
            ],
            "others": sum(not one.sees for one in answers),
            "lies_in": tell.department(row.department_id),
            "owner": tell.person(row.owner_id),
            "people": [(one.person.id, one.person.name) for one in answers],
            "chosen": None
            if chosen is None
            else {
                "name": chosen.person.name,
                "sees": chosen.sees,
                "reasons": tell.reasons(chosen) if chosen.sees else tell.against(chosen),
            },
        }

    def _page(self, said, entity, key=None, person_id=None):
        return self.page(
            "rights/why.html",
            said=said,
            kinds=[(one, words.entity_name(one)) for one in why.ASKED],
            entity=entity,
            kind=words.entity_name(entity) if entity in why.ASKED else None,
            key=key,
            person_id=person_id,
        )


NOT_MET = {
    "customer": N_("only customers, and this is none"),
    "won": N_("only won deals, and this is none"),
}


class _Teller:
    """Says grounds in words; knows the names of departments and people."""

    def __init__(self, session, row):
        self.session, self.row = session, row

    def department(self, key):
        found = self.session.get(Department, key) if key is not None else None
        return found.name if found is not None else gettext("no department")

    def person(self, key):
        found = self.session.get(Staff, key) if key is not None else None
        return found.name if found is not None else gettext("nobody")

    def reasons(self, answer):
        """What grants it."""
        told = [self._grant(one.grant) for one in answer.granting]
        return [*dict.fromkeys(told), *(self._share(one) for one in answer.shares)]

    def against(self, answer):
        """Which rule stands against it."""
        entity = self.row.__tablename__
        told = []
        if not answer.grounds and not answer.shares:
            told.append(
                gettext("None of the roles gives “see” on %(entity)s.", entity=words.entity_name(entity))
            )
        if not answer.granting and not answer.shares:
            told += [self._short(one) for one in answer.grounds]
            told += [
                gettext("It was shared until %(day)s.", day=day(one.until_on))
                for one in answer.ended
                if one.until_on is not None
            ]
        for subject in answer.unseen:
            told.append(
                gettext(
                    "It speaks of one of the %(entity)s that is not visible.",
                    entity=words.entity_name(subject),
                )
            )
        return list(dict.fromkeys(told))

    def _held(self, grant):
        """By which role somebody holds a grant."""
        if grant.via is None:
            return gettext("As everybody")
        held = gettext(
            "“%(role)s” in %(department)s",
            role=grant.via.role,
            department=self.department(grant.via.department_id),
        )
        if grant.via.person_id is None:
            return held
        return gettext(
            "%(held)s, as the deputy of %(person)s until %(day)s",
            held=held,
            person=self.person(grant.via.person_id),
            day=day(grant.via.until),
        )

    def _reach(self, grant):
        if grant.owners is not None:
            return gettext("what %(people)s looks after", people=", ".join(map(self.person, grant.owners)))
        if grant.departments is None:
            return gettext("all departments")
        return ", ".join(map(self.department, grant.departments)) or gettext("no department")

    def _grant(self, grant):
        told = gettext("%(held)s: reaches %(reach)s", held=self._held(grant), reach=self._reach(grant))
        return f"{told} ({gettext(words.CONDITIONS[grant.condition])})" if grant.condition else told

    def _short(self, ground):
        """How far a grant falls short."""
        held, told = self._held(ground.grant), []
        if not ground.reaches:
            lies = (
                gettext("but %(person)s looks after it", person=self.person(self.row.owner_id))
                if ground.grant.owners is not None
                else gettext(
                    "but it lies in %(department)s", department=self.department(self.row.department_id)
                )
            )
            told.append(gettext("reaches %(reach)s, %(but)s", reach=self._reach(ground.grant), but=lies))
        if not ground.holds:
            told.append(gettext(NOT_MET[ground.grant.condition]))
        return f"{held}: {'; '.join(told)}."

    def _share(self, share):
        to = self.person(share.to_staff_id) if share.to_staff_id else self.department(share.to_department_id)
        by = self.person(share.created_by_id)
        if share.until_on is None:
            told = gettext("Shared with %(to)s by %(by)s, for good", to=to, by=by)
        else:
            told = gettext(
                "Shared with %(to)s by %(by)s until %(day)s", to=to, by=by, day=day(share.until_on)
            )
        return told
