"""Bulk work on a list: choose rows or all that match, choose a deed, look at what it would do, then do it.

Every step is a plain form. Up to `IN_REQUEST` records are done while one waits; more are a job. What was done is one
change set, which can be undone.
"""

import csv
import io
from dataclasses import dataclass
from functools import lru_cache

from flask import abort, flash, g, redirect, request
from flask_babel import force_locale, ngettext
from sqlalchemy import select
from werkzeug.datastructures import MultiDict

from app import access, filters, jobs
from app.exchange import formulas
from app.extensions import N_, db
from app.models import ENTITIES, Campaign, Contact, Share, Tag
from app.rules import RuleBroken, asking, bulk_work, campaigns, sharing, tags
from app.rules.bulk_work import IN_REQUEST, KINDS, Deed
from app.views import cells, custom_values, forms, templating
from app.views.base import allows, expose
from app.views.errors import sentence
from app.views.exports import with_args
from app.views.past import flash_undoable
from app.views.reading import today
from app.views.sharing import said_terms, sent_terms
from app.views.templating import gettext

MOST_CHOSEN = 1000
# What can be done: words, and the verb on the list's own records; campaigns and merging are asked for elsewhere.
DEEDS = {
    "edit": (N_("Set fields"), "edit"),
    "assign": (N_("Assign"), "edit"),
    "tag": (N_("Add tags"), "edit"),
    "untag": (N_("Take tags off"), "edit"),
    "share": (N_("Share"), "share"),
    "delete": (N_("Delete"), "delete"),
    "merge": (N_("Merge"), "merge"),
    "export": (N_("Export"), "export"),
    "campaign": (N_("Add to a campaign"), "see"),
}
WHICH = {
    "chosen": N_("the rows that are ticked"),
    "page": N_("all rows of this page"),
    "all": N_("all rows that match"),
}
ASSIGNED = ("owner_id", "department_id")
ROUTES = ("bulk", "bulk_edit", "bulk_tags", "bulk_share", "bulk_delete")


@dataclass(frozen=True)
class Selection:
    """Which records are meant: their ids, or the filter that they match; either fits into a form's field."""

    model: type
    ids: tuple | None = None
    query: object = None

    @classmethod
    def from_text(cls, model, text, asker, **how):
        """What `str` wrote; raises BadQuery."""
        kind, _, rest = text.partition(":")
        if kind == "ids":
            return cls(model, ids=_ids(rest.split("-") if rest else []))
        if kind != "query":
            raise filters.BadQuery(N_("Nothing is selected."))
        return cls(model, query=filters.from_text(model, rest, asker, **how))

    def __str__(self):
        if self.ids is not None:
            return "ids:" + "-".join(map(str, self.ids))
        return f"query:{filters.text_of(self.query)}"

    def conditions(self, session):
        """What a record must fulfil to be meant."""
        if self.ids is not None:
            return [self.model.id.in_(self.ids)]
        return filters.conditions(self.model, filters.settled(session, self.model, self.query))


def _ids(texts):
    keys = [filters.natural(text) for text in texts]
    if None in keys or len(keys) > MOST_CHOSEN:
        raise filters.BadQuery(N_("Nothing is selected."))
    return tuple(dict.fromkeys(keys))


def may_merge(principal, entity):
    """Whether he may make records of this kind one: it keeps one of them, and deletes the others."""
    return all(principal.may(verb, entity) for verb in ("merge", "edit", "delete"))


@lru_cache(maxsize=1024)
def _deeds(principal, model):
    """(name, words) of what this person may do to records of this kind."""
    entity, found = model.__tablename__, []
    may_bulk = principal.may("bulk", entity)
    for name, (words, verb) in DEEDS.items():
        is_open = may_bulk or verb in bulk_work.UNCHANGING
        if is_open and principal.may(verb, entity) and _takes(principal, model, name):
            found.append((name, words))
    return found


def _takes(principal, model, deed):
    entity = model.__tablename__
    if deed in ("tag", "untag"):
        return entity in tags.TAGGED
    if deed == "merge":
        return entity in ("company", "contact") and may_merge(principal, entity)
    if deed == "campaign":
        return model is Contact and all(principal.may(one, "campaign") for one in ("bulk", "edit"))
    return deed != "assign" or hasattr(model, "owner_id")


class BulkRoutes:
    """Bulk work on the records of a list; mixed into every `RecordView`, open where `bulk_work.KINDS` says so."""

    def __init__(self):
        if self.entity not in KINDS:
            self.exclude_route_methods = {*self.exclude_route_methods, *ROUTES}
        elif self.entity not in sharing.SHAREABLE:
            self.exclude_route_methods = {*self.exclude_route_methods, "bulk_share"}
        super().__init__()

    # ---- on the list

    def bulk_deeds(self):
        """The deeds that the reader may do to records of this list, as (value, words)."""
        if self.entity not in KINDS:
            return []
        return [(name, templating.said(words)) for name, words in _deeds(g.principal, self.model)]

    def bulk_bar(self, rows, count=None, has_more=False):
        """What the list page needs to offer bulk work on these rows; each of them gets its box then."""
        deeds = self.bulk_deeds()
        if not deeds or not rows:
            return None
        for row in rows:
            row["pick"] = row["id"]
        return {
            "action": f"{self.route_base}/bulk",
            "hidden": [
                *filters.parameters_of(self.query_from(request.args)),
                ("page", "-".join(str(row["id"]) for row in rows)),
            ],
            "deeds": deeds,
            "which": [(key, templating.said(words)) for key, words in WHICH.items()],
            "has_more": has_more,
            "select_all": gettext("Select all %(number)s that match", number=count),
            "all_told": gettext("All %(number)s that match are selected", number=count),
        }

    # ---- the pages

    @expose("/bulk")
    @allows("see")
    def bulk(self):
        """What is to be done with them: the form of the deed, and how many it reaches."""
        deed, selection = request.args.get("deed", ""), self._selected()
        if deed not in dict(self.bulk_deeds()):
            abort(403 if deed in DEEDS else 400)
        if deed == "merge":
            if selection.ids is None:
                raise RuleBroken(N_("To merge, tick the records that are one and the same."))
            ids = ",".join(map(str, selection.ids))
            return redirect(with_args("/duplicates/merge", {"entity": self.entity, "ids": ids}))
        if deed == "export":
            return self._export_page(selection)
        if deed == "campaign":
            return self._campaign_page(selection)
        if deed == "share":
            return self._bulk_share_page(selection)
        if deed == "delete":
            return self._preview(Deed("delete"), selection)
        form = self._bulk_form(deed) if deed in ("edit", "assign") else None
        return self._bulk_form_page(deed, selection, form)

    @expose("/bulk/edit", methods=["POST"])
    @allows("bulk", "edit")
    def bulk_edit(self):
        """Set what was ticked; assigning is the same with fewer fields."""
        deed, selection = request.form.get("deed", "edit"), self.sent_selection()
        if deed not in ("edit", "assign"):
            abort(400)
        ticked = set(request.form.getlist("set"))
        form = self._bulk_form(deed, request.form)
        chosen = [field for field in form.fields_shown() if field.name in ticked]
        if deed == "assign":  # who is chosen, is set; nobody need be ticked
            chosen = [
                field for field in form.fields_shown() if field.data is not None or field.name in ticked
            ]
        form.validate()
        if any(field.errors for field in chosen):
            return self._bulk_form_page(deed, selection, form, ticked=ticked, status=422)
        done = Deed("edit", {field.name: field.data for field in chosen})
        try:
            bulk_work.check(db.session(), self.model, done)
        except RuleBroken as error:
            self._put_on_form(error, form)
            return self._bulk_form_page(deed, selection, form, ticked=ticked, status=422)
        return self._preview_or_do(done, selection, as_sent=deed)

    @expose("/bulk/tags", methods=["POST"])
    @allows("bulk", "edit")
    def bulk_tags(self):
        """Stick tags on, or take them off."""
        kind, selection = request.form.get("deed", ""), self.sent_selection()
        if kind not in ("tag", "untag"):
            abort(400)
        try:
            tag_ids = list(_ids(request.form.getlist("tag_ids")))
            for text in request.form.get("new_tags", "").split(",") if kind == "tag" else ():
                if text.strip():
                    may_create = g.principal.may("add", "tag")
                    tag_ids.append(tags.named(db.session(), text, may_create=may_create).id)
            done = Deed(kind, tag_ids=tuple(dict.fromkeys(tag_ids)))
            bulk_work.check(db.session(), self.model, done)
        except RuleBroken as error:
            db.session.rollback()
            return self._bulk_form_page(kind, selection, None, error=sentence(error), status=422)
        return self._preview_or_do(done, selection, as_sent=kind)

    @expose("/bulk/share", methods=["POST"])
    @allows("bulk", "share")
    def bulk_share(self):
        """Open them to somebody, all on the same terms."""
        selection = self.sent_selection()
        try:
            done = Deed("share", terms=sharing.terms_of(**sent_terms(), today=today()))
            bulk_work.check(db.session(), self.model, done)
        except RuleBroken as error:
            return self._bulk_share_page(selection, error=error, status=422)
        return self._preview_or_do(done, selection, as_sent="share")

    @expose("/bulk/delete", methods=["POST"])
    @allows("bulk", "delete")
    def bulk_delete(self):
        return self._preview_or_do(Deed("delete"), self.sent_selection())

    # ---- which records

    def _selected(self):
        """The records that the list's form speaks of."""
        which = request.args.get("which", "chosen")
        if which == "all":
            return Selection(self.model, query=self.query_from(request.args))
        texts = request.args.getlist("id") if which == "chosen" else request.args.get("page", "").split("-")
        if which not in WHICH:
            raise filters.BadQuery(N_("Nothing is selected."))
        if not any(texts):
            raise RuleBroken(N_("Nothing is selected: tick the rows, or choose all that match."))
        return Selection(self.model, ids=_ids(texts))

    def sent_selection(self):
        """The records that a form of ours names."""
        text = request.form.get("selection", "")
        how = {"default_sort": self.default_sort, "sortable": self.sortable()}
        return Selection.from_text(self.model, text, self.query_from(MultiDict()).asker, **how)

    # ---- the parts of the pages

    def _bulk_form(self, deed, formdata=None):
        names = ASSIGNED if deed == "assign" else bulk_work.columns_to_set(self.model)
        names = tuple(name for name in forms.columns_to_edit(self.model) if name in names) or names
        names = access.writable(g.principal, self.entity, names)
        kind = forms.form_class(self.model, names)
        if deed == "edit":
            kind = custom_values.with_custom(kind, self.entity)
        row = self.model()
        form = self.prepare(kind(formdata, obj=row), row, formdata)
        for field in form.fields_shown():
            field.flags.required = False  # what a form of its own needs, need not be set here
            if field.type == "SelectField" and ("", "–") not in field.choices:
                field.choices = [("", "–"), *field.choices]
        return form

    def _bulk_form_page(self, deed, selection, form, *, ticked=(), error=None, status=200):
        said = self._counted(selection, Deed({"assign": "edit"}.get(deed, deed)).verb)
        known = db.session.scalars(select(Tag).order_by(Tag.name)).all() if form is None else []
        return self.page(
            "bulk/form.html",
            status=status,
            deed=deed,
            title=gettext(DEEDS[deed][0]),
            selection=selection,
            said=said,
            form=form,
            ticked=ticked,
            tags=known,
            chosen_tags=request.form.getlist("tag_ids"),
            error=error,
            may_create_tags=g.principal.may("add", "tag"),
            action=f"{self.route_base}/bulk/{'edit' if form is not None else 'tags'}",
            back=self._list_of(selection),
        )

    def _bulk_share_page(self, selection, *, error=None, status=200):
        return self.page(
            "bulk/share.html",
            status=status,
            title=gettext(DEEDS["share"][0]),
            selection=selection,
            said=self._counted(selection, "share"),
            terms=said_terms(error),
            back=self._list_of(selection),
        )

    def _counted(self, selection, verb):
        """Only how many there are, before it is known what is done to them."""
        session = db.session()
        found = bulk_work.counts(session, self.model, selection.conditions(session), verb)
        return bulk_work.Preview(sum(records for _, records, _ in found), found)

    def _preview_or_do(self, deed, selection, as_sent=None):
        if not request.form.get("confirm"):
            return self._preview(deed, selection, as_sent)
        session = db.session()
        ids = bulk_work.ids_of(session, self.model, selection.conditions(session))
        if str(len(ids)) != request.form.get("expected"):
            message = gettext("The selection has changed in the meantime: look at it again.")
            return self._preview(deed, selection, as_sent, error=message, status=409)
        leave = bool(request.form.get("leave"))
        if len(ids) > IN_REQUEST:
            return self._begin_job(deed, selection, len(ids), leave)
        session.info.update(door="bulk", why=self._title_of(deed, len(ids)))
        try:
            outcome = bulk_work.carry_out(session, self.model, ids, deed, leave_refused=leave)
        except bulk_work.SomeRefused as error:
            db.session.rollback()
            return self._preview(deed, selection, as_sent, error=sentence(error), status=422)
        _tell(outcome, deed)
        db.session.commit()
        return redirect(self._list_of(selection) if deed.kind != "delete" else f"{self.route_base}/")

    def _preview(self, deed, selection, as_sent=None, *, error=None, status=200):
        """What would happen to whom. A tag that was just thought of is not stored by looking."""
        session = db.session()
        said = bulk_work.preview(session, self.model, selection.conditions(session), deed)
        page = self.page(
            "bulk/preview.html",
            status=status,
            deed=deed,
            title=gettext(DEEDS[as_sent or deed.kind][0]),
            question=self._title_of(deed, said.total),
            sent=_sent(deed, as_sent),
            selection=selection,
            said=said,
            is_sample=said.looked_at < said.total,
            refused=[(name, f"{self.route_base}/{key}", gettext(why)) for key, name, why in said.refused],
            reasons=[(gettext(why), number) for why, number in said.reasons.most_common()],
            samples=[
                (name, f"{self.route_base}/{key}", [self._line(*change) for change in changes])
                for key, name, changes in said.samples
            ],
            settings=[self._line(name, None, value) for name, value in deed.values.items()]
            + [_line_of_share(name, value) for name, value in deed.terms.items() if value is not None],
            tags=db.session.scalars(select(Tag).where(Tag.id.in_(deed.tag_ids))).all()
            if deed.tag_ids
            else [],
            is_job=said.total > IN_REQUEST,
            action=f"{self.route_base}/bulk/{_ROUTE_OF[deed.kind]}",
            error=error,
            back=self._list_of(selection),
        )
        db.session.rollback()
        return page

    def _line(self, name, before, value):
        """A field with its value before and after, in words."""
        fields = {one.key: one for one in custom_values.fields_for(self.entity)}
        if name in fields:
            label = fields[name].label(custom_values.language())
            words = [custom_values.words(fields[name], one) for one in (before, value)]
            return label, *words
        column = self.model.__table__.c[name]
        return cells.label(column), _words(column, before), _words(column, value)

    def _title_of(self, deed, number):
        words = gettext(DEEDS[deed.kind][0])
        return gettext("%(deed)s: %(number)s × %(one)s", deed=words, number=number, one=gettext(self.one))

    def _list_of(self, selection):
        if selection.query is None:
            return f"{self.route_base}/"
        return f"{self.route_base}/?{filters.text_of(selection.query)}"

    # ---- what is not a deed on the records themselves

    def _export_page(self, selection):
        if selection.ids is None:
            hidden = filters.parameters_of(selection.query)
        else:
            hidden = [("ids", key) for key in selection.ids]
        return self.page(
            "bulk/export.html",
            title=gettext(DEEDS["export"][0]),
            said=self._counted(selection, "export"),
            menu=self.export_menu(hidden),
            back=self._list_of(selection),
        )

    def _campaign_page(self, selection, *, error=None, status=200):
        newest = db.session.scalars(select(Campaign).order_by(Campaign.id.desc()).limit(200)).all()
        return self.page(
            "bulk/campaign.html",
            status=status,
            title=gettext(DEEDS["campaign"][0]),
            said=self._counted(selection, "see"),
            selection=selection,
            campaigns=newest,
            error=error,
            back=self._list_of(selection),
        )

    # ---- jobs

    def _begin_job(self, deed, selection, number, leave):
        params = {
            "entity": self.entity,
            "selection": str(selection),
            "deed": deed.as_json(),
            "leave": leave,
            "default_sort": self.default_sort,
        }
        job = jobs.start(db.session(), "bulk", self._title_of(deed, number), params)
        db.session.commit()
        return redirect(f"/jobs/{job.id}")


def begin_adding(session, campaign, selection, number):
    """A job that adds the selected contacts to a campaign."""
    title = gettext("Add %(number)s contacts to “%(campaign)s”", number=number, campaign=campaign)
    deed = {"kind": "campaign", "campaign_id": campaign.id}
    params = {"entity": "contact", "selection": str(selection), "deed": deed, "default_sort": "-id"}
    return jobs.start(session, "bulk", title, params)


_ROUTE_OF = {"edit": "edit", "tag": "tags", "untag": "tags", "share": "share", "delete": "delete"}


@jobs.kind("bulk")
def work(run):
    """Do a deed to a selection that was looked at before; all of it, or the part that was agreed to."""
    params, model = run.params, ENTITIES[run.params["entity"]]
    with force_locale(run.principal.language):
        with run.reading() as session:
            asker = asking.asker(session, today=today(), zone=run.settings.zone)
            sort = {"default_sort": params["default_sort"]}
            selection = Selection.from_text(model, params["selection"], asker, **sort)
            ids = bulk_work.ids_of(session, model, selection.conditions(session))
        if params["deed"]["kind"] == "campaign":
            return _add_members(run, params["deed"]["campaign_id"], ids)
        deed = Deed.from_json(model, params["deed"])
        outcome = bulk_work.carry_out(
            run.session,
            model,
            ids,
            deed,
            leave_refused=params["leave"],
            step=lambda done: run.progress(done, len(ids)),
        )
        if outcome.refused:
            run.keep("refused", "refused.csv", "text/csv", _as_csv(outcome))
    return {
        "deleted" if deed.kind == "delete" else "changed": outcome.changed,
        "unchanged": outcome.unchanged,
        "refused": outcome.refusals,
        "done": len(ids),
        "total": len(ids),
    }


def _add_members(run, campaign_id, ids):
    campaign = run.session.get(Campaign, campaign_id)
    if campaign is None:
        raise RuleBroken(N_("There is no such campaign."))
    added = already = 0
    for start in range(0, len(ids), campaigns.AT_ONCE):
        some = campaigns.add_members(run.session, campaign, ids[start : start + campaigns.AT_ONCE].tolist())
        added, already = added + some[0], already + some[1]
        run.progress(start, len(ids))
    return {"added": added, "unchanged": already, "done": len(ids), "total": len(ids)}


def _as_csv(outcome):
    """The records that stayed as they are, and why."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([gettext("No."), gettext("Name"), gettext("Why it was refused")])
    for key, name, reason in outcome.refused:
        writer.writerow([key, formulas.disarmed(name), gettext(reason)])
    return text.getvalue().encode("utf-8-sig")


# --------------------------------------------------------------------------------------------- words


def _tell(outcome, deed):
    """Say what was done, with the way to take it back."""
    if deed.kind == "delete":
        words = ngettext("%(num)s record was deleted.", "%(num)s records were deleted.", outcome.changed)
    else:
        words = ngettext("%(num)s record was changed.", "%(num)s records were changed.", outcome.changed)
    if outcome.changed:
        flash_undoable(words)
    else:
        flash(gettext("Nothing had to be changed."), "info")
    if outcome.refusals:
        left = ngettext(
            "%(num)s record stays as it is.", "%(num)s records stay as they are.", outcome.refusals
        )
        reasons = " ".join(gettext(why) for why, _ in outcome.reasons.most_common(3))
        flash(f"{left} {reasons}", "warning")


def _sent(deed, as_sent):
    """What the form said, to be said again with the confirmation: (name, value)."""
    if deed.kind == "delete":
        return []
    left_out = {"csrf_token", "selection", "confirm", "expected", "leave"}
    said = [(name, value) for name, value in request.form.items(multi=True) if name not in left_out]
    return [*((name, value) for name, value in said if name != "deed"), ("deed", as_sent)]


def _line_of_share(name, value):
    column = Share.__table__.c[name]
    return cells.label(column), None, _words(column, value)


def _words(column, value):
    """A value of a column as people read it."""
    if value is None:
        return ""
    target = cells.target_of(column)
    if target is not None:
        row = db.session.get(target, value)
        return gettext("not visible") if row is None else str(row)
    return cells.words(cells.shown(column, value))
