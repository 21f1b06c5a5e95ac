"""Who stands twice: the pairs that the finder kept, side by side; merging; the warning before one more is added."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from flask import abort, flash, g, redirect, request
from flask_babel import gettext
from markupsafe import Markup
from sqlalchemy import inspect, select
from sqlalchemy.orm import selectinload
from werkzeug.datastructures import MultiDict

from app import access, filters, jobs
from app.access import WriteRefused
from app.extensions import N_, db
from app.models import ENTITIES, Contact, DuplicatePair
from app.rules import RuleBroken, custom_fields, duplicates, likeness, merging
from app.rules import sealed as sealed_line
from app.security import is_storable
from app.views import cells, custom_values, sealed
from app.views.base import PageView, allows, expose
from app.views.bulk import may_merge

SHOWN = 15  # pairs on a page
KINDS = {"contact": N_("Contacts"), "company": N_("Companies")}
STATES = {"open": N_("To look at"), "dismissed": N_("No duplicates")}
# What a pair is shown by, beside what was compared.
TOLD = {
    "contact": ("first_name", "last_name", "birth_date", "company_id", "email", "phone", "mobile"),
    "company": ("name", "vat_id", "website", "email", "phone"),
}
ADDRESS = ("street", "postal_code", "city", "region", "country")
# What a record that is being typed is looked up by.
LOOKED_AT = ("first_name", "last_name", "name", "email", "phone", "mobile", "vat_id", "city", "company_id")
SLIGHT = 0.1  # reasons that weigh less are not told


@jobs.kind("duplicates")
def look_for_duplicates(run):
    """Look through all contacts or companies that the person sees, and keep the pairs that look like one."""
    model, found = ENTITIES[run.params["entity"]], duplicates.Found()
    with run.reading() as session:
        likely = duplicates.likely_pairs(session, model, found=found, progress=run.progress)
    duplicates.keep_pairs(run.session, model, likely, found=found, now=datetime.now(UTC))
    return {
        "rows": found.records,
        "found": found.pairs,
        "added": found.new,
        "changed": found.changed,
        "links": [{"label": N_("Look at them"), "href": f"/duplicates/?entity={run.params['entity']}"}],
    }


class DuplicateView(PageView):
    """Contacts and companies that look like one: whoever works with contacts works through them."""

    entity, model, route_base = "contact", DuplicatePair, "/duplicates"

    def entity_asked(self):
        asked = request.values.get("entity")
        return asked if asked in KINDS else self.entity

    @expose("/")
    @allows("see")
    def index(self):
        entity, state = _asked("entity", KINDS), _asked("state", STATES)
        if not g.principal.may("see", entity):
            abort(404)
        statement = duplicates.pairs_to_look_at(entity, state)
        if after := _place(request.args.get("after", "")):
            statement = statement.where(duplicates.stands_after(*after))
        pairs = db.session.scalars(statement.limit(SHOWN + 1)).all()
        more, pairs = len(pairs) > SHOWN, pairs[:SHOWN]
        rows = _records(entity, {key for pair in pairs for key in (pair.one_id, pair.other_id)})
        here = {"entity": entity, "state": state}
        return self.page(
            "duplicates/index.html",
            entity=entity,
            state=state,
            pairs=[self._told(pair, rows[pair.one_id], rows[pair.other_id]) for pair in pairs],
            kinds=[
                (gettext(words), f"/duplicates/?{urlencode({**here, 'entity': name})}", name == entity)
                for name, words in KINDS.items()
                if g.principal.may("see", name)
            ],
            states=[
                (gettext(words), f"/duplicates/?{urlencode({**here, 'state': name})}", name == state)
                for name, words in STATES.items()
            ],
            next_href=f"/duplicates/?{urlencode({**here, 'after': f'{pairs[-1].score}.{pairs[-1].id}'})}"
            if more
            else None,
            may_write=g.principal.may("edit", entity),
            may_find=g.principal.may("edit", entity) and duplicates.sees_all(g.principal, entity),
            may_merge=may_merge(g.principal, entity),
        )

    @expose("/find", methods=["POST"])
    @allows("edit")
    def find(self):
        entity = _asked("entity", KINDS)
        if not duplicates.sees_all(g.principal, entity):
            abort(403)
        title = {
            "contact": gettext("Look for duplicate contacts"),
            "company": gettext("Look for duplicate companies"),
        }
        job = jobs.start(db.session, "duplicates", title[entity], {"entity": entity})
        db.session.commit()
        return redirect(f"/jobs/{job.id}")

    @expose("/<int:pk>/dismiss", methods=["POST"])
    @allows("edit")
    def dismiss(self, pk):
        pair = _pair(pk)
        duplicates.dismiss(pair)
        return self._answered(pair, gettext("These two stay two. They will not be brought up again."))

    @expose("/<int:pk>/reopen", methods=["POST"])
    @allows("edit")
    def reopen(self, pk):
        pair = _pair(pk)
        duplicates.reopen(pair)
        return self._answered(pair, gettext("These two are to be looked at again."))

    @expose("/merge", methods=["GET", "POST"])
    @allows("merge")
    def merge(self):
        entity = _asked("entity", KINDS)
        rows = _to_merge(entity)
        if request.method == "GET":
            return self._merge_page(entity, rows)
        kept = _kept(rows)
        if any(request.form.get(f"version.{row.id}") != str(row.version) for row in rows):
            flash(gettext("One of them was changed in the meantime. Look at it, then try again."), "warning")
            return self._merge_page(entity, rows, status=409)
        try:
            others, name = [row.id for row in rows if row is not kept], str(kept)
            key = merging.merge(db.session(), type(kept), kept.id, others, _chosen(rows, kept))
        except RuleBroken as error:
            db.session.rollback()
            return self._merge_page(
                entity, _to_merge(entity), status=422, problem=gettext(error.message, **error.values)
            )
        except WriteRefused as error:
            db.session.rollback()
            return self._merge_page(entity, _to_merge(entity), status=422, problem=gettext(error.reason))
        sentence = gettext("Merged into “%(name)s”.", name=name)
        if g.principal.may("undo", "change_set"):
            undo = Markup('{} <a href="/changes/{}/undo">{}</a>')
            sentence = undo.format(sentence, key, gettext("Undo"))
        flash(sentence, "success")
        db.session.commit()
        return redirect(cells.path_of(kept))

    # ---- the parts of the pages

    def _answered(self, pair, sentence):
        entity = pair.entity
        db.session.commit()
        flash(sentence, "success")
        return redirect(f"/duplicates/?entity={entity}")

    def _told(self, pair, one, other):
        hidden = g.principal.hidden(pair.entity)
        reasons = [reason for reason in pair.reasons if not likeness.tells_of(reason["what"], hidden)]
        told = [reason for reason in reasons if abs(reason["weight"]) >= SLIGHT or reason["what"] == "third"]
        return {
            "id": pair.id,
            "score": pair.score if len(reasons) == len(pair.reasons) else None,  # else it would tell the rest
            "color": "green" if pair.score >= 95 else "amber" if pair.score >= 85 else "grey",
            "heads": [{"name": str(row), "href": cells.path_of(row)} for row in (one, other)],
            "facts": [fact for fact in _facts(pair.entity, (one, other)) if any(fact["cells"])],
            "reasons": [
                {
                    "says": gettext(likeness.sentence(reason["what"], reason["level"])),
                    "weight": reason["weight"],
                }
                for reason in told
            ],
            "merge_href": f"/duplicates/merge?entity={pair.entity}&ids={pair.one_id},{pair.other_id}",
        }

    def _merge_page(self, entity, rows, status=200, problem=None):
        """All fields that one of the records has filled, a choice for each on which they differ."""
        form = request.form if request.method == "POST" else {}
        chosen, theirs = merging.proposed(rows), merging.proposed_custom(rows)
        kept = g.principal.read_only(entity)
        master = filters.natural(form.get("keep", "")) or merging.proposed_master(db.session, rows)
        lines = []
        for column in merging.columns_to_choose(type(rows[0])):
            if column.name in kept:
                continue
            lines.append(
                {
                    "name": f"field.{column.name}",
                    "label": cells.label(column),
                    "cells": [cells.cell(row, column.name) for row in rows],
                    "values": [getattr(row, column.name) for row in rows],
                    "chosen": filters.natural(form.get(f"field.{column.name}", "")) or chosen[column.name],
                }
            )
        fields = [field for field in custom_values.fields_for(entity) if field.name in theirs]
        names = custom_fields.names_of(db.session(), fields, [row.custom for row in rows])
        for field in fields:
            values = [(row.custom or {}).get(field.name) for row in rows]
            lines.append(
                {
                    "name": f"custom.{field.name}",
                    "label": field.label(custom_values.language()),
                    "cells": [custom_values.cell(field, value, names) for value in values],
                    "values": values,
                    "chosen": filters.natural(form.get(f"custom.{field.name}", "")) or theirs[field.name],
                }
            )
        for line in lines:
            line["is_alike"] = all(value == line["values"][0] for value in line["values"])
            line["differs"] = _contradict(line["values"])
        lines = [line for line in lines if any(value not in (None, "") for value in line["values"])]
        return self.page(
            "duplicates/merge.html",
            status=status,
            entity=entity,
            title=gettext(KINDS[entity]),
            records=[
                {"id": row.id, "name": str(row), "href": cells.path_of(row), "version": row.version}
                for row in rows
            ],
            ids=",".join(str(row.id) for row in rows),
            master=master,
            lines=[line for line in lines if not line["is_alike"]],
            alike=[line for line in lines if line["is_alike"]],
            problem=problem,
        )


def _asked(name, known):
    """A parameter that is one word of a few, the first by default; else there is no such page."""
    word = request.values.get(name) or next(iter(known))
    return word if word in known else abort(404)


def _place(text):
    """The place in the list behind which the page goes on: (score, id)."""
    score, _, key = text.partition(".")
    score, key = filters.natural(score), filters.natural(key)
    return (score, key) if score is not None and key is not None else None


def _pair(pk):
    pair = db.session.get(DuplicatePair, pk) if pk <= filters.LARGEST_ID else None
    return pair if pair is not None else abort(404)


def _records(entity, ids):
    """The records of these ids that the reader sees, with what is shown of them: id -> row."""
    model = ENTITIES[entity]
    loads = [selectinload(Contact.company)] if model is Contact else []
    return {row.id: row for row in db.session.scalars(select(model).where(model.id.in_(ids)).options(*loads))}


def _facts(entity, rows):
    """What a pair is shown by: label, cells, and whether they differ."""
    columns = ENTITIES[entity].__table__.c
    for name in access.shown(g.principal, entity, (*TOLD[entity], *ADDRESS)):
        values = [getattr(row, name) for row in rows]
        yield {
            "label": cells.label(columns[name]),
            "cells": [cells.cell(row, name) for row in rows],
            "differs": _contradict(values),
        }


def _contradict(values):
    """Whether two of the records say different things; that one says nothing is no contradiction."""
    said = [value for value in values if value not in (None, "")]
    return any(value != said[0] for value in said)


def _to_merge(entity):
    """The records that the address or the form names, in their order; 404 when one of them is not to be seen."""
    if not may_merge(g.principal, entity):
        abort(404)
    ids = [filters.natural(text.strip()) for text in request.values.get("ids", "").split(",") if text.strip()]
    ids = list(dict.fromkeys(ids))
    if None in ids or not 1 < len(ids) <= merging.MOST:
        abort(404)
    rows = _records(entity, ids)
    return [rows.get(key) or abort(404) for key in ids]


def _kept(rows):
    kept = filters.natural(request.form.get("keep", ""))
    return next((row for row in rows if row.id == kept), None) or abort(400)


def _chosen(rows, kept):
    """The values that the kept record takes over, by the choices of the form; what was not asked it keeps."""
    by_id = {row.id: row for row in rows}
    values, own = {}, dict(kept.custom or {})
    for column in merging.columns_to_choose(type(kept)):
        if column.name in g.principal.read_only(kept.__tablename__):
            continue  # not his to choose: the rule does
        source = _source(by_id, f"field.{column.name}", kept)
        if getattr(source, column.name) != getattr(kept, column.name):
            values[column.name] = getattr(source, column.name)
    seen = {field.name for field in custom_values.fields_for(kept.__tablename__)}
    for name, key in merging.proposed_custom(rows).items():
        # What the reader does not see is not his to choose: filled goes before empty.
        source = _source(by_id, f"custom.{name}", kept) if name in seen else by_id[key]
        value = (source.custom or {}).get(name)
        if value is None:
            own.pop(name, None)
        else:
            own[name] = value
    if own != (kept.custom or {}):
        values["custom"] = own
    return values


def _source(by_id, name, kept):
    return by_id.get(filters.natural(request.form.get(name, ""))) or kept


# --------------------------------------------------------------------------------------------- the warning


class WarnsOfDuplicates:
    """For a `RecordView`: a new record that looks like one that is there already is saved only when asked twice."""

    @property
    def look_for(self):
        """Where its likes are looked up while a new record is typed, and by which fields."""
        return {"href": f"{self.route_base}/look-alikes", "fields": LOOKED_AT}

    @expose("/look-alikes")
    @allows("add")
    def look_alikes(self):
        """What a record that is being typed looks like, as a part of its form; kept to what the reader may see.

        Beyond that it is asked as the form itself asks, by exact identity and counted, when a field was left.
        """
        row = self.model(**self.defaults())
        form = self.form(row, formdata=MultiDict((name, request.args.get(name, "")) for name in LOOKED_AT))
        typed = {
            name: form[name].data for name in LOOKED_AT if name in form and not form[name].process_errors
        }
        if not all(is_storable(value) for value in typed.values() if isinstance(value, str)):
            abort(400)
        told = None
        if request.args.get("left"):
            by = {name: typed[name] for name in ("email", "vat_id") if typed.get(name)}
            told = sealed.look(self.model, sealed_line.meant_by_values(self.model, by)) if by else None
            told = told if told and told["line"] else None
        values = {column.name: getattr(row, column.name) for column in self.model.__table__.c} | typed
        g.lookalikes = [] if told else self._alike(values)
        return self.page("duplicates/look_alikes.html", sealed=told)

    def _alike(self, values):
        """The records that these values look like, as the form shows them."""
        # Nothing is asked of the record that is about to be: it is not in the index yet.
        with db.session.no_autoflush:
            alike = duplicates.candidates_for(db.session, self.model, [values])[0]
        path = cells.PATHS[self.entity]
        return [
            {
                "name": one.name,
                "href": f"{path}/{one.id}",
                "score": one.likeness.score,
                "reasons": [
                    gettext(likeness.sentence(what, level))
                    for what, level, weight in one.likeness.reasons
                    if weight >= SLIGHT
                ][:4],
            }
            for one in alike
        ]

    def before_save(self, row, form):
        super().before_save(row, form)
        if not inspect(row).pending or request.form.get("is_another"):
            return
        g.lookalikes = self._alike(
            {column.name: getattr(row, column.name) for column in self.model.__table__.c}
        )
        if g.lookalikes:
            raise RuleBroken(N_("This looks like a record that is there already. Is it another one?"))
