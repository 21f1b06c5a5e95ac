"""Before a change of rights is saved: the page that says who gains and loses what, and the button below it.

What was looked at is what is saved: the form travels along with a stamp of its words and of the rights as they stood.
Has either moved meanwhile, it is looked at again.
"""

from flask import g, request
from flask_babel import gettext

from app import access
from app.extensions import db
from app.rules import rights
from app.views.words import entity_name, field_name, verb_name

NOT_KEPT = {"csrf_token", "stamp"}


def is_looked_at():
    """Whether just this form was looked at, and rights are still as they were; holds them till the end."""
    stamp = request.form.get("stamp")
    return bool(stamp) and stamp == rights.stamp(db.session(), _said(), hold=True)


def page(view, change, *, title, back, submit=None, kind="primary"):
    """The page that says what this change would do. It is made in a session of its own and taken back.

    `change(session)` makes it by the rule, from ids alone: what this request has loaded belongs to another session.
    What the rule refuses comes out of here as RuleBroken.
    """
    db.session.rollback()  # on SQLite two cannot write at once, not even to take it back
    with access.system_session("preview of rights", door="page") as session:
        before, after = rights.around(session, change)
    with access.system_session("preview of rights", writes=False) as session:
        found = rights.differences(session, before, after, asker=g.principal)
        stamp = rights.stamp(session, _said())
    return view.page(
        "rights/preview.html",
        title=title,
        back=back,
        people=[_person(one) for one in found],
        sent=sent(),
        stamp=stamp,
        action=request.path,
        submit=submit or gettext("Save"),
        kind=kind,
        has_moved=bool(request.form.get("stamp")),
    )


def sent():
    """What the form said, to be said again: (name, value)."""
    return [(name, value) for name, value in request.form.items(multi=True) if name not in NOT_KEPT]


def _said():
    return [("", request.path), *sent()]


def _person(one):
    return {"name": one.name, "lines": [_line(line) for line in one.lines]}


def _line(line):
    fields = [gettext("hides %(field)s", field=field_name(line.entity, name)) for name in line.fields_closed]
    fields += [gettext("shows %(field)s", field=field_name(line.entity, name)) for name in line.fields_opened]
    return {
        "entity": entity_name(line.entity),
        "gained": {"rows": line.gained, "samples": line.gained_samples},
        "lost": {"rows": line.lost, "samples": line.lost_samples},
        "verbs_gained": ", ".join(verb_name(verb) for verb in line.verbs_gained),
        "verbs_lost": ", ".join(verb_name(verb) for verb in line.verbs_lost),
        "fields": ", ".join(fields),
    }
