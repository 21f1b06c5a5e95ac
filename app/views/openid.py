"""The way to the OpenID Connect provider and back."""

import logging

from flask import abort, current_app, g, redirect, render_template, request, session, url_for
from flask_babel import gettext

from app.identity import door, oidc
from app.views import sign_in
from app.views.base import PageView, expose, safe_target

log = logging.getLogger(__name__)

KEPT = "openid"  # the session keeps the question under it


class OpenIdView(PageView):
    """Open to visitors: this is a door."""

    route_base = "/login/oidc"

    @expose("/")
    def start(self):
        """Off to the provider; by GET, because a form must not lead to another host."""
        settings, target = self._settings(), safe_target(request.args.get("next"))
        if g.principal is not None:
            return redirect(target)
        here = settings.PUBLIC_URL or request.host_url
        redirect_uri = here.rstrip("/") + url_for("OpenIdView.callback")
        try:
            address, question = oidc.ask(settings, redirect_uri)
        except oidc.ProviderDown as error:
            return self._down(error)
        session[KEPT] = {"question": list(question), "next": target}
        return redirect(address)

    @expose("/callback")
    def callback(self):
        """Back from the provider: whoever comes with an answer to this browser's question is let in."""
        settings, kept = self._settings(), session.pop(KEPT, None)
        if kept is None:
            return _door_page(gettext("That sign-in was begun elsewhere, or is over. Try again."), status=400)
        try:
            person, is_verified = oidc.believe(settings, oidc.Question(*kept["question"]), request.args)
        except oidc.ProviderDown as error:
            return self._down(error)
        except oidc.NotBelieved as error:
            log.warning("an answer of the OpenID provider is not believed: %s", error)
            return _door_page(gettext("The provider did not let you in."), status=401)
        adopts_by = "email" if settings.OIDC_MATCHES_MAIL and is_verified else None
        user_id = door.take_in(settings, person, adopts_by=adopts_by)
        if user_id is None:
            words = gettext(
                "The provider knows you, but nothing here is open to you. Ask your administrator."
            )
            return _door_page(words, status=403)
        return sign_in.welcome(user_id, oidc.SOURCE, safe_target(kept["next"]))

    def _settings(self):
        settings = current_app.config["SETTINGS"]
        if not settings.OIDC_ISSUER:
            abort(404)
        return settings

    def _down(self, error):
        log.error("the OpenID provider is down: %s", error)
        return _door_page(
            gettext("The provider does not answer just now. Try again in a moment."), status=503
        )


def _door_page(error, *, status):
    """The page of the door with what went wrong."""
    return render_template("auth/login.html", next="/", username="", error=error), status
