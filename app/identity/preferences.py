"""How people like their pages: language, theme, density, shortcuts, signature, the views that lists begin with.

What pages need of it travels on the principal; here it is kept. Nobody but the person himself asks or sets it.
"""

from app import access
from app.models import Preference

THEMES = ("auto", "light", "dark")
DENSITIES = ("roomy", "dense")


def of(user_id):
    """What this person likes, as a row that stands alone; who has said nothing likes the usual."""
    with access.system_session("preferences", door="page", writes=False) as session:
        found = session.get(Preference, user_id)
        if found is not None:
            session.expunge(found)
        return found or _usual(user_id)


def save(user_id, **values):
    """Keep what he likes now; what is not named stays as it is."""
    with access.system_session("preferences", door="page") as session:
        session.info["on_behalf_of"] = user_id
        row = session.get(Preference, user_id)
        if row is None:
            row = _usual(user_id)
            session.add(row)
        for name, value in values.items():
            setattr(row, name, value)


def _usual(user_id):
    return Preference(user_id=user_id, theme="auto", density="roomy", has_shortcuts=True, default_views={})
