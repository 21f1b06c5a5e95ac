"""The roles: the house's as they stand in the code, and the firm's own, which admins compose of the same parts."""

from flask import abort, flash, g, redirect, request
from flask_babel import gettext
from sqlalchemy import func, select
from sqlalchemy.orm.exc import StaleDataError

from app import filters, roles, security
from app.extensions import db
from app.models import ComposedRole, Membership
from app.rules import RuleBroken, composing
from app.views import previews, words
from app.views.base import PageView, allows, expose
from app.views.errors import sentence


class RoleView(PageView):
    """Who may do what, and roles of the firm's own."""

    model, entity = ComposedRole, "role"
    route_base = "/roles"

    @expose("/")
    @allows("see")
    def list(self):
        counted = select(Membership.role, func.count(Membership.owner_id.distinct())).group_by(
            Membership.role
        )
        holders = dict(db.session.execute(counted).all())
        own = db.session.scalars(select(ComposedRole).order_by(ComposedRole.name)).all()
        may_compose = g.principal.may("add", "role")
        shown = [self._shown(row.name, _kept(row)["grants"], holders, row=row) for row in own]
        shown += [self._shown(name, grants, holders) for name, grants in roles.ROLES.items()]
        every = self._shown(gettext("everybody"), roles.EVERYONE, holders)
        return self.page("rights/roles.html", roles=[*shown, every], may_compose=may_compose)

    @expose("/new", methods=["GET", "POST"])
    @allows("add")
    def new(self):
        """A role from scratch, or (`?like=`) begun as a copy of one that there is."""
        if request.method == "GET":
            return self._form_page(self._copied(request.args.get("like", "")))
        return self._save(None)

    @expose("/<int:pk>/edit", methods=["GET", "POST"])
    @allows("edit")
    def edit(self, pk):
        row = self._find(pk)
        if request.method == "GET":
            return self._form_page(_kept(row), row)
        if request.form.get("version") != str(row.version):
            flash(
                gettext("“%(name)s” was changed in the meantime. Look at it, then try again.", name=row),
                "warning",
            )
            return self._form_page(self._said(), row, status=409)
        return self._save(row)

    @expose("/<int:pk>/delete", methods=["POST"])
    @allows("delete")
    def delete(self, pk):
        row = self._find(pk)
        if request.form.get("version") != str(row.version):
            abort(409)
        name = row.name
        try:
            composing.remove(db.session(), row)
        except RuleBroken as error:
            db.session.rollback()
            row = self._find(pk)
            return self._form_page(_kept(row), row, status=422, error=sentence(error))
        db.session.commit()
        flash(gettext("“%(name)s” was deleted.", name=name), "success")
        return redirect(f"{self.route_base}/")

    # ---- its parts

    def _find(self, pk):
        row = db.session.get(ComposedRole, pk) if pk <= filters.LARGEST_ID else None
        if row is None:
            abort(404)
        return row

    def _save(self, row):
        """Look at what it does to those who hold it, then store it."""
        said, key = self._said(), row.id if row is not None else None

        def change(session):
            own = session.get(ComposedRole, key) if key is not None else ComposedRole()
            return composing.save(
                session, own, name=said["name"], description=said["description"], grants=said["grants"]
            )

        try:
            if not previews.is_looked_at():
                title = gettext(
                    "What “%(role)s” would change", role=said["name"].strip() or gettext("the role")
                )
                return previews.page(self, change, title=title, back=request.path)
            saved = change(db.session())
            name = saved.name
            db.session.commit()
        except RuleBroken as error:
            db.session.rollback()
            row = self._find(key) if key is not None else None
            return self._form_page(said, row, status=422, error=sentence(error))
        except StaleDataError:
            db.session.rollback()
            abort(409)
        flash(gettext("“%(name)s” was saved.", name=name), "success")
        return redirect(f"{self.route_base}/")

    def _said(self):
        """What the form says."""
        grants = []
        for entity in composing.entities():
            verbs, hidden, read_only = (
                tuple(request.form.getlist(f"{part}-{entity}")) for part in ("verbs", "hidden", "read_only")
            )
            if verbs or hidden or read_only:
                reach = request.form.get(f"reach-{entity}") or roles.ALL
                condition = request.form.get(f"condition-{entity}") or None
                grants.append(roles.Grant(entity, verbs, reach, condition, hidden, read_only))
        return _said_of(request.form.get("name", ""), request.form.get("description", ""), grants)

    def _copied(self, name):
        if not name:
            return _said_of("", "", [])
        grants = roles.grants_of(name, security.composed_roles(db.session))
        if not grants:
            abort(404)
        return _said_of(gettext("%(role)s, copied", role=name), "", grants)

    def _form_page(self, said, row=None, *, status=200, error=None):
        return self.page(
            "rights/role_form.html",
            status=status,
            said=said,
            row=row,
            error=error,
            holders=composing.holders(db.session, row.name) if row is not None else [],
            entities=[_entity(entity, said["by_entity"].get(entity)) for entity in composing.entities()],
            reaches=[(reach, gettext(text)) for reach, text in words.REACHES.items()],
            action=request.path
            if not request.path.endswith("/delete")
            else f"{self.route_base}/{row.id}/edit",
        )

    def _shown(self, name, grants, holders, row=None):
        merged = _merged(grants).values()
        return {
            "name": name,
            "row": row,
            "holders": holders.get(name, 0),
            "is_house": name in roles.ROLES,
            "grants": [
                _line(grant) for grant in sorted(merged, key=lambda one: list(roles.VERBS).index(one.entity))
            ],
        }


def _said_of(name, description, grants):
    return {
        "name": name,
        "description": description or "",
        "grants": grants,
        "by_entity": _merged(grants),
    }


def _kept(row):
    """What a role that stands would say in the form."""
    return _said_of(row.name, row.description, [security.grant_from(one) for one in row.grants])


def _merged(grants):
    """One grant an entity: the form has one line for each. Several are joined to the widest of them."""
    found = {}
    for grant in grants:
        known = found.get(grant.entity)
        if known is None:
            found[grant.entity] = grant
            continue
        reach = max(known.reach, grant.reach, key=composing.REACHES.index)
        verbs = tuple(verb for verb in roles.VERBS[grant.entity] if verb in (*known.verbs, *grant.verbs))
        found[grant.entity] = known._replace(verbs=verbs, reach=reach)
    return found


def _line(grant):
    return {
        "entity": words.entity_name(grant.entity),
        "verbs": ", ".join(words.verb_name(verb) for verb in grant.verbs),
        "reach": gettext(words.REACHES[grant.reach]),
        "condition": gettext(words.CONDITIONS[grant.condition]) if grant.condition else "",
        "hidden": ", ".join(words.field_name(grant.entity, name) for name in grant.hidden),
        "read_only": ", ".join(words.field_name(grant.entity, name) for name in grant.read_only),
    }


def _entity(entity, grant):
    """One line of the form."""
    near = roles.DEPARTMENT if composing.has_departments(entity) else roles.ALL
    return {
        "entity": entity,
        "name": words.entity_name(entity),
        "is_on": grant is not None,
        "verbs": [
            (verb, words.verb_name(verb), grant is not None and verb in grant.verbs)
            for verb in composing.verbs_of(entity)
        ],
        "reach": grant.reach if grant is not None else near,
        "has_reach": composing.has_departments(entity),
        "conditions": [(name, gettext(words.CONDITIONS[name])) for name in composing.conditions_of(entity)],
        "condition": grant.condition if grant is not None else None,
        "fields": [
            (
                name,
                words.field_name(entity, name),
                grant is not None and name in grant.hidden,
                grant is not None and name in grant.read_only,
            )
            for name in composing.fields_of(entity)
        ],
    }
