"""For those who hold the accounts: who needs a second factor and who has one, whose keys there are, what happened."""

from flask import abort, current_app, flash, g, redirect, request, url_for
from flask_babel import gettext
from sqlalchemy import select

from app import access, jobs, security, sessions
from app.extensions import db
from app.identity import api_keys, door, factors
from app.models import BreakGlass, SecondFactorRule
from app.security import User
from app.views import accounts
from app.views.api_keys import shown
from app.views.base import PageView, allows, expose

LATELY = 50  # events shown
TOLD = tuple(security.WAYS_IN)  # the events that belong here


class SignInsView(PageView):
    """How people come in, as a whole."""

    entity = "account"
    route_base = "/sign-ins"

    @expose("/")
    @allows("see")
    def index(self):
        settings = current_app.config["SETTINGS"]
        with access.system_session("sign-ins", door="page", writes=False) as database:
            has = factors.everybodys(database)
            required = set(database.scalars(select(SecondFactorRule.role)))
            people = database.execute(
                select(User.id, User.username).where(User.active).order_by(User.username)
            ).all()
            rows = []
            for user_id, username in people:
                held = security.roles_held(database, user_id)
                app, keys, codes = has.get(user_id, (False, 0, 0))
                if app or keys or held & required:
                    rows.append(
                        {
                            "id": user_id,
                            "name": username,
                            "app": app,
                            "security_keys": keys,
                            "codes": codes,
                            "is_required": bool(held & required),
                        }
                    )
            every_key = [shown(key, owner) for key, owner in api_keys.of(database)]
            glass = database.scalars(
                select(User.username).join(BreakGlass, BreakGlass.user_id == User.id).order_by(User.username)
            ).all()
            roles = sorted(security.role_names(database))
            events = accounts.told(security.events_of_kinds(database, TOLD, LATELY))
        return self.page(
            "sign_ins/index.html",
            settings=settings,
            roles=[(role, role in required) for role in roles],
            people=rows,
            keys=every_key,
            glass=glass,
            events=events,
        )

    @expose("/required-roles", methods=["POST"])
    @allows("edit")
    def require(self):
        """Which roles need a second factor. Their people who have none are signed out, and set one up coming in."""
        wanted = set(request.form.getlist("roles")) & security.role_names(db.session)
        before = {row.role: row for row in db.session.scalars(select(SecondFactorRule))}
        for role in before.keys() - wanted:
            db.session.delete(before[role])
        for role in sorted(wanted - before.keys()):
            db.session.add(SecondFactorRule(role=role))
        db.session.commit()
        with access.system_session("second factor required", door="page") as database:
            database.info["on_behalf_of"] = g.principal.id
            for role in wanted - before.keys():
                for user_id in set(factors.without(database, role)) - {g.principal.id}:
                    sessions.end(database, user_id, "second factor required")
        flash(
            gettext("Saved. Whoever still needs a second factor sets it up at the next sign-in."), "success"
        )
        return redirect(url_for("SignInsView.index"))

    @expose("/<int:pk>/reset-second-factor", methods=["POST"])
    @allows("edit")
    def reset(self, pk):
        """For who has lost phone and paper: all of it goes, and his sessions end."""
        with access.system_session("second factor reset", door="page") as database:
            database.info["on_behalf_of"] = g.principal.id
            user = database.get(User, pk)
            if user is None:
                abort(404)
            name = user.username
            factors.give_up(database, pk)
            sessions.end(database, pk, "second factor reset")
            security.note(database, pk, "second factor reset")
        flash(gettext("“%(name)s” signs in with the password alone.", name=name), "success")
        return redirect(url_for("SignInsView.index"))

    @expose("/keys/<int:pk>/end", methods=["POST"])
    @allows("edit")
    def end_key(self, pk):
        with access.system_session("api key", door="page") as database:
            database.info["on_behalf_of"] = g.principal.id
            name = api_keys.end(database, pk)
        if name is None:
            abort(404)
        flash(gettext("“%(name)s” opens nothing any more.", name=name), "success")
        return redirect(url_for("SignInsView.index"))


@jobs.daily
def follow_the_directory(settings, now):
    """Once a day: who left the directory, or its groups, without signing in."""
    if settings.LDAP_URL:
        door.sync(settings)
