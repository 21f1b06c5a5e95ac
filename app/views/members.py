"""Who holds which role in which department, and who stands in for whom: given and ended by admins and heads."""

from flask import abort, flash, g, redirect, request
from flask_babel import gettext, lazy_gettext
from sqlalchemy import or_, select
from sqlalchemy.orm import selectinload
from wtforms import DateField, Form, SelectField, StringField
from wtforms.validators import InputRequired, Length, Optional

from app import filters
from app.extensions import N_, db
from app.models import Department, Deputy, Membership, Staff
from app.rules import RuleBroken, members
from app.views import cells, forms, previews
from app.views.base import PageView, allows, expose
from app.views.errors import sentence
from app.views.reading import day, today

_STAMPS = ("created_by_id", "created_at")


def _key(value):
    return filters.natural(str(value or ""))


class MembershipForm(Form):
    """A role for somebody, in a department."""

    owner_id = SelectField(
        lazy_gettext("Person"), [InputRequired(lazy_gettext("This is needed."))], coerce=_key
    )
    department_id = SelectField(
        lazy_gettext("Department"),
        [InputRequired(lazy_gettext("This is needed."))],
        coerce=_key,
        description=lazy_gettext(
            "Where the role holds: it reaches rows of this department, or those below too."
        ),
    )
    role = SelectField(lazy_gettext("Role"), [InputRequired(lazy_gettext("This is needed."))])


class DeputyForm(Form):
    """Somebody who acts for another on some days."""

    owner_id = SelectField(
        lazy_gettext("Who is away"), [InputRequired(lazy_gettext("This is needed."))], coerce=_key
    )
    deputy_id = SelectField(
        lazy_gettext("Who stands in"), [InputRequired(lazy_gettext("This is needed."))], coerce=_key
    )
    starts_on = DateField(lazy_gettext("From"), [InputRequired(lazy_gettext("This is needed."))])
    ends_on = DateField(
        lazy_gettext("To"),
        [InputRequired(lazy_gettext("This is needed."))],
        description=lazy_gettext("The last day, included."),
    )
    reason = StringField(lazy_gettext("Reason"), [Optional(), Length(max=300), forms.storable])


class _Arranging(PageView):
    """What memberships and deputies share: the sheet, the form, the look at what it does, the end."""

    @expose("/<int:pk>")
    @allows("see")
    def show(self, pk):
        return self._sheet(self._find(pk))

    def _find(self, pk):
        row = db.session.get(self.model, pk)
        if row is None:
            abort(404)
        return row

    def _new(self, form, change, title, back, subtitle=None):
        """Fill in, look at what it does, save."""
        page = {"form": form, "title": title, "subtitle": subtitle, "action": request.path, "back": back}
        if request.method == "GET":
            return self.page("rights/form.html", **page)
        try:
            if not form.validate():
                return self.page("rights/form.html", status=422, **page)
            if not previews.is_looked_at():
                return previews.page(self, change, title=title, back=back)
            change(db.session())
            db.session.commit()
        except RuleBroken as error:
            db.session.rollback()
            if error.field in form:
                form[error.field].errors = [*form[error.field].errors, sentence(error)]
            else:
                form.form_errors.append(sentence(error))
            return self.page("rights/form.html", status=422, **page)
        flash(gettext("Saved."), "success")
        return redirect(back)

    def _end(self, row, change, title, back):
        try:
            if not previews.is_looked_at():
                button = {"submit": gettext("End it"), "kind": "danger-filled"}
                return previews.page(self, change, title=title, back=back, **button)
            change(db.session())
            db.session.commit()
        except RuleBroken as error:
            db.session.rollback()
            return self._sheet(self._find(row), status=422, error=sentence(error))
        flash(gettext("Ended."), "success")
        return redirect("/memberships/" if g.principal.may("edit", "membership") else "/")


class MembershipView(_Arranging):
    """Who holds which role where."""

    model, entity = Membership, "membership"
    route_base = "/memberships"

    @expose("/")
    @allows("see")
    def list(self):
        """The people whose rights one arranges, with roles and deputies; to others, what is told of themselves."""
        may_add = g.principal.may("add", "membership")
        people = members.people(db.session, g.principal, today=today()) if may_add else []
        held = _by_owner(_memberships())
        acting = _by_owner(_deputies())
        if not people:
            people = db.session.scalars(select(Staff).where(Staff.id.in_(held)).order_by(Staff.name)).all()
        names = dict(db.session.execute(select(Department.id, Department.name)).all())
        return self.page(
            "rights/members.html",
            may_add=may_add,
            may_appoint=g.principal.may("add", "deputy"),
            people=[
                {
                    "name": one.name,
                    "href": f"/staff/{one.id}",
                    "department": names[one.department_id],
                    "roles": [_role_line(row) for row in held.get(one.id, ())],
                    "deputies": [_deputy_line(row) for row in acting.get(one.id, ())],
                }
                for one in people
            ],
        )

    @expose("/new", methods=["GET", "POST"])
    @allows("add")
    def new(self):
        form = MembershipForm(request.form if request.method == "POST" else None)
        places = members.places(db.session, g.principal)
        names = dict.fromkeys(name for _, given in places for name in given)
        form.owner_id.choices = _people()
        form.department_id.choices = [(one.id, one.name) for one, _ in places]
        form.role.choices = [(name, name) for name in names]
        _prefill(form, owner_id=_key, department_id=_key)
        said = (form.owner_id.data, form.department_id.data, form.role.data)

        def change(session):
            owner, department = session.get(Staff, said[0]), session.get(Department, said[1])
            members.add(session, by=g.principal, owner=owner, department=department, role=said[2])

        subtitle = None
        if not g.principal.may("edit", "account"):
            subtitle = gettext("To people of your departments, and never more than you hold yourself.")
        return self._new(form, change, gettext("Give a role"), _back(said[0]), subtitle)

    @expose("/<int:pk>/end", methods=["POST"])
    @allows("delete")
    def end(self, pk):
        held = self._find(pk)

        def change(session):
            members.end(session, session.get(Membership, pk), by=g.principal)

        title = gettext("End: %(what)s", what=_role_line(held)["label"])
        return self._end(pk, change, title, f"{self.route_base}/{pk}")

    def _sheet(self, row, status=200, error=None):
        may_end = g.principal.may("delete", "membership") and members.may_give(
            g.principal, row.department_id, row.role
        )
        return self.page(
            "rights/held.html",
            status=status,
            title=_role_line(row)["label"],
            crumbs=[(_members(), f"{self.route_base}/")],
            sections=_facts(row, ("owner_id", "role", "department_id", "source", *_STAMPS)),
            may_end=may_end and row.source == "local",
            end=f"{self.route_base}/{row.id}/end",
            error=error,
        )


class DeputyView(_Arranging):
    """Who acts for whom, and on which days."""

    model, entity = Deputy, "deputy"
    route_base = "/deputies"

    @expose("/new", methods=["GET", "POST"])
    @allows("add")
    def new(self):
        form = DeputyForm(request.form if request.method == "POST" else None)
        form.owner_id.choices = form.deputy_id.choices = _people()
        _prefill(form, owner_id=_key, deputy_id=_key)
        if request.method == "GET":
            form.starts_on.data = form.ends_on.data = today()
        said, now = {name: form[name].data for name in ("starts_on", "ends_on")}, today()
        owner_id, deputy_id, reason = (
            form.owner_id.data,
            form.deputy_id.data,
            (form.reason.data or "").strip() or None,
        )

        def change(session):
            owner, deputy = session.get(Staff, owner_id), session.get(Staff, deputy_id)
            members.appoint(
                session, by=g.principal, owner=owner, deputy=deputy, reason=reason, today=now, **said
            )

        return self._new(form, change, gettext("Appoint a deputy"), _back(owner_id))

    @expose("/<int:pk>/end", methods=["POST"])
    @allows("delete")
    def end(self, pk):
        row = self._find(pk)

        def change(session):
            members.dismiss(session, session.get(Deputy, pk), by=g.principal)

        title = gettext("End: %(deputy)s for %(person)s", deputy=row.deputy, person=row.owner)
        return self._end(pk, change, title, f"{self.route_base}/{pk}")

    def _sheet(self, row, status=200, error=None):
        return self.page(
            "rights/held.html",
            status=status,
            title=gettext("%(deputy)s for %(person)s", deputy=row.deputy, person=row.owner),
            crumbs=[(_members(), "/memberships/")],
            sections=_facts(row, ("owner_id", "deputy_id", "starts_on", "ends_on", "reason", *_STAMPS)),
            may_end=g.principal.may("delete", "deputy") and members.is_his(g.principal, row.owner),
            end=f"{self.route_base}/{row.id}/end",
            error=error,
        )


def boxes_of(person):
    """What stands on a person's sheet of his rights: roles, and who stands in for him and for whom he does."""
    if not g.principal.may("see", "membership"):
        return []
    may_arrange = g.principal.may("add", "membership") and members.is_his(g.principal, person)
    held = db.session.scalars(_memberships().where(Membership.owner_id == person.id)).all()
    either = or_(Deputy.owner_id == person.id, Deputy.deputy_id == person.id)
    acting = db.session.scalars(_deputies().where(either)).all()
    return [
        _box(
            N_("Roles"), held, _role_line, f"/memberships/new?owner_id={person.id}" if may_arrange else None
        ),
        _box(
            N_("Deputies"),
            acting,
            _deputy_line,
            f"/deputies/new?owner_id={person.id}" if may_arrange else None,
        ),
    ]


def _box(title, rows, line, add_href):
    shown = [{**line(row), "title": line(row)["label"], "meta": line(row).get("meta")} for row in rows]
    return {
        "title": gettext(title),
        "rows": shown,
        "count": len(rows),
        "add_href": add_href,
        "all_href": None,
    }


def _memberships():
    return (
        select(Membership)
        .options(selectinload(Membership.department))
        .order_by(Membership.role, Membership.id)
    )


def _deputies():
    """Those who stand in now or later."""
    people = (selectinload(Deputy.owner), selectinload(Deputy.deputy))
    return (
        select(Deputy).where(Deputy.ends_on >= today()).options(*people).order_by(Deputy.starts_on, Deputy.id)
    )


def _by_owner(statement):
    found = {}
    for row in db.session.scalars(statement):
        found.setdefault(row.owner_id, []).append(row)
    return found


def _role_line(row):
    return {
        "label": gettext("%(role)s, %(department)s", role=row.role, department=row.department),
        "href": f"/memberships/{row.id}",
        "is_directory": row.source == "directory",
        "meta": gettext("from the directory") if row.source == "directory" else None,
    }


def _deputy_line(row):
    return {
        "label": gettext("%(deputy)s for %(person)s", deputy=row.deputy, person=row.owner),
        "href": f"/deputies/{row.id}",
        "meta": gettext("%(first)s to %(last)s", first=day(row.starts_on), last=day(row.ends_on)),
    }


def _facts(row, names):
    columns = [row.__table__.c[name] for name in names]
    facts = [
        {"label": cells.label(one), "value": cells.cell(row, one.name), "wide": False} for one in columns
    ]
    return [{"title": None, "facts": facts}]


def _people():
    return [(one.id, one.name) for one in members.people(db.session, g.principal, today=today())]


def _members():
    return gettext("Members") if g.principal.may("edit", "membership") else gettext("Roles")


def _prefill(form, **readers):
    """What the address says first, as the sheet of a person does: `?owner_id=5`."""
    if request.method == "GET":
        for name, read in readers.items():
            form[name].data = read(request.args.get(name, ""))


def _back(person_id):
    return f"/staff/{person_id}" if person_id else "/memberships/"
