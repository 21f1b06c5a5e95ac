"""Tags on the sheet of a record: shown, set and taken off, each by a plain form."""

from flask import abort, g, redirect, request

from app.extensions import db
from app.models import Tag
from app.rules import RuleBroken, tags
from app.views.base import allows, expose
from app.views.errors import sentence


class TagRoutes:
    """Setting and taking off the tags of one record; mixed into every `RecordView`, open where records take tags."""

    def __init__(self):
        if self.entity not in tags.TAGGED:
            self.exclude_route_methods = {*self.exclude_route_methods, "set_tag", "take_tag_off"}
        super().__init__()

    def tag_strip(self, row, *, error=None, typed=""):
        """What the sheet shows of tags, from one SELECT; None where records take none."""
        if self.entity not in tags.TAGGED:
            return None
        known = tags.around(db.session, row)
        may_edit = g.principal.may("edit", self.entity)
        return {
            "tags": [tag for tag, is_on in known if is_on],
            "others": [tag.name for tag, is_on in known if not is_on] if may_edit else [],
            "action": f"{self.path(row)}/tags" if may_edit else None,
            "list": f"{self.route_base}/",
            "error": error,
            "typed": typed,
        }

    @expose("/<int:pk>/tags", methods=["POST"])
    @allows("edit")
    def set_tag(self, pk):
        """Stick a tag on; a name that is none yet becomes one, for whoever may make tags."""
        row, text = self.find(pk), request.form.get("tag", "")
        try:
            tag = tags.named(db.session(), text, may_create=g.principal.may("add", "tag"))
            tags.set_on(db.session(), row, tag)
            db.session.commit()
        except RuleBroken as error:
            db.session.rollback()
            strip = self.tag_strip(row, error=sentence(error), typed=text)
            return self.sheet(row, status=422, tag_strip=strip)
        return redirect(self.path(row))

    @expose("/<int:pk>/tags/<int:tag_pk>/remove", methods=["POST"])
    @allows("edit")
    def take_tag_off(self, pk, tag_pk):
        row = self.find(pk)
        if db.session.get(Tag, tag_pk) is None:
            abort(404)
        tags.take_off(db.session(), row, tag_pk)
        db.session.commit()
        return redirect(self.path(row))
